--[[ One job.

  KEYS[1..5] see the head
  ARGV    id
  Returns { now } when there is none, else { now, state, at, lease, body } as in list.lua
  Repeatable.
  Commands: 3 when there is none; dead or ready 4; leased 5; delayed or paused 6 ]]
local id = take()
local stored = bodies_and_leases({ id })
local body, lease = stored[1], stored[2] or ''
if not body then
  return answer({ num(now) })
end

local function place()
  local is_dead = lease ~= '' and parse_lease(lease).token == '!dead'
  if is_dead then
    return 'dead', call('ZSCORE', DEAD, id)
  end
  local ready = call('ZSCORE', READY, id)
  if ready then
    local held = parse_lease(stored[2])
    return 'due', runnable_since(tonumber(ready), body, held and held.token ~= '')
  end
  local ends = call('ZSCORE', TIMERS, 'l:' .. id)
  if ends then
    return tonumber(ends) > now and 'leased' or 'due', ends
  end
  local due = tonumber(call('ZSCORE', TIMERS, 'd:' .. id) or now)
  if due > PARKED then
    return 'paused', -1
  end
  return due > now and 'delayed' or 'due', due
end

local state, at = place()
return answer({ num(now), state, num(tonumber(at)), lease, body })
