//! The queue is followed until a signal.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use devstack::stack::eventually;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::bench::{Bench, PATIENCE, reconcile, webhook};

async fn ends_at(child: &mut Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, signal).unwrap();
    let ended = timeout(PATIENCE, child.wait()).await;
    assert_eq!(ended.expect("still watching").unwrap().code(), Some(0));
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await;
    line.expect("no line").unwrap().expect("ended")
}

/// A watch, and what it prints.
fn watch(bench: &Bench, args: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = bench.command(&[&["watch", "--interval", "1s"], args].concat());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn without_a_terminal_every_change_is_a_line() {
    let bench = Bench::new().await;
    let (mut child, mut lines) = watch(&bench, &[]);
    let line = next(&mut lines).await;
    assert!(
        line.contains("  due 0  leased 0  delayed 0  paused 0  dead 0  "),
        "{line}"
    );
    bench.queue.enqueue(&[webhook("msg_1")]).await.unwrap();
    let line = next(&mut lines).await;
    assert!(line.contains("  due 1  leased 0  "), "{line}");
    bench.beat("worker").await;
    let line = next(&mut lines).await;
    assert!(
        line.contains("  workers 1 (running 3 of 10)  paused scopes none"),
        "{line}"
    );
    ends_at(&mut child, Signal::SIGINT).await;
    assert_eq!(
        lines.next_line().await.unwrap(),
        None,
        "time alone is no change"
    );
}

#[tokio::test]
async fn as_json_every_change_is_a_document() {
    let bench = Bench::new().await;
    let (mut child, mut lines) = watch(&bench, &["--json"]);
    let first: Value = serde_json::from_str(&next(&mut lines).await).unwrap();
    assert_eq!(
        (&first["due"], &first["workers"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    bench.queue.enqueue(&[reconcile("inst_1")]).await.unwrap();
    let second: Value = serde_json::from_str(&next(&mut lines).await).unwrap();
    assert_eq!(second["due"], 1);
    assert!(second["now"].as_str() > first["now"].as_str());
    ends_at(&mut child, Signal::SIGTERM).await;
}

#[tokio::test]
async fn a_terminal_shows_the_heads_and_gets_its_screen_back() {
    let bench = Bench::new().await;
    bench.one_of_each().await;
    let size = Winsize {
        ws_row: 24,
        ws_col: 60,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut command = bench.command(&["watch"]);
    command.stdout(Stdio::from(terminal.slave));
    let mut child = command.spawn().unwrap();
    // The command holds the other end of the terminal, too.
    drop(command);
    let seen = Arc::new(Mutex::new(String::new()));
    let reader = std::thread::spawn({
        let (seen, mut master) = (Arc::clone(&seen), File::from(terminal.master));
        move || {
            let mut buffer = [0; 4096];
            // A terminal whose other end is closed reads as an error.
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]);
                seen.lock().unwrap().push_str(&text);
            }
        }
    });
    let shows = async |what: &str| {
        eventually(what, PATIENCE, async || {
            let seen = seen.lock().unwrap();
            if seen.contains(what) {
                Ok(())
            } else {
                Err(seen.clone())
            }
        })
        .await
        .unwrap();
    };
    for id in ["webhook:msg_due", "webhook:msg_leased", "webhook:msg_dead"] {
        shows(id).await;
    }
    bench.queue.enqueue(&[webhook("msg_later")]).await.unwrap();
    shows("webhook:msg_later").await;
    ends_at(&mut child, Signal::SIGINT).await;
    reader.join().unwrap();
    let seen = seen.lock().unwrap();
    assert!(
        seen.starts_with("\u{1b}[?1049h") && seen.ends_with("\u{1b}[?1049l"),
        "{seen:?}"
    );
    for frame in seen.split("\u{1b}[H").skip(1) {
        assert!(frame.matches('\n').count() < 24, "{frame}");
        for line in frame.split("\u{1b}[K").skip(1) {
            let line = line.split('\u{1b}').next().unwrap().trim_end();
            assert!(line.chars().count() <= 60, "{line:?}");
        }
    }
}
