//! Whether there is a next attempt. Pure and total; today it allows one more attempt only for what was never sent.

/// What an attempt left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No byte of the request reached the upstream: sending again cannot answer or charge twice.
    Unsent,
    /// Bytes were sent; the outcome may be unknown.
    Sent,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    Retry,
    Stop,
}

/// At most this many attempts for one call.
pub const MAX_ATTEMPTS: u8 = 2;

/// Decides after `attempts` attempts, the last of which ended in `seen`.
#[must_use]
pub fn decide(seen: Failure, attempts: u8) -> RetryDecision {
    match seen {
        Failure::Unsent if attempts < MAX_ATTEMPTS => RetryDecision::Retry,
        Failure::Unsent | Failure::Sent => RetryDecision::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_sent_is_sent_again_and_once() {
        assert_eq!(decide(Failure::Unsent, 1), RetryDecision::Retry);
        assert_eq!(decide(Failure::Unsent, 2), RetryDecision::Stop);
        assert_eq!(decide(Failure::Sent, 1), RetryDecision::Stop);
    }
}
