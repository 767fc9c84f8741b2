//! Results of tasks that weir itself waited for: for their owners, for a day. On the disk they are closed with their owner's key, which weir has only
//! while a request bears it; no row holds them. In memory, where the operator wants that, a restart forgets them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use weir_core::{ApiKey, RequestId, TaskRecord, Timestamp};
use weir_store::{ReplayKey, Replayed, Replays};

use super::blocking;
use crate::{Gateway, admit};

/// How long a result is kept on the disk: whoever submits in the evening may come in the morning.
const KEPT_FOR: Duration = Duration::from_secs(86_400);
/// The most that is kept in memory, in bytes: about a hundred pictures. The oldest go first.
const KEPT_BYTES: usize = 128 << 20;
/// The most results that are kept there.
const KEPT: usize = 1_000;

#[derive(Default)]
struct Shelf {
    results: VecDeque<(RequestId, Bytes)>,
    bytes: usize,
}

/// Has no Debug: it holds answers.
#[derive(Default)]
pub(crate) struct Results {
    memory: Mutex<Shelf>,
    disk: Option<Arc<Replays>>,
}

/// What there is of the result of a task that succeeded.
pub(super) enum Result {
    There(Bytes),
    /// Its time is over.
    Expired,
    /// It was kept in memory by a process that is gone, or there was no room.
    Lost,
}

impl Results {
    pub(crate) fn on(disk: Replays) -> Self {
        Self { disk: Some(Arc::new(disk)), ..Self::default() }
    }

    /// Removes what is too old, on a thread of its own.
    pub(crate) fn expire(&self, now: Timestamp) {
        if let Some(disk) = self.disk.clone() {
            drop(tokio::task::spawn_blocking(move || disk.expire(now)));
        }
    }

    fn remember(&self, call: RequestId, result: Bytes) {
        let mut shelf = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes += result.len();
        shelf.results.push_back((call, result));
        while shelf.results.len() > KEPT || (shelf.bytes > KEPT_BYTES && shelf.results.len() > 1) {
            let Some((_, oldest)) = shelf.results.pop_front() else { break };
            shelf.bytes -= oldest.len();
        }
    }

    fn remembered(&self, call: RequestId) -> Option<Bytes> {
        let shelf = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.results.iter().find(|(kept, _)| *kept == call).map(|(_, result)| result.clone())
    }
}

/// Keeps a result for the owner of this key; on the disk, if at all there, when this returns.
pub(super) async fn keep(gateway: &Arc<Gateway>, key: Option<ApiKey>, call: RequestId, result: Bytes) {
    let key = key.and_then(|key| ReplayKey::of(&key, call));
    let (Some(disk), Some(key)) = (gateway.results.disk.clone(), key) else { return gateway.results.remember(call, result) };
    let closed = result.to_vec();
    let put = blocking(gateway, move |gateway| {
        let (name, now) = (name(gateway, call), gateway.clock.now());
        let put = disk.put(name, &key, Replayed { call, until: now.after(KEPT_FOR), left: false, answer: closed });
        if let Err(error) = &put {
            tracing::warn!(call.id = %call, %error, "failed to keep a result on the disk; it is kept in memory only");
        }
        disk.has(&name, false, now)
    });
    if !matches!(put.await, Ok(true)) {
        gateway.results.remember(call, result);
    }
}

/// The result of a task that succeeded, for the owner of this key.
pub(super) async fn of(gateway: &Arc<Gateway>, key: Option<ApiKey>, task: &TaskRecord) -> Result {
    let call = task.call;
    if let Some(result) = gateway.results.remembered(call) {
        return Result::There(result);
    }
    if let (Some(disk), Some(key)) = (gateway.results.disk.clone(), key) {
        let read = blocking(gateway, move |gateway| disk.get(&name(gateway, call), &key, gateway.clock.now()));
        if let Ok(Some(found)) = read.await {
            return Result::There(found.answer.into());
        }
    }
    let made = task.finished.unwrap_or(task.submitted);
    if gateway.clock.now().since(made) >= KEPT_FOR { Result::Expired } else { Result::Lost }
}

/// The key that a request bears.
pub(super) fn key_of(headers: &HeaderMap) -> Option<ApiKey> {
    ApiKey::parse(admit::presented(headers)?).ok()
}

/// By what the file of a result is found.
fn name(gateway: &Gateway, call: RequestId) -> [u8; 16] {
    gateway.books.digest(&[b"result", &call.to_bytes()])
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
        (1..=3).for_each(|n| results.remember(id(n), half.clone()));
        assert_eq!([1, 2, 3].map(|n| results.remembered(id(n)).is_some()), [false, true, true]);
        results.remember(id(4), Bytes::from(vec![0; KEPT_BYTES + 1]));
        assert_eq!([2, 3, 4].map(|n| results.remembered(id(n)).is_some()), [false, false, true]);
    }
}
