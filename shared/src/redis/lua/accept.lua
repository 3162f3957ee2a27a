--[[ Writes what a caller wants: spec, operation and the due key of the instance, in one step.

  KEYS[1..5] see the head
  KEYS[6] spec   hash  instance id -> spec
  KEYS[7] ops    hash  operation id -> operation
  KEYS[8] index  zset  instance id by the time it was accepted (ms)
  KEYS[9] names  hash  name -> instance id
  KEYS[10] envs  hash  instance id -> its environment variables, encrypted
  ARGV    instance id, expected spec ('' for a new instance), spec, name, operation id, operation,
          job id, job body, encrypted variables of a new instance ('' for none)
  Returns { 'accepted' } | { 'conflict', current spec } | { 'name_taken', instance id }
  Repeatable: a request that was applied before is accepted again and changes nothing, also when a
  later wish has replaced it.
  Commands: new instance 9, + 1 when it has variables; change 9, or 11 when its job waits; taken name 5; conflict 4;
            + 1 when a sleeper is woken ]]
local SPEC, OPS, INDEX, NAMES, ENVS = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local id, expected, spec, name = take(), take(), take(), take()
local operation_id, operation, job_id, job_body = take(), take(), take(), take()
local envs = take()

if expected == '' then
  local claimed = call('HSETNX', NAMES, name, id) == 1
  if not claimed then
    local holder = call('HGET', NAMES, name)
    if holder ~= id and call('HEXISTS', SPEC, id) == 0 then
      return answer({ 'name_taken', holder })
    end
  end
  if call('HSETNX', SPEC, id, spec) == 1 then
    call('ZADD', INDEX, num(now), id)
    if envs ~= '' then
      call('HSET', ENVS, id, envs)
    end
  elseif claimed then
    -- A repeat that comes after the instance was deleted: the name is free and stays free.
    call('HDEL', NAMES, name)
  end
else
  local current = call('HGET', SPEC, id)
  local is_repeat = call('HEXISTS', OPS, operation_id) == 1
  if not is_repeat then
    if current ~= expected then
      return answer({ 'conflict', current or '' })
    end
    call('HSET', SPEC, id, spec)
  end
end
call('HSETNX', OPS, operation_id, operation)
wake(enqueue({ { id = job_id, body = job_body, due = 0 } }))
return answer({ 'accepted' })