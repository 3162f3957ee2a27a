--[[ Writes what a caller wants: spec, operation and the due key of the instance, in one step.

  KEYS[1..5] see the head
  KEYS[6] spec   hash  instance id -> spec
  KEYS[7] ops    hash  operation id -> operation
  KEYS[8] index  zset  instance id by the time it was accepted (ms)
  KEYS[9] names  hash  name -> instance id
  KEYS[10] budget hash  see its head
  KEYS[11] envs  hash  instance id -> its environment variables, encrypted
  KEYS[12] answer string  see recall.lua; only when there is an answer to remember
  ARGV    instance id, expected spec ('' for a new instance), spec, name, operation id, operation,
          job id, job body, encrypted variables of a new instance ('' for none), operation id to
          forget ('' for none), answer to remember ('' for none), for how long (ms), units to reserve ('' for none), and if so: generation, limit in units, units from which on it warns, the spec that warns
  Returns { 'accepted' } | { 'conflict', current spec } | { 'name_taken', instance id } |
          { 'over_budget', units reserved by all } | { 'known', what is remembered instead }
  Keeps: by reserving here, the sum of all reservations never passes the limit.
  Repeatable: a request that was applied before is accepted again and changes nothing, also when a
  later wish has replaced it.
  Commands: new instance 9, + 1 when it has variables; change 10, or 12 when its job waits; taken name 5; conflict 4;
            + 1 when an operation is forgotten; + 1 when a sleeper is woken; of one that reserves + 2
            for a change, + 3 for a new instance; over budget 5, a new instance 4; with an answer to
            remember + 2, or + 1 when it is refused; known 3 ]]
local SPEC, OPS, INDEX, NAMES, BUDGET, ENVS = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local ANSWER = KEYS[12]
local id, expected, spec, name = take(), take(), take(), take()
local operation_id, operation, job_id, job_body = take(), take(), take(), take()
local envs, forgotten, remembered, lifetime = take(), take(), take(), take()
local units = tonumber(take())
local generation, limit, warns_from, warning_spec
if units then
  generation, limit, warns_from, warning_spec = take(), take_number(), take_number(), take()
end

-- What was answered was also done: the answer is remembered where it is done.
if remembered ~= '' then
  local known = call('GET', ANSWER)
  if known then
    return answer(known == remembered and { 'accepted' } or { 'known', known })
  end
end

-- What to store as the reservation, and the sum of all. Nothing when that would pass the limit.
local held, total
local function claim()
  local stored = call('HMGET', BUDGET, id, 'total')
  held, total = reserved(stored[1]), tonumber(stored[2] or 0)
  -- What it holds already, it may keep: lowering that is for who confirms that it is stopped.
  local more = math.max(0, units - held)
  if more > 0 and total + more > limit then
    return false
  end
  if total < warns_from and total + more >= warns_from then
    spec = warning_spec
  end
  held, total = held + more, total + more
  return true
end

local function reserve_claim()
  if units then
    call('HSET', BUDGET, id, num(held) .. '|' .. generation, 'total', num(total))
  end
end

-- Workers tell of a new instance once they looked; nobody can have asked for it before.
if expected == '' then
  local is_repeat = units and call('HEXISTS', SPEC, id) == 1
  if is_repeat then
    units = nil
  end
  if units and not claim() then
    return answer({ 'over_budget', num(total) })
  end
  local claimed = call('HSETNX', NAMES, name, id) == 1
  if not claimed then
    local holder = call('HGET', NAMES, name)
    if holder ~= id and call('HEXISTS', SPEC, id) == 0 then
      return answer({ 'name_taken', holder })
    end
  end
  if call('HSETNX', SPEC, id, spec) == 1 then
    reserve_claim()
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
    if units and not claim() then
      return answer({ 'over_budget', num(total) })
    end
    call('HSET', SPEC, id, spec)
    reserve_claim()
    if forgotten ~= '' then
      call('HDEL', OPS, forgotten)
    end
    announce(id)
  end
end
call('HSETNX', OPS, operation_id, operation)
if remembered ~= '' then
  call('SET', ANSWER, remembered, 'PX', lifetime)
end
wake(enqueue({ { id = job_id, body = job_body, due = 0 } }))
return answer({ 'accepted' })
