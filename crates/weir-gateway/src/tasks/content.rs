//! The result of a task, on its way from the upstream to its owner: one piece at a time, as fast as the owner reads, kept nowhere.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use weir_client::{Answer, AttemptLimits};
use weir_core::{Side, TaskRecord, TaskState, Verdict};
use weir_wire::{Scope, tasks::Adapter};

use super::{
    address,
    look::{lane_of, question, request},
};
use crate::{Gateway, outlet::Gone, refusal::Refusal, reply::Reply, whole};

/// The slowest download that anybody waits for.
const DOWNLOAD: Duration = Duration::from_secs(3_600);

/// What a request for a part of a result says of that part.
const ASKED: [HeaderName; 2] = [header::RANGE, header::IF_RANGE];
/// What an answer says of the part that it is.
const TOLD: [HeaderName; 5] = [header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ACCEPT_RANGES, header::ETAG, header::LAST_MODIFIED];

/// How a result leaves.
enum Content {
    /// From the upstream, through here.
    Here(Box<Answer>),
    /// Its owner fetches it from where it is.
    Elsewhere(HeaderValue),
}

/// Answers a request for a result; `HEAD` gets the head alone.
pub(super) async fn pass(gateway: &Arc<Gateway>, task: &TaskRecord, asked: &Request<Incoming>, reply: &mut Reply) -> Result<(), Refusal> {
    // A stop waits for it, as for a call.
    let _running = gateway.closer.enter();
    let until = Instant::now() + DOWNLOAD;
    let content = find(gateway, task, asked, reply).await?;
    let mut head = Response::new(());
    head.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    match content {
        Content::Elsewhere(url) => {
            *head.status_mut() = StatusCode::FOUND;
            head.headers_mut().insert(header::LOCATION, url);
            reply.begin(head);
        }
        Content::Here(mut answer) => {
            *head.status_mut() = answer.head.status;
            head.headers_mut().extend(whole::passed(&answer.head.headers));
            head.headers_mut().extend(some_of(&answer.head.headers, &TOLD));
            reply.begin(head);
            // Who asked for the head alone gets no body, and the upstream's connection is given up with the rest of it.
            if asked.method() != Method::HEAD && relay(gateway, &mut answer, until, reply).await.is_err() {
                reply.outlet.break_off();
                return Ok(());
            }
        }
    }
    // A client that left misses nothing that is kept.
    let _ = reply.end().await;
    Ok(())
}

fn some_of(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    names.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

/// Asks the upstream for the result, or for where it is.
async fn find(gateway: &Gateway, task: &TaskRecord, asked: &Request<Incoming>, reply: &mut Reply) -> Result<Content, Refusal> {
    if task.state != TaskState::Succeeded {
        let say = format!("task {} is {}; GET {} tells when there is a result", task.id(), task.state.label(), address(task));
        return Err(Refusal::of(task.verdict()).saying(say).status(404).code(Some("not_ready"), Some("invalid_request_error")));
    }
    let (lane, adapter) = lane_of(gateway, task).ok_or_else(|| Refusal::of(Verdict::NoUpstream))?;
    let id = task.upstream_id.as_deref().unwrap_or_default();
    let Some(pattern) = adapter.content else {
        let path = Adapter::path(adapter.look, id).ok_or_else(|| silent(task))?;
        let said = question(gateway, lane, Method::GET, &path).await.ok_or_else(|| silent(task))?;
        refused(task, said.status, &said.headers, reply)?;
        let url = adapter.job(&said.body, &task.model).and_then(|job| job.url).and_then(|url| HeaderValue::from_str(&url).ok());
        // It answers, and has no address any more.
        return url.map(Content::Elsewhere).ok_or_else(|| gone(task));
    };
    let mut path = Adapter::path(pattern, id).ok_or_else(|| silent(task))?;
    let query = asked.uri().query().unwrap_or_default();
    if let Some(variant @ ("variant=video" | "variant=thumbnail" | "variant=spritesheet")) =
        query.split('&').find(|pair| pair.starts_with("variant="))
    {
        path = format!("{path}?{variant}");
    }
    // Always a GET: fewer upstreams answer HEAD than serve the result.
    let mut wanted = request(lane, Method::GET, &path).ok_or_else(|| silent(task))?;
    wanted.headers_mut().extend(some_of(asked.headers(), &ASKED));
    let timeouts = gateway.settings.timeouts;
    let limits = AttemptLimits { connect: timeouts.connect, first_byte: timeouts.first_byte };
    let answer = Answer::get(gateway.dial.as_ref(), &lane.target, &lane.pool, wanted, limits).await.map_err(|_| silent(task))?;
    refused(task, answer.head.status.as_u16(), &answer.head.headers, reply)?;
    Ok(Content::Here(Box::new(answer)))
}

/// What an upstream's status says that is no result.
fn refused(task: &TaskRecord, status: u16, headers: &HeaderMap, reply: &mut Reply) -> Result<(), Refusal> {
    match status {
        200 | 206 => Ok(()),
        404 | 410 => Err(gone(task)),
        416 => {
            reply.limits.extend(headers.get(header::CONTENT_RANGE).map(|range| (header::CONTENT_RANGE, range.clone())));
            let refusal = Refusal::of(Verdict::RequestRejected).status(416).code(Some("range_not_satisfiable"), None).never_retry();
            Err(refusal.saying(format_args!("the result of task {} has no such range", task.id())))
        }
        _ => Err(silent(task)),
    }
}

/// The upstream made it, and has it no more.
fn gone(task: &TaskRecord) -> Refusal {
    let refusal = Refusal::of(Verdict::UpstreamError).scope(Scope::Upstream).by(Side::Upstream).status(410).never_retry();
    let made = task.finished.unwrap_or(task.submitted).rfc3339();
    let what = format!(
        "the upstream has the result of task {} no more; it was made at {made}, and upstreams keep results for hours or days only: fetch a result soon \
         after it is made, and submit anew only if you mean to pay for another",
        task.id()
    );
    refusal.code(Some("result_expired"), Some("invalid_request_error")).quoting(what.clone(), what)
}

fn silent(task: &TaskRecord) -> Refusal {
    let refusal = Refusal::of(Verdict::UpstreamError).scope(Scope::Upstream).by(Side::Upstream);
    refusal.saying(format_args!("the upstream did not give the result of task {}; it may later", task.id()))
}

/// Why a body does not end as it should.
struct Broken;

/// Passes the body on: the next piece is read when the client took the one before.
async fn relay(gateway: &Gateway, answer: &mut Answer, until: Instant, reply: &mut Reply) -> Result<(), Broken> {
    loop {
        let by = until.min(Instant::now() + gateway.settings.timeouts.idle);
        let piece = loop {
            let changed = gateway.closer.changed();
            if gateway.closer.is_cutting() {
                return Err(Broken);
            }
            tokio::select! {
                biased;
                () = left(reply) => return Err(Broken),
                piece = timeout_at(by, answer.chunk()) => break piece,
                () = changed => {}
            }
        };
        match piece {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(piece))) => reply.pass(piece, 0).await.map_err(|Gone| Broken)?,
            Ok(Some(Err(_))) | Err(_) => return Err(Broken),
        }
    }
}

/// Until the client is gone.
async fn left(reply: &Reply) {
    std::future::poll_fn(|cx| if reply.outlet.poll_gone(cx) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }).await;
}
