//! A clock for rates that agrees with the wall to the millisecond, but neither stops nor jumps when somebody sets the wall's.

use crate::Timestamp;

/// A wall that moved by this much more or less than time did was set, not disciplined, in milliseconds.
const SET_MS: i64 = 1_000;

/// Steady milliseconds: the wall's while nobody sets it, and never backwards.
#[derive(Debug, Clone, Copy)]
pub struct Steady {
    /// What the wall lacks to be steady.
    offset: i64,
    /// The last reading, and what the process's own clock said then.
    read: i64,
    own: i64,
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub steady: i64,
    pub wall: Timestamp,
}

impl Now {
    /// The wall's time at a steady instant, as far as can be told now.
    #[must_use]
    pub fn wall_at(self, steady: i64) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(steady.saturating_sub(self.steady)))
    }

    /// The steady instant of a time on the wall, as far as can be told now.
    #[must_use]
    pub fn steady_at(self, wall: Timestamp) -> i64 {
        self.steady.saturating_add(wall.0.saturating_sub(self.wall.0))
    }
}

impl Steady {
    /// Begins at the wall's time; `own` is any clock of milliseconds that nobody can set.
    #[must_use]
    pub fn new(wall: Timestamp, own: i64) -> Self {
        Self { offset: 0, read: wall.0, own }
    }

    /// Reads both clocks. A caller's wait that ends by the wall's milliseconds has ended by these, however the two are rounded.
    pub fn read(&mut self, wall: Timestamp, own: i64) -> Now {
        let expected = self.read.saturating_add(own.saturating_sub(self.own).max(0));
        if wall.0.saturating_add(self.offset).saturating_sub(expected).abs() > SET_MS {
            self.offset = expected.saturating_sub(wall.0);
        }
        // However little it went back: from here on it keeps the wall's pace, so that what is told by the wall stays true.
        self.offset = self.offset.max(self.read.saturating_sub(wall.0));
        let steady = wall.0.saturating_add(self.offset);
        (self.read, self.own) = (steady, self.own.max(own));
        Now { steady, wall }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_wall_while_nobody_sets_the_wall() {
        let mut steady = Steady::new(Timestamp(1_000_000), 5);
        for (wall, own) in [(1_000_001, 5), (1_000_700, 705), (1_060_000, 60_005)] {
            assert_eq!(steady.read(Timestamp(wall), own).steady, wall);
        }
    }

    #[test]
    fn a_wall_set_back_or_forth_moves_nothing() {
        let mut steady = Steady::new(Timestamp(1_000_000), 0);
        let back = steady.read(Timestamp(1_000_000 - 3_600_000), 100);
        assert_eq!(back.steady, 1_000_100);
        assert_eq!(back.wall_at(1_000_600), Timestamp(1_000_000 - 3_600_000 + 500), "told by the wall that people see");
        assert_eq!(back.steady_at(back.wall_at(1_000_600)), 1_000_600);
        let forth = steady.read(Timestamp(9_000_000), 250);
        assert_eq!(forth.steady, 1_000_250);
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_keeps_pace(steps in proptest::collection::vec((0_i64..5_000, -10_000_000_i64..10_000_000, any::<bool>()), 1..200)) {
            let (mut wall, mut own) = (1_795_000_000_000, 0);
            let mut steady = Steady::new(Timestamp(wall), own);
            let (began, mut last, mut sets) = (wall, wall, 0);
            for (passed, set, sets_it) in steps {
                own += passed;
                wall += passed + if sets_it { set } else { 0 };
                sets += i64::from(sets_it);
                let now = steady.read(Timestamp(wall), own).steady;
                prop_assert!(now >= last);
                // A small set is taken for the wall's own discipline.
                prop_assert!((now - began - own).abs() <= SET_MS * (sets + 1), "{} off", now - began - own);
                last = now;
            }
        }
    }
}
