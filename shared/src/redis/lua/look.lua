-- What administration sees of the timers: so many of them, from the first to fall due.
local SEEN = 5000

-- Sorts the timers by what they stand for. Leases that ended and jobs whose time has come count as
-- due, also before anybody looked. Returns lists of { id, at } and the paused kinds, and whether these
-- are all timers.
local function timers_by_state()
  local found = call('ZRANGE', TIMERS, 0, SEEN - 1, 'WITHSCORES')
  local seen = { due = {}, leased = {}, delayed = {}, paused = {} }
  local kinds = {}
  for i = 1, #found, 2 do
    local tag, name, at = string.sub(found[i], 1, 2), string.sub(found[i], 3), tonumber(found[i + 1])
    if tag == 'p:' then
      kinds[#kinds + 1] = name
    elseif tag ~= 'r:' then
      local state = tag == 'l:' and 'leased' or at > PARKED and 'paused' or 'delayed'
      local list = seen[at <= now and 'due' or state]
      list[#list + 1] = { id = name, at = at }
    end
  end
  return seen, kinds, #found < 2 * SEEN
end
