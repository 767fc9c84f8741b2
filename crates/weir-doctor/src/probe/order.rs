//! What a run is asked to do. The binary reads arguments and environment; here they are values.

use std::time::Duration;

use weir_client::probe::Speak;
use weir_core::{Dialect, Secret};

use super::{ProbeId, proxies::Proxies};
use crate::judge::seen::Symptom;

/// Calls that `--probe-429` may make at most.
pub const BURST_MAX: u32 = 20;
/// Seconds that `--hold` may last at most.
pub const HOLD_MAX_S: u32 = 300;
/// The longest answer that is asked for, in tokens.
pub const TOKENS_MAX: u32 = 4096;

/// Which of an API's families is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Api {
    #[default]
    Chat,
    Responses,
    Messages,
}

impl Api {
    /// Below the base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Responses => "/responses",
            Self::Messages => "/messages",
        }
    }

    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Chat => Dialect::Chat,
            Self::Responses => Dialect::Responses,
            Self::Messages => Dialect::Messages,
        }
    }
}

/// How long a whole run takes at most unless something else is asked for: nobody watches longer.
pub const BUDGET: Duration = Duration::from_secs(30);

/// One run.
#[derive(Debug, Clone)]
pub struct Order {
    pub base_url: String,
    pub key: Option<Secret>,
    /// The variable's name, `stdin`, `prompt`, `--key` or `none`.
    pub key_from: String,
    pub model: Option<String>,
    pub api: Api,
    /// Which versions of HTTP are offered.
    pub speak: Speak,
    pub proxies: Proxies,
    /// A second base URL that goes around the suspect.
    pub direct: Option<String>,
    /// A proxy to go through for comparison.
    pub via: Option<String>,
    /// Empty: all that apply.
    pub only: Vec<ProbeId>,
    /// Leave the third call out.
    pub is_cheap: bool,
    pub no_models: bool,
    /// How long an answer is waited for, where the person says so.
    pub timeout: Option<Duration>,
    pub budget: Duration,
    pub max_tokens: u32,
    pub request_id: Option<String>,
    pub task_id: Option<String>,
    /// Calls until the first 429; only with consent.
    pub burst: Option<u32>,
    /// Seconds that one long answer is held; only with consent.
    pub hold_s: Option<u32>,
    pub symptom: Option<Symptom>,
}

impl Order {
    /// The plan's own values for everything that may be left out.
    #[must_use]
    pub fn new(base_url: impl Into<String>, key: Option<Secret>) -> Self {
        Self {
            base_url: base_url.into(),
            key,
            key_from: "none".to_owned(),
            model: None,
            api: Api::Chat,
            speak: Speak::Negotiated,
            proxies: Proxies::default(),
            direct: None,
            via: None,
            only: Vec::new(),
            is_cheap: false,
            no_models: false,
            timeout: None,
            budget: BUDGET,
            max_tokens: 64,
            request_id: None,
            task_id: None,
            burst: None,
            hold_s: None,
            symptom: None,
        }
    }

    /// It asks for something past and not for a new call.
    #[must_use]
    pub fn is_lookup(&self) -> bool {
        self.request_id.is_some() || self.task_id.is_some()
    }
}
