//! Which requests are tries of the same one: pure bookkeeping over digests, without a clock.

use std::{collections::VecDeque, time::Duration};

use super::seen::Ended;

/// Requests remembered at once; the oldest is forgotten.
const REMEMBERED: usize = 256;
/// An equal request later than this is a new one: no SDK waits longer between two tries, and people ask the same again.
const WINDOW: Duration = Duration::from_secs(120);

/// What the last try of a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    digest: u64,
    attempt: u32,
    /// None while it runs.
    ended: Option<(Duration, Ended)>,
    /// When the time comes that it was told to wait for.
    opens: Option<Duration>,
    /// The wait that was told.
    told: Option<Duration>,
}

/// What is known of a request when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) attempt: u32,
    pub(super) waited: Option<Duration>,
    pub(super) told: Option<Duration>,
    /// What is left of a told wait.
    pub(super) left: Option<Duration>,
}

/// The last tries. All times are durations since the server began.
#[derive(Debug, Default)]
pub(super) struct Tries(VecDeque<Last>);

impl Tries {
    /// A request arrives; `marked` is the retry count that its SDK put on it.
    pub(super) fn arrive(&mut self, digest: u64, now: Duration, marked: Option<u32>) -> Try {
        let known = self.0.iter().position(|last| last.digest == digest).and_then(|at| self.0.remove(at));
        let before = known.filter(|last| belongs(last, now, marked));
        let counted = marked.map_or(1, |count| count.saturating_add(1));
        let attempt = before.map_or(counted, |last| counted.max(last.attempt.saturating_add(1)));
        let waited = before.and_then(|last| last.ended).map(|(ended, _)| now.saturating_sub(ended));
        let opens = before.and_then(|last| last.opens);
        let told = before.and_then(|last| last.told);
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Last { digest, attempt, ended: None, opens, told });
        Try { attempt, waited, told, left: opens.map(|opens| opens.saturating_sub(now)) }
    }

    /// A try ended; `told` is what it was told to wait.
    pub(super) fn end(&mut self, digest: u64, now: Duration, ended: Ended, told: Option<Duration>) {
        if let Some(last) = self.0.iter_mut().find(|last| last.digest == digest) {
            last.ended = Some((now, ended));
            last.told = told;
            last.opens = told.map(|wait| now.saturating_add(wait));
        }
    }
}

/// Whether a request that equals `last` is a further try of it: its SDK says so, or it was not answered and came back soon.
fn belongs(last: &Last, now: Duration, marked: Option<u32>) -> bool {
    let failed = match last.ended {
        None => true,
        Some((ended, how)) => now.saturating_sub(ended) <= WINDOW && !matches!(how, Ended::Whole | Ended::AtMarker),
    };
    failed || marked.is_some_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_request_that_was_answered_is_new_when_it_comes_again() {
        let mut tries = Tries::default();
        assert_eq!(tries.arrive(7, at(0), Some(0)).attempt, 1);
        tries.end(7, at(100), Ended::Whole, None);
        assert_eq!(tries.arrive(7, at(200), Some(0)), Try { attempt: 1, waited: None, told: None, left: None });
    }

    #[test]
    fn a_refused_request_that_comes_back_is_its_next_try_with_what_it_waited() {
        let mut tries = Tries::default();
        tries.arrive(7, at(0), None);
        tries.end(7, at(100), Ended::Refused, Some(at(3_000)));
        let next = tries.arrive(7, at(600), None);
        assert_eq!(next, Try { attempt: 2, waited: Some(at(500)), told: Some(at(3_000)), left: Some(at(2_500)) });
        tries.end(7, at(600), Ended::Refused, next.left);
        assert_eq!(tries.arrive(7, at(4_000), None).left, Some(Duration::ZERO));
    }

    #[test]
    fn a_mark_counts_even_where_the_first_try_was_not_seen() {
        assert_eq!(Tries::default().arrive(7, at(0), Some(2)).attempt, 3);
    }

    #[test]
    fn an_equal_request_after_the_window_is_a_new_one() {
        let mut tries = Tries::default();
        tries.arrive(7, at(0), None);
        tries.end(7, at(0), Ended::Cut, None);
        assert_eq!(tries.arrive(7, WINDOW + at(1), None).attempt, 1);
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let mut tries = Tries::default();
        for digest in 0..1_000 {
            tries.arrive(digest, at(digest), None);
        }
        assert_eq!(tries.0.len(), REMEMBERED);
    }
}
