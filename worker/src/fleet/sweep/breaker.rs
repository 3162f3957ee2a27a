//! A pass that wants to take away more than a little is a mistake until a person says otherwise.

/// Stops and deletes that are always allowed in one pass.
const ALWAYS: usize = 3;
/// Beyond that, one in so many of what is ours.
const ONE_IN: usize = 5;

/// Whether `wanted` stops and deletes among `ours` listed instances are too many: more than 3 and more
/// than 20 %. Then none is made.
pub(super) fn trips(wanted: usize, ours: usize) -> bool {
    wanted > ALWAYS && wanted * ONE_IN > ours
}

#[cfg(test)]
mod tests {
    use super::trips;

    #[test]
    fn three_are_always_allowed_and_a_fifth_of_many() {
        for (wanted, ours, expected) in [
            (0, 0, false),
            (3, 3, false),
            (4, 4, true),
            (4, 19, true),
            (4, 20, false),
            (5, 24, true),
            (5, 25, false),
            (20, 100, false),
            (21, 100, true),
        ] {
            assert_eq!(trips(wanted, ours), expected, "{wanted} of {ours}");
        }
    }
}
