//! What is kept of an answer for whoever else reads it: every piece from the first on, within its bound and the gateway's.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::Replay;

/// Memory is asked for in steps of so many bytes, so that an event seldom touches the counter that all calls share.
const STEP: usize = 4 << 10;
/// What a head takes, about.
const HEAD_BYTES: usize = 1 << 10;
/// A whole answer up to this length is copied out of the buffer that it was read into, which would be kept with it.
const COPIED_BYTES: usize = 4 << 10;

/// The memory of all kept answers.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
    /// Of one answer.
    each: usize,
    /// An answer was given up because older ones took its place.
    missed: AtomicBool,
}

impl Budget {
    pub(crate) fn new(terms: &Replay) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), most: terms.bytes, each: terms.answer_bytes, missed: AtomicBool::new(false) })
    }

    /// How much the kept answers should take at most before a new call needs memory: an eighth is left for those that run, half after
    /// that was too little.
    pub(crate) fn room(&self) -> usize {
        if self.missed.swap(false, Ordering::Relaxed) { self.most / 2 } else { self.most / 8 * 7 }
    }

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

/// A head in one piece of memory: a map, and values that are slices of what was read, take ten times as much, and every call keeps one.
#[derive(Debug)]
struct Head {
    status: StatusCode,
    /// `name:value` and a line feed, which no value has.
    lines: Box<[u8]>,
}

impl Head {
    fn of(head: &Response<()>) -> Self {
        let mut lines = Vec::with_capacity(head.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 2).sum());
        for (name, value) in head.headers() {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.push(b':');
            lines.extend_from_slice(value.as_bytes());
            lines.push(b'\n');
        }
        Self { status: head.status(), lines: lines.into() }
    }

    fn read(&self) -> (StatusCode, HeaderMap) {
        let pairs = self.lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        (self.status, headers)
    }
}

/// An answer, or its latest part while its readers need no more.
#[derive(Debug)]
pub(crate) struct Kept {
    head: Option<Head>,
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// The body of an answer that is no stream: its only piece.
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
        self.head = Some(Head::of(head));
    }

    pub(crate) fn head(&self) -> Option<(StatusCode, HeaderMap)> {
        self.head.as_ref().map(Head::read)
    }

    pub(crate) fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// Pieces that there are, with those that were dropped.
    pub(crate) fn len(&self) -> usize {
        self.dropped + self.pieces.len() + usize::from(self.whole.is_some())
    }

    /// Whether it still begins with the first piece.
    pub(crate) fn is_from_the_first(&self) -> bool {
        self.dropped == 0
    }

    /// Keeps a piece; `false` if that would exceed a bound.
    pub(crate) fn push(&mut self, piece: &[u8], weight: Weight) -> bool {
        let fits = self.grant(self.size() + piece.len() + size_of::<Piece>());
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

    /// Keeps a stream's last words, whatever the bounds: they are short.
    pub(crate) fn push_anyway(&mut self, piece: &[u8]) {
        self.add(piece, Weight::default());
    }

    /// Keeps the body of an answer that is no stream; `false` if it exceeds a bound.
    pub(crate) fn push_whole(&mut self, body: &Bytes) -> bool {
        if !self.grant(body.len() + size_of::<Piece>()) {
            return false;
        }
        self.whole = Some(if body.len() <= COPIED_BYTES { Bytes::copy_from_slice(body) } else { body.clone() });
        true
    }

    /// Keeps it all the same, for those who wait for it.
    pub(crate) fn push_whole_anyway(&mut self, body: &Bytes) {
        self.whole = Some(body.clone());
    }

    /// Whether it exceeds its own bound, because somebody waited for it.
    pub(crate) fn is_too_long(&self) -> bool {
        self.size() > self.budget.each
    }

    /// The memory that it takes, but for its head.
    fn size(&self) -> usize {
        self.bytes.len() + self.whole.as_ref().map_or(0, Bytes::len) + (self.len() - self.dropped) * size_of::<Piece>()
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
                self.budget.missed.store(true, Ordering::Relaxed);
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
        let Some(end) = count.checked_sub(1).map(|last| self.pieces[last].end) else { return };
        let bytes = usize::try_from(end - self.dropped_bytes).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.drain(..bytes);
        self.pieces.drain(..count);
        self.dropped += count;
        self.dropped_bytes = end;
    }

    /// Drops what lies behind `place`.
    pub(crate) fn cut_at(&mut self, place: usize) {
        let (_, end) = self.reached(place);
        self.pieces.truncate(place.saturating_sub(self.dropped));
        self.bytes.truncate(usize::try_from(end.saturating_sub(self.dropped_bytes)).unwrap_or(0));
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
        if let Some(whole) = self.whole.as_ref().filter(|_| place > 0) {
            return (Weight::default(), whole.len() as u64);
        }
        let piece = place.checked_sub(self.dropped + 1).and_then(|at| self.pieces.get(at));
        piece.map_or((Weight::default(), self.dropped_bytes), |piece| (piece.weight, piece.end))
    }

    /// Its bytes, and where its pieces end.
    pub(crate) fn all(&self) -> (&[u8], Vec<u64>) {
        (self.whole.as_deref().unwrap_or(&self.bytes), self.pieces.iter().map(|piece| piece.end).collect())
    }

    /// An answer that was kept elsewhere; `None` if there is no room for it. `ends`: where the pieces of a stream end; `None` for one that is none.
    pub(crate) fn of(budget: Arc<Budget>, head: &Response<()>, bytes: &[u8], ends: Option<&[u64]>) -> Option<Self> {
        let mut kept = Self::new(budget);
        kept.set_head(head);
        let Some(ends) = ends else { return kept.push_whole(&Bytes::copy_from_slice(bytes)).then_some(kept) };
        let mut start = 0;
        for end in ends {
            let end = usize::try_from(*end).ok()?;
            if !kept.push(bytes.get(start..end)?, Weight::default()) {
                return None;
            }
            start = end;
        }
        kept.settle();
        Some(kept)
    }

    /// Gives back the memory that an answer which has ended does not need.
    pub(crate) fn settle(&mut self) {
        self.bytes.shrink_to_fit();
        self.pieces.shrink_to_fit();
        let unused = self.granted.saturating_sub(self.size() + HEAD_BYTES);
        self.granted -= unused;
        self.budget.used.fetch_sub(unused, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(answer_bytes: usize, bytes: usize) -> (Arc<Budget>, Kept) {
        let budget = Budget::new(&Replay { answer_bytes, bytes, ..Replay::default() });
        (Arc::clone(&budget), Kept::new(budget))
    }

    #[test]
    fn pieces_come_back_as_they_were_and_say_what_they_weigh() {
        let (_, mut kept) = kept(10_000, 100_000);
        for n in 1..=5_u64 {
            assert!(kept.push(format!("piece {n}").as_bytes(), Weight { tokens: n, any: n > 2 }));
        }
        kept.drop_before(2);
        assert_eq!((kept.piece(1), kept.piece(2).as_deref(), kept.piece(5)), (None, Some(&b"piece 3"[..]), None));
        assert_eq!(kept.reached(0), (Weight::default(), 14), "what was dropped was read");
        assert_eq!(kept.reached(3), (Weight { tokens: 3, any: true }, 21));
        assert!(kept.len() == 5 && !kept.is_from_the_first());
    }

    #[test]
    fn a_head_comes_back_with_every_value_of_every_name() {
        let (_, mut kept) = kept(10_000, 100_000);
        let head = Response::builder().status(201).header("x-twice", "a: b").header("x-twice", "").header("content-type", "text/plain");
        let mut head = head.body(()).unwrap();
        head.headers_mut().insert("x-bytes", HeaderValue::from_bytes(b"\xff\t|").unwrap());
        kept.set_head(&head);
        assert_eq!(kept.head(), Some((head.status(), head.headers().clone())));
    }

    #[test]
    fn an_answer_in_one_piece_is_one_piece() {
        let (budget, mut kept) = kept(10_000, 100_000);
        assert!(kept.push_whole(&Bytes::from_static(b"whole")));
        assert_eq!((kept.len(), kept.piece(0).as_deref(), kept.piece(1)), (1, Some(&b"whole"[..]), None));
        assert_eq!((kept.reached(0).1, kept.reached(1).1), (0, 5));
        drop(kept);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_exceeds_a_bound_is_not_kept_and_everything_is_given_back() {
        let (budget, mut first) = kept(20_000, 24_000);
        let piece = [b'x'; 1_000];
        let fitting = (0..40).take_while(|_| first.push(&piece, Weight::default())).count();
        assert!((15..20).contains(&fitting), "{fitting}");
        let mut second = Kept::new(Arc::clone(&budget));
        let beside = (0..40).take_while(|_| second.push(&piece, Weight::default())).count();
        assert!(beside < 5 && budget.used() <= 24_000, "{beside}");
        second.settle();
        assert!(!second.push_alone(&piece, Weight::default()) || beside == 0);
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_event_has_data_and_a_comment_is_none() {
        for (frame, event) in [
            (&b"data: x\n\n"[..], true),
            (b"event: a\r\ndata: x\r\n\r\n", true),
            (b"\xEF\xBB\xBFdata: x\n\n", true),
            (b": data\n\n", false),
            (b"event: ping\n\n", false),
        ] {
            assert_eq!(is_event(frame), event, "{}", String::from_utf8_lossy(frame));
        }
    }
}
