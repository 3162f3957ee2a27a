//! The event log of an instance.

use shared::model::Event;
use shared::queue::{Reservation, Settlement, Verdict, Write};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{event, instance, reconcile, reserve, settle, take, webhook};

over_both_transports!(common:
    events_keep_the_order_in_which_they_were_written,
    an_event_log_keeps_its_newest_500_entries,
);

async fn log(rig: &Rig, name: &str) -> Vec<Event> {
    let key = rig.keys.events(&instance(name));
    let entries = rig.ask(["LRANGE", &key, "0", "-1"]).await;
    let entries = entries.optional_texts().unwrap().into_iter().flatten();
    entries
        .map(|json| serde_json::from_str(&json).unwrap())
        .collect()
}

fn write(events: &[Event]) -> Vec<Write> {
    let events = events.iter().cloned();
    events.map(|event| Write::Event(Box::new(event))).collect()
}

fn done(job: Reservation, events: &[Event]) -> Settlement {
    job.settle(Verdict::Done, write(events))
}

async fn events_keep_the_order_in_which_they_were_written(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let jobs = [reconcile("i1"), reconcile("i2"), webhook("msg_1")];
    session.enqueue(&jobs).await.unwrap();
    let mut held = reserve(&session, 3).await.jobs.into_iter();
    let (one, two) = (instance("i1"), instance("i2"));
    let mixed = [event(&one, 1), event(&two, 1), event(&one, 2)];
    let more = [event(&two, 2), event(&one, 3)];
    let settlements = vec![
        done(held.next().unwrap(), &mixed),
        done(held.next().unwrap(), &more),
        done(held.next().unwrap(), &[event(&one, 4)]),
    ];
    assert_eq!(settle(&session, settlements).await, [true; 3]);
    let numbers = |events: Vec<Event>| events.iter().map(|event| event.number).collect::<Vec<_>>();
    assert_eq!(numbers(log(&rig, "i1").await), [1, 2, 3, 4]);
    assert_eq!(numbers(log(&rig, "i2").await), [1, 2]);
    assert_eq!(log(&rig, "i1").await[0], mixed[0]);
}

async fn an_event_log_keeps_its_newest_500_entries(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    for first in [1, 201, 401] {
        let job = take(&session, reconcile("i1")).await;
        let events: Vec<_> = (first..first + 200)
            .map(|n| event(&instance("i1"), n))
            .collect();
        assert_eq!(settle(&session, vec![done(job, &events)]).await, [true]);
    }
    let kept = log(&rig, "i1").await;
    assert_eq!(kept.len(), 500);
    assert_eq!((kept[0].number, kept[499].number), (101, 600));
}
