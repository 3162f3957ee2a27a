//! The complete log of requests to the simulated API, answered or not.

use std::collections::VecDeque;

use serde::Serialize;

use super::route::Route;

const MAX_RECORDS: usize = 100_000;

/// All kept bodies together, bytes.
const MAX_BODIES: usize = 128 << 20;

/// One request. Of its headers only the trace is kept; `Authorization` never.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    /// Simulated Unix seconds of its arrival.
    pub at: f64,
    /// Real Unix milliseconds of its arrival.
    #[serde(rename = "realMs")]
    pub real_ms: i64,
    /// The method.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The raw query, `""` if none.
    pub query: String,
    /// The body as text.
    pub body: String,
    /// The `traceparent` header.
    pub traceparent: Option<String>,
    /// The status answered; `null` while there is no answer, and for ever after a hang-up.
    pub status: Option<u16>,
    /// The endpoint; `null` for an unknown path or method.
    pub route: Option<Route>,
    /// The kinds of the faults that struck, joined by `+`; `null` if none did.
    pub fault: Option<String>,
}

/// Keeps the latest records, bounded in number and in bytes.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    records: VecDeque<RequestRecord>,
    /// Sequence number of the first record kept.
    first: u64,
    body_bytes: usize,
}

/// Names a record until its answer is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u64);

impl RequestLog {
    /// Takes a request in on arrival, so that one without an answer is there too.
    pub(crate) fn open(&mut self, record: RequestRecord) -> Ticket {
        let ticket = Ticket(self.first + self.records.len() as u64);
        self.body_bytes += record.body.len();
        self.records.push_back(record);
        while self.records.len() > MAX_RECORDS || self.body_bytes > MAX_BODIES {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.first += 1;
            self.body_bytes -= oldest.body.len();
        }
        ticket
    }

    pub(crate) fn close(&mut self, ticket: Ticket, status: u16) {
        let index = ticket.0.checked_sub(self.first).map(|index| index as usize);
        if let Some(record) = index.and_then(|index| self.records.get_mut(index)) {
            record.status = Some(status);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.first += self.records.len() as u64;
        self.records.clear();
        self.body_bytes = 0;
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &RequestRecord> {
        self.records.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &str) -> RequestRecord {
        RequestRecord {
            at: 0.0,
            real_ms: 0,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            body: body.to_owned(),
            traceparent: None,
            status: None,
            route: None,
            fault: None,
        }
    }

    #[test]
    fn an_answer_finds_its_request_after_others_were_dropped() {
        let mut log = RequestLog::default();
        let early = log.open(record("early"));
        let mut late = early;
        for _ in 0..MAX_RECORDS {
            late = log.open(record("late"));
        }
        log.close(early, 500);
        log.close(late, 200);
        assert_eq!(log.records().count(), MAX_RECORDS);
        let answered: Vec<_> = log.records().filter_map(|record| record.status).collect();
        assert_eq!(answered, [200]);
    }

    #[test]
    fn an_answer_to_a_cleared_request_is_dropped() {
        let mut log = RequestLog::default();
        let old = log.open(record(""));
        log.clear();
        log.open(record("new"));
        log.close(old, 200);
        assert_eq!(log.records().next().unwrap().status, None);
    }
}
