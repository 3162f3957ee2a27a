--[[ Paces the calls to the provider, of all replicas together: a token bucket, a hold after a 429, and
  a rate that halves on a 429 and grows back.

  KEYS[1] pace  hash  'tokens' -> what is in the bucket (1/60,000,000 token), 'at' -> since when (ms);
                      'hold' -> until when only money-saving calls are made (ms), 'save_hold' -> until
                      when not even those; 'share' -> the rate since the last 429 (1/1000 of the limit);
                      'strikes' -> 429s in a row; 'reports' -> ids of the latest 429s
  ARGV    limit (calls per minute), lane ('save', 'create' or 'observe'), tokens wanted (0 for none);
          of each 429 that was met: an id, its Retry-After (ms; '' for none), a random 0 to 1000
  Returns { tokens granted, wait until the lane may have one (ms; 0 unless none was granted),
          left of the hold (ms), left of the hold for money-saving calls (ms),
          tokens left (1/1000 token), effective rate (1/1000 call per minute) }
  Keeps   what is granted within any time is at most the limit for that time and one burst.
  Repeatable: a 429 counts once under its id; tokens whose grant was lost are not used by anybody.
  Commands: 4; 3 when nothing is granted and nothing reported ]]
local billed = 1
local function call(...)
  billed = billed + 1
  return redis.call(...)
end

local TOKEN = 60000000
-- A burst is what the effective rate gives in this time, and never less than so many tokens.
local BURST_MS, BURST_TOKENS = 10000, 5
-- What a lane leaves in the bucket for those before it, in % of the burst.
local FLOORS = { save = 0, create = 20, observe = 40 }
-- The rate is never less than this share, and wins one thousandth in this time: 5 % in 10 s.
local SHARE_FULL, SHARE_LEAST, SHARE_MS = 1000, 100, 200
-- Bounds of a hold (ms): a made-up one, any one, and one of calls that save money.
local HOLD_BASE, HOLD_CAP, HOLD_MAX, SAVE_HOLD_MAX = 1000, 60000, 300000, 60000
-- Without a 429 for so long (ms) after a hold, the next one is the first of its kind again.
local QUIET = 60000
-- Ids remembered: more than can be under way at a time.
local REPORTS = 16

local limit, lane, wanted = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local floor_percent = FLOORS[lane]
if not (limit and limit >= 1 and wanted and floor_percent) then
  return redis.error_reply('ERR pace: a limit, a lane and a number of tokens are needed')
end

local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local fields = call('HMGET', KEYS[1],
  'at', 'tokens', 'hold', 'save_hold', 'share', 'strikes', 'reports')
local at = tonumber(fields[1]) or now
-- A clock that was set back must not make a hold endless.
local hold = math.min(tonumber(fields[3]) or 0, now + HOLD_MAX)
local save_hold = math.min(tonumber(fields[4]) or 0, now + SAVE_HOLD_MAX)
-- Nothing is learned while nothing is called, so the rate grows from the end of the hold.
local grown = math.floor(math.max(0, now - hold) / SHARE_MS)
local share = math.min(SHARE_FULL, (tonumber(fields[5]) or SHARE_FULL) + grown)
local strikes = tonumber(fields[6]) or 0
local reports = fields[7] or ''

-- What the bucket holds at most.
local function burst()
  return math.max(BURST_TOKENS * TOKEN, limit * share * BURST_MS)
end

local tokens = (tonumber(fields[2]) or burst()) + math.max(0, now - at) * limit * share

-- A 429 during a hold belongs to the same event as the one before: it may lengthen the hold only.
local function limited(retry_after, random)
  local asked = math.min(retry_after or 0, HOLD_MAX)
  if now >= hold then
    strikes = now - hold < QUIET and strikes + 1 or 1
    share = math.max(SHARE_LEAST, math.floor(share / 2))
    if asked == 0 then
      local bound = math.min(HOLD_CAP, HOLD_BASE * 2 ^ math.min(strikes, 10))
      hold = now + HOLD_BASE + math.floor((bound - HOLD_BASE) * random / 1000)
    end
  end
  hold = math.max(hold, now + asked)
  save_hold = math.max(save_hold, now + math.min(asked, SAVE_HOLD_MAX))
end

local has_news = false
for i = 4, #ARGV, 3 do
  local id = ARGV[i] .. ';'
  if not string.find(reports, id, 1, true) then
    has_news = true
    reports = string.sub(reports .. id, -REPORTS * #id)
    limited(tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]) or 0)
  end
end

tokens = math.min(burst(), tokens)
local held_until = lane == 'save' and save_hold or hold
local granted, wait = 0, 0
if held_until > now then
  wait = held_until - now
elseif wanted > 0 then
  local floor = math.floor(burst() * floor_percent / 100)
  granted = math.max(0, math.min(wanted, math.floor((tokens - floor) / TOKEN)))
  if granted == 0 then
    wait = math.ceil((floor + TOKEN - tokens) / (limit * share))
  end
  tokens = tokens - granted * TOKEN
end

local function num(n)
  return string.format('%.0f', n)
end
if has_news then
  call('HSET', KEYS[1], 'at', num(now), 'tokens', num(tokens), 'hold', num(hold),
    'save_hold', num(save_hold), 'share', num(share), 'strikes', num(strikes), 'reports', reports)
elseif granted > 0 or now < at then
  call('HSET', KEYS[1], 'at', num(now), 'tokens', num(tokens))
end
return { billed, {
  granted, wait, math.max(0, hold - now), math.max(0, save_hold - now),
  math.floor(tokens / (TOKEN / 1000)), limit * share,
} }
