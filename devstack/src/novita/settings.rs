//! Everything about the simulated service that can be turned while it runs.

use serde::{Deserialize, Serialize};

use super::clock::SimDuration;

/// Delays and modes; in JSON camelCase, times in simulated seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// How long each transitional status lasts.
    pub delays: Delays,
    /// Notice and reclaim of spot instances.
    pub spot: SpotSettings,
    /// The applications inside running instances.
    pub apps: AppSettings,
    /// How an unknown instance is reported.
    pub not_found: NotFound,
    /// How a missing or wrong key is reported.
    pub auth_error: AuthError,
    /// What becomes of unset fields in answers.
    pub zero_values: ZeroValues,
    /// What start, stop, restart, delete and migrate answer with.
    pub action_body: ActionBody,
    /// The `reason` beside the message `invalid state change`; nobody has recorded the real one.
    pub wrong_state_reason: String,
    /// The most items a page of `/gpu/instances` or `/jobs` holds, whatever `pageSize` asks for.
    pub max_page_size: usize,
    /// List items come without endpoints and connection data.
    pub sparse_list: bool,
    /// A start pulls the image again.
    pub pull_on_start: bool,
    /// Migrations fail and leave the instance `exited`.
    pub migration_fails: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delays: Delays::default(),
            spot: SpotSettings::default(),
            apps: AppSettings::default(),
            not_found: NotFound::Http404,
            auth_error: AuthError::InvalidApiKey,
            zero_values: ZeroValues::Emit,
            action_body: ActionBody::State,
            wrong_state_reason: "CONFLICT".to_owned(),
            max_page_size: 100,
            sparse_list: false,
            pull_on_start: false,
            migration_fails: false,
        }
    }
}

/// Simulated seconds spent in each transitional status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delays {
    /// In `pending`.
    pub pending: SimDuration,
    /// In `toCreate`.
    pub to_create: SimDuration,
    /// In `creating`.
    pub creating: SimDuration,
    /// In `pulling`.
    pub pulling: SimDuration,
    /// In `toStart`.
    pub to_start: SimDuration,
    /// In `starting`.
    pub starting: SimDuration,
    /// In `toStop`.
    pub to_stop: SimDuration,
    /// In `stopping`.
    pub stopping: SimDuration,
    /// In `toRestart`.
    pub to_restart: SimDuration,
    /// In `restarting`.
    pub restarting: SimDuration,
    /// In `migrating`.
    pub migrating: SimDuration,
    /// In `toRemove`.
    pub to_remove: SimDuration,
    /// In `removing`.
    pub removing: SimDuration,
    /// In `removed`, after which the instance is absent.
    pub removed: SimDuration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            pending: SimDuration::seconds(1),
            to_create: SimDuration::seconds(2),
            creating: SimDuration::seconds(5),
            pulling: SimDuration::seconds(20),
            to_start: SimDuration::seconds(1),
            starting: SimDuration::seconds(5),
            to_stop: SimDuration::seconds(1),
            stopping: SimDuration::seconds(4),
            to_restart: SimDuration::seconds(1),
            restarting: SimDuration::seconds(5),
            migrating: SimDuration::seconds(20),
            to_remove: SimDuration::seconds(1),
            removing: SimDuration::seconds(3),
            removed: SimDuration::seconds(60),
        }
    }
}

/// When and how spot instances are taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpotSettings {
    /// Run time during which no notice comes by itself.
    pub protection: SimDuration,
    /// Every spot instance gets its notice this long after it began to run, but never within the
    /// protected time; `null`: only on request.
    pub notice_after: Option<SimDuration>,
    /// From notice to reclaim.
    pub notice_period: SimDuration,
    /// How long `reclaiming` lasts before `exited`.
    pub reclaiming: SimDuration,
    /// `spotStatus` of a spot instance nobody wants back: `""` or `"running"`, the sources differ.
    pub healthy_status: String,
    /// `spotStatus` after a reclaim.
    pub reclaimed_status: String,
    /// A start after a reclaim keeps the old `spotReclaimTime`.
    pub keep_reclaim_time: bool,
}

impl Default for SpotSettings {
    fn default() -> Self {
        Self {
            protection: SimDuration::seconds(3600),
            notice_after: None,
            notice_period: SimDuration::seconds(3600),
            reclaiming: SimDuration::seconds(10),
            healthy_status: String::new(),
            reclaimed_status: "terminated".to_owned(),
            keep_reclaim_time: false,
        }
    }
}

/// The application behind every http port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppSettings {
    /// From `running` to the first 200; before it the endpoint answers 502.
    pub start_delay: SimDuration,
    /// `false`: applications never come up, unless their instance says otherwise.
    pub healthy: bool,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            start_delay: SimDuration::seconds(1),
            healthy: true,
        }
    }
}

/// The not-found family, of which nobody knows which member an unknown id gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotFound {
    /// HTTP 404 with reason `RESOURCE_NOT_FOUND`.
    #[serde(rename = "404")]
    Http404,
    /// HTTP 400, reason `RESOURCE_NOT_FOUND`, message `instance not found`.
    #[serde(rename = "not_found")]
    Message,
    /// HTTP 400, reason `RESOURCE_NOT_FOUND`, message `instance not fount`, as misspelt there.
    #[serde(rename = "not_fount")]
    Misspelt,
}

/// What a missing or wrong key is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthError {
    /// 403 `INVALID_API_KEY`, captured at the shared gateway.
    #[serde(rename = "INVALID_API_KEY")]
    InvalidApiKey,
    /// 401 `UNAUTHORIZED`, documented for GPU routes.
    #[serde(rename = "UNAUTHORIZED")]
    Unauthorized,
}

/// What becomes of `""`, `"0"`, `0`, `false`, `[]` and `{}` in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZeroValues {
    /// They are sent.
    Emit,
    /// Their fields are left out.
    Omit,
    /// Their fields are `null`.
    Null,
}

/// The body of a successful action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionBody {
    /// As observed: `{"instanceId","state"}` for start and stop, `{"jobId"}` for migrate, else `{}`.
    State,
    /// `{}`, as documentation without a response section suggests.
    Object,
    /// Nothing at all.
    Empty,
}
