//! Since when, and how often, an instance was seen without anybody who accounts for it.

use shared::clock::Millis;
use shared::model::{Finding, Stage, Suspect};

use super::input::Pass;
use super::ownership::Ours;

/// Passes closer than this count as one: they may have seen the same moment of a list that lags.
pub(super) const PASS_GAP: u64 = 30_000;
/// Passes that must agree before anything is done.
const PASSES: u32 = 2;
/// And since when.
const MIN_AGE: u64 = 120_000;
/// Between two announcements of the same suspect.
const ANNOUNCE_EVERY: u64 = 24 * 3_600_000;

/// A suspect as this pass sees it.
pub(super) struct Look {
    pub(super) suspect: Suspect,
    /// This pass counts: it is not too close to the one before.
    pub(super) is_counted: bool,
    /// It was seen often and long enough.
    pub(super) is_ripe: bool,
    /// For how long, in ms.
    pub(super) age: u64,
}

impl Look {
    pub(super) fn at(ours: &Ours<'_>, finding: Finding, pass: &Pass<'_>) -> Self {
        let before = pass
            .suspects
            .get(&ours.listed.id)
            .filter(|before| before.finding == finding && before.name == ours.listed.name);
        let mut suspect = before.cloned().unwrap_or_else(|| Suspect {
            name: ours.listed.name.clone(),
            finding,
            first_seen: pass.now,
            passes: 0,
            last_pass: 0,
            last_seen: Millis(0),
            announced: None,
            stage: Stage::Marked,
        });
        let is_counted = suspect.passes == 0
            || (pass.number > suspect.last_pass && pass.now.since(suspect.last_seen) >= PASS_GAP);
        if is_counted {
            suspect.passes = suspect.passes.saturating_add(1);
            suspect.last_pass = pass.number;
            suspect.last_seen = pass.now;
        }
        let age = pass.now.since(suspect.first_seen);
        Self {
            is_ripe: suspect.passes >= PASSES && age >= MIN_AGE,
            suspect,
            is_counted,
            age,
        }
    }

    /// At once, and again every day. An order in the making is no orphan until it is ripe.
    pub(super) fn is_to_be_announced(&self, now: Millis) -> bool {
        match self.suspect.announced {
            None => self.suspect.finding != Finding::Awaited || self.is_ripe,
            Some(at) => now.since(at) >= ANNOUNCE_EVERY,
        }
    }
}
