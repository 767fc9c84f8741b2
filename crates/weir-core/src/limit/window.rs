//! What was used within the last minute, exactly: no 60 seconds ever hold more than the limit, and the instant at which the next
//! unit is free is known to the millisecond.
//!
//! A leaky bucket (GCRA) would be smaller, but lets twice the limit through in the minute that begins with a burst. Times are
//! [`Steady`](super::Steady) milliseconds.

use std::collections::VecDeque;

/// The span that rates are counted over, in milliseconds.
pub const MINUTE_MS: i64 = 60_000;
/// Up to this many instants are kept as they are; beyond, what comes close together leaves together.
const EXACT: usize = 64;
/// How close that is: such a slot leaves late by less than this, never early. Bounds the slots to about twice `EXACT`.
const MERGED_MS: i64 = MINUTE_MS / EXACT as i64;

/// Units that came at one instant, or close together.
#[derive(Debug, Clone, Copy)]
struct Slot {
    first: i64,
    last: i64,
    units: u64,
}

/// The sliding minute of one limit.
#[derive(Debug, Clone, Default)]
pub struct Window {
    slots: VecDeque<Slot>,
    sum: u64,
}

impl Window {
    /// Forgets what left the window.
    pub fn advance(&mut self, now: i64) {
        while let Some(slot) = self.slots.front().filter(|slot| leaves(slot) <= now) {
            self.sum = self.sum.saturating_sub(slot.units);
            self.slots.pop_front();
        }
    }

    /// Units used within the last minute, as of the last [`Window::advance`].
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Counts `units` at `now`.
    pub fn take(&mut self, units: u64, now: i64) {
        self.advance(now);
        self.sum = self.sum.saturating_add(units);
        let crowded = self.slots.len() >= EXACT;
        match self.slots.back_mut() {
            Some(slot) if slot.last >= now || crowded && now - slot.first < MERGED_MS => {
                slot.units = slot.units.saturating_add(units);
                slot.last = slot.last.max(now);
            }
            _ => self.slots.push_back(Slot { first: now, last: now, units }),
        }
    }

    /// Puts `used` in place of `held` for what was taken at `at`. What has left the window stays gone.
    pub fn correct(&mut self, at: i64, held: u64, used: u64) {
        // The slots are in order, and what is corrected is mostly recent.
        if let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.first <= at && at <= slot.last) {
            let units = slot.units.saturating_sub(held).saturating_add(used);
            self.sum = self.sum.saturating_sub(slot.units).saturating_add(units);
            slot.units = units;
        }
    }

    /// The earliest instant, `now` or later, at which `units` fit under `limit` if nothing else comes. `None` if they never do.
    #[must_use]
    pub fn fits_at(&self, limit: u64, units: u64, now: i64) -> Option<i64> {
        let room = limit.checked_sub(units)?;
        let mut sum = self.sum;
        let mut at = now;
        for slot in &self.slots {
            if sum <= room {
                break;
            }
            sum = sum.saturating_sub(slot.units);
            at = at.max(leaves(slot));
        }
        Some(at)
    }

    /// When the window is empty if nothing else comes.
    #[must_use]
    pub fn empty_at(&self, now: i64) -> i64 {
        self.slots.back().map_or(now, |slot| leaves(slot).max(now))
    }

    /// Forgets everything: there is no limit to count for.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.sum = 0;
    }
}

fn leaves(slot: &Slot) -> i64 {
    slot.last.saturating_add(MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_leaves_a_minute_after_it_came() {
        let mut window = Window::default();
        for at in [0, 10, 20] {
            assert_eq!(window.fits_at(3, 1, at), Some(at));
            window.take(1, at);
        }
        assert_eq!(window.fits_at(3, 1, 30), Some(60_000));
        assert_eq!(window.fits_at(3, 2, 30), Some(60_010));
        assert_eq!(window.fits_at(3, 4, 30), None, "more than the whole limit never fits");
        window.advance(59_999);
        assert_eq!(window.sum(), 3);
        window.advance(60_000);
        assert_eq!(window.sum(), 2);
    }

    #[test]
    fn a_correction_reaches_what_is_still_in_the_window_and_nothing_else() {
        let mut window = Window::default();
        window.take(100, 0);
        window.take(100, 50);
        window.correct(0, 100, 30);
        assert_eq!(window.sum(), 130);
        window.correct(50, 100, 900);
        assert_eq!(window.sum(), 930, "more may be used than was held; it is carried");
        window.advance(60_010);
        window.correct(0, 100, 5);
        assert_eq!(window.sum(), 900);
    }

    proptest! {
        /// Whoever asks at any time and takes what fits never has more than the limit within any minute, is let in at the told
        /// instant, and not a millisecond before it.
        #[test]
        fn no_minute_ever_holds_more_than_its_limit(
            limit in 1_u64..300,
            asks in proptest::collection::vec((0_i64..900, 1_u64..5), 1..1_500),
        ) {
            let (mut window, mut now, mut taken) = (Window::default(), 0, Vec::<(i64, u64)>::new());
            for (pause, units) in asks {
                now += pause * i64::from(pause > 300);
                window.advance(now);
                let Some(at) = window.fits_at(limit, units, now) else { prop_assert!(units > limit); continue };
                if at > now {
                    let mut early = window.clone();
                    early.advance(at - 1);
                    prop_assert!(early.fits_at(limit, units, at - 1) > Some(at - 1), "a millisecond early is too early");
                    now = at;
                    window.advance(now);
                    prop_assert_eq!(window.fits_at(limit, units, now), Some(now));
                }
                window.take(units, now);
                taken.push((now, units));
                let minute: u64 = taken.iter().rev().take_while(|(at, _)| *at > now - MINUTE_MS).map(|(_, units)| units).sum();
                prop_assert!(minute <= limit, "{} within a minute, {} allowed", minute, limit);
                prop_assert!(window.slots.len() <= 2 * EXACT + 1);
            }
        }
    }
}
