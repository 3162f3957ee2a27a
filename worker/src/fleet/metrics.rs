//! What the looks at the fleet tell Prometheus.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::sweep::Outcome;

/// Gives every metric of the looks at the fleet its help text and unit.
pub(crate) fn describe() {
    describe_histogram!(
        "fleet_pass_duration_seconds",
        Unit::Seconds,
        "Passes over the provider's whole list of instances"
    );
    describe_counter!(
        "fleet_incomplete_passes_total",
        "Passes whose list was not whole, so that nothing followed from what was not in it"
    );
    describe_gauge!(
        "fleet_watched_instances",
        "Instances on their way at the provider, at the last look of this process"
    );
    describe_gauge!(
        "fleet_instances",
        "Instances in the last whole list that this process read: ours, foreign, suspect, orphan"
    );
    describe_gauge!(
        "fleet_recovery_active",
        "1 while lost records are rebuilt and nothing is stopped or deleted, else 0"
    );
    describe_counter!(
        "sweep_actions_total",
        "What was done about instances that nobody accounts for, by action and outcome"
    );
    describe_gauge!(
        "sweep_withheld_actions",
        "What would be done about them but for a dry run, a recovery or the breaker"
    );
    describe_counter!(
        "sweep_alarms_total",
        "What somebody should look at, by alarm"
    );
    // A counter that begins with its first event cannot be seen to rise.
    counter!("fleet_incomplete_passes_total").increment(0);
    for alarm in ALARMS {
        counter!("sweep_alarms_total", "alarm" => alarm).increment(0);
    }
    for action in ["rebuild", "stop", "delete"] {
        counter!("sweep_actions_total", "action" => action, "outcome" => "done").increment(0);
    }
}

const ALARMS: [&str; 6] = [
    "empty_list",
    "repeated_id",
    "recovery_entered",
    "recovery_completed",
    "breaker_tripped",
    "look_alikes",
];

pub(super) fn passed(took: Duration) {
    histogram!("fleet_pass_duration_seconds").record(took);
}

pub(super) fn incomplete() {
    counter!("fleet_incomplete_passes_total").increment(1);
}

pub(super) fn watched(instances: usize) {
    gauge!("fleet_watched_instances").set(instances as f64);
}

pub(super) fn acted(action: &'static str, outcome: &'static str) {
    counter!("sweep_actions_total", "action" => action, "outcome" => outcome).increment(1);
}

/// What a sweep came to.
pub(super) fn swept(outcome: &Outcome) {
    for alarm in &outcome.alarms {
        counter!("sweep_alarms_total", "alarm" => alarm.as_str()).increment(1);
    }
    gauge!("sweep_withheld_actions").set(outcome.withheld.len() as f64);
    gauge!("fleet_recovery_active").set(f64::from(u8::from(outcome.recovery.is_on())));
    let Some(counts) = &outcome.counts else {
        return;
    };
    for (kind, count) in [
        ("ours", counts.ours),
        ("foreign", counts.foreign),
        ("suspect", counts.suspects),
        ("orphan", counts.orphans),
    ] {
        gauge!("fleet_instances", "kind" => kind).set(count as f64);
    }
}
