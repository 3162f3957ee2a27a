--[[ Replaces what is remembered under an idempotency key, if it is what its writer believes.

  KEYS[1] answer string  the digest of what was asked, a space, and the answer or the mark of who works on it
  ARGV    what is expected ('' for nothing), what takes its place ('' for nothing), for how long (ms)
  Returns '' when it was replaced, else what is there instead
  Repeatable: the repetition is told what the first call has written.
  Commands: 3, or 2 when it is not replaced or nothing takes the place of nothing ]]
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] then
  return { 2, stored }
end
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
elseif stored then
  redis.call('DEL', KEYS[1])
else
  return { 2, '' }
end
return { 3, '' }
