//! What a run costs, and may cost. Integer nano-units; what is on its way counts with the most that it may come to.

use weir_core::{Price, Usage};

use super::{job::Job, row::Row};

/// Output tokens that a row is held for that names no bound.
const UNBOUNDED: u64 = 4_096;

/// See the module.
#[derive(Debug)]
pub(super) struct Spend {
    price: Option<Price>,
    most: Option<i64>,
    spent: i64,
    held: i64,
}

impl Spend {
    pub(super) fn new(price: Option<Price>, most: Option<i64>, spent: i64) -> Self {
        Self { price, most, spent, held: 0 }
    }

    fn of(&self, usage: &Usage) -> i64 {
        // What cannot be counted is more than anybody allows.
        self.price.map_or(0, |price| price.of(usage).map_or(i64::MAX, |amount| amount.0))
    }

    /// Holds what the row may cost; `false` if that is more than is left.
    #[must_use]
    pub(super) fn hold(&mut self, job: &mut Job) -> bool {
        let cost = self.of(&job.row.most(UNBOUNDED));
        let sum = self.spent.saturating_add(self.held).saturating_add(cost);
        if self.most.is_some_and(|most| sum > most) {
            return false;
        }
        job.held = cost;
        self.held = self.held.saturating_add(cost);
        true
    }

    /// The row's attempt has ended and cost nothing.
    pub(super) fn release(&mut self, job: &mut Job) {
        self.held = self.held.saturating_sub(std::mem::take(&mut job.held));
    }

    /// The row was answered; what it cost, by its usage or else by what was held.
    pub(super) fn settle(&mut self, job: &mut Job, usage: Option<&Usage>) -> i64 {
        let cost = usage.map_or(job.held, |usage| self.of(usage));
        self.release(job);
        self.spent = self.spent.saturating_add(cost);
        cost
    }

    pub(super) fn spent(&self) -> i64 {
        self.spent
    }
}

/// What a whole run may cost at most, in nano-units.
#[must_use]
pub fn most(row: &Row, price: &Price) -> i64 {
    price.of(&row.most(UNBOUNDED)).map_or(i64::MAX, |amount| amount.0)
}
