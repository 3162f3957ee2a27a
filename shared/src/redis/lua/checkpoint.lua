--[[ Writes down a status in the middle of a step and renews the step's lease, if it still has it.

  KEYS[1..5] see the head
  KEYS[6] status  hash  instance id -> status
  ARGV    job id, token, lease_ms, instance id, status
  Returns 1, or 0 when another holder has the job: then nothing was written
  Repeatable.
  Commands: 5, + 1 when the lease had expired ]]
local id, token, lease_ms, instance, status = take(), take(), take_number(), take(), take()
local lease = parse_lease(redis.call('HGET', LEASES, id))
if not lease or lease.token ~= token then
  return 0
end
if redis.call('ZADD', TIMERS, num(now + lease_ms), 'l:' .. id) == 1 then
  redis.call('ZREM', READY, id)
end
redis.call('HSET', KEYS[6], instance, status)
return 1
