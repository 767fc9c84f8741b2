//! Money and what it pays for. Integer nano-units (10⁻⁹ of the account's unit), checked arithmetic, never a float.

use serde::{Deserialize, Serialize};

/// An amount in nano-units. Signed, because a ledger has both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub i64);

/// The sum does not fit; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("add up an amount: it exceeds 9.2 billion units")]
pub struct Overflow;

impl Amount {
    pub const ZERO: Self = Self(0);
    /// Nano-units in one unit.
    pub const UNIT: i64 = 1_000_000_000;

    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow)
    }

    pub fn minus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(Overflow)
    }
}

/// What one call used, as the upstream reported it or as weir counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens, the cached ones among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Input tokens that the upstream read from its cache; never more than `input`.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Output tokens, reasoning among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Images made.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Seconds of audio or video, rounded up.
    #[serde(skip_serializing_if = "is_zero")]
    pub seconds: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Who counted a usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The upstream said so.
    Upstream,
    /// weir counted what passed; an estimate, marked as one.
    Estimated,
    /// Nothing was used.
    #[default]
    None,
}

/// The rate of one model, in nano-units per token, image and second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    pub input: u64,
    pub cached: u64,
    pub output: u64,
    pub image: u64,
    pub second: u64,
}

impl Price {
    /// What `usage` costs. Cached input costs `cached`, the rest of the input `input`.
    pub fn of(&self, usage: &Usage) -> Result<Amount, Overflow> {
        let cached = usage.cached.min(usage.input);
        let lines = [
            (usage.input - cached, self.input),
            (cached, self.cached),
            (usage.output, self.output),
            (usage.images, self.image),
            (usage.seconds, self.second),
        ];
        let mut sum: i128 = 0;
        for (units, rate) in lines {
            // Each product is below 2¹²⁷ / 5 only if checked: 2⁶⁴ · 2⁶⁴ is not.
            let line = i128::from(units).checked_mul(i128::from(rate)).ok_or(Overflow)?;
            sum = sum.checked_add(line).ok_or(Overflow)?;
        }
        i64::try_from(sum).map(Amount).map_err(|_| Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cached_input_has_a_price_of_its_own() {
        let price = Price { input: 10, cached: 1, output: 30, image: 500, second: 7 };
        let usage = Usage { input: 100, cached: 40, output: 5, images: 2, seconds: 3 };
        assert_eq!(price.of(&usage), Ok(Amount(600 + 40 + 150 + 1000 + 21)));
    }

    #[test]
    fn an_upstream_that_says_more_cached_than_input_costs_no_negative_tokens() {
        let price = Price { input: 10, cached: 1, ..Price::default() };
        assert_eq!(price.of(&Usage { input: 4, cached: 9, ..Usage::default() }), Ok(Amount(4)));
    }

    proptest! {
        #[test]
        fn a_cost_is_exact_or_refused(input: u64, output: u64, rate: u64) {
            let price = Price { input: rate, output: rate, ..Price::default() };
            let exact = (u128::from(input) + u128::from(output)).checked_mul(u128::from(rate));
            match price.of(&Usage { input, output, ..Usage::default() }) {
                Ok(Amount(cost)) => prop_assert_eq!(Some(u128::try_from(cost).unwrap()), exact),
                Err(Overflow) => prop_assert!(exact.is_none_or(|e| e > i64::MAX as u128)),
            }
        }
    }
}
