//! Who ran what and when, kept outside the Redis under test: a killed process's file stays.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use shared::clock::Millis;
use shared::queue::Reservation;

/// One execution of a job's handler.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) worker: usize,
    /// How often a holder of the job had vanished by then.
    pub(crate) crashes: u32,
    pub(crate) started: Millis,
    pub(crate) ended: Option<Millis>,
}

/// One worker's file. Each line is one write to its end, so it is there whatever happens next.
pub(crate) struct Recorder(File);

impl Recorder {
    pub(crate) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Self(file.unwrap())
    }

    pub(crate) fn started(&self, job: &Reservation) {
        let Reservation {
            id, token, crashes, ..
        } = job;
        self.write(&format!(
            "start {} {id} {token} {crashes}\n",
            Millis::now().0
        ));
    }

    pub(crate) fn ended(&self, job: &Reservation) {
        let Reservation { id, token, .. } = job;
        self.write(&format!("end {} {id} {token}\n", Millis::now().0));
    }

    fn write(&self, line: &str) {
        (&self.0).write_all(line.as_bytes()).unwrap();
    }
}

/// What a worker recorded, in the order of the starts. One that never got so far recorded nothing.
pub(crate) fn read(path: &Path, worker: usize) -> Vec<Run> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut runs: Vec<Run> = Vec::new();
    // An id may come back to the same worker, but never under the same token.
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["start", at, job, token, crashes] => {
                places.insert((job, token), runs.len());
                runs.push(Run {
                    job: (*job).to_owned(),
                    worker,
                    crashes: crashes.parse().unwrap(),
                    started: Millis(at.parse().unwrap()),
                    ended: None,
                });
            }
            ["end", at, job, token] => {
                runs[places[&(*job, *token)]].ended = Some(Millis(at.parse().unwrap()));
            }
            _ => panic!("no record: {line}"),
        }
    }
    runs
}
