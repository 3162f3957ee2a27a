--[[ Extends leases, whatever their number, for a worker that is still at the jobs.

  KEYS[1..5] see the head
  ARGV    lease_ms, then per job: id, token
  Returns per job 1, or 0 when another holder has it
  Repeatable.
  Commands: 4 for any number of jobs, + 1 when one had expired ]]
local lease_ms = take_number()
local ids, tokens = {}, {}
while position < #ARGV do
  ids[#ids + 1], tokens[#tokens + 1] = take(), take()
end
local stored = redis.call('HMGET', LEASES, unpack(ids))
local verdicts, timers, held = {}, {}, {}
for i, id in ipairs(ids) do
  local lease = parse_lease(stored[i])
  local is_mine = lease ~= nil and lease.token == tokens[i]
  verdicts[i] = is_mine and 1 or 0
  if is_mine then
    held[#held + 1] = id
    timers[#timers + 1], timers[#timers + 2] = num(now + lease_ms), 'l:' .. id
  end
end
if #held > 0 and redis.call('ZADD', TIMERS, unpack(timers)) > 0 then
  redis.call('ZREM', READY, unpack(held))
end
return verdicts
