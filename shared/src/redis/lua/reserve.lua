--[[ Promotes what fell due, then leases jobs to one worker session.

  KEYS[1..5] see the head
  ARGV    session, token (unique to this request), count (0 to 100), lease_ms, '1' if repeated
  Returns { now, next timer or -1, { id, attempt, crashes, errors, body }... }
  Repeatable: with '1' it returns the jobs that the lost reply would have held.
  Commands: none wanted 3, none there 5; otherwise 8 for any number of jobs, + 1 when fewer than
  `count` were there; + 2 when timers fell due (+ 1 more when delayed jobs did); repeated 5 ]]
local session, token, count, lease_ms = take(), take(), take_number(), take_number()
if take() == '1' then
  return reserve_again(token, lease_ms)
end
return reserve(session, token, count, lease_ms)
