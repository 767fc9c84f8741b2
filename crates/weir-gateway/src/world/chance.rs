//! Chance from one seed: the same seed, the same world.

use std::{sync::Mutex, time::Duration};

use weir_core::{Clock, Timestamp};

use crate::Dice;

/// SplitMix64: small, and as even as a plan needs.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0x5EED)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to `most`, both included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    pub(super) fn size(&mut self, least: usize, most: usize) -> usize {
        usize::try_from(self.between(least as u64, most as u64)).expect("it is at most `most`")
    }

    /// True once in `n`.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.size(0, from.len() - 1)]
    }

    /// A span on either side of the limits that streams have.
    pub(super) fn span(&mut self) -> Duration {
        let ms = *self.pick(&[0, 1, 40, 300, 900, 2_000, 6_000, 14_000, 16_000, 21_000, 45_000, 130_000, 700_000]);
        Duration::from_millis(ms)
    }
}

/// The gateway's dice.
pub(super) struct Seeded(Mutex<Chance>);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Chance::new(seed ^ 0xD1CE)))
    }
}

impl Dice for Seeded {
    fn roll(&self) -> u128 {
        let mut chance = self.0.lock().unwrap();
        u128::from(chance.next()) << 64 | u128::from(chance.next())
    }
}

/// Wall time that passes only when the paused runtime lets it.
pub(super) struct Paused(tokio::time::Instant);

/// When every world begins: 2026-01-01, as the simulator's dates do.
pub(super) const EPOCH: Timestamp = Timestamp(1_767_225_600_000);

impl Paused {
    pub(super) fn now_on() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        EPOCH.after(self.0.elapsed())
    }
}
