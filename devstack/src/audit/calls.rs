//! The provider's request log, reduced to what decides.

use serde_json::Value;

use crate::novita::{RequestRecord, Route};

/// An order.
#[derive(Debug)]
pub(super) struct Create {
    /// Its position among all requests.
    pub(super) place: usize,
    /// Real Unix milliseconds.
    pub(super) at: i64,
    pub(super) name: String,
    status: Option<u16>,
}

impl Create {
    /// The provider said clearly that nothing was made.
    pub(super) fn is_refused(&self) -> bool {
        self.status
            .is_some_and(|status| (400..500).contains(&status))
    }
}

/// A call to delete.
#[derive(Debug)]
pub(super) struct Delete {
    pub(super) place: usize,
    pub(super) at: i64,
    id: String,
}

/// A list that was answered.
#[derive(Debug)]
struct List {
    at: i64,
    query: String,
}

/// All of them, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) creates: Vec<Create>,
    deletes: Vec<Delete>,
    lists: Vec<List>,
}

impl Calls {
    pub(super) fn read(requests: &[RequestRecord]) -> Self {
        let mut calls = Self::default();
        for (place, request) in requests.iter().enumerate() {
            let (at, status) = (request.real_ms, request.status);
            match request.route {
                Some(Route::Create) => calls.creates.push(Create {
                    place,
                    at,
                    name: member(&request.body, "name"),
                    status,
                }),
                Some(Route::Delete) => calls.deletes.push(Delete {
                    place,
                    at,
                    id: member(&request.body, "instanceId"),
                }),
                Some(Route::List) if status == Some(200) => calls.lists.push(List {
                    at,
                    query: request.query.clone(),
                }),
                _ => {}
            }
        }
        calls
    }

    /// The place of the order under this name; 0 when there is none.
    pub(super) fn order_of(&self, name: &str) -> usize {
        let mut orders = self.creates.iter();
        let order = orders.find(|create| create.name == name);
        order.map_or(0, |create| create.place)
    }

    pub(super) fn deletes_of(&self, id: &str) -> impl Iterator<Item = &Delete> {
        self.deletes.iter().filter(move |delete| delete.id == id)
    }

    /// Lists between two moments that would have shown this instance: its own, and those of everything.
    pub(super) fn lists_of(&self, instance: &str, from: i64, to: i64) -> usize {
        let shows = |query: &str| query.contains(instance) || !query.contains("name=");
        let lists = self.lists.iter();
        lists
            .filter(|list| (from..=to).contains(&list.at) && shows(&list.query))
            .count()
    }
}

fn member(body: &str, name: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body[name].as_str().unwrap_or_default().to_owned()
}
