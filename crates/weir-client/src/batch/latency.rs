//! Whether answers take much longer than they did: the first sign of a server that has too much to do.

use std::time::Duration;

/// Answers that are looked at together, at least.
const TOGETHER: usize = 32;
/// Slower than this many times the best is much longer.
const SLOWER: u32 = 2;
/// Less than this is no difference, whatever the ratio.
const NOTICED: Duration = Duration::from_millis(250);

/// Medians of rounds, compared with the best one so far.
#[derive(Debug, Default)]
pub(super) struct Latency {
    round: Vec<Duration>,
    best: Option<Duration>,
}

impl Latency {
    /// Notes an answer; `true` if the round that it ends was much slower than the best. What stays slow is taken for usual after a while.
    pub(super) fn note(&mut self, took: Duration, window: u32) -> bool {
        self.round.push(took);
        let whole = TOGETHER.max(usize::try_from(window).unwrap_or(TOGETHER));
        if self.round.len() < whole {
            return false;
        }
        self.round.sort_unstable();
        let median = self.round[self.round.len() / 2];
        self.round.clear();
        let Some(best) = self.best else {
            self.best = Some(median);
            return false;
        };
        let slow = median > best * SLOWER && median - best > NOTICED;
        // Slowly upwards, at once downwards.
        let raised = best + if slow { best / 4 } else { best / 32 };
        self.best = Some(median.min(raised));
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(latency: &mut Latency, count: usize, millis: u64) -> usize {
        (0..count * TOGETHER).filter(|n| latency.note(Duration::from_millis(millis + *n as u64 % 7), 4)).count()
    }

    #[test]
    fn what_grows_slow_is_noticed_and_what_stays_slow_becomes_usual() {
        let mut latency = Latency::default();
        assert_eq!(rounds(&mut latency, 20, 1_000), 0);
        assert_eq!(rounds(&mut latency, 2, 1_900), 0);
        let noticed = rounds(&mut latency, 50, 5_000);
        assert!((3..=10).contains(&noticed), "{noticed}");
        assert_eq!(rounds(&mut latency, 50, 5_000), 0);
        assert_eq!(rounds(&mut latency, 1, 1_000), 0);
        assert!(rounds(&mut latency, 1, 5_000) > 0, "what was fast again may grow slow again");
    }

    #[test]
    fn milliseconds_are_no_difference() {
        let mut latency = Latency::default();
        rounds(&mut latency, 1, 10);
        assert_eq!(rounds(&mut latency, 10, 200), 0);
    }
}
