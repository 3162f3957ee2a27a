--[[ Writes records of the predecessor's that became ours, and its jobs that are still to be done, each
     unless it was written before.

  KEYS[1..5] see the head
  KEYS[6] operator  hash  token of who may write; see operator.lua
  KEYS[7] spec    hash  instance id -> spec
  KEYS[8] status  hash  instance id -> status
  KEYS[9] ops     hash  operation id -> operation
  KEYS[10] index  zset  instance id by the time it was accepted (ms)
  KEYS[11] closed zset  instance id by the time it was closed (ms)
  KEYS[12] names  hash  name -> instance id
  KEYS[13] bound  hash  the provider's id -> instance id
  KEYS[14] envs   hash  instance id -> its environment, encrypted
  KEYS[15] last_used  hash  instance id -> when it was used last (ms)
  KEYS[16] imported   hash  key of the predecessor's -> SHA-1 of spec and of status, what it was
  KEYS[17...] events  list  of each instance named
  ARGV    token, then any number of
            'job': its key, what it was, job id, body, due (ms)
            'instance': its key, what it was, id, spec, name ('' if it takes none), the spec under
              another name in case that one is taken, that name, time it was accepted (ms), time it was
              closed (ms, or ''), status, operation id, operation, the provider's id ('' if it holds
              none), event, environment (''), last use (ms, or ''), job id ('' if nothing is to be done),
              job body, due (ms)
  Returns a word for each: 'new' written, 'known' written before, 'exists' there is a record of another
          origin under its id, 'held:' and the instance that holds the same one at the provider
  Repeatable: what was written is known. The entry under `imported` comes before the spec, which is last.
  Commands: 3, + 1 per record that is known or a job, 2 that exists, 3 that is held, else 9, + 1 each when
            it is held, has a name that is free (3 when it is taken), an environment, a last use;
            + those of an enqueue (less 2) when there are jobs, + 1 per sleeper woken ]]
local SPEC, STATUS, OPS, INDEX, CLOSED, NAMES = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local BOUND, ENVS, LAST_USED, IMPORTED = KEYS[13], KEYS[14], KEYS[15], KEYS[16]
if call('HGET', KEYS[6], 'token') ~= take() then
  return redis.error_reply('FENCED the lock ended or is held by another')
end

local jobs, events_at = {}, 16

local function import_job(key)
  local what = take()
  local job = { id = take(), body = take(), due = take_number() }
  if call('HSETNX', IMPORTED, key, what) == 0 then
    return 'known'
  end
  jobs[#jobs + 1] = job
  return 'new'
end

local function import_instance(key)
  local what, id, spec, name, other_spec, other_name = take(), take(), take(), take(), take(), take()
  local accepted, closed, status, operation_id, operation = take(), take(), take(), take(), take()
  local provider_id, event, envs, last_used = take(), take(), take(), take()
  local job = { id = take(), body = take(), due = take_number() }
  events_at = events_at + 1
  local events = KEYS[events_at]
  if call('HEXISTS', IMPORTED, key) == 1 then
    return 'known'
  end
  if call('HEXISTS', SPEC, id) == 1 then
    return 'exists'
  end
  local holder = provider_id ~= '' and call('HGET', BOUND, provider_id)
  if holder and holder ~= id then
    return 'held:' .. holder
  end
  if name ~= '' and call('HSETNX', NAMES, name, id) == 0 and call('HGET', NAMES, name) ~= id then
    spec = other_spec
    call('HSET', NAMES, other_name, id)
  end
  call('DEL', events)
  call('RPUSH', events, event)
  call('HSET', STATUS, id, status)
  call('HSET', OPS, operation_id, operation)
  if provider_id ~= '' then
    call('HSET', BOUND, provider_id, id)
  end
  if closed ~= '' then
    call('ZADD', CLOSED, closed, id)
  else
    call('ZADD', INDEX, accepted, id)
  end
  if envs ~= '' then
    call('HSET', ENVS, id, envs)
  end
  if last_used ~= '' then
    call('HSET', LAST_USED, id, last_used)
  end
  if job.id ~= '' then
    jobs[#jobs + 1] = job
  end
  call('HSET', IMPORTED, key, redis.sha1hex(spec) .. redis.sha1hex(status) .. what)
  call('HSET', SPEC, id, spec)
  return 'new'
end

local words = {}
while position < #ARGV do
  local kind, key = take(), take()
  words[#words + 1] = kind == 'job' and import_job(key) or import_instance(key)
end
if #jobs > 0 then
  wake(enqueue(jobs))
end
return answer(words)
