//! `weir.toml`: what an operator may write. Types, defaults and their reasons; nothing here acts.

pub(crate) mod allowance;
pub(crate) mod check;
pub(crate) mod fault;
pub(crate) mod load;
pub(crate) mod nearest;
pub(crate) mod origin;
pub(crate) mod policy;
mod retention;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod shape;
pub(crate) mod tasks;
pub(crate) mod units;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    allowance::{Allowance, ChannelLimits},
    fault::ConfigFault,
    load::{Loaded, load},
    policy::{Breaker, PolicyTables, Retry},
    retention::Retention,
    tasks::{TaskAdapter, Tasks},
    units::{Money, Size, Span},
};

/// The configuration of `weir serve`. Every key can also be set by the environment: `WEIR_SERVER__LISTEN` is `server.listen`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "weir.toml")]
pub(crate) struct Config {
    /// The directory of the store. `--data` and `WEIR_DATA` come first; without any of them `$XDG_DATA_HOME/weir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    pub(crate) server: Server,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) streams: Streams,
    pub(crate) replay: Replay,
    pub(crate) timeouts: Timeouts,
    /// How calls of each kind of use are retried: `[policy.short_chat]` and so on. A written one holds every value.
    pub(crate) policy: PolicyTables,
    pub(crate) retry: Retry,
    pub(crate) breaker: Breaker,
    pub(crate) prices: Prices,
    pub(crate) tasks: Tasks,
    pub(crate) retention: Retention,
    /// Which models a key's group may use: `[groups.staff] models = ["gpt-4o-mini"]`.
    pub(crate) groups: BTreeMap<String, Group>,
    /// The upstreams, `[[upstream]]`, each with its channels, `[[upstream.channel]]`.
    pub(crate) upstream: Vec<Upstream>,
}

/// Where the gateway listens.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// The address for API calls, `IP:PORT`. Only this machine can reach the default.
    #[schemars(extend("format" = "listen"))]
    pub(crate) listen: String,
    /// How long running calls may finish after SIGTERM before they get an error event.
    pub(crate) grace: Span,
}

impl Default for Server {
    fn default() -> Self {
        // 30 s is what Kubernetes waits before it kills.
        Self { listen: "127.0.0.1:8787".to_owned(), grace: Span::seconds(30) }
    }
}

/// What goes to stderr. No log ever holds a key, a header or a prompt.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `auto`: readable lines on a terminal, JSON otherwise.
    pub(crate) format: LogFormat,
    /// A filter such as `info` or `weir_gateway=debug`; `RUST_LOG` comes first. Without either: `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    #[default]
    Auto,
    Human,
    Json,
}

/// The bounds of one call and of the whole gateway.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// The longest request body.
    pub(crate) body_bytes: Size,
    /// The longest answer that is not a stream.
    pub(crate) answer_bytes: Size,
    /// The longest event of a stream.
    pub(crate) event_bytes: Size,
    /// The longest request head.
    pub(crate) head_bytes: Size,
    /// Open client connections.
    #[schemars(range(min = 1))]
    pub(crate) connections: u32,
    /// Calls in progress.
    #[schemars(range(min = 1))]
    pub(crate) calls: u32,
    /// How long a client may take to send its request head.
    pub(crate) header_read: Span,
    /// How long a client may be silent within its request body.
    pub(crate) body_read: Span,
    /// How long a call may wait for a limit of its key, account or group instead of being refused.
    pub(crate) max_wait: Span,
}

impl Default for Limits {
    fn default() -> Self {
        let gateway = weir_gateway::Limits::default();
        Self {
            body_bytes: Size::of(gateway.body_bytes),
            answer_bytes: Size::of(gateway.answer_bytes),
            event_bytes: Size::of(gateway.event_bytes),
            head_bytes: Size::of(gateway.head_bytes),
            connections: u32::try_from(gateway.connections).unwrap_or(u32::MAX),
            calls: weir_store::BooksSettings::default().slots,
            header_read: Span(gateway.header_read),
            body_read: Span(gateway.body_read),
            max_wait: Span(gateway.max_wait),
        }
    }
}

/// How streams are kept open and ended.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Streams {
    /// A silent stream gets a comment line this often, so that no proxy cuts it.
    pub(crate) heartbeat: Span,
    /// A stream whose upstream has not answered after this long is opened with heartbeats.
    pub(crate) open_early: Span,
    /// How long a call whose client left goes on, so that the client can come back to it.
    pub(crate) linger: Span,
    /// What happens after the linger.
    pub(crate) client_gone: ClientGone,
}

impl Default for Streams {
    fn default() -> Self {
        let gateway = weir_gateway::Streams::default();
        Self {
            heartbeat: Span(gateway.heartbeat),
            open_early: Span(gateway.open_early),
            linger: Span(gateway.linger),
            client_gone: match gateway.client_gone {
                weir_gateway::ClientGone::Cancel => ClientGone::Cancel,
                weir_gateway::ClientGone::Finish => ClientGone::Finish,
            },
        }
    }
}

/// What is kept of answers for clients that ask for the same call again.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Replay {
    /// How long an answer is kept after its call ended. An equal request within it may be a retry.
    pub(crate) window: Span,
    /// The longest answer that is kept.
    pub(crate) answer_bytes: Size,
    /// All kept answers together; the oldest go first.
    pub(crate) bytes: Size,
    /// Calls that are remembered, with or without their answer; the oldest go first.
    #[schemars(range(min = 1))]
    pub(crate) calls: u32,
    /// An unmarked request that equals a call of its key which was answered at most this long ago is taken for its retry, and answered from it.
    /// `0s`: it is a call of its own. Meant for clients that retry without a mark and never ask the same twice on purpose.
    pub(crate) unmarked_retries: Span,
    /// Whether answers are kept on the disk, too, where they outlive the process. Only the key of the caller who got one opens it.
    pub(crate) store: ReplayStore,
    /// All answers on the disk together; the oldest go first.
    pub(crate) disk_bytes: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplayStore {
    #[default]
    Memory,
    Disk,
}

impl Default for Replay {
    fn default() -> Self {
        let gateway = weir_gateway::Replay::default();
        Self {
            window: Span(gateway.window),
            answer_bytes: Size::of(gateway.answer_bytes),
            bytes: Size::of(gateway.bytes),
            calls: u32::try_from(gateway.calls).unwrap_or(u32::MAX),
            unmarked_retries: Span(gateway.unmarked_retries),
            store: ReplayStore::default(),
            disk_bytes: Size(1 << 30),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientGone {
    /// The upstream is cancelled; what was delivered is charged.
    Cancel,
    /// The answer is finished and charged in full.
    Finish,
}

/// The four limits of one attempt, and exceptions by route and model.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// Until the connection to the upstream stands, TLS included.
    pub(crate) connect: Span,
    /// From the request's last byte to the answer's first.
    pub(crate) first_byte: Span,
    /// Between two pieces of an answer that has begun.
    pub(crate) idle: Span,
    /// The whole attempt.
    pub(crate) total: Span,
    /// `[[timeouts.rule]]`: the first rule that fits a call replaces the limits it names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rule: Vec<TimeoutRule>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let core = weir_core::Timeouts::default();
        Self {
            connect: Span(core.connect),
            first_byte: Span(core.first_byte),
            idle: Span(core.idle),
            total: Span(core.total),
            rule: Vec::new(),
        }
    }
}

/// Other limits for some calls. A rule without `route` and `model` fits none.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TimeoutRule {
    /// A path such as `/v1/chat/completions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "route"))]
    pub(crate) route: Option<String>,
    /// A model, exact or a prefix and `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_byte: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<Span>,
}

/// What models cost.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prices {
    /// What happens to a call of a model without a price.
    pub(crate) unknown: UnknownPrice,
    /// By model, exact or a prefix and `*`: `[prices.models."gpt-4o-mini"]`. The closest entry wins.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) models: BTreeMap<String, ModelPrice>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownPrice {
    /// It is refused instead of given away.
    #[default]
    Refuse,
    /// It costs nothing.
    Free,
}

/// The rates of one model in units of the account, exact decimals. What is left out costs nothing; `cached` then costs what `input` does.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelPrice {
    /// Per million input tokens, at most 3 decimals.
    #[schemars(extend("x-per" = 1_000_000))]
    pub(crate) input: Money,
    /// Per million input tokens that the upstream read from its cache.
    #[schemars(extend("x-per" = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cached: Option<Money>,
    /// Per million output tokens.
    #[schemars(extend("x-per" = 1_000_000))]
    pub(crate) output: Money,
    /// Per image, at most 9 decimals.
    pub(crate) image: Money,
    /// Per second of audio or video, at most 9 decimals.
    pub(crate) second: Money,
}

/// The models that keys of one group may use, and how much of them together.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) models: Vec<String>,
    /// `[groups.staff.limits]`: what all keys of the group may use together.
    pub(crate) limits: Allowance,
    /// Its own `replay.unmarked_retries`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unmarked_retries: Option<Span>,
}

/// A provider endpoint.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// A name of your own; clients never see it.
    #[schemars(extend("format" = "name"))]
    pub(crate) name: String,
    /// Where its API begins, such as `https://api.openai.com/v1`.
    #[schemars(extend("format" = "base_url"))]
    pub(crate) base_url: String,
    /// How it is spoken to about video jobs. Unset: as the client speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tasks: Option<TaskAdapter>,
    #[serde(default)]
    pub(crate) channel: Vec<Channel>,
}

/// One credential on an upstream. The key itself never stands in the file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Channel {
    /// A name of your own; records call the channel by it.
    #[schemars(extend("format" = "name"))]
    pub(crate) name: String,
    /// The environment variable that holds the key. `NAME_FILE` may name a file instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_env: Option<String>,
    /// The file that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    /// The upstream wants no key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) no_key: bool,
    /// The models it serves, exact or a prefix and `*`; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) models: Vec<String>,
    /// Its share of the calls beside the other channels that serve the model.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) weight: u32,
    /// `[upstream.channel.limits]`: what it may ask of the upstream; calls beyond go to other channels, or are told when to come back.
    #[serde(default)]
    pub(crate) limits: ChannelLimits,
}

const fn one() -> u32 {
    1
}
