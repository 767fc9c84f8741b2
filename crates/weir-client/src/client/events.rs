//! A stream, event by event. Retried until its first event at most; after that it ends by its own end or with a word about how.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use weir_core::{Dialect, StreamEnd, Usage};
use weir_wire::{
    FrameSplitter, StreamWatch,
    watch::{Eof, Seen},
};

use super::{
    Ask, CallError, Client, Lost, LostHow, Said,
    call::{Course, Wrong},
};
use crate::{Answer, AttemptError};

/// One event of a stream, byte for byte, and what it is.
#[derive(Debug, Clone)]
pub struct Event {
    pub bytes: Bytes,
    pub seen: Seen,
}

/// A running stream. Dropping it closes the connection, which cancels the call.
#[derive(Debug)]
pub struct Events {
    answer: Answer,
    splitter: FrameSplitter,
    watch: StreamWatch,
    ready: VecDeque<Bytes>,
    idle: Duration,
    ended: Option<StreamEnd>,
}

impl Client {
    /// Opens a stream: the body must ask for one. Failed attempts are retried as [`Client::call`] does, up to the head of the answer.
    ///
    /// # Errors
    /// As [`Client::call`]; an answer that is no stream is an error of its own kind: [`CallError::Refused`] with what it says.
    pub async fn stream(&self, ask: &Ask) -> Result<Events, CallError> {
        let (route, mut course) = (ask.route(), Course::new(self, ask));
        loop {
            course.begin();
            let wrong = match self.open(ask).await {
                Ok(answer) if answer.head.status == 200 && is_stream(&answer) => {
                    return Ok(Events::new(answer, route.dialect(), self.limits.idle, self.limits.answer_bytes));
                }
                Ok(answer) => match self.rest(answer).await {
                    Ok(said) => match said.problem(route, self.surroundings.clock.now()) {
                        Some(problem) => Wrong::Refused(Box::new(problem), Box::new(said)),
                        None => Wrong::Lost(Lost::in_body(LostHow::Attempt(AttemptError::Wire(crate::WireError::NotHttp)))),
                    },
                    Err(lost) => Wrong::Lost(lost),
                },
                Err(lost) => Wrong::Lost(lost),
            };
            course.next(wrong).await?;
        }
    }

    /// The body of an answer that should have been a stream.
    async fn rest(&self, mut answer: Answer) -> Result<Said, Lost> {
        let mut body = Vec::new();
        loop {
            let piece = timeout(self.limits.idle, answer.chunk()).await.map_err(|_| Lost::in_body(LostHow::Idle(self.limits.idle)))?;
            let Some(piece) = piece else { break };
            body.extend_from_slice(&piece.map_err(|error| Lost::in_body(AttemptError::Wire(error).into()))?);
            if body.len() > self.limits.answer_bytes {
                return Err(Lost::in_body(LostHow::TooLong(self.limits.answer_bytes)));
            }
        }
        let spans = [answer.connected, answer.first_byte, answer.first_byte];
        Ok(Said::new(answer.head.status.as_u16(), std::mem::take(&mut answer.head.headers), body.into(), spans, self.vendor))
    }
}

fn is_stream(answer: &Answer) -> bool {
    let kind = answer.head.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

impl Events {
    fn new(answer: Answer, dialect: Dialect, idle: Duration, event_bytes: usize) -> Self {
        let (splitter, watch) = (FrameSplitter::new(event_bytes), StreamWatch::new(dialect));
        Self { answer, splitter, watch, ready: VecDeque::new(), idle, ended: None }
    }

    /// The next whole event; `None` when the stream has ended, and [`Events::end`] says how. Comments are left out, but end no silence
    /// that the limit bears: a heartbeat counts as life.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(bytes) = self.ready.pop_front() {
                let seen = self.watch.see(&bytes);
                if seen != Seen::Comment {
                    return Some(Event { bytes, seen });
                }
            }
            if self.ended.is_some() {
                return None;
            }
            let mut frames = Vec::new();
            match timeout(self.idle, self.answer.chunk()).await {
                Err(_) => self.ended = Some(StreamEnd::IdleTimeout),
                Ok(Some(Ok(piece))) => {
                    if self.splitter.feed(piece, &mut frames).is_err() {
                        self.ended = Some(StreamEnd::Oversize);
                    }
                    self.ready.extend(frames);
                }
                Ok(Some(Err(_))) => self.ended = Some(self.watch.end(Eof::Cut)),
                Ok(None) => self.ended = Some(self.watch.end(Eof::Clean)),
            }
        }
    }

    /// How it ended; `None` while it has not.
    #[must_use]
    pub fn end(&self) -> Option<StreamEnd> {
        self.ended
    }

    /// Whether every part of the answer came to its own end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.watch.is_complete()
    }

    /// What was used, as far as it was told.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.watch.usage()
    }
}
