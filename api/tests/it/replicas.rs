//! Several real processes, of which some are ended in the middle of their work.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::time::{Instant, timeout};
use ulid::Ulid;

use crate::harness::{PATIENCE, Raw, shared_redis, wish};
use crate::start::serving;

/// Processes that share one Redis and one prefix.
struct Replicas {
    children: Vec<Child>,
    addresses: Vec<SocketAddr>,
}

impl Replicas {
    async fn start(count: usize, more: &[(&str, &str)]) -> Self {
        let url = shared_redis().await.url();
        let prefix = format!("replicas-{}", Ulid::generate());
        let mut variables = vec![("REDIS_URL", url.as_str()), ("REDIS_KEY_PREFIX", &prefix)];
        variables.extend(more);
        let (mut children, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (child, address) = serving(&variables).await;
            children.push(child);
            addresses.push(address.parse().unwrap());
        }
        Self {
            children,
            addresses,
        }
    }

    fn terminate(&self, which: usize) {
        let pid = self.children[which].id().unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
    }

    /// How many instances there are, as this process tells.
    async fn total(&self, which: usize) -> Value {
        let url = format!("http://{}/api/instances?pageSize=1", self.addresses[which]);
        let list = devstack::http::client().get(url).send().await.unwrap();
        list.json::<Value>().await.unwrap()["total"].clone()
    }
}

/// Asks for one instance, at one process after the other, until an answer comes.
async fn insist(addresses: &[SocketAddr], first: usize, name: &str) -> Value {
    let client = devstack::http::client();
    for turn in 0.. {
        let address = addresses[(first + turn) % addresses.len()];
        let request = client
            .post(format!("http://{address}/api/instances"))
            .header("idempotency-key", name)
            .timeout(PATIENCE)
            .json(&wish(name));
        let Ok(answer) = request.send().await else {
            continue;
        };
        assert_eq!(answer.status(), StatusCode::CREATED);
        if let Ok(body) = answer.json().await {
            return body;
        }
    }
    unreachable!("the turns end")
}

#[tokio::test]
async fn equal_creates_at_three_processes_of_which_two_are_killed_make_one_instance() {
    for round in 0..3 {
        let mut replicas = Replicas::start(3, &[]).await;
        let addresses = replicas.addresses.clone();
        let asked = join_all((0..100).map(|first| insist(&addresses, first, "insisted")));
        let survivor = (round + 2) % 3;
        let killed = async {
            // In the middle of it: some are answered, some are on their way, some are not read yet.
            while replicas.total(survivor).await == 0 {}
            for victim in [round, (round + 1) % 3] {
                replicas.children[victim].kill().await.unwrap();
            }
        };
        let done = timeout(PATIENCE, async { tokio::join!(asked, killed) });
        let (answers, ()) = done.await.unwrap();
        for answer in &answers {
            assert_eq!(answer, &answers[0]);
        }
        assert_eq!(replicas.total(survivor).await, 1);
    }
}

/// A client that keeps its connection, and tries once more where it cannot connect.
async fn ask(
    client: &Client,
    addresses: &[SocketAddr],
    path: &str,
    body: Option<&Value>,
) -> String {
    let mut last = String::new();
    for address in addresses {
        let url = format!("http://{address}{path}");
        let request = match body {
            Some(body) => client.post(url).json(body),
            None => client.get(url),
        };
        match request.timeout(PATIENCE).send().await {
            Ok(answer) if answer.status().is_success() => return String::new(),
            Ok(answer) => return answer.status().to_string(),
            Err(error) if error.is_connect() => last = format!("{error:?}"),
            Err(error) => return format!("{error:?}"),
        }
    }
    last
}

#[tokio::test]
async fn sigterm_under_load_fails_no_request() {
    let mut replicas = Replicas::start(2, &[("SHUTDOWN_DELAY_MS", "500")]).await;
    let addresses = replicas.addresses.clone();
    let (is_over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = join_all((0..16).map(async |caller| {
        let client = devstack::http::client();
        let mut failures = Vec::new();
        for turn in 0.. {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let body = wish(&format!("load-{caller}-{turn}"));
            let body = (turn % 4 == 0).then_some(&body);
            let failure = ask(&client, &addresses, "/api/instances?pageSize=1", body).await;
            if failure.is_empty() {
                served.fetch_add(1, Ordering::Relaxed);
            } else {
                failures.push(failure);
            }
        }
        failures
    }));
    let ended = async {
        let busy = async |count: usize| {
            while served.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, busy(200)).await.unwrap();
        replicas.terminate(0);
        let code = timeout(PATIENCE, replicas.children[0].wait()).await;
        // And the other one goes on with what was asked of both.
        let so_far = served.load(Ordering::Relaxed);
        timeout(PATIENCE, busy(so_far + 100)).await.unwrap();
        is_over.store(true, Ordering::Relaxed);
        code.unwrap().unwrap().code()
    };
    let (failures, code) = tokio::join!(load, ended);
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn clients_that_never_finish_hold_a_process_until_its_deadline_and_no_longer() {
    let variables = [("SHUTDOWN_TIMEOUT_MS", "1500")];
    let mut replicas = Replicas::start(1, &variables).await;
    let mut stuck = Vec::new();
    for kind in 0..30 {
        let mut raw = Raw::open(replicas.addresses[0]).await;
        match kind % 3 {
            0 => raw.begin_create(1000).await,
            1 => raw.send(b"GET /livez HT").await,
            // Waits for a worker, and there is none.
            _ => {
                let body = wish(&format!("stuck-{kind}")).to_string();
                let head = format!(
                    "POST /api/instances HTTP/1.1\r\nhost: a\r\nprefer: wait=60\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                raw.send(head.as_bytes()).await;
            }
        }
        stuck.push(raw);
    }
    let accepted = async { while replicas.total(0).await != json!(10) {} };
    timeout(PATIENCE, accepted).await.unwrap();
    let told = Instant::now();
    replicas.terminate(0);
    // Whoever only waits is answered at once, and was not in vain.
    for raw in stuck.iter_mut().skip(2).step_by(3) {
        assert_eq!(raw.answer().await.status, 201);
    }
    assert!(told.elapsed() < Duration::from_millis(1500));
    let ended = timeout(PATIENCE, replicas.children[0].wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    let took = told.elapsed();
    assert!((1400..5000).contains(&took.as_millis()), "{took:?}");
}
