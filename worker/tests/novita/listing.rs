//! When a list of all instances may be called complete.

use std::ops::Range;

use crate::provider::{Canned, Provider, ok};
use serde_json::{Value, json};
use worker::novita::{
    CallContext, Gap, Instance, ListQuery, Listing, Novita, NovitaClient, NovitaError, Pages,
};

fn instances(numbers: Range<u32>) -> Vec<Value> {
    numbers
        .map(|n| json!({"id": format!("i-{n}"), "name": "x", "status": "running"}))
        .collect()
}

fn page(numbers: Range<u32>, total: u32) -> Canned {
    ok(&json!({"instances": instances(numbers), "total": total}))
}

/// Reads all pages, as whoever lists instances does.
async fn list_all(client: &NovitaClient, name: Option<&str>) -> Listing {
    let pages = Pages::new(ListQuery {
        name: name.map(str::to_owned),
        ..ListQuery::default()
    });
    to_the_end(client, pages).await
}

async fn to_the_end(client: &NovitaClient, mut pages: Pages<Instance>) -> Listing {
    loop {
        let page = client.list(pages.query(), &CallContext::default()).await;
        if let Some(listing) = pages.take(page, |instance| instance) {
            return listing;
        }
    }
}

async fn read(pages: impl IntoIterator<Item = Canned>) -> (Listing, Vec<String>) {
    let provider = Provider::start(pages).await;
    let listing = list_all(&provider.client(), None).await;
    (listing, provider.lines())
}

#[tokio::test]
async fn f13_all_pages_up_to_the_total_make_a_complete_list() {
    let (listing, lines) =
        read([page(0..100, 250), page(100..200, 250), page(200..250, 250)]).await;
    let Listing::Complete(all) = listing else {
        panic!("{listing:?}")
    };
    assert_eq!(all.len(), 250);
    let line = |n| format!("GET /gpu-instance/openapi/v1/gpu/instances?pageNum={n}&pageSize=100");
    assert_eq!(lines, [1, 2, 3].map(line));
}

#[tokio::test]
async fn a_server_with_smaller_pages_is_read_to_the_end() {
    let total = ok(&json!({"instances": instances(0..10), "total": "25"}));
    let (listing, _) = read([total, page(10..20, 25), page(20..25, 25)]).await;
    assert!(
        matches!(&listing, Listing::Complete(all) if all.len() == 25),
        "{listing:?}"
    );
}

#[tokio::test]
async fn a_name_is_passed_on_as_a_filter() {
    let provider = Provider::start([page(0..1, 1)]).await;
    list_all(&provider.client(), Some("a b")).await;
    assert!(provider.lines()[0].ends_with("pageNum=1&pageSize=100&name=a+b"));
}

#[tokio::test]
async fn an_empty_list_is_complete_only_when_it_is_said_to_be_empty() {
    for said in [
        json!({"instances": [], "total": 0}),
        json!({"instances": [], "total": "0"}),
        json!({"instances": []}),
        json!({"instances": null, "total": null}),
    ] {
        let (listing, _) = read([ok(&said)]).await;
        assert_eq!(listing, Listing::Complete(vec![]), "{said}");
    }
    let (listing, _) = read([ok(&json!({}))]).await;
    assert_eq!(
        listing,
        Listing::Incomplete {
            seen: vec![],
            why: Gap::NoTotal
        }
    );
}

async fn gap(pages: impl IntoIterator<Item = Canned>) -> (usize, Gap, usize) {
    let (listing, lines) = read(pages).await;
    let Listing::Incomplete { seen, why } = listing else {
        panic!("{listing:?}")
    };
    (seen.len(), why, lines.len())
}

#[tokio::test]
async fn whatever_is_not_proven_complete_says_why() {
    // A server that ignores the page number.
    let (seen, why, pages) = gap([page(0..100, 150)]).await;
    assert_eq!(
        (seen, why, pages),
        (
            100,
            Gap::Count {
                seen: 100,
                total: 150
            },
            2
        )
    );
    // Fewer than stated.
    let (seen, why, _) = gap([page(0..3, 5), page(0..0, 5)]).await;
    assert_eq!((seen, why), (3, Gap::Count { seen: 3, total: 5 }));
    // More than stated.
    let (seen, why, _) = gap([page(0..5, 3)]).await;
    assert_eq!((seen, why), (5, Gap::Count { seen: 5, total: 3 }));
    // An instance that slid onto the next page.
    let (seen, why, _) = gap([page(0..100, 150), page(99..149, 150)]).await;
    assert_eq!((seen, why), (149, Gap::Repeated));
    // A list that moved.
    let (_, why, _) = gap([page(0..100, 150), page(100..149, 149)]).await;
    assert_eq!(why, Gap::Changed);
    // No total, and instances.
    let (seen, why, _) = gap([ok(&json!({"instances": instances(0..3)}))]).await;
    assert_eq!((seen, why), (3, Gap::NoTotal));
}

#[tokio::test]
async fn a_page_that_fails_keeps_what_was_read_before() {
    let (seen, why, _) = gap([page(0..100, 150), Canned::Text(502, String::new())]).await;
    assert_eq!(seen, 100);
    assert!(
        matches!(why, Gap::Failed(NovitaError::Unclear(_))),
        "{why:?}"
    );
}

#[tokio::test]
async fn a_list_without_end_is_given_up_on() {
    let pages = (0..150).map(|n| page(n..n + 1, 10_000));
    let (seen, why, pages) = gap(pages).await;
    assert_eq!((seen, why, pages), (100, Gap::TooLong, 100));
}

#[tokio::test]
async fn a_list_that_is_expected_to_change_is_read_to_its_end() {
    for (last, total) in [(202..249, 248), (202..202, 200)] {
        let provider = Provider::start([
            page(0..100, 250),
            page(101..201, 249),
            page(last.clone(), total),
        ])
        .await;
        let pages = Pages::moving(ListQuery::default());
        let listing = to_the_end(&provider.client(), pages).await;
        let Listing::Incomplete { seen, why } = listing else {
            panic!("{listing:?}")
        };
        assert_eq!(why, Gap::Changed);
        assert!(
            seen.len() as u32 == 200 + last.len() as u32,
            "{} were seen",
            seen.len()
        );
    }
    let provider = Provider::start([page(0..100, 150), page(100..150, 150)]).await;
    let pages = Pages::moving(ListQuery::default());
    let listing = to_the_end(&provider.client(), pages).await;
    assert!(
        matches!(&listing, Listing::Complete(all) if all.len() == 150),
        "{listing:?}"
    );
}
