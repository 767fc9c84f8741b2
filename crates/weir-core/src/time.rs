//! Wall time as people and ledgers need it. Machines count a `Duration` since their call began instead.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant on the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The instant `wait` later; saturates at the end of time.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds, as records and errors show it.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| "unknown".to_owned(), |at| format!("{at:.3}"))
    }

    /// RFC 3339 with the offset that `zone` has then: whole seconds where it is one, milliseconds otherwise.
    #[must_use]
    pub fn rfc3339_in(self, zone: &jiff::tz::TimeZone) -> String {
        let form = if self.0 % 1000 == 0 { "%Y-%m-%dT%H:%M:%S%:z" } else { "%Y-%m-%dT%H:%M:%S%.3f%:z" };
        let at = jiff::Timestamp::from_millisecond(self.0).map(|at| at.to_zoned(zone.clone()).strftime(form).to_string());
        at.unwrap_or_else(|_| "unknown".to_owned())
    }

    /// Reads RFC 3339 with any offset.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }
}

/// Tells the wall time. Held by shells only; the core is handed `now`.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_its_text() {
        let at = Timestamp(1_763_884_800_123);
        assert_eq!(at.rfc3339(), "2025-11-23T08:00:00.123Z");
        assert_eq!(Timestamp::from_rfc3339(&at.rfc3339()), Some(at));
        assert_eq!(Timestamp::from_rfc3339("2025-11-23T16:00:00.123+08:00"), Some(at));
    }

    #[test]
    fn an_instant_is_told_in_a_zone_and_stays_the_same_instant() {
        let shanghai = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        let midnight = Timestamp(1_795_363_200_000);
        assert_eq!(midnight.rfc3339_in(&shanghai), "2026-11-23T00:00:00+08:00");
        let later = Timestamp(midnight.0 + 7);
        assert_eq!(later.rfc3339_in(&shanghai), "2026-11-23T00:00:00.007+08:00");
        assert_eq!(Timestamp::from_rfc3339(&later.rfc3339_in(&shanghai)), Some(later));
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp(i64::MAX).after(Duration::from_secs(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
