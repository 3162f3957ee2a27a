//! The test vectors of the Upstash REST reference, sent over plain HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod bridge_support;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bridge_support::{Answer, Stack, TOKEN, send};
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use serde_json::Value;

const VECTORS: &str = include_str!("data/upstash-vectors.jsonl");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "basis and note are for the reader of the data")]
struct Vector {
    id: String,
    who: Option<String>,
    #[serde(default)]
    pre: Vec<Preparation>,
    req: Request,
    res: Expected,
    basis: String,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Preparation {
    Plain(Vec<String>),
    /// The last argument is base64.
    Binary {
        b64: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    m: String,
    t: String,
    #[serde(default)]
    h: BTreeMap<String, String>,
    b: Option<String>,
    b64: Option<String>,
    #[serde(default)]
    noauth: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    s: u16,
    #[serde(default, deserialize_with = "present")]
    j: Option<Value>,
    err: Option<String>,
    list: Option<Vec<Value>>,
    any: Option<Vec<Value>>,
    raw: Option<String>,
    #[serde(default)]
    empty: bool,
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl Preparation {
    fn words(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Plain(words) => words.iter().map(|word| word.clone().into_bytes()).collect(),
            Self::Binary { b64 } => {
                let (last, words) = b64.split_last().unwrap();
                let words = words.iter().map(|word| word.clone().into_bytes());
                words.chain([STANDARD.decode(last).unwrap()]).collect()
            }
        }
    }
}

impl Expected {
    fn is_met_by(&self, answer: &Answer) -> bool {
        let error_is = |value: &Value, prefix: &str| {
            let error = value["error"].as_str();
            error.is_some_and(|error| error.starts_with(prefix)) && value.get("result").is_none()
        };
        let entry_is = |given: &Value, wanted: &Value| match wanted.get("err") {
            Some(prefix) => error_is(given, prefix.as_str().unwrap()),
            None => given == wanted,
        };
        answer.status == self.s
            && self.j.as_ref().is_none_or(|json| answer.json() == *json)
            && self
                .err
                .as_ref()
                .is_none_or(|prefix| error_is(&answer.json(), prefix))
            && self
                .any
                .as_ref()
                .is_none_or(|choices| choices.contains(&answer.json()))
            && self
                .raw
                .as_ref()
                .is_none_or(|raw| answer.body == raw.as_bytes())
            && (!self.empty || answer.body.is_empty())
            && self.list.as_ref().is_none_or(|wanted| {
                answer.json().as_array().is_some_and(|given| {
                    given.len() == wanted.len()
                        && given
                            .iter()
                            .zip(wanted)
                            .all(|(given, wanted)| entry_is(given, wanted))
                })
            })
    }
}

async fn prepare(redis: &mut MultiplexedConnection, vector: &Vector) {
    let mut pipeline = redis::pipe();
    pipeline.cmd("FLUSHALL").cmd("SCRIPT").arg("FLUSH");
    for preparation in &vector.pre {
        let mut command = redis::Cmd::new();
        command.arg(preparation.words());
        pipeline.add_command(command);
    }
    pipeline.exec_async(redis).await.unwrap();
}

async fn ask(stack: &Stack, request: &Request) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let mut headers: Vec<(&str, &str)> = request
        .h
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if !request.noauth {
        headers.push(("Authorization", &authorization));
    }
    let body = match (&request.b, &request.b64) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(encoded)) => STANDARD.decode(encoded).unwrap(),
        (None, None) => Vec::new(),
    };
    let answer = send(stack.bridge.addr(), &request.m, &request.t, &headers, &body).await;
    answer.expect("no answer")
}

#[tokio::test]
async fn every_vector_that_applies_to_a_bridge_holds() {
    let stack = Stack::start().await;
    let client = redis::Client::open(stack.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let (mut run, mut failures) = (0, Vec::new());
    for line in VECTORS.lines() {
        let vector: Vector = serde_json::from_str(line).unwrap();
        if vector.who.as_deref() == Some("upstash") {
            continue;
        }
        prepare(&mut connection, &vector).await;
        let answer = ask(&stack, &vector.req).await;
        if !vector.res.is_met_by(&answer) {
            failures.push(format!(
                "{}: {} {}",
                vector.id,
                answer.status,
                answer.text()
            ));
        }
        run += 1;
    }
    assert!(
        failures.is_empty(),
        "{} of {run} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(run, 111);
}
