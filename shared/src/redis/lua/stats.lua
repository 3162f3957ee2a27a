--[[ The queue in numbers.

  KEYS[1..5] see the head
  Returns { now, due, leased, delayed, paused, dead, age of the oldest due job (ms), 1 if the counts
          of leased and delayed jobs are complete, paused kinds... }
  With more than 5000 timers, leased jobs are those among the first 5000; the rest counts as delayed.
  Repeatable.
  Commands: 5; + 2 when any job is ready, + 2 when there are more than 5000 timers ]]
local seen, kinds, complete = timers_by_state()
local ready = call('ZCARD', READY)
local oldest = seen.due[1] and seen.due[1].at or now
if ready > 0 then
  local first = call('ZRANGE', READY, 0, 0, 'WITHSCORES')
  local stored = bodies_and_leases({ first[1] })
  local lease = parse_lease(stored[2])
  local since = runnable_since(tonumber(first[2]), stored[1], lease and lease.token ~= '')
  oldest = math.min(oldest, since)
end
local delayed, paused = #seen.delayed, #seen.paused
if not complete then
  paused = call('ZCOUNT', TIMERS, num(PARKED), '+inf')
  delayed = call('ZCARD', TIMERS) - #kinds - #seen.due - #seen.leased - paused
end
local result = {
  num(now), ready + #seen.due, #seen.leased, delayed, paused, call('ZCARD', DEAD),
  num(math.max(0, now - oldest)), complete and 1 or 0,
}
for _, kind in ipairs(kinds) do
  result[#result + 1] = kind
end
return answer(result)
