//! What the server does with a request: a few scripts, each made to show one habit of a client.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use weir_core::Lang;

/// How long `long` and `quiet` are silent unless told otherwise: beyond the 30 s that impatient clients wait, within the 60 s of most proxies.
pub const SILENCE: Duration = Duration::from_secs(40);
/// Most that a silence may be told to last.
pub const SILENCE_MAX: Duration = Duration::from_secs(300);
/// What a 429 of the script tells to wait: longer than the first backoff of any SDK, so that obeying it shows.
pub const TOLD_WAIT: Duration = Duration::from_secs(3);
/// Between two heartbeats of `long`: shorter than any read timeout worth having.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Between two events of an ordinary chat, as a quick model writes.
const INTERVAL: Duration = Duration::from_millis(50);
/// Events of an ordinary chat.
const EVENTS: u32 = 24;
/// Events before the silence of `long` and `quiet`, and before a cut.
const FIRST_EVENTS: u32 = 5;
/// Events of `code`, as fast as they are read.
const CODE_EVENTS: u32 = 4_000;
/// Characters of one event of `code`: with its frame about a megabyte and a half in all, more than the sockets between hold.
const CODE_CHARS: usize = 256;

/// One way to behave. A client chooses it by the model's name, `doctor-long`; any other model gets what the command was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// An ordinary answer.
    #[default]
    Chat,
    /// A few events, a long silence with heartbeats, the rest.
    Long,
    /// The same silence without heartbeats.
    Quiet,
    /// A large answer as fast as it is read.
    Code,
    /// The connection breaks after a few events; the retry is answered.
    Cut,
    /// 429 with `Retry-After` until that time has come.
    #[serde(rename = "429")]
    RateLimited,
    /// 503 without a hint; the retry is answered.
    #[serde(rename = "503")]
    Overloaded,
    /// Not a byte, until the client gives up.
    Slow,
    /// A clean end without end marker.
    NoDone,
}

impl Script {
    pub const ALL: [Self; 9] =
        [Self::Chat, Self::Long, Self::Quiet, Self::Code, Self::Cut, Self::RateLimited, Self::Overloaded, Self::Slow, Self::NoDone];

    /// As it is typed and shown.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Long => "long",
            Self::Quiet => "quiet",
            Self::Code => "code",
            Self::Cut => "cut",
            Self::RateLimited => "429",
            Self::Overloaded => "503",
            Self::Slow => "slow",
            Self::NoDone => "no_done",
        }
    }

    /// The model that asks for it.
    #[must_use]
    pub fn model(self) -> String {
        format!("doctor-{}", self.label())
    }

    /// The script that a model's name asks for.
    #[must_use]
    pub fn of_model(model: &str) -> Option<Self> {
        model.strip_prefix("doctor-").and_then(|label| label.parse().ok())
    }

    /// What it does, and what it shows.
    #[must_use]
    pub const fn meaning(self, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::Chat => ("正常的流:看客户端是否边到边显示", "an ordinary stream: does the client show it as it comes"),
            Self::Long => ("中间静默,但有心跳:看客户端是否等得住", "a silence with heartbeats: does the client wait"),
            Self::Quiet => ("中间静默,没有心跳:看它的读超时", "the same silence without heartbeats: its read timeout"),
            Self::Code => ("又快又大的流:看客户端是否一直在读", "a large fast stream: does the client keep reading"),
            Self::Cut => ("中途断开一次:看它是否重试", "cut once in the middle: does it retry"),
            Self::RateLimited => ("429 并告知等待时间:看它是否照做", "429 that tells a wait: does it obey"),
            Self::Overloaded => ("503 一次:看它怎样重试", "503 once: how does it retry"),
            Self::Slow => ("一个字节也不发:看它多久放弃", "not a byte: when does it give up"),
            Self::NoDone => ("没有结束标记:看它是否察觉", "no end marker: does it notice"),
        };
        match lang {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|script| script.label() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|script| script.label()).collect();
            format!("it is one of {}", known.join(", "))
        })
    }
}

/// What one try gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    Answer(Pace),
    /// A refusal, with the wait that it tells.
    Refuse {
        status: u16,
        wait: Option<Duration>,
    },
    /// No byte at all.
    Silence,
}

/// How a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) events: u32,
    pub(super) chars: usize,
    pub(super) interval: Duration,
    /// A silence after so many events.
    pub(super) silence: Option<(u32, Duration)>,
    /// Comments in that silence.
    pub(super) heartbeat: Option<Duration>,
    pub(super) end: End,
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Marked,
    Unmarked,
    Cut,
}

impl Pace {
    /// How long a whole answer that is not streamed takes: as long as its stream would.
    pub(super) fn whole(&self) -> Duration {
        self.interval.saturating_mul(self.events).saturating_add(self.silence.map_or(Duration::ZERO, |(_, silence)| silence))
    }
}

/// What a script does with the `attempt`-th try of a request, the first being 1. `left` is what is left of a told wait.
pub(super) fn plan(script: Script, attempt: u32, left: Option<Duration>, silence: Duration) -> Plan {
    let chat = Pace { events: EVENTS, chars: 0, interval: INTERVAL, silence: None, heartbeat: None, end: End::Marked };
    let again = attempt > 1;
    match script {
        Script::Chat => Plan::Answer(chat),
        Script::Long => Plan::Answer(Pace { silence: Some((FIRST_EVENTS, silence)), heartbeat: Some(HEARTBEAT), ..chat }),
        Script::Quiet => Plan::Answer(Pace { silence: Some((FIRST_EVENTS, silence)), ..chat }),
        Script::Code => Plan::Answer(Pace { events: CODE_EVENTS, chars: CODE_CHARS, interval: Duration::ZERO, ..chat }),
        Script::Cut if !again => Plan::Answer(Pace { events: FIRST_EVENTS, end: End::Cut, ..chat }),
        Script::RateLimited => match left.filter(|left| !left.is_zero()) {
            Some(left) => Plan::Refuse { status: 429, wait: Some(left) },
            None if !again => Plan::Refuse { status: 429, wait: Some(TOLD_WAIT) },
            None => Plan::Answer(chat),
        },
        Script::Overloaded if !again => Plan::Refuse { status: 503, wait: None },
        Script::Cut | Script::Overloaded => Plan::Answer(chat),
        Script::Slow => Plan::Silence,
        Script::NoDone => Plan::Answer(Pace { end: End::Unmarked, ..chat }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_found_by_its_label_and_by_its_model() {
        for script in Script::ALL {
            assert_eq!(script.label().parse(), Ok(script));
            assert_eq!(Script::of_model(&script.model()), Some(script));
            assert_eq!(serde_json::to_value(script).unwrap(), script.label());
        }
        assert_eq!(Script::of_model("gpt-4o-mini"), None);
    }

    #[test]
    fn a_429_holds_until_its_time_has_come_and_no_longer() {
        let at = |attempt, left| plan(Script::RateLimited, attempt, left, SILENCE);
        assert_eq!(at(1, None), Plan::Refuse { status: 429, wait: Some(TOLD_WAIT) });
        let left = Duration::from_secs(2);
        assert_eq!(at(2, Some(left)), Plan::Refuse { status: 429, wait: Some(left) });
        assert!(matches!(at(3, Some(Duration::ZERO)), Plan::Answer(_)) && matches!(at(2, None), Plan::Answer(_)));
    }
}
