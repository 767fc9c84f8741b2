//! A fake upstream that costs as little as possible: it looks for the end of a request and writes an answer made beforehand.
#![expect(clippy::disallowed_methods, reason = "part of a load generator")]

use std::{
    io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// The pause between two events of a speaking stream.
pub(super) const BETWEEN: Duration = Duration::from_millis(20);
/// A request of the bench fits; anything longer is a mistake.
const REQUEST_BYTES: usize = 16 * 1024;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds on the process's clock.
pub(super) fn now() -> u64 {
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The upstream and what it was told.
#[derive(Clone, Default)]
pub(super) struct Upstream(Arc<Told>);

#[derive(Default)]
struct Told {
    speak_ms: AtomicU64,
    end_quiet: Notify,
}

const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n";

/// An answer of about 700 bytes, as a model gives it.
static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let body = format!(
        "{{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{{\"index\":0,\
         \"message\":{{\"role\":\"assistant\",\"content\":\"{}\"}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\
         \"usage\":{{\"prompt_tokens\":98,\"completion_tokens\":87,\"total_tokens\":185}},\"system_fingerprint\":\"fp_bench\"}}",
        "An answer of some length. ".repeat(16)
    );
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length";
    format!("{head}: {}\r\n\r\n{body}", body.len()).into_bytes()
});

/// One event as one HTTP chunk.
fn event(content: &str, finish: &str) -> Vec<u8> {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}},\"finish_reason\":{finish}}}]}}\n\n"
    );
    chunk(&event)
}

fn chunk(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

fn timed_event() -> Vec<u8> {
    event(&format!("t{}t", now()), "null")
}

impl Upstream {
    /// How long streams that begin from now on speak.
    pub(super) fn speak_for(&self, span: Duration) {
        self.0.speak_ms.store(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Ends the streams that were silent since their first event.
    pub(super) fn end_quiet(&self) {
        self.0.end_quiet.notify_waiters();
    }

    pub(super) async fn serve(self, listener: TcpListener) {
        while let Ok((io, _)) = listener.accept().await {
            let upstream = self.clone();
            // A gateway that closes a connection is no fault here.
            tokio::spawn(async move { upstream.connection(io).await });
        }
    }

    async fn connection(self, mut io: TcpStream) -> io::Result<()> {
        io.set_nodelay(true)?;
        let mut bytes = Vec::with_capacity(REQUEST_BYTES);
        loop {
            let Some(body) = request(&mut io, &mut bytes).await? else { return Ok(()) };
            let asked = |words: &[u8]| find(&bytes[body..], words).is_some();
            let (stream, quiet) = (asked(b"\"stream\":true"), asked(b"bench-quiet"));
            bytes.clear();
            match (stream, quiet) {
                (false, _) => io.write_all(&ANSWER).await?,
                (true, true) => self.quiet(&mut io).await?,
                (true, false) => self.speak(&mut io).await?,
            }
        }
    }

    async fn speak(&self, io: &mut TcpStream) -> io::Result<()> {
        let began = Instant::now();
        let span = Duration::from_millis(self.0.speak_ms.load(Ordering::Relaxed));
        let mut first = STREAM_HEAD.to_vec();
        first.extend(timed_event());
        io.write_all(&first).await?;
        while began.elapsed() < span {
            tokio::time::sleep(BETWEEN).await;
            io.write_all(&timed_event()).await?;
        }
        last(io).await
    }

    async fn quiet(&self, io: &mut TcpStream) -> io::Result<()> {
        let ended = self.0.end_quiet.notified();
        let mut first = STREAM_HEAD.to_vec();
        first.extend(timed_event());
        io.write_all(&first).await?;
        ended.await;
        last(io).await
    }
}

async fn last(io: &mut TcpStream) -> io::Result<()> {
    let mut bytes = event("", "\"stop\"");
    bytes.extend(chunk("data: [DONE]\n\n"));
    bytes.extend_from_slice(b"0\r\n\r\n");
    io.write_all(&bytes).await
}

/// Reads one request; where its body begins, or nothing if the gateway closed.
async fn request(io: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        if let Some((body, whole)) = message(bytes)
            && bytes.len() >= whole
        {
            return Ok(Some(body));
        }
        if bytes.len() >= REQUEST_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if io.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// Where the body of a message begins and where it ends, once its head is there.
pub(super) fn message(bytes: &[u8]) -> Option<(usize, usize)> {
    let body = find(bytes, b"\r\n\r\n")? + 4;
    let mut length = 0;
    for line in bytes[..body].split(|byte| *byte == b'\n') {
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            length = std::str::from_utf8(&line[15..]).ok().and_then(|text| text.trim().parse().ok())?;
        }
    }
    Some((body, body + length))
}

pub(super) fn find(bytes: &[u8], words: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, words)
}
