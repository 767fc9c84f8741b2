//! A channel's own limits: what one credential may ask of its upstream, kept before the upstream has to say so.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_core::{
    Limits, Timestamp,
    limit::{Ask, Blocked, Gate, Held, MINUTE_MS, Now, Spent, Used},
};

use crate::limiter::Limiter;

/// What an attempt takes of its channel's limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) input: u64,
    pub(crate) output: u64,
    /// The client named no bound: the output may be cut to a part of the limit.
    pub(crate) unbounded: bool,
}

/// The limits of one channel at work.
pub(crate) struct Door {
    limits: Limits,
    /// `None` where nothing is limited.
    gate: Option<Mutex<Gate>>,
}

/// An attempt's stay behind a door. However it ends, it gives its place back.
pub(crate) struct Stay<'a> {
    door: &'a Door,
    limiter: &'a Limiter,
    held: Held,
    /// What it used, once that is known; until then nothing came of it.
    tokens: u64,
}

impl Door {
    pub(crate) fn new(limits: &Limits, now: Now) -> Self {
        let gate = (*limits != Limits::default()).then(|| Mutex::new(Gate::new(limits, now, |_| Spent::default())));
        Self { limits: limits.clone(), gate }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Gate>> {
        Some(self.gate.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the door next admits an attempt; `None` if it does now.
    pub(crate) fn opens(&self, need: &Need, limiter: &Limiter) -> Option<Timestamp> {
        let mut gate = self.lock()?;
        let now = limiter.now();
        self.admits(&mut gate, need, now).err().map(|blocked| told(blocked, now))
    }

    /// Takes a place for one attempt; nothing is taken where nothing is limited.
    ///
    /// # Errors
    /// When there is a place, if somebody was quicker.
    pub(crate) fn enter<'a>(&'a self, need: &Need, limiter: &'a Limiter) -> Result<Option<Stay<'a>>, Timestamp> {
        let Some(mut gate) = self.lock() else { return Ok(None) };
        let now = limiter.now();
        let ask = self.admits(&mut gate, need, now).map_err(|blocked| told(blocked, now))?;
        Ok(Some(Stay { door: self, limiter, held: gate.take(&self.limits, &ask, now), tokens: 0 }))
    }

    fn admits(&self, gate: &mut Gate, need: &Need, now: Now) -> Result<Ask<'static>, Blocked> {
        gate.advance(&self.limits, now);
        let mut ask = Ask { caller: "", input: need.input, output: need.output, unbounded: need.unbounded, amount: 0 };
        if ask.unbounded {
            ask.output = gate.output_for(&self.limits, &ask);
        }
        gate.fits(&self.limits, &ask, now).map(|()| ask)
    }
}

/// What is larger than the whole limit never fits: it is told a minute, the longest that a rate makes anyone wait.
fn told(blocked: Blocked, now: Now) -> Timestamp {
    now.wall_at(blocked.opens.at(now).min(now.steady.saturating_add(MINUTE_MS)))
}

impl Stay<'_> {
    /// The attempt was answered and used so many tokens.
    pub(crate) fn used(&mut self, tokens: u64) {
        self.tokens = tokens;
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let used = Used { asked: true, charged: false, tokens: self.tokens, amount: 0 };
        let now = self.limiter.now();
        if let Some(mut gate) = self.door.lock() {
            gate.end("", &self.held, &used, now);
        }
    }
}
