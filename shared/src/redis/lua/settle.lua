--[[ Applies what reserved jobs came to, each under its token, and reserves the next, in one step.

  KEYS[1..5] see the head
  KEYS[6]  status   hash  instance id -> status
  KEYS[7]  ops      hash  operation id -> operation
  KEYS[8]  names    hash  name -> instance id
  KEYS[9]  dead     zset  job id by the time it was given up (ms)
  KEYS[10] replies  hash  session -> "request|verdicts" of its last settle
  KEYS[11] index    zset  instance id by the time it was accepted (ms)
  KEYS[12] closed   zset  instance id by the time it was closed (ms)
  KEYS[13...] events  list  of each instance that has new events, oldest first

  ARGV  session, request number, '1' if repeated, number of jobs
        per job: id, token, verdict, delay (ms), error, number of writes
          verdict  done | at (again after delay) | retry (the same, counts an error) |
                   dead | release (not started: back, and no attempt spent)
          write    'status' instance id, status | 'op' operation id, operation |
                   'event' index of its list in KEYS, event | 'unname' name, instance id |
                   'close' instance id, '' |
                   'job' id, body, delay (ms)
        then the reserve: token, count, lease_ms
  Returns { verdicts, now, next timer or -1, { id, attempt, crashes, errors, body }... } where
        verdicts has one digit per job: 1 applied, 0 stale (another holder: nothing was changed)
  Repeatable: with '1' the verdicts of an applied first call are told again, and so are the jobs that
        it reserved.
  Commands: 3 + those of its reserve, for any number of jobs; + 1 each when any job is done for
        good, done or at, kept (retry, dead, release), due now, delayed, dead, was late, writes a
        status, writes an operation; + 2 per event, + 2 per name (1 when it was free), + 2 per closed
        instance, + those of an
        enqueue per follow-up job; + 1 when jobs became due that it did not reserve itself, + 1 per
        sleeper woken (at most 4); repeated 6 ]]
local STATUS, OPS, NAMES, DEAD, REPLIES = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local EVENTS_KEPT = 500

local session, request, is_repeat = take(), take(), take() == '1'
local jobs, ids = {}, {}
for n = 1, take_number() do
  local job = { id = take(), token = take(), verdict = take(), delay = take_number(), error = take() }
  job.writes = {}
  for w = 1, take_number() do
    job.writes[w] = { kind = take(), key = take(), value = take() }
    if job.writes[w].kind == 'job' then
      job.writes[w].delay = take_number()
    end
  end
  jobs[n], ids[n] = job, job.id
end
local token, count, lease_ms = take(), take_number(), take_number()

if is_repeat then
  local done_request, verdicts = string.match(redis.call('HGET', REPLIES, session) or '', '^(%d+)|(%d*)$')
  if done_request == request then
    local again = reserve_again(token, lease_ms)
    table.insert(again, 1, verdicts)
    return again
  end
end

-- Everything is checked before anything is written.
local verdicts, mine = {}, {}
if #ids > 0 then
  local stored = redis.call('HMGET', LEASES, unpack(ids))
  for i, job in ipairs(jobs) do
    job.lease = parse_lease(stored[i])
    local is_mine = job.lease ~= nil and job.lease.token == job.token
    verdicts[i] = is_mine and '1' or '0'
    if is_mine then
      mine[#mine + 1] = job
    end
  end
end
verdicts = table.concat(verdicts)

-- First what frees memory, then what takes it.
local timers, finished, forgotten = {}, {}, {}
local lease_fields, ready, delayed, buried, runnable = {}, {}, {}, {}, 0

local function keep_lease(job)
  job.lease.token = job.lease.token == '!dead' and '!dead' or ''
  lease_fields[#lease_fields + 1] = job.id
  lease_fields[#lease_fields + 1] = format_lease(job.lease)
end

local function run_at(job, due)
  if due <= now then
    ready[#ready + 1], ready[#ready + 2] = num(now), job.id
    runnable = runnable + 1
  else
    delayed[#delayed + 1], delayed[#delayed + 2] = num(due), 'd:' .. job.id
  end
end

for _, job in ipairs(mine) do
  local lease, again = job.lease, job.lease.again
  timers[#timers + 1] = 'l:' .. job.id
  lease.again = nil
  if job.verdict == 'done' and not again then
    finished[#finished + 1] = job.id
    forgotten[#forgotten + 1] = job.id
  elseif job.verdict == 'done' then
    forgotten[#forgotten + 1] = job.id
    run_at(job, again)
  elseif job.verdict == 'at' then
    forgotten[#forgotten + 1] = job.id
    run_at(job, math.min(now + job.delay, again or math.huge))
  elseif job.verdict == 'release' then
    lease.attempt = lease.attempt - 1
    keep_lease(job)
    run_at(job, now)
  else
    lease.errors, lease.last_error = lease.errors + 1, job.error
    if job.verdict == 'dead' then
      lease.token = '!dead'
      buried[#buried + 1], buried[#buried + 2] = num(now), job.id
    else
      run_at(job, math.min(now + job.delay, again or math.huge))
    end
    keep_lease(job)
  end
end

if #mine > 0 then
  if redis.call('ZREM', TIMERS, unpack(timers)) < #mine then
    -- Some leases had expired; nobody took those jobs yet, so they wait in ready.
    for i, member in ipairs(timers) do
      timers[i] = string.sub(member, 3)
    end
    redis.call('ZREM', READY, unpack(timers))
  end
end
if #finished > 0 then
  redis.call('HDEL', JOBS, unpack(finished))
end
if #forgotten > 0 then
  redis.call('HDEL', LEASES, unpack(forgotten))
end
if #lease_fields > 0 then
  redis.call('HSET', LEASES, unpack(lease_fields))
end
if #ready > 0 then
  redis.call('ZADD', READY, unpack(ready))
end
if #delayed > 0 then
  redis.call('ZADD', TIMERS, unpack(delayed))
end
if #buried > 0 then
  redis.call('ZADD', DEAD, unpack(buried))
end

local statuses, operations = {}, {}
for _, job in ipairs(mine) do
  for _, write in ipairs(job.writes) do
    if write.kind == 'status' then
      statuses[#statuses + 1], statuses[#statuses + 2] = write.key, write.value
    elseif write.kind == 'op' then
      operations[#operations + 1], operations[#operations + 2] = write.key, write.value
    elseif write.kind == 'event' then
      local list = KEYS[tonumber(write.key)]
      redis.call('RPUSH', list, write.value)
      redis.call('LTRIM', list, -EVENTS_KEPT, -1)
    elseif write.kind == 'unname' then
      if redis.call('HGET', NAMES, write.key) == write.value then
        redis.call('HDEL', NAMES, write.key)
      end
    elseif write.kind == 'close' then
      redis.call('ZREM', KEYS[11], write.key)
      redis.call('ZADD', KEYS[12], num(now), write.key)
    elseif write.kind == 'job' then
      if enqueue(write.key, write.value, write.delay > 0 and now + write.delay or 0) then
        runnable = runnable + 1
      end
    end
  end
end
if #statuses > 0 then
  redis.call('HSET', STATUS, unpack(statuses))
end
if #operations > 0 then
  redis.call('HSET', OPS, unpack(operations))
end
if #jobs > 0 then
  redis.call('HSET', REPLIES, session, request .. '|' .. verdicts)
end

local result = reserve(session, token, count, lease_ms)
-- What this session could not take itself is for the others.
wake(math.max(0, runnable - (#result - 2)))
table.insert(result, 1, verdicts)
return result
