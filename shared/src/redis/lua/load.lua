--[[ Writes a batch of a backup, together with how far it leads.

  KEYS[1] operator  see the head
  KEYS[2] loading   hash  sha256 of the backup, entries written so far
  KEYS[3...] the key of each word
  ARGV    token, sha256, entries before this batch, entries after it, then per word: a command, '1' if it
          goes on where an earlier word ended, when the key expires (ms, or ''), '1' if the members are in
          hexadecimals, number of members, the members
          command  HSET, ZADD, SADD, RPUSH, APPEND (one member or none) | UNLINK
  Returns 1 when it is written, by this call or an earlier one, 0 when another backup is being loaded
  Repeatable: the second time more entries are written than there were before this batch. A batch that
          leads nowhere (from 0 to 0) may be repeated because it only begins or unlinks.
  Commands: 4, 3 when it was written; + 1 per word, + 1 for each that begins a key, + 1 that expires ]]
local LOADING = KEYS[2]
local sha256, from, to = take(), take_number(), take_number()
local loading = call('HMGET', LOADING, 'sha256', 'entries')
if loading[1] and loading[1] ~= sha256 then
  return answer(0)
end
local written = tonumber(loading[2] or 0)
if written > from or (to > from and written >= to) then
  return answer(1)
end

local function plain(member)
  return (string.gsub(member, '%x%x', function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local key_at = 2
while position < #ARGV do
  local command, goes_on, expires, is_hex = take(), take() == '1', take(), take() == '1'
  local members = {}
  for n = 1, take_number() do
    local member = take()
    members[n] = is_hex and plain(member) or member
  end
  key_at = key_at + 1
  local key = KEYS[key_at]
  if command == 'UNLINK' then
    call('UNLINK', key)
  else
    if not goes_on then
      call('UNLINK', key)
    end
    if command == 'APPEND' and #members == 0 then
      call('SET', key, '')
    else
      call(command, key, unpack(members))
    end
    if expires ~= '' then
      call('PEXPIREAT', key, expires)
    end
  end
end
call('HSET', LOADING, 'sha256', sha256, 'entries', string.format('%.0f', to))
return answer(1)
