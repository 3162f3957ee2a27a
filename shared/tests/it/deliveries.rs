//! The log of deliveries: what settlements write, what people read, and doing deliveries over.

use shared::clock::Millis;
use shared::queue::{Asked, Hash, Job, Purpose, Reservation, Verdict, Write};
use shared::webhooks::{DeliveryLog, Entry, Fate, Gone, Range, Selection, digest};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{delivery, reserve, reserve_one, settle, webhook};

over_both_transports!(common:
    lines_are_numbered_and_read_newest_first,
    a_stale_worker_writes_no_line,
    the_log_is_a_ring,
    a_log_that_is_none_costs_its_lines_and_not_the_result,
    old_lines_are_forgotten,
    a_line_is_done_over_under_the_same_id,
    a_replay_takes_the_place_of_the_attempt_that_waits,
    of_a_range_what_nobody_has_is_done_over_once,
    a_receiver_is_gone_until_it_is_back,
);

fn log(rig: &Rig) -> DeliveryLog {
    DeliveryLog::new(rig.redis.clone(), rig.keys.clone())
}

fn all() -> Selection {
    Selection::default()
}

/// Settles one job with these lines.
async fn write(rig: &Rig, lines: Vec<Entry>) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&[webhook("msg_carrier")]).await.unwrap();
    let job = reserve_one(&session).await;
    let lines = lines
        .into_iter()
        .map(|line| Write::Delivery(Box::new(line)));
    let settlement = job.settle(Verdict::Done, lines.collect());
    assert_eq!(settle(&session, vec![settlement]).await, [true]);
}

fn line(event: &str, at: u64, fate: Fate) -> Entry {
    Entry {
        at: Millis(at),
        fate,
        ..delivery(event)
    }
}

fn numbers(page: &shared::webhooks::LogPage) -> Vec<u64> {
    page.entries.iter().map(|(number, _)| *number).collect()
}

async fn lines_are_numbered_and_read_newest_first(rig: Rig) {
    let log = log(&rig);
    assert_eq!(log.page(None, 10, &all()).await.unwrap().entries, []);
    let lines = (1..=5).map(|n| line(&format!("msg_{n}"), n, Fate::Delivered));
    write(&rig, lines.collect()).await;
    write(&rig, vec![line("msg_2", 6, Fate::Exhausted)]).await;

    let first = log.page(None, 2, &all()).await.unwrap();
    assert_eq!((numbers(&first), first.next), (vec![6, 5], Some(5)));
    let second = log.page(first.next, 2, &all()).await.unwrap();
    assert_eq!(numbers(&second), [4, 3]);
    let last = log.page(second.next, 100, &all()).await.unwrap();
    assert_eq!((numbers(&last), last.next), (vec![2, 1], None));
    assert_eq!(
        log.entry(2).await.unwrap(),
        Some(line("msg_2", 2, Fate::Delivered))
    );
    assert_eq!(log.entry(7).await.unwrap(), None);

    let of_event = Selection {
        event: Some("msg_2".parse().unwrap()),
        fate: None,
    };
    let page = log.page(None, 10, &of_event).await.unwrap();
    assert_eq!(numbers(&page), [6, 2]);
    let exhausted = Selection {
        fate: Some(Fate::Exhausted),
        ..of_event
    };
    assert_eq!(numbers(&log.page(None, 10, &exhausted).await.unwrap()), [6]);
}

async fn a_stale_worker_writes_no_line(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&[webhook("msg_1")]).await.unwrap();
    let job = reserve_one(&session).await;
    let forged = Reservation {
        token: "somebody.else".into(),
        ..job
    };
    let line = Write::Delivery(Box::new(delivery("msg_1")));
    let stale = forged.settle(Verdict::Done, vec![line]);
    assert_eq!(settle(&session, vec![stale]).await, [false]);
    assert_eq!(log(&rig).page(None, 1, &all()).await.unwrap().entries, []);
}

async fn the_log_is_a_ring(rig: Rig) {
    let kept = DeliveryLog::KEPT;
    let at = (kept - 1).to_string();
    rig.ask(["HSET", &rig.keys.deliveries(), "n", &at]).await;
    let lines = (0..3).map(|n| line(&format!("msg_{n}"), n, Fate::Delivered));
    write(&rig, lines.collect()).await;
    let fields = rig.ask(["HKEYS", &rig.keys.deliveries()]).await;
    let mut fields: Vec<_> = fields.optional_texts().unwrap();
    fields.sort();
    let expected = ["0", "1", "2", "n"].map(|field| Some(field.to_owned()));
    assert_eq!(fields, expected);
    let log = log(&rig);
    assert_eq!(log.entry(kept).await.unwrap().unwrap().at, Millis(0));
    assert_eq!(log.entry(kept + 2).await.unwrap().unwrap().at, Millis(2));
    // Where the first line of all was, another one is by now.
    assert_eq!(log.entry(1).await.unwrap(), None);
    let page = log.page(None, 100, &all()).await.unwrap();
    assert_eq!(numbers(&page), [kept + 2, kept + 1, kept]);
}

async fn a_log_that_is_none_costs_its_lines_and_not_the_result(rig: Rig) {
    rig.ask(["SET", &rig.keys.deliveries(), "x"]).await;
    write(&rig, vec![delivery("msg_1")]).await;
    rig.ask(["DEL", &rig.keys.deliveries()]).await;
    rig.ask(["HSET", &rig.keys.deliveries(), "n", "many"]).await;
    write(&rig, vec![delivery("msg_1")]).await;
    let jobs = rig.ask(["HLEN", &rig.keys.jobs()]).await;
    assert_eq!(jobs.int().unwrap(), 0);
}

async fn old_lines_are_forgotten(rig: Rig) {
    let lines = (1..=450).map(|n| line(&format!("msg_{n}"), n, Fate::Delivered));
    write(&rig, lines.collect()).await;
    let log = log(&rig);
    assert_eq!(log.forget_before(Millis(431)).await.unwrap(), 430);
    let page = log.page(None, 100, &all()).await.unwrap();
    assert_eq!(numbers(&page), (431..=450).rev().collect::<Vec<_>>());
    assert_eq!(log.forget_before(Millis(431)).await.unwrap(), 0);
    let length = rig.ask(["HLEN", &rig.keys.deliveries()]).await;
    assert_eq!(length.int().unwrap(), 20 + 2);
}

async fn a_line_is_done_over_under_the_same_id(rig: Rig) {
    write(&rig, vec![line("msg_1", 1, Fate::Exhausted)]).await;
    let log = log(&rig);
    let event = log.replay(1, Millis(9)).await.unwrap().unwrap();
    assert_eq!(event.as_str(), "msg_1");
    assert_eq!(log.replay(2, Millis(9)).await.unwrap(), None);
    let job = reserve_one(&rig.session(LONG_LEASE)).await;
    let Ok(Job::Webhook(again)) = Job::parse(&job.id, &job.body) else {
        panic!("not a webhook")
    };
    let before = delivery("msg_1");
    assert_eq!((again.url, again.body), (before.url, before.body));
    let asked = Asked {
        at: Millis(9),
        purpose: Purpose::Replay,
    };
    assert_eq!(again.asked, Some(asked));
}

async fn a_replay_takes_the_place_of_the_attempt_that_waits(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&[webhook("msg_1")]).await.unwrap();
    let job = reserve_one(&session).await;
    let retry = Verdict::Retry {
        after: crate::things::HOUR,
        error: "http_500".into(),
    };
    let line = Write::Delivery(Box::new(line("msg_1", 1, Fate::Scheduled)));
    assert_eq!(
        settle(&session, vec![job.settle(retry, vec![line])]).await,
        [true]
    );
    let log = log(&rig);
    for _ in 0..2 {
        log.replay(1, Millis(9)).await.unwrap().unwrap();
    }
    let held = reserve(&session, 10).await.jobs;
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].errors, held[0].attempt), (1, 2));
    assert_eq!(rig.scores(&rig.keys.timers()).await.len(), 1, "its lease");
}

async fn of_a_range_what_nobody_has_is_done_over_once(rig: Rig) {
    let lines = [
        ("msg_before", 9, Fate::Exhausted),
        ("msg_lost", 10, Fate::Scheduled),
        ("msg_had", 11, Fate::Delivered),
        ("msg_skipped", 12, Fate::Skipped),
        ("msg_lost", 13, Fate::Exhausted),
        ("msg_later", 14, Fate::Exhausted),
        ("msg_waits", 15, Fate::Scheduled),
        ("msg_after", 20, Fate::Exhausted),
        ("msg_later", 21, Fate::Delivered),
    ];
    let lines = lines.map(|(event, at, fate)| line(event, at, fate));
    write(&rig, lines.to_vec()).await;
    let range = |with_delivered, limit| Range {
        from: Millis(10),
        to: Millis(20),
        with_delivered,
        limit,
    };
    let (log, session) = (log(&rig), rig.session(LONG_LEASE));
    let replay = async |with_delivered, limit| {
        let done = log.replay_range(range(with_delivered, limit), Millis(99));
        let done = done.await.unwrap();
        let mut due = Vec::new();
        for job in reserve(&session, 10).await.jobs {
            due.push(job.id.to_string());
            let settlement = job.settle(Verdict::Done, Vec::new());
            assert_eq!(settle(&session, vec![settlement]).await, [true]);
        }
        due.sort();
        (done.replayed, done.remaining, due)
    };
    let due = |events: &[&str]| -> Vec<String> {
        events
            .iter()
            .map(|event| format!("webhook:{event}"))
            .collect()
    };
    assert_eq!(
        replay(false, 100).await,
        (2, 0, due(&["msg_lost", "msg_skipped"]))
    );
    // The oldest first.
    assert_eq!(replay(false, 1).await, (1, 1, due(&["msg_skipped"])));
    assert_eq!(
        replay(true, 100).await,
        (3, 0, due(&["msg_had", "msg_lost", "msg_skipped"]))
    );
}

async fn a_receiver_is_gone_until_it_is_back(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let write = async |change: Write| {
        session.enqueue(&[webhook("msg_1")]).await.unwrap();
        let job = reserve_one(&session).await;
        let settlement = job.settle(Verdict::Done, vec![change]);
        assert_eq!(settle(&session, vec![settlement]).await, [true]);
    };
    let (one, other) = ("https://a/1", "https://a/2");
    let since = |at: &str| Write::Set(Hash::Gone, digest(one), at.to_owned());
    let read = async || Gone::read(&rig.redis, &rig.keys).await.unwrap();
    write(since("5")).await;
    let gone = read().await;
    assert!(gone.has(one) && !gone.has(other));
    write(Write::Unset(Hash::Gone, digest(one))).await;
    assert!(!read().await.has(one));
    write(since("7")).await;
    for (before, forgotten) in [(7, 0), (8, 1), (8, 0)] {
        let done = Gone::forget_before(&rig.redis, &rig.keys, Millis(before));
        assert_eq!(done.await.unwrap(), forgotten);
    }
}
