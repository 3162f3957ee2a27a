//! Settling and reserving, with every trouble that a request can meet.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use redis::Value;
use shared::queue::{Call, Exchange, Job, Reservation, Settlement, Verdict, Write};

use super::steps::{FLOOD, SOON};
use super::{Late, Schedule, Session};
use crate::oracle::{Asked, Grant, Listed, Outcome};
use crate::rig::{LONG_LEASE, Trouble};
use crate::things::{HOUR, crashed, dead, failed, instance};

/// The most requests that are under way for long.
const LATE: usize = 20;
/// So many settled reservations are remembered, to be settled once more.
const SPENT: usize = 50;

impl Schedule {
    pub(super) async fn reserve(&mut self, at: usize) {
        self.doing = "reserve";
        self.exchange(at, Vec::new()).await;
    }

    pub(super) async fn settle(&mut self, at: usize) {
        self.doing = "settle";
        let most = if self.rng.random_ratio(1, 20) { 40 } else { 4 };
        let mut settled = Vec::new();
        for _ in 0..self.rng.random_range(1..=most) {
            let count = self.sessions[at].held.len();
            if count > 0 {
                let job = self.rng.random_range(0..count);
                settled.push(self.sessions[at].held.swap_remove(job));
            }
        }
        if self.rng.random_ratio(1, 10) {
            self.doing = "settle with a token that is spent";
            let is_settled = |id| settled.iter().any(|job| job.id == id);
            let spent = self.spent.choose(&mut self.rng).map(copy);
            settled.extend(spent.filter(|spent| !is_settled(spent.id.clone())));
        }
        self.exchange(at, settled).await;
    }

    fn verdict(&mut self, job: &Reservation) -> Verdict {
        if job.id.as_str().starts_with(FLOOD) && self.rng.random_ratio(2, 3) {
            return Verdict::Done;
        }
        let delays = [Duration::ZERO, SOON, HOUR / 2, HOUR];
        let delay = *delays.choose(&mut self.rng).unwrap();
        match self.rng.random_range(0..20) {
            0..9 => Verdict::Done,
            9..13 => Verdict::Again(delay),
            13..15 => failed(delay),
            15 => crashed(delay),
            16..18 => Verdict::Release,
            18 => Verdict::Hold(delay),
            _ => dead(),
        }
    }

    async fn exchange(&mut self, at: usize, settled: Vec<Reservation>) {
        let most = if self.rng.random_ratio(1, 20) { 80 } else { 3 };
        let (mut outcomes, mut settlements) = (Vec::new(), Vec::new());
        for job in settled {
            let (outcome, settlement) = self.settlement(job);
            outcomes.push(outcome);
            settlements.push(settlement);
        }
        let session = &mut self.sessions[at];
        let mut asked = Asked {
            session: session.queue.session().to_owned(),
            request: session.requests,
            outcomes,
            count: self.rng.random_range(0..=most),
            lease: LONG_LEASE.as_millis() as f64,
            listed: session.listed,
            passes_on: self.rng.random_ratio(1, 4),
            latest: 0.0,
            is_repeat: false,
        };
        session.requests += 1;
        let mut call = session.queue.call(settlements, asked.count);
        if asked.passes_on {
            call = call.passing_on();
        }
        while let Some(trouble) = self.trouble() {
            self.lose(trouble, at, &mut asked, &mut call).await;
            if self.rng.random_ratio(1, 8) {
                return self.crash(at).await;
            }
            if self.rng.random_ratio(1, 8) {
                self.deliver_late().await;
            }
        }
        self.send(at, &mut asked, &mut call).await;
        while self.rng.random_ratio(1, 40) {
            self.doing = "a copy of an exchange that was answered";
            self.send(at, &mut asked, &mut call).await;
        }
    }

    fn settlement(&mut self, job: Reservation) -> (Outcome, Settlement) {
        self.settlements += 1;
        let event = self.settlements;
        let verdict = self.verdict(&job);
        let follow_up = self.rng.random_bool(0.2).then(|| self.job());
        let outcome = Outcome {
            id: job.id.to_string(),
            token: job.token.clone(),
            verdict: verdict.clone(),
            event,
            follow_up: follow_up.as_ref().map(|job| job.id().to_string()),
        };
        self.spent.push(copy(&job));
        if self.spent.len() > SPENT {
            let _ = self.spent.remove(0);
        }
        let logged = crate::things::event(&instance("log"), event);
        let mut writes = vec![Write::Event(Box::new(logged))];
        writes.extend(follow_up.map(|job| Write::Enqueue(job, Duration::ZERO)));
        (outcome, job.settle(verdict, writes))
    }

    pub(super) fn trouble(&mut self) -> Option<Trouble> {
        let troubles = [Trouble::LostRequest, Trouble::LostReply, Trouble::HeldBack];
        let is_lucky = !self.rng.random_ratio(1, 30);
        if is_lucky {
            return None;
        }
        troubles.choose(&mut self.rng).copied()
    }

    /// Sends a call that is not answered.
    async fn lose(&mut self, trouble: Trouble, at: usize, asked: &mut Asked, call: &mut Call) {
        self.rig.arm(trouble, "EVALSHA");
        let session = &mut self.sessions[at];
        let error = session.queue.exchange(call).await.unwrap_err();
        assert_eq!(error.kind(), "unclear", "{error}");
        session.listed = Listed::Unknown;
        match trouble {
            Trouble::LostReply => {
                let reply = self.rig.proxy().lost_reply().unwrap();
                self.oracle.exchange(asked, time_of(&reply, asked));
            }
            Trouble::HeldBack => self.hold_back(Late::Exchange(asked.clone())),
            Trouble::LostRequest | Trouble::Silence => {}
        }
        asked.listed = Listed::Unknown;
        asked.is_repeat = true;
    }

    /// What the proxy held back just now may arrive later.
    pub(super) fn hold_back(&mut self, late: Late) {
        let request = self.rig.proxy().held_back().unwrap();
        self.late.push((late, request));
        if self.late.len() > LATE {
            self.late.remove(0);
        }
    }

    pub(super) async fn deliver_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        self.doing = "a request that arrives late";
        let late = self.rng.random_range(0..self.late.len());
        let (late, request) = self.late.remove(late);
        let reply = self.rig.proxy().deliver(&request).await;
        match late {
            Late::Exchange(mut asked) => {
                if asked.outcomes.is_empty() {
                    asked.latest = last_argument(&request);
                }
                self.oracle.exchange(&asked, time_of(&reply, &asked));
            }
            Late::Enqueue(ids, delay) => {
                let now = self.window().await;
                self.oracle.enqueue(&ids, delay, now);
                self.compare();
            }
        }
    }

    async fn send(&mut self, at: usize, asked: &mut Asked, call: &mut Call) {
        let session = &mut self.sessions[at];
        let exchange = session.queue.exchange(call).await.unwrap();
        let told = self.oracle.exchange(asked, exchange.now.0 as f64);
        assert_eq!(exchange.applied, told.applied, "applied settlements");
        let next_timer = exchange.next_timer.map(|at| at.0 as f64);
        assert_eq!(next_timer, told.next_timer, "next timer");
        assert_eq!(grants(&exchange), told.jobs, "jobs");
        session.listed = if told.is_listed {
            Listed::Yes
        } else {
            Listed::No
        };
        asked.listed = session.listed;
        for job in exchange.jobs {
            assert_eq!(job.token, asked.token());
            let body = Job::parse(&job.id, &job.body).unwrap();
            assert_eq!(body.id(), job.id);
            session.hold(job);
        }
    }
}

impl Session {
    fn hold(&mut self, job: Reservation) {
        let is_held = |held: &Reservation| held.id == job.id && held.token == job.token;
        if !self.held.iter().any(is_held) {
            self.held.push(job);
        }
    }
}

fn copy(job: &Reservation) -> Reservation {
    Reservation {
        id: job.id.clone(),
        token: job.token.clone(),
        body: String::new(),
        ..*job
    }
}

fn grants(exchange: &Exchange) -> Vec<Grant> {
    let grant = |job: &Reservation| Grant {
        id: job.id.to_string(),
        counts: (job.attempt, job.crashes, job.errors),
        since: job.since.0 as f64,
        is_recovered: job.is_recovered,
    };
    exchange.jobs.iter().map(grant).collect()
}

/// The last argument of a request as it is sent.
fn last_argument(request: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(request);
    text.lines().next_back().unwrap().parse().unwrap()
}

/// When a call was carried out, by what the script answered.
fn time_of(reply: &Value, asked: &Asked) -> f64 {
    let told = match reply {
        Value::Array(parts) => match &parts[..] {
            [_billed, Value::Array(told)] => told,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    match &told[usize::from(!asked.outcomes.is_empty())] {
        Value::BulkString(text) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}
