//! HTTP/1.1 requests from raw bytes. Of the headers only what the simulator needs is kept; credentials never are.

use std::time::Duration;

use crate::{connection::Connection, wire::Wire};

/// Request line and headers together.
const HEAD_MAX_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;
/// From a request's first byte to its last.
const REQUEST_MAX: Duration = Duration::from_secs(300);
/// A chunk-size line with extensions, and one trailer line.
const LINE_MAX_BYTES: usize = 4 * 1024;

/// One request, whole.
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) http10: bool,
    pub(crate) keep_alive: bool,
    pub(crate) content_type: String,
    pub(crate) accepts_gzip: bool,
    pub(crate) idempotency_key: bool,
    pub(crate) retry_count: Option<u32>,
    pub(crate) body: Vec<u8>,
    pub(crate) length: Option<usize>,
    pub(crate) chunked: bool,
    pub(crate) expects_continue: bool,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The client is done or away, or kept silent for too long: close without a word.
    Closed,
    /// To be answered with this status, then closed.
    Refuse(u16),
}

/// Reads the next request. `idle` bounds the wait for its first byte.
pub(crate) async fn read<C: Connection>(wire: &mut Wire<C>, idle: Duration, body_max: usize) -> Result<Request, Unread> {
    if wire.inbox.is_empty() {
        match tokio::time::timeout(idle, wire.read()).await {
            Ok(Ok(1..)) => {}
            _ => return Err(Unread::Closed),
        }
    }
    tokio::time::timeout(REQUEST_MAX, read_whole(wire, body_max)).await.unwrap_or(Err(Unread::Refuse(408)))
}

async fn read_whole<C: Connection>(wire: &mut Wire<C>, body_max: usize) -> Result<Request, Unread> {
    let mut request = loop {
        if let Some((request, used)) = parse_head(&wire.inbox)? {
            wire.inbox.drain(..used);
            break request;
        }
        if wire.inbox.len() > HEAD_MAX_BYTES {
            return Err(Unread::Refuse(431));
        }
        more(wire).await?;
    };
    if request.length.is_some_and(|length| length > body_max) {
        return Err(Unread::Refuse(413));
    }
    if request.expects_continue {
        wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| Unread::Closed)?;
    }
    if request.chunked {
        request.body = read_chunks(wire, body_max).await?;
    } else if let Some(length) = request.length {
        while wire.inbox.len() < length {
            more(wire).await?;
        }
        let rest = wire.inbox.split_off(length);
        request.body = std::mem::replace(&mut wire.inbox, rest);
    }
    Ok(request)
}

async fn more<C: Connection>(wire: &mut Wire<C>) -> Result<(), Unread> {
    if matches!(wire.read().await, Ok(1..)) { Ok(()) } else { Err(Unread::Closed) }
}

async fn read_chunks<C: Connection>(wire: &mut Wire<C>, body_max: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    loop {
        let line = read_line(wire).await?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| Unread::Refuse(400))?;
        if size == 0 {
            // Trailers are read and dropped: nobody who sends them expects more.
            while !read_line(wire).await?.is_empty() {}
            return Ok(body);
        }
        if size > body_max.saturating_sub(body.len()) {
            return Err(Unread::Refuse(413));
        }
        while wire.inbox.len() < size + 2 {
            more(wire).await?;
        }
        if &wire.inbox[size..size + 2] != b"\r\n" {
            return Err(Unread::Refuse(400));
        }
        body.extend_from_slice(&wire.inbox[..size]);
        wire.inbox.drain(..size + 2);
    }
}

async fn read_line<C: Connection>(wire: &mut Wire<C>) -> Result<String, Unread> {
    loop {
        if let Some(at) = wire.inbox.windows(2).take(LINE_MAX_BYTES).position(|pair| pair == b"\r\n") {
            let line = String::from_utf8_lossy(&wire.inbox[..at]).into_owned();
            wire.inbox.drain(..at + 2);
            return Ok(line);
        }
        if wire.inbox.len() > LINE_MAX_BYTES {
            return Err(Unread::Refuse(400));
        }
        more(wire).await?;
    }
}

/// The request's head and its length in bytes, once it is there.
fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, Unread> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let used = match head.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Unread::Refuse(431)),
        Err(_) => return Err(Unread::Refuse(400)),
    };
    let http10 = head.version == Some(0);
    let path = head.path.unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let mut request =
        Request { method: head.method.unwrap_or_default().to_owned(), path, http10, keep_alive: !http10, ..Request::default() };
    for header in head.headers.iter() {
        keep(&mut request, header.name, &String::from_utf8_lossy(header.value))?;
    }
    // Both together are how requests are smuggled (RFC 9112 §6.1).
    if request.chunked && request.length.is_some() { Err(Unread::Refuse(400)) } else { Ok(Some((request, used))) }
}

fn keep(request: &mut Request, name: &str, value: &str) -> Result<(), Unread> {
    let holds = |token: &str| value.to_ascii_lowercase().split(',').any(|part| part.trim().split(';').next() == Some(token));
    if name.eq_ignore_ascii_case("content-length") {
        let length = value.trim().parse().map_err(|_| Unread::Refuse(400))?;
        if request.length.replace(length).is_some_and(|other| other != length) {
            return Err(Unread::Refuse(400));
        }
    } else if name.eq_ignore_ascii_case("transfer-encoding") {
        request.chunked = holds("chunked");
    } else if name.eq_ignore_ascii_case("connection") {
        request.keep_alive = if request.http10 { holds("keep-alive") } else { !holds("close") };
    } else if name.eq_ignore_ascii_case("expect") {
        request.expects_continue = holds("100-continue");
    } else if name.eq_ignore_ascii_case("content-type") {
        value.clone_into(&mut request.content_type);
    } else if name.eq_ignore_ascii_case("accept-encoding") {
        request.accepts_gzip = holds("gzip");
    } else if name.eq_ignore_ascii_case("idempotency-key") {
        request.idempotency_key = true;
    } else if name.eq_ignore_ascii_case("x-stainless-retry-count") {
        request.retry_count = value.trim().parse().ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    async fn read_bytes(bytes: &[u8]) -> Result<Request, Unread> {
        let (mut client, server) = duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        drop(client);
        read(&mut Wire::new(server), Duration::from_secs(1), 1000).await
    }

    #[tokio::test]
    async fn bodies_come_by_length_or_in_chunks() {
        let by_length =
            read_bytes(b"POST /v1/x?q=1 HTTP/1.1\r\nContent-Length: 3\r\nX-Stainless-Retry-Count: 2\r\n\r\nabc").await.ok().unwrap();
        assert_eq!((by_length.path.as_str(), by_length.body.as_slice(), by_length.retry_count), ("/v1/x", &b"abc"[..], Some(2)));
        let chunked = read_bytes(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: v\r\n\r\n")
            .await
            .ok()
            .unwrap();
        assert_eq!(chunked.body, b"abc");
        assert!(chunked.keep_alive && !by_length.http10);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_refused_by_status() {
        for (bytes, why) in [
            (&b"nonsense\r\n\r\n"[..], Unread::Refuse(400)),
            (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", Unread::Refuse(413)),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n", Unread::Refuse(413)),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Unread::Refuse(400)),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", Unread::Refuse(400)),
            (b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", Unread::Closed),
            (b"", Unread::Closed),
        ] {
            assert_eq!(read_bytes(bytes).await.err(), Some(why), "{:?}", String::from_utf8_lossy(bytes));
        }
        let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 70_000]].concat();
        assert_eq!(read_bytes(&long).await.err(), Some(Unread::Refuse(431)));
    }
}
