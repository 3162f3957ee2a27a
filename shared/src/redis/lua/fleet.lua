--[[ Writes down what a look at the provider's whole fleet found, and makes jobs due, if the look still
     has its lease.

  KEYS[1..5] see the head
  KEYS[6] fleet     hash  instance id, or "x:" and the provider's id -> what the list showed;
                          "pass" -> the last pass; "birth" -> when the first one was (ms)
  KEYS[7] marks     hash  field of fleet -> digest of what it holds
  KEYS[8] suspects  hash  the provider's id -> an instance that nobody accounts for
  ARGV    job id, token; then for each of these hashes: number of fields to set, field, value, ...;
          number of fields to remove, field, ...; then number of jobs, and per job: id, body;
          '1' if the look is over with this
  Returns 1, or 0 when another holder has the job: nothing was written
  Repeatable.
  Commands: 3 refused; else 4, + 1 per hash that has fields set, + 1 per hash that has fields removed,
            + those of an enqueue (less 2) when there are jobs, + 1 per sleeper woken, + 1 when it is over ]]
local id, token = take(), take()
local hashes = { KEYS[6], KEYS[7], KEYS[8] }
local set, removed = {}, {}
for i = 1, #hashes do
  set[i], removed[i] = {}, {}
  for n = 1, 2 * take_number() do
    set[i][n] = take()
  end
  for n = 1, take_number() do
    removed[i][n] = take()
  end
end
local jobs = {}
for n = 1, take_number() do
  jobs[n] = { id = take(), body = take(), due = 0 }
end

local is_over = take() == '1'

local lease = parse_lease(call('HGET', JOBS, 'l:' .. id))
if not lease or lease.token ~= token then
  return answer(0)
end
-- The jobs first: what is cut short is found again, since the marks come last.
wake(enqueue(jobs))
call('HSETNX', KEYS[6], 'birth', num(now))
for i, hash in ipairs(hashes) do
  if #removed[i] > 0 then
    call('HDEL', hash, unpack(removed[i]))
  end
  if #set[i] > 0 then
    call('HSET', hash, unpack(set[i]))
  end
end
if is_over then
  announce('@fleet')
end
return answer(1)
