//! The line of calls that wait for a limit instead of being refused: bounded, fair between callers, and left by whoever gives up.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use weir_core::limit::{Blocked, Held, Now, Opens, Used};

use super::{Denied, Entered, Limiter, Permit, State, Wanted, unseen};

/// Calls in line at once, of all keys together. A call that finds the line full is refused.
const LINE: usize = 1_024;

/// Why a waiting call looks again when nobody wakes it: a wall that is set moves midnights.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// One call in line.
#[derive(Debug)]
struct Waiter {
    number: u64,
    wanted: Arc<Wanted>,
    /// The gates of its holders.
    places: Vec<usize>,
    wake: Arc<Notify>,
    granted: Option<Entered>,
}

/// All calls in line, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiters: Vec<Waiter>,
    next: u64,
}

/// A call's place in line; leaving it, however that happens, gives the place up.
pub(crate) struct Turn<'a> {
    limiter: &'a Limiter,
    number: u64,
    wake: Arc<Notify>,
}

impl State {
    /// Lets in whoever fits, the callers that have had least first, then in the order of coming.
    /// `freed`: only those who wait for one of these gates.
    pub(super) fn let_in(&mut self, now: Now, freed: Option<&[(usize, Held)]>) {
        let waits = |waiter: &&Waiter| {
            waiter.granted.is_none() && freed.is_none_or(|freed| freed.iter().any(|(place, _)| waiter.places.contains(place)))
        };
        let mut turns: Vec<(u64, u64)> =
            self.line.waiters.iter().filter(waits).map(|waiter| (self.served(waiter), waiter.number)).collect();
        turns.sort_unstable();
        for (_, number) in turns {
            let Some(wanted) = self.line.find(number).map(|waiter| Arc::clone(&waiter.wanted)) else { continue };
            let Ok(entered) = self.enter(&wanted, now, &unseen) else { continue };
            if let Some(waiter) = self.line.find(number) {
                waiter.granted = Some(entered);
                waiter.wake.notify_one();
            }
        }
    }

    /// What the caller of a waiting call has had of its key lately.
    fn served(&self, waiter: &Waiter) -> u64 {
        let key = waiter.places.first().zip(waiter.wanted.holders.first());
        key.map_or(0, |(place, holder)| self.gates[*place].callers.had(&holder.caller))
    }
}

impl Line {
    fn find(&mut self, number: u64) -> Option<&mut Waiter> {
        self.waiters.iter_mut().find(|waiter| waiter.number == number)
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let at = self.waiters.iter().position(|waiter| waiter.number == number)?;
        Some(self.waiters.remove(at))
    }
}

impl Limiter {
    /// Stands in line; `None` if the line is full.
    pub(crate) fn stand(&self, wanted: &Arc<Wanted>, denied: &Denied) -> Option<Turn<'_>> {
        let (mut state, now) = self.lock();
        if state.line.waiters.len() >= LINE {
            return None;
        }
        let places: Vec<usize> = wanted.holders.iter().map(|holder| state.place(holder, now, &unseen)).collect();
        if denied.blocked.opens == Opens::Turn {
            state.gates[places[denied.at]].came();
        }
        state.line.next += 1;
        let (number, wake) = (state.line.next, Arc::new(Notify::new()));
        state.line.waiters.push(Waiter { number, wanted: Arc::clone(wanted), places, wake: Arc::clone(&wake), granted: None });
        Some(Turn { limiter: self, number, wake })
    }
}

impl<'a> Turn<'a> {
    /// Waits for admission until `deadline`; `None` if it did not come by then.
    pub(crate) async fn wait(self, deadline: Instant) -> Option<Permit<'a>> {
        loop {
            let woken = self.wake.notified();
            match self.look() {
                Ok(permit) => return Some(permit),
                Err(again) if Instant::now() < deadline => drop(timeout_at(deadline.min(again), woken).await),
                Err(_) => return None,
            }
        }
    }

    /// What was granted, or when to look again.
    fn look(&self) -> Result<Permit<'a>, Instant> {
        let (mut state, now) = self.limiter.lock();
        state.let_in(now, None);
        let Some(waiter) = state.line.find(self.number) else { return Err(Instant::now() + LOOK_AGAIN) };
        let wanted = Arc::clone(&waiter.wanted);
        if let Some(entered) = waiter.granted.take() {
            state.line.remove(self.number);
            return Ok(Permit { limiter: self.limiter, wanted, entered });
        }
        let wait = match state.blocks(&wanted, now) {
            Some(Blocked { opens: Opens::At(at), .. }) => Duration::from_millis(at.saturating_sub(now.steady).unsigned_abs()),
            _ => LOOK_AGAIN,
        };
        Err(Instant::now() + wait.min(LOOK_AGAIN))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (mut state, now) = self.limiter.lock();
        let Some(Waiter { wanted, granted: Some(Entered { held, .. }), .. }) = state.line.remove(self.number) else { return };
        // Granted, but nobody is there to take it: it goes to the next.
        let unused = Used { asked: false, charged: false, tokens: 0, amount: 0 };
        for ((place, held), holder) in held.iter().zip(&wanted.holders) {
            state.gates[*place].end(&holder.caller, held, &unused, now);
        }
        state.let_in(now, Some(&held));
    }
}
