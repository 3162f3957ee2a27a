--[[ Promotes what fell due, then leases jobs to one worker session.

  KEYS[1..5] see the head
  ARGV    session, token (unique to this request), count (0 to 1000), lease_ms,
          '1' if the session sleeps already, '1' if repeated
  Returns { now, next timer or -1, 1 if the session sleeps now,
            { id, attempt, crashes, errors, body, runnable since, 1 if its holder vanished }... }
  Repeatable: with '1' it returns the jobs that the lost reply would have held.
  Commands: none wanted 3, none there 4; otherwise 7 for any number of jobs; + 1 when the session
  falls asleep, or wakes because it got all it wanted; + 2 when timers fell due (+ 1 more when delayed
  jobs did); + 1 when jobs of a paused kind are parked; repeated 5, or 4 when
  it had leased nothing.
  Per kind that resumes: + 1, + 1 for its end, + 3 when jobs come back, + 1 per sleeper woken ]]
local session, token, count, lease_ms = take(), take(), take_number(), take_number()
local listed = take() == '1'
if take() == '1' then
  return answer(reserve_again(token, lease_ms))
end
return answer(reserve(session, token, count, lease_ms, listed))
