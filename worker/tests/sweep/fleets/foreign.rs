//! Instances that are not ours, most of them made to look as if they were.

use rand::RngExt;
use rand::rngs::SmallRng;
use shared::config::Secret;
use worker::marker::Marker;
use worker::novita::{Env, Instance};

/// Turns an instance of ours into one that is not; `true` when it is a look-alike: ours but for its
/// signature.
pub(super) fn disguise(
    instance: &mut Instance,
    marker: &Marker,
    is_signed: bool,
    rng: &mut SmallRng,
) -> bool {
    if is_signed && rng.random_bool(0.4) {
        instance.envs = wrong_signature(marker, &instance.envs, rng);
        return true;
    }
    if rng.random_bool(0.1) {
        instance.is_api_instance = true;
        return false;
    }
    instance.name = wrong_name(&instance.name, marker, rng);
    false
}

fn wrong_signature(marker: &Marker, envs: &[Env], rng: &mut SmallRng) -> Vec<Env> {
    let sign = |value: String| {
        vec![Env {
            key: "NGA_SIG".into(),
            value,
        }]
    };
    let good = envs.first().map(|env| env.value.clone()).unwrap();
    match rng.random_range(0..6) {
        0 => Vec::new(),
        1 => sign(String::new()),
        2 => sign(good[..15].to_owned()),
        3 => sign(format!("{good} ")),
        4 => sign(marker.signature(&Secret::new("another secret")).unwrap()),
        _ => {
            let attempt = marker.attempt + 1;
            let other = Marker {
                attempt,
                ..marker.clone()
            };
            sign(other.signature(&Secret::new(crate::scene::SECRET)).unwrap())
        }
    }
}

/// One that differs from the right name by a character, its case, its padding, or altogether.
fn wrong_name(good: &str, marker: &Marker, rng: &mut SmallRng) -> String {
    let attempt = marker.attempt.to_string();
    let base = good.strip_suffix(&attempt).unwrap();
    let ulid = marker.instance.to_string();
    match rng.random_range(0..16) {
        0 => good.replace("-nga-", "-NGA-"),
        1 => good.replace("-nga-", "-ngq-"),
        2 => good.replace("-nga-", "-nga_"),
        3 => good.replace("a1b2c3", "z9y8x7"),
        4 => good.replace("a1b2c3", "a1b2c4"),
        5 => good.replace("a1b2c3", "A1b2c3"),
        6 => good.replace("a1b2c3", "a1b2c"),
        7 => good.replace(&ulid, &ulid.to_lowercase()),
        8 => good.replace(&ulid, &ulid[..25]),
        9 => good.replace(&ulid, &format!("8{}", &ulid[1..])),
        10 => format!("{base}0{attempt}"),
        11 => format!("{base}+{attempt}"),
        12 => format!("{base}0"),
        13 => base.to_owned(),
        14 => format!("{good}-copy"),
        _ => ["gpu-box", "", "nga", "train-nga-a1b2c3", "-nga-a1b2c3-1"][rng.random_range(0..5)]
            .to_owned(),
    }
}
