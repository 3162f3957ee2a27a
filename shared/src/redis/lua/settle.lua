--[[ Applies what reserved jobs came to, each under its token, and reserves the next, in one step.

  KEYS[1..5] see the head
  KEYS[6]  status   hash  instance id -> status
  KEYS[7]  ops      hash  operation id -> operation
  KEYS[8]  names    hash  name -> instance id
  KEYS[9]  replies  hash  session -> "request|verdicts" of its last settle
  KEYS[10] index    zset  instance id by the time it was accepted (ms)
  KEYS[11] closed   zset  instance id by the time it was closed (ms)
  KEYS[12] budget  hash     see its head
  KEYS[13] feed    stream  what happened to whom: events of all instances, in order, the newest ones
  KEYS[14...] events  list  of each instance that has new events, oldest first; also the hash of
        stock-outs, the log of deliveries and other hashes, when there is something to change in them

  ARGV  session, request number, '1' if repeated, number of groups of jobs
        per group: token, '1' if all are done without anything to write, number of jobs
          per job: id, and unless so: verdict, delay (ms), error, number of writes, the writes
          verdict  done | at (again after delay) | retry (the same, counts an error) |
                   crash (the same, counts as if its holder had vanished) |
                   dead (unless it was wanted again meanwhile: then it begins anew) |
                   release (not started: back, and no attempt spent) | hold (the same, after delay)
          write    'status' instance id, status | 'op' operation id, operation |
                   'event' index of its list in KEYS, event | 'unname' name, instance id |
                   'close' instance id, '' |
                   'set' index of a hash in KEYS, field, value | 'unset' index of a hash in KEYS, field |
                   'delivery' index of the log of deliveries in KEYS, line |
                   'stock' index of the hash of stock-outs in KEYS, "word field" (see stock.lua) |
                   'reserve' instance id, "units|generation" (ignored if one of a later generation
                   is stored) |
                   'job' id, body, delay (ms)
        then the reserve: token, count, lease_ms, as in reserve.lua whether it sleeps and was woken
  Returns { verdicts, and what a reserve returns... } where verdicts has one digit per job:
        1 applied, 0 stale (another holder: nothing was changed)
  Repeatable: with '1' the verdicts of an applied first call are told again, and so are the jobs that
        it reserved. A first call that comes after its repetition changes nothing and reserves nothing.
  Commands: 3 + those of its reserve, for any number of jobs; + 1 each when any job is done for
        good or begins anew, is kept (retry, dead, release, hold), due now, delayed, dead, was late, was late
        and of a kind that was paused since, writes a status, writes an operation; + 2 per event, + 1 when there are any, + 2
        per name (1 when it was free), + 2 per closed instance; + 2 when there are reservations (1 when
        none of them counts), + 1 when any of them is released; + 1 per hash that has fields set, + 1 per
        hash that has fields removed; + 2 when there are lines for the log of deliveries;
        + 1 when there are notes of stock, + 1 when any is set, + 1 when any is dropped; + those of an
        enqueue (less 2) when there are follow-up jobs; + 1 when an instance has news: a status, an operation or an event; + 1 when jobs became due that it did not reserve
        itself, + 1 per sleeper woken (at most 4); all stale + 1; repeated 6, less when it had leased
        nothing, and one more than the first when that was not applied ]]
local STATUS, OPS, NAMES, REPLIES, INDEX, CLOSED = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local BUDGET, FEED = KEYS[12], KEYS[13]
local FEED_KEPT = 5000
local EVENTS_KEPT = 500
local LOG_KEPT = 2000
local DELIVERIES_KEPT = 10000

local session, request, is_repeat = take(), take(), take() == '1'

-- What is told of a job that is not simply done.
local function read_job()
  local job = { verdict = take(), delay = take_number(), error = take(), writes = {} }
  for w = 1, take_number() do
    local write = { kind = take(), key = take(), value = take() }
    if write.kind == 'job' then
      write.delay = take_number()
    elseif write.kind == 'set' then
      write.stored = take()
    end
    job.writes[w] = write
  end
  return job
end

-- By the place of each job: its id, the lease that a first attempt under its token has, and what is told
-- of it, if anything.
local ids, fresh, told = {}, {}, {}
for _ = 1, take_number() do
  local token, is_plain = take(), take() == '1'
  local lease = FRESH .. token .. '|'
  for _ = 1, take_number() do
    local n = #ids + 1
    ids[n] = take()
    fresh[n] = lease
    told[n] = not is_plain and read_job()
  end
end
local token, count, lease_ms, listed = take(), take_number(), take_number(), take()
local pass_on = take() == '1'

local function last_reply()
  local done_request, verdicts = string.match(call('HGET', REPLIES, session) or '', '^(%d+)|(%d*)$')
  return tonumber(done_request or -1), verdicts
end

if is_repeat then
  local done_request, verdicts = last_reply()
  if done_request == tonumber(request) then
    local again = reserve_again(token, lease_ms)
    table.insert(again, 1, verdicts)
    return answer(again)
  end
end

-- First what frees memory, then what takes it.
local timers, dropped = {}, {}
local kept, ready, delayed, buried, runnable = {}, {}, {}, {}, 0

-- Everything is checked before anything is written.
local verdicts, mine = {}, {}
if #ids > 0 then
  local names = names_of(ids)
  local leases = call('HMGET', JOBS, unpack(names))
  for i, id in ipairs(ids) do
    verdicts[i] = '1'
    if not told[i] and leases[i] == fresh[i] then
      -- Most jobs are done at their first attempt: no more than this is needed for them.
      timers[#timers + 1] = names[i]
      dropped[#dropped + 1], dropped[#dropped + 2] = names[i], id
    else
      local job = told[i] or { verdict = 'done', error = '', writes = {} }
      job.id, job.name, job.lease = id, names[i], parse_lease(leases[i])
      if job.lease and job.lease.token == string.sub(fresh[i], #FRESH + 1, -2) then
        mine[#mine + 1] = job
      else
        verdicts[i] = '0'
      end
    end
  end
  if #mine + #timers == 0 and last_reply() >= tonumber(request) then
    return answer({ table.concat(verdicts), num(now), num(now), 0 })
  end
end
verdicts = table.concat(verdicts)

-- So much of the errors is kept, and no half of a character.
local function cut(log)
  if #log <= LOG_KEPT then
    return log
  end
  return (string.gsub(string.sub(log, 1, LOG_KEPT), '[\192-\255]?[\128-\191]*$', ''))
end

local function drop_lease(job)
  dropped[#dropped + 1] = job.name
end

local function keep_lease(job, token)
  job.lease.token = token
  kept[#kept + 1], kept[#kept + 2] = job.name, format_lease(job.lease)
end

local function run_at(job, due)
  if due <= now then
    ready[#ready + 1], ready[#ready + 2] = at_front(now), job.id
    runnable = runnable + 1
  else
    delayed[#delayed + 1], delayed[#delayed + 2] = num(due), 'd:' .. job.id
  end
end

-- What becomes of a job by its verdict, and the time at which it was wanted again meanwhile, if it was.
local settle = {
  ['done'] = function(job, again)
    drop_lease(job)
    if again then
      run_at(job, again)
    else
      dropped[#dropped + 1] = job.id
    end
  end,
  ['at'] = function(job, again)
    drop_lease(job)
    run_at(job, math.min(now + job.delay, again or math.huge))
  end,
  ['retry'] = function(job, again)
    keep_lease(job, '')
    run_at(job, math.min(now + job.delay, again or math.huge))
  end,
  ['crash'] = function(job, again)
    keep_lease(job, '')
    run_at(job, math.min(now + job.delay, again or math.huge))
  end,
  ['dead'] = function(job, again)
    if again then
      drop_lease(job)
      run_at(job, again)
    else
      keep_lease(job, '!dead')
      buried[#buried + 1], buried[#buried + 2] = num(now), job.id
    end
  end,
  ['release'] = function(job)
    job.lease.attempt = job.lease.attempt - 1
    keep_lease(job, '')
    run_at(job, now)
  end,
  ['hold'] = function(job, again)
    job.lease.attempt = job.lease.attempt - 1
    keep_lease(job, '')
    run_at(job, math.min(now + job.delay, again or math.huge))
  end,
}

for _, job in ipairs(mine) do
  local lease, again = job.lease, job.lease.again
  timers[#timers + 1] = job.name
  lease.again = nil
  if job.verdict == 'crash' then
    lease.crashes = lease.crashes + 1
  elseif job.verdict == 'retry' or job.verdict == 'dead' then
    lease.errors = lease.errors + 1
  end
  if job.error ~= '' then
    lease.log = cut(job.error .. '\n' .. lease.log)
  end
  settle[job.verdict](job, again)
end

if #timers > 0 then
  local expired = #timers - call('ZREM', TIMERS, unpack(timers))
  if expired > 0 then
    for i, member in ipairs(timers) do
      timers[i] = string.sub(member, 3)
    end
    take_back(timers, expired)
  end
end

-- Replaces reservations of the budget, but for those that a later wish has made.
local function replace_reservations(wanted)
  local fields = { 'total' }
  for i, write in ipairs(wanted) do
    fields[i + 1] = write.key
  end
  local stored = call('HMGET', BUDGET, unpack(fields))
  local total, set, released = tonumber(stored[1] or 0), {}, {}
  for i, write in ipairs(wanted) do
    local units, generation = reserved(write.value)
    local held, held_generation = reserved(stored[i + 1])
    local changes_nothing = units == 0 and held == 0
    if generation >= held_generation and not changes_nothing then
      total = total + units - held
      if units > 0 then
        set[#set + 1], set[#set + 2] = write.key, write.value
      else
        released[#released + 1] = write.key
      end
    end
  end
  if #set + #released > 0 then
    call('HSET', BUDGET, 'total', num(total), unpack(set))
  end
  if #released > 0 then
    call('HDEL', BUDGET, unpack(released))
  end
end

-- Appends to the ring of deliveries, over its oldest lines. A log that is none costs its lines, not the
-- result.
local function log_deliveries(log, added)
  billed = billed + 2
  local last = redis.pcall('HINCRBY', log, 'n', #added)
  if type(last) ~= 'number' then
    return
  end
  local fields = {}
  for i, line in ipairs(added) do
    local number = last - #added + i
    fields[2 * i - 1], fields[2 * i] = num(number % DELIVERIES_KEPT), num(number) .. '|' .. line
  end
  redis.pcall('HSET', log, unpack(fields))
end

-- What the jobs found out, before what says that they are over: an error half-way loses no result.
local statuses, operations, follow_ups, reservations = {}, {}, {}, {}
local notes, stock_key = {}, nil
local lines, log_key = {}, nil
-- Position of a hash in KEYS -> what is set in it, what is removed from it.
local set_fields, unset_fields = {}, {}
local function fields_of(hashes, position)
  local fields = hashes[position] or {}
  hashes[position] = fields
  return fields
end
local changed, news = {}, {}
for _, job in ipairs(mine) do
  local is_news = false
  for _, write in ipairs(job.writes) do
    is_news = is_news or write.kind == 'status' or write.kind == 'op' or write.kind == 'event'
    if write.kind == 'status' then
      statuses[#statuses + 1], statuses[#statuses + 2] = write.key, write.value
    elseif write.kind == 'op' then
      operations[#operations + 1], operations[#operations + 2] = write.key, write.value
    elseif write.kind == 'event' then
      local list = KEYS[tonumber(write.key)]
      -- A list that is none costs its events, not the result.
      billed = billed + 2
      redis.pcall('RPUSH', list, write.value)
      redis.pcall('LTRIM', list, -EVENTS_KEPT, -1)
      news[#news + 1], news[#news + 2] = 'event', write.value
    elseif write.kind == 'unname' then
      if call('HGET', NAMES, write.key) == write.value then
        call('HDEL', NAMES, write.key)
      end
    elseif write.kind == 'close' then
      call('ZREM', INDEX, write.key)
      call('ZADD', CLOSED, num(now), write.key)
    elseif write.kind == 'set' then
      local fields = fields_of(set_fields, tonumber(write.key))
      fields[#fields + 1], fields[#fields + 2] = write.value, write.stored
    elseif write.kind == 'unset' then
      local fields = fields_of(unset_fields, tonumber(write.key))
      fields[#fields + 1] = write.value
    elseif write.kind == 'stock' then
      local word, field = string.match(write.value, '^(%a+) (.*)$')
      stock_key, notes[#notes + 1] = KEYS[tonumber(write.key)], { word = word, field = field }
    elseif write.kind == 'delivery' then
      log_key, lines[#lines + 1] = KEYS[tonumber(write.key)], write.value
    elseif write.kind == 'reserve' then
      reservations[#reservations + 1] = write
    elseif write.kind == 'job' then
      local due = write.delay > 0 and now + write.delay or 0
      follow_ups[#follow_ups + 1] = { id = write.key, body = write.value, due = due }
    end
  end
  changed[#changed + 1] = is_news and string.match(job.id, '^instance:(.+)$') or nil
end
-- Before the status, which says that they are made.
if #reservations > 0 then
  replace_reservations(reservations)
end
if #statuses > 0 then
  call('HSET', STATUS, unpack(statuses))
end
if #operations > 0 then
  call('HSET', OPS, unpack(operations))
end
-- A key that is no hash costs its fields, not the result.
for place, fields in pairs(unset_fields) do
  billed = billed + 1
  redis.pcall('HDEL', KEYS[place], unpack(fields))
end
for place, fields in pairs(set_fields) do
  billed = billed + 1
  redis.pcall('HSET', KEYS[place], unpack(fields))
end
if stock_key then
  note_stock(stock_key, notes)
end
if log_key then
  log_deliveries(log_key, lines)
end
if #dropped > 0 then
  call('HDEL', JOBS, unpack(dropped))
end
if #kept > 0 then
  call('HSET', JOBS, unpack(kept))
end
if #ready > 0 then
  call('ZADD', READY, unpack(ready))
end
if #delayed > 0 then
  call('ZADD', TIMERS, unpack(delayed))
end
if #buried > 0 then
  call('ZADD', DEAD, unpack(buried))
end

if #ids > 0 then
  call('HSET', REPLIES, session, request .. '|' .. verdicts)
end

runnable = runnable + enqueue(follow_ups)
if #news > 0 then
  -- Whoever follows reads on from the lists; a feed that is none costs them the news, not the result.
  billed = billed + 1
  redis.pcall('XADD', FEED, 'MAXLEN', '~', FEED_KEPT, '*', unpack(news))
end
if #changed > 0 then
  announce(table.concat(changed, ' '))
end

local result = reserve(session, token, count, lease_ms, listed, pass_on)
-- What this session could not take itself is for the others.
wake(runnable - (#result - 3) / MEMBERS)
table.insert(result, 1, verdicts)
return answer(result)
