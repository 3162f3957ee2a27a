--[[ A page of the jobs in one state.

  KEYS[1..5] see the head
  ARGV    state (due | leased | delayed | paused | dead), offset, limit (1 to 100)
  Returns { now, number in this state, { id, at, lease, body }... } where `at` is, in ms, for
          due: runnable since; leased: its lease ends; delayed: due; dead: given up; paused: -1.
          The next in time come first, of the dead the last. Of jobs that are no longer ready or dead,
          the first 5000 timers are seen.
  Repeatable.
  Commands: 3, dead 4, due 5; + 1 when any job is told ]]
local state, offset, limit = take(), take_number(), take_number()
local last = offset + limit - 1
local rows, total = {}, 0

local function add(list, from)
  for i = from, math.min(#list, from + limit - #rows - 1) do
    rows[#rows + 1] = list[i]
  end
end

local function add_range(key, ...)
  total = total + call('ZCARD', key)
  local found = call('ZRANGE', key, offset, last, 'WITHSCORES', ...)
  for i = 1, #found, 2 do
    rows[#rows + 1] = { id = found[i], at = tonumber(found[i + 1]) }
  end
end

if state == 'dead' then
  add_range(DEAD, 'REV')
else
  local seen = timers_by_state()[state]
  if state == 'due' then
    add_range(READY)
    for _, row in ipairs(rows) do
      row.is_ready = true
    end
  end
  add(seen, math.max(0, offset - total) + 1)
  total = total + #seen
end

local result = { num(now), total }
if #rows > 0 then
  local ids = {}
  for i, row in ipairs(rows) do
    ids[i] = row.id
  end
  local stored = bodies_and_leases(ids)
  for i, row in ipairs(rows) do
    local body, lease = stored[2 * i - 1] or '', stored[2 * i] or ''
    if row.is_ready then
      local held = parse_lease(stored[2 * i])
      row.at = runnable_since(row.at, body, held and held.token ~= '')
    end
    result[#result + 1] = { row.id, state == 'paused' and -1 or num(row.at), lease, body }
  end
end
return answer(result)
