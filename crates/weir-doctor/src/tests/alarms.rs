//! The law of false alarms: whatever a healthy API and an honest network do, no run ends in a fault.

use std::time::Duration;

use weir_core::{Dialect, Level, Timestamp, Verdict};

use weir_client::probe::{BodyEnd, HttpVersion, Phases};

use crate::{
    judge::{Seen, judge},
    trace::{End, Reading, Trace},
};

/// A generator of its own: the same seed, the same run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A healthy upstream and the link to it.
#[derive(Debug, Clone, Copy)]
struct World {
    events: u64,
    /// Before the first event, in microseconds: a queue, a long prompt, a loaded machine.
    wait_us: u64,
    /// Between two events.
    interval_us: u64,
    is_jittered: bool,
    /// Of the link.
    delay_us: u64,
    loss_percent: u64,
    /// The server writes so many events in one piece.
    glue: u64,
    /// A relay on the way bunches whatever comes within this time.
    bunch_us: u64,
    heartbeats: bool,
    is_h2: bool,
}

impl World {
    fn of(dice: &mut Dice) -> Self {
        let wait_us = match dice.below(4) {
            0 => dice.below(50_000),
            1 => dice.below(900_000),
            2 => dice.below(6_000_000),
            _ => 1_000_000 + dice.below(25_000_000),
        };
        let interval_us = match dice.below(4) {
            0 => 0,
            1 => dice.below(2_000),
            2 => dice.below(40_000),
            _ => dice.below(400_000),
        };
        let most = if dice.chance(30) { 8 } else { 80 };
        Self {
            events: 1 + dice.below(most),
            wait_us,
            interval_us,
            is_jittered: dice.chance(50),
            delay_us: dice.below(400_000),
            loss_percent: if dice.chance(40) { dice.below(20) } else { 0 },
            glue: if dice.chance(25) { 1 + dice.below(4) } else { 1 },
            bunch_us: if dice.chance(40) { dice.below(120_000) } else { 0 },
            heartbeats: dice.chance(20),
            is_h2: dice.chance(50),
        }
    }

    /// The pieces in which the server writes one answer: when, and what.
    fn written(&self, dice: &mut Dice) -> Vec<(u64, String)> {
        let mut at = self.wait_us;
        let mut pieces: Vec<(u64, String)> = Vec::new();
        if self.heartbeats {
            pieces.extend((1..at / 1_000_000).map(|n| (n * 1_000_000, ": beat\n\n".to_owned())));
        }
        let mut piece = String::new();
        for n in 0..self.events {
            let share = if self.is_jittered { 50 + dice.below(100) } else { 100 };
            at += self.interval_us * share / 100;
            piece.push_str(&format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{n} \"}},\"finish_reason\":null}}]}}\n\n"
            ));
            if (n + 1) % self.glue == 0 {
                pieces.push((at, std::mem::take(&mut piece)));
            }
        }
        piece.push_str("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
        pieces.push((at, piece));
        pieces
    }

    /// When a piece arrives: in order, after the delay, and after the pause that a loss makes; a lost one holds up those behind it.
    fn arrive(&self, written: &[(u64, String)], dice: &mut Dice) -> Vec<(u64, String)> {
        let mut free = 0;
        let each = |(at, piece): &(u64, String)| {
            let lost = if dice.chance(self.loss_percent) { 200_000 + dice.below(1_200_000) } else { 0 };
            let bunch = if self.bunch_us > 0 { self.bunch_us - at % self.bunch_us } else { 0 };
            free = (at + self.delay_us + lost + bunch).max(free);
            (free, piece.clone())
        };
        written.iter().map(each).collect()
    }

    fn trace(&self, dice: &mut Dice, is_stream: bool) -> Trace {
        let written = self.written(dice);
        let arrived = self.arrive(&written, dice);
        let mut reading = if is_stream { Reading::of_stream(Dialect::Chat) } else { Reading::of_whole() };
        let mut headers = http::HeaderMap::new();
        let kind = if is_stream { "text/event-stream" } else { "application/json" };
        headers.insert("content-type", http::HeaderValue::from_static(kind));
        headers.insert("cache-control", http::HeaderValue::from_static("no-cache"));
        let (head, end) = (arrived[0].0, arrived[arrived.len() - 1].0);
        if is_stream {
            for (at, piece) in &arrived {
                reading.piece(Duration::from_micros(*at), piece.len(), piece.as_bytes());
            }
        } else {
            let whole = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"content":"1 2"},"finish_reason":"stop"}]}"#;
            reading.piece(Duration::from_micros(end), whole.len(), whole.as_bytes());
        }
        let (arrivals, body) = reading.finish(200, &headers, Timestamp(0), true);
        Trace {
            phases: Phases { first_byte: Some(Duration::from_micros(if is_stream { head } else { end })), ..Phases::default() },
            tls: None,
            version: Some(if self.is_h2 { HttpVersion::Http2 } else { HttpVersion::Http11 }),
            status: Some(200),
            headers: vec![("content-type".to_owned(), kind.to_owned()), ("cache-control".to_owned(), "no-cache".to_owned())],
            arrivals,
            body,
            end: End::Body(BodyEnd::Clean),
            skew_s: Some(i64::try_from(dice.below(20)).unwrap() - 10),
            total: Duration::from_micros(end),
        }
    }
}

#[test]
fn a_healthy_api_over_any_honest_link_is_never_called_broken() {
    for seed in 0..1_000 {
        let mut dice = Dice(seed);
        let world = World::of(&mut dice);
        let seen = Seen {
            control: Some(world.trace(&mut dice, false)),
            stream: Some(world.trace(&mut dice, true)),
            gzip: Some(world.trace(&mut dice, true)),
            ..Seen::default()
        };
        let judgement = judge(&seen);
        let verdict = judgement.primary.finding.verdict;
        assert!(verdict.level() < Level::Warn, "seed {seed}: {verdict} of {world:?}");
        assert_eq!(verdict, Verdict::Ok, "seed {seed}: {world:?}");
    }
}

#[test]
fn the_law_above_can_fail() {
    let mut dice = Dice(7);
    let world = World {
        events: 40,
        wait_us: 200_000,
        interval_us: 30_000,
        loss_percent: 0,
        bunch_us: 0,
        heartbeats: false,
        glue: 1,
        ..World::of(&mut dice)
    };
    let control = world.trace(&mut dice, false);
    let stored = World { glue: 1_000, ..world };
    let seen = Seen { stream: Some(stored.trace(&mut dice, true)), control: Some(control), ..Seen::default() };
    assert_eq!(judge(&seen).primary.finding.verdict, Verdict::StreamBuffered);
}
