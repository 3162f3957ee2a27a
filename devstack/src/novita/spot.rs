//! How a spot instance is taken back: notice, an hour, reclaim, end.

use serde::Deserialize;

use super::clock::SimTime;
use super::settings::{Settings, SpotSettings};

/// Where a spot instance is in that story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Nobody wants it back. An earlier reclaim time may linger.
    Healthy { old_reclaim: Option<SimTime> },
    /// It will be taken at `reclaim_at`.
    Notified { reclaim_at: SimTime },
    /// It is being taken.
    Reclaiming { reclaim_at: SimTime, since: SimTime },
    /// It was taken.
    Reclaimed { reclaim_at: SimTime },
}

/// What can be done to it from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SpotAction {
    Notice,
    Reclaim,
}

/// What happens next to a running spot instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpotStep {
    Becomes(Spot),
    Ends,
}

impl Spot {
    pub(crate) const NEW: Self = Self::Healthy { old_reclaim: None };

    /// The next step of an instance running since `running_since`, and when.
    pub(crate) fn next(
        self,
        running_since: SimTime,
        settings: &SpotSettings,
    ) -> Option<(SimTime, SpotStep)> {
        match self {
            Self::Healthy { .. } => {
                let after = settings.notice_after?.max(settings.protection);
                let at = running_since.plus(after);
                Some((at, SpotStep::Becomes(Self::noticed(at, settings))))
            }
            Self::Notified { reclaim_at } => {
                let reclaiming = Self::Reclaiming {
                    reclaim_at,
                    since: reclaim_at,
                };
                Some((reclaim_at, SpotStep::Becomes(reclaiming)))
            }
            Self::Reclaiming { since, .. } => {
                Some((since.plus(settings.reclaiming), SpotStep::Ends))
            }
            Self::Reclaimed { .. } => None,
        }
    }

    pub(crate) fn noticed(now: SimTime, settings: &SpotSettings) -> Self {
        Self::Notified {
            reclaim_at: now.plus(settings.notice_period),
        }
    }

    /// The reclaim begins now, whatever was announced.
    pub(crate) fn reclaimed_now(self, now: SimTime) -> Self {
        match self {
            Self::Reclaiming { .. } => self,
            Self::Healthy { .. } | Self::Notified { .. } | Self::Reclaimed { .. } => {
                Self::Reclaiming {
                    reclaim_at: now,
                    since: now,
                }
            }
        }
    }

    /// What is left once the instance has stopped, by a reclaim or otherwise.
    pub(crate) fn stopped(self) -> Self {
        match self {
            Self::Reclaiming { reclaim_at, .. } => Self::Reclaimed { reclaim_at },
            Self::Notified { .. } => Self::NEW,
            Self::Healthy { .. } | Self::Reclaimed { .. } => self,
        }
    }

    pub(crate) fn started(self, settings: &SpotSettings) -> Self {
        match self {
            Self::Reclaimed { reclaim_at } if settings.keep_reclaim_time => Self::Healthy {
                old_reclaim: Some(reclaim_at),
            },
            Self::Healthy { .. }
            | Self::Notified { .. }
            | Self::Reclaiming { .. }
            | Self::Reclaimed { .. } => Self::NEW,
        }
    }

    /// Notice given or reclaim under way: migration is refused.
    pub(crate) fn is_wanted_back(self) -> bool {
        matches!(self, Self::Notified { .. } | Self::Reclaiming { .. })
    }

    /// `spotStatus`.
    pub(crate) fn wire_status(self, settings: &Settings) -> &str {
        match self {
            Self::Healthy { .. } => &settings.spot.healthy_status,
            Self::Notified { .. } => "notified",
            Self::Reclaiming { .. } => "reclaiming",
            Self::Reclaimed { .. } => &settings.spot.reclaimed_status,
        }
    }

    /// `spotReclaimTime`.
    pub(crate) fn wire_reclaim_time(self) -> String {
        let time = match self {
            Self::Healthy { old_reclaim } => old_reclaim,
            Self::Notified { reclaim_at }
            | Self::Reclaiming { reclaim_at, .. }
            | Self::Reclaimed { reclaim_at } => Some(reclaim_at),
        };
        time.map_or_else(|| "0".to_owned(), SimTime::wire)
    }
}
