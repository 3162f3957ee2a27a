--[[ Writes a record that was lost and made anew from what the provider has, unless there is one.

  KEYS[1..5] see the head
  KEYS[6] spec    hash  instance id -> spec
  KEYS[7] status  hash  instance id -> status
  KEYS[8] ops     hash  operation id -> operation
  KEYS[9] index   zset  instance id by the time it was accepted (ms)
  KEYS[10] names  hash  name -> instance id
  KEYS[11] bound  hash  the provider's id -> instance id
  KEYS[12] events list  of the instance
  ARGV    instance id, name, spec, spec under another name in case that one is taken, that name, time it
          was accepted (ms), status, operation id, operation, the provider's id, event, job id, job body
  Returns 1 when written, 0 when there is such a record
  Repeatable: the second time there is one. The spec comes last, so one that was cut off begins again.
  Commands: refused 3; else 12, or 14 when the name is taken, + those of an enqueue (less 2), + 1 per
            sleeper woken ]]
local id, name, spec, other_spec, other_name = take(), take(), take(), take(), take()
local accepted, status, operation_id, operation = take(), take(), take(), take()
local provider_id, event, job_id, job_body = take(), take(), take(), take()
if call('HEXISTS', KEYS[6], id) == 1 then
  return answer(0)
end
local is_free = call('HSETNX', KEYS[10], name, id) == 1
if not is_free and call('HGET', KEYS[10], name) ~= id then
  name, spec = other_name, other_spec
  call('HSET', KEYS[10], name, id)
end
call('DEL', KEYS[12])
call('RPUSH', KEYS[12], event)
call('HSET', KEYS[7], id, status)
call('HSET', KEYS[8], operation_id, operation)
call('HSET', KEYS[11], provider_id, id)
call('ZADD', KEYS[9], accepted, id)
call('HSET', KEYS[6], id, spec)
announce(id)
wake(enqueue({ { id = job_id, body = job_body, due = 0 } }))
return answer(1)
