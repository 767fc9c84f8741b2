//! The client's end: HTTP/1.1 by hand over a pipe, so that what arrived is known byte for byte and a client may leave at any of them.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{sleep, timeout},
};
use weir_core::Route;

use super::plan::{Asking, Behaviour, Defect, KeyKind, Mark};

/// What one request got.
#[derive(Debug, Clone, Default)]
pub(super) struct Got {
    /// Zero if there was no head.
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// The framing came to its end.
    pub(super) whole: bool,
    /// The client left, or stopped reading, before that.
    pub(super) left: bool,
    /// The request was sent as far as it goes; false if its connection was closed before.
    pub(super) asked: bool,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// It was told to ask again, because its call runs on.
    pub(super) fn was_put_off(&self) -> bool {
        self.status == 504 && !self.is_stream() && self.header("x-weir-call").is_some()
    }

    pub(super) fn is_stream(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
    }
}

/// How the end of a body is told.
#[derive(Debug, Default, Clone, Copy)]
enum Framing {
    #[default]
    Head,
    Length(usize),
    /// In the chunk, with so many bytes left of it.
    Chunk(usize),
    /// At a chunk's size.
    Size,
    /// After a chunk's bytes.
    ChunkEnd,
    Trailer,
    Close,
    Done,
    Broken,
}

/// One answer as it comes in.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    raw: Vec<u8>,
    got: Got,
    framing: Framing,
}

impl Exchange {
    fn feed(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        while self.step() {}
    }

    /// Takes what it can of the raw bytes; false when it needs more.
    fn step(&mut self) -> bool {
        match self.framing {
            Framing::Head => self.head(),
            Framing::Length(0) => self.now(Framing::Done),
            Framing::Length(left) => self.body(left, Framing::Length),
            Framing::Chunk(0) => self.now(Framing::ChunkEnd),
            Framing::Chunk(left) => self.body(left, Framing::Chunk),
            Framing::Close => self.body(usize::MAX, |_| Framing::Close),
            Framing::Size => {
                let Some(line) = self.line() else { return false };
                let size = usize::from_str_radix(line.trim(), 16);
                self.now(size.map_or(Framing::Broken, |size| if size == 0 { Framing::Trailer } else { Framing::Chunk(size) }))
            }
            Framing::ChunkEnd => self.line().is_some() && self.now(Framing::Size),
            Framing::Trailer => self.line().is_some_and(|line| line.is_empty()) && self.now(Framing::Done),
            Framing::Done | Framing::Broken => false,
        }
    }

    fn now(&mut self, framing: Framing) -> bool {
        self.framing = framing;
        self.got.whole = matches!(framing, Framing::Done);
        true
    }

    fn head(&mut self) -> bool {
        let Some(end) = self.raw.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        self.got.head = String::from_utf8_lossy(&self.raw[..end]).into_owned();
        self.raw.drain(..end + 4);
        self.got.status = self.got.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let framing = if let Some(length) = self.got.header("content-length") {
            length.parse().map_or(Framing::Broken, Framing::Length)
        } else if self.got.header("transfer-encoding").is_some() {
            Framing::Size
        } else {
            Framing::Close
        };
        self.now(framing)
    }

    fn body(&mut self, most: usize, then: impl Fn(usize) -> Framing) -> bool {
        let taken = most.min(self.raw.len());
        self.got.body.extend(self.raw.drain(..taken));
        self.framing = then(most - taken);
        taken > 0
    }

    fn line(&mut self) -> Option<String> {
        let end = self.raw.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8_lossy(&self.raw[..end]).into_owned();
        self.raw.drain(..end + 2);
        Some(line)
    }

    pub(super) async fn read_all(&mut self, io: &mut DuplexStream) {
        while !self.got.whole && self.read(io, 64 << 10).await {}
    }

    /// Reads once; false at the end of input.
    async fn read(&mut self, io: &mut DuplexStream, most: usize) -> bool {
        let mut bytes = vec![0; most];
        match io.read(&mut bytes).await {
            Ok(count @ 1..) => {
                self.feed(&bytes[..count]);
                true
            }
            _ => {
                self.got.whole |= matches!(self.framing, Framing::Close);
                false
            }
        }
    }

    pub(super) fn got(self) -> Got {
        self.got
    }

    /// Reads as the client does; true if the connection may carry another request.
    async fn read_as(&mut self, client: Behaviour, io: &mut DuplexStream) -> bool {
        match client {
            Behaviour::ReadsAll => self.read_all(io).await,
            Behaviour::LeavesUnanswered(patience) => {
                let _ = timeout(patience, self.until(io, |got| got.status != 0)).await;
                if self.got.status != 0 {
                    self.read_all(io).await;
                }
            }
            Behaviour::LeavesAtHead => self.until(io, |got| got.status != 0).await,
            Behaviour::LeavesAfterEvents(events) => self.until(io, |got| seen(&got.body, b"data:") >= events).await,
            Behaviour::LeavesAfterBytes(bytes) => self.until(io, |got| got.body.len() >= bytes).await,
            Behaviour::Slow(bytes, pause) => {
                while !self.got.whole && self.read(io, bytes).await {
                    sleep(pause).await;
                }
            }
            Behaviour::Freezes(bytes) => {
                self.until(io, |got| got.body.len() >= bytes).await;
                if !self.got.whole {
                    sleep(FROZEN).await;
                }
            }
        }
        self.got.left = !self.got.whole && !matches!(client, Behaviour::ReadsAll | Behaviour::Slow(..));
        self.got.whole && self.got.header("connection") != Some("close")
    }

    async fn until(&mut self, io: &mut DuplexStream, enough: impl Fn(&Got) -> bool) {
        while !self.got.whole && !enough(&self.got) && self.read(io, 256).await {}
    }
}

/// Longer than any limit: a call must not wait for such a client to come back.
pub(super) const FROZEN: Duration = Duration::from_secs(3 * 3600);

fn seen(body: &[u8], word: &[u8]) -> usize {
    memchr::memmem::find_iter(body, word).count()
}

/// Asks on `io` and reads the answer; the second is whether the connection may carry another request.
pub(super) async fn ask(asking: &Asking, marks: &str, keys: &Keys, io: &mut DuplexStream) -> (Got, bool) {
    let request = asking.request(marks, keys);
    let half = matches!(asking.defect, Some(Defect::HalfBody | Defect::HalfBodyLeaves)) && asking.route != Route::Models;
    let sent = if half { &request[..request.len() - 20] } else { &request[..] };
    let mut exchange = Exchange::default();
    // An answer may come before a long body is out, and the pipe is short.
    let (mut from, mut to) = tokio::io::split(&mut *io);
    let write = async { to.write_all(sent).await.is_ok() };
    let early = async {
        let mut bytes = vec![0; 1024];
        match from.read(&mut bytes).await {
            Ok(count) => bytes.truncate(count),
            Err(_) => bytes.clear(),
        }
        bytes
    };
    let mut first = Vec::new();
    tokio::select! {
        biased;
        sent = write => exchange.got.asked = sent,
        bytes = early => (exchange.got.asked, first) = (!bytes.is_empty(), bytes),
    }
    if !exchange.got.asked {
        return (exchange.got(), false);
    }
    exchange.feed(&first);
    if asking.defect == Some(Defect::HalfBodyLeaves) && half {
        exchange.got.left = true;
        return (exchange.got(), false);
    }
    let keep = exchange.read_as(asking.client, io).await;
    (exchange.got(), keep && !half && asking.defect != Some(Defect::TooLong))
}

/// The keys of one world, by what they are good for.
pub(super) struct Keys {
    pub(super) good: String,
    pub(super) grouped: String,
    pub(super) unknown: String,
    pub(super) disabled: String,
    pub(super) expired: String,
}

impl Asking {
    /// What the first request says of being asked again, and what the second does.
    pub(super) fn marks(&self) -> [String; 2] {
        match self.comeback.map(|comeback| comeback.mark) {
            Some(Mark::Key) => [(); 2].map(|()| format!("idempotency-key: \"again-12345678-{}\"\r\n", self.n)),
            Some(Mark::Retry) => [String::new(), "x-stainless-retry-count: 1\r\n".to_owned()],
            Some(Mark::None) | None => Default::default(),
        }
    }

    fn request(&self, marks: &str, keys: &Keys) -> Vec<u8> {
        let key = match self.key {
            KeyKind::Good => keys.good.clone(),
            KeyKind::Grouped => keys.grouped.clone(),
            KeyKind::Unknown => keys.unknown.clone(),
            KeyKind::Disabled => keys.disabled.clone(),
            KeyKind::Expired => keys.expired.clone(),
            KeyKind::Missing => String::new(),
            KeyKind::Mangled => keys.good[..keys.good.len() - 3].to_owned(),
        };
        let key = match self.n % 3 {
            _ if key.is_empty() => String::new(),
            0 => format!("authorization: Bearer {key}\r\n"),
            1 => format!("x-api-key: {key}\r\n"),
            _ => format!("api-key: {key}\r\n"),
        };
        let path = if self.defect == Some(Defect::Path) { "/v1/chat/completion" } else { self.route.path() };
        let body = match self.defect {
            Some(Defect::NotJson) => "{\"model\":".to_owned(),
            Some(Defect::NoModel) => "{}".to_owned(),
            Some(Defect::TooLong) => format!("{{\"x\":\"{}\"}}", "y".repeat(BODY_BYTES)),
            _ if self.route == Route::Models => String::new(),
            _ => self.body(),
        };
        let method = match (self.defect, self.route) {
            (Some(Defect::Method), _) => "PUT",
            (Some(Defect::Head), _) => "PO ST",
            (_, Route::Models) => "GET",
            _ => "POST",
        };
        let kind = if self.defect == Some(Defect::ContentType) { "text/plain" } else { "application/json" };
        let n = self.n;
        let announced = self.announces.map_or_else(String::new, |seconds| format!("x-stainless-read-timeout: {seconds}\r\n"));
        format!("{method} {path} HTTP/1.1\r\nhost: weir\r\nx-weir-caller: c{n}\r\n{announced}{marks}{key}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    }
}

/// The gateway's limit of a body in these worlds.
pub(super) const BODY_BYTES: usize = 32 << 10;
