//! Long random schedules, each compared with its oracle after every step.

mod exchanges;
mod steps;
mod watcher;

use std::thread::JoinHandle;
use std::time::Duration;

use shared::queue::{Queue, QueueAdmin, Reservation, Verdict};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::watcher::{Listener, Watcher};
use crate::oracle::{Asked, At, Listed, Oracle, Snapshot};
use crate::rig::{LONG_LEASE, Rig, Transport};
use crate::things::{conclude, reserve, take, webhook};

/// Steps of one schedule.
const STEPS: usize = 25_000;
/// So many run side by side, each with keys of its own.
const SCHEDULES: usize = 4;
const SESSIONS: usize = 3;
/// Repeats the schedule of a failed run, alone.
const SEED_VARIABLE: &str = "QUEUE_SCHEDULE_SEED";

/// A worker, and what it believes.
struct Session {
    queue: Queue,
    /// Calls it has made.
    requests: u64,
    listed: Listed,
    /// Some of it another one holds by now.
    held: Vec<Reservation>,
    listener: Listener,
}

impl Session {
    async fn new(rig: &Rig, oracle: &mut Oracle) -> Self {
        let queue = rig.session(LONG_LEASE);
        oracle.listen(queue.session());
        let channel = rig.keys.wake_channel(queue.session());
        Self {
            listener: Listener::new(rig.proxy().upstream, channel).await,
            queue,
            requests: 0,
            listed: Listed::No,
            held: Vec::new(),
        }
    }
}

/// A request that has left its sender and not reached the server.
enum Late {
    Exchange(Asked),
    Enqueue(Vec<String>, Duration),
}

struct Schedule {
    rig: Rig,
    watcher: Watcher,
    admin: QueueAdmin,
    rng: StdRng,
    oracle: Oracle,
    sessions: Vec<Session>,
    late: Vec<(Late, Vec<u8>)>,
    /// What was settled, for settling it once more.
    spent: Vec<Reservation>,
    settlements: u64,
    /// What was seen after the last change.
    seen: Option<Snapshot>,
    /// Redis's clock when it was looked at last.
    now: f64,
    /// Events that were there when it was looked at last.
    events_seen: usize,
    step: usize,
    doing: &'static str,
    seed: u64,
}

/// Tells how to repeat a run that fails.
impl Drop for Schedule {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self {
                step, doing, seed, ..
            } = self;
            eprintln!("failed at step {step}: {doing}; to repeat: {SEED_VARIABLE}={seed}");
        }
    }
}

#[test]
fn no_schedule_loses_a_job_or_hands_it_to_two_or_settles_it_twice() {
    let seeds = match std::env::var(SEED_VARIABLE) {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SCHEDULES).map(|_| rand::random()).collect(),
    };
    let schedules: Vec<_> = seeds.into_iter().map(start).collect();
    for schedule in schedules {
        assert!(schedule.join().is_ok(), "a schedule failed");
    }
}

/// On a thread of its own: its tasks wait for each other, never for another schedule.
fn start(seed: u64) -> JoinHandle<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async { Schedule::new(seed).await.run().await });
    })
}

/// Makes the server know the scripts that may meet trouble: one that it does not know makes two
/// requests of one call.
async fn warm_up(rig: &Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, webhook("msg_warm")).await;
    conclude(&session, job, Verdict::Done).await;
    let _ = reserve(&session, 0).await;
}

impl Schedule {
    async fn new(seed: u64) -> Self {
        let rig = Rig::troubled(Transport::Resp).await;
        warm_up(&rig).await;
        let mut oracle = Oracle::default();
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(Session::new(&rig, &mut oracle).await);
        }
        let mut schedule = Self {
            watcher: Watcher::new(rig.proxy().upstream, &rig.keys).await,
            admin: QueueAdmin::new(rig.redis.clone(), rig.keys.clone()),
            rng: StdRng::seed_from_u64(seed),
            oracle,
            sessions,
            late: Vec::new(),
            spent: Vec::new(),
            settlements: 0,
            seen: None,
            now: 0.0,
            events_seen: 0,
            step: 0,
            doing: "nothing",
            seed,
            rig,
        };
        let _ = schedule.window().await;
        schedule.compare();
        schedule
    }

    async fn run(mut self) {
        for step in 0..STEPS {
            self.step = step;
            self.take_step().await;
            if self.seen.is_none() {
                let _ = self.window().await;
            }
            self.compare();
        }
        let happened = self.oracle.events.len();
        assert!(happened > STEPS / 5, "hardly anything happened: {happened}");
    }

    /// What was seen is what ought to be; times that were not known are known from here on.
    fn compare(&mut self) {
        self.oracle.compare(&self.seen.take().unwrap());
        self.events_seen = self.oracle.events.len();
    }

    async fn take_step(&mut self) {
        let session = self.rng.random_range(0..SESSIONS);
        match self.rng.random_range(0..1000) {
            0..150 => self.enqueue(session).await,
            150..180 => self.ensure(session).await,
            180..182 => self.flood(session).await,
            182..360 => self.reserve(session).await,
            360..720 => self.settle(session).await,
            720..780 => self.pass_time().await,
            780..790 => self.jump().await,
            790..840 => self.extend(session).await,
            840..880 => self.checkpoint(session).await,
            880..890 => self.crash(session).await,
            890..910 => self.deliver_late().await,
            910..940 => self.exhume_one().await,
            940..945 => self.exhume_many().await,
            945..975 => self.pause_or_resume().await,
            _ => self.look().await,
        }
        self.heed_wake_ups().await;
    }

    /// Every session that is to be woken hears of it.
    async fn heed_wake_ups(&mut self) {
        for woken in self.oracle.woken() {
            let sessions = self.sessions.iter_mut();
            let mut sessions = sessions.filter(|session| session.queue.session() == woken);
            let session = sessions.next().unwrap();
            session.listener.hear().await;
            session.queue.woken();
            session.listed = Listed::Unknown;
        }
    }

    /// Looks at everything; between which times what was done last was carried out.
    async fn window(&mut self) -> At {
        let unseen = self.oracle.events.len() - self.events_seen;
        let snapshot = self.watcher.look(unseen + 1).await;
        let window = At::between(self.now, snapshot.now);
        self.now = snapshot.now;
        self.seen = Some(snapshot);
        window
    }
}
