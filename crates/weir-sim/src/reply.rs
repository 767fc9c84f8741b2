//! An answer as a script: a head, then waits and writes in order, then an end. Made purely, played by the connection.

use std::time::Duration;

/// One thing that happens on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Wait(Duration),
    /// Body bytes, one write and one chunk, with the number of events that end in them.
    Body {
        bytes: Vec<u8>,
        events: u64,
    },
    End(Ending),
}

/// How an answer ends. A script without an end is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Closes without what the framing still owes.
    Cut,
    /// Writes a chunk size that is no number, then closes.
    BadChunk,
    Reset,
}

pub(crate) type Steps = Box<dyn Iterator<Item = Step> + Send>;

/// How the end of the body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// By the end of the connection.
    Close,
}

/// Status line and headers, without those of the framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Head {
    pub(crate) fn new(status: u16, content_type: &str) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())] }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What one request gets.
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) framing: Framing,
    /// Before the status line.
    pub(crate) first_byte: Duration,
    /// Between the status line and the other headers.
    pub(crate) slow_headers: Duration,
    pub(crate) http10: bool,
    pub(crate) close: bool,
    pub(crate) steps: Steps,
}

impl Reply {
    /// A whole body, sent at once.
    pub(crate) fn whole(head: Head, body: impl Into<Vec<u8>>) -> Self {
        let bytes = body.into();
        Self::new(head, Framing::Length(bytes.len() as u64), Box::new(std::iter::once(Step::Body { bytes, events: 0 })))
    }

    pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::whole(Head::new(status, "application/json"), body)
    }

    pub(crate) fn new(head: Head, framing: Framing, steps: Steps) -> Self {
        Self { head, framing, first_byte: Duration::ZERO, slow_headers: Duration::ZERO, http10: false, close: false, steps }
    }

    /// Not a byte, only the reset.
    pub(crate) fn reset() -> Self {
        Self::new(Head { status: 0, headers: Vec::new() }, Framing::Close, Box::new(std::iter::once(Step::End(Ending::Reset))))
    }

    /// The status line, and everything up to the empty line.
    pub(crate) fn head_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let version = if self.http10 { "1.0" } else { "1.1" };
        let line = format!("HTTP/{version} {} {}\r\n", self.head.status, reason(self.head.status)).into_bytes();
        let mut rest = String::with_capacity(512);
        for (name, value) in &self.head.headers {
            rest.extend([name, ": ", value.as_str(), "\r\n"]);
        }
        match self.framing {
            Framing::Length(length) => rest.push_str(&format!("content-length: {length}\r\n")),
            Framing::Chunked => rest.push_str("transfer-encoding: chunked\r\n"),
            Framing::Close => {}
        }
        rest.push_str(if self.ends_connection() { "connection: close\r\n\r\n" } else { "connection: keep-alive\r\n\r\n" });
        (line, rest.into_bytes())
    }

    pub(crate) fn ends_connection(&self) -> bool {
        self.close || self.http10 || self.framing == Framing::Close
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        425 => "Too Early",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
