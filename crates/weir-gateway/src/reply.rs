//! What the client of one call has been sent so far, and the only ways to send more.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tokio::time::{Instant, timeout};
use weir_core::{Charged, Dialect, RequestId, Route};

use crate::{
    joins::{Weight, is_event},
    outlet::{Gone, Outlet},
    refusal::Refusal,
};

/// A call waits so long for its client to take its last words. After that the connection hands them over by itself, as slowly as its client
/// reads, and neither the call nor whoever stops the gateway waits for it.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);

/// The client's side of one call.
pub(crate) struct Reply {
    pub(crate) outlet: Outlet,
    id: RequestId,
    route: Route,
    /// The status, once a head is on its way.
    status: Option<u16>,
    /// Whole events handed over, heartbeats not counted.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) last_write: Instant,
    /// What is left of the call's limits, for the head.
    pub(crate) limits: Vec<(header::HeaderName, HeaderValue)>,
    /// What the head says of the call's task, to whoever repeats the call, too.
    pub(crate) task: Vec<(header::HeaderName, HeaderValue)>,
}

/// The status in the record of a call whose client left before it had one; nginx's word for it, never sent.
pub(crate) const CLIENT_LEFT: u16 = 499;

/// A comment: every client skips it, no client mistakes it for an event.
pub(crate) const HEARTBEAT: Bytes = Bytes::from_static(b": weir\n\n");

impl Reply {
    pub(crate) fn new(outlet: Outlet, id: RequestId, route: Route) -> Self {
        Self { outlet, id, route, status: None, events: 0, bytes: 0, last_write: Instant::now(), limits: Vec::new(), task: Vec::new() }
    }

    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// The status the client got.
    pub(crate) fn status(&self) -> u16 {
        self.status.unwrap_or(CLIENT_LEFT)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.status.is_some()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.route.dialect()
    }

    fn head(&mut self, mut head: Response<()>) -> Response<()> {
        self.status = Some(head.status().as_u16());
        head.headers_mut().extend(std::mem::take(&mut self.task));
        self.outlet.keep_head(&head);
        head.headers_mut().extend(std::mem::take(&mut self.limits));
        name(&mut head, self.id, self.route);
        head
    }

    /// Opens the stream: 200 and the headers that keep hops from buffering it.
    pub(crate) fn open(&mut self, passed: Vec<(header::HeaderName, HeaderValue)>) {
        let mut head = Response::new(());
        let headers = head.headers_mut();
        headers.extend(passed);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let head = self.head(head);
        self.outlet.head(head);
        self.last_write = Instant::now();
    }

    /// Begins an answer whose body follows in pieces.
    pub(crate) fn begin(&mut self, head: Response<()>) {
        let head = self.head(head);
        self.outlet.head(head);
    }

    /// Passes whole events.
    pub(crate) async fn pass(&mut self, frames: Bytes, events: u64) -> Result<(), Gone> {
        self.pass_weighed(frames, events, Weight::default()).await
    }

    /// Passes whole events; `weight` is what the answer weighs with them. Whoever comes back to an answer that is kept gets them, too.
    pub(crate) async fn pass_weighed(&mut self, frames: Bytes, events: u64, weight: Weight) -> Result<(), Gone> {
        let bytes = frames.len() as u64;
        let sent = self.outlet.send(frames, weight).await;
        if sent.is_ok() || self.outlet.is_kept() {
            self.events += events;
            self.bytes += bytes;
            self.last_write = Instant::now();
        }
        sent
    }

    /// Opens a stream, or sends a whole answer, as a call's other requests got it, under this request's own id.
    pub(crate) fn like(&mut self, status: http::StatusCode, headers: http::HeaderMap) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers;
        self.head(head)
    }

    /// Fills silence, opening the stream if need be.
    pub(crate) fn heartbeat(&mut self) -> Result<(), Gone> {
        if !self.is_open() {
            self.open(Vec::new());
        }
        self.outlet.beat()?;
        self.last_write = Instant::now();
        Ok(())
    }

    /// Sends the whole of an answer.
    pub(crate) async fn answer(&mut self, head: Response<()>, body: Bytes) -> Result<(), Gone> {
        let bytes = body.len() as u64;
        let head = self.head(head);
        self.outlet.finish(head, body).await?;
        self.bytes = bytes;
        Ok(())
    }

    /// Ends the stream as it is.
    pub(crate) async fn end(&mut self) -> Result<(), Gone> {
        timeout(LAST_WORDS, self.outlet.end()).await.unwrap_or(Ok(()))
    }

    /// Passes the rest of an answer that is here whole to a client that is too slow to be waited for.
    pub(crate) fn append(&mut self, frame: &Bytes) -> Result<(), Gone> {
        self.events += 1;
        self.bytes += frame.len() as u64;
        self.outlet.append(frame)
    }

    /// Says why there is no answer: an error status while nothing was sent, one error event after that. Then the end, without a marker.
    pub(crate) async fn refuse(&mut self, refusal: &Refusal, charged: Charged) -> Result<(), Gone> {
        if !self.is_open() {
            let (head, body) = refusal.response(self.id, self.route, charged);
            let head = self.head(head);
            return timeout(LAST_WORDS, self.outlet.finish(head, body)).await.unwrap_or(Ok(()));
        }
        let event = refusal.body(self.id, charged).to_event(self.dialect(), self.events);
        match timeout(LAST_WORDS, self.outlet.send(event.clone(), Weight::default())).await {
            Ok(sent) => self.end().await.and(sent),
            Err(_) => self.outlet.append(&event),
        }
    }
}

/// Says whose answer it is.
pub(crate) fn name(head: &mut Response<()>, id: RequestId, route: Route) {
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        if route == Route::Messages {
            head.headers_mut().insert("request-id", id.clone());
        }
        head.headers_mut().insert("x-request-id", id);
    }
}

/// The frame with an `id:` line in front, if it is an event; `last` counts them.
pub(crate) fn numbered(frame: Bytes, last: &mut u64) -> Bytes {
    if !is_event(&frame) {
        return frame;
    }
    *last += 1;
    // A byte order mark counts at a stream's very beginning only.
    let (mark, rest) = frame.split_at(if frame.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 });
    [mark, format!("id: {last}\n").as_bytes(), rest].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_gets_its_number_before_its_first_line_and_a_comment_gets_none() {
        let mut last = 6;
        assert_eq!(numbered(HEARTBEAT, &mut last), HEARTBEAT);
        assert_eq!(numbered(Bytes::from_static(b"event: a\ndata: x\n\n"), &mut last), &b"id: 7\nevent: a\ndata: x\n\n"[..]);
        let marked = Bytes::from_static(b"\xEF\xBB\xBFdata: x\n\n");
        assert_eq!(numbered(marked, &mut last), &b"\xEF\xBB\xBFid: 8\ndata: x\n\n"[..]);
    }
}
