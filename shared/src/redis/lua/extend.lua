--[[ Extends leases, whatever their number, for a worker that is still at the jobs.

  KEYS[1..5] see the head
  ARGV    lease_ms, then per job: id, token
  Returns per job 1, or 0 when another holder has it
  Repeatable.
  Commands: 4 for any number of jobs, + 1 when one had expired, + 1 when its kind was paused since ]]
local lease_ms = take_number()
local ids, tokens = {}, {}
while position < #ARGV do
  ids[#ids + 1], tokens[#tokens + 1] = take(), take()
end
local verdicts, timers, held = {}, {}, {}
for i, lease in ipairs(leases_of(ids)) do
  local is_mine = lease and lease.token == tokens[i]
  verdicts[i] = is_mine and 1 or 0
  if is_mine then
    held[#held + 1] = ids[i]
    timers[#timers + 1], timers[#timers + 2] = num(now + lease_ms), 'l:' .. ids[i]
  end
end
local expired = #held > 0 and call('ZADD', TIMERS, unpack(timers)) or 0
if expired > 0 then
  take_back(held, expired)
end
return answer(verdicts)
