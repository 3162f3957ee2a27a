//! A long random schedule, compared with the oracle after every step.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use shared::model::Status;
use shared::queue::{Call, Checkpoint, Job, Queue, Reservation, Settlement, Verdict, Write};
use shared::redis::{Command, Repeat};

use crate::oracle::Oracle;
use crate::rig::{LONG_LEASE, Rig, Transport, Trouble};
use crate::things::{HOUR, conclude, dead, event, failed, instance, reconcile, take, webhook};

const STEPS: usize = 20_000;
/// Few enough that they collide all the time.
const IDS: usize = 24;
/// Repeats the schedule of a failed run.
const SEED_VARIABLE: &str = "QUEUE_SCHEDULE_SEED";

struct Schedule {
    rig: Rig,
    rng: StdRng,
    oracle: Oracle,
    sessions: Vec<Queue>,
    /// What each session believes to hold; some of it another one holds by now.
    held: Vec<Vec<Reservation>>,
    settled: u64,
}

/// Tells how to repeat a run that fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat: {SEED_VARIABLE}={}", self.0);
        }
    }
}

#[tokio::test]
async fn no_schedule_loses_a_job_or_hands_it_to_two_or_settles_it_twice() {
    let given = std::env::var(SEED_VARIABLE).ok();
    let seed = Seed(given.map_or_else(rand::random, |seed| seed.parse().unwrap()));
    let rig = Rig::troubled(Transport::Resp).await;
    let sessions: Vec<_> = (0..3).map(|_| rig.session(LONG_LEASE)).collect();
    // A script that the server does not know yet makes two requests of one call.
    let job = take(&sessions[0], webhook("msg_warm")).await;
    conclude(&sessions[0], job, Verdict::Done).await;
    let mut schedule = Schedule {
        rig,
        rng: StdRng::seed_from_u64(seed.0),
        oracle: Oracle::default(),
        held: sessions.iter().map(|_| Vec::new()).collect(),
        sessions,
        settled: 0,
    };
    for step in 0..STEPS {
        schedule.step().await;
        schedule.compare_places().await;
        if step % 200 == 0 {
            schedule.compare_events().await;
            schedule.empty_dead_letter().await;
        }
    }
    schedule.compare_events().await;
    assert!(
        schedule.oracle.events.len() > STEPS / 10,
        "hardly anything happened"
    );
}

fn job(n: usize) -> Job {
    reconcile(&format!("i{n}"))
}

impl Schedule {
    async fn step(&mut self) {
        let session = self.rng.random_range(0..self.sessions.len());
        match self.rng.random_range(0..100) {
            0..25 => self.enqueue(session).await,
            25..45 => self.exchange(session, Vec::new()).await,
            45..80 => {
                let settlements = self.settlements(session);
                self.exchange(session, settlements).await;
            }
            80..90 => self.pass_time().await,
            90..96 => self.extend(session).await,
            _ => self.checkpoint(session).await,
        }
    }

    fn id(&mut self) -> Job {
        job(self.rng.random_range(0..IDS))
    }

    async fn enqueue(&mut self, session: usize) {
        let count = self.rng.random_range(1..=3);
        let jobs: Vec<_> = (0..count).map(|_| self.id()).collect();
        self.sessions[session].enqueue(&jobs).await.unwrap();
        for job in jobs {
            self.oracle.enqueue(job.id().as_str());
        }
    }

    async fn pass_time(&mut self) {
        let id = self.id().id();
        if let Some(timer) = self.oracle.pass_time(id.as_str()) {
            let timers = self.rig.keys.timers();
            self.rig.ask(["ZADD", &timers, "XX", "1", &timer]).await;
        }
    }

    async fn extend(&mut self, session: usize) {
        let held = self.held[session].iter();
        let held: Vec<_> = held
            .map(|job| (job.id.clone(), job.token.clone()))
            .collect();
        let extended = self.sessions[session].extend(&held).await.unwrap();
        for ((id, token), extended) in held.iter().zip(extended) {
            assert_eq!(extended, self.oracle.hold_on(id.as_str(), token), "{id}");
        }
    }

    async fn checkpoint(&mut self, session: usize) {
        let Some(job) = self.held[session].choose(&mut self.rng) else {
            return;
        };
        let (id, status) = (instance("i0"), Status::default());
        let written = self.sessions[session].checkpoint(&job.id, &job.token, &id, None, &status);
        let expected = if self.oracle.hold_on(job.id.as_str(), &job.token) {
            Checkpoint::Written
        } else {
            Checkpoint::Lost
        };
        assert_eq!(written.await.unwrap(), expected, "{}", job.id);
    }

    fn verdict(&mut self) -> Verdict {
        let delays = [Duration::ZERO, HOUR];
        let delay = *delays.choose(&mut self.rng).unwrap();
        match self.rng.random_range(0..20) {
            0..7 => Verdict::Done,
            7..12 => Verdict::Again(delay),
            12..16 => failed(delay),
            16..19 => Verdict::Release,
            _ => dead(),
        }
    }

    /// Some of what a session believes to hold, with what came of it.
    fn settlements(&mut self, session: usize) -> Vec<(Reservation, Verdict, Option<Job>)> {
        let mut settlements = Vec::new();
        for _ in 0..self.rng.random_range(1..=4) {
            let count = self.held[session].len();
            if count > 0 {
                let job = self.held[session].swap_remove(self.rng.random_range(0..count));
                let follow_up = self.rng.random_bool(0.2).then(|| self.id());
                settlements.push((job, self.verdict(), follow_up));
            }
        }
        settlements
    }

    async fn exchange(
        &mut self,
        session: usize,
        settled: Vec<(Reservation, Verdict, Option<Job>)>,
    ) {
        let count = self.rng.random_range(0..=3);
        let is_reserve = settled.is_empty();
        let (mut settlements, mut expected, mut follow_ups) = (Vec::new(), Vec::new(), Vec::new());
        let trouble = match self.rng.random_range(0..40) {
            0 => Some(Trouble::LostReply),
            1 => Some(Trouble::LostRequest),
            _ => None,
        };
        for (job, verdict, follow_up) in settled {
            self.settled += 1;
            let (id, token) = (job.id.as_str(), job.token.as_str());
            let applied = self.oracle.settle(id, token, &verdict, self.settled);
            expected.push(applied);
            follow_ups.extend(follow_up.iter().filter(|_| applied).map(Job::id));
            settlements.push(self.settlement(job, verdict, follow_up));
        }
        for id in follow_ups {
            self.oracle.enqueue(id.as_str());
        }
        let mut call = self.sessions[session].call(settlements, count);
        if let Some(trouble) = trouble {
            self.lose(trouble, session, &mut call).await;
        }
        let exchange = self.sessions[session].exchange(&mut call).await.unwrap();
        assert_eq!(exchange.applied, expected, "applied settlements");
        if is_reserve && trouble == Some(Trouble::LostRequest) {
            // Nothing was asked before, so nothing is told again.
            assert!(exchange.jobs.is_empty());
        } else {
            let is_repeated = trouble == Some(Trouble::LostReply);
            self.oracle.reserve(count, &exchange, is_repeated);
        }
        self.held[session].extend(exchange.jobs);
    }

    fn settlement(&self, job: Reservation, verdict: Verdict, follow_up: Option<Job>) -> Settlement {
        let logged = event(&instance("log"), self.settled);
        let mut writes = vec![Write::Event(Box::new(logged))];
        writes.extend(follow_up.map(Write::Enqueue));
        job.settle(verdict, writes)
    }

    async fn lose(&self, trouble: Trouble, session: usize, call: &mut Call) {
        self.rig.arm(trouble, "EVALSHA");
        let error = self.sessions[session].exchange(call).await.unwrap_err();
        assert_eq!(error.kind(), "unclear", "{error}");
    }

    /// As an operator would; else every job would be dead in the end.
    async fn empty_dead_letter(&mut self) {
        let keys = &self.rig.keys;
        for id in self.oracle.exhume() {
            self.rig.ask(["ZREM", &keys.dead(), &id]).await;
            self.rig.ask(["HDEL", &keys.jobs(), &id]).await;
            self.rig
                .ask(["HDEL", &keys.jobs(), &format!("l:{id}")])
                .await;
        }
    }

    /// Every unfinished job is in the one place where it must be, and has a body.
    async fn compare_places(&self) {
        let keys = &self.rig.keys;
        let range = |key: String| Command::new("ZRANGE").arg(key).args(["0", "-1"]);
        let commands = [
            range(keys.ready()),
            range(keys.timers()),
            range(keys.dead()),
            Command::new("HKEYS").arg(keys.jobs()),
        ];
        let replies = self.rig.direct.read(&commands).await.unwrap();
        let mut columns = replies
            .into_iter()
            .map(|reply| reply.optional_texts().unwrap().into_iter().flatten());
        let mut next = || columns.next().unwrap();
        let mut found: Vec<(String, &str)> = next().map(|id| (id, "ready")).collect();
        found.extend(next().map(|member| match member.split_once(':') {
            Some(("d", id)) => (id.to_owned(), "d"),
            Some(("l", id)) => (id.to_owned(), "l"),
            _ => panic!("{member} is no timer"),
        }));
        found.extend(next().map(|id| (id, "dead")));
        found.sort();
        assert_eq!(found, self.oracle.places());
        let mut bodies: Vec<String> = next().filter(|field| !field.starts_with("l:")).collect();
        bodies.sort();
        assert!(
            bodies.iter().eq(found.iter().map(|(id, _)| id)),
            "{bodies:?}"
        );
    }

    /// Every settlement that was applied left its one event, in order.
    async fn compare_events(&self) {
        let log = self.rig.keys.events(&instance("log"));
        let newest = Command::new("LRANGE").arg(log).args(["-500", "-1"]);
        let newest = self.rig.direct.run(newest, Repeat::Harmless).await.unwrap();
        let newest = newest.optional_texts().unwrap().into_iter().flatten();
        let numbers: Vec<u64> = newest
            .map(|json| {
                serde_json::from_str::<shared::model::Event>(&json)
                    .unwrap()
                    .number
            })
            .collect();
        let all = &self.oracle.events;
        assert_eq!(numbers, all[all.len().saturating_sub(500)..]);
    }
}
