//! The names of the probes, and what a run tells while it goes on.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{Bilingual, Check};

/// One probe. The order is the order of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ProbeId {
    /// Key shape, URL form, proxy variables.
    P0,
    /// Addresses of the host.
    P1,
    /// Connection and TLS.
    P2,
    /// `GET /models`.
    P3,
    /// The control call, `stream=false`.
    P4,
    /// The same call, `stream=true`, nothing compressed.
    P5,
    /// The same as a browser asks: compression accepted.
    P6,
    /// The same on a second way.
    P7,
    /// What the gateway recorded of these calls.
    P8,
    /// A past request or task.
    P9,
    /// The client's own probe: `weir doctor client`.
    P10,
    /// Calls until the first 429.
    P11,
    /// A long answer, held until somebody cuts it.
    P12,
    /// The gateway's own timed stream: no model behind it.
    P13,
}

impl ProbeId {
    pub const ALL: [Self; 14] = [
        Self::P0,
        Self::P1,
        Self::P2,
        Self::P3,
        Self::P4,
        Self::P5,
        Self::P6,
        Self::P7,
        Self::P8,
        Self::P9,
        Self::P10,
        Self::P11,
        Self::P12,
        Self::P13,
    ];

    /// The name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P0 => "local",
            Self::P1 => "dns",
            Self::P2 => "connect",
            Self::P3 => "models",
            Self::P4 => "control",
            Self::P5 => "stream",
            Self::P6 => "stream_gzip",
            Self::P7 => "compare",
            Self::P8 => "record",
            Self::P9 => "lookup",
            Self::P10 => "client",
            Self::P11 => "rate_hint",
            Self::P12 => "hold",
            Self::P13 => "echo",
        }
    }

    /// The name for people.
    #[must_use]
    pub fn label(self) -> Bilingual {
        let (zh, en) = match self {
            Self::P0 => ("本机", "local"),
            Self::P1 => ("域名", "name"),
            Self::P2 => ("连接", "connection"),
            Self::P3 => ("模型列表", "models"),
            Self::P4 => ("对照请求", "control"),
            Self::P5 => ("流式", "stream"),
            Self::P6 => ("模拟浏览器", "as browser"),
            Self::P7 => ("换一条路", "other way"),
            Self::P8 => ("网关记录", "record"),
            Self::P9 => ("查旧请求", "look-up"),
            Self::P10 => ("客户端", "client"),
            Self::P11 => ("限流提示", "rate hint"),
            Self::P12 => ("长时间保持", "hold"),
            Self::P13 => ("网关回声", "echo"),
        };
        Bilingual::new(zh, en)
    }
}

impl fmt::Display for ProbeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The text names no probe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read a probe's name: it is P0 to P13")]
pub struct NotAProbe;

impl FromStr for ProbeId {
    type Err = NotAProbe;

    fn from_str(text: &str) -> Result<Self, NotAProbe> {
        let text = text.trim();
        Self::ALL.into_iter().find(|id| id.to_string().eq_ignore_ascii_case(text) || id.name() == text).ok_or(NotAProbe)
    }
}

/// What a run costs at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Model calls.
    pub requests: u32,
    pub max_output_tokens: u32,
    pub seconds: u32,
}

/// What happens while a run goes on.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Before the first probe, and again when it is known which model is asked.
    Planned {
        probes: Vec<ProbeId>,
        cost: Cost,
    },
    Started(ProbeId),
    /// A read of a stream. `events` and `bytes` are the read's own; `at` counts from the request.
    Arrived {
        probe: ProbeId,
        at: Duration,
        events: u32,
        bytes: u64,
    },
    Finished(Box<Check>),
}

/// Is told the progress of a run, in order, from the run's own task: it must not wait. Whoever draws keeps a bounded channel of its own
/// and lets `Arrived` go when that is full.
pub trait Watch: Send + Sync {
    fn see(&self, progress: Progress);
}

impl<F: Fn(Progress) + Send + Sync> Watch for F {
    fn see(&self, progress: Progress) {
        self(progress);
    }
}
