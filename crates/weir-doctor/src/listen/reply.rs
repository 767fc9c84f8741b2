//! From a request to its answer: the page, the list of models, or what the script says.

use std::{
    future::Future,
    hash::BuildHasher,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use weir_core::Route;

use super::{
    answer::{Family, refusal, speaks},
    body::{Answer, Made, Stream},
    flow::Flow,
    record::{Record, Shared, millis},
    request::{Asked, accept_encoding, client, http_version, is_browser, key_place, tame},
    script::{Pace, Plan, Script, plan},
    seen::{Ended, Seen},
    server::REQUESTS_MAX,
};

/// Largest body that is read: a long conversation with pictures.
const BODY_BYTES: usize = 32 << 20;
/// A body must be whole within this time.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// The page that tests a browser.
const PAGE: &str = include_str!("page.html");
/// The names of headers that a browser may ask to send, in bytes.
const ASKED_HEADERS: usize = 1 << 10;

/// Where a request came in.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) flow: Arc<Flow>,
    pub(super) connection: u32,
    /// The how many-th on its connection.
    pub(super) nth: u32,
}

/// Answers one request. It is on record from now on, also if its client is gone before anything is done with it.
pub(super) fn answer(place: Place, request: Request<Incoming>) -> impl Future<Output = Made> {
    let path = request.uri().path();
    let own = match (request.method(), path) {
        (&Method::GET | &Method::HEAD, "/") => Some(page()),
        (&Method::GET, "/favicon.ico") => Some(plain(StatusCode::NO_CONTENT, "")),
        _ => None,
    };
    let record = if own.is_none() { place.record(&request) } else { None };
    async move {
        let asked_headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let mut response = match (own, record) {
            (Some(own), _) => own,
            (None, Some(record)) => route(record, request).await,
            (None, None) => plain(StatusCode::SERVICE_UNAVAILABLE, "weir doctor has seen enough requests"),
        };
        allow_pages(response.headers_mut(), asked_headers);
        Ok(response)
    }
}

async fn route(mut record: Record, request: Request<Incoming>) -> Response<Answer> {
    let path = request.uri().path();
    let (route, is_head) = (record.seen.route, request.method() == Method::HEAD);
    match *request.method() {
        Method::OPTIONS => record.reply(StatusCode::NO_CONTENT, Bytes::new()),
        Method::GET | Method::HEAD if route == Route::Models => {
            let models = models(&record.shared, path.strip_prefix("/v1/models/"));
            record.reply(StatusCode::OK, if is_head { Bytes::new() } else { models })
        }
        Method::POST if speaks(route.dialect()) => {
            // hyper gives a client that left no other sign: the record is dropped with this future.
            let body = timeout(BODY_WITHIN, Limited::new(request.into_body(), BODY_BYTES).collect()).await;
            match body {
                Ok(Ok(body)) => call(record, &body.to_bytes()).await,
                Ok(Err(error)) if error.is::<LengthLimitError>() => {
                    record.refuse(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "The body is larger than 32 MiB.")
                }
                _ => record.refuse(StatusCode::BAD_REQUEST, "body_unread", "The body did not come to its end within 30 s."),
            }
        }
        _ => {
            record.seen.odd_path = odd_path(path);
            let words = "weir doctor answers /v1/models, /v1/chat/completions, /v1/completions, /v1/responses and /v1/messages.";
            record.refuse(StatusCode::NOT_FOUND, "not_found", words)
        }
    }
}

/// A base URL that is not written right shows in the path that a client makes of it.
fn odd_path(path: &str) -> Option<&'static str> {
    let known = |path: &str| Route::of_path(path).is_some();
    if path.strip_prefix("/v1").is_some_and(known) {
        Some("twice")
    } else if known(&format!("/v1{path}")) {
        Some("missing")
    } else {
        None
    }
}

/// Plays the script that the request asked for.
async fn call(mut record: Record, body: &Bytes) -> Response<Answer> {
    let shared = Arc::clone(&record.shared);
    let Some(asked) = Asked::of(body) else {
        return record.refuse(StatusCode::BAD_REQUEST, "invalid_json", "The body is no JSON object.");
    };
    let script = Script::of_model(asked.model()).unwrap_or(shared.settings.script);
    let digest = shared.digests.hash_one((record.seen.path, body));
    let one = shared.tries().arrive(digest, shared.now(), record.seen.client.retry_header);
    record.digest = Some(digest);
    record.seen.script = Some(script);
    record.seen.model = tame(&shared.redactor, asked.model());
    record.seen.stream = asked.stream();
    record.seen.asked_usage = asked.usage();
    record.seen.attempt = one.attempt;
    record.seen.waited_ms = one.waited.map(millis);
    record.seen.told_wait_ms = one.told.map(millis);
    let dialect = record.seen.route.dialect();
    match plan(script, one.attempt, one.left, shared.settings.silence) {
        Plan::Silence => silence(record).await,
        Plan::Refuse { status, wait } => refused(record, status, wait),
        Plan::Answer(pace) => {
            let family = Family {
                dialect,
                model: record.seen.model.clone().unwrap_or_else(|| script.model()),
                created: shared.settings.created,
                n: record.seen.n,
                usage: asked.usage(),
            };
            if asked.stream() == Some(true) { streamed(record, family, pace) } else { whole(record, &family, &pace).await }
        }
    }
}

/// Not a byte. Ends when the client leaves, and the record with it, or with the server.
async fn silence(record: Record) -> Response<Answer> {
    let _held = record;
    std::future::pending().await
}

fn refused(mut record: Record, status: u16, wait: Option<Duration>) -> Response<Answer> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    record.told = wait;
    let (code, words) = match wait {
        Some(wait) => ("rate_limit_exceeded", format!("weir doctor: this 429 is played. Try again in {} s.", wait.as_secs_f32().ceil())),
        None => ("overloaded", "weir doctor: this 503 is played.".to_owned()),
    };
    let mut response = record.refuse(status, code, &words);
    if let Some(wait) = wait {
        // Whole seconds, rounded up, and the same instant to the millisecond for clients that know the other header.
        let seconds = wait.as_millis().div_ceil(1000);
        for (name, value) in [("retry-after", seconds), ("retry-after-ms", wait.as_millis())] {
            response.headers_mut().insert(name, HeaderValue::from(u64::try_from(value).unwrap_or(u64::MAX)));
        }
    }
    response
}

fn streamed(mut record: Record, family: Family, pace: Pace) -> Response<Answer> {
    record.seen.status = Some(200);
    let mut response = Response::new(Answer::Stream(Box::new(Stream::new(family, pace, record))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The answer in one body, as late as its stream would end.
async fn whole(mut record: Record, family: &Family, pace: &Pace) -> Response<Answer> {
    sleep(pace.whole()).await;
    let bytes = family.whole(pace);
    record.seen.status = Some(200);
    let cut = pace.end == super::script::End::Cut;
    let length = bytes.len();
    let sent = if cut { bytes.slice(..length / 2) } else { bytes };
    let mut response = Response::new(Answer::Plain { bytes: Some(sent), cut, record: Some(Box::new(record)) });
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

impl Place {
    /// The record of a request; none if all numbers are used up.
    fn record(self, request: &Request<Incoming>) -> Option<Record> {
        let n = self.shared.numbers.fetch_update(Relaxed, Relaxed, |n| (n < REQUESTS_MAX).then(|| n + 1)).ok()? + 1;
        let headers = request.headers();
        let route = Route::of_path(request.uri().path()).unwrap_or(Route::Unknown);
        self.flow.reset();
        let seen = Seen {
            n,
            at_ms: millis(self.shared.now()),
            method: method(request.method()),
            path: route.path(),
            odd_path: None,
            route,
            script: None,
            model: None,
            stream: None,
            asked_usage: false,
            client: client(&self.shared.redactor, headers),
            browser: is_browser(headers),
            key: key_place(headers),
            http: http_version(request.version()),
            accept_encoding: accept_encoding(headers),
            idempotency_key: headers.contains_key("idempotency-key"),
            connection: self.connection,
            nth_on_connection: self.nth,
            attempt: 1,
            waited_ms: None,
            told_wait_ms: None,
            status: None,
            events: 0,
            heartbeats: 0,
            bytes: 0,
            took_ms: 0,
            silent_ms: 0,
            not_read_ms: 0,
            ended: Ended::Left,
        };
        let now = Instant::now();
        let record = Record {
            seen,
            shared: self.shared,
            flow: self.flow,
            begun: now,
            last_sent: now,
            digest: None,
            told: None,
            so_far: Ended::Left,
        };
        Some(record)
    }
}

impl Record {
    /// A whole JSON body with a status.
    fn reply(mut self, status: StatusCode, body: Bytes) -> Response<Answer> {
        self.seen.status = Some(status.as_u16());
        let empty = body.is_empty();
        let mut response = Response::new(Answer::Plain { bytes: None, cut: false, record: None });
        *response.status_mut() = status;
        if empty {
            self.so_far = Ended::Whole;
        } else {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            *response.body_mut() = Answer::Plain { bytes: Some(body), cut: false, record: Some(Box::new(self)) };
        }
        response
    }

    /// A refusal in the form of the family.
    fn refuse(mut self, status: StatusCode, code: &str, words: &str) -> Response<Answer> {
        self.so_far = Ended::Refused;
        let dialect = self.seen.route.dialect();
        self.reply(status, refusal(dialect, code, words))
    }
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

/// The scripts as models, so that a client with a list can choose one; or one of them.
fn models(shared: &Shared, one: Option<&str>) -> Bytes {
    let model = |id: &str| json!({ "id": id, "object": "model", "created": shared.settings.created, "owned_by": "weir-doctor" });
    if let Some(id) = one {
        let id = Script::of_model(id).unwrap_or(shared.settings.script).model();
        return model(&id).to_string().into();
    }
    let all: Vec<_> = Script::ALL.iter().map(|script| model(&script.model())).collect();
    json!({ "object": "list", "data": all }).to_string().into()
}

fn page() -> Response<Answer> {
    let mut response = plain(StatusCode::OK, PAGE);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The page asks this server, under the name that it was opened by or the other one of this machine, and nobody else.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src http: 'self'"),
    );
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = Response::new(Answer::plain(text));
    *response.status_mut() = status;
    response
}

/// A page of any origin may ask: nothing here is worth protecting, and a browser client must be able to.
fn allow_pages(headers: &mut HeaderMap, asked: Option<HeaderValue>) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    // `*` does not cover Authorization, so what was asked for is allowed by name.
    if let Some(asked) = asked.filter(|asked| asked.len() <= ASKED_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
}
