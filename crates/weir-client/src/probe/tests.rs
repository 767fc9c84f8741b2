//! Every way an answer or its body can end is told by its own name.

use std::{io, net::SocketAddr, sync::Mutex, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::{Io, Target};

const LIMIT: Duration = Duration::from_secs(5);
const LIMITS: OpenLimits = OpenLimits { dns: LIMIT, connect: LIMIT, proxy: LIMIT, tls: LIMIT };

/// One connection in memory whose far end the test holds.
struct Pipe(Mutex<Option<DuplexStream>>);

impl Reach for Pipe {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Reaching<'a, io::Result<Vec<SocketAddr>>> {
        let found =
            if host == "nowhere.test" { Err(io::Error::other("no such name")) } else { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) };
        Box::pin(async { found })
    }

    fn connect(&self, _: SocketAddr) -> Reaching<'_, io::Result<Box<dyn Io>>> {
        let near = self.0.lock().unwrap().take().ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused));
        Box::pin(async { near.map(|near| Box::new(near) as Box<dyn Io>) })
    }

    fn secure<'a>(&'a self, io: Box<dyn Io>, _: &'a str, _: Speak) -> Reaching<'a, Secured> {
        Box::pin(async { Secured { seen: None, io: Ok(io) } })
    }
}

fn way(url: &str, proxy: Option<&str>) -> Way {
    let proxy = proxy.map(|url| Proxy { target: Target::parse(url).unwrap(), login: None });
    Way { target: Target::parse(url).unwrap(), proxy, speak: Speak::Http1 }
}

/// What one request meets when the far end answers with `text` and closes, or stays silent where `text` is empty.
async fn met(text: &'static [u8]) -> Result<(Vec<u8>, BodyEnd), Fault> {
    let (near, mut far) = duplex(65_536);
    let pipe = Pipe(Mutex::new(Some(near)));
    let far = async move {
        let mut asked = Vec::new();
        while !asked.ends_with(b"{}") {
            far.read_buf(&mut asked).await.unwrap();
        }
        far.write_all(text).await.unwrap();
        if text.is_empty() {
            std::future::pending::<()>().await;
        }
    };
    let near = async {
        let link = way("http://api.test/v1", None).open(&pipe, &LIMITS).await.link?;
        let mut answer = link.ask(Request::post("/").body(Full::new(Bytes::from_static(b"{}"))).unwrap(), LIMIT).await?;
        let mut whole = Vec::new();
        loop {
            match answer.piece().await {
                Piece::Bytes(bytes) => whole.extend_from_slice(&bytes),
                Piece::End(end) => return Ok((whole, end)),
            }
        }
    };
    tokio::select! {
        biased;
        told = near => told,
        () = async { far.await; std::future::pending().await } => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_body_has_its_name() {
    type Met = Result<(&'static [u8], BodyEnd), Fault>;
    let table: [(&'static [u8], Met); 10] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok((b"ok", BodyEnd::Clean))),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", Ok((b"ok", BodyEnd::Short))),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Ok((b"ok", BodyEnd::Clean))),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Ok((b"ok", BodyEnd::ChunkUnfinished))),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", Ok((b"ok", BodyEnd::ChunkUnfinished))),
        (b"HTTP/1.0 200 OK\r\n\r\nok", Ok((b"ok", BodyEnd::Closed))),
        (b"hello there, this is no HTTP\r\n\r\n", Err(Fault::NotHttp)),
        (b"HTTP/1.1 200", Err(Fault::SentThenClosed)),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", Ok((b"", BodyEnd::Clean))),
        (b"", Err(Fault::Silent)),
    ];
    for (text, expected) in table {
        let expected = expected.map(|(body, end)| (body.to_vec(), end));
        assert_eq!(met(text).await, expected, "{:?}", String::from_utf8_lossy(text));
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_without_address_and_a_closed_port_are_told_apart() {
    let pipe = Pipe(Mutex::new(None));
    assert_eq!(way("http://nowhere.test/v1", None).open(&pipe, &LIMITS).await.link.unwrap_err(), Fault::NoAddress);
    let opened = way("http://api.test/v1", None).open(&pipe, &LIMITS).await;
    assert_eq!((opened.link.unwrap_err(), opened.phases.dns.is_some(), opened.phases.connect), (Fault::Refused, true, None));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_wants_a_login_is_told_with_its_status() {
    for (answer, expected) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", Some(Fault::ProxyRefused(407))),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", Some(Fault::ProxyRefused(403))),
        ("what\r\n\r\n", Some(Fault::ProxyBroken)),
        ("HTTP/1.1 200 Connection established\r\n\r\n", None),
    ] {
        let (near, mut far) = duplex(4096);
        let pipe = Pipe(Mutex::new(Some(near)));
        let way = way("https://api.test/v1", Some("http://proxy.test:3128"));
        let far = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                far.read_buf(&mut asked).await.unwrap();
            }
            far.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        let (opened, asked) = tokio::join!(way.open(&pipe, &LIMITS), far);
        assert_eq!(asked, "CONNECT api.test:443 HTTP/1.1\r\nhost: api.test:443\r\n\r\n");
        assert_eq!(opened.link.err(), expected, "{answer}");
    }
}
