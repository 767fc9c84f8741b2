//! A request that belongs to another's call: it reads that call's answer from the first event, at its own pace, and is charged nothing.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use tokio::time::{timeout, timeout_at};
use weir_core::{Charged, How, RequestId, Timestamp, Verdict};
use weir_store::{Hold, JoinedRequest};

use super::Entry;
use crate::{
    Gateway,
    outlet::{Found, Gone, Reader},
    patience::Patience,
    refusal::Refusal,
    reply::Reply,
};

/// A request and the call that it belongs to.
pub(crate) struct Joining {
    pub(crate) entry: Arc<Entry>,
    pub(crate) how: How,
    pub(crate) reader: Reader,
    /// How long its own client waits, where that is known.
    pub(crate) patience: Option<Patience>,
}

/// Answers a request with the answer of the call that it belongs to. Its slot becomes a row among that call's requests.
pub(crate) async fn follow(gateway: &Gateway, hold: Hold, id: RequestId, at: Timestamp, reply: &mut Reply, mut joining: Joining) {
    let mut row = row(&joining, id, at);
    gateway.books.join(hold, row.clone());
    if read(&mut joining, 0, reply).await.is_err() {
        joining.entry.outlet.missed();
    }
    (row.status, row.events) = (reply.status(), reply.events);
    gateway.books.joined(row);
}

pub(super) fn row(joining: &Joining, id: RequestId, at: Timestamp) -> JoinedRequest {
    let entry = &joining.entry;
    JoinedRequest { id, call: entry.id, kid: entry.kid.clone(), at, how: joining.how, status: 0, events: 0 }
}

/// Passes the answer on behind the first `seen` events.
pub(super) async fn read(joining: &mut Joining, seen: u64, reply: &mut Reply) -> Result<(), Gone> {
    let own = reply.outlet.clone();
    own.repeat(&joining.entry.outlet);
    let reader = &mut joining.reader;
    let head = match joining.patience {
        Some(patience) => match timeout_at(patience.until, reader.head(&own)).await {
            Ok(head) => head,
            Err(_) => {
                joining.entry.outlet.promise();
                return reply.refuse(&patience.over(joining.entry.id), Charged::Pending).await;
            }
        },
        None => reader.head(&own).await,
    };
    let Some((status, mut headers, whole)) = head else {
        return if own.is_gone() { Err(Gone) } else { reply.refuse(&lost(), Charged::No).await };
    };
    tell(&mut headers, joining.entry.id, reader.running);
    let head = reply.like(status, headers);
    if let Some(body) = whole {
        // To its end first: the call is sealed by then.
        while let Some(Found::Piece(_) | Found::Quiet) = reader.next(&own).await {}
        reply.bytes = body.len() as u64;
        return own.finish(head, body).await;
    }
    own.head(head);
    reader.skip(seen, &own).await;
    loop {
        let found = match joining.patience {
            // The call's own heartbeats are made for its first client.
            Some(patience) => timeout(patience.heartbeat(), reader.next(&own)).await.unwrap_or(Some(Found::Quiet)),
            None => reader.next(&own).await,
        };
        match found {
            Some(Found::Piece(piece)) => reply.pass(piece, 1).await?,
            Some(Found::Quiet) => reply.heartbeat()?,
            Some(Found::End) => return reply.end().await,
            Some(Found::Lost) => return reply.refuse(&lost(), Charged::No).await,
            Some(Found::Nothing) | None => return Err(Gone),
        }
    }
}

/// Says whose answer it is, and whether it was made before.
fn tell(headers: &mut HeaderMap, call: RequestId, running: bool) {
    if let Ok(call) = HeaderValue::from_str(&call.to_string()) {
        headers.insert("x-weir-call", call);
    }
    if !running {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
}

/// The answer went while it was read.
fn lost() -> Refusal {
    Refusal::of(Verdict::ReplayedOnce).status(410).code(Some("replay_gone"), Some("invalid_request_error")).never_retry()
}
