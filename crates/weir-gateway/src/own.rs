//! weir's own paths: the record of a call for the key that made it, a timed echo, health.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use weir_core::{ApiKey, RequestId, Route, Verdict};

use weir_store::{Principal, StoredCall};

use crate::{Gateway, admit, joins::resume, limiter::limits_view, outlet::Outlet, refusal::Refusal, reply::Reply, view::call_view};

/// One of weir's own answers.
pub(crate) enum Own {
    Health,
    Ready,
    Record(RequestId),
    /// A call's answer behind so many events.
    Stream(RequestId, u64),
    Limits,
    Echo(Echo),
}

/// A stream of the gateway's own: how many events, and the pause between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo {
    events: u32,
    pause: Duration,
}

/// Long enough that a buffering hop is seen, short enough to wait for.
const ECHO: Echo = Echo { events: 10, pause: Duration::from_millis(100) };
/// The most of each that may be asked for, and how long all of it may take: it costs nothing, so it must not hold much.
const ECHO_EVENTS_MAX: u32 = 200;
const ECHO_PAUSE_MAX: Duration = Duration::from_secs(5);
const ECHO_MAX: Duration = Duration::from_secs(60);

impl Echo {
    /// `count=20&interval_ms=50`; what is no number, or too much, is brought within the bounds.
    fn of(query: Option<&str>) -> Self {
        let number = |name: &str| query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse::<u32>().ok());
        let pause = number("interval_ms").map_or(ECHO.pause, |ms| Duration::from_millis(u64::from(ms)).min(ECHO_PAUSE_MAX));
        let in_time = u32::try_from(ECHO_MAX.as_millis() / pause.as_millis().max(1)).unwrap_or(u32::MAX);
        Self { events: number("count").unwrap_or(ECHO.events).clamp(1, ECHO_EVENTS_MAX.min(in_time)), pause }
    }
}

impl Own {
    /// What a path of weir's own asks for.
    pub(crate) fn of_path(path: &str, query: Option<&str>) -> Option<Self> {
        match path {
            "/healthz" | "/livez" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            "/v1/weir/echo" => Some(Self::Echo(Echo::of(query))),
            "/v1/weir/limits" => Some(Self::Limits),
            _ => {
                let call = path.strip_prefix("/v1/weir/calls/")?;
                match call.strip_suffix("/stream") {
                    Some(id) => Some(Self::Stream(id.parse().ok()?, after(query))),
                    None => call.parse().ok().map(Self::Record),
                }
            }
        }
    }
}

/// How many events a client has seen; what is no number is none.
fn after(query: Option<&str>) -> u64 {
    query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("after=")?.parse().ok())).unwrap_or(0)
}

/// The number of the event that a client saw last, where it asks for `id:` lines: they break one SDK.
pub(crate) fn numbered(request: &Request<Incoming>, own: Option<&Own>) -> Option<u64> {
    let asked = request.headers().get("x-weir-event-ids").is_some_and(|asked| asked == "1");
    asked.then_some(if let Some(Own::Stream(_, after)) = own { *after } else { 0 })
}

/// Answers without making a call of it: nothing is recorded, nothing charged.
pub(crate) async fn answer(gateway: Arc<Gateway>, own: Own, request: Request<Incoming>, peer: Option<IpAddr>, outlet: Outlet) {
    let mut reply = Reply::new(outlet, gateway.new_id(), Route::Unknown);
    let answered = match own {
        Own::Health => Ok(plain(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok\n"))),
        Own::Ready => Ok(ready(&gateway)),
        Own::Record(id) => record(&gateway, id, &request, peer).await,
        Own::Limits => limits(&gateway, &request, peer),
        Own::Echo(asked) => return echo(&mut reply, asked).await,
        Own::Stream(id, after) => match resume(&gateway, id, after, (&request, peer), &mut reply).await {
            Ok(()) => return,
            Err(refusal) => Err(refusal),
        },
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
fn limits(gateway: &Gateway, request: &Request<Incoming>, peer: Option<IpAddr>) -> Result<(Response<()>, Bytes), Refusal> {
    let principal = owner(gateway, request, peer)?;
    let holders = admit::holders(gateway, &principal, None);
    let (standings, callers, now) = gateway.limiter.standings(&holders, &admit::recall(gateway));
    let view = limits_view(&principal.kid, &standings, &callers, now, &admit::zone(&principal));
    let body = serde_json::to_vec(&view).map_err(|_| Refusal::of(Verdict::GatewayInternal))?;
    Ok(plain(StatusCode::OK, "application/json", body.into()))
}

/// The record, for the key that made the call and no other.
async fn record(
    gateway: &Arc<Gateway>,
    id: RequestId,
    request: &Request<Incoming>,
    peer: Option<IpAddr>,
) -> Result<(Response<()>, Bytes), Refusal> {
    let principal = owner(gateway, request, peer)?;
    let call = find(gateway, &principal, id).await?;
    let body = serde_json::to_vec(&call_view(&call)).map_err(|_| Refusal::of(Verdict::GatewayInternal))?;
    Ok(plain(StatusCode::OK, "application/json", body.into()))
}

/// The call of this key that a request with this id began or joined.
pub(crate) async fn find(gateway: &Arc<Gateway>, principal: &Principal, id: RequestId) -> Result<StoredCall, Refusal> {
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
    Ok(call)
}

/// A stream made here: if its events arrive in one piece, a hop on the way buffers, and no model is to blame.
async fn echo(reply: &mut Reply, asked: Echo) {
    let Echo { events, pause } = asked;
    reply.open(Vec::new());
    for n in 1..=events {
        let event = format!("data: {{\"object\":\"weir.echo\",\"n\":{n},\"of\":{events},\"pause_ms\":{}}}\n\n", pause.as_millis());
        if reply.pass(event.into(), 1).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
    let _ = reply.pass(Bytes::from_static(b"data: [DONE]\n\n"), 1).await;
    let _ = reply.end().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_never_holds_more_than_its_bounds() {
        let of = |query: &str| {
            let Echo { events, pause } = Echo::of(Some(query));
            (events, pause.as_millis())
        };
        assert_eq!(Echo::of(None), ECHO);
        assert_eq!(of("count=20&interval_ms=50"), (20, 50));
        assert_eq!(of("interval_ms=0&count=3"), (3, 0));
        assert_eq!(of("count=0"), (1, 100));
        assert_eq!(of("count=4000000000"), (200, 100));
        assert_eq!(of("count=200&interval_ms=99999"), (12, 5_000));
        assert_eq!(of("count=x&interval_ms=-1"), (10, 100));
    }
}
