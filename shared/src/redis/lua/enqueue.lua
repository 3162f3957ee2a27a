--[[ Makes jobs due.

  KEYS[1..5] see the head
  ARGV       'absent' to leave alone what exists and is not dead, or 'any';
             per job: id, body, delay (ms, 0 for now)
  Returns    how many became runnable now
  Repeatable: a job that waits keeps the earlier time.
  Commands:  for any number of jobs: 3 + 1 when any is due now, + 1 when any is due later;
             + 1 when any of them is known: (+ 1 when any is due now, + 2 when any is due later,
             + 1 when any is held and not wanted again yet, + 2 when any is dead);
             + 1 when any became runnable, + 1 per sleeper woken (at most 4);
             'absent': + 1 per job, + 1 per job that exists ]]
local absent_only = take() == 'absent'
local jobs = {}
while position < #ARGV do
  local job = { id = take(), body = take() }
  local delay = take_number()
  job.due = delay > 0 and now + delay or 0
  local skip = absent_only
    and call('HSETNX', JOBS, job.id, job.body) == 0
    and not call('ZSCORE', DEAD, job.id)
  if not skip then
    jobs[#jobs + 1] = job
  end
end
local runnable = enqueue(jobs)
wake(runnable)
return answer(runnable)
