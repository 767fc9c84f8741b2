//! Stage 0: a request becomes an [`Arrival`], then a body that was read within its bounds.

use std::{collections::BTreeMap, net::IpAddr};

use bytes::{Bytes, BytesMut};
use http::{Method, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};
use weir_core::{CallRecord, ChargeFacts, Dialect, RequestId, Route, Side, Timestamp, Timing, Verdict};
use weir_wire::{Peek, headers::client_facts, request};

use crate::{Gateway, attempt::limited, refusal::Refusal, screen::Screen, vigil::Limit};

/// Up to this length a body is copied out of the buffer it was read into; the buffer has 8 KiB or more.
const COPIED_BODY_BYTES: usize = 4096;

/// One HTTP request as it came in.
pub(crate) struct Arrival {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) began: Instant,
    pub(crate) route: Route,
    pub(crate) head: Parts,
    pub(crate) body: Incoming,
    pub(crate) peer: Option<IpAddr>,
}

/// A request that was read and understood as far as weir needs.
pub(crate) struct Asked {
    pub(crate) body: Bytes,
    pub(crate) peek: Peek,
}

impl Arrival {
    /// Whether its path names what it is made of.
    pub(crate) fn is_remix(&self) -> bool {
        self.route == Route::Videos && self.head.uri.path().ends_with("/remix")
    }

    /// The record of a call of which nothing is known yet but that it came.
    pub(crate) fn record(&self) -> CallRecord {
        CallRecord {
            id: self.id,
            at: self.at,
            route: self.route,
            verdict: Verdict::GatewayInternal,
            status: 500,
            ended_by: Side::Gateway,
            charge: ChargeFacts::default(),
            kid: None,
            account: None,
            group: None,
            model: String::new(),
            stream: false,
            client: client_facts(&self.head.headers),
            error_code: None,
            error_text: None,
            limit: None,
            scenario: weir_core::Scenario::default(),
            attempts: Vec::new(),
            timing: Timing::default(),
            observed: None,
            suspected_retry_of: None,
            told: None,
        }
    }

    /// Refuses what the path does not take.
    pub(crate) fn check_method(&self, screen: &Screen) -> Result<(), Refusal> {
        let wanted = if self.route == Route::Models { Method::GET } else { Method::POST };
        if self.route == Route::Unknown {
            let path = self.head.uri.path();
            let say = |path: &str| format!("{path} is not a path of this API");
            return Err(Refusal::of(Verdict::NotTheApi).saying_privately(say(&shown(&screen.text(path))), say(&known_path(path))));
        }
        if self.head.method == wanted {
            return Ok(());
        }
        let method = if METHODS.contains(&self.head.method) { self.head.method.as_str() } else { "another method" };
        let what = format!("{} takes {wanted}, not {method}", self.route.path());
        Err(Refusal::of(Verdict::RequestRejected).saying(what).status(405).code(Some("method_not_allowed"), None))
    }

    /// Reads a body that names no model, for this one.
    pub(crate) async fn read_for(&mut self, model: &str, gateway: &Gateway) -> Result<Asked, Refusal> {
        let (_, _, body) = self.whole(gateway).await?;
        let peek = Peek::of_form(Some(model), None, None, body.len() as u64);
        Ok(Asked { body, peek: peek.map_err(faulty)? })
    }

    /// Reads the body and finds the model, the stream flag and what bounds the cost.
    pub(crate) async fn read(&mut self, gateway: &Gateway) -> Result<Asked, Refusal> {
        let (form, kind, body) = self.whole(gateway).await?;
        let peek = match (form, kind) {
            (true, Some(kind)) => Box::pin(peek_form(&kind_with_case(&self.head, kind), &body)).await,
            (_, kind) => request::peek(self.route, kind.as_deref(), &body),
        };
        let mut peek = peek.map_err(faulty)?;
        // A family that never streams answers whole, whatever was asked: that is its right answer.
        peek.stream &= self.route.dialect() != Dialect::Plain;
        Ok(Asked { body, peek })
    }

    /// The whole body, whether it is a form, and its content type.
    async fn whole(&mut self, gateway: &Gateway) -> Result<(bool, Option<String>, Bytes), Refusal> {
        let kind = self.head.headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or("unreadable").to_ascii_lowercase());
        let form = kind.as_deref().is_some_and(|kind| kind.starts_with("multipart/form-data"));
        if form && !takes_form(self.route) || kind.as_deref().is_some_and(|kind| !form && !is_json(kind)) {
            let refusal = Refusal::of(Verdict::RequestRejected).status(415).code(Some("unsupported_content_type"), None);
            let takes = if takes_form(self.route) { "multipart/form-data or application/json" } else { "application/json" };
            let path = self.route.path();
            return Err(refusal.saying(format_args!("{path} takes {takes}: send the header Content-Type, curl -d alone sends a form's")));
        }
        let encoded = self.head.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        if encoded {
            let refusal = Refusal::of(Verdict::RequestRejected).status(415).code(Some("unsupported_content_encoding"), None);
            return Err(refusal.saying("compressed request bodies are not taken"));
        }
        let limits = &gateway.settings.limits;
        let body = tokio::select! {
            biased;
            body = timeout(limits.body_read, collect(&mut self.body, limits.body_bytes)) => body,
            // Whoever stops the gateway does not wait for half a request, and its client is told so.
            () = gateway.closer.cuts() => return Err(limited(Limit::Draining)),
        };
        let body = body.map_err(|_| Refusal::of(Verdict::RequestTooSlow).by(Side::Client))??;
        Ok((form, kind, body))
    }
}

fn faulty(fault: request::RequestFault) -> Refusal {
    Refusal::of(Verdict::RequestRejected).saying(fault.message).param(fault.param)
}

/// Whether a route takes files.
fn takes_form(route: Route) -> bool {
    matches!(route, Route::AudioTranscriptions | Route::AudioTranslations | Route::ImageEdits | Route::Videos)
}

/// Some short fields of a form; files and long fields are left out.
pub(crate) async fn fields(head: &Parts, body: &Bytes, names: &[&str]) -> BTreeMap<String, String> {
    const FIELD_BYTES: usize = 256;
    let mut found = BTreeMap::new();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Ok(boundary) = multer::parse_boundary(kind) else { return found };
    let mut form = multer::Multipart::new(Once(Some(Ok::<_, std::convert::Infallible>(body.clone()))), boundary);
    while let Ok(Some(field)) = form.next_field().await {
        let Some(name) = field.name().filter(|name| names.contains(name)).map(str::to_owned) else { continue };
        if let Ok(text) = field.text().await
            && text.len() <= FIELD_BYTES
        {
            found.insert(name, text);
        }
    }
    found
}

/// The content type with its boundary as it was written: boundaries are case-sensitive.
fn kind_with_case(head: &Parts, lowered: String) -> String {
    head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map_or(lowered, str::to_owned)
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || kind.ends_with("+json")
}

/// Methods that are words of HTTP; others are whatever somebody typed.
const METHODS: [Method; 7] = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS];

/// What may be quoted of a redacted path to the one who sent it: short, ASCII, no quotes.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_ascii_alphanumeric() || "/._-[]:".contains(c) { c } else { '?' }).collect()
}

/// Segments that paths to AI APIs are made of.
const SEGMENTS: [&str; 34] = [
    "admin",
    "anthropic",
    "api",
    "assistants",
    "audio",
    "balance",
    "beta",
    "billing",
    "chat",
    "complete",
    "completion",
    "completions",
    "edits",
    "embedding",
    "embeddings",
    "files",
    "generate",
    "generations",
    "images",
    "messages",
    "models",
    "moderations",
    "openai",
    "realtime",
    "rerank",
    "responses",
    "speech",
    "threads",
    "transcriptions",
    "translations",
    "v1",
    "v2",
    "videos",
    "v1beta",
];

/// What a record keeps of a path that weir does not serve: its usual words, so that a base URL written twice is seen; anything else
/// may be a key or a prompt.
fn known_path(path: &str) -> String {
    let segments = path.split('/').take(12).map(|segment| if segment.is_empty() || SEGMENTS.contains(&segment) { segment } else { "…" });
    segments.collect::<Vec<_>>().join("/")
}

async fn collect(body: &mut Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let too_long = || Refusal::of(Verdict::RequestTooLong).saying(format_args!("the body exceeds {limit} bytes"));
    let hint = body.size_hint().lower();
    if hint > limit as u64 {
        return Err(too_long());
    }
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Refusal::of(Verdict::RequestRejected).saying("the body broke off or was badly framed").by(Side::Client))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            return Err(too_long());
        }
        match first.take() {
            // Most bodies come in one piece: no copy.
            None if whole.is_empty() => first = Some(data),
            None => whole.extend_from_slice(&data),
            Some(before) => {
                whole.reserve(usize::try_from(hint).unwrap_or(0).max(before.len() + data.len()));
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(first.map_or_else(|| whole.freeze(), alone))
}

/// A body as long as a call may last: a small one is copied, since it would keep the whole buffer that it was read into.
fn alone(body: Bytes) -> Bytes {
    if body.len() <= COPIED_BODY_BYTES { Bytes::copy_from_slice(&body) } else { body }
}

/// Finds `model` and `stream` among the fields of a form; the file passes unread.
async fn peek_form(kind: &str, body: &Bytes) -> Result<Peek, request::RequestFault> {
    let fault = |message: &str, param| request::RequestFault { message: message.to_owned(), param };
    let boundary = multer::parse_boundary(kind).map_err(|_| fault("the multipart form has no boundary", None))?;
    let source = Some(Ok::<_, std::convert::Infallible>(body.clone()));
    let mut form = multer::Multipart::new(Once(source), boundary);
    let (mut model, mut stream, mut number) = (None, None, None);
    while let Some(field) = form.next_field().await.map_err(|_| fault("the multipart form is malformed", None))? {
        let slot = match field.name() {
            Some("model") => &mut model,
            Some("stream") => &mut stream,
            Some("n") => &mut number,
            _ => continue,
        };
        *slot = Some(field.text().await.map_err(|_| fault("a field of the form is not text", None))?);
    }
    Peek::of_form(model.as_deref(), stream.as_deref(), number.as_deref(), body.len() as u64)
}

/// A stream of one item, which is what a body already read is.
struct Once<T>(Option<T>);

impl<T: Unpin> futures_core::Stream for Once<T> {
    type Item = T;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<T>> {
        std::task::Poll::Ready(self.0.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_only_the_usual_words_of_a_path() {
        assert_eq!(known_path("/v1/v1/chat/completions"), "/v1/v1/chat/completions");
        assert_eq!(known_path("/v1/chat/my-secret/"), "/v1/chat/…/");
        assert_eq!(shown("/v1/x\"y/[REDACTED:key]"), "/v1/x?y/[REDACTED:key]");
    }
}
