//! weir's own paths: the record of a call for the key that made it, a timed echo, health.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use weir_core::{ApiKey, RequestId, Route, Verdict};

use weir_store::Principal;

use crate::{Gateway, admit, limiter::limits_view, outlet::Outlet, refusal::Refusal, reply::Reply, view::call_view};

/// One of weir's own answers.
pub(crate) enum Own {
    Health,
    Ready,
    Record(RequestId),
    Limits,
    Echo,
}

/// Events of one echo, and the pause between two: long enough that a buffering hop is seen, short enough to wait for.
const ECHO_EVENTS: u32 = 10;
const ECHO_PAUSE: Duration = Duration::from_millis(100);

impl Own {
    /// What a path of weir's own asks for.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/healthz" | "/livez" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            "/v1/weir/echo" => Some(Self::Echo),
            "/v1/weir/limits" => Some(Self::Limits),
            _ => path.strip_prefix("/v1/weir/calls/")?.parse().ok().map(Self::Record),
        }
    }
}

/// Answers without making a call of it: nothing is recorded, nothing charged.
pub(crate) async fn answer(gateway: Arc<Gateway>, own: Own, request: Request<Incoming>, outlet: Outlet) {
    let mut reply = Reply::new(outlet, gateway.new_id(), Route::Unknown);
    let answered = match own {
        Own::Health => Ok(plain(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok\n"))),
        Own::Ready => Ok(ready(&gateway)),
        Own::Record(id) => record(&gateway, id, &request).await,
        Own::Limits => limits(&gateway, &request),
        Own::Echo => return echo(&mut reply).await,
    };
    let _ = match answered {
        Ok((head, body)) => reply.answer(head, body).await,
        Err(refusal) => reply.refuse(&refusal, weir_core::Charged::No).await,
    };
}

fn plain(status: StatusCode, kind: &'static str, body: Bytes) -> (Response<()>, Bytes) {
    let mut head = Response::new(());
    *head.status_mut() = status;
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    head.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (head, body)
}

fn ready(gateway: &Gateway) -> (Response<()>, Bytes) {
    let (status, text) = match (gateway.closer.is_draining(), gateway.books.healthy()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be written\n"),
        (false, true) => (StatusCode::OK, "ready\n"),
    };
    plain(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

/// Whose key a request for one of weir's own paths bears.
pub(crate) fn owner(gateway: &Gateway, request: &Request<Incoming>, source: Option<IpAddr>) -> Result<Arc<Principal>, Refusal> {
    let unknown = || Refusal::of(Verdict::KeyUnknown);
    let text = admit::presented(request.headers()).ok_or_else(unknown)?;
    let key = ApiKey::parse(text).map_err(|_| unknown())?;
    gateway.books.principal(&key, source, gateway.clock.now()).map_err(|_| unknown())
}

/// What is left of this key's limits, and when it resets. Asking costs nothing and counts nowhere.
fn limits(gateway: &Gateway, request: &Request<Incoming>) -> Result<(Response<()>, Bytes), Refusal> {
    let principal = owner(gateway, request, None)?;
    let holders = admit::holders(gateway, &principal, None);
    let (standings, callers, now) = gateway.limiter.standings(&holders, &admit::recall(gateway));
    let view = limits_view(&principal.kid, &standings, &callers, now, &admit::zone(&principal));
    let body = serde_json::to_vec(&view).map_err(|_| Refusal::of(Verdict::GatewayInternal))?;
    Ok(plain(StatusCode::OK, "application/json", body.into()))
}

/// The record, for the key that made the call and no other.
async fn record(gateway: &Arc<Gateway>, id: RequestId, request: &Request<Incoming>) -> Result<(Response<()>, Bytes), Refusal> {
    let principal = owner(gateway, request, None)?;
    // Sealed a moment ago counts: the row must be there before it is looked for.
    gateway.books.flush().await;
    let missing = || Refusal::of(Verdict::NotTheApi).saying("no call of this key has that id").code(Some("call_not_found"), None);
    let books = Arc::clone(gateway);
    // The store reads files, and may wait for its writer: not on a thread that serves streams.
    let read = tokio::task::spawn_blocking(move || books.books.call(id)).await;
    let call = read.ok().and_then(Result::ok).ok_or_else(|| Refusal::of(Verdict::GatewayInternal))?.ok_or_else(missing)?;
    if call.record.kid.as_ref() != Some(&principal.kid) {
        return Err(missing());
    }
    let body = serde_json::to_vec(&call_view(&call)).map_err(|_| Refusal::of(Verdict::GatewayInternal))?;
    Ok(plain(StatusCode::OK, "application/json", body.into()))
}

/// A stream made here: if its events arrive in one piece, a hop on the way buffers, and no model is to blame.
async fn echo(reply: &mut Reply) {
    reply.open(Vec::new());
    for n in 1..=ECHO_EVENTS {
        let event =
            format!("data: {{\"object\":\"weir.echo\",\"n\":{n},\"of\":{ECHO_EVENTS},\"pause_ms\":{}}}\n\n", ECHO_PAUSE.as_millis());
        if reply.pass(event.into(), 1).await.is_err() {
            return;
        }
        tokio::time::sleep(ECHO_PAUSE).await;
    }
    let _ = reply.pass(Bytes::from_static(b"data: [DONE]\n\n"), 1).await;
    let _ = reply.end().await;
}
