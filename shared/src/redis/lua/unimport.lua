--[[ Takes back what an import wrote, each record and webhook only as it was written.

  KEYS[1..5] see the head
  KEYS[6..16] as in import.lua
  KEYS[17] budget hash  see budget.lua
  KEYS[18] fleet  hash  what the provider's list showed; KEYS[19] marks, KEYS[20] watch likewise
  KEYS[21...] events  list  of each instance named
  ARGV    token, '1' to take back also what was changed since, then any number of
            'job': its key, job id
            'instance': its key, id, id of its job, number of names it may bear, these, number of
              operations, their ids, number of the provider's ids it holds, these
  Returns a word for each: 'gone' taken back, 'kept' it was changed since or is being worked on,
          'unknown' it was not imported
  Repeatable: what was taken back is unknown.
  Commands: 3, + 1 per record that is unknown, + 4 that is kept, else 19 and some more per name, operation
            and id; + 6 per webhook ]]
local SPEC, STATUS, OPS, INDEX, CLOSED, NAMES = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local BOUND, ENVS, LAST_USED, IMPORTED, BUDGET = KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17]
if call('HGET', KEYS[6], 'token') ~= take() then
  return redis.error_reply('FENCED the lock ended or is held by another')
end
local is_forced = take() == '1'
local events_at = 20

local function take_list()
  local list = {}
  for n = 1, take_number() do
    list[n] = take()
  end
  return list
end

-- Someone works on the job, so it cannot be taken away under their hands.
local function is_held(job)
  local lease = parse_lease(call('HGET', JOBS, 'l:' .. job))
  return lease and lease.token ~= '' and lease.token ~= '!dead'
end

local function forget_job(job)
  call('HDEL', JOBS, job, 'l:' .. job)
  call('ZREM', READY, job)
  call('ZREM', TIMERS, 'd:' .. job, 'l:' .. job)
  call('ZREM', DEAD, job)
end

local function undo_job(key)
  local job = take()
  if call('HEXISTS', IMPORTED, key) == 0 then
    return 'unknown'
  end
  if is_held(job) then
    return 'kept'
  end
  forget_job(job)
  call('HDEL', IMPORTED, key)
  return 'gone'
end

-- Removes the fields of a hash that name this instance.
local function release(hash, names, id)
  for _, name in ipairs(names) do
    if call('HGET', hash, name) == id then
      call('HDEL', hash, name)
    end
  end
end

local function undo_instance(key)
  local id, job, names, operations, held = take(), take(), take_list(), take_list(), take_list()
  events_at = events_at + 1
  local events = KEYS[events_at]
  local entry = call('HGET', IMPORTED, key)
  if not entry then
    return 'unknown'
  end
  local spec, status = call('HGET', SPEC, id) or '', call('HGET', STATUS, id) or ''
  local is_as_written = string.sub(entry, 1, 80) == redis.sha1hex(spec) .. redis.sha1hex(status)
  if is_held(job) or not (is_as_written or is_forced) then
    return 'kept'
  end
  call('HDEL', SPEC, id)
  release(NAMES, names, id)
  release(BOUND, held, id)
  for _, operation in ipairs(operations) do
    call('HDEL', OPS, operation)
  end
  call('HDEL', STATUS, id)
  call('ZREM', INDEX, id)
  call('ZREM', CLOSED, id)
  call('HDEL', ENVS, id)
  call('HDEL', LAST_USED, id)
  call('DEL', events)
  call('HDEL', KEYS[18], id)
  call('HDEL', KEYS[19], id)
  call('HDEL', KEYS[20], id)
  local units = reserved(call('HGET', BUDGET, id))
  if call('HDEL', BUDGET, id) == 1 and call('HINCRBY', BUDGET, 'total', num(-units)) == 0 then
    call('HDEL', BUDGET, 'total')
  end
  forget_job(job)
  -- Last: as long as it is here, whoever was interrupted begins again.
  call('HDEL', IMPORTED, key)
  return 'gone'
end

local words = {}
while position < #ARGV do
  local kind, key = take(), take()
  words[#words + 1] = kind == 'job' and undo_job(key) or undo_instance(key)
end
return answer(words)
