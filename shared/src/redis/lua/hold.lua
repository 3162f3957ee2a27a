--[[ Writes down which of the provider's instances are held by records, as long as these stand as they
     were read.

  KEYS[1] operator  see the head
  KEYS[2] status    hash  instance id -> status
  KEYS[3] bound     hash  the provider's id -> instance id
  ARGV    token, then per held instance: the provider's id, instance id, SHA-1 of its status
  Returns one word for each: '1' written, '0' was so, 'changed' the record has changed since (whoever
          changed it has written its own), or the instance that holds it already
  Repeatable: it then was so.
  Commands: 2, + 2 for any number of them, + 1 when any is written ]]
local held, ids, fields = {}, {}, {}
while position < #ARGV do
  local one = { provider_id = take(), id = take(), digest = take() }
  held[#held + 1] = one
  fields[#fields + 1], ids[#ids + 1] = one.provider_id, one.id
end
if #held == 0 then
  return answer({})
end
local statuses = call('HMGET', KEYS[2], unpack(ids))
local holders = call('HMGET', KEYS[3], unpack(fields))
local words, writes = {}, {}
for i, one in ipairs(held) do
  if holders[i] == one.id then
    words[i] = '0'
  elseif holders[i] then
    words[i] = holders[i]
  elseif not statuses[i] or redis.sha1hex(statuses[i]) ~= one.digest then
    words[i] = 'changed'
  else
    words[i] = '1'
    writes[#writes + 1], writes[#writes + 2] = one.provider_id, one.id
  end
end
if #writes > 0 then
  call('HSET', KEYS[3], unpack(writes))
end
return answer(words)
