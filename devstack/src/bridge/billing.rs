//! Billed commands, by the rule Upstash charges by: each command, also inside a batch, and each
//! command a script runs.

use std::collections::BTreeMap;
use std::io::Error;
use std::sync::Mutex;

use serde::Serialize;

use super::lock;
use super::pool::Pool;
use super::request::Command;
use super::resp::Reply;

/// Calls by command; sub-commands as `xgroup|create`.
type Calls = BTreeMap<String, u64>;

/// What has been billed since the bridge started.
///
/// Everything the backend executed counts, also over other connections, and also what Upstash does
/// not document (`MULTI`, `EXEC`, failed commands). Calls between the last look and a crash of the
/// backend are lost with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BilledCommands {
    /// All of them.
    pub total: u64,
    /// By lower-case command name, sub-commands as `xgroup|create`.
    pub by_command: BTreeMap<String, u64>,
}

/// Turns the backend's own statistics into [`BilledCommands`].
#[derive(Debug, Default)]
pub(crate) struct Meter {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Changes with every start of the backend, which also zeroes its statistics.
    run_id: String,
    /// Calls of this run before the bridge started.
    before: Calls,
    latest: Calls,
    /// Billed in earlier runs.
    carried: Calls,
}

impl State {
    fn billed(&self) -> Calls {
        let mut billed = self.carried.clone();
        for (name, calls) in &self.latest {
            let before = self.before.get(name).copied().unwrap_or_default();
            *billed.entry(name.clone()).or_default() += calls.saturating_sub(before);
        }
        billed.retain(|_, calls| *calls > 0);
        billed
    }
}

impl Meter {
    /// Counts from now on. A backend that is down is counted from its start.
    pub(crate) async fn start(pool: &Pool) -> Self {
        let state = match read(pool).await {
            Ok((run_id, calls)) => State {
                run_id,
                before: calls.clone(),
                latest: calls,
                carried: Calls::new(),
            },
            Err(_) => State::default(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    pub(crate) async fn billed(&self, pool: &Pool) -> Result<BilledCommands, Error> {
        let (run_id, calls) = read(pool).await?;
        let mut state = lock(&self.state);
        if state.run_id != run_id {
            let carried = state.billed();
            *state = State {
                run_id,
                carried,
                ..State::default()
            };
        }
        state.latest = calls;
        let by_command = state.billed();
        Ok(BilledCommands {
            total: by_command.values().sum(),
            by_command,
        })
    }
}

async fn read(pool: &Pool) -> Result<(String, Calls), Error> {
    let info = |section| Command::new("INFO", &[section]);
    let replies = pool
        .exchange(&[info("server"), info("commandstats")])
        .await?;
    let text: Vec<_> = replies.iter().filter_map(Reply::text).collect();
    let [server, stats] = text.as_slice() else {
        return Err(Error::other("INFO failed"));
    };
    let server = String::from_utf8_lossy(server);
    let run_id = server
        .lines()
        .find_map(|line| line.strip_prefix("run_id:"))
        .unwrap_or_default();
    let calls = String::from_utf8_lossy(stats)
        .lines()
        .filter_map(calls_of)
        .collect();
    Ok((run_id.to_owned(), calls))
}

/// `cmdstat_get:calls=3,usec=…`, unless the command is free.
fn calls_of(line: &str) -> Option<(String, u64)> {
    let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(':')?;
    let calls = stats
        .strip_prefix("calls=")?
        .split(',')
        .next()?
        .parse()
        .ok()?;
    (!is_free(name)).then(|| (name.to_owned(), calls))
}

/// The published list, and `CLIENT`: not to be had over REST, it only ever sets up a connection.
fn is_free(name: &str) -> bool {
    let container = name.split('|').next().unwrap_or(name);
    matches!(
        container,
        "auth"
            | "client"
            | "hello"
            | "select"
            | "command"
            | "config"
            | "info"
            | "ping"
            | "reset"
            | "quit"
    )
}
