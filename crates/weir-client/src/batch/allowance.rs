//! What a server lets through in a minute, as we count it between two of its answers. Whole numbers; time is an argument.

use std::time::Duration;

use weir_core::Timestamp;

/// Parts of a unit: with a limit per minute, a millisecond brings as many parts as the limit has units.
const PARTS: i128 = 60_000;
/// Of what a server says is left, this part stays: whoever uses the last of it is told to wait until all of it is back.
const RESERVE: u64 = 100;
/// Windows up to this are paced; of a longer one (a day) the refusal tells.
pub(super) const PACED: Duration = Duration::from_secs(600);

/// Requests or tokens that may still be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Units a minute.
    limit: u64,
    /// In parts; negative while more was sent than there was.
    level: i128,
    /// No more than what so many milliseconds bring is ever there at once.
    holds_ms: u32,
    at: Timestamp,
}

impl Allowance {
    /// A limit of so many units a minute of which `remaining` are there.
    #[must_use]
    pub(super) fn new(limit: u64, remaining: u64, now: Timestamp) -> Self {
        let limit = limit.max(1);
        Self { limit, level: i128::from(remaining.min(limit)) * PARTS, holds_ms: 60_000, at: now }
    }

    /// A limit of so many units a minute that is kept evenly, a quarter of a second's worth at once.
    #[must_use]
    pub(super) fn even(limit: u64, now: Timestamp) -> Self {
        let limit = limit.max(1);
        Self { limit, level: PARTS, holds_ms: 250, at: now }
    }

    /// Another limit for what follows.
    pub(super) fn set_limit(&mut self, limit: u64, now: Timestamp) {
        self.refill(now);
        self.limit = limit.max(1);
        self.level = self.level.min(self.whole());
    }

    /// Units a minute.
    #[must_use]
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    fn whole(&self) -> i128 {
        // However little that is, one whole unit fits.
        (i128::from(self.limit) * i128::from(self.holds_ms)).max(PARTS)
    }

    fn brought(&self, span: Duration) -> i128 {
        let millis = i128::try_from(span.as_millis()).unwrap_or(i128::MAX);
        i128::from(self.limit).saturating_mul(millis)
    }

    fn refill(&mut self, now: Timestamp) {
        self.level = self.level.saturating_add(self.brought(now.since(self.at))).min(self.whole());
        self.at = now.max(self.at);
    }

    /// What a request takes that asks for `units`. One that is larger than all there can be waits for that.
    fn need(&self, units: u64) -> i128 {
        (i128::from(units) * PARTS).min(self.whole())
    }

    /// When there is room for `units`; `now` if there is.
    #[must_use]
    pub(super) fn opens(&mut self, units: u64, now: Timestamp) -> Timestamp {
        self.refill(now);
        let missing = self.need(units).saturating_sub(self.level);
        if missing <= 0 {
            return now;
        }
        let wait = missing.unsigned_abs().div_ceil(u128::from(self.limit));
        now.after(Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Whether half of what it can hold is there.
    pub(super) fn is_half_full(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        self.level.saturating_mul(2) >= self.whole()
    }

    /// `units` are sent.
    pub(super) fn take(&mut self, units: u64, now: Timestamp) {
        self.refill(now);
        self.level = self.level.saturating_sub(i128::from(units) * PARTS);
    }

    /// A request took fewer than it seemed.
    pub(super) fn give_back(&mut self, units: u64, now: Timestamp) {
        self.refill(now);
        self.level = self.level.saturating_add(i128::from(units) * PARTS).min(self.whole());
    }

    /// The server said on a request that was sent at `asked`: of `limit` units `remaining` were left. Since then `sent` more were sent, and what
    /// time brings came back.
    pub(super) fn told(&mut self, limit: u64, remaining: u64, sent: u64, asked: Timestamp, now: Timestamp) {
        (self.limit, self.holds_ms) = (limit.max(1), 60_000);
        let reserve = self.limit / RESERVE;
        let there = (i128::from(remaining.min(self.limit).saturating_sub(reserve)) * PARTS)
            .saturating_add(self.brought(now.since(asked)))
            .min(self.whole());
        self.level = there.saturating_sub(i128::from(sent) * PARTS);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_334_400_000);

    #[test]
    fn what_was_sent_comes_back_evenly_within_the_minute() {
        let mut requests = Allowance::new(60, 60, NOW);
        (0..60).for_each(|_| requests.take(1, NOW));
        assert_eq!(requests.opens(1, NOW), Timestamp(NOW.0 + 1_000));
        assert_eq!(requests.opens(60, NOW), Timestamp(NOW.0 + 60_000));
        assert_eq!(requests.opens(600, NOW), Timestamp(NOW.0 + 60_000), "more than the whole limit waits for all of it");
        requests.give_back(1, NOW);
        assert_eq!(requests.opens(1, NOW), NOW);
    }

    #[test]
    fn what_the_server_says_counts_less_what_was_sent_since_and_what_came_back() {
        let mut tokens = Allowance::new(6_000, 6_000, NOW);
        tokens.told(6_000, 1_000, 300, Timestamp(NOW.0 - 2_000), NOW);
        assert_eq!(tokens.opens(840, NOW), NOW, "1,000 and 200 came back, 300 left, 60 stay");
        assert_eq!(tokens.opens(841, NOW), Timestamp(NOW.0 + 10));
    }

    proptest! {
        /// However requests come: in no minute more are admitted than the limit and one whole burst.
        #[test]
        fn no_minute_takes_more_than_the_limit_and_its_burst(limit in 1_u64..5_000, asks in prop::collection::vec((0_u64..3_000, 1_u64..400), 1..200)) {
            let mut allowance = Allowance::new(limit, limit, NOW);
            let (mut now, mut sent): (Timestamp, Vec<(Timestamp, u64)>) = (NOW, Vec::new());
            for (pause, units) in asks {
                now = now.after(Duration::from_millis(pause));
                now = allowance.opens(units, now);
                prop_assert_eq!(allowance.opens(units, now), now, "what was told is kept");
                allowance.take(units.min(limit), now);
                sent.push((now, units.min(limit)));
                let minute: u64 = sent.iter().filter(|(at, _)| now.since(*at) < Duration::from_secs(60)).map(|(_, units)| units).sum();
                prop_assert!(minute <= 2 * limit, "{} in a minute of {}", minute, limit);
            }
        }
    }
}
