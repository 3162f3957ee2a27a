--[[ Head of every script with which an operator's tool writes.

  KEYS[1] operator  hash  see operator.lua
  ARGV    the token of the lock, and what the script takes

  Whoever lost the lock gets the error FENCED, and nothing was changed.
  Every script returns { commands it cost, itself included; its result }. ]]
local billed = 1
local function call(...)
  billed = billed + 1
  return redis.call(...)
end

local function answer(result)
  return { billed, result }
end

local position = 0
-- The next argument.
local function take()
  position = position + 1
  return ARGV[position]
end
local function take_number()
  return tonumber(take())
end

if call('HGET', KEYS[1], 'token') ~= take() then
  return redis.error_reply('FENCED the lock ended or is held by another')
end
