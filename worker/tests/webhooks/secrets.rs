//! What neither logs nor metrics may hold.

use devstack::stack::{Stack, WEBHOOK_SECRET};

use crate::rig::{PAYLOAD, QUERY};

/// Of all that the processes wrote and tell, nothing is a secret, a query or a payload.
pub(crate) async fn nothing_was_told(stack: &Stack) {
    let mut texts = Vec::new();
    for file in std::fs::read_dir(stack.logs()).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        texts.push((path.display().to_string(), text));
    }
    assert!(!texts.is_empty(), "a worker writes a log");
    for worker in stack
        .workers()
        .iter()
        .filter(|worker| worker.pid().is_some())
    {
        let url = format!("{}/metrics", worker.admin_url());
        let answer = devstack::http::client().get(&url).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(text.contains("webhook_attempts_total"), "{text}");
        texts.push((url, text));
    }
    let key = WEBHOOK_SECRET.trim_start_matches("whsec_");
    for (place, text) in texts {
        for secret in [QUERY, PAYLOAD, key, "v1,", "sha256="] {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
}
