--[[ Part of settle: offers that could not be had lately.

  stockouts  hash  field -> "until|times|since" (ms): nobody asks before `until`; it happened `times`
                   times in a row, first at `since`. A field stands for an offer, a cluster, or the boots
                   of what was ordered from an offer.
  Keeps: what is older than half an hour is dropped by the next write, so the hash never outgrows the
  provider's catalogue. ]]
local STOCK_OUT, LONGEST_STOCK_OUT, STOCK_MEMORY = 180000, 900000, 1800000

local function stock_out(times)
  return now + math.min(STOCK_OUT * 2 ^ (times - 1), LONGEST_STOCK_OUT)
end

-- What a note makes of an entry; nil removes it.
local noted = {
  ['out'] = function(entry)
    if entry and now < entry.till then
      return entry -- asked for in the same minute by somebody else: the same stock-out
    end
    local times = entry and entry.times + 1 or 1
    return { till = stock_out(times), times = times, since = entry and entry.since or now }
  end,
  ['boot'] = function(entry)
    if not entry or now - entry.since >= STOCK_MEMORY then
      return { till = 0, times = 1, since = now }
    end
    local times = entry.times + 1
    return { till = stock_out(times - 1), times = times, since = entry.since }
  end,
  ['clear'] = function()
    return nil
  end,
}

-- Writes notes { field, word } down. They are hints: a key that is no hash costs them, and no result.
local function note_stock(key, notes)
  billed = billed + 1
  local flat, entries, changed, dropped = redis.pcall('HGETALL', key), {}, {}, {}
  if flat.err then
    return
  end
  for i = 1, #flat, 2 do
    local till, times, since = string.match(flat[i + 1], '^(%d+)|(%d+)|(%d+)$')
    local entry = till and { till = tonumber(till), times = tonumber(times), since = tonumber(since) }
    if entry and math.max(entry.till, entry.since) + STOCK_MEMORY > now then
      entries[flat[i]] = entry
    else
      dropped[flat[i]] = true
    end
  end
  for _, note in ipairs(notes) do
    local before = entries[note.field]
    local after = noted[note.word](before)
    entries[note.field] = after
    if after ~= before then
      changed[note.field], dropped[note.field] = after, not after or nil
    end
  end
  local set, removed = {}, {}
  for field, entry in pairs(changed) do
    set[#set + 1] = field
    set[#set + 1] = num(entry.till) .. '|' .. num(entry.times) .. '|' .. num(entry.since)
  end
  for field in pairs(dropped) do
    removed[#removed + 1] = field
  end
  if #set > 0 then
    call('HSET', key, unpack(set))
  end
  if #removed > 0 then
    call('HDEL', key, unpack(removed))
  end
end
