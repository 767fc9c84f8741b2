//! The civil day of a zone, and what was used of it. A day is 23, 24 or 25 hours long: its end is the next local midnight.

use jiff::{ToSpan, tz::TimeZone};

use crate::Timestamp;

/// A civil day: from `start` until just before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// A zone by its IANA name; `None` if there is none of that name.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

impl Day {
    /// The civil day of `zone` that `now` lies in. Beyond the calendar (the year 9999) days are 24 hours from `now`.
    #[must_use]
    pub fn of(zone: &TimeZone, now: Timestamp) -> Self {
        Self::in_calendar(zone, now).unwrap_or_else(|| Self { start: now, end: Timestamp(now.0.saturating_add(86_400_000)) })
    }

    fn in_calendar(zone: &TimeZone, now: Timestamp) -> Option<Self> {
        let start = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned(zone.clone()).start_of_day().ok()?;
        let end = start.checked_add(1.day()).ok()?.start_of_day().ok()?;
        Some(Self { start: Timestamp(start.timestamp().as_millisecond()), end: Timestamp(end.timestamp().as_millisecond()) })
    }

    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

/// Units of each kind that a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    pub requests: u64,
    pub tokens: u64,
    /// Nano-units.
    pub amount: u64,
}

/// What a holder used of its day, and what its running calls hold of it.
#[derive(Debug, Clone)]
pub struct DayBook {
    day: Day,
    /// Counts the days of this book: what is corrected later belongs to one of them, whatever the wall said meanwhile.
    page: u64,
    used: Spent,
}

impl DayBook {
    /// The book of the day that `now` lies in; `used` is what was used of it before.
    #[must_use]
    pub fn new(day: Day, used: Spent) -> Self {
        Self { day, page: 0, used }
    }

    #[must_use]
    pub fn day(&self) -> Day {
        self.day
    }

    /// Used and held.
    #[must_use]
    pub fn used(&self) -> Spent {
        self.used
    }

    /// Turns the page if `now` is past the day. A clock that was set back opens no day a second time.
    pub fn turn(&mut self, zone: &TimeZone, now: Timestamp) {
        if now >= self.day.end {
            *self = Self { day: Day::of(zone, now), page: self.page + 1, used: Spent::default() };
        }
    }

    /// Moves the borders of the day to another zone's; what was used stays used.
    pub fn move_to(&mut self, zone: &TimeZone, now: Timestamp) {
        self.day = Day::of(zone, now.max(self.day.start));
    }

    /// Holds `units` on the open page, whose number this is.
    pub fn hold(&mut self, units: Spent) -> u64 {
        self.used.requests = self.used.requests.saturating_add(units.requests);
        self.used.tokens = self.used.tokens.saturating_add(units.tokens);
        self.used.amount = self.used.amount.saturating_add(units.amount);
        self.page
    }

    /// Puts `used` in place of `held`, if it was held on this page: what was held on another belongs to that day.
    pub fn correct(&mut self, page: u64, held: Spent, used: Spent) {
        if self.page == page {
            let put = |sum: u64, held: u64, used: u64| sum.saturating_sub(held).saturating_add(used);
            self.used = Spent {
                requests: put(self.used.requests, held.requests, used.requests),
                tokens: put(self.used.tokens, held.tokens, used.tokens),
                amount: put(self.used.amount, held.amount, used.amount),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    #[test]
    fn r30_a_day_ends_at_the_next_local_midnight_daylight_saving_included() {
        for (name, now, start, end) in [
            ("Asia/Shanghai", "2026-11-23T12:00:00+08:00", "2026-11-23T00:00:00+08:00", "2026-11-24T00:00:00+08:00"),
            ("Asia/Kathmandu", "2026-11-23T18:20:00Z", "2026-11-24T00:00:00+05:45", "2026-11-25T00:00:00+05:45"),
            // 23 hours, 25 hours, and a day that begins at one o'clock.
            ("Europe/Berlin", "2026-03-29T12:00:00+02:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
            ("Europe/Berlin", "2026-10-25T12:00:00+01:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
            ("Africa/Cairo", "2026-04-24T12:00:00+03:00", "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"),
            ("UTC", "2026-12-31T23:59:59.999Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(Day::of(&zone(name).unwrap(), at(now)), Day { start: at(start), end: at(end) }, "{name}");
        }
        assert!(zone("Asia/Nowhere").is_none());
    }

    #[test]
    fn a_clock_set_back_opens_no_day_twice() {
        let utc = TimeZone::UTC;
        let noon = at("2026-11-23T12:00:00Z");
        let mut book = DayBook::new(Day::of(&utc, noon), Spent::default());
        let page = book.hold(Spent { requests: 3, ..Spent::default() });
        book.turn(&utc, at("2026-11-22T12:00:00Z"));
        assert_eq!((book.used().requests, book.day().end), (3, at("2026-11-24T00:00:00Z")));
        book.turn(&utc, at("2026-11-24T00:00:00Z"));
        assert_eq!(book.used().requests, 0);
        book.correct(page, Spent { requests: 1, ..Spent::default() }, Spent::default());
        assert_eq!(book.used().requests, 0, "what was held yesterday is yesterday's");
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_its_day_and_days_follow_each_other(
            now in 0_i64..4_000_000_000_000,
            name in proptest::sample::select(&["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "America/Sao_Paulo", "UTC"][..]),
        ) {
            let zone = zone(name).unwrap();
            let day = Day::of(&zone, Timestamp(now));
            prop_assert!(day.contains(Timestamp(now)));
            prop_assert_eq!(Day::of(&zone, Timestamp(day.end.0 - 1)), day);
            prop_assert_eq!(Day::of(&zone, day.end).start, day.end);
        }
    }
}
