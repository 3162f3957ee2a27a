-- At most this many timers are promoted in one call, so that no call runs long.
local PROMOTED_AT_ONCE = 64

-- Moves what fell due to ready. Returns the time of the next timer, or nil.
local function promote()
  local head = redis.call('ZRANGE', TIMERS, 0, PROMOTED_AT_ONCE - 1, 'WITHSCORES')
  local delayed, members, next_due = {}, {}, nil
  local ready = {}
  for i = 1, #head, 2 do
    local member, at = head[i], tonumber(head[i + 1])
    if at > now then
      next_due = at
      break
    end
    members[#members + 1] = member
    local id = string.sub(member, 3)
    if string.sub(member, 1, 2) == 'd:' then
      delayed[#delayed + 1] = { id = id, at = at }
    else
      -- An expired lease goes to the front of the line.
      ready[#ready + 1] = '0'
      ready[#ready + 1] = id
    end
  end
  if #delayed > 0 then
    local ids = {}
    for i, job in ipairs(delayed) do
      ids[i] = job.id
    end
    local bodies = redis.call('HMGET', JOBS, unpack(ids))
    for i, job in ipairs(delayed) do
      ready[#ready + 1] = num(job.at + offset_of(bodies[i]))
      ready[#ready + 1] = job.id
    end
  end
  if #members > 0 then
    redis.call('ZADD', READY, unpack(ready))
    redis.call('ZREM', TIMERS, unpack(members))
  end
  if #members == PROMOTED_AT_ONCE then
    next_due = now
  end
  return next_due
end

-- Adds { id, attempt, crashes, errors, body } of each job to `out`.
local function describe(out, ids, leases, bodies)
  for i, id in ipairs(ids) do
    local lease = leases[i]
    out[#out + 1] = { id, lease.attempt, lease.crashes, lease.errors, bodies[i] }
  end
end

-- Leases up to `count` jobs to `token` for `lease_ms`; a session that gets fewer is put to sleep.
-- Returns { now, next timer or -1, jobs... }.
local function reserve(session, token, count, lease_ms)
  local next_due = promote()
  local popped = count > 0 and redis.call('ZPOPMIN', READY, count) or {}
  local result = { num(now), num(next_due or -1) }
  local ids = {}
  for i = 1, #popped, 2 do
    ids[#ids + 1] = popped[i]
  end
  if #ids > 0 then
    local bodies = redis.call('HMGET', JOBS, unpack(ids))
    local stored = redis.call('HMGET', LEASES, unpack(ids))
    local kept, kept_bodies, leases, fields, timers = {}, {}, {}, {}, {}
    for i, id in ipairs(ids) do
      if bodies[i] then
        local lease = parse_lease(stored[i])
          or { attempt = 0, crashes = 0, errors = 0, token = '', last_error = '' }
        if lease.token ~= '' then
          -- The last holder never settled: its process died, or was cut off.
          lease.crashes = lease.crashes + 1
        end
        lease.attempt, lease.token, lease.again = lease.attempt + 1, token, nil
        kept[#kept + 1], leases[#leases + 1], kept_bodies[#kept_bodies + 1] = id, lease, bodies[i]
        fields[#fields + 1], fields[#fields + 2] = id, format_lease(lease)
        timers[#timers + 1], timers[#timers + 2] = num(now + lease_ms), 'l:' .. id
      end
    end
    if #kept > 0 then
      redis.call('HSET', LEASES, unpack(fields))
      redis.call('ZADD', TIMERS, unpack(timers))
      describe(result, kept, leases, kept_bodies)
    end
  end
  if #ids < count then
    redis.call('ZADD', IDLE, num(now), session)
  end
  return result
end

-- The answer to a reserve call that is repeated because its reply was lost: the jobs that the first
-- call leased to `token`. Nothing is leased, so no attempt is spent. Leases are looked for among the
-- last 512 timers that end before one made now would, where a young lease is.
local function reserve_again(token, lease_ms)
  local result = { num(now), num(now) }
  local ids = {}
  local youngest =
    redis.call('ZRANGE', TIMERS, num(now + lease_ms), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 512)
  for _, member in ipairs(youngest) do
    if string.sub(member, 1, 2) == 'l:' then
      ids[#ids + 1] = string.sub(member, 3)
    end
  end
  if #ids == 0 then
    return result
  end
  local bodies = redis.call('HMGET', JOBS, unpack(ids))
  local stored = redis.call('HMGET', LEASES, unpack(ids))
  local mine, my_bodies, leases = {}, {}, {}
  for i, id in ipairs(ids) do
    local lease = parse_lease(stored[i])
    if lease and lease.token == token and bodies[i] then
      mine[#mine + 1], leases[#leases + 1], my_bodies[#my_bodies + 1] = id, lease, bodies[i]
    end
  end
  describe(result, mine, leases, my_bodies)
  return result
end
