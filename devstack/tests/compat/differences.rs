//! What is different on purpose. `docs/migrating-from-node.md` tells the same sentences to operators.

use crate::compare::Finding;
use crate::exchange::Exchange;

/// A difference that is meant.
pub(crate) struct Difference {
    /// One sentence for operators.
    pub(crate) why: &'static str,
    of: fn(&Exchange, &Finding) -> bool,
}

impl Difference {
    /// Whether a finding is this difference.
    pub(crate) fn explains(&self, exchange: &Exchange, finding: &Finding) -> bool {
        (self.of)(exchange, finding)
    }
}

pub(crate) static DIFFERENCES: [Difference; 1] = [Difference {
    why: "A create is answered before the provider is asked",
    of: |exchange, finding| {
        exchange.group == "create_errors" && matches!(finding, Finding::Status(_, 201))
    },
}];
