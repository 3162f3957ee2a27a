--[[ Moves from one layout to another, if the one it begins with is still there.

  KEYS[1] operator  see the head
  KEYS[2] schema    string  version of the layout
  ARGV    token, the layout it begins with ('' for none), the next one ('' for none)
  Returns 1 when that is the layout now, 0 when another is there
  Repeatable: it then finds the next one there, and says 1.
  Commands: 4, or 3 when nothing is changed ]]
local from, to = take(), take()
local found = call('GET', KEYS[2]) or ''
if found == to then
  return answer(1)
end
if found ~= from then
  return answer(0)
end
if to == '' then
  call('DEL', KEYS[2])
else
  call('SET', KEYS[2], to)
end
return answer(1)
