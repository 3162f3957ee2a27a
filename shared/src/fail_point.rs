//! Places where a process can be told to kill itself, for tests that ask what a kill there leaves behind.
//!
//! Only with the feature `fail-points`, which no production build has; without it [`FailPoint::reached`] is empty.
//! With it, the variable `FAIL_POINT=<name>` or `<name>:<n>` arms one point: the first, or the n-th time
//! that this process gets there, it dies by SIGKILL.

/// A place, in the order in which one request passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailPoint {
    /// The API has read a create, and nothing of it is stored.
    ApiCreateRead,
    /// A create is durable; its caller has not been told.
    ApiCreateAccepted,
    /// The API has read a change, such as a delete, and nothing of it is stored.
    ApiChangeRead,
    /// A change is durable; its caller has not been told.
    ApiChangeAccepted,
    /// The queue has handed out jobs, and nobody has begun with them.
    JobsReserved,
    /// An instance's record is read, and no step is chosen.
    RecordRead,
    /// An order is to be made, and nothing left over was looked for.
    OrderBegun,
    /// The offer is chosen, and no intent is written down.
    OfferChosen,
    /// The intent is written down, and nothing is sent.
    IntentWritten,
    /// The provider has made the instance and answered; the answer is not read.
    CreateAnswered,
    /// The provider's id is known to this process alone.
    CreateRead,
    /// A list was read to find an order, and nothing is concluded from it.
    OrderLookedFor,
    /// A complete list after the window did not have the order.
    OrderMissed,
    /// What remains is to be deleted, and the call is not made.
    BeforeDelete,
    /// The provider accepted the deletion; that is not stored.
    DeleteAccepted,
    /// What is being removed is missing by id, and that is no proof yet.
    InstanceMissed,
    /// The absence is proved; that is not stored.
    AbsenceProved,
    /// Nothing is left at the provider; the record is not closed.
    BeforeClose,
    /// A step is over; nothing of it is stored.
    StepTaken,
    /// Results are on their way to the queue.
    BeforeSettle,
    /// Results are stored; this process has not noticed.
    Settled,
    /// A webhook is due, and not sent.
    BeforeWebhook,
    /// A webhook was answered; that is not stored.
    WebhookSent,
}

impl FailPoint {
    /// Every one of them.
    pub const ALL: [Self; 23] = [
        Self::ApiCreateRead,
        Self::ApiCreateAccepted,
        Self::ApiChangeRead,
        Self::ApiChangeAccepted,
        Self::JobsReserved,
        Self::RecordRead,
        Self::OrderBegun,
        Self::OfferChosen,
        Self::IntentWritten,
        Self::CreateAnswered,
        Self::CreateRead,
        Self::OrderLookedFor,
        Self::OrderMissed,
        Self::BeforeDelete,
        Self::DeleteAccepted,
        Self::InstanceMissed,
        Self::AbsenceProved,
        Self::BeforeClose,
        Self::StepTaken,
        Self::BeforeSettle,
        Self::Settled,
        Self::BeforeWebhook,
        Self::WebhookSent,
    ];

    /// Its name in `FAIL_POINT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiCreateRead => "api-create-read",
            Self::ApiCreateAccepted => "api-create-accepted",
            Self::ApiChangeRead => "api-change-read",
            Self::ApiChangeAccepted => "api-change-accepted",
            Self::JobsReserved => "jobs-reserved",
            Self::RecordRead => "record-read",
            Self::OrderBegun => "order-begun",
            Self::OfferChosen => "offer-chosen",
            Self::IntentWritten => "intent-written",
            Self::CreateAnswered => "create-answered",
            Self::CreateRead => "create-read",
            Self::OrderLookedFor => "order-looked-for",
            Self::OrderMissed => "order-missed",
            Self::BeforeDelete => "before-delete",
            Self::DeleteAccepted => "delete-accepted",
            Self::InstanceMissed => "instance-missed",
            Self::AbsenceProved => "absence-proved",
            Self::BeforeClose => "before-close",
            Self::StepTaken => "step-taken",
            Self::BeforeSettle => "before-settle",
            Self::Settled => "settled",
            Self::BeforeWebhook => "before-webhook",
            Self::WebhookSent => "webhook-sent",
        }
    }

    /// This process is here; it does not get further if this is the armed point and its time has come.
    #[inline]
    pub fn reached(self) {
        #[cfg(feature = "fail-points")]
        armed::reached(self);
    }
}

#[cfg(feature = "fail-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::FailPoint;

    /// The armed point, and how often it is still passed alive.
    struct Armed {
        name: String,
        passages_left: AtomicU32,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let given = std::env::var("FAIL_POINT").ok()?;
        let (name, passage) = given.split_once(':').unwrap_or((&given, "1"));
        let passage: u32 = passage.parse().unwrap_or(1);
        Some(Armed {
            name: name.to_owned(),
            passages_left: AtomicU32::new(passage.saturating_sub(1)),
        })
    });

    pub(super) fn reached(point: FailPoint) {
        let Some(armed) = ARMED.as_ref().filter(|armed| armed.name == point.name()) else {
            return;
        };
        let left = |left: u32| left.checked_sub(1);
        let passed = (armed.passages_left).fetch_update(Ordering::AcqRel, Ordering::Acquire, left);
        if passed.is_err() {
            let _ = kill(Pid::this(), Signal::SIGKILL);
            // The signal may reach another thread first; this one does nothing more.
            loop {
                std::thread::park();
            }
        }
    }
}
