--[[ Head of the scripts that reserve hourly cost: accept and settle.

  The `budget` hash: instance id -> "units|generation", and 'total' -> the sum of all units; a unit is
  1/600 000 US dollars per hour. An instance that reserves nothing has no field. ]]

-- Units and generation of a stored reservation; zeros when there is none.
local function reserved(stored)
  local units, generation = string.match(stored or '', '^(%d+)|(%d+)$')
  return tonumber(units or 0), tonumber(generation or 0)
end
