//! What one run is to be like, decided by its seed.

use std::time::Duration;

use devstack::stack::Transport;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared::fail_point::FailPoint;

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// A process kills itself there.
    Kill(FailPoint),
    /// Orders are lost after their effect, 30 % of them, and a worker is killed at some moment.
    LostOrders,
}

const LOST_ORDERS: &str = "lost-orders";

impl Trouble {
    pub(crate) fn all() -> Vec<Self> {
        let kills = FailPoint::ALL.map(Self::Kill);
        kills.into_iter().chain([Self::LostOrders]).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill(point) => point.name(),
            Self::LostOrders => LOST_ORDERS,
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all()
            .into_iter()
            .find(|trouble| trouble.name() == name)
    }
}

/// One run; with its seed it can be repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) trouble: Trouble,
    pub(crate) seed: u64,
    /// 0: the seed decides.
    pub(crate) requests: usize,
}

/// How the provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weather {
    /// Quick and true.
    Calm,
    /// Every answer takes up to a quarter of a second.
    Slow,
    /// What it shows is a second and a half old.
    Lagging,
    /// What it has removed is not shown as such; it is simply missing.
    Forgetful,
    /// 30 % of the orders are lost after their effect.
    Losing,
    /// The same, and what it shows is four and a half seconds old: a lost order shows late in its window.
    LosingLate,
    /// All of them are.
    LosingAll,
    /// The first two orders are lost on their way to it.
    Dropping,
    /// A little of everything.
    Rough,
}

/// When the deletion is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deletion {
    /// So long after the create was accepted.
    After(Duration),
    /// Once the create is answered.
    WhenDone,
}

/// What a run is like.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) transport: Transport,
    pub(crate) weather: Weather,
    pub(crate) workers: usize,
    /// `FAIL_POINT` of every process.
    pub(crate) fail_point: Option<String>,
    /// When a worker is killed from outside, if one is.
    pub(crate) kill_after: Option<Duration>,
    pub(crate) deletions: Vec<Deletion>,
}

impl Case {
    pub(crate) fn one(trouble: Trouble, seed: u64) -> Self {
        let requests = 0;
        Self {
            trouble,
            seed,
            requests,
        }
    }

    /// It has a provider of its own: where faults are counted, and where a list of all runs' instances
    /// would be read by each of them.
    pub(crate) fn is_apart(&self) -> bool {
        matches!(
            self.trouble,
            Trouble::LostOrders | Trouble::Kill(FailPoint::OrderMissed)
        )
    }

    /// Longer runs are heavier.
    pub(crate) fn weight(&self) -> u32 {
        match self.trouble {
            Trouble::LostOrders => 3,
            Trouble::Kill(FailPoint::InstanceMissed | FailPoint::AbsenceProved) => 2,
            Trouble::Kill(FailPoint::OrderMissed) => 1,
            Trouble::Kill(_) => 0,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        // Points differ in the dice too, so that a seed is not the same story at each of them.
        let salt = self.trouble.name().bytes().map(u64::from).sum::<u64>() << 32;
        let mut rng = StdRng::seed_from_u64(self.seed ^ salt);
        let requests = match self.requests {
            0 => rng.random_range(1..=2),
            given => given,
        };
        let workers = match self.trouble {
            Trouble::Kill(_) => rng.random_range(1..=2),
            Trouble::LostOrders => 2,
        };
        Plan {
            transport: if rng.random_bool(0.5) {
                Transport::Resp
            } else {
                Transport::Upstash
            },
            weather: weather(self.trouble, &mut rng),
            workers,
            fail_point: fail_point(self.trouble, requests, workers, &mut rng),
            kill_after: (self.trouble == Trouble::LostOrders)
                .then(|| Duration::from_millis(rng.random_range(500..5000))),
            deletions: (0..requests)
                .map(|_| deletion(self.trouble, &mut rng))
                .collect(),
        }
    }
}

/// The weather in which the point is passed, or any in which orders come to something soon.
fn weather(trouble: Trouble, rng: &mut StdRng) -> Weather {
    match trouble {
        Trouble::LostOrders if rng.random_bool(0.5) => Weather::Losing,
        Trouble::LostOrders => Weather::LosingLate,
        Trouble::Kill(FailPoint::InstanceMissed | FailPoint::AbsenceProved) => Weather::Forgetful,
        Trouble::Kill(FailPoint::OrderLookedFor) => Weather::LosingAll,
        Trouble::Kill(FailPoint::OrderMissed) => Weather::Dropping,
        Trouble::Kill(point) => match rng.random_range(0..5) {
            0 => Weather::Slow,
            1 => Weather::Lagging,
            // A lost answer is not read.
            lot @ 2..4 if !matches!(point, FailPoint::CreateAnswered | FailPoint::CreateRead) => {
                if lot == 2 {
                    Weather::Losing
                } else {
                    Weather::LosingLate
                }
            }
            _ => Weather::Calm,
        },
    }
}

fn fail_point(
    trouble: Trouble,
    requests: usize,
    workers: usize,
    rng: &mut StdRng,
) -> Option<String> {
    let Trouble::Kill(point) = trouble else {
        return None;
    };
    let passages = match point {
        // Passed in every step.
        FailPoint::JobsReserved
        | FailPoint::RecordRead
        | FailPoint::StepTaken
        | FailPoint::BeforeSettle
        | FailPoint::Settled => 8,
        FailPoint::BeforeWebhook | FailPoint::WebhookSent => 3,
        // Each request passes them once, at one of the workers.
        _ if workers == 1 => requests,
        _ => 1,
    };
    let passage = rng.random_range(1..=passages);
    Some(format!("{}:{passage}", point.name()))
}

/// Some points are passed only by what came into being.
fn deletion(trouble: Trouble, rng: &mut StdRng) -> Deletion {
    match (trouble, rng.random_range(0..4)) {
        (Trouble::Kill(FailPoint::OrderLookedFor | FailPoint::OrderMissed), _) => {
            Deletion::WhenDone
        }
        (Trouble::Kill(point), 0 | 1) if point < FailPoint::BeforeDelete => {
            Deletion::After(Duration::from_millis(rng.random_range(0..3000)))
        }
        (_, 0) => Deletion::After(Duration::from_millis(rng.random_range(1500..6000))),
        _ => Deletion::WhenDone,
    }
}
