//! Plain statements about one listed instance, each true or false by what the world really is.

use shared::model::{Finding, InstanceId, OrphanPolicy};
use worker::fleet::sweep::{Held, Holdings, Known};

use super::world::{Delivery, Thing, Truth, World};

/// An instance of ours as a believed list has it.
pub(super) struct Row<'a> {
    pub(super) thing: &'a Thing,
    pub(super) id: &'a InstanceId,
    pub(super) attempt: u32,
    pub(super) is_older_than_store: bool,
    record: Option<&'a Known>,
    /// Some record has it, under whatever number.
    is_held: bool,
    adopts: bool,
}

/// Every row of ours that the provider has not removed.
pub(super) fn rows<'a>(world: &'a World, delivery: &'a Delivery) -> Vec<Row<'a>> {
    let row = |thing: &'a Thing| match &thing.truth {
        Truth::Foreign { .. } => None,
        Truth::Ours {
            id,
            attempt,
            is_older_than_store,
        } => Some(Row {
            thing,
            id,
            attempt: *attempt,
            is_older_than_store: *is_older_than_store,
            record: world.records[id].as_ref(),
            is_held: is_held(world, &thing.instance.id),
            adopts: world.policy == OrphanPolicy::Adopt,
        }),
    };
    let is_there = |row: &Row<'_>| row.word() != "removed";
    let rows = delivery.things.iter().filter_map(row);
    rows.filter(is_there).collect()
}

impl<'a> Row<'a> {
    pub(super) fn provider_id(&self) -> &'a str {
        &self.thing.instance.id
    }

    pub(super) fn word(&self) -> &'a str {
        self.thing.instance.status.as_str()
    }

    pub(super) fn is_unread(&self) -> bool {
        self.record.is_none()
    }

    fn live(&self) -> Option<&'a Holdings> {
        match self.record {
            Some(Known::Live(holdings)) => Some(holdings),
            _ => None,
        }
    }

    /// It is there to stay, and nobody has it.
    pub(super) fn is_loose(&self) -> bool {
        !matches!(self.word(), "toRemove" | "removing" | "removed") && !self.is_held
    }

    /// Of the loose ones under the same id, it has the newest attempt.
    fn is_newest(&self, all: &[Row<'_>]) -> bool {
        let mut siblings = all.iter().filter(|row| row.id == self.id && row.is_loose());
        siblings.all(|other| {
            other.attempt < self.attempt
                || (other.attempt == self.attempt && other.provider_id() >= self.provider_id())
        })
    }

    fn is_first_of_twins(&self, all: &[Row<'_>]) -> bool {
        let is_twin = |row: &&Row<'_>| (row.id, row.attempt) == (self.id, self.attempt);
        let mut twins = all.iter().filter(is_twin).filter(|row| row.is_loose());
        twins.all(|row| row.provider_id() >= self.provider_id())
    }

    /// What the record has under this row's number.
    fn own(&self) -> Option<&'a Held> {
        let attempts = &self.live()?.attempts;
        attempts.iter().find(|held| held.number == self.attempt)
    }

    fn is_own_in_use(&self) -> bool {
        self.own().is_some_and(Held::is_in_use)
    }

    fn holds_any(&self) -> bool {
        let live = self.live();
        live.is_some_and(|live| live.attempts.iter().any(Held::is_in_use))
    }

    fn is_order_awaited(&self) -> bool {
        self.is_own_in_use() && self.own().is_some_and(|own| own.provider_id.is_none())
    }

    fn has_lost_its_instance(&self) -> bool {
        self.live().is_some() && !self.holds_any()
    }

    fn was_given_up_for_another(&self) -> bool {
        self.own().is_some() && !self.is_own_in_use() && self.holds_any()
    }

    /// The record has another instance of the same order, which is listed and stays where it is.
    fn has_settled_twin(&self, all: &[Row<'_>]) -> bool {
        let Some(twin) = self.own().filter(|own| own.is_in_use()) else {
            return false;
        };
        let Some(twin) = &twin.provider_id else {
            return false;
        };
        all.iter().any(|row| {
            row.provider_id() == twin.as_str()
                && (row.id, row.attempt) == (self.id, self.attempt)
                && ["running", "exited"].contains(&row.word())
        })
    }

    fn is_closed(&self) -> bool {
        matches!(self.record, Some(Known::Closed(_)))
    }

    fn is_protected(&self) -> bool {
        let holdings = self.record.and_then(Known::holdings);
        holdings.is_some_and(|holdings| holdings.is_protected)
    }

    pub(super) fn has_no_record(&self) -> bool {
        self.record == Some(&Known::Missing)
    }

    /// Why nobody accounts for it, as one of several statements that exclude each other.
    pub(super) fn finding(&self, all: &[Row<'_>], is_recovering: bool) -> Finding {
        let (newest, first) = (self.is_newest(all), self.is_first_of_twins(all));
        let no_record = self.has_no_record();
        let is_lost = no_record && self.is_older_than_store && is_recovering;
        let is_to_be_rebuilt = is_lost || (no_record && self.adopts);
        let (awaited, emptied) = (self.is_order_awaited(), self.has_lost_its_instance());
        let is_left = (awaited && !first) || ((emptied || is_to_be_rebuilt) && !newest);
        let is_spare = self.was_given_up_for_another() || self.has_settled_twin(all);
        let (closed, protected) = (self.is_closed(), self.is_protected());
        let statements = [
            (Finding::Awaited, awaited && first),
            (Finding::Unheld, emptied && newest),
            (Finding::Lost, is_lost && newest),
            (Finding::Unrecorded, no_record && !is_lost && !is_left),
            (Finding::Rival, is_left),
            (Finding::Closed, closed && !protected),
            (Finding::Superseded, is_spare && !protected),
            (Finding::Protected, (closed || is_spare) && protected),
        ];
        let mut holding = statements.iter().filter(|(_, holds)| *holds);
        let finding = holding
            .next()
            .map_or(Finding::Stray, |(finding, _)| *finding);
        assert_eq!(holding.next(), None, "{:?}", self.thing);
        finding
    }
}

/// Some record has this instance.
pub(super) fn is_held(world: &World, id: &str) -> bool {
    let records = world.records.values().flatten();
    let held = records.filter_map(Known::holdings);
    held.flat_map(|holdings| &holdings.attempts).any(|held| {
        held.is_in_use()
            && held
                .provider_id
                .as_ref()
                .is_some_and(|of| of.as_str() == id)
    })
}
