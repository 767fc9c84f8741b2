//! Rows whose `custom_id` came before: found with a bound on what is kept, remembered with one bit a line.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// Rows whose ids are kept: what a table of 2^23 places holds, 75 MB, and half as much again while it grows to that.
pub const KEPT_IDS: usize = (1 << 23) / 8 * 7;

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    First,
    Again,
    /// None of the ids that are kept, and there is no room to keep it.
    Unkept,
}

/// Hashes of the ids so far. Of seven million rows, two different ids have the same one in one of a million files.
#[derive(Debug)]
pub(super) struct Ids {
    kept: HashSet<u64>,
    most: usize,
}

impl Ids {
    /// Keeps at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { kept: HashSet::new(), most }
    }

    pub(super) fn note(&mut self, custom_id: &str) -> Came {
        let hash = Sha256::digest(custom_id.as_bytes());
        let short = hash.iter().take(8).fold(0_u64, |short, byte| short << 8 | u64::from(*byte));
        if self.kept.contains(&short) {
            return Came::Again;
        }
        if self.kept.len() >= self.most {
            return Came::Unkept;
        }
        self.kept.insert(short);
        Came::First
    }
}

/// Lines whose id an earlier line has: one bit for each line up to the last of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeats {
    words: Vec<u64>,
}

impl Repeats {
    fn place(line: u64) -> (usize, u64) {
        (usize::try_from(line / 64).unwrap_or(usize::MAX), 1 << (line % 64))
    }

    /// Lines come in their order, so it grows by what was read.
    pub(super) fn add(&mut self, line: u64) {
        let (word, bit) = Self::place(line);
        if word >= self.words.len() {
            self.words.resize(word.saturating_add(1), 0);
        }
        self.words.iter_mut().skip(word).take(1).for_each(|word| *word |= bit);
    }

    #[must_use]
    pub fn has(&self, line: u64) -> bool {
        let (word, bit) = Self::place(line);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_came_again_if_and_only_if_it_came_before(ids in prop::collection::vec("[a-c]{1,3}", 0..200)) {
            let (mut known, mut seen, mut repeats, mut wanted) = (Ids::new(KEPT_IDS), BTreeSet::new(), Repeats::default(), Vec::new());
            for (id, line) in ids.iter().zip(1..) {
                let is_new = seen.insert(id);
                prop_assert_eq!(known.note(id), if is_new { Came::First } else { Came::Again });
                if !is_new {
                    repeats.add(line);
                    wanted.push(line);
                }
            }
            let found: Vec<u64> = (0..=ids.len() as u64 + 64).filter(|line| repeats.has(*line)).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn beyond_the_bound_no_id_is_kept_and_those_that_are_still_count() {
        let mut ids = Ids::new(2);
        let came = ["a", "b", "c", "c", "a"].map(|id| ids.note(id));
        assert_eq!(came, [Came::First, Came::First, Came::Unkept, Came::Unkept, Came::Again]);
        assert_eq!(ids.kept.len(), 2);
    }
}
