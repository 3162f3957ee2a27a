--[[ Head of every script that moves jobs.

  KEYS[1] ready   zset  job id by virtual deadline (ms): runnable now, lowest first
  KEYS[2] timers  zset  "d:<id>" by due time, "l:<id>" by lease expiry (ms)
  KEYS[3] jobs    hash  job id -> body: one digit of priority, then JSON; written once
  KEYS[4] leases  hash  job id -> "attempt|crashes|errors|again|token|last error"
  KEYS[5] idle    zset  worker session by the time it fell asleep (ms)

  Keeps: every unfinished job id has a body and is in exactly one of: ready, timers as "d:",
  timers as "l:", dead. A token that is not empty names the holder; it stays when the lease expires,
  so that a late holder is still heard as long as nobody else took the job.

  Time is Redis's own. Numbers become text by num(), because Lua would print 1.7e+12. ]]
local READY, TIMERS, JOBS, LEASES, IDLE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local clock = redis.call('TIME')
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

local function offset_of(body)
  return OFFSETS[string.sub(body or '', 1, 1)] or 0
end

local function parse_lease(text)
  if not text then
    return nil
  end
  local attempt, crashes, errors, again, token, last_error =
    string.match(text, '^(%d+)|(%d+)|(%d+)|(%d*)|([^|]*)|(.*)$')
  return {
    attempt = tonumber(attempt),
    crashes = tonumber(crashes),
    errors = tonumber(errors),
    again = tonumber(again),
    token = token,
    last_error = last_error,
  }
end

local function format_lease(lease)
  return table.concat({
    num(lease.attempt), num(lease.crashes), num(lease.errors),
    lease.again and num(lease.again) or '', lease.token, lease.last_error,
  }, '|')
end

-- Makes job `id` runnable at `due` (ms, 0 for now). One that waits keeps the earlier time; one that
-- is held will run once more after it settled. True when it became runnable now.
local function enqueue(id, body, due)
  local known = redis.call('HSETNX', JOBS, id, body) == 0
  if known then
    local lease = parse_lease(redis.call('HGET', LEASES, id))
    if lease and lease.token ~= '' then
      if not lease.again or lease.again > due then
        lease.again = due
        redis.call('HSET', LEASES, id, format_lease(lease))
      end
      return false
    end
  end
  if due <= now then
    redis.call('ZADD', READY, 'LT', num(now + offset_of(body)), id)
    if known then
      redis.call('ZREM', TIMERS, 'd:' .. id)
    end
    return true
  end
  if not (known and redis.call('ZSCORE', READY, id)) then
    redis.call('ZADD', TIMERS, 'LT', num(due), 'd:' .. id)
  end
  return false
end

-- Wakes one sleeping session per job that became runnable, at most four: enough to start, no herd.
local function wake(count)
  if count == 0 then
    return
  end
  local sleepers = redis.call('ZPOPMIN', IDLE, math.min(count, 4))
  for i = 1, #sleepers, 2 do
    redis.call('PUBLISH', IDLE .. ':' .. sleepers[i], 'wake')
  end
end
