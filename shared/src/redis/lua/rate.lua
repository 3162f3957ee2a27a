--[[ Takes requests out of what a caller may ask within a window that begins with its first one.

  KEYS[1] rate  string  requests taken in this window; expires with it
  ARGV    how many are wanted, how many there are in a window, its length (ms)
  Returns { how many are granted, how many are left, ms to the end of the window }
  Not repeatable: a repetition takes again, so that callers get fewer requests and never more.
  Commands: 3, or 4 when it is not the first of its window and something is granted ]]
local wanted, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local taken = tonumber(redis.call('GET', KEYS[1]) or 0)
local granted = math.max(0, math.min(wanted, limit - taken))
if taken == 0 then
  redis.call('SET', KEYS[1], granted, 'PX', ARGV[3])
  return { 3, { granted, limit - granted, tonumber(ARGV[3]) } }
end
local left = redis.call('PTTL', KEYS[1])
if granted > 0 then
  redis.call('INCRBY', KEYS[1], granted)
end
return { granted > 0 and 4 or 3, { granted, math.max(0, limit - taken - granted), left } }
