//! The hold after a 429, as this process knows it.

use std::time::Duration;

use shared::pace::{Grant, Lane};
use tokio::time::Instant;

/// Until the shared hold is known, one that the provider did not name lasts so long.
const PROVISIONAL: Duration = Duration::from_secs(1);
/// The longest that this process holds by its own word.
const LONGEST: Duration = Duration::from_secs(60);

/// Until when which calls are held back.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// All but those that save money.
    until: Option<Instant>,
    /// Those too.
    save_until: Option<Instant>,
}

impl Hold {
    /// The provider answered 429: holds at once, before anybody else knows.
    pub(super) fn limited(&mut self, retry_after: Option<Duration>, now: Instant) {
        let asked = retry_after.unwrap_or_default().min(LONGEST);
        let until = asked.max(PROVISIONAL);
        extend(&mut self.until, now + until);
        if !asked.is_zero() {
            extend(&mut self.save_until, now + asked);
        }
    }

    /// Takes over what all replicas know.
    pub(super) fn learn(&mut self, grant: &Grant, now: Instant) {
        extend(&mut self.until, now + grant.hold);
        extend(&mut self.save_until, now + grant.save_hold);
    }

    /// How long a lane is held back, if it is.
    pub(super) fn left(&self, lane: Lane, now: Instant) -> Option<Duration> {
        let until = match lane {
            Lane::Save => self.save_until,
            Lane::Create | Lane::Observe => self.until,
        };
        until.filter(|until| *until > now).map(|until| until - now)
    }
}

fn extend(until: &mut Option<Instant>, to: Instant) {
    *until = Some(until.map_or(to, |until| until.max(to)));
}
