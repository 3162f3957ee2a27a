--[[ Writes down a status in the middle of a step and renews the step's lease, if it still has it.

  KEYS[1..5] see the head
  KEYS[6] status  hash  instance id -> status
  ARGV    job id, token, lease_ms, instance id, the status that the step began with ('' for none),
          the new status
  Returns 1 when written; else nothing was: 0 when another holder has the job, 2 when the stored
          status is another one, because the step began with an outdated read
  Repeatable.
  Commands: 7, + 1 when the lease had expired and the kind was paused since; refused 3 or 4 ]]
local id, token, lease_ms, instance = take(), take(), take_number(), take()
local expected, status = take(), take()
local lease = parse_lease(call('HGET', JOBS, 'l:' .. id))
if not lease or lease.token ~= token then
  return answer(0)
end
local stored = call('HGET', KEYS[6], instance) or ''
if stored ~= expected and stored ~= status then
  return answer(2)
end
-- A removal comes first: it goes through when there is no memory left, and opens the way for the rest.
local found = call('ZREM', READY, id)
if call('ZADD', TIMERS, num(now + lease_ms), 'l:' .. id) > found then
  unpark_all({ id })
end
call('HSET', KEYS[6], instance, status)
return answer(1)
