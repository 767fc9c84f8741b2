//! HTTP as bytes: a client that sends what it is told and says exactly how far the answer came.

use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// No answer in a test takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a server.
pub(crate) struct Wire {
    io: BufReader<TcpStream>,
}

/// Status line and headers.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: u16,
    lines: Vec<String>,
}

impl Head {
    /// The value of a header; `name` in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.lines
            .iter()
            .find_map(|line| line.split_once(':').filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()))
    }
}

/// What frames the body that follows a head.
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Wire {
    pub(crate) fn open(at: SocketAddr) -> Result<Self> {
        let io = TcpStream::connect_timeout(&at, PATIENCE)?;
        io.set_read_timeout(Some(PATIENCE))?;
        io.set_write_timeout(Some(PATIENCE))?;
        io.set_nodelay(true)?;
        Ok(Self { io: BufReader::new(io) })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.io.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.io.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    pub(crate) fn head(&mut self) -> Result<Head> {
        let status = self.line()?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = code.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no status in {status:?}")))?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Head { status, lines });
            }
            lines.push(line);
        }
    }

    /// Hands the body over piece by piece; an error if it ends before its own end. `false` from `take` leaves the rest unread.
    pub(crate) fn body(&mut self, head: &Head, mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
        match framing(head) {
            Framing::Length(length) => {
                let mut body = vec![0; length];
                self.io.read_exact(&mut body)?;
                take(&body);
                Ok(())
            }
            Framing::UntilClose => {
                let mut body = Vec::new();
                self.io.read_to_end(&mut body)?;
                take(&body);
                Ok(())
            }
            Framing::Chunked => loop {
                let size = self.line()?;
                let size = usize::from_str_radix(&size, 16).map_err(|_| Error::new(ErrorKind::InvalidData, "no chunk size"))?;
                let mut chunk = vec![0; size + 2];
                self.io.read_exact(&mut chunk)?;
                if size == 0 || !take(&chunk[..size]) {
                    return Ok(());
                }
            },
        }
    }

    /// The next whole answer.
    pub(crate) fn answer(&mut self) -> Result<(Head, String)> {
        let head = self.head()?;
        let mut body = Vec::new();
        self.body(&head, |piece| {
            body.extend_from_slice(piece);
            true
        })?;
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Whether the server closed and had nothing more to say.
    pub(crate) fn is_over(&mut self) -> bool {
        matches!(self.io.read(&mut [0; 1]), Ok(0))
    }
}

fn framing(head: &Head) -> Framing {
    if head.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        return Framing::Chunked;
    }
    head.get("content-length").and_then(|length| length.parse().ok()).map_or(Framing::UntilClose, Framing::Length)
}

/// A whole request: `POST` with a JSON body.
pub(crate) fn post(path: &str, key: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /v1{path} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The address in a base URL such as `http://127.0.0.1:8787/v1`.
pub(crate) fn address(base_url: &str) -> SocketAddr {
    base_url.trim_start_matches("http://").trim_end_matches("/v1").parse().unwrap()
}
