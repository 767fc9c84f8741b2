//! Results of tasks that weir itself waited for: in memory, for their owners, for a while. No row holds them, and a restart forgets them.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use weir_core::RequestId;

/// The most that is kept, in bytes: about a hundred pictures. The oldest go first.
const KEPT_BYTES: usize = 128 << 20;
/// The most results that are kept.
const KEPT: usize = 1_000;

#[derive(Default)]
struct Shelf {
    results: VecDeque<(RequestId, Bytes)>,
    bytes: usize,
}

/// Has no Debug: it holds answers.
#[derive(Default)]
pub(crate) struct Results(Mutex<Shelf>);

impl Results {
    pub(crate) fn keep(&self, call: RequestId, result: Bytes) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes += result.len();
        shelf.results.push_back((call, result));
        while shelf.results.len() > KEPT || (shelf.bytes > KEPT_BYTES && shelf.results.len() > 1) {
            let Some((_, oldest)) = shelf.results.pop_front() else { break };
            shelf.bytes -= oldest.len();
        }
    }

    pub(crate) fn of(&self, call: RequestId) -> Option<Bytes> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.results.iter().find(|(kept, _)| *kept == call).map(|(_, result)| result.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> RequestId {
        RequestId::from_bytes([n; 16])
    }

    #[test]
    fn the_oldest_results_make_room_and_the_newest_is_always_there() {
        let results = Results::default();
        let half = Bytes::from(vec![0; KEPT_BYTES / 2]);
        (1..=3).for_each(|n| results.keep(id(n), half.clone()));
        assert_eq!([1, 2, 3].map(|n| results.of(id(n)).is_some()), [false, true, true]);
        results.keep(id(4), Bytes::from(vec![0; KEPT_BYTES + 1]));
        assert_eq!([2, 3, 4].map(|n| results.of(id(n)).is_some()), [false, false, true]);
    }
}
