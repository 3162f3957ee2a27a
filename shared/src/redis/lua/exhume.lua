--[[ Takes jobs out of the dead letter: to begin anew, or for good.

  KEYS[1..5] see the head
  ARGV    'retry' or 'drop', then ids (at most 100)
  Returns per id: 1 done, 0 it is not dead, -1 it does not exist
  Repeatable: the repetition says that it is not dead, or does not exist any more.
  Commands: 3; retry + 1 when any is dead, and as in an enqueue of known jobs; drop + 2 when any is ]]
local verb = take()
local ids = {}
while position < #ARGV do
  ids[#ids + 1] = take()
end
local stored = bodies_and_leases(ids)
local verdicts, jobs, dead, fields = {}, {}, {}, {}
for i, id in ipairs(ids) do
  local body, lease = stored[2 * i - 1], parse_lease(stored[2 * i])
  verdicts[i] = body and 0 or -1
  if body and lease and lease.token == '!dead' then
    verdicts[i] = 1
    jobs[#jobs + 1] = { id = id, body = body, due = 0 }
    dead[#dead + 1] = id
    fields[#fields + 1], fields[#fields + 2] = id, 'l:' .. id
  end
end
if verb == 'retry' then
  wake(enqueue(jobs))
elseif #dead > 0 then
  call('ZREM', DEAD, unpack(dead))
  call('HDEL', JOBS, unpack(fields))
end
return answer(verdicts)
