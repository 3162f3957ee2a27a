--[[ Pauses a kind of job, or lets it go on. Jobs that are held already are not touched.

  KEYS[1..5] see the head
  ARGV    'pause' or 'resume', kind ('*': the whole queue)
  Returns 1 when this changed anything, else 0
  Repeatable.
  Commands: pause 4; resume 3, + 1 for a kind that was paused, + 1 when any was, + 1 per sleeper woken
            (at most 4) ]]
local verb, kind = take(), take()
if verb == 'pause' then
  call('ZREM', TIMERS, 'r:' .. kind)
  return answer(call('ZADD', TIMERS, 0, 'p:' .. kind))
end
local was_paused = call('ZREM', TIMERS, 'p:' .. kind)
if was_paused == 1 then
  if kind ~= '*' then
    call('ZADD', TIMERS, 0, 'r:' .. kind)
  end
  wake(4)
end
return answer(was_paused)
