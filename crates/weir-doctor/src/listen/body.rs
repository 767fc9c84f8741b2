//! Bodies that keep time: each piece leaves when the script says so, and the record learns how far it came.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::{
    answer::Family,
    record::Record,
    script::{End, Pace},
    seen::Ended,
};

/// A comment: no event for any client, but a sign of life.
const HEARTBEAT: &[u8] = b": weir doctor\n\n";
/// The body stays open so long behind the end marker: whoever takes the marker for the end leaves meanwhile.
const AFTER_MARKER: Duration = Duration::from_millis(500);
/// What was sent before a cut gets so long to arrive.
const BEFORE_CUT: Duration = Duration::from_millis(50);

/// The body of any answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// Bytes at once. `cut` breaks the connection behind them.
    Plain {
        bytes: Option<Bytes>,
        cut: bool,
        record: Option<Box<Record>>,
    },
    Stream(Box<Stream>),
}

impl Answer {
    pub(super) fn plain(bytes: impl Into<Bytes>) -> Self {
        Self::Plain { bytes: Some(bytes.into()), cut: false, record: None }
    }
}

/// A stream of events in its pace.
#[derive(Debug)]
pub(super) struct Stream {
    family: Family,
    pace: Pace,
    record: Record,
    /// The next piece.
    at: u32,
    pieces: u32,
    /// What is left of the silence, once it began.
    silence: Option<Duration>,
    due: Option<(Pin<Box<Sleep>>, Step)>,
    over: bool,
}

/// What comes when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Piece,
    Heartbeat,
    End,
}

impl Stream {
    pub(super) fn new(family: Family, pace: Pace, record: Record) -> Self {
        let pieces = family.pieces(&pace);
        Self { family, pace, record, at: 0, pieces, silence: None, due: None, over: false }
    }

    /// The next step and the wait before it.
    fn next(&mut self) -> (Duration, Step) {
        let first = self.family.first_word();
        if let Some((_, silence)) = self.pace.silence.filter(|(after, _)| self.at == first + after) {
            let left = self.silence.unwrap_or(silence);
            return match self.pace.heartbeat.filter(|beat| *beat < left) {
                Some(beat) => {
                    self.silence = Some(left.saturating_sub(beat));
                    (beat, Step::Heartbeat)
                }
                None => (left.max(self.pace.interval), Step::Piece),
            };
        }
        let words = first..first + self.pace.events;
        match self.at {
            at if at < self.pieces => (if words.contains(&at) && at > first { self.pace.interval } else { Duration::ZERO }, Step::Piece),
            _ => match self.pace.end {
                End::Marked => (AFTER_MARKER, Step::End),
                End::Unmarked => (Duration::ZERO, Step::End),
                End::Cut => (BEFORE_CUT, Step::End),
            },
        }
    }

    fn piece(&mut self) -> Option<Bytes> {
        let piece = self.family.piece(&self.pace, self.at)?;
        self.at += 1;
        self.record.seen.events += 1;
        self.record.sent(piece.len());
        if self.at == self.pieces && self.pace.end == End::Marked {
            self.record.so_far = Ended::AtMarker;
        }
        Some(piece)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let (mut timer, step) = match self.due.take() {
            Some(due) => due,
            None => {
                let (wait, step) = self.next();
                if wait.is_zero() {
                    return Poll::Ready(self.take(step));
                }
                (Box::pin(sleep(wait)), step)
            }
        };
        if timer.as_mut().poll(cx).is_pending() {
            self.due = Some((timer, step));
            return Poll::Pending;
        }
        Poll::Ready(self.take(step))
    }

    fn take(&mut self, step: Step) -> Option<io::Result<Bytes>> {
        match step {
            Step::Piece => self.piece().map(Ok),
            Step::Heartbeat => {
                self.record.seen.heartbeats += 1;
                self.record.sent(HEARTBEAT.len());
                Some(Ok(Bytes::from_static(HEARTBEAT)))
            }
            Step::End => {
                self.over = true;
                let cut = self.pace.end == End::Cut;
                self.record.so_far = if cut { Ended::Cut } else { Ended::Whole };
                cut.then(|| Err(io::ErrorKind::ConnectionReset.into()))
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut *self {
            Self::Plain { bytes, cut, record } => {
                let piece = bytes.take();
                if let (Some(bytes), Some(record)) = (&piece, record) {
                    record.sent(bytes.len());
                    if record.so_far == Ended::Left {
                        record.so_far = if *cut { Ended::Cut } else { Ended::Whole };
                    }
                }
                match piece {
                    None if *cut => Some(Err(io::ErrorKind::ConnectionReset.into())),
                    piece => piece.map(Ok),
                }
            }
            Self::Stream(stream) => ready!(stream.poll_piece(cx)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Bodies here are made, never forwarded: nothing but a planned cut makes them fail.
pub(super) type Made = Result<http::Response<Answer>, Infallible>;
