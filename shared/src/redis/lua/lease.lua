-- At most this many timers are looked at in one call, so that no call runs long.
local LOOKED_AT = 64

-- Takes parked jobs of a kind that resumes out of the far future. Returns how many, and whether there
-- may be more.
local function unpark(kind, due, members)
  local at = num(PARKED_AT[kind])
  local parked = call('ZRANGE', TIMERS, at, at, 'BYSCORE', 'LIMIT', 0, LOOKED_AT)
  for _, member in ipairs(parked) do
    members[#members + 1] = member
    due[#due + 1] = { id = string.sub(member, 3), since = now }
  end
  if #parked == LOOKED_AT then
    return #parked, true
  end
  members[#members + 1] = 'r:' .. kind
  return #parked, false
end

-- Moves what fell due to ready. Returns the time of the next timer, or nil, and the paused kinds.
local function promote()
  local head = call('ZRANGE', TIMERS, 0, LOOKED_AT - 1, 'WITHSCORES')
  local paused, resumed, members, due, recovered = {}, 0, {}, {}, {}
  local next_due = #head == 2 * LOOKED_AT and now or nil
  local unfinished = false
  for i = 1, #head, 2 do
    local at = tonumber(head[i + 1])
    if at > now then
      next_due = at < PARKED and at or nil
      break
    end
    local tag, name = string.sub(head[i], 1, 2), string.sub(head[i], 3)
    if tag == 'p:' then
      paused[name] = true
    elseif tag == 'r:' then
      local count, more = unpark(name, due, members)
      resumed, unfinished = resumed + count, unfinished or more
    else
      members[#members + 1] = head[i]
      if tag == 'd:' then
        due[#due + 1] = { id = name, since = at }
      else
        recovered[#recovered + 1], recovered[#recovered + 2] = num(at + RECOVERED_OFFSET), name
      end
    end
  end
  local ready = recovered
  if #due > 0 then
    local ids = {}
    for i, job in ipairs(due) do
      ids[i] = job.id
    end
    local stored = bodies_and_leases(ids)
    for i, job in ipairs(due) do
      local body, lease = stored[2 * i - 1], parse_lease(stored[2 * i])
      -- Paused after its holder had vanished.
      local is_recovered = lease and lease.token ~= ''
      local offset = is_recovered and RECOVERED_OFFSET or offset_of(body)
      ready[#ready + 1], ready[#ready + 2] = num(job.since + offset), job.id
    end
  end
  if #ready > 0 then
    call('ZADD', READY, unpack(ready))
  end
  if #members > 0 then
    call('ZREM', TIMERS, unpack(members))
  end
  -- What resumes is more than this session takes.
  wake(resumed)
  return unfinished and now or next_due, paused
end

-- Pops up to `count` jobs off ready; those of paused kinds are parked instead. Returns ids, since
-- when each is runnable by its virtual deadline, whether ready is empty, and whether any was parked.
local function pop(count, paused)
  if count == 0 or paused['*'] then
    return {}, {}, count > 0, false
  end
  local popped = call('ZPOPMIN', READY, count)
  local ids, deadlines, parked = {}, {}, {}
  for i = 1, #popped, 2 do
    local id = popped[i]
    local kind = kind_of(id)
    if paused[kind] then
      parked[#parked + 1], parked[#parked + 2] = num(PARKED_AT[kind]), 'd:' .. id
    else
      ids[#ids + 1], deadlines[#deadlines + 1] = id, tonumber(popped[i + 1])
    end
  end
  if #parked > 0 then
    call('ZADD', TIMERS, unpack(parked))
  end
  return ids, deadlines, #popped < 2 * count, #parked > 0
end

-- A job as it is handed out.
local function describe(id, lease, body, since, recovered)
  return { id, lease.attempt, lease.crashes, lease.errors, body, num(since), recovered and 1 or 0 }
end

-- Leases these jobs to `token` and adds them to `result`. One without a body does not exist.
local function lease_all(result, ids, deadlines, token, lease_ms)
  local stored = bodies_and_leases(ids)
  local fields, timers = {}, {}
  for i, id in ipairs(ids) do
    local body = stored[2 * i - 1]
    if body then
      local lease = parse_lease(stored[2 * i])
        or { attempt = 0, crashes = 0, errors = 0, token = '', log = '' }
      -- Its last holder never settled: that process died, or was cut off.
      local recovered = lease.token ~= ''
      local since = runnable_since(deadlines[i], body, recovered)
      lease.crashes = lease.crashes + (recovered and 1 or 0)
      lease.attempt, lease.token, lease.again = lease.attempt + 1, token, nil
      result[#result + 1] = describe(id, lease, body, since, recovered)
      fields[#fields + 1], fields[#fields + 2] = 'l:' .. id, format_lease(lease)
      timers[#timers + 1], timers[#timers + 2] = num(now + lease_ms), 'l:' .. id
    end
  end
  if #fields > 0 then
    call('HSET', JOBS, unpack(fields))
    call('ZADD', TIMERS, unpack(timers))
  end
end

-- Leases up to `count` jobs to `token` for `lease_ms`. A session that wants more than there is goes
-- to sleep, one that has all it wants does not; `listed` tells whether it sleeps already.
-- Returns { now, next timer or -1, 1 if it sleeps now, jobs... }.
local function reserve(session, token, count, lease_ms, listed)
  local next_due, paused = promote()
  local ids, deadlines, drained, parked = pop(count, paused)
  if parked and not drained then
    next_due = now
  end
  local result = { num(now), num(next_due or -1), drained and 1 or 0 }
  if #ids > 0 then
    lease_all(result, ids, deadlines, token, lease_ms)
  end
  if drained and not listed then
    call('ZADD', IDLE, num(now), session)
  elseif listed and not drained then
    call('ZREM', IDLE, session)
  end
  return result
end

-- The answer to a reserve call that is repeated because its reply was lost: the jobs that the first
-- call leased to `token`. Nothing is leased, so no attempt is spent. Leases are looked for among the
-- last 4000 timers that end before one made now would, where a young lease is.
local function reserve_again(token, lease_ms)
  local result = { num(now), num(now), 0 }
  local ids = {}
  local youngest =
    call('ZRANGE', TIMERS, num(now + lease_ms), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 4000)
  for _, member in ipairs(youngest) do
    if string.sub(member, 1, 2) == 'l:' then
      ids[#ids + 1] = string.sub(member, 3)
    end
  end
  if #ids == 0 then
    return result
  end
  local own, leases = {}, {}
  for i, lease in ipairs(leases_of(ids)) do
    if lease and lease.token == token then
      own[#own + 1], leases[#leases + 1] = ids[i], lease
    end
  end
  if #own == 0 then
    return result
  end
  for i, body in ipairs(call('HMGET', JOBS, unpack(own))) do
    if body then
      result[#result + 1] = describe(own[i], leases[i], body, now, false)
    end
  end
  return result
end
