//! Everything that the probes of one run saw. The rules read this and nothing else.

use std::time::Duration;

use weir_client::probe::{Fault, Phases, TlsSeen};
use weir_core::{Charged, Side, Verdict};
use weir_wire::Vendor;

use super::local::{KeyFlaw, UrlFlaw};
use crate::trace::Trace;

/// What one run saw, as far as it came.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub local: Local,
    pub vendor: Vendor,
    /// A host that is nobody's business: its certificate may well be its owner's own.
    pub is_private_host: bool,
    pub bounds: Bounds,
    /// Names and connection.
    pub opened: Option<Opening>,
    pub models: Option<Models>,
    pub control: Option<Trace>,
    pub stream: Option<Trace>,
    pub gzip: Option<Trace>,
    pub other_way: Option<OtherWay>,
    /// The gateway's own stream, without a model behind it.
    pub echo: Option<Trace>,
    /// What the gateway recorded of the stream that was judged, or of the control.
    pub record: Option<Record>,
    pub lookup: Option<Lookup>,
    pub burst: Option<Burst>,
    pub hold: Option<Trace>,
    pub symptom: Option<Symptom>,
    /// Nobody named a model, and the endpoint's list has none to take.
    pub no_model: bool,
    /// Another caller's share of the key, in percent, where the gateway tells callers apart.
    pub other_share_pct: Option<u8>,
    /// The time or the calls of the run were used up.
    pub out_of_budget: bool,
    /// The comparison with compression was left out because the stream had taken the time.
    pub no_time_for_gzip: bool,
    /// Somebody stopped the run before it was done.
    pub is_interrupted: bool,
}

/// What this machine says before anything is sent.
#[derive(Debug, Clone, Default)]
pub struct Local {
    pub key: Vec<KeyFlaw>,
    pub has_key: bool,
    pub url: Option<UrlFlaw>,
    /// A form of the URL that would do.
    pub suggestion: Option<String>,
    /// The variable or option that names the proxy in use.
    pub proxy_from: Option<String>,
    /// It is one that the doctor cannot go through, such as SOCKS 4: the probes went straight.
    pub proxy_is_foreign: bool,
    /// The same address with the `/v1` that it lacks.
    pub with_version: Option<String>,
    /// Another family of the API was not asked for.
    pub asks_chat: bool,
}

/// How long the run waited for things.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub first_byte: Duration,
    pub gap: Duration,
    pub total: Duration,
    /// The person named the time; a client of theirs may well have the same.
    pub is_own: bool,
    pub max_tokens: u32,
}

impl Bounds {
    /// How long the first byte was waited for, in whole seconds.
    #[must_use]
    pub fn first_byte_s(&self) -> u64 {
        (self.first_byte + Duration::from_millis(500)).as_secs()
    }
}

impl Default for Bounds {
    /// As the plan of the probes has it.
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(30),
            gap: Duration::from_secs(15),
            total: Duration::from_secs(60),
            is_own: false,
            max_tokens: 64,
        }
    }
}

/// What opening a connection showed.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    pub phases: Phases,
    pub addresses: usize,
    pub tls: Option<TlsSeen>,
    pub fault: Option<Fault>,
    pub took: Duration,
    /// The host is an address, so no name was looked up.
    pub is_address: bool,
    /// TLS was not asked for.
    pub is_plain: bool,
}

/// The list of models.
#[derive(Debug, Clone)]
pub struct Models {
    pub trace: Trace,
    /// How many it names.
    pub count: usize,
    /// Whether it names the one that is asked; `None` if there is no list.
    pub is_listed: Option<bool>,
    /// The nearest name, where the asked one is missing.
    pub nearest: Option<String>,
}

/// The second way.
#[derive(Debug, Clone)]
pub struct OtherWay {
    pub trace: Trace,
    /// It goes around what the first way goes through; otherwise it adds a proxy.
    pub is_direct: bool,
    /// Where the suspect stands: the host of the first way, or the proxy.
    pub hop: String,
    /// It asked with compression, because the suspect is compression.
    pub is_gzip: bool,
}

/// The gateway's record of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: String,
    pub verdict: Option<Verdict>,
    pub status: Option<u16>,
    pub charged: Option<Charged>,
    pub ended_by: Option<Side>,
    pub attempts: u32,
    /// How often it was asked for: the call and the requests that joined it.
    pub requests: u32,
    /// When the gateway passed the first and the last event on, in milliseconds.
    pub first_event_ms: Option<u32>,
    pub last_event_ms: Option<u32>,
    pub total_ms: Option<u32>,
    pub model: Option<String>,
    pub is_stream: Option<bool>,
    /// Calls that came before the told instant.
    pub early: u32,
    /// The call still runs.
    pub is_running: bool,
    pub group: Option<String>,
    pub time: Option<String>,
    pub task: Option<TaskSeen>,
    pub task_type: Option<String>,
}

/// A task as its API tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSeen {
    pub id: String,
    pub state: weir_core::TaskState,
    pub charged: Option<Charged>,
    pub verdict: Option<Verdict>,
}

/// A past request or task that was asked for.
#[derive(Debug, Clone)]
pub enum Lookup {
    Call(Box<Record>),
    Task(TaskSeen),
    /// It is not there, or not for this key.
    NotFound {
        id: String,
        trace: Box<Trace>,
    },
    /// A task of this id was asked for, and its state could not be had.
    NoTask {
        id: String,
        trace: Box<Trace>,
    },
    /// The server keeps no such records.
    NoRecords {
        id: String,
    },
}

/// Calls one after the other until the first 429.
#[derive(Debug, Clone)]
pub struct Burst {
    pub sent: u32,
    /// The first answer that was no success; `None`: all were answered.
    pub refused: Option<Trace>,
}

/// What the person complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symptom {
    Spinner,
    Cut,
    RateLimit,
    Timeout,
    ChargedTwice,
}
