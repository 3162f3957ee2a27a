//! One job as administrators read it.

use serde::Serialize;
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;

use super::iso;
use crate::clock::Millis;
use crate::queue::admin::StoredJob;
use crate::queue::job::{Job, Priority};
use crate::queue::state::JobState;

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Which; what stands before the first colon is its kind.
    pub id: String,
    /// `instance`, `webhook`, `cron`, or what another version named.
    pub kind: String,
    /// Where it is.
    pub state: JobState,
    /// How much a full queue lets others overtake it; absent when its body is not readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The time that matters in its state; absent for a paused one.
    #[serde(flatten)]
    pub time: Option<JobTime>,
    /// How often it was handed out since it last got on.
    pub attempts: u32,
    /// How often a holder vanished since it last got on.
    pub crashes: u32,
    /// How often it failed since it last got on.
    pub failures: u32,
    /// The worker session that holds it, or held it when its lease ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// It was wanted again while it was held.
    pub wanted_again: bool,
    /// What it failed with, newest first.
    pub errors: Vec<String>,
    /// What is to be done.
    pub payload: Payload,
    /// Redis's clock when it was looked at.
    #[serde(skip)]
    pub seen_at: Millis,
}

/// The time that matters in a job's state, by Redis's clock; ISO 8601 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum JobTime {
    /// A due one.
    #[serde(serialize_with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    RunnableSince(Millis),
    /// A leased one.
    #[serde(serialize_with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    LeaseEndsAt(Millis),
    /// A delayed one.
    #[serde(serialize_with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    DueAt(Millis),
    /// A dead one.
    #[serde(serialize_with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    DiedAt(Millis),
}

/// What a job is to do, without secrets.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = JobPayload)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Payload {
    /// Look after an instance.
    Instance {
        /// Which.
        instance_id: String,
    },
    /// Deliver a webhook.
    Webhook {
        /// Of which event.
        event_id: String,
        /// Scheme, host and port of the receiver: the path may hold a secret. `None` when the stored
        /// URL is none.
        url: Option<String>,
        /// What is sent; text when it is not JSON.
        body: Value,
    },
    /// Do what comes round.
    Periodic {
        /// What.
        name: String,
    },
    /// A body that this version cannot read.
    Unreadable {
        /// Its length.
        bytes: usize,
        /// A sentence for people.
        note: &'static str,
    },
}

impl From<StoredJob> for JobView {
    fn from(job: StoredJob) -> Self {
        let kind = job.id.as_str().split_once(':').map_or("", |(kind, _)| kind);
        let time = job.at.and_then(|at| match job.state {
            JobState::Due => Some(JobTime::RunnableSince(at)),
            JobState::Leased => Some(JobTime::LeaseEndsAt(at)),
            JobState::Delayed => Some(JobTime::DueAt(at)),
            JobState::Dead => Some(JobTime::DiedAt(at)),
            JobState::Paused => None,
        });
        Self {
            kind: kind.to_owned(),
            state: job.state,
            priority: Priority::of_stored(&job.body),
            time,
            attempts: job.attempts,
            crashes: job.crashes,
            failures: job.failures,
            holder: job.holder,
            wanted_again: job.is_wanted_again,
            errors: job.errors,
            payload: match Job::parse(&job.id, &job.body) {
                Ok(parsed) => parsed.into(),
                Err(_) => Payload::Unreadable {
                    bytes: job.body.len(),
                    note: "this version cannot read the body",
                },
            },
            seen_at: job.seen_at,
            id: job.id.to_string(),
        }
    }
}

impl From<Job> for Payload {
    fn from(job: Job) -> Self {
        match job {
            Job::Reconcile { instance } => Self::Instance {
                instance_id: instance.to_string(),
            },
            Job::Webhook(delivery) => Self::Webhook {
                event_id: delivery.event_id.to_string(),
                url: origin(&delivery.url),
                body: serde_json::from_str(&delivery.body).unwrap_or_else(|_| delivery.body.into()),
            },
            Job::Periodic { name } => Self::Periodic {
                name: name.to_string(),
            },
        }
    }
}

/// Scheme, host and port of an URL.
fn origin(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::queue::{Delivery, JobId, Periodic};

    fn stored(id: &str, body: &str) -> StoredJob {
        StoredJob {
            id: JobId::stored(id.to_owned()),
            seen_at: Millis(1_795_379_160_000),
            state: JobState::Dead,
            at: Some(Millis(1_795_379_156_475)),
            attempts: 3,
            crashes: 1,
            failures: 2,
            is_wanted_again: false,
            holder: None,
            errors: vec!["HTTP 500".to_owned(), "timeout".to_owned()],
            body: body.to_owned(),
        }
    }

    fn webhook(url: &str, body: &str) -> StoredJob {
        let delivery = Delivery {
            event_id: "msg_1".parse().unwrap(),
            url: url.to_owned(),
            body: body.to_owned(),
            asked: None,
            headers: std::collections::BTreeMap::new(),
            traceparent: None,
        };
        stored("webhook:msg_1", &Job::Webhook(delivery).stored())
    }

    fn shown(job: StoredJob) -> Value {
        serde_json::to_value(JobView::from(job)).unwrap()
    }

    #[test]
    fn a_dead_webhook_shows_all_that_is_known_of_it() {
        let job = webhook("https://hooks.example.com/a", r#"{"status":"ready"}"#);
        let expected = json!({
            "id": "webhook:msg_1", "kind": "webhook", "state": "dead", "priority": "normal",
            "diedAt": "2026-11-22T20:25:56.475Z", "attempts": 3, "crashes": 1, "failures": 2,
            "wantedAgain": false, "errors": ["HTTP 500", "timeout"],
            "payload": {"eventId": "msg_1", "url": "https://hooks.example.com",
                "body": {"status": "ready"}},
        });
        assert_eq!(shown(job), expected);
    }

    #[test]
    fn no_part_of_a_webhooks_url_that_may_be_secret_shows() {
        for (url, origin) in [
            (
                "https://u-s3cret:p-s3cret@hooks.example.com:8443/s3cret?t=s3cret#s3cret",
                json!("https://hooks.example.com:8443"),
            ),
            ("http://[::1]:9/s3cret", json!("http://[::1]:9")),
            ("data:text/plain,s3cret", json!("null")),
            ("//s3cret", Value::Null),
            ("", Value::Null),
        ] {
            let job = JobView::from(webhook(url, "{}"));
            let json = serde_json::to_value(&job).unwrap();
            assert_eq!(json["payload"]["url"], origin, "{url}");
            assert!(!format!("{json} {job:?}").contains("s3cret"), "{json}");
        }
    }

    #[test]
    fn a_webhook_that_is_not_json_shows_as_text() {
        let job = shown(webhook("https://a", "not {json"));
        assert_eq!(job["payload"]["body"], "not {json");
    }

    #[test]
    fn a_body_that_cannot_be_read_shows_its_length_and_nothing_of_itself() {
        for body in [
            "",
            "2",
            "2{\"kind\":\"webhook\",\"url\":\"https://h/s3cret\"",
            "é s3cret",
        ] {
            let job = shown(stored("webhook:msg_1", body));
            assert_eq!(job["payload"]["bytes"], body.len());
            assert!(job["payload"]["note"].is_string());
            assert!(!job.to_string().contains("s3cret"), "{job}");
        }
    }

    #[test]
    fn a_kind_of_another_version_shows_by_its_name() {
        let job = shown(stored("dance:1", "9{\"kind\":\"dance\"}"));
        assert_eq!(job["kind"], "dance");
        assert!(job.get("priority").is_none(), "{job}");
    }

    #[test]
    fn every_state_names_its_time() {
        let name = |state| {
            let job = shown(StoredJob {
                state,
                ..stored("instance:inst_1", "1{}")
            });
            let names = ["runnableSince", "leaseEndsAt", "dueAt", "diedAt"];
            let names = names.into_iter().filter(|name| job[*name].is_string());
            names.collect::<Vec<_>>()
        };
        let names: Vec<_> = JobState::ALL.into_iter().map(name).collect();
        let expected: [&[_]; 5] = [
            &["runnableSince"],
            &["leaseEndsAt"],
            &["dueAt"],
            &[],
            &["diedAt"],
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn instances_and_periodic_jobs_show_what_they_are_about() {
        let instance = shown(stored("instance:inst_1", "1{"));
        assert_eq!(instance["payload"], json!({"instanceId": "inst_1"}));
        let name = Periodic::Housekeeping;
        let body = Job::Periodic { name }.stored();
        let periodic = shown(stored("cron:housekeeping", &body));
        assert_eq!(periodic["payload"], json!({"name": "housekeeping"}));
        assert_eq!(periodic["priority"], "low");
    }
}
