//! The same call again: whether a request belongs to an earlier call of its key, and what it then gets. Pure: what is known of the
//! earlier call is an argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nobody who retries without a mark does so sooner after an answer that was lost: the AI SDK waits 2 s, LangChain 1 s at least. Half of
/// that, because the end of a call is noted a moment after its last byte has left.
const SOONEST_RETRY: Duration = Duration::from_millis(500);

/// How a request came to belong to a call that another request began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It bears the same `Idempotency-Key`.
    Key,
    /// Its SDK marks it as a retry, and path and body are equal.
    Retry,
    /// It is equal to a call whose client left before the answer was delivered.
    Returned,
    /// It equals a call that was answered a moment ago and says nothing of itself; the operator wants such a one taken for a retry.
    Assumed,
    /// It named the call: the client was cut and reads on.
    Resume,
}

impl How {
    /// The word in records and in the database.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Retry => "retry",
            Self::Returned => "returned",
            Self::Assumed => "assumed",
            Self::Resume => "resume",
        }
    }

    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Key, Self::Retry, Self::Returned, Self::Assumed, Self::Resume].into_iter().find(|how| how.label() == label)
    }
}

/// What a request says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It bears an `Idempotency-Key` that the earlier call bore.
    Key {
        /// Path and body are the earlier call's, as far as their meaning goes.
        same: bool,
    },
    /// Its SDK says that it is a retry; path and body are equal.
    Marked,
    /// Nothing but that path and body are equal.
    Unmarked,
    /// The same, and its own client has left before it was looked at: nobody would read an answer of its own.
    Absent,
}

/// An earlier call that runs or was charged. One that ended without a charge is no earlier call: its key and its body are free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    pub running: bool,
    /// Its answer can still be read from the first event.
    pub kept: bool,
    /// Nobody reads it, and nobody has got the whole of it.
    pub left: bool,
    /// What is kept is all that there was of the answer, however that ended: it was not cut because its client had left.
    pub complete: bool,
    /// It was answered so lately that the operator takes an equal request for its retry; see [`is_retry_time`].
    pub lately: bool,
}

/// Whether an equal, unmarked request that comes so long `after` the end of a call may be its retry, where the operator assumes so `within` some
/// time. Zero: never.
#[must_use]
pub fn is_retry_time(after: Duration, within: Duration) -> bool {
    (SOONEST_RETRY..=within).contains(&after)
}

/// What a request is, once the earlier call is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// A call of its own.
    New,
    /// It reads the running answer from its first event.
    Join(How),
    /// It gets the kept answer.
    Replay(How),
    /// Its key belongs to a call with another body.
    KeyReused,
    /// Its call runs, and the answer can no longer be read from the first event.
    InProgress,
    /// Its call was charged, and the answer is no longer kept: it is not made, and not charged, a second time.
    ReplayGone,
}

/// Decides what a request is. Only an `Idempotency-Key` refuses a second call for good; without one, an answer that is gone is made anew.
#[must_use]
pub fn decide(claim: Claim, earlier: Option<Earlier>) -> Belonging {
    let Some(earlier) = earlier else { return Belonging::New };
    let read = |how| if earlier.running { Belonging::Join(how) } else { Belonging::Replay(how) };
    match (claim, earlier.kept) {
        (Claim::Key { same: false }, _) => Belonging::KeyReused,
        (Claim::Key { same: true }, true) => read(How::Key),
        (Claim::Marked, true) => read(How::Retry),
        // Cut when its client stayed away: whoever asks anew, unmarked, wants the rest of it, which was never made.
        (Claim::Unmarked, true) if earlier.left && (earlier.running || earlier.complete) => read(How::Returned),
        // The answer left whole and may have arrived: what is assumed here is the operator's word, not evidence.
        (Claim::Unmarked, true) if earlier.lately && !earlier.running && earlier.complete => Belonging::Replay(How::Assumed),
        // Whoever sent it comes back; a call of its own would be made beside the one that runs, for nobody.
        (Claim::Absent, true) if earlier.running || earlier.left && earlier.complete => read(How::Returned),
        (Claim::Key { same: true } | Claim::Marked, false) if earlier.running => Belonging::InProgress,
        (Claim::Key { same: true }, false) => Belonging::ReplayGone,
        (Claim::Marked, false) | (Claim::Unmarked | Claim::Absent, _) => Belonging::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Earlier = Earlier { running: true, kept: true, left: false, complete: false, lately: false };
    const ENDED: Earlier = Earlier { running: false, kept: true, left: false, complete: true, lately: false };

    #[test]
    fn d3_a_request_belongs_by_its_key_by_its_sdks_mark_or_because_the_client_had_left() {
        let lost = |earlier: Earlier| Earlier { kept: false, ..earlier };
        let left = |earlier: Earlier| Earlier { left: true, ..earlier };
        let cut = |earlier: Earlier| Earlier { complete: false, ..earlier };
        let lately = |earlier: Earlier| Earlier { lately: true, ..earlier };
        let key = Claim::Key { same: true };
        let table = [
            (key, None, Belonging::New),
            (Claim::Marked, None, Belonging::New),
            (Claim::Unmarked, None, Belonging::New),
            (key, Some(RUNNING), Belonging::Join(How::Key)),
            (key, Some(ENDED), Belonging::Replay(How::Key)),
            (key, Some(cut(ENDED)), Belonging::Replay(How::Key)),
            (key, Some(lost(RUNNING)), Belonging::InProgress),
            (key, Some(lost(ENDED)), Belonging::ReplayGone),
            (Claim::Key { same: false }, Some(RUNNING), Belonging::KeyReused),
            (Claim::Key { same: false }, Some(lost(ENDED)), Belonging::KeyReused),
            (Claim::Marked, Some(RUNNING), Belonging::Join(How::Retry)),
            (Claim::Marked, Some(ENDED), Belonging::Replay(How::Retry)),
            (Claim::Marked, Some(lost(RUNNING)), Belonging::InProgress),
            (Claim::Marked, Some(lost(ENDED)), Belonging::New),
            (Claim::Unmarked, Some(RUNNING), Belonging::New),
            (Claim::Unmarked, Some(left(RUNNING)), Belonging::Join(How::Returned)),
            (Claim::Unmarked, Some(left(lost(RUNNING))), Belonging::New),
            (Claim::Unmarked, Some(ENDED), Belonging::New),
            (Claim::Unmarked, Some(left(ENDED)), Belonging::Replay(How::Returned)),
            (Claim::Unmarked, Some(left(cut(ENDED))), Belonging::New),
            (Claim::Unmarked, Some(lately(ENDED)), Belonging::Replay(How::Assumed)),
            (Claim::Unmarked, Some(lately(left(ENDED))), Belonging::Replay(How::Returned)),
            (Claim::Unmarked, Some(lately(RUNNING)), Belonging::New),
            (Claim::Unmarked, Some(lately(cut(ENDED))), Belonging::New),
            (Claim::Unmarked, Some(lately(lost(ENDED))), Belonging::New),
            (Claim::Absent, None, Belonging::New),
            (Claim::Absent, Some(RUNNING), Belonging::Join(How::Returned)),
            (Claim::Absent, Some(left(RUNNING)), Belonging::Join(How::Returned)),
            (Claim::Absent, Some(lost(RUNNING)), Belonging::New),
            (Claim::Absent, Some(ENDED), Belonging::New),
            (Claim::Absent, Some(left(ENDED)), Belonging::Replay(How::Returned)),
            (Claim::Absent, Some(left(cut(ENDED))), Belonging::New),
        ];
        for (claim, earlier, wanted) in table {
            assert_eq!(decide(claim, earlier), wanted, "{claim:?} {earlier:?}");
        }
    }

    #[test]
    fn the_same_key_never_makes_a_second_call_while_the_first_runs_or_was_charged() {
        for bits in 0..32_u8 {
            let bit = |n: u8| bits >> n & 1 == 1;
            let earlier = Earlier { running: bit(0), kept: bit(1), left: bit(2), complete: bit(3), lately: bit(4) };
            for same in [true, false] {
                assert_ne!(decide(Claim::Key { same }, Some(earlier)), Belonging::New, "{earlier:?}");
            }
        }
    }

    #[test]
    fn nothing_is_assumed_of_what_comes_at_once_or_too_late_or_where_nobody_asked_for_it() {
        let ms = Duration::from_millis;
        let table =
            [(0, 30, false), (499, 30, false), (500, 30, true), (30_000, 30, true), (30_001, 30, false), (0, 0, false), (2_000, 0, false)];
        for (after, within, wanted) in table {
            assert_eq!(is_retry_time(ms(after), Duration::from_secs(within)), wanted, "{after} ms within {within} s");
        }
    }

    #[test]
    fn every_way_has_its_word() {
        for how in [How::Key, How::Retry, How::Returned, How::Assumed, How::Resume] {
            assert_eq!(How::from_label(how.label()), Some(how));
        }
    }
}
