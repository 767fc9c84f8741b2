//! How many retries an upstream gets: a share of the calls that were meant for it. By construction never more.

use std::time::Duration;

use crate::Timestamp;

/// What an upstream's retries are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetTerms {
    /// Retries for each hundred first attempts.
    pub percent: u32,
    /// Retries that an upstream without traffic still gets; one of them comes back every [`FLOOR_EVERY`].
    pub floor: u32,
}

impl Default for BudgetTerms {
    /// A fifth keeps a failing upstream's load near what it was; three let a quiet gateway retry at all.
    fn default() -> Self {
        Self { percent: 20, floor: 3 }
    }
}

/// How soon one retry of the floor comes back.
pub const FLOOR_EVERY: Duration = Duration::from_secs(10);
/// A long calm saves at most so many retries, so that it does not allow a storm.
const MOST: u32 = 100;
/// A retry in the units of the balance.
const ONE: u32 = 100;

/// The retries that one upstream may still get.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    terms: BudgetTerms,
    /// In hundredths of a retry.
    balance: u32,
    /// When the floor last gave something, or was not needed.
    topped_at: Timestamp,
}

impl RetryBudget {
    #[must_use]
    pub fn new(terms: BudgetTerms, now: Timestamp) -> Self {
        Self { balance: terms.floor.min(MOST) * ONE, terms, topped_at: now }
    }

    /// A call's first attempt goes to this upstream.
    pub fn deposit(&mut self) {
        self.balance = self.balance.saturating_add(self.terms.percent).min(MOST * ONE);
    }

    /// Takes one retry out; `false` if there is none.
    #[must_use = "without a retry in the budget none may be made"]
    pub fn withdraw(&mut self, now: Timestamp) -> bool {
        self.top_up(now);
        let rest = self.balance.checked_sub(ONE);
        self.balance = rest.unwrap_or(self.balance);
        rest.is_some()
    }

    fn top_up(&mut self, now: Timestamp) {
        let floor = self.terms.floor.min(MOST) * ONE;
        if self.balance >= floor || now < self.topped_at {
            self.topped_at = now;
            return;
        }
        let gained = u32::try_from(now.since(self.topped_at).as_millis() / FLOOR_EVERY.as_millis()).unwrap_or(u32::MAX).min(MOST);
        let topped = self.balance.saturating_add(gained * ONE);
        self.topped_at = if topped >= floor { now } else { self.topped_at.after(FLOOR_EVERY * gained) };
        self.balance = topped.min(floor);
    }
}
