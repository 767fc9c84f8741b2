//! The clients: requests as an SDK writes them, answers read no further than needed.
#![expect(clippy::disallowed_methods, reason = "part of a load generator")]

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::upstream::{find, message, now};

/// An answer of the bench fits; anything longer is a mistake.
const ANSWER_BYTES: usize = 64 * 1024;

/// Where the load goes, and its requests.
#[derive(Clone)]
pub(super) struct Load {
    port: u16,
    plain: Arc<[u8]>,
    stream: Arc<[u8]>,
    quiet: Arc<[u8]>,
}

/// What a client saw of a stream, in nanoseconds: from its request to the first event, and each later event's way.
pub(super) struct Watched {
    pub(super) first: u64,
    pub(super) later: Vec<u64>,
}

/// A client that holds a stream open.
pub(super) struct Keep(Reader);

fn request(key: &str, model: &str, more: &str) -> Arc<[u8]> {
    let text = "Tell me something about the weather of the last days, and keep it short, please. ".repeat(4);
    let body = format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"system\",\"content\":\"You are brief.\"}},{{\"role\":\"user\",\"content\":\"{text}\"}}],\
         \"temperature\":0.7,\"max_tokens\":256{more}}}"
    );
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench.test\r\naccept: application/json\r\ncontent-type: application/json\r\n\
                user-agent: OpenAI/Python 1.109.1\r\nx-stainless-lang: python\r\nx-stainless-package-version: 1.109.1\r\n\
                x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600";
    format!("{head}\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes().into()
}

impl Load {
    pub(super) fn new(port: u16, key: &str) -> Self {
        Self {
            port,
            plain: request(key, "bench", ""),
            stream: request(key, "bench", ",\"stream\":true"),
            quiet: request(key, "bench-quiet", ",\"stream\":true"),
        }
    }

    async fn connect(&self) -> io::Result<Reader> {
        let io = TcpStream::connect(("127.0.0.1", self.port)).await?;
        io.set_nodelay(true)?;
        Ok(Reader { io, bytes: Vec::with_capacity(2048) })
    }

    /// Asks again and again until `end`; how often it was answered.
    pub(super) async fn ask_until(self, end: Instant) -> io::Result<u64> {
        let mut reader = self.connect().await?;
        let mut asked = 0;
        while Instant::now() < end {
            reader.io.write_all(&self.plain).await?;
            while message(&reader.bytes).is_none_or(|(_, whole)| reader.bytes.len() < whole) {
                reader.more().await?;
            }
            reader.check()?;
            reader.bytes.clear();
            asked += 1;
        }
        Ok(asked)
    }

    /// Watches one stream to its end.
    pub(super) async fn watch(self, after: Duration) -> io::Result<Watched> {
        tokio::time::sleep(after).await;
        let mut reader = self.connect().await?;
        let began = now();
        reader.io.write_all(&self.stream).await?;
        let mut watched = Watched { first: 0, later: Vec::new() };
        loop {
            reader.more().await?;
            let at = now();
            let mut rest = 0;
            while let Some((sent, next)) = sent_time(&reader.bytes[rest..]) {
                rest += next;
                if watched.first == 0 {
                    reader.check()?;
                    watched.first = at - began;
                } else {
                    watched.later.push(at.saturating_sub(sent));
                }
            }
            if reader.ended() {
                return if watched.first > 0 { Ok(watched) } else { Err(io::ErrorKind::InvalidData.into()) };
            }
            reader.bytes.drain(..rest);
        }
    }

    /// Opens a stream and waits for its first event.
    pub(super) async fn open(self) -> io::Result<Keep> {
        let mut reader = self.connect().await?;
        reader.io.write_all(&self.quiet).await?;
        while sent_time(&reader.bytes).is_none() {
            reader.more().await?;
        }
        reader.check()?;
        Ok(Keep(reader))
    }
}

impl Keep {
    /// Waits for the end of the stream.
    pub(super) async fn end(mut self) -> io::Result<()> {
        while !self.0.ended() {
            self.0.more().await?;
        }
        Ok(())
    }
}

/// A connection and what was read of the answer.
struct Reader {
    io: TcpStream,
    bytes: Vec<u8>,
}

impl Reader {
    async fn more(&mut self) -> io::Result<()> {
        if self.bytes.len() > ANSWER_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.io.read_buf(&mut self.bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        if self.bytes.starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(400)]).into_owned()))
    }

    fn ended(&self) -> bool {
        self.bytes.ends_with(b"0\r\n\r\n") && find(&self.bytes, b"data: [DONE]").is_some()
    }
}

/// The time an event was sent at, and where the next one may begin.
fn sent_time(bytes: &[u8]) -> Option<(u64, usize)> {
    let begin = find(bytes, b"\"content\":\"t")? + 12;
    let length = bytes[begin..].iter().position(|byte| *byte == b't')?;
    let sent = std::str::from_utf8(&bytes[begin..begin + length]).ok()?.parse().ok()?;
    Some((sent, begin + length))
}
