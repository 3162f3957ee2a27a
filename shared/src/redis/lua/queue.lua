--[[ Head of every script that touches jobs.

  KEYS[1] ready   zset  job id by virtual deadline (ms): runnable now, lowest first
  KEYS[2] timers  zset  "d:<id>" by due time, "l:<id>" by lease expiry (ms);
                        "p:<kind>" at 0 pauses a kind ("*": all), "r:<kind>" at 0 while it resumes
  KEYS[3] jobs    hash  job id -> body: one digit of priority, then JSON;
                        "l:<id>" -> lease "attempt|crashes|errors|again|token|errors, newest first"
  KEYS[4] idle    zset  worker session by the time it fell asleep (ms)
  KEYS[5] dead    zset  job id by the time it was given up (ms)

  Keeps: every unfinished job id has a body and is in exactly one of: ready, timers as "d:",
  timers as "l:", dead. A token that is not empty names the holder; it stays when the lease expires,
  so that a late holder is still heard as long as nobody else took the job; it ends with '!' while the
  job runs alone, because workers vanished with it before. The kind of a job is what
  stands before the first colon of its id. A job of a paused kind waits as "d:" in the far future.

  Every script returns { commands it cost, itself included; its result }. Where a header counts woken
  sleepers, one whose process died costs two more: itself, and the look for the next.
  Time is Redis's own. Numbers become text by num(), because Lua would print 1.7e+12. ]]
local READY, TIMERS, JOBS, IDLE, DEAD = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local billed = 1
local function call(...)
  billed = billed + 1
  return redis.call(...)
end

local function answer(result)
  return { billed, result }
end

local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function num(n)
  return string.format('%.0f', n)
end

local position = 0
-- The next argument.
local function take()
  position = position + 1
  return ARGV[position]
end
local function take_number()
  return tonumber(take())
end

-- How much later than its time a job of each priority counts: critical, high, normal, low. An idle
-- queue runs everything at once; a full one lets a job be overtaken by at most its offset.
local OFFSETS = { ['0'] = 0, ['1'] = 10000, ['2'] = 60000, ['3'] = 600000 }
-- A job whose holder vanished goes before all that became runnable at the same time.
local RECOVERED_OFFSET = -600000

local function offset_of(body)
  return OFFSETS[string.sub(body or '', 1, 1)] or 0
end

-- The score of a job that got on and goes on at once: before those that only begin. The fraction
-- tells that it has no offset.
local function at_front(time)
  return num(time) .. '.5'
end

-- Since when a job of ready is runnable.
local function runnable_since(score, body, is_recovered)
  if score % 1 > 0 then
    return math.floor(score)
  end
  return score - (is_recovered and RECOVERED_OFFSET or offset_of(body))
end

-- The times at which jobs of a paused kind wait, beyond all others: one per kind, so that they can
-- be found again.
local PARKED = 9000000000000000
local PARKED_AT = { instance = PARKED + 1, webhook = PARKED + 2, cron = PARKED + 3 }
local function parked_at(kind)
  -- One that this version does not know.
  return num(PARKED_AT[kind] or PARKED + 9)
end

local function kind_of(id)
  return string.match(id, '^(%a+):')
end

-- Most leases are those of a first attempt: what is said of all of them needs no parser.
local FRESH = '1|0|0||'

local function parse_lease(text)
  if not text then
    return nil
  end
  local fresh = string.match(text, '^1|0|0||([^|]*)|$')
  if fresh then
    return { attempt = 1, crashes = 0, errors = 0, token = fresh, log = '' }
  end
  local attempt, crashes, errors, again, token, log =
    string.match(text, '^(%d+)|(%d+)|(%d+)|(%d*)|([^|]*)|(.*)$')
  -- What another version may have written must not cost the jobs that are handled together with it.
  return attempt and {
    attempt = tonumber(attempt),
    crashes = tonumber(crashes),
    errors = tonumber(errors),
    again = tonumber(again),
    token = token,
    log = log,
  }
end

local function format_lease(lease)
  return table.concat({
    num(lease.attempt), num(lease.crashes), num(lease.errors),
    lease.again and num(lease.again) or '', lease.token, lease.log,
  }, '|')
end

-- The names of the fields and timers of these jobs' leases.
local function names_of(ids)
  local names = {}
  for i, id in ipairs(ids) do
    names[i] = 'l:' .. id
  end
  return names
end

-- The leases of these jobs, `false` where there is none, and the names of their fields and timers.
local function leases_of(ids)
  local names = names_of(ids)
  local leases = call('HMGET', JOBS, unpack(names))
  for i = 1, #ids do
    leases[i] = parse_lease(leases[i]) or false
  end
  return leases, names
end

-- Body and lease of each of these jobs, as stored, and where the names of the leases are: at 2 * i.
local function bodies_and_leases(ids)
  local fields = {}
  for i, id in ipairs(ids) do
    fields[2 * i - 1], fields[2 * i] = id, 'l:' .. id
  end
  return call('HMGET', JOBS, unpack(fields)), fields
end

-- Takes jobs that may wait for their paused kind away from there.
local function unpark_all(ids)
  local parked = {}
  for i, id in ipairs(ids) do
    parked[i] = 'd:' .. id
  end
  call('ZREM', TIMERS, unpack(parked))
end

-- Takes jobs whose lease had ended back out of the line for their holder, or from where those of a
-- paused kind wait. `missing` tells how many of these jobs were not found under their lease.
local function take_back(ids, missing)
  if call('ZREM', READY, unpack(ids)) < missing then
    unpark_all(ids)
  end
end

-- Of jobs that are not all new: marks those that are held as wanted again, and takes the dead out of
-- the dead letter. Returns the others and the dead.
local function set_known_apart(jobs)
  local ids, free, marks, buried, spent = {}, {}, {}, {}, {}
  for i, job in ipairs(jobs) do
    ids[i] = job.id
  end
  for i, lease in ipairs(leases_of(ids)) do
    local job = jobs[i]
    if not lease or lease.token == '' then
      free[#free + 1] = job
    elseif lease.token == '!dead' then
      free[#free + 1] = job
      buried[#buried + 1], spent[#spent + 1] = job.id, 'l:' .. job.id
    elseif not lease.again or lease.again > job.due then
      lease.again = job.due
      marks[#marks + 1], marks[#marks + 2] = 'l:' .. job.id, format_lease(lease)
    end
  end
  if #buried > 0 then
    call('ZREM', DEAD, unpack(buried))
    call('HDEL', JOBS, unpack(spent))
  end
  if #marks > 0 then
    call('HSET', JOBS, unpack(marks))
  end
  return free
end

-- Makes jobs { id, body, due (ms) } runnable at their time. One that waits keeps the earlier time, as
-- does one that only waits for its kind to go on; one that is held runs once more after it settled;
-- one that is dead begins anew. Returns how many are runnable now.
local function enqueue(wanted)
  local jobs, by_id, bodies = {}, {}, {}
  for _, job in ipairs(wanted) do
    local twin = by_id[job.id]
    if twin then
      twin.due = math.min(twin.due, job.due)
    else
      jobs[#jobs + 1], by_id[job.id] = job, job
      bodies[#bodies + 1], bodies[#bodies + 2] = job.id, job.body
    end
  end
  if #jobs == 0 then
    return 0
  end
  local some_known = call('HSET', JOBS, unpack(bodies)) < #jobs
  if some_known then
    jobs = set_known_apart(jobs)
  end
  local ready, delays, later, later_ids, later_members = {}, {}, {}, {}, {}
  for _, job in ipairs(jobs) do
    if job.due <= now then
      ready[#ready + 1], ready[#ready + 2] = num(now + offset_of(job.body)), job.id
      delays[#delays + 1] = 'd:' .. job.id
    else
      later[#later + 1], later_ids[#later_ids + 1] = job, job.id
      later_members[#later_members + 1] = 'd:' .. job.id
    end
  end
  local timers = {}
  if #later > 0 then
    local in_line = some_known and call('ZMSCORE', READY, unpack(later_ids)) or {}
    local waits_until = some_known and call('ZMSCORE', TIMERS, unpack(later_members)) or {}
    for i, job in ipairs(later) do
      local is_parked = tonumber(waits_until[i] or 0) > PARKED
      if not in_line[i] and not is_parked then
        timers[#timers + 1], timers[#timers + 2] = num(job.due), later_members[i]
      end
    end
  end
  if #ready > 0 then
    call('ZADD', READY, 'LT', unpack(ready))
    if some_known then
      call('ZREM', TIMERS, unpack(delays))
    end
  end
  if #timers > 0 then
    call('ZADD', TIMERS, 'LT', unpack(timers))
  end
  return #delays
end

-- Wakes one sleeping session per job that became runnable, at most four: enough to start, no herd.
-- In place of one that nobody listens for, because its process died, the next is woken. (In a cluster
-- listeners at other nodes are not counted, so more are woken than are needed.)
local function wake(count)
  local wanted = math.min(count, 4)
  local tries = wanted + 16
  while wanted > 0 and tries > 0 do
    local sleepers = call('ZPOPMIN', IDLE, wanted)
    local are_all = #sleepers < 2 * wanted
    for i = 1, #sleepers, 2 do
      tries = tries - 1
      if call('PUBLISH', IDLE .. ':' .. sleepers[i], 'wake') > 0 then
        wanted = wanted - 1
      end
    end
    if are_all then
      return
    end
  end
end

-- Tells those who wait for it that this changed: ids of instances, separated by spaces, or '@fleet'.
local function announce(changed)
  local channel = string.gsub(IDLE, 'idle$', 'changes')
  call('PUBLISH', channel, changed)
end
