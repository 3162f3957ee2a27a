--[[ The lock under which an operator changes the layout, imports or restores.

  KEYS[1] operator  hash  token, who, command, since (ms); expires when its holder does not renew it
  ARGV    verb, token, lease (ms), who, command
          take   the lock, unless another holds it
          keep   it for another lease
          leave  it
  Returns nothing when the token holds it (or left it), else { who, command, since } of the holder; to
          `keep` of a lock that ended or was taken the error FENCED
  Repeatable: the token is the holder's alone.
  Commands: take 5, 3 when another holds it; keep 5, 2 when it was lost; leave 3, 2 when it was lost ]]
local billed = 1
local function call(...)
  billed = billed + 1
  return redis.call(...)
end

local verb, token, lease, who, command = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local holder = call('HGET', KEYS[1], 'token')
if verb == 'leave' then
  if holder == token then
    call('DEL', KEYS[1])
  end
  return { billed, {} }
end
if verb == 'keep' and holder ~= token then
  return redis.error_reply('FENCED the lock ended or is held by another')
end
if holder and holder ~= token then
  return { billed + 1, redis.call('HMGET', KEYS[1], 'who', 'command', 'since') }
end
local clock = call('TIME')
local now = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000))
if verb == 'take' then
  call('HSET', KEYS[1], 'token', token, 'who', who, 'command', command, 'since', now)
else
  call('HSET', KEYS[1], 'renewed', now)
end
call('PEXPIRE', KEYS[1], lease)
return { billed, {} }
