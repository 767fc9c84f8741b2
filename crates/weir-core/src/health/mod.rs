//! How fit a channel is for the next call of a model: its breaker, what its upstream told, and what its credential met.
//!
//! Health only orders channels. Alone it refuses no call: where every channel is unwell the least bad is asked all the same. The one
//! exception is an instant that the upstream itself told; until then asking is useless.

mod breaker;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

pub use breaker::{Breaker, BreakerState, BreakerTerms};

use crate::Timestamp;

/// Models of one channel whose health is known apart; what is more shares one.
pub const MAX_MODELS: usize = 256;
/// A longer name shares a place with the models for which there is no room.
const MODEL_BYTES: usize = 128;
/// A told instant further away is believed for this long: then the upstream is asked again.
const BELIEVED: Duration = Duration::from_secs(3600);
/// How long a 429 without a hint cools a channel; doubled each time, up to the most.
const COOL: Duration = Duration::from_secs(1);
const COOL_MOST: Duration = Duration::from_secs(30);
/// How long a channel rests whose credential was turned away: nobody mends it sooner.
const DENIED: Duration = Duration::from_secs(60);

/// A span of wall time. A clock that was set back ends it: to ask too early does no harm, to wait for hours does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spell {
    since: Timestamp,
    until: Timestamp,
}

impl Spell {
    fn holds(&self, now: Timestamp) -> bool {
        self.since <= now && now < self.until
    }
}

/// What an attempt said about the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// It failed, and said perhaps when to come back.
    Failed {
        told: Option<Timestamp>,
    },
    /// A limit refused it.
    Throttled {
        told: Option<Timestamp>,
    },
    /// The credential was turned away, whatever the model.
    Denied,
    /// This model was turned away.
    ModelDenied,
    /// Nothing: the client left, or the request was at fault.
    Nothing,
}

/// How fit a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    Fit,
    /// It was open and may be probed.
    Probe,
    /// Better not before then, if another is fit.
    Unwell(Timestamp),
    /// Useless before this instant, by the upstream's own word.
    Told(Timestamp),
}

/// One model on one channel.
#[derive(Debug, Clone, Default)]
struct Patient {
    breaker: Breaker,
    /// Believed until the spell ends; what was told may be later.
    told: Option<(Spell, Timestamp)>,
    cooled: Option<Spell>,
    /// 429s without a hint in a row.
    cooled_times: u32,
    denied: Option<Spell>,
}

/// The health of one channel.
#[derive(Debug, Clone, Default)]
pub struct Health {
    models: BTreeMap<Box<str>, Patient>,
    /// The models for which there was no room.
    others: Option<Patient>,
    denied: Option<Spell>,
    swept_at: Timestamp,
}

impl Health {
    /// Whether anything is known that could matter; if not, every model is fit.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.models.is_empty() && self.others.is_none() && self.denied.is_none()
    }

    #[must_use]
    pub fn fitness(&self, model: &str, now: Timestamp) -> Fitness {
        let own = self.models.get(model);
        // What was told about one model says nothing about the others that share its place.
        if let Some((spell, reset)) = own.and_then(|patient| patient.told)
            && spell.holds(now)
        {
            return Fitness::Told(reset);
        }
        let patient = own.or(self.others.as_ref());
        let spells = [self.denied, patient.and_then(|patient| patient.denied), patient.and_then(|patient| patient.cooled)];
        if let Some(until) = spells.into_iter().flatten().filter(|spell| spell.holds(now)).map(|spell| spell.until).max() {
            return Fitness::Unwell(until);
        }
        match patient.map_or(BreakerState::Closed, |patient| patient.breaker.state(now)) {
            BreakerState::Closed => Fitness::Fit,
            BreakerState::Probe => Fitness::Probe,
            BreakerState::Open(until) => Fitness::Unwell(until),
        }
    }

    /// An attempt goes to this channel.
    pub fn begin(&mut self, model: &str, now: Timestamp) {
        if let Some(patient) = self.models.get_mut(model).or(self.others.as_mut()) {
            patient.breaker.begin(now);
        }
    }

    /// An attempt ended.
    pub fn note(&mut self, model: &str, outcome: Outcome, now: Timestamp, roll: u128, terms: &BreakerTerms) {
        self.sweep(now, terms);
        match outcome {
            Outcome::Good | Outcome::Nothing => {
                let Some(patient) = self.models.get_mut(model).or(self.others.as_mut()) else { return };
                if outcome == Outcome::Nothing {
                    return patient.breaker.ended();
                }
                patient.breaker.good(now, terms);
                (patient.cooled, patient.cooled_times, patient.denied, patient.told) = (None, 0, None, None);
                self.denied = None;
            }
            Outcome::Denied => {
                self.denied = Some(Spell { since: now, until: now.after(DENIED) });
                self.note(model, Outcome::Nothing, now, roll, terms);
            }
            Outcome::ModelDenied => {
                let patient = self.patient(model);
                patient.denied = Some(Spell { since: now, until: now.after(DENIED) });
                patient.breaker.ended();
            }
            Outcome::Failed { told } => {
                let patient = self.patient(model);
                patient.breaker.failed(now, roll, terms);
                patient.tell(told, now);
            }
            Outcome::Throttled { told } => {
                let patient = self.patient(model);
                patient.breaker.failed(now, roll, terms);
                if !patient.tell(told, now) {
                    patient.cool(now);
                }
            }
        }
    }

    fn patient(&mut self, model: &str) -> &mut Patient {
        if model.len() > MODEL_BYTES || self.models.len() >= MAX_MODELS && !self.models.contains_key(model) {
            return self.others.get_or_insert_default();
        }
        self.models.entry(model.into()).or_default()
    }

    /// Forgets what is over, once in a window at most.
    fn sweep(&mut self, now: Timestamp, terms: &BreakerTerms) {
        if now >= self.swept_at && now.since(self.swept_at) <= terms.window && self.models.len() < MAX_MODELS {
            return;
        }
        self.swept_at = now;
        self.models.retain(|_, patient| !patient.is_at_rest(now, terms));
        self.others = self.others.take().filter(|patient| !patient.is_at_rest(now, terms));
        self.denied = self.denied.filter(|spell| spell.holds(now));
    }
}

impl Patient {
    /// Remembers a told instant; `false` if there is none in the future.
    fn tell(&mut self, told: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(reset) = told.filter(|reset| *reset > now) else { return false };
        let known = self.told.filter(|(spell, known)| spell.holds(now) && *known > reset);
        self.told = known.or(Some((Spell { since: now, until: reset.min(now.after(BELIEVED)) }, reset)));
        true
    }

    fn cool(&mut self, now: Timestamp) {
        let doubled = 1_u32.checked_shl(self.cooled_times).unwrap_or(u32::MAX);
        let span = COOL.saturating_mul(doubled).min(COOL_MOST);
        self.cooled_times = self.cooled_times.saturating_add(1);
        self.cooled = Some(Spell { since: now, until: now.after(span) });
    }

    fn is_at_rest(&self, now: Timestamp, terms: &BreakerTerms) -> bool {
        let spells = [self.denied, self.cooled, self.told.map(|(spell, _)| spell)];
        self.breaker.is_at_rest(now, terms) && !spells.into_iter().flatten().any(|spell| spell.holds(now))
    }
}
