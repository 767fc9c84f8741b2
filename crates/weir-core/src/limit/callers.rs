//! Who shares a key: what each caller used within the last minute, what is fair when it does not suffice for all, and who comes
//! back before the time it was told.

use super::{MINUTE_MS, Window};

/// Callers of one key that are told apart at once; the one that was silent longest makes room.
const CALLERS: usize = 64;
/// Calls that come within this of a refusal were on their way already: a burst, no retry. In milliseconds.
const ON_ITS_WAY_MS: i64 = 20;

/// One caller on a key.
#[derive(Debug, Clone)]
struct Caller {
    name: Box<str>,
    last: i64,
    window: Window,
    running: u64,
    refused: Option<i64>,
    told: Option<Told>,
}

/// A refusal that the caller has not waited out.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: i64,
    until: i64,
    early: u32,
}

/// What a caller used, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerUse {
    pub caller: String,
    /// Calls admitted within the last minute, and running now.
    pub recent: u64,
    pub running: u64,
}

/// All callers of one key.
#[derive(Debug, Clone, Default)]
pub struct Callers(Vec<Caller>);

impl Callers {
    fn of(&mut self, name: &str, now: i64) -> &mut Caller {
        let found = self.0.iter().position(|caller| &*caller.name == name);
        let at = found.unwrap_or_else(|| {
            if self.0.len() >= CALLERS {
                let silent = self.0.iter().enumerate().filter(|(_, caller)| caller.running == 0).min_by_key(|(_, caller)| caller.last);
                let at = silent.map_or(0, |(at, _)| at);
                self.0.swap_remove(at);
            }
            self.0.push(Caller { name: name.into(), last: now, window: Window::default(), running: 0, refused: None, told: None });
            self.0.len() - 1
        });
        let caller = &mut self.0[at];
        caller.last = now;
        caller
    }

    /// A call of `name` arrives: how many it has made before the time it was told, this one included; 0 if it is in time.
    pub fn arrives(&mut self, name: &str, now: i64) -> u32 {
        let caller = self.of(name, now);
        match &mut caller.told {
            Some(told) if now < told.until => {
                told.early += u32::from(now >= told.at + ON_ITS_WAY_MS);
                told.early
            }
            told => {
                *told = None;
                0
            }
        }
    }

    pub fn admitted(&mut self, name: &str, now: i64) {
        let caller = self.of(name, now);
        caller.window.take(1, now);
        caller.running += 1;
    }

    /// A call of `name`, admitted at `at`, ended; `counts` says whether it still counts as one.
    pub fn ended(&mut self, name: &str, at: i64, counts: bool) {
        if let Some(caller) = self.0.iter_mut().find(|caller| &*caller.name == name) {
            caller.running = caller.running.saturating_sub(1);
            caller.window.correct(at, 1, u64::from(counts));
        }
    }

    /// A call of `name` is refused until `until`.
    pub fn refused(&mut self, name: &str, now: i64, until: Option<i64>) {
        self.of(name, now).refused = Some(now);
        self.told(name, now, until);
    }

    /// A call of `name` is told to come at `until`, by a limit that is not of this key: nobody here took what it lacks.
    pub fn told(&mut self, name: &str, now: i64, until: Option<i64>) {
        let caller = self.of(name, now);
        if let Some(until) = until {
            let told = caller.told.get_or_insert(Told { at: now, until, early: 0 });
            told.until = told.until.max(until);
        }
    }

    /// What of `limit` must be left to others who lately got none: each one's equal share, less what it has. `None` while nobody
    /// else is short, and for a caller that has not had its own share yet. `used` tells what counts: calls of a minute, or running ones.
    fn kept_for_others(&self, name: &str, limit: u64, now: i64, used: impl Fn(&Caller) -> u64) -> Option<u64> {
        let short = |caller: &&Caller| &*caller.name != name && caller.refused.is_some_and(|at| at > now - MINUTE_MS);
        let others = self.0.iter().filter(short).count() as u64;
        let share = limit / (others + 1);
        let own = self.0.iter().find(|caller| &*caller.name == name).map_or(0, &used);
        if others == 0 || own < share.max(1) {
            return None;
        }
        Some(self.0.iter().filter(short).map(|caller| share.saturating_sub(used(caller))).sum())
    }

    /// [`Callers::kept_for_others`] of a rate.
    #[must_use]
    pub fn rate_kept(&mut self, name: &str, limit: u64, now: i64) -> u64 {
        self.0.iter_mut().for_each(|caller| caller.window.advance(now));
        self.kept_for_others(name, limit, now, |caller| caller.window.sum()).unwrap_or(0)
    }

    /// [`Callers::kept_for_others`] of a concurrency.
    #[must_use]
    pub fn places_kept(&self, name: &str, limit: u64, now: i64) -> u64 {
        self.kept_for_others(name, limit, now, |caller| caller.running).unwrap_or(0)
    }

    /// Another caller who used at least half of what was used within the last minute, and its share in percent.
    pub fn taken_by_another(&mut self, name: &str, now: i64) -> Option<(&str, u64)> {
        self.0.iter_mut().for_each(|caller| caller.window.advance(now));
        let used = |caller: &Caller| caller.window.sum().max(caller.running);
        let sum: u64 = self.0.iter().map(used).sum();
        let most = self.0.iter().max_by_key(|caller| used(caller))?;
        (sum > 0 && &*most.name != name && used(most) * 2 >= sum).then(|| (&*most.name, used(most) * 100 / sum))
    }

    /// What a caller has had lately: its calls of the last minute and those that run.
    #[must_use]
    pub fn had(&self, name: &str) -> u64 {
        self.0.iter().find(|caller| &*caller.name == name).map_or(0, |caller| caller.window.sum() + caller.running)
    }

    /// Callers seen within the last minute, the busiest first.
    pub fn uses(&mut self, now: i64) -> Vec<CallerUse> {
        self.0.iter_mut().for_each(|caller| caller.window.advance(now));
        let seen = self.0.iter().filter(|caller| caller.last > now - MINUTE_MS || caller.running > 0);
        let mut uses: Vec<_> = seen
            .map(|caller| CallerUse { caller: caller.name.to_string(), recent: caller.window.sum(), running: caller.running })
            .collect();
        uses.sort_by(|a, b| b.recent.cmp(&a.recent).then_with(|| a.caller.cmp(&b.caller)));
        uses
    }

    /// Callers seen within the last minute.
    #[must_use]
    pub fn active(&self, now: i64) -> usize {
        self.0.iter().filter(|caller| caller.last > now - MINUTE_MS).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_retries_are_counted_until_the_told_time_and_a_burst_is_none() {
        let mut callers = Callers::default();
        assert_eq!(callers.arrives("a", 0), 0);
        callers.refused("a", 0, Some(5_000));
        assert_eq!(callers.arrives("a", 3), 0, "it was on its way");
        callers.refused("a", 3, Some(5_000));
        for (at, early) in [(500, 1), (1_500, 2), (4_999, 3)] {
            assert_eq!(callers.arrives("a", at), early);
            callers.refused("a", at, Some(5_000));
        }
        assert_eq!(callers.arrives("b", 4_999), 0, "another caller was told nothing");
        assert_eq!(callers.arrives("a", 5_000), 0);
    }

    #[test]
    fn r37_what_is_short_is_shared_equally_once_somebody_gets_none() {
        let mut callers = Callers::default();
        for at in 0..10 {
            assert_eq!(callers.rate_kept("hog", 10, at), 0, "alone it may have all");
            callers.admitted("hog", at);
        }
        callers.refused("small", 20, None);
        assert_eq!(callers.rate_kept("hog", 10, 21), 5, "half is the other's");
        assert_eq!(callers.rate_kept("small", 10, 21), 0);
        callers.admitted("small", 60_000);
        assert_eq!(callers.rate_kept("hog", 10, 60_001), 4, "less what it has got");
        assert_eq!(callers.rate_kept("hog", 10, 60_021), 0, "after a minute without a refusal nothing is kept back");
    }

    #[test]
    fn r37_another_caller_who_takes_half_is_named() {
        let mut callers = Callers::default();
        for at in 0..3 {
            callers.admitted("hog", at);
        }
        callers.admitted("small", 3);
        assert_eq!(callers.taken_by_another("small", 4), Some(("hog", 75)));
        assert_eq!(callers.taken_by_another("hog", 4), None);
        assert_eq!(callers.uses(4).iter().map(|used| (used.caller.as_str(), used.recent)).collect::<Vec<_>>(), [("hog", 3), ("small", 1)]);
    }

    #[test]
    fn callers_are_bounded_and_one_that_runs_is_kept() {
        let mut callers = Callers::default();
        callers.admitted("runs", 0);
        for n in 0..200 {
            callers.arrives(&format!("c{n}"), n + 1);
        }
        assert_eq!(callers.0.len(), CALLERS);
        assert!(callers.uses(100_000).iter().any(|used| used.caller == "runs"));
    }
}
