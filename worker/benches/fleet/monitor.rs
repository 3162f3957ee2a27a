//! When instances were made due and when their events were written, as Redis saw it: its `MONITOR`
//! tells every command, those inside scripts included, with a time in microseconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::task::AbortOnDropHandle;

use crate::deployment::Deployment;

/// Milliseconds since the Unix epoch, as all moments here.
pub(crate) type Moment = f64;

/// What was seen of one instance, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    /// It became runnable.
    pub(crate) due: Vec<Moment>,
    /// A settlement wrote an event of this type.
    pub(crate) events: Vec<(Moment, String)>,
}

/// Listens until it is dropped.
pub(crate) struct Monitor {
    traces: Arc<Mutex<HashMap<String, Trace>>>,
    _listening: AbortOnDropHandle<()>,
}

impl Monitor {
    /// Begins to listen.
    pub(crate) async fn start(deployment: &Deployment) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(deployment.server().addr()).await?;
        let (reader, mut writer) = stream.into_split();
        writer.write_all(b"MONITOR\r\n").await?;
        let mut lines = BufReader::new(reader).lines();
        lines.next_line().await?.context("no answer to MONITOR")?;
        let traces = Arc::new(Mutex::new(HashMap::new()));
        let keys = Deployment::keys();
        let words = Words {
            due: format!("\"ZADD\" \"{}\"", keys.ready()),
            event: format!("\"RPUSH\" \"{}", keys.ready().trim_end_matches("ready")),
        };
        let listening = tokio::spawn(listen(lines, writer, words, Arc::clone(&traces)));
        Ok(Self {
            traces,
            _listening: AbortOnDropHandle::new(listening),
        })
    }

    /// What was seen of everybody so far, by our id.
    pub(crate) fn traces(&self) -> HashMap<String, Trace> {
        let traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        traces.clone()
    }
}

/// How the lines begin that matter.
struct Words {
    due: String,
    event: String,
}

async fn listen(
    mut lines: Lines<BufReader<OwnedReadHalf>>,
    _writer: tokio::net::tcp::OwnedWriteHalf,
    words: Words,
    traces: Arc<Mutex<HashMap<String, Trace>>>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let mut traces = traces.lock().unwrap_or_else(PoisonError::into_inner);
        note(&line, &words, &mut traces);
    }
}

/// `+1700000000.123456 [0 lua] "ZADD" "bench:{0}:ready" "LT" "1700000000123" "instance:01…"`
fn note(line: &str, words: &Words, traces: &mut HashMap<String, Trace>) -> Option<()> {
    let (time, command) = line.strip_prefix('+')?.split_once(" [0 lua] ")?;
    if let Some(members) = command.strip_prefix(words.due.as_str()) {
        let moment = time.parse::<f64>().ok()? * 1000.0;
        for member in members.split("\"instance:").skip(1) {
            let (id, _) = member.split_once('"')?;
            traces.entry(id.to_owned()).or_default().due.push(moment);
        }
    } else if let Some(event) = command.strip_prefix(words.event.as_str()) {
        let moment = time.parse::<f64>().ok()? * 1000.0;
        let (id, event) = event.strip_prefix("events:")?.split_once('"')?;
        let (_, kind) = event.split_once(r#"\"type\":\""#)?;
        let (kind, _) = kind.split_once('\\')?;
        let trace = traces.entry(id.to_owned()).or_default();
        trace.events.push((moment, kind.to_owned()));
    }
    Some(())
}
