//! Kept answers on the disk: written when a call has ended, brought back when memory does not know what a request repeats.
//!
//! Files are written and read by threads of their own; what would wait too long for one is kept in memory only.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::{runtime::Handle, sync::Notify, task::spawn_blocking, time::Instant};
use weir_core::{ApiKey, Timestamp};
use weir_store::{Principal, ReplayKey, Replayed, Replays};

use super::{Entry, Kept, Said};
use crate::{
    Gateway,
    accept::Arrival,
    admit,
    outlet::{Outcome, Outlet},
};

/// Answers that wait for the disk, in bytes.
const WAITING_BYTES: usize = 32 << 20;

/// The files, and what waits to become one.
pub(crate) struct Shelf {
    replays: Arc<Replays>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    emptied: Notify,
}

/// What stands before an answer's bytes in its file.
#[derive(Serialize, Deserialize)]
struct Written {
    /// Of the request that it answers.
    request: [u8; 16],
    complete: bool,
    status: u16,
    headers: Vec<(String, String)>,
    /// Where its events end; `None` for an answer that is no stream.
    ends: Option<Vec<u64>>,
}

impl Shelf {
    pub(crate) fn new(replays: Replays) -> Self {
        Self { replays: Arc::new(replays), waiting: Arc::default() }
    }

    /// Removes what is too old, on a thread of its own.
    pub(crate) fn expire(&self, now: Timestamp) {
        let replays = Arc::clone(&self.replays);
        drop(spawn_blocking(move || replays.expire(now)));
    }

    /// Until nothing waits for the disk.
    pub(crate) async fn written(&self) {
        loop {
            let emptied = self.waiting.emptied.notified();
            if self.waiting.bytes.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Entry {
    /// Makes the key that closes its answer, while its caller's key is here.
    pub(super) fn seal(&self, arrival: &Arrival) {
        if let Some(key) = api_key(arrival).and_then(|key| ReplayKey::of(&key, self.id)) {
            let _ = self.seal.set(Arc::new(key));
        }
    }
}

fn api_key(arrival: &Arrival) -> Option<ApiKey> {
    ApiKey::parse(admit::presented(&arrival.head.headers)?).ok()
}

/// Keeps the answer of a call that has ended on the disk, if it was charged and is kept at all.
pub(crate) fn shelve(gateway: &Gateway, entry: &Arc<Entry>, outcome: Outcome) {
    let Some(shelf) = gateway.shelf.as_ref().filter(|_| outcome.charged) else { return };
    let Some(file) = File::of(shelf, entry) else { return };
    let Some(answer) = entry.outlet.with_kept(|kept| encode(kept, &entry.said, outcome)).flatten() else { return };
    let length = answer.len();
    if shelf.waiting.bytes.fetch_add(length, Ordering::AcqRel) + length > WAITING_BYTES {
        shelf.waiting.done(length);
        return;
    }
    let until = gateway.clock.now().after(gateway.settings.replay.window);
    // From here on whoever learns that it did not arrive says so to the file; what is known before that, `put` asks for.
    let lost = Arc::clone(&file);
    entry.outlet.on_loss(Box::new(move || {
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(move || lost.lose()));
        }
    }));
    let (waiting, entry) = (Arc::clone(&shelf.waiting), Arc::clone(entry));
    drop(spawn_blocking(move || {
        file.put(&entry, until, answer);
        waiting.done(length);
    }));
}

/// The file of one answer.
struct File {
    replays: Arc<Replays>,
    name: [u8; 16],
    key: Arc<ReplayKey>,
    /// Held while it is written: an answer may turn out lost before it is on the disk.
    writing: Mutex<()>,
}

impl File {
    fn of(shelf: &Shelf, entry: &Entry) -> Option<Arc<Self>> {
        let key = Arc::clone(entry.seal.get()?);
        Some(Arc::new(Self { replays: Arc::clone(&shelf.replays), name: name(&entry.said), key, writing: Mutex::default() }))
    }

    fn put(&self, entry: &Entry, until: Timestamp, answer: Vec<u8>) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let replayed = Replayed { call: entry.id, until, left: entry.outlet.standing().left, answer };
        if let Err(error) = self.replays.put(self.name, &self.key, replayed) {
            tracing::warn!(call.id = %entry.id, %error, "failed to keep an answer on the disk; it is kept in memory only");
        }
    }

    fn lose(&self) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.replays.lose(&self.name, &self.key) {
            tracing::warn!(%error, "failed to note on the disk that an answer did not arrive");
        }
    }
}

impl Waiting {
    fn done(&self, bytes: usize) {
        if self.bytes.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            self.emptied.notify_waiters();
        }
    }
}

/// By what an answer is found: an idempotency key has one call, of equal requests the last stands.
fn name(said: &Said) -> [u8; 16] {
    said.key.unwrap_or(said.request)
}

/// Brings back what a request may repeat, where only the disk still has it.
pub(crate) async fn restore(gateway: &Gateway, shelf: &Shelf, arrival: &Arrival, principal: &Principal, said: Said) {
    let (now, name) = (gateway.clock.now(), name(&said));
    let only_left = said.key.is_none() && !said.marked;
    if !gateway.joins.lacks(&said) || !shelf.replays.has(&name, only_left, now) {
        return;
    }
    let Some(key) = api_key(arrival) else { return };
    let replays = Arc::clone(&shelf.replays);
    let Ok(Some(replayed)) = spawn_blocking(move || replays.get(&name, &key, now)).await else { return };
    let until = Instant::now() + Duration::from_millis(u64::try_from(replayed.until.0.saturating_sub(now.0)).unwrap_or(0));
    let call = replayed.call;
    if let Some((request, outlet)) = decode(gateway, &replayed)
        // Another request may have brought it back, or made it anew, meanwhile.
        && gateway.joins.lacks(&said)
    {
        gateway.joins.revive(Entry::new(call, principal.kid.clone(), Said { request, marked: false, ..said }, outlet), until);
    }
}

fn encode(kept: &Kept, said: &Said, outcome: Outcome) -> Option<Vec<u8>> {
    let (status, headers) = kept.head()?;
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    let (bytes, ends) = kept.all();
    let written = Written {
        request: said.request,
        complete: outcome.complete,
        status: status.as_u16(),
        headers: headers.iter().map(text).collect::<Option<_>>()?,
        ends: kept.whole().is_none().then_some(ends),
    };
    let mut out = serde_json::to_vec(&written).ok()?;
    out.push(b'\n');
    out.extend_from_slice(bytes);
    Some(out)
}

fn decode(gateway: &Gateway, replayed: &Replayed) -> Option<([u8; 16], Outlet)> {
    let at = replayed.answer.iter().position(|byte| *byte == b'\n')?;
    let written: Written = serde_json::from_slice(&replayed.answer[..at]).ok()?;
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(written.status).ok()?;
    for (name, value) in &written.headers {
        head.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
    }
    let kept = gateway.joins.kept(&head, &replayed.answer[at + 1..], written.ends.as_deref())?;
    let outcome = Outcome { charged: true, complete: written.complete };
    Some((written.request, Outlet::restored(kept, outcome, replayed.left)))
}
