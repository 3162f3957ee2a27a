//! Resolving an order whose answer is unknown: by looking, never by repeating.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::backoff::Backoff;
use shared::clock::Millis;
use shared::fail_point::FailPoint;
use shared::model::{Attempt, AttemptState};

use super::draft::{Draft, Next};
use super::{Reconciler, failure};
use crate::novita::{Gap, Listing, Novita, ProviderStatus};

/// Gaps between looks: an order usually shows at once, and sometimes late.
const GAPS: Backoff = Backoff {
    base: Duration::from_secs(2),
    cap: Duration::from_secs(15),
};
/// Complete lists without it, after the window, that prove an order was not made.
const ABSENCES_NEEDED: u32 = 2;

impl<N: Novita> Reconciler<N> {
    /// Looks for the current attempt under its marker.
    pub(super) async fn find(&self, draft: &mut Draft<'_>) -> Next {
        let Some(attempt) = draft.status.current().cloned() else {
            return Next::NOW;
        };
        let (instances, gap) = match self.provider.list_all(&attempt.marker).await {
            Listing::Complete(instances) => (instances, None),
            Listing::Incomplete { seen, why } => {
                tracing::warn!(instance = %draft.spec.id, %why, "an incomplete list proves nothing");
                (seen, Some(why))
            }
        };
        FailPoint::OrderLookedFor.reached();
        let found = instances
            .iter()
            .filter(|instance| instance.name == attempt.marker)
            .max_by_key(|instance| instance.status != ProviderStatus::Removed);
        if let Some(instance) = found {
            draft.created(
                &instance.id,
                "found under its marker after an unclear answer",
            );
            return Next::NOW;
        }
        if let Some(wait) = gap.as_ref().and_then(Gap::held) {
            return Next::In(wait);
        }
        if gap.is_none() && self.window_left(&attempt, draft.now).is_none() {
            FailPoint::OrderMissed.reached();
            if let Some(attempt) = draft.attempt_mut() {
                attempt.absences += 1;
            }
            if attempt.absences + 1 >= ABSENCES_NEEDED {
                let reason = failure("NOT_CREATED", "the order is not in two complete lists");
                draft.move_attempt(AttemptState::Absent, Some(reason));
                draft.progress();
                return Next::NOW;
            }
        }
        draft.setback(failure(
            "CREATE_UNCLEAR",
            "the provider gave no clear answer to the order; it is being looked for",
        ));
        let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
        Next::In(GAPS.at_least_half(draft.status.setbacks, &mut rng))
    }

    /// How long an order may still show up without having shown yet; `None` once that is over. It may
    /// have been sent as late as the time-out of the call allows.
    pub(super) fn window_left(&self, attempt: &Attempt, now: Millis) -> Option<Duration> {
        let window = self.config.write_timeout + self.config.lookup_window;
        let age = Duration::from_millis(now.since(attempt.intent_at));
        window.checked_sub(age).filter(|left| !left.is_zero())
    }
}
