--[[ Writes what a caller wants: spec, operation and the due key of the instance, in one step.

  KEYS[1..5] see the head
  KEYS[6] spec   hash  instance id -> spec
  KEYS[7] ops    hash  operation id -> operation
  KEYS[8] index  zset  instance id by the time it was accepted (ms)
  KEYS[9] names  hash  name -> instance id
  ARGV    instance id, expected spec ('' for a new instance), spec, name, operation id, operation,
          job id, job body
  Returns { 'accepted' } | { 'conflict', current spec } | { 'name_taken', instance id }
  Repeatable: a request that was applied before is accepted again and changes nothing, also when a
  later wish has replaced it.
  Commands: new instance 9; change 9, or 11 when its job waits; taken name 5; conflict 4;
            + 1 when a sleeper is woken ]]
local SPEC, OPS, INDEX, NAMES = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local id, expected, spec, name = take(), take(), take(), take()
local operation_id, operation, job_id, job_body = take(), take(), take(), take()

if expected == '' then
  local claimed = redis.call('HSETNX', NAMES, name, id) == 1
  if not claimed then
    local holder = redis.call('HGET', NAMES, name)
    if holder ~= id and redis.call('HEXISTS', SPEC, id) == 0 then
      return { 'name_taken', holder }
    end
  end
  if redis.call('HSETNX', SPEC, id, spec) == 1 then
    redis.call('ZADD', INDEX, num(now), id)
  elseif claimed then
    -- A repeat that comes after the instance was deleted: the name is free and stays free.
    redis.call('HDEL', NAMES, name)
  end
else
  local current = redis.call('HGET', SPEC, id)
  local is_repeat = redis.call('HEXISTS', OPS, operation_id) == 1
  if not is_repeat then
    if current ~= expected then
      return { 'conflict', current or '' }
    end
    redis.call('HSET', SPEC, id, spec)
  end
end
redis.call('HSETNX', OPS, operation_id, operation)
if enqueue(job_id, job_body, 0) then
  wake(1)
end
return { 'accepted' }
