//! Recorded traces: the same bytes at the same times give the same verdict, whether they are read here, over HTTP/1.1 or over HTTP/2,
//! and a little jitter changes nothing.

use std::{convert::Infallible, fmt::Write, fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::duplex;
use weir_client::{
    Io,
    probe::{BodyEnd, HttpVersion, Issuer, Network, Phases, Reach, Reaching, Secured, Speak, TlsSeen},
};
use weir_core::{Dialect, Lang, Verdict};
use weir_wire::{Audience, headers};

use super::{EPOCH, order, report};
use crate::{
    judge::{Seen, judge},
    probe::{Examined, Order, Tools},
    report::Layout,
    trace::{End, Reading, Trace},
};

/// One file of `fixtures/`.
#[derive(Debug, Clone)]
struct Recorded {
    name: String,
    expect: Verdict,
    status: u16,
    headers: Vec<(String, String)>,
    control: Duration,
    end: RecordedEnd,
    reads: Vec<(Duration, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordedEnd {
    Clean,
    Cut,
    Hang,
}

fn all() -> Vec<Recorded> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "trace"));
    paths.sort();
    paths.iter().map(|path| parse(path.file_stem().unwrap().to_str().unwrap(), &fs::read_to_string(path).unwrap())).collect()
}

fn parse(name: &str, text: &str) -> Recorded {
    let (head, body) = text.split_once("\n\n").unwrap_or_else(|| panic!("{name} has no body"));
    let fields: Vec<(&str, &str)> = head.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(": ").unwrap()).collect();
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).unwrap_or_else(|| panic!("{name}: {wanted}")).1;
    let headers = fields.iter().filter(|(name, _)| *name == "header").map(|(_, value)| value.split_once(": ").unwrap());
    let ms = |text: &str| Duration::from_millis(text.parse().unwrap());
    Recorded {
        name: name.to_owned(),
        expect: Verdict::from_code(field("expect")).unwrap(),
        status: field("status").parse().unwrap(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        control: ms(field("control_ms")),
        end: match field("end") {
            "clean" => RecordedEnd::Clean,
            "cut" => RecordedEnd::Cut,
            "hang" => RecordedEnd::Hang,
            other => panic!("{name}: {other}"),
        },
        reads: body.lines().map(|line| line.split_once(' ').unwrap()).map(|(at, bytes)| (ms(at), unescaped(bytes))).collect(),
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&kind, after) = rest.split_first().unwrap();
        rest = after;
        match kind {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b'x' => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
                rest = &rest[2..];
            }
            other => bytes.push(other),
        }
    }
    bytes
}

impl Recorded {
    /// The same reads a few milliseconds later, each by its own roll, still in order.
    fn jittered(&self, seed: u64) -> Self {
        let mut roll = seed;
        let mut before = Duration::ZERO;
        let late = |(at, bytes): &(Duration, Vec<u8>)| {
            roll = roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            before = (*at + Duration::from_micros((roll >> 33) % 6_000)).max(before);
            (before, bytes.clone())
        };
        Self { reads: self.reads.iter().map(late).collect(), ..self.clone() }
    }

    fn header_map(&self) -> http::HeaderMap {
        let pair = |(name, value): &(String, String)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self.headers.iter().map(pair).collect()
    }

    /// As the doctor would have read it, without a connection.
    fn seen(&self) -> Seen {
        let mut reading = Reading::of_stream(Dialect::Chat);
        for (at, bytes) in &self.reads {
            reading.piece(*at, bytes.len(), bytes);
        }
        let last = self.reads.last().map_or(Duration::ZERO, |(at, _)| *at);
        let silence = if reading.bytes() == 0 { 30 } else { 15 };
        let (end, total) = match self.end {
            RecordedEnd::Clean => (BodyEnd::Clean, last),
            RecordedEnd::Cut => (BodyEnd::ChunkUnfinished, last),
            RecordedEnd::Hang => (BodyEnd::Limit(weir_client::probe::Limit::Gap), last + Duration::from_secs(silence)),
        };
        let map = self.header_map();
        let (arrivals, body) = reading.finish(self.status, &map, EPOCH, end == BodyEnd::Clean);
        let kept = headers::kept(&map, Audience::Support).into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
        let phases = Phases { first_byte: Some(Duration::ZERO), ..Phases::default() };
        let base = Trace {
            phases,
            tls: None,
            version: Some(HttpVersion::Http11),
            status: Some(self.status),
            headers: kept,
            arrivals,
            body,
            end: End::Body(end),
            skew_s: None,
            total,
        };
        let mut whole = Reading::of_whole();
        whole.piece(self.control, CONTROL.len(), CONTROL.as_bytes());
        let (arrivals, body) = whole.finish(200, &http::HeaderMap::new(), EPOCH, true);
        let control = Trace {
            status: Some(200),
            headers: Vec::new(),
            arrivals,
            body,
            end: End::Body(BodyEnd::Clean),
            total: self.control,
            ..base.clone()
        };
        Seen { control: Some(control), stream: Some(base), ..Seen::default() }
    }
}

const CONTROL: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"1 2 3"},"finish_reason":"stop"}]}"#;

#[test]
fn thirty_recorded_traces_and_their_jitter_give_the_expected_verdict() {
    let traces = all();
    assert!(traces.len() >= 30);
    for trace in &traces {
        for variant in [trace.clone(), trace.jittered(1), trace.jittered(2)] {
            let judgement = judge(&variant.seen());
            assert_eq!(judgement.primary.finding.verdict, trace.expect, "{}: {:?}", trace.name, judgement.all);
        }
    }
}

/// Plays one recorded trace for every streamed call.
#[derive(Debug, Clone)]
struct Player {
    trace: Arc<Recorded>,
    version: HttpVersion,
}

type Answer = Response<BoxBody<Bytes, io::Error>>;

impl Player {
    async fn answer(self, request: http::Request<Incoming>) -> Result<Answer, Infallible> {
        let is_models = request.uri().path().ends_with("/models");
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_stream = body.windows(13).any(|bytes| bytes == b"\"stream\":true");
        let whole =
            |text: &'static str| http_body_util::Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed();
        if is_models {
            return Ok(Response::new(whole(r#"{"data":[{"id":"recorded"}]}"#)));
        }
        if !is_stream {
            tokio::time::sleep(self.trace.control).await;
            return Ok(Response::new(whole(CONTROL)));
        }
        let mut answer = Response::new(played(Arc::clone(&self.trace)));
        *answer.status_mut() = self.trace.status.try_into().unwrap();
        *answer.headers_mut() = self.trace.header_map();
        Ok(answer)
    }
}

/// The reads at their times, then the end.
fn played(trace: Arc<Recorded>) -> BoxBody<Bytes, io::Error> {
    let (frames, queue) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let began = tokio::time::Instant::now();
        for (at, bytes) in &trace.reads {
            tokio::time::sleep_until(began + *at).await;
            if frames.send(Ok(Frame::data(Bytes::copy_from_slice(bytes)))).await.is_err() {
                return;
            }
            // Let the piece leave before the next: a server flushes each.
            tokio::task::yield_now().await;
        }
        match trace.end {
            RecordedEnd::Clean => {}
            RecordedEnd::Cut => {
                let _ = frames.send(Err(io::ErrorKind::ConnectionReset.into())).await;
            }
            RecordedEnd::Hang => frames.closed().await,
        }
    });
    BodyExt::boxed(StreamBody::new(Frames(queue)))
}

struct Frames(tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, io::Error>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

async fn serve(player: Player, io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn({
        let player = player.clone();
        move |request| player.clone().answer(request)
    });
    let io = TokioIo::new(io);
    // A `Date` would be the real clock's. A trace that breaks off ends the connection with an error, as it should.
    let _ = if player.version == HttpVersion::Http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .serve_connection(io, service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).auto_date_header(false).serve_connection(io, service).await
    };
}

impl Reach for Player {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> Reaching<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))]) })
    }

    fn connect(&self, _: SocketAddr) -> Reaching<'_, io::Result<Box<dyn Io>>> {
        let (near, far) = duplex(1 << 20);
        tokio::spawn(serve(self.clone(), far));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }

    fn secure<'a>(&'a self, io: Box<dyn Io>, _: &'a str, _: Speak) -> Reaching<'a, Secured> {
        let seen = TlsSeen { issuer: Issuer::Public, not_after: None, alpn: Some(self.version) };
        Box::pin(async move { Secured { seen: Some(seen), io: Ok(io) } })
    }
}

/// What a whole run says of one trace.
async fn examined(reach: &dyn Reach, base_url: &str, order: Order) -> Examined {
    // Some were recorded for minutes.
    let budget = std::time::Duration::from_secs(300);
    let order = Order { base_url: base_url.to_owned(), is_cheap: true, budget, ..order };
    let mut run = Examined::new(order, EPOCH, 1);
    let clock = super::Wall(tokio::time::Instant::now());
    run.run(&Tools { reach, clock: &clock, watch: &|_| () }).await;
    run
}

#[tokio::test(start_paused = true)]
async fn the_same_traces_over_http1_and_http2_give_the_same_verdict() {
    let mut wrong = String::new();
    for trace in all() {
        for (version, seed) in [(HttpVersion::Http11, 1), (HttpVersion::Http2, 1), (HttpVersion::Http11, 2), (HttpVersion::Http2, 2)] {
            let player = Player { trace: Arc::new(trace.jittered(seed)), version };
            let run = examined(&player, "https://api.example.com/v1", order("recorded")).await;
            assert_eq!(run.seen.stream.as_ref().and_then(|trace| trace.version), Some(version), "{}", trace.name);
            if judge(&run.seen).primary.finding.verdict != trace.expect {
                let text = report(&run).text(Lang::En, Layout { is_verbose: true, ..Layout::default() });
                let _ = writeln!(wrong, "{} over {version:?}: want {}, got\n{text}", trace.name, trace.expect);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn quick_traces_over_real_sockets_give_the_same_verdict() {
    let quick = |trace: &Recorded| ["json_for_stream", "html_for_stream", "upstream_429", "silent_clean"].contains(&trace.name.as_str());
    for trace in all().into_iter().filter(quick) {
        for (version, speak) in [(HttpVersion::Http11, Speak::Http1), (HttpVersion::Http2, Speak::Http2)] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let at_once = Recorded {
                control: Duration::ZERO,
                reads: trace.reads.iter().map(|(_, bytes)| (Duration::ZERO, bytes.clone())).collect(),
                ..trace.clone()
            };
            let player = Player { trace: Arc::new(at_once), version };
            let server = tokio::spawn(async move {
                while let Ok((io, _)) = listener.accept().await {
                    tokio::spawn(serve(player.clone(), io));
                }
            });
            let order = Order { speak, ..order("recorded") };
            let run = examined(&Network, &format!("http://127.0.0.1:{port}/v1"), order).await;
            server.abort();
            let spoken = run.seen.stream.as_ref().and_then(|trace| trace.version);
            assert_eq!((report(&run).primary, spoken), (trace.expect, Some(version)), "{}", trace.name);
        }
    }
}

#[test]
fn every_trace_is_a_recording_of_a_time() {
    for trace in all() {
        assert!(trace.reads.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{}", trace.name);
    }
}
