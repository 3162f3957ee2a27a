-- At most this many timers are looked at in one call, so that no call runs long.
local LOOKED_AT = 64

-- Takes parked jobs of a kind that resumes out of the far future. Returns how many, and whether there
-- may be more.
local function unpark(kind, due, members)
  local at = parked_at(kind)
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
  -- First what frees memory: a script whose first write takes some is refused when there is none.
  if #members > 0 then
    call('ZREM', TIMERS, unpack(members))
  end
  if #ready > 0 then
    call('ZADD', READY, unpack(ready))
  end
  -- What resumes is more than this session takes.
  wake(resumed)
  return unfinished and now or next_due, paused
end

-- While a kind is paused, so many jobs at the head of ready are looked at together, so often.
local WINDOW, WINDOWS = 64, 16

-- Parks the jobs of paused kinds among those at the head of ready. Returns whether none is left there.
local function park(paused)
  for _ = 1, WINDOWS do
    local names, timers = {}, {}
    for _, id in ipairs(call('ZRANGE', READY, 0, WINDOW - 1)) do
      local kind = kind_of(id)
      if paused[kind] then
        names[#names + 1] = id
        timers[#timers + 1], timers[#timers + 2] = parked_at(kind), 'd:' .. id
      end
    end
    if #names == 0 then
      return true
    end
    call('ZREM', READY, unpack(names))
    call('ZADD', TIMERS, unpack(timers))
  end
  return false
end

-- Pops up to `count` jobs off ready, none of a paused kind. Returns ids, since when each is runnable by
-- its virtual deadline, whether ready is empty for this session, and whether there is more to look at.
local function pop(count, paused)
  if count == 0 or paused['*'] then
    return {}, {}, count > 0, false
  end
  local wanted = count
  if next(paused) then
    if not park(paused) then
      return {}, {}, false, true
    end
    wanted = math.min(count, WINDOW)
  end
  local popped = call('ZPOPMIN', READY, wanted)
  local ids, deadlines = {}, {}
  for i = 1, #popped, 2 do
    ids[#ids + 1], deadlines[#deadlines + 1] = popped[i], tonumber(popped[i + 1])
  end
  local drained = #popped < 2 * wanted
  return ids, deadlines, drained, wanted < count and not drained
end

-- Adds a job to `result` as it is handed out: id, body, and since when it is runnable: a number at its first
-- attempt, else "since|attempt|crashes|errors|recovered". Every member costs, and most jobs have no past.
local MEMBERS = 3
local function hand_out(result, id, lease, body, since, recovered)
  local n = #result
  if lease then
    since = table.concat({
      num(since), num(lease.attempt), num(lease.crashes), num(lease.errors), recovered,
    }, '|')
  end
  result[n + 1], result[n + 2], result[n + 3] = id, body, since
end

-- Leases these jobs to `token` and adds them to `result`. One without a body does not exist.
local function lease_all(result, ids, deadlines, token, lease_ms)
  local stored, names = bodies_and_leases(ids)
  local fields, timers, n = {}, {}, 0
  local expiry, fresh = num(now + lease_ms), FRESH .. token .. '|'
  for i, id in ipairs(ids) do
    local body = stored[2 * i - 1]
    if body then
      local lease, leased, recovered = parse_lease(stored[2 * i]), fresh, 0
      if lease then
        -- Its last holder never settled: that process died, or was cut off.
        if lease.token ~= '' then
          recovered = string.sub(lease.token, -1) == '!' and 2 or 1
          lease.crashes = lease.crashes + 1
        end
        lease.attempt, lease.token = lease.attempt + 1, token
        if lease.again and lease.again <= now then
          lease.again = nil
        end
        leased = format_lease(lease)
      end
      local since = runnable_since(deadlines[i], body, recovered > 0)
      hand_out(result, id, lease, body, since, recovered)
      fields[n + 1], fields[n + 2] = names[2 * i], leased
      timers[n + 1], timers[n + 2] = expiry, names[2 * i]
      n = n + 2
    end
  end
  if n > 0 then
    call('HSET', JOBS, unpack(fields))
    call('ZADD', TIMERS, unpack(timers))
  end
end

-- Leases up to `count` jobs to `token` for `lease_ms`. A session that wants more than there is goes
-- to sleep, one that has all it wants does not; `listed` tells whether it sleeps already: '1', '0', or '2'
-- when it does not know, '3' when it never does. `pass_on` comes with the first call after a wake-up: if more is left than this
-- session takes, the next sleeper is woken.
-- Returns { now, next timer or -1, 1 if it sleeps now, the members of each job... }.
local function reserve(session, token, count, lease_ms, listed, pass_on)
  local next_due, paused = promote()
  local ids, deadlines, drained, more = pop(count, paused)
  if more then
    next_due = now
  end
  local result = { num(now), num(next_due or -1), drained and 1 or 0 }
  if #ids > 0 then
    lease_all(result, ids, deadlines, token, lease_ms)
  end
  if drained and (listed == '0' or listed == '2') then
    call('ZADD', IDLE, num(now), session)
  elseif not drained and (listed == '1' or listed == '2') then
    call('ZREM', IDLE, session)
  end
  if pass_on and not drained and not paused['*'] and call('ZCARD', READY) > 0 then
    wake(1)
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
      hand_out(result, own[i], leases[i], body, now, 0)
    end
  end
  return result
end
