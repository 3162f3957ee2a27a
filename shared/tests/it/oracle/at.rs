//! Times as an observer knows them.

/// A time in ms by Redis's clock, of which only the limits may be known until Redis tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    earliest: f64,
    latest: f64,
}

impl At {
    pub(crate) fn exactly(time: f64) -> Self {
        Self::between(time, time)
    }

    pub(crate) fn between(earliest: f64, latest: f64) -> Self {
        Self { earliest, latest }
    }

    pub(crate) fn plus(self, ms: f64) -> Self {
        Self::between(self.earliest + ms, self.latest + ms)
    }

    /// The earlier of the two.
    pub(crate) fn or_before(self, other: Self) -> Self {
        Self::between(
            self.earliest.min(other.earliest),
            self.latest.min(other.latest),
        )
    }

    pub(crate) fn limits(self) -> [f64; 2] {
        [self.earliest, self.latest]
    }

    /// Whether it is surely after this time.
    pub(crate) fn is_after(self, time: f64) -> bool {
        self.earliest > time
    }

    /// Whether it can be this time; if so, it is.
    pub(crate) fn is(&mut self, time: f64) -> bool {
        let can_be = self.earliest <= time && time <= self.latest;
        if can_be {
            *self = Self::exactly(time);
        }
        can_be
    }

    /// The time, of which Redis has told by now.
    pub(crate) fn known(self) -> f64 {
        assert!(
            self.earliest >= self.latest,
            "only known to be between {self:?}"
        );
        self.earliest
    }
}
