--[[ Extends leases, whatever their number, for a worker that is still at the jobs.

  KEYS[1..5] see the head
  ARGV    lease_ms, then per job: id, token, '1' to mark that it runs alone
  Returns per job 1, or 0 when another holder has it. The token of a marked one has a '!' at its end.
  Repeatable.
  Commands: 5 for any number of jobs, 3 when none is held, + 1 when any is marked, + 1 when one had
  expired and its kind was paused since ]]
local lease_ms = take_number()
local ids, tokens, alone = {}, {}, {}
while position < #ARGV do
  ids[#ids + 1], tokens[#tokens + 1], alone[#alone + 1] = take(), take(), take() == '1'
end
local verdicts, timers, held, marks = {}, {}, {}, {}
local leases, names = leases_of(ids)
for i, lease in ipairs(leases) do
  local marked = tokens[i] .. '!'
  local is_mine = lease and (lease.token == tokens[i] or alone[i] and lease.token == marked)
  verdicts[i] = is_mine and 1 or 0
  if is_mine then
    held[#held + 1] = ids[i]
    timers[#timers + 1], timers[#timers + 2] = num(now + lease_ms), names[i]
    if alone[i] then
      lease.token = marked
      marks[#marks + 1], marks[#marks + 2] = names[i], format_lease(lease)
    end
  end
end
if #held > 0 then
  -- A removal comes first: it goes through when there is no memory left, and opens the way for the rest.
  local found = call('ZREM', READY, unpack(held))
  local expired = call('ZADD', TIMERS, unpack(timers))
  if expired > found then
    unpark_all(held)
  end
  if #marks > 0 then
    call('HSET', JOBS, unpack(marks))
  end
end
return answer(verdicts)
