//! An upstream that really counts: `rpm=N` lets through N requests a minute, evenly, and knows exactly when the next one fits.

use std::time::Duration;

/// Different limits that one simulator counts at once; the one that was used least recently is forgotten beyond it.
const PACES_MAX: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);
/// How many seconds' worth may come at once. Vendors count by the second too: 60 a minute is one a second.
const BURST_S: u64 = 1;

/// When each limit has room again.
#[derive(Debug, Default)]
pub(crate) struct Paces(Vec<Pace>);

#[derive(Debug)]
struct Pace {
    per_minute: u64,
    /// When everything that was let through would have come, had it come evenly; since the simulator's start.
    due: Duration,
}

impl Paces {
    /// Asks for a place among `per_minute`. A refusal costs nothing and says how long until there is one, to the nanosecond.
    pub(crate) fn ask(&mut self, per_minute: u64, at: Duration) -> Result<(), Duration> {
        let known = self.0.iter().position(|pace| pace.per_minute == per_minute);
        let mut pace = known.map_or(Pace { per_minute, due: Duration::ZERO }, |place| self.0.remove(place));
        let answer = pace.ask(at);
        if self.0.len() >= PACES_MAX {
            self.0.remove(0);
        }
        self.0.push(pace);
        answer
    }
}

impl Pace {
    fn ask(&mut self, at: Duration) -> Result<(), Duration> {
        let Some(each) = u32::try_from(self.per_minute).ok().and_then(|count| MINUTE.checked_div(count)) else {
            return Err(MINUTE);
        };
        let burst = u32::try_from(self.per_minute.saturating_mul(BURST_S).div_ceil(60)).unwrap_or(u32::MAX);
        let due = self.due.max(at).saturating_add(each);
        let opens = due.saturating_sub(each.saturating_mul(burst));
        if at < opens {
            return Err(opens.saturating_sub(at));
        }
        self.due = due;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_minute_lets_through_more_than_its_limit_and_one_burst(per_minute in 1u64..2_000, gaps in prop::collection::vec(0u64..400, 1..600)) {
            let (mut paces, mut at, mut let_through) = (Paces::default(), Duration::ZERO, Vec::new());
            for gap in gaps {
                at += Duration::from_millis(gap);
                if paces.ask(per_minute, at).is_ok() {
                    let_through.push(at);
                }
            }
            for first in &let_through {
                let inside = let_through.iter().filter(|at| **at >= *first && **at < *first + MINUTE).count() as u64;
                prop_assert!(inside <= per_minute + per_minute.div_ceil(60), "{inside} of {per_minute}");
            }
        }

        #[test]
        fn who_waits_as_told_gets_in_and_a_nanosecond_earlier_does_not(per_minute in 1u64..2_000, at in 0u64..1_000_000) {
            let (mut paces, mut at) = (Paces::default(), Duration::from_micros(at));
            for _ in 0..5 {
                let Err(wait) = std::iter::repeat_with(|| paces.ask(per_minute, at)).find(Result::is_err).unwrap() else { unreachable!() };
                let early = paces.ask(per_minute, at + wait - Duration::from_nanos(1));
                prop_assert_eq!(early, Err(Duration::from_nanos(1)));
                at += wait;
                prop_assert!(paces.ask(per_minute, at).is_ok());
            }
        }
    }

    #[test]
    fn limits_are_counted_apart_and_only_so_many() {
        let mut paces = Paces::default();
        assert!(paces.ask(60, Duration::ZERO).is_ok() && paces.ask(61, Duration::ZERO).is_ok());
        assert_eq!(paces.ask(60, Duration::ZERO), Err(Duration::from_secs(1)));
        assert_eq!(paces.ask(0, Duration::ZERO), Err(MINUTE), "nothing a minute is nothing");
        assert!((1_000..1_200).all(|limit| paces.ask(limit, Duration::ZERO).is_ok()));
        assert_eq!(paces.0.len(), PACES_MAX);
        assert!(paces.ask(60, Duration::ZERO).is_ok(), "the oldest was forgotten");
    }
}
