//! Opens when too much fails, lets one probe at a time through, closes when some went well. Only tells; it refuses nobody.

use std::time::Duration;

use super::Spell;
use crate::{Timestamp, retry::upto};

/// When a breaker opens, for how long, and what closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerTerms {
    /// The span over which failures are counted.
    pub window: Duration,
    /// So many failures at least, or so many in a row.
    pub failures: u32,
    /// And such a share of all that was counted, in percent.
    pub percent: u32,
    /// How long it stays open the first time; doubled each time a probe fails.
    pub open: Duration,
    pub open_max: Duration,
    /// Probes that must go well before it closes.
    pub probes: u32,
}

impl Default for BreakerTerms {
    /// Five failures are no accident, half of all means that another channel is better; five seconds are the restart of a server,
    /// a minute is as long as anybody should wait to notice that it is back.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            failures: 5,
            percent: 50,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            probes: 3,
        }
    }
}

/// A probe that has not ended after this long is taken for lost, and another may go.
const PROBE_LIMIT: Duration = Duration::from_secs(120);
/// An open breaker that nobody asked for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Parts of the window: what is counted is forgotten part by part.
const PARTS: usize = 10;

/// What went well and what failed, part of the window by part.
#[derive(Debug, Clone, Default)]
struct Window {
    parts: [(u32, u32); PARTS],
    /// The part that is being filled, counted from the beginning of time.
    at: i64,
}

impl Window {
    fn add(&mut self, failed: bool, now: Timestamp, span: Duration) {
        let part_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).div_euclid(PARTS as i64).max(1);
        let at = now.0.div_euclid(part_ms);
        let passed = usize::try_from(at.saturating_sub(self.at)).unwrap_or(PARTS);
        for step in 1..=passed.min(PARTS) {
            let index = at.saturating_sub(i64::try_from(step).unwrap_or(0) - 1).rem_euclid(PARTS as i64);
            self.parts[usize::try_from(index).unwrap_or(0)] = (0, 0);
        }
        self.at = at;
        let (good, bad) = &mut self.parts[usize::try_from(at.rem_euclid(PARTS as i64)).unwrap_or(0)];
        let count = if failed { bad } else { good };
        *count = count.saturating_add(1);
    }

    fn sums(&self) -> (u64, u64) {
        self.parts.iter().fold((0, 0), |(good, bad), part| (good + u64::from(part.0), bad + u64::from(part.1)))
    }
}

#[derive(Debug, Clone, Copy)]
struct Open {
    spell: Spell,
    /// How often it opened in a row.
    times: u32,
    good_probes: u32,
    probe_since: Option<Timestamp>,
}

/// The breaker of one channel and model.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    window: Window,
    in_a_row: u32,
    open: Option<Open>,
    /// When something was last counted.
    last: Timestamp,
}

/// What a breaker says of the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    /// A probe may go.
    Probe,
    /// Better not before then.
    Open(Timestamp),
}

impl Breaker {
    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        let Some(open) = &self.open else { return BreakerState::Closed };
        if open.spell.holds(now) {
            return BreakerState::Open(open.spell.until);
        }
        match open.probe_since.map(|since| Spell { since, until: since.after(PROBE_LIMIT) }) {
            Some(probe) if probe.holds(now) => BreakerState::Open(probe.until),
            _ => BreakerState::Probe,
        }
    }

    /// A call goes; if it is a probe, no other does until it ended.
    pub fn begin(&mut self, now: Timestamp) {
        if self.state(now) == BreakerState::Probe
            && let Some(open) = &mut self.open
        {
            open.probe_since = Some(now);
        }
    }

    /// A call ended without saying anything about the channel's health.
    pub fn ended(&mut self) {
        if let Some(open) = &mut self.open {
            open.probe_since = None;
        }
    }

    pub fn good(&mut self, now: Timestamp, terms: &BreakerTerms) {
        self.in_a_row = 0;
        self.last = now;
        match &mut self.open {
            None => self.window.add(false, now, terms.window),
            Some(open) => {
                open.probe_since = None;
                open.good_probes = open.good_probes.saturating_add(1);
                if open.good_probes >= terms.probes {
                    *self = Self { last: now, ..Self::default() };
                }
            }
        }
    }

    pub fn failed(&mut self, now: Timestamp, roll: u128, terms: &BreakerTerms) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = now;
        match &mut self.open {
            // Calls that began before it opened, or had no better channel: it knows already.
            Some(open) if open.spell.holds(now) => open.good_probes = 0,
            Some(open) => {
                let times = open.times.saturating_add(1);
                self.open = Some(opened(times, now, roll, terms));
            }
            None => {
                self.window.add(true, now, terms.window);
                let (good, bad) = self.window.sums();
                let share = bad.saturating_mul(100) >= (good + bad).saturating_mul(terms.percent.into());
                if self.in_a_row >= terms.failures || bad >= terms.failures.into() && share {
                    self.open = Some(opened(1, now, roll, terms));
                    self.window = Window::default();
                }
            }
        }
    }

    /// Whether nothing of it matters any more.
    #[must_use]
    pub fn is_at_rest(&self, now: Timestamp, terms: &BreakerTerms) -> bool {
        now < self.last || now.since(self.last) > if self.open.is_none() { terms.window } else { FORGOTTEN.max(terms.open_max) }
    }
}

fn opened(times: u32, now: Timestamp, roll: u128, terms: &BreakerTerms) -> Open {
    let doubled = 1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX);
    let span = terms.open.saturating_mul(doubled).min(terms.open_max);
    // Up to a fifth longer: channels that failed together are not probed together.
    let until = now.after(span.saturating_add(upto(span / 5, roll)));
    Open { spell: Spell { since: now, until }, times, good_probes: 0, probe_since: None }
}
