--[[ Forgets instances that were closed long ago.

  KEYS[1..5] see the head
  KEYS[6] spec    hash  instance id -> spec
  KEYS[7] status  hash  instance id -> status
  KEYS[8] ops     hash  operation id -> operation
  KEYS[9] closed  zset  instance id by the time it was closed (ms)
  KEYS[10] last_used  hash  instance id -> when it was used last
  KEYS[11...] events  list  of each instance named
  ARGV    time (ms), then per instance: id, id of its job, number of operations, their ids
  Returns how many were forgotten: those that were closed before that time and have no job, because a
          job means that something is still to be done about them
  Repeatable: what was forgotten is not closed any more and is skipped.
  Commands: 4; + 7 when any is forgotten, or 6 when none of them has operations ]]
local SPEC, STATUS, OPS, CLOSED = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local before = take_number()
local instances, ids, jobs = {}, {}, {}
while position < #ARGV do
  local instance = { id = take(), job = take(), operations = {} }
  for n = 1, take_number() do
    instance.operations[n] = take()
  end
  instances[#instances + 1] = instance
  ids[#ids + 1], jobs[#jobs + 1] = instance.id, instance.job
end

local closed_at = call('ZMSCORE', CLOSED, unpack(ids))
local bodies = call('HMGET', JOBS, unpack(jobs))
local gone, events, operations = {}, {}, {}
for i, instance in ipairs(instances) do
  local is_old = closed_at[i] and tonumber(closed_at[i]) < before
  if is_old and not bodies[i] then
    gone[#gone + 1], events[#events + 1] = instance.id, KEYS[10 + i]
    for _, operation in ipairs(instance.operations) do
      operations[#operations + 1] = operation
    end
  end
end
if #gone > 0 then
  call('DEL', unpack(events))
  if #operations > 0 then
    call('HDEL', OPS, unpack(operations))
  end
  call('HDEL', KEYS[10], unpack(gone))
  call('HDEL', STATUS, unpack(gone))
  call('HDEL', SPEC, unpack(gone))
  -- Last: as long as it is here, whoever was interrupted begins again.
  call('ZREM', CLOSED, unpack(gone))
  announce(table.concat(gone, ' '))
end
return answer(#gone)
