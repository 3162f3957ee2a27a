//! What an instance takes of the deployment's budget: its hourly cost, reserved when a wish is
//! accepted and settled by what it really costs.

use serde::{Deserialize, Serialize};

use super::cost::{running_rate, stopped_rate};
use super::money::Rate;
use super::spec::Spec;
use super::status::{AttemptState, Status};

/// Part of the budget, in per cent, from which on a wish that takes more of it warns.
pub const WARNING_PERCENT: u64 = 80;

/// What an instance has reserved per hour. One of a later generation is never replaced by one of an
/// earlier: a start that was just accepted keeps its reservation while a worker still settles the
/// stop before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The generation of the spec that it answers.
    pub generation: u64,
    /// How much; nothing when it is released.
    pub rate: Rate,
}

/// What a wish that costs money asks for, and got once it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The most that the instance will cost per hour.
    pub rate: Rate,
    /// The budget: the most that all may cost per hour.
    pub limit: Rate,
    /// Accepting it took the reservations of all past [`WARNING_PERCENT`] of the budget.
    #[serde(default)]
    pub warns: bool,
}

impl Claim {
    /// So much of this budget.
    #[must_use]
    pub fn new(rate: Rate, limit: Rate) -> Self {
        Self {
            rate,
            limit,
            warns: false,
        }
    }
}

/// What an instance should have reserved, as far as it is known; `None` leaves what was reserved when
/// its wish was accepted.
///
/// What a create has claimed stays reserved until it got ready once, because its next attempt may cost
/// more than this one.
#[must_use]
pub fn reservation(spec: &Spec, status: &Status) -> Option<Reservation> {
    let rate = if status.is_closed() {
        Some(Rate::ZERO)
    } else {
        live_rate(spec, status).map(|rate| rate.plus(rate_beside(spec, status)))
    };
    let generation = spec.generation;
    rate.map(|rate| Reservation { generation, rate })
}

/// What exists beside the serving one takes its part, too, until it is gone.
fn rate_beside(spec: &Spec, status: &Status) -> Rate {
    let beside = status.beside.as_ref();
    let attempt = beside.and_then(|beside| beside.attempt.as_ref());
    let attempt = attempt.filter(|attempt| attempt.state.may_exist());
    attempt.map_or(Rate::ZERO, |attempt| running_rate(spec, attempt))
}

fn live_rate(spec: &Spec, status: &Status) -> Option<Rate> {
    let attempt = status.current()?;
    if attempt.state != AttemptState::Acked {
        return None;
    }
    let facts = status.provider.as_ref();
    let is_stopped = facts.is_some_and(|facts| facts.status == "exited");
    if is_stopped && status.pending_boot().is_none() {
        // Whoever starts it again has to ask for the budget first.
        return Some(stopped_rate(spec));
    }
    let is_settled = status.was_ready || spec.request.claim.is_none();
    is_settled.then(|| running_rate(spec, attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Millis;
    use crate::model::samples::{acked, request, spec};
    use crate::model::{Desired, OperationKind, ProviderFacts};

    fn saw(word: &str) -> Status {
        Status {
            provider: Some(ProviderFacts {
                status: word.to_owned(),
                ..ProviderFacts::default()
            }),
            ..acked(30_000)
        }
    }

    fn rate(spec: &Spec, status: &Status) -> Option<String> {
        reservation(spec, status).map(|reserved| reserved.rate.dollars())
    }

    #[test]
    fn the_claim_stands_until_it_was_ready_once_and_then_the_price_counts() {
        let mut spec = spec(Desired::Running);
        let mut status = saw("running");
        assert_eq!(rate(&spec, &status).unwrap(), "0.30", "no claim");
        spec.request.claim = Some(Claim::new(Rate::of_units(50_000), Rate::of_units(90_000)));
        assert_eq!(rate(&spec, &Status::default()), None);
        assert_eq!(rate(&spec, &status), None);
        status.was_ready = true;
        assert_eq!(rate(&spec, &status).unwrap(), "0.30");
        status.attempts[0].state = AttemptState::Discarding;
        assert_eq!(rate(&spec, &status), None);
    }

    #[test]
    fn a_stopped_one_reserves_its_disk_and_one_that_boots_its_price() {
        let mut spec = spec(Desired::Stopped);
        spec.rootfs_size = 84;
        let mut status = saw("exited");
        assert_eq!(rate(&spec, &status).unwrap(), "0.005");
        status.was_ready = true;
        spec = spec.wanting(Desired::Running, request(OperationKind::Start));
        status.operation = Some(spec.operation());
        let booting = reservation(&spec, &status).unwrap();
        assert_eq!(
            (booting.generation, booting.rate.dollars().as_str()),
            (2, "0.305")
        );
    }

    #[test]
    fn what_is_closed_reserves_nothing() {
        let mut status = saw("running");
        status.timestamps.failed = Some(Millis(1));
        let released = rate(&spec(Desired::Running), &status);
        assert_eq!(released.unwrap(), "0.00");
    }
}
