//! Every key name, spelled in this one place.

/// The keys of one deployment, all under one hash tag so that a script may touch them together.
#[derive(Debug, Clone)]
pub struct Keys {
    base: String,
}

impl Keys {
    /// The keys of the deployment with this prefix.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        // One partition today; a deployment that outgrows one shard gets more tags, made here.
        Self {
            base: format!("{prefix}:{{0}}:"),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }

    /// HASH instance id → spec, written by the API.
    #[must_use]
    pub fn spec(&self) -> String {
        self.key("spec")
    }

    /// HASH instance id → status, written by the lease holder.
    #[must_use]
    pub fn status(&self) -> String {
        self.key("status")
    }

    /// ZSET instance id by the time it was accepted, in ms.
    #[must_use]
    pub fn index(&self) -> String {
        self.key("index")
    }

    /// ZSET instance id by the time it was closed, in ms: what may be pruned, oldest first.
    #[must_use]
    pub fn closed(&self) -> String {
        self.key("closed")
    }

    /// HASH name → id of the one live instance of that name.
    #[must_use]
    pub fn names(&self) -> String {
        self.key("names")
    }

    /// HASH instance id → its caller's environment variables, encrypted.
    #[must_use]
    pub fn envs(&self) -> String {
        self.key("envs")
    }

    /// HASH offer, cluster or boots of an offer → until when nobody asks for it.
    #[must_use]
    pub fn stock_outs(&self) -> String {
        self.key("stockouts")
    }

    /// HASH instance id, or `x:` and the provider's id of a foreign one → what the provider's list showed;
    /// `pass` → how the last pass over it went; `birth` → when the first one was.
    #[must_use]
    pub fn fleet(&self) -> String {
        self.key("fleet")
    }

    /// HASH field of the fleet → digest of what it holds.
    #[must_use]
    pub fn marks(&self) -> String {
        self.key("marks")
    }

    /// HASH the provider's id → the instance whose attempt it is, as long as it may exist.
    #[must_use]
    pub fn bound(&self) -> String {
        self.key("bound")
    }

    /// HASH instance id → what is waited for at the provider.
    #[must_use]
    pub fn watch(&self) -> String {
        self.key("watch")
    }

    /// HASH the provider's id → an instance that nobody accounts for.
    #[must_use]
    pub fn suspects(&self) -> String {
        self.key("suspects")
    }

    /// HASH instance id → when it was used last, in ms.
    #[must_use]
    pub fn last_used(&self) -> String {
        self.key("last_used")
    }

    /// HASH the newest attempts to deliver webhooks: a ring; `n` → how many there were, `f` → how many of those are
    /// forgotten. See
    /// [`DeliveryLog`](crate::webhooks::DeliveryLog).
    #[must_use]
    pub fn deliveries(&self) -> String {
        self.key("deliveries")
    }

    /// HASH digest of a URL → since when its receiver wants no webhooks, in ms.
    #[must_use]
    pub fn gone(&self) -> String {
        self.key("gone")
    }

    /// STREAM the newest events of all instances, one entry per settlement that wrote any.
    #[must_use]
    pub fn feed(&self) -> String {
        self.key("feed")
    }

    /// STRING what was asked and answered under an idempotency key, of which this is the digest; expires.
    #[must_use]
    pub fn answer(&self, key: &str) -> String {
        self.key(&format!("answer:{key}"))
    }

    /// STRING requests that processes have taken of what this caller may ask; expires.
    #[must_use]
    pub fn rate(&self, who: &str) -> String {
        self.key(&format!("rate:{who}"))
    }

    /// HASH operation id → operation.
    #[must_use]
    pub fn ops(&self) -> String {
        self.key("ops")
    }

    /// HASH instance id → its part of the hourly budget, `total` → the sum.
    #[must_use]
    pub fn budget(&self) -> String {
        self.key("budget")
    }

    /// ZSET job id by virtual deadline in ms: runnable now.
    #[must_use]
    pub fn ready(&self) -> String {
        self.key("ready")
    }

    /// ZSET `d:<job id>` by due time, `l:<job id>` by lease expiry, both in ms; marks of what is paused.
    #[must_use]
    pub fn timers(&self) -> String {
        self.key("timers")
    }

    /// HASH job id → body, `l:<job id>` → who holds it and how often it was tried.
    #[must_use]
    pub fn jobs(&self) -> String {
        self.key("jobs")
    }

    /// ZSET worker session by the time it fell asleep, in ms.
    #[must_use]
    pub fn idle(&self) -> String {
        self.key("idle")
    }

    /// ZSET job id by the time it was given up, in ms.
    #[must_use]
    pub fn dead(&self) -> String {
        self.key("dead")
    }

    /// HASH worker session → number and verdicts of its last settled request.
    #[must_use]
    pub fn replies(&self) -> String {
        self.key("replies")
    }

    /// HASH worker session → heartbeat.
    #[must_use]
    pub fn workers(&self) -> String {
        self.key("workers")
    }

    /// HASH the pace of calls to the provider; see `pace.lua`.
    #[must_use]
    pub fn pace(&self) -> String {
        self.key("pace")
    }

    /// LIST of an instance's newest events, oldest first.
    #[must_use]
    pub fn events(&self, instance: &crate::model::InstanceId) -> String {
        self.key(&format!("events:{instance}"))
    }

    /// STRING version of the layout.
    #[must_use]
    pub fn schema(&self) -> String {
        self.key("schema")
    }

    /// HASH who changes the layout or imports at the moment; gone when nobody does. See `operator.lua`.
    #[must_use]
    pub fn operator(&self) -> String {
        self.key("operator")
    }

    /// HASH key of the predecessor's → what became of it, or what was done about it by an import.
    #[must_use]
    pub fn imported(&self) -> String {
        self.key("imported")
    }

    /// HASH how far the restore of a backup has come; gone when none is under way.
    #[must_use]
    pub fn loading(&self) -> String {
        self.key("loading")
    }

    /// What all keys of the deployment begin with.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The channel that wakes a sleeping worker session: the name of the `idle` key and the session.
    #[must_use]
    pub fn wake_channel(&self, session: &str) -> String {
        format!("{}:{session}", self.idle())
    }

    /// The channel on which is told who changed: ids of instances, separated by spaces, or `@fleet`.
    #[must_use]
    pub fn changes_channel(&self) -> String {
        self.key("changes")
    }

    /// The five keys that every queue script takes first, in this order.
    #[must_use]
    pub fn queue(&self) -> Vec<String> {
        vec![
            self.ready(),
            self.timers(),
            self.jobs(),
            self.idle(),
            self.dead(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_deployment_share_one_hash_tag() {
        let keys = Keys::new("novita_api");
        assert_eq!(keys.spec(), "novita_api:{0}:spec");
        for key in keys.queue() {
            assert!(key.starts_with("novita_api:{0}:"), "{key}");
        }
        assert_eq!(keys.wake_channel("s1"), "novita_api:{0}:idle:s1");
        // `queue.lua` makes it from the name of the `idle` key.
        let changes = keys.queue()[3].replace("idle", "changes");
        assert_eq!(keys.changes_channel(), changes);
    }
}
