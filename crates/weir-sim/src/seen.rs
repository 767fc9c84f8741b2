//! What the simulator received, without content: the tests' and the doctor's witness.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde::Serialize;

/// Bodies that `_once` and `flaky` remember; the oldest is forgotten beyond it.
const BODIES_MAX: usize = 65_536;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Still being answered.
    Running,
    /// The whole answer was written.
    Completed,
    /// The client left first.
    ClientGone,
    /// The scenario cut the connection.
    Fault,
}

/// One request as the upstream saw it. No prompt, no key, no header values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenRequest {
    /// Counted from 1 since the start.
    pub n: u64,
    /// Milliseconds from the simulator's start until the request was read.
    pub at_ms: u64,
    pub method: String,
    pub path: String,
    /// As the client wrote it, redacted, at most 128 characters.
    pub model: String,
    pub stream: bool,
    pub body_bytes: u64,
    /// Of the raw bytes.
    pub body_hash: String,
    /// Of what the answer depends on: equal for requests that differ in `stream`, `stream_options`, `user` and the like only.
    pub prompt_hash: String,
    pub idempotency_key: bool,
    /// The SDK's own count, where it sends one.
    pub retry_count: Option<u32>,
    /// 0 until there is one, and when the connection was reset without an answer.
    pub status: u16,
    /// Events of the stream that were written whole.
    pub events: u64,
    /// Head and body.
    pub written_bytes: u64,
    pub ended: Ended,
    /// From the request's last byte to the answer's end, in milliseconds.
    pub generation_ms: u64,
}

/// The last requests and the counts of all.
#[derive(Debug)]
pub(crate) struct Log {
    limit: usize,
    requests: VecDeque<SeenRequest>,
    /// The number of the last request; never starts over, so that answers still running find their place or none.
    last: u64,
    /// Where counting began, moved by `clear`.
    base: u64,
    open: u64,
    open_streams: u64,
    connections: u64,
}

/// The answer of `GET /sim/requests`.
#[derive(Serialize)]
struct Page<'a> {
    count: u64,
    open: u64,
    open_streams: u64,
    connections: u64,
    tasks: u64,
    /// Requests too old to be listed.
    forgotten: u64,
    requests: &'a VecDeque<SeenRequest>,
}

impl Log {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), requests: VecDeque::new(), last: 0, base: 0, open: 0, open_streams: 0, connections: 0 }
    }

    /// Counts a connection; true for the first one ever.
    pub(crate) fn connected(&mut self) -> bool {
        self.connections += 1;
        self.connections == 1
    }

    /// Notes a request; its number is put in.
    pub(crate) fn begin(&mut self, mut seen: SeenRequest) -> u64 {
        self.last += 1;
        self.open += 1;
        self.open_streams += u64::from(seen.stream);
        seen.n = self.last;
        if self.requests.len() >= self.limit {
            self.requests.pop_front();
        }
        self.requests.push_back(seen);
        self.last
    }

    pub(crate) fn end(&mut self, n: u64, stream: bool, tally: Tally, ended: Ended, at: Duration) {
        self.open = self.open.saturating_sub(1);
        self.open_streams = self.open_streams.saturating_sub(u64::from(stream));
        let Some(first) = self.requests.front().map(|request| request.n) else { return };
        let place = n.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(request) = place.and_then(|place| self.requests.get_mut(place)) {
            request.status = tally.status;
            request.events = tally.events;
            request.written_bytes = tally.written_bytes;
            request.ended = ended;
            request.generation_ms = millis(at).saturating_sub(request.at_ms);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.base = self.last;
    }

    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.last - self.base, self.open)
    }

    pub(crate) fn page(&self, tasks: u64) -> Vec<u8> {
        let count = self.last - self.base;
        let forgotten = count.saturating_sub(self.requests.len() as u64);
        let page = Page {
            count,
            open: self.open,
            open_streams: self.open_streams,
            connections: self.connections,
            tasks,
            forgotten,
            requests: &self.requests,
        };
        serde_json::to_vec(&page).unwrap_or_default()
    }
}

/// What was written of one answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) status: u16,
    pub(crate) events: u64,
    pub(crate) written_bytes: u64,
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// How often bodies came before.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    known: HashMap<u64, u64>,
    order: VecDeque<u64>,
}

impl Memory {
    /// How often the body was seen before; once more from now on.
    pub(crate) fn meet(&mut self, body: u64) -> u64 {
        if let Some(times) = self.known.get_mut(&body) {
            *times += 1;
            return *times;
        }
        self.known.insert(body, 0);
        self.order.push_back(body);
        if self.order.len() > BODIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut memory = Memory::default();
        assert_eq!([memory.meet(0), memory.meet(0), memory.meet(0)], [0, 1, 2]);
        (1..=BODIES_MAX as u64).for_each(|body| assert_eq!(memory.meet(body), 0));
        assert_eq!(memory.meet(0), 0, "the oldest was forgotten");
        assert_eq!(memory.known.len(), memory.order.len());
    }
}
