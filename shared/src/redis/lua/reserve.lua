--[[ Promotes what fell due, then leases jobs to one worker session.

  KEYS[1..5] see the head
  ARGV    session, token (unique to this request), count (0 to 1000), lease_ms,
          '1' if the session sleeps already ('0' not, '2' unknown, '3' never), '1' if it was woken,
          '1' if repeated, the time (ms) after which a first call is too late (0: never)
  Returns { now, next timer or -1, 1 if the session sleeps now,
            per job: id, attempt, crashes, errors, body, runnable since, 1 if its holder vanished,
            2 if it did while the job ran alone }
  Repeatable: with '1' it returns the jobs that the lost reply would have held. A first call that comes
  too late, when its sender has long repeated it or given it up, leases nothing.
  Commands: none wanted 3, none there 4; otherwise 7 for any number of jobs; + 1 when the session
  falls asleep, or got all it wanted and slept before, as far as it knows; + 2 when timers fell due (+ 1
  more when delayed jobs did); + 1 while any kind is paused, + 3 per 64 jobs that are parked; + 1 when it
  was woken and got all it wanted, + 1 per sleeper woken then; too late 2; repeated 5, less when it had
  leased nothing.
  Per kind that resumes: + 1, + 1 for its end, + 3 when jobs come back, + 1 per sleeper woken ]]
local session, token, count, lease_ms = take(), take(), take_number(), take_number()
local listed, pass_on, is_repeat, latest = take(), take() == '1', take() == '1', take_number()
if is_repeat then
  return answer(reserve_again(token, lease_ms))
end
if latest > 0 and now > latest then
  return answer({ num(now), num(now), 0 })
end
return answer(reserve(session, token, count, lease_ms, listed, pass_on))
