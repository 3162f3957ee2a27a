--[[ Makes jobs due.

  KEYS[1..5] see the head
  ARGV       per job: id, body, due (ms, 0 for now)
  Returns    how many became runnable now
  Repeatable: a job that waits keeps the earlier time.
  Commands:  2, + per job: new 2, waiting 4, held 3 (2 when it is wanted again already);
             + 1 when one became runnable, + 1 per sleeper woken (at most 4) ]]
local runnable = 0
while position < #ARGV do
  if enqueue(take(), take(), take_number()) then
    runnable = runnable + 1
  end
end
wake(runnable)
return runnable
