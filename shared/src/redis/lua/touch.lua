--[[ Notes that an instance was used.

  KEYS[1] spec       hash  instance id -> spec
  KEYS[2] last_used  hash  instance id -> when it was used last (ms)
  ARGV    instance id, when it was used (ms; '' for now), the latest time that is taken (ms from now),
          the channel on which changes are told
  Returns when it was used last by all that is known, or -1 when there is no such instance
  Repeatable; an earlier time than the one that is stored changes nothing.
  Commands: 6, or 4 when nothing changes, 3 when there is no such instance ]]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return { 3, -1 }
end
local used = math.min(tonumber(ARGV[2]) or now, now + tonumber(ARGV[3]))
local known = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
if used <= known then
  return { 4, known }
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', used))
redis.call('PUBLISH', ARGV[4], ARGV[1])
return { 6, used }
