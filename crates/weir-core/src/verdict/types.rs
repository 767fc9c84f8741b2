//! The words a verdict is described with, and how to ask a verdict for them. The texts are in the generated `table`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Verdict, table::FACTS};

/// The group that decides which facts are looked at (R78) and how a fault is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Ok,
    Local,
    Network,
    Auth,
    Model,
    Group,
    Balance,
    Request,
    Rate,
    Upstream,
    Timeout,
    Stream,
    Client,
    Task,
    Charge,
    Probe,
    Gateway,
}

/// How bad it is for the one who asked. `Unknown`: it could not be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ok,
    Info,
    Warn,
    Unknown,
    Fail,
}

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The person or the program that calls.
    User,
    /// Whoever runs what lies between client and gateway: proxies, company network, CDN.
    Network,
    /// Whoever runs weir.
    Gateway,
    /// The provider behind weir.
    Upstream,
    /// A person who reads records and the ledger.
    Support,
}

/// The languages of every text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lang {
    Zh,
    #[default]
    En,
}

/// The kind of use that picks a retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    #[default]
    ShortChat,
    Batch,
    MediaTask,
    SharedKey,
}

/// What a caller may do about it without a person, as one closed vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryWord {
    /// No retry before something was changed.
    Fix,
    /// Once, after `resetAt` or `Retry-After` plus 0–10 %.
    HintOnce,
    /// At most this many retries with full jitter, base 1 s, cap 20 s.
    Backoff(u8),
    /// Halve the concurrency, pause, resume from the cursor.
    Slow,
    /// Read the task's or the call's state first; never submit again.
    Ask,
    /// One retry, only if nothing was delivered to the upstream.
    UnsentOnce,
    /// Give every caller a key of its own; find the caller.
    Split,
    /// A person decides.
    Hand,
    /// As the code inside the stream says.
    ByCode,
    /// Nothing to do.
    Nothing,
}

/// A usual mistake and the safe way on (R66).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    pub field: &'static str,
    pub mistake: &'static str,
    pub next: &'static str,
}

/// Everything said about one verdict in one language. `title`, `cause`, `check` and `never` are at most 60 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    pub title: &'static str,
    /// Why it happened.
    pub cause: &'static str,
    /// What to look at first, in one phrase.
    pub check: &'static str,
    /// What not to do.
    pub never: &'static str,
    /// What was seen, as the rule that yields the verdict reads it.
    pub observed: &'static str,
    /// `check` as ordered steps, the likeliest suspect first.
    pub check_first: &'static [&'static str],
    pub example: Example,
}

/// How weir itself answers with a verdict in the API's error form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: &'static str,
    /// `error.type`.
    pub kind: &'static str,
    /// `false`: `x-should-retry: false` goes with it, since waiting a little cannot mend it.
    pub should_retry: bool,
}

/// How to produce a verdict on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A model name of the simulator, such as `sim:no_data`.
    Simulated(&'static str),
    /// A state that no upstream fault makes: the words say which.
    Fixture(&'static str),
}

/// One row of the catalogue.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) code: &'static str,
    pub(super) class: Class,
    pub(super) level: Level,
    pub(super) owner: Owner,
    pub(super) retry: [RetryWord; 4],
    pub(super) api: Option<Api>,
    pub(super) source: Source,
    pub(super) evidence: &'static str,
    pub(super) zh: Words,
    pub(super) en: Words,
}

impl Verdict {
    const fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// The stable code, such as `W-RATE-003`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.facts().code
    }

    /// The verdict with this code, upper case as it is written everywhere.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verdict| verdict.code() == code)
    }

    #[must_use]
    pub const fn class(self) -> Class {
        self.facts().class
    }

    #[must_use]
    pub const fn level(self) -> Level {
        self.facts().level
    }

    #[must_use]
    pub const fn owner(self) -> Owner {
        self.facts().owner
    }

    #[must_use]
    pub const fn words(self, lang: Lang) -> &'static Words {
        match lang {
            Lang::Zh => &self.facts().zh,
            Lang::En => &self.facts().en,
        }
    }

    /// What to look at, the likeliest suspect first; never empty.
    #[must_use]
    pub const fn check_first(self, lang: Lang) -> &'static [&'static str] {
        self.words(lang).check_first
    }

    #[must_use]
    pub const fn retry(self, scenario: Scenario) -> RetryWord {
        self.facts().retry[scenario as usize]
    }

    /// How weir answers with it; `None` for what only a probe, a record or a ledger can tell.
    #[must_use]
    pub const fn api(self) -> Option<Api> {
        self.facts().api
    }

    #[must_use]
    pub const fn source(self) -> Source {
        self.facts().source
    }

    /// The simulator's model that yields it, where an upstream fault can.
    #[must_use]
    pub const fn scenario(self) -> Option<&'static str> {
        match self.facts().source {
            Source::Simulated(model) => Some(model),
            Source::Fixture(_) => None,
        }
    }

    /// Which facts of the record it needs beside the ones that every record has.
    #[must_use]
    pub const fn evidence(self) -> &'static str {
        self.facts().evidence
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Class {
    /// As it is written in the catalogue, in JSON and on the page.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Local => "local",
            Self::Network => "network",
            Self::Auth => "auth",
            Self::Model => "model",
            Self::Group => "group",
            Self::Balance => "balance",
            Self::Request => "request",
            Self::Rate => "rate",
            Self::Upstream => "upstream",
            Self::Timeout => "timeout",
            Self::Stream => "stream",
            Self::Client => "client",
            Self::Task => "task",
            Self::Charge => "charge",
            Self::Probe => "probe",
            Self::Gateway => "gateway",
        }
    }
}

impl Level {
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

impl Owner {
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Network => "network",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
            Self::Support => "support",
        }
    }
}

impl Scenario {
    pub const ALL: [Self; 4] = [Self::ShortChat, Self::Batch, Self::MediaTask, Self::SharedKey];

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ShortChat => "short_chat",
            Self::Batch => "batch",
            Self::MediaTask => "media_task",
            Self::SharedKey => "shared_key",
        }
    }

    /// The scenario with this label.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.label() == label)
    }
}

impl fmt::Display for RetryWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fix => f.write_str("fix"),
            Self::HintOnce => f.write_str("hint+1"),
            Self::Backoff(retries) => write!(f, "bo{retries}"),
            Self::Slow => f.write_str("slow"),
            Self::Ask => f.write_str("ask"),
            Self::UnsentOnce => f.write_str("unsent1"),
            Self::Split => f.write_str("split"),
            Self::Hand => f.write_str("hand"),
            Self::ByCode => f.write_str("by code"),
            Self::Nothing => f.write_str("–"),
        }
    }
}
