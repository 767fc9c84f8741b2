//! What is kept of an answer for whoever else reads it: every piece from the first on, within its bound and the gateway's.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::Replay;

/// Memory is asked for in steps of so many bytes, so that an event seldom touches the counter that all calls share.
const STEP: usize = 4 << 10;
/// A whole answer up to this length is copied out of the buffer that it was read into, which would be kept with it.
const COPIED_BYTES: usize = 4 << 10;

/// The memory of all kept answers.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
    /// Of one answer.
    each: usize,
}

impl Budget {
    pub(crate) fn new(terms: &Replay) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), most: terms.bytes, each: terms.answer_bytes })
    }

    /// Whether so little is left that old answers should go before a new call needs it.
    pub(crate) fn is_short(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.most / 8 * 7
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// How much of an answer somebody got: what is charged if nobody gets more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Output tokens, estimated, up to and with this piece.
    pub(crate) tokens: u64,
    /// Whether there was any output.
    pub(crate) any: bool,
}

#[derive(Debug)]
struct Piece {
    /// Where it ends, counted from the answer's first byte.
    end: u64,
    weight: Weight,
}

/// An answer, or its latest part while its readers need no more.
#[derive(Debug)]
pub(crate) struct Kept {
    head: Option<(StatusCode, HeaderMap)>,
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// The body of an answer that is no stream.
    whole: Option<Bytes>,
    /// Pieces, and their bytes, that all have read and that are kept no more.
    dropped: usize,
    dropped_bytes: u64,
    granted: usize,
    budget: Arc<Budget>,
}

impl Kept {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { head: None, bytes: Vec::new(), pieces: Vec::new(), whole: None, dropped: 0, dropped_bytes: 0, granted: 0, budget }
    }

    pub(crate) fn set_head(&mut self, head: &Response<()>) {
        self.head = Some((head.status(), head.headers().clone()));
    }

    pub(crate) fn head(&self) -> Option<(StatusCode, HeaderMap)> {
        self.head.clone()
    }

    pub(crate) fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// Pieces that there are, with those that were dropped.
    pub(crate) fn len(&self) -> usize {
        self.dropped + self.pieces.len()
    }

    /// Whether it still begins with the first piece.
    pub(crate) fn is_from_the_first(&self) -> bool {
        self.dropped == 0
    }

    /// Keeps a piece; `false` if that would exceed a bound.
    pub(crate) fn push(&mut self, piece: &[u8], weight: Weight) -> bool {
        let fits = self.grant(self.bytes.len() + piece.len());
        if fits {
            self.add(piece, weight);
        }
        fits
    }

    /// Keeps a piece behind those that nobody needs any more, whatever its length, if none is left before it.
    pub(crate) fn push_alone(&mut self, piece: &[u8], weight: Weight) -> bool {
        let alone = self.pieces.is_empty();
        if alone {
            self.add(piece, weight);
        }
        alone
    }

    fn add(&mut self, piece: &[u8], weight: Weight) {
        self.bytes.extend_from_slice(piece);
        self.pieces.push(Piece { end: self.dropped_bytes + self.bytes.len() as u64, weight });
    }

    /// Keeps the body of an answer that is no stream; `false` if it exceeds a bound.
    pub(crate) fn push_whole(&mut self, body: &Bytes) -> bool {
        if !self.grant(body.len()) {
            return false;
        }
        self.whole = Some(if body.len() <= COPIED_BYTES { Bytes::copy_from_slice(body) } else { body.clone() });
        self.pieces.push(Piece { end: body.len() as u64, weight: Weight::default() });
        true
    }

    /// Keeps it all the same, for those who wait for it.
    pub(crate) fn push_whole_anyway(&mut self, body: &Bytes) {
        self.whole = Some(body.clone());
        self.pieces.push(Piece { end: body.len() as u64, weight: Weight::default() });
    }

    /// Whether it exceeds its own bound, because somebody waited for it.
    pub(crate) fn is_too_long(&self) -> bool {
        self.bytes.len().max(self.whole.as_ref().map_or(0, Bytes::len)) > self.budget.each
    }

    /// Makes sure that so many bytes may be kept.
    fn grant(&mut self, bytes: usize) -> bool {
        if bytes > self.budget.each {
            return false;
        }
        while self.granted < bytes {
            let before = self.budget.used.fetch_add(STEP, Ordering::Relaxed);
            if before + STEP > self.budget.most {
                self.budget.used.fetch_sub(STEP, Ordering::Relaxed);
                return false;
            }
            self.granted += STEP;
        }
        true
    }

    /// Drops what lies before `place`.
    pub(crate) fn drop_before(&mut self, place: usize) {
        let Some(count) = place.checked_sub(self.dropped).filter(|count| *count > 0) else { return };
        let count = count.min(self.pieces.len());
        let end = self.pieces[count - 1].end;
        let bytes = usize::try_from(end - self.dropped_bytes).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.drain(..bytes);
        self.pieces.drain(..count);
        self.dropped += count;
        self.dropped_bytes = end;
    }

    /// The piece at `place`.
    pub(crate) fn piece(&self, place: usize) -> Option<Bytes> {
        if let Some(whole) = &self.whole {
            return (place == 0).then(|| whole.clone());
        }
        let at = place.checked_sub(self.dropped)?;
        let end = self.pieces.get(at)?.end;
        let start = at.checked_sub(1).map_or(self.dropped_bytes, |before| self.pieces[before].end);
        let [start, end] = [start, end].map(|byte| usize::try_from(byte - self.dropped_bytes).unwrap_or(usize::MAX));
        self.bytes.get(start..end).map(Bytes::copy_from_slice)
    }

    /// What the first `place` pieces weigh, and their bytes.
    pub(crate) fn reached(&self, place: usize) -> (Weight, u64) {
        let piece = place.checked_sub(self.dropped + 1).and_then(|at| self.pieces.get(at));
        piece.map_or((Weight::default(), self.dropped_bytes), |piece| (piece.weight, piece.end))
    }

    /// Gives back the memory that an answer which has ended does not need.
    pub(crate) fn settle(&mut self) {
        self.bytes.shrink_to_fit();
        self.pieces.shrink_to_fit();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.granted, Ordering::Relaxed);
    }
}

/// Whether a frame is an event to its client: comments are none.
pub(crate) fn is_event(frame: &[u8]) -> bool {
    let text = frame.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(frame);
    text.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| line.starts_with(b"data"))
}
