use super::*;
use crate::novita::Route;

const ULID: &str = "01KAVB4S3T0000000000000000";
const WINDOW: Duration = Duration::from_secs(6);

fn name(attempt: u32) -> String {
    format!("train-nga-abc123-{ULID}-{attempt}")
}

fn entry(id: &str, attempt: u32, status: &str) -> LedgerEntry {
    LedgerEntry {
        id: id.into(),
        name: name(attempt),
        envs: Vec::new(),
        status: status.into(),
        billed_seconds: 0.0,
        cost_usd: 0.0,
        created_at: "0".into(),
        product_id: String::new(),
        cluster_id: String::new(),
        gpu_num: 1,
        billing_mode: "spot".into(),
    }
}

fn request(route: Route, at: i64, body: String, status: Option<u16>) -> RequestRecord {
    RequestRecord {
        at: 0.0,
        real_ms: at,
        method: String::new(),
        path: String::new(),
        query: format!("pageNum=1&name=nga-abc123-{ULID}"),
        body,
        traceparent: None,
        status,
        route: Some(route),
        fault: None,
    }
}

fn create(at: i64, attempt: u32, status: Option<u16>) -> RequestRecord {
    let body = format!(r#"{{"name":"{}"}}"#, name(attempt));
    request(Route::Create, at, body, status)
}

fn delete(at: i64, id: &str) -> RequestRecord {
    let body = format!(r#"{{"instanceId":"{id}"}}"#);
    request(Route::Delete, at, body, Some(200))
}

fn list(at: i64) -> RequestRecord {
    request(Route::List, at, String::new(), Some(200))
}

fn attempt(number: u32, intent_at: i64, fate: Fate) -> Attempt {
    Attempt {
        marker: name(number),
        intent_at,
        fate,
    }
}

/// A deletion was asked for at 20 s and confirmed; two orders were written down.
fn wish() -> Wish {
    Wish {
        deleted_at: Some(20_000),
        is_over: true,
        broken: BTreeSet::new(),
        taken: BTreeSet::new(),
        attempts: vec![
            attempt(1, 1000, Fate::NotFound(2)),
            attempt(2, 9000, Fate::Known),
        ],
    }
}

fn faults(ledger: &[LedgerEntry], requests: &[RequestRecord], wish: Wish) -> Vec<Fault> {
    let evidence = Evidence {
        deployment: "abc123",
        ledger,
        requests,
        wishes: &BTreeMap::from([(ULID.to_owned(), wish)]),
        window: WINDOW,
    };
    let findings = evidence.findings();
    findings.into_iter().map(|finding| finding.fault).collect()
}

#[test]
fn one_that_was_looked_for_ordered_again_and_removed_on_request_is_in_order() {
    let requests = [
        create(1000, 1, None),
        list(7100),
        list(8900),
        create(9000, 2, Some(200)),
        delete(20_001, "a"),
    ];
    let found = faults(&[entry("a", 2, "removed")], &requests, wish());
    assert_eq!(found, []);
}

#[test]
fn what_runs_after_its_caller_was_told_that_it_is_gone_is_leaked() {
    let mut wish = wish();
    wish.attempts.remove(0);
    let requests = [create(9000, 2, Some(200))];
    let found = faults(&[entry("a", 2, "running")], &requests, wish.clone());
    assert_eq!(found, [Fault::Leaked]);
    wish.is_over = false;
    assert_eq!(faults(&[entry("a", 2, "running")], &requests, wish), []);
}

#[test]
fn what_the_provider_took_back_may_be_replaced_and_one_of_the_two_always_stands() {
    let ledger = [entry("a", 1, "removed"), entry("b", 2, "removed")];
    let (first, second) = (create(1000, 1, Some(200)), create(9000, 2, Some(200)));
    let mut wish = wish();
    wish.attempts[0].fate = Fate::Known;
    wish.taken.insert("a".into());
    let replaced = [first.clone(), second.clone(), delete(12_000, "a")];
    assert_eq!(faults(&ledger, &replaced, wish.clone()), []);
    let dropped = [first.clone(), second.clone(), delete(12_000, "b")];
    assert_eq!(faults(&ledger, &dropped, wish.clone()), []);
    let hasty = [first.clone(), delete(2000, "a"), second.clone()];
    let none_stood = faults(&ledger, &hasty, wish.clone());
    assert_eq!(none_stood, [Fault::WronglyDeleted]);
    let both = [first, second, delete(12_000, "a"), delete(12_001, "b")];
    assert_eq!(faults(&ledger, &both, wish), [Fault::WronglyDeleted]);
}

#[test]
fn a_second_instance_is_a_duplicate_unless_the_first_was_discarded_before() {
    let ledger = [entry("a", 1, "removed"), entry("b", 2, "removed")];
    let (first, second) = (create(1000, 1, Some(200)), create(9000, 2, Some(200)));
    let discarded = delete(2000, "a");
    let calm = [first.clone(), discarded.clone(), second.clone()];
    let mut broken = wish();
    broken.broken.insert("a".into());
    assert_eq!(faults(&ledger, &calm, broken), []);
    let not_broken = faults(&ledger, &calm, wish());
    assert_eq!(
        not_broken,
        [Fault::WronglyDeleted],
        "nothing was wrong with it"
    );
    let hasty = [first, second, discarded];
    assert_eq!(faults(&ledger, &hasty, wish()), [Fault::Duplicated]);
}

#[test]
fn a_deletion_before_anybody_asked_is_wrong_unless_the_instance_was_broken() {
    let mut wish = wish();
    wish.attempts.remove(0);
    let ledger = [entry("a", 2, "removed")];
    let requests = [create(9000, 2, Some(200)), delete(19_999, "a")];
    let found = faults(&ledger, &requests, wish.clone());
    assert_eq!(found, [Fault::WronglyDeleted]);
    wish.broken.insert("a".into());
    assert_eq!(faults(&ledger, &requests, wish), []);
}

#[test]
fn an_order_is_blind_unless_two_lists_after_the_window_missed_the_one_before() {
    let early = [list(2000), list(5400), list(7100)];
    let mut requests = vec![create(1000, 1, None)];
    requests.extend(early);
    requests.push(create(9000, 2, Some(200)));
    let ledger = [entry("a", 2, "running")];
    let mut wish = wish();
    wish.is_over = false;
    assert_eq!(
        faults(&ledger, &requests, wish.clone()),
        [Fault::BlindCreate]
    );
    requests[0].status = Some(400);
    assert_eq!(
        faults(&ledger, &requests, wish),
        [],
        "a clear no needs no look"
    );
}

#[test]
fn an_order_sent_twice_or_never_written_down_is_blind() {
    let ledger = [entry("a", 1, "running")];
    let mut wish = wish();
    wish.is_over = false;
    wish.attempts.truncate(1);
    let twice = [create(1000, 1, Some(500)), create(1100, 1, Some(200))];
    assert_eq!(faults(&ledger, &twice, wish.clone()), [Fault::BlindCreate]);
    wish.attempts.clear();
    let once = [create(1000, 1, Some(200))];
    assert_eq!(faults(&ledger, &once, wish), [Fault::BlindCreate]);
}

#[test]
fn an_intent_that_was_never_sent_is_to_be_resolved_too() {
    let unresolved = [
        (Fate::Unknown, 9000),
        (Fate::NotFound(1), 9000),
        (Fate::NotFound(2), 6000),
    ];
    for (fate, next) in unresolved {
        let mut wish = wish();
        wish.attempts = vec![attempt(1, 1000, fate), attempt(2, next, Fate::Known)];
        assert_eq!(faults(&[], &[], wish), [Fault::BlindCreate], "{fate:?}");
    }
}

#[test]
fn a_log_that_has_lost_an_order_acquits_nobody() {
    let mut wish = wish();
    wish.is_over = false;
    let found = faults(&[entry("a", 2, "running")], &[], wish);
    assert_eq!(found, [Fault::BlindCreate]);
}

#[test]
fn others_instances_are_not_judged() {
    let mut entry = entry("a", 1, "running");
    entry.name = format!("train-nga-zzz999-{ULID}-1");
    assert_eq!(faults(&[entry], &[], Wish::default()), []);
    assert_eq!(Name::parse("nga-abc123"), None);
}
