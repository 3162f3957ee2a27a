//! All that can happen besides settling and reserving.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use shared::clock::Millis;
use shared::model::Status;
use shared::queue::{Checkpoint, Job, JobId, JobKind, Periodic, QueueStats, Scope};
use shared::redis::{Command, Repeat};

use super::{Late, Schedule, Session};
use crate::oracle::At;
use crate::rig::{LONG_LEASE, Trouble};
use crate::things::{HOUR, instance, reconcile, webhook};

/// Falls due while the schedule goes on.
pub(super) const SOON: Duration = Duration::from_millis(50);
/// Of either kind; few enough that they collide all the time.
const IDS: usize = 12;
/// More than one call looks at.
const MANY: usize = 90;
/// What the ids of those begin with.
pub(super) const FLOOD: &str = "webhook:flood";
/// So much nearer is every time of the queue: `KEYS` ready, timers; `ARGV` ms.
const JUMP: &str = r"
    for i, key in ipairs(KEYS) do
      local found = redis.call('ZRANGE', key, i == 1 and '-inf' or '(0', '(9e15', 'BYSCORE')
      for _, member in ipairs(found) do
        redis.call('ZINCRBY', key, -ARGV[1], member)
      end
    end";

fn ids(jobs: &[Job]) -> Vec<String> {
    jobs.iter().map(|job| job.id().to_string()).collect()
}

impl Schedule {
    pub(super) fn job(&mut self) -> Job {
        let number = self.rng.random_range(0..IDS);
        match self.rng.random_range(0..20) {
            0..12 => reconcile(&format!("i{number}")),
            12..19 => webhook(&format!("m{number}")),
            _ => Job::Periodic {
                name: Periodic::Housekeeping,
            },
        }
    }

    fn jobs(&mut self) -> Vec<Job> {
        let count = self.rng.random_range(1..=4);
        (0..count).map(|_| self.job()).collect()
    }

    pub(super) async fn enqueue(&mut self, at: usize) {
        self.doing = "enqueue";
        let jobs = self.jobs();
        let delays = [Duration::ZERO, SOON, HOUR / 2, HOUR];
        let delay = *delays.choose(&mut self.rng).unwrap();
        let trouble = self.trouble();
        if let Some(trouble) = trouble {
            self.doing = "enqueue, which is repeated";
            self.rig.arm(trouble, "EVALSHA");
        }
        let queue = &self.sessions[at].queue;
        queue.enqueue_after(&jobs, delay).await.unwrap();
        let now = self.window().await;
        let ids = ids(&jobs);
        self.oracle.enqueue(&ids, delay, now);
        match trouble {
            Some(Trouble::LostReply) => {
                self.rig.proxy().lost_reply().unwrap();
                self.oracle.enqueue(&ids, delay, now);
            }
            Some(Trouble::HeldBack) => self.hold_back(Late::Enqueue(ids, delay)),
            _ => {}
        }
    }

    pub(super) async fn ensure(&mut self, at: usize) {
        self.doing = "ensure";
        let jobs = self.jobs();
        self.sessions[at].queue.ensure(&jobs).await.unwrap();
        let now = self.window().await;
        self.oracle.ensure(&ids(&jobs), now);
    }

    /// More jobs than one call looks at, of a kind that may be paused.
    pub(super) async fn flood(&mut self, at: usize) {
        self.doing = "enqueue many";
        let jobs: Vec<_> = (0..MANY).map(|n| webhook(&format!("flood{n}"))).collect();
        let delay = *[Duration::ZERO, HOUR].choose(&mut self.rng).unwrap();
        let queue = &self.sessions[at].queue;
        queue.enqueue_after(&jobs, delay).await.unwrap();
        let now = self.window().await;
        self.oracle.enqueue(&ids(&jobs), delay, now);
    }

    /// One timer falls due, or soon will.
    pub(super) async fn pass_time(&mut self) {
        self.doing = "pass time";
        let id = self.job().id();
        let time = self.now + f64::from(self.rng.random_range(-2000..1000));
        if let Some(timer) = self.oracle.pass_time(id.as_str(), time) {
            let timers = self.rig.keys.timers();
            let time = time.to_string();
            self.rig.ask(["ZADD", &timers, "XX", &time, &timer]).await;
        }
    }

    /// Many timers fall due at once.
    pub(super) async fn jump(&mut self) {
        self.doing = "jump of the clock";
        let jumps = [LONG_LEASE / 2, LONG_LEASE, HOUR, 10 * HOUR];
        let by = *jumps.choose(&mut self.rng).unwrap();
        self.oracle.jump(by);
        let keys = [self.rig.keys.ready(), self.rig.keys.timers()];
        let jump = Command::new("EVAL")
            .args([JUMP, "2"])
            .args(keys)
            .arg(by.as_millis().to_string());
        self.rig.direct.run(jump, Repeat::Never).await.unwrap();
    }

    pub(super) async fn extend(&mut self, at: usize) {
        self.doing = "extend";
        let held = self.sessions[at].held.iter();
        let held: Vec<_> = held
            .map(|job| (job.id.clone(), job.token.clone()))
            .collect();
        let extended = self.sessions[at].queue.extend(&held).await.unwrap();
        let until = self.lease_from_now().await;
        for ((id, token), extended) in held.iter().zip(extended) {
            let is_held = self.oracle.hold_on(id.as_str(), token, until);
            assert_eq!(extended, is_held, "{id}");
        }
    }

    async fn lease_from_now(&mut self) -> At {
        self.window().await.plus(LONG_LEASE.as_millis() as f64)
    }

    pub(super) async fn checkpoint(&mut self, at: usize) {
        self.doing = "checkpoint";
        let Some(job) = self.sessions[at].held.choose(&mut self.rng) else {
            return;
        };
        let (id, token) = (job.id.clone(), job.token.clone());
        let (instance, status) = (instance("i0"), Status::default());
        let queue = &self.sessions[at].queue;
        let written = queue.checkpoint(&id, &token, &instance, None, &status);
        let written = written.await.unwrap();
        let until = self.lease_from_now().await;
        let is_held = self.oracle.hold_on(id.as_str(), &token, until);
        let expected = if is_held {
            Checkpoint::Written
        } else {
            Checkpoint::Lost
        };
        assert_eq!(written, expected, "{id}");
    }

    /// A session forgets all that it holds, and another takes its place.
    pub(super) async fn crash(&mut self, at: usize) {
        self.doing = "crash";
        self.heed_wake_ups().await;
        let gone = &mut self.sessions[at];
        gone.listener.leave().await;
        self.oracle.gone(gone.queue.session());
        self.sessions[at] = Session::new(&self.rig, &mut self.oracle).await;
    }

    pub(super) async fn exhume_one(&mut self) {
        self.doing = "retry or drop one";
        let dead = self.oracle.dead();
        let other = self.job().id().to_string();
        let id = match dead.choose(&mut self.rng) {
            Some(id) if self.rng.random_ratio(4, 5) => id.clone(),
            _ => other,
        };
        let job = JobId::stored(id.clone());
        let is_retry = self.rng.random_bool(0.5);
        let told = if is_retry {
            self.admin.retry(&job).await
        } else {
            self.admin.drop_dead(&job).await
        };
        let told = format!("{:?}", told.unwrap());
        let expected = match self.oracle.knows(&id) {
            _ if dead.contains(&id) => "Yes",
            true => "NotDead",
            false => "Unknown",
        };
        assert!(told.starts_with(expected), "{id}: {told}, {expected}");
        if expected == "Yes" {
            self.leave_dead_letter(is_retry, &[id]).await;
        }
    }

    async fn leave_dead_letter(&mut self, is_retry: bool, ids: &[String]) {
        if is_retry {
            let now = self.window().await;
            self.oracle.enqueue(ids, Duration::ZERO, now);
        } else {
            self.oracle.drop_dead(ids);
        }
    }

    pub(super) async fn exhume_many(&mut self) {
        self.doing = "retry or drop many";
        let limit = self.rng.random_range(1..5);
        let mut dead = self.oracle.dead();
        dead.truncate(limit);
        let is_retry = self.rng.random_bool(0.5);
        let left = if is_retry {
            self.admin.retry_dead(limit).await
        } else {
            let end = Millis(self.now as u64 + 1);
            self.admin.drop_dead_before(end, limit).await
        };
        assert_eq!(left.unwrap(), dead.len(), "of {dead:?}");
        self.leave_dead_letter(is_retry, &dead).await;
    }

    pub(super) async fn pause_or_resume(&mut self) {
        self.doing = "pause or resume";
        let (scope, marker) = *[
            (Scope::All, "*"),
            (Scope::Kind(JobKind::Instance), "instance"),
            (Scope::Kind(JobKind::Webhook), "webhook"),
            (Scope::Kind(JobKind::Cron), "cron"),
        ]
        .choose(&mut self.rng)
        .unwrap();
        let is_pause = self.rng.random_ratio(1, 5);
        let (told, changed) = if is_pause {
            let told = self.admin.pause(scope).await;
            (told, self.oracle.pause(marker))
        } else {
            let told = self.admin.resume(scope).await;
            (told, self.oracle.resume(marker))
        };
        assert_eq!(told.unwrap(), changed, "{scope}");
    }

    pub(super) async fn look(&mut self) {
        self.doing = "look";
        let stats = QueueStats::read(&self.rig.redis, &self.rig.keys).await;
        let stats = stats.unwrap();
        self.oracle.compare_stats(&stats);
        let id = self.job().id();
        let shown = self.admin.show(&id).await.unwrap();
        let window = self.window().await;
        self.oracle
            .compare_shown(id.as_str(), shown.as_ref(), window);
    }
}
