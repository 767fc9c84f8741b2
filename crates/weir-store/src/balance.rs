//! What an account has free right now, in memory. The rows are the truth; this is what makes a reservation cost nanoseconds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_core::Amount;

use crate::Spent;

/// One account's balance while the gateway runs.
#[derive(Debug)]
pub(crate) struct Purse {
    account: String,
    sums: Mutex<Sums>,
}

/// `free = credits − settled − held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) credits: Amount,
    pub(crate) settled: Amount,
    pub(crate) held: Amount,
}

impl Sums {
    fn free(self) -> Amount {
        let exact = i128::from(self.credits.0) - i128::from(self.settled.0) - i128::from(self.held.0);
        let kept = exact.clamp(i64::MIN.into(), i64::MAX.into());
        Amount(i64::try_from(kept).unwrap_or(i64::MIN))
    }
}

impl Purse {
    pub(crate) fn new(account: String, credits: Amount, settled: Amount) -> Self {
        Self { account, sums: Mutex::new(Sums { credits, settled, held: Amount::ZERO }) }
    }

    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sums(&self) -> Sums {
        *self.lock()
    }

    pub(crate) fn free(&self) -> Amount {
        self.lock().free()
    }

    /// Holds `amount` if all of it is free; zero always fits.
    pub(crate) fn reserve(&self, amount: Amount) -> Result<(), Spent> {
        let mut sums = self.lock();
        let free = sums.free();
        let spent = Spent { balance: free, asked: amount };
        if amount < Amount::ZERO || (amount > Amount::ZERO && amount > free) {
            return Err(spent);
        }
        sums.held = sums.held.plus(amount).map_err(|_| spent)?;
        Ok(())
    }

    /// Holds what was held before this process began, whether it is free or not.
    pub(crate) fn hold(&self, amount: Amount) {
        let mut sums = self.lock();
        sums.held = Amount(sums.held.0.saturating_add(amount.max(Amount::ZERO).0));
    }

    /// Ends a hold as a charge of `charged`, which may be more than was held and may leave less than nothing.
    pub(crate) fn end(&self, held: Amount, charged: Amount) {
        let mut sums = self.lock();
        sums.held = Amount(sums.held.0.saturating_sub(held.0));
        sums.settled = Amount(sums.settled.0.saturating_add(charged.0));
    }

    /// Takes back a charge that turned out to have its row already: the rows win.
    pub(crate) fn uncharge(&self, charged: Amount) {
        let mut sums = self.lock();
        sums.settled = Amount(sums.settled.0.saturating_sub(charged.0));
    }

    pub(crate) fn set_credits(&self, credits: Amount) {
        self.lock().credits = credits;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hold_of_nothing_always_fits_and_a_negative_one_never() {
        let purse = Purse::new("acc_1".to_owned(), Amount(5), Amount(9));
        assert_eq!(purse.free(), Amount(-4));
        assert_eq!(purse.reserve(Amount::ZERO), Ok(()));
        assert_eq!(purse.reserve(Amount(1)), Err(Spent { balance: Amount(-4), asked: Amount(1) }));
        assert!(purse.reserve(Amount(-1)).is_err());
    }

    #[test]
    fn reservations_at_once_never_hold_more_than_there_is() {
        let purse = Purse::new("acc_1".to_owned(), Amount(10_000), Amount::ZERO);
        let held = AtomicI64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if purse.reserve(Amount(7)).is_ok() {
                            held.fetch_add(7, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(held.load(Ordering::Relaxed), 9_996);
        assert_eq!(purse.free(), Amount(4));
    }

    proptest! {
        #[test]
        fn sums_never_wrap(credits: i64, settled: i64, holds in proptest::collection::vec(any::<i64>(), 0..8), charged in 0..i64::MAX) {
            let purse = Purse::new("acc_1".to_owned(), Amount(credits), Amount(settled));
            for hold in holds {
                let free = purse.free();
                if purse.reserve(Amount(hold)).is_ok() && hold > 0 {
                    prop_assert!(hold <= free.0);
                    purse.end(Amount(hold), Amount(charged));
                }
            }
            prop_assert!(purse.sums().held >= Amount::ZERO);
        }
    }
}
