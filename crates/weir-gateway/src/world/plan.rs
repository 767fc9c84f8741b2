//! What happens in one world, drawn from its seed before anything runs.

use std::time::Duration;

use weir_core::{Amount, Price, Route, Timeouts};

use super::{chance::Chance, scenarios};
use crate::{ClientGone, Streams};

/// One world.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) sessions: Vec<Session>,
    /// What becomes of each connection to the upstream, in order; those beyond the list are good.
    pub(super) dials: Vec<Fate>,
    pub(super) streams: Streams,
    pub(super) timeouts: Timeouts,
    pub(super) credit: Amount,
    pub(super) drain: Option<Drain>,
    /// What fits into a pipe before its writer must wait, in bytes.
    pub(super) pipe_bytes: usize,
    /// The gateway's limits of one event and of a whole answer, in bytes.
    pub(super) event_bytes: usize,
    pub(super) answer_bytes: usize,
    /// There is a second upstream, just like the first.
    pub(super) backup: bool,
}

/// The gateway is told to stop in the middle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    pub(super) after: Duration,
    pub(super) grace: Duration,
}

/// One client's connection: its calls follow each other as long as the connection is kept.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) starts: Duration,
    pub(super) calls: Vec<Asking>,
}

/// One request and what its client does.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    /// Unique in its world; the record is found by it.
    pub(super) n: usize,
    pub(super) route: Route,
    pub(super) stream: bool,
    pub(super) asks_usage: bool,
    pub(super) model: String,
    /// The scenario has no fault.
    pub(super) good: bool,
    pub(super) key: KeyKind,
    pub(super) defect: Option<Defect>,
    pub(super) client: Behaviour,
    pub(super) comeback: Option<Comeback>,
    /// The seconds that its SDK says it waits between two reads.
    pub(super) announces: Option<u32>,
    /// Where it hangs up, that is a reset.
    pub(super) resets: bool,
}

/// A client that asks for the same once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comeback {
    pub(super) mark: Mark,
    /// How long after its first connection ended.
    pub(super) after: Duration,
}

/// What a client says of asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Both requests bear the same `Idempotency-Key`.
    Key,
    /// The second is marked as its SDK marks retries.
    Retry,
    /// Nothing: it had left, and is back.
    None,
}

impl Comeback {
    fn draw(chance: &mut Chance) -> Option<Self> {
        let mark = *chance.pick(&[Mark::Key, Mark::Key, Mark::Retry, Mark::None]);
        let after = Duration::from_millis(*chance.pick(&[0, 1, 150, 900, 4_000, 30_000, 700_000]));
        chance.one_in(3).then_some(Self { mark, after })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Good,
    /// May use `sim:*` only, by its group.
    Grouped,
    Unknown,
    Disabled,
    Expired,
    Missing,
    Mangled,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    NotJson,
    NoModel,
    Method,
    Path,
    /// The head is not HTTP.
    Head,
    TooLong,
    ContentType,
    /// The body stops in the middle and the client waits.
    HalfBody,
    /// The body stops in the middle and the client leaves.
    HalfBodyLeaves,
    Unpriced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    ReadsAll,
    /// Leaves this long after it asked, if there is no head by then.
    LeavesUnanswered(Duration),
    LeavesAtHead,
    LeavesAfterEvents(usize),
    LeavesAfterBytes(usize),
    /// Takes so many bytes, then pauses.
    Slow(usize, Duration),
    /// Takes so many bytes, then none, and keeps the connection for hours.
    Freezes(usize),
}

/// What becomes of a connection to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    Refused,
    /// Never stands.
    Hangs,
    /// Stands and is closed at once.
    Dies,
}

/// Nano-units a token; output dearer, cached input cheaper.
pub(super) const PRICE: Price = Price { input: 3, cached: 1, output: 7, image: 11, second: 13 };
/// No answer of these worlds is as large.
const ROOMY: usize = 4 << 20;
/// More than any world spends.
pub(super) const PLENTY: Amount = Amount(1_000_000_000_000);

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let calls = chance.size(1, 4);
        let mut sessions: Vec<Session> = Vec::new();
        for n in 0..calls {
            let call = Asking::draw(n, &mut chance);
            match sessions.last_mut() {
                Some(session) if chance.one_in(2) => session.calls.push(call),
                _ => sessions.push(Session { starts: Duration::from_millis(chance.between(0, 400)), calls: vec![call] }),
            }
        }
        // Chance of its own: who comes back changes nothing else of a world.
        let mut later = Chance::new(seed ^ 0xA6A1);
        for call in sessions.iter_mut().flat_map(|session| &mut session.calls) {
            // What never becomes a whole request cannot be asked again.
            let broken = matches!(call.defect, Some(Defect::Head | Defect::HalfBody | Defect::HalfBodyLeaves));
            call.comeback = Comeback::draw(&mut later).filter(|_| call.route != Route::Models && !broken);
        }
        // The same for those who announce how long they wait; most of them are SDKs that ask again by themselves.
        let mut later = Chance::new(seed ^ 0xA770);
        for call in sessions.iter_mut().flat_map(|session| &mut session.calls) {
            call.resets = later.one_in(4);
            if !later.one_in(3) {
                continue;
            }
            call.announces = Some(*later.pick(&[1, 2, 5, 10, 30, 600]));
            let again = call.comeback.is_none() && call.route != Route::Models && call.defect.is_none() && !later.one_in(4);
            if again {
                let (mark, after) = (*later.pick(&[Mark::Retry, Mark::Retry, Mark::None]), *later.pick(&[0, 500, 2_000, 8_000]));
                call.comeback = Some(Comeback { mark, after: Duration::from_millis(after) });
            }
        }
        let bad_dials = chance.one_in(4);
        let fates = [Fate::Good, Fate::Good, Fate::Refused, Fate::Hangs, Fate::Dies];
        Self {
            sessions,
            dials: if bad_dials { (0..6).map(|_| *chance.pick(&fates)).collect() } else { Vec::new() },
            streams: streams(&mut chance),
            timeouts: timeouts(&mut chance),
            credit: if chance.one_in(6) { Amount(i64::try_from(chance.between(0, 120_000)).expect("it is small")) } else { PLENTY },
            drain: chance.one_in(10).then(|| Drain {
                after: Duration::from_millis(chance.between(0, 3_000)),
                grace: *chance.pick(&[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(30)]),
            }),
            pipe_bytes: *chance.pick(&[64, 700, 4_096, 65_536, 65_536]),
            event_bytes: if chance.one_in(8) { *chance.pick(&[260, 320, 1_500]) } else { ROOMY },
            answer_bytes: if chance.one_in(12) { 900 } else { ROOMY },
            backup: chance.one_in(3),
        }
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &Asking> {
        self.sessions.iter().flat_map(|session| &session.calls)
    }

    /// Nothing but a call itself can make it fail.
    pub(super) fn is_kind(&self) -> bool {
        self.dials.is_empty() && self.timeouts == Timeouts::default() && self.credit == PLENTY && self.drain.is_none() && self.has_room()
    }

    /// No answer exceeds a limit of the gateway.
    pub(super) fn has_room(&self) -> bool {
        self.event_bytes == ROOMY && self.answer_bytes == ROOMY
    }
}

fn streams(chance: &mut Chance) -> Streams {
    let ms = |chance: &mut Chance, from: &[u64]| Duration::from_millis(*chance.pick(from));
    Streams {
        heartbeat: ms(chance, &[500, 5_000, 15_000]),
        open_early: ms(chance, &[1_000, 20_000, 20_000]),
        linger: ms(chance, &[0, 200, 10_000]),
        client_gone: if chance.one_in(4) { ClientGone::Finish } else { ClientGone::Cancel },
    }
}

fn timeouts(chance: &mut Chance) -> Timeouts {
    if chance.one_in(2) {
        return Timeouts::default();
    }
    let mut span = |least, most| Duration::from_millis(chance.between(least, most));
    Timeouts { connect: span(50, 3_000), first_byte: span(100, 50_000), idle: span(100, 40_000), total: span(500, 100_000) }
}

impl Asking {
    fn draw(n: usize, chance: &mut Chance) -> Self {
        use Route as R;
        let routes = [
            R::ChatCompletions,
            R::ChatCompletions,
            R::ChatCompletions,
            R::Completions,
            R::Responses,
            R::Responses,
            R::Messages,
            R::Messages,
            R::Embeddings,
            R::Models,
        ];
        let route = *chance.pick(&routes);
        let stream = !chance.one_in(4) && route != R::Models;
        let (model, good) = scenarios::draw(chance);
        Self {
            n,
            route,
            stream: stream && (route != R::Embeddings || chance.one_in(4)),
            asks_usage: chance.one_in(3),
            model,
            good,
            key: if chance.one_in(10) { *chance.pick(&KeyKind::ODD) } else { KeyKind::Good },
            defect: chance.one_in(12).then(|| *chance.pick(&Defect::ALL)),
            client: Behaviour::draw(chance),
            comeback: None,
            announces: None,
            resets: false,
        }
    }

    /// As the client asks for it. Two calls never ask the same.
    pub(super) fn body(&self) -> String {
        self.body_with(self.asks_usage)
    }

    /// What the upstream should see: with usage asked for where a stream can bring it.
    pub(super) fn body_upstream(&self) -> String {
        self.body_with(self.asks_usage || self.stream)
    }

    /// Whether the answer brings a chunk of usage that the client did not ask for.
    pub(super) fn hides_usage(&self) -> bool {
        self.stream && !self.asks_usage && matches!(self.route, Route::ChatCompletions | Route::Completions)
    }

    fn body_with(&self, usage: bool) -> String {
        let (model, prompt) = (self.model_asked(), format!("{PROMPT} number {}", self.n));
        let asked = match self.route {
            Route::Completions => format!(r#""prompt":"{prompt}""#),
            Route::Responses | Route::Embeddings => format!(r#""input":"{prompt}""#),
            _ => format!(r#""max_tokens":900,"messages":[{{"role":"user","content":"{prompt}"}}]"#),
        };
        let usage = match self.route {
            Route::ChatCompletions | Route::Completions if usage && self.stream => r#","stream_options":{"include_usage":true}"#,
            _ => "",
        };
        let stream = if self.stream { r#","stream":true"# } else { "" };
        format!(r#"{{"model":"{model}",{asked}{stream}{usage}}}"#)
    }

    pub(super) fn model_asked(&self) -> &str {
        if self.defect == Some(Defect::Unpriced) { "unpriced" } else { &self.model }
    }
}

/// Planted in every prompt: it must stay out of everything that is kept.
pub(super) const PROMPT: &str = "planted-prompt-7f3a";

impl KeyKind {
    const ODD: [Self; 6] = [Self::Grouped, Self::Unknown, Self::Disabled, Self::Expired, Self::Missing, Self::Mangled];

    /// Whether a call with this key gets as far as its model.
    pub(super) fn works(self) -> bool {
        matches!(self, Self::Good | Self::Grouped)
    }
}

impl Defect {
    const ALL: [Self; 10] = [
        Self::NotJson,
        Self::NoModel,
        Self::Method,
        Self::Path,
        Self::Head,
        Self::TooLong,
        Self::ContentType,
        Self::HalfBody,
        Self::HalfBodyLeaves,
        Self::Unpriced,
    ];
}

impl Behaviour {
    fn draw(chance: &mut Chance) -> Self {
        match chance.between(0, 19) {
            0 | 1 => Self::LeavesUnanswered(Duration::from_millis(*chance.pick(&[0, 1, 60, 700, 5_000]))),
            2 => Self::LeavesAtHead,
            3 | 4 => Self::LeavesAfterEvents(chance.size(1, 8)),
            5 => Self::LeavesAfterBytes(chance.size(1, 3_000)),
            6 | 7 => Self::Slow(chance.size(16, 2_000), Duration::from_millis(*chance.pick(&[5, 200, 3_000]))),
            8 => Self::Freezes(chance.size(0, 2_000)),
            _ => Self::ReadsAll,
        }
    }
}
