--[[ Makes jobs due.

  KEYS[1..5] see the head
  ARGV       per job: id, body, due (ms, 0 for now)
  Returns    how many became runnable now
  Repeatable: a job that waits keeps the earlier time.
  Commands:  1 + TIME + per new job 2, + 1 when one became runnable, + 1 per sleeper woken ]]
local runnable = 0
while position < #ARGV do
  if enqueue(take(), take(), take_number()) then
    runnable = runnable + 1
  end
end
wake(runnable)
return runnable
