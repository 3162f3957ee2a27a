//! What settling costs in billed commands: exactly what its header declares.

use std::time::Duration;

use shared::model::{BillingMode, Offer, Rate, Reservation};
use shared::queue::{BATCH, Hash, Verdict, Write};
use shared::stock::StockNote;

use crate::meter::{cost, hold, jobs, pass_time, session, wake_all};
use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{
    HOUR, dead, delivery, event, failed, instance, reserve, settle, spec, webhook,
};

over_both_transports!(alone:
    settling_costs_what_its_header_declares,
    settling_a_mixture_costs_what_its_header_declares,
    what_a_settlement_brings_costs_what_its_header_declares,
    lines_for_the_log_of_deliveries_cost_what_the_header_declares,
);

async fn settling_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    for (what, verdict, own) in [
        ("done", Verdict::Done, 1),
        ("again", Verdict::Again(HOUR), 2),
        ("retry", failed(HOUR), 2),
        ("dead", dead(), 2),
    ] {
        for count in [1, BATCH] {
            let held = hold(&session, &format!("{what}{count}-"), count).await;
            let mut settlements = Vec::new();
            for job in held {
                settlements.push(job.settle(verdict.clone(), Vec::new()));
            }
            let (billed, applied) = cost(&rig, settle(&session, settlements)).await;
            assert!(applied.into_iter().all(|applied| applied));
            assert_eq!(billed, 3 + 3 + own, "{count} {what}, nothing wanted");
        }
    }
    wake_all(&rig).await;
    let released = hold(&session, "r", 1).await.remove(0);
    let settlement = vec![released.settle(Verdict::Release, Vec::new())];
    assert_eq!(
        cost(&rig, settle(&session, settlement)).await.0,
        3 + 3 + 2 + 1,
        "release"
    );

    let mut held = reserve(&session, 1).await.jobs;
    let expired = held.remove(0);
    pass_time(&rig, "l:instance:r0").await;
    let onlooker = rig.session(LONG_LEASE);
    let _ = reserve(&onlooker, 0).await;
    let late = vec![expired.settle(Verdict::Done, Vec::new())];
    assert_eq!(
        cost(&rig, settle(&session, late)).await.0,
        3 + 3 + 1 + 1,
        "a late one"
    );

    let job = hold(&session, "s", 1).await.remove(0);
    session.enqueue(&jobs("t", 1)).await.unwrap();
    let mut call = session.call(vec![job.settle(Verdict::Done, Vec::new())], 1);
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().jobs.len(), 1);
    assert_eq!(
        billed,
        3 + 7 + 1,
        "one done and the next one taken: the steady state"
    );
}

async fn settling_a_mixture_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let mixture = async |prefix: &str| {
        let held = hold(&session, prefix, 10).await;
        let verdicts = [
            Verdict::Done,
            Verdict::Again(HOUR),
            failed(HOUR),
            dead(),
            Verdict::Release,
        ];
        let mut settlements = Vec::new();
        for (job, verdict) in held.into_iter().zip(verdicts.iter().cycle()) {
            settlements.push(job.settle(verdict.clone(), Vec::new()));
        }
        session.call(settlements, 0)
    };
    let mut call = mixture("a").await;
    let (billed, _) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(billed, 3 + 3 + 5 + 1, "every verdict at once");

    let _ = reserve(&session, 2).await;
    let mut call = mixture("b").await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    session.exchange(&mut call).await.unwrap_err();
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().applied, [true; 10]);
    assert_eq!(billed, 5, "repeated");
}

async fn what_a_settlement_brings_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let spec = spec("alpha");
    let status = || Write::Status(spec.id.clone(), Box::default());
    let operation = || Write::Operation(Box::new(spec.operation()));
    let logged = |number| Write::Event(Box::new(event(&spec.id, number)));
    let release_name = || Write::ReleaseName("alpha".into(), spec.id.clone());
    let reservation = |generation, units| Reservation {
        generation,
        rate: Rate::of_units(units),
    };
    let part = |generation, units| Write::Reserve(spec.id.clone(), reservation(generation, units));
    rig.store().create(&spec).await.unwrap();
    let _ = reserve(&session, 10).await;
    let offer = offer();
    let cases: Vec<(&str, u64, Vec<Write>)> = vec![
        ("nothing", 0, vec![]),
        ("a status", 1 + 1, vec![status()]),
        ("an operation", 1 + 1, vec![operation()]),
        (
            "several statuses and operations",
            2 + 1,
            vec![status(), operation(), status(), operation()],
        ),
        (
            "three events",
            6 + 1 + 1,
            vec![logged(1), logged(2), logged(3)],
        ),
        ("a closed instance", 2, vec![Write::Close(spec.id.clone())]),
        ("a name", 2, vec![release_name()]),
        (
            "a name that it does not hold any more",
            1,
            vec![release_name()],
        ),
        (
            "the variables of two instances",
            1,
            vec![
                Write::Unset(Hash::Envs, spec.id.to_string()),
                Write::Unset(Hash::Envs, spec.id.to_string()),
            ],
        ),
        (
            "two notes of stock",
            2,
            vec![
                Write::Stock(StockNote::sold_out(&offer)),
                Write::Stock(StockNote::boot_failed(&offer)),
            ],
        ),
        (
            "a note that changes nothing",
            1,
            vec![Write::Stock(StockNote::sold_out(&offer))],
        ),
        (
            "a note of success",
            2,
            vec![Write::Stock(StockNote::booted(&offer))],
        ),
        (
            "fields of two hashes, one of them in both ways",
            3,
            vec![
                Write::Set(Hash::Bound, "p1".into(), "i1".into()),
                Write::Set(Hash::Bound, "p2".into(), "i1".into()),
                Write::Unset(Hash::Bound, "p0".into()),
                Write::Set(Hash::Watch, "i1".into(), "{}".into()),
            ],
        ),
        (
            "two reservations",
            2,
            vec![
                part(1, 5),
                Write::Reserve(instance("i2"), reservation(1, 5)),
            ],
        ),
        ("an outdated reservation", 1, vec![part(0, 9)]),
        ("a released reservation", 3, vec![part(1, 0)]),
        ("one that was released before", 1, vec![part(2, 0)]),
        (
            "two follow-up jobs",
            3,
            vec![
                Write::Enqueue(webhook("m1"), Duration::ZERO),
                Write::Enqueue(webhook("m2"), Duration::ZERO),
            ],
        ),
    ];
    for (number, (what, own, writes)) in cases.into_iter().enumerate() {
        let job = hold(&session, &format!("w{number}-"), 1).await.remove(0);
        wake_all(&rig).await;
        let settled = settle(&session, vec![job.settle(Verdict::Done, writes)]);
        let (billed, applied) = cost(&rig, settled).await;
        assert_eq!((billed, applied), (3 + 3 + 1 + own, vec![true]), "{what}");
    }
}

async fn lines_for_the_log_of_deliveries_cost_what_the_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let mut settlements = Vec::new();
    for (number, job) in hold(&session, "l", 3).await.into_iter().enumerate() {
        let line = delivery(&format!("msg_{number}"));
        settlements.push(job.settle(Verdict::Done, vec![Write::Delivery(Box::new(line))]));
    }
    wake_all(&rig).await;
    let (billed, applied) = cost(&rig, settle(&session, settlements)).await;
    assert_eq!(applied, [true; 3]);
    assert_eq!(billed, 3 + 3 + 1 + 2);
}

fn offer() -> Offer {
    Offer {
        product_id: "p".into(),
        product_name: "n".into(),
        cluster_id: "c".into(),
        region: "r".into(),
        billing_mode: BillingMode::Spot,
        unit_price: 1,
    }
}
