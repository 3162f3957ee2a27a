use std::time::Duration;

/// What a cache keeps, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRules {
    /// In metrics, in the API and in the shell.
    pub name: &'static str,
    /// How long an entry is fresh.
    pub ttl: Duration,
    /// How long the answer is fresh that there is nothing.
    pub absent_ttl: Duration,
    /// After its `ttl`, for so long an entry is told as stale at once while the next one is fetched.
    pub revalidate: Duration,
    /// After its `ttl`, for so long an entry stands in for one that cannot be had; with zero none
    /// ever does.
    pub stale: Duration,
    /// Entries, at most; with 0 nothing is kept, and what many ask for at once is still fetched once.
    pub max_entries: u64,
    /// Bytes of all entries, at most.
    pub max_bytes: u64,
}

impl CacheRules {
    /// Whether an entry of this age is better than nothing.
    pub(super) fn may_stand_in(&self, age: Duration) -> bool {
        !self.stale.is_zero() && age < self.ttl + self.stale
    }
}
