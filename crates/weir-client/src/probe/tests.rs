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
    let proxy = proxy.map(|url| Proxy::http(Target::parse(url).unwrap()));
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

/// A way through a SOCKS proxy to `url`.
fn socks_way(url: &str, names: Names, login: Option<SocksLogin>) -> Way {
    let target = Target::parse("http://proxy.test:1080").unwrap();
    let spoken = ProxySpeech::Socks5(Socks { names, login });
    Way { target: Target::parse(url).unwrap(), proxy: Some(Proxy { target, spoken }), speak: Speak::Http1 }
}

/// What such a proxy is told, answer by answer, and what comes of it.
async fn through(way: Way, answers: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Fault>) {
    let (near, mut far) = duplex(4096);
    let pipe = Pipe(Mutex::new(Some(near)));
    let far = async {
        let mut told = Vec::new();
        for answer in answers {
            let mut asked = vec![0; 512];
            let n = far.read(&mut asked).await.unwrap();
            asked.truncate(n);
            told.push(asked);
            far.write_all(answer).await.unwrap();
        }
        told
    };
    let (opened, told) = tokio::join!(way.open(&pipe, &LIMITS), far);
    (told, opened.link.err())
}

const GRANTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

#[tokio::test(start_paused = true)]
async fn a_socks_proxy_is_told_the_name_or_the_address_as_its_scheme_says() {
    let (told, fault) = through(socks_way("http://api.test/v1", Names::There, None), &[&[5, 0], GRANTED]).await;
    assert_eq!((told, fault), (vec![vec![5, 1, 0], b"\x05\x01\x00\x03\x08api.test\x00\x50".to_vec()], None));
    let (told, fault) = through(socks_way("https://api.test/v1", Names::Here, None), &[&[5, 0], GRANTED]).await;
    assert_eq!((told[1].as_slice(), fault), (&[5, 1, 0, 1, 127, 0, 0, 1, 1, 187][..], None));
    let (told, fault) = through(socks_way("http://[::1]:8080/v1", Names::There, None), &[&[5, 0], &[5, 0, 0, 3, 1, b'x', 0, 0]]).await;
    assert_eq!((told[1][3], told[1].len(), fault), (4, 22, None));
    let (_, fault) = through(socks_way("http://nowhere.test/v1", Names::Here, None), &[]).await;
    assert_eq!(fault, Some(Fault::NoAddress), "a name that this machine must look up and cannot");
}

#[tokio::test(start_paused = true)]
async fn a_socks_proxy_gets_a_login_only_when_it_asks_for_one() {
    let login = || SocksLogin::new("user", "pass12345678");
    let way = |login| socks_way("http://api.test/v1", Names::There, login);
    let (told, fault) = through(way(login()), &[&[5, 2], &[1, 0], GRANTED]).await;
    assert_eq!((&told[0][..], &told[1][..], fault), (&[5, 2, 0, 2][..], &b"\x01\x04user\x0cpass12345678"[..], None));
    let (told, fault) = through(way(login()), &[&[5, 0], GRANTED]).await;
    assert_eq!((told.len(), fault), (2, None), "not sent to one that wants none");
    assert_eq!(through(way(login()), &[&[5, 2], &[1, 1]]).await.1, Some(Fault::ProxyLogin), "a wrong password");
    assert_eq!(through(way(None), &[&[5, 0xFF]]).await.1, Some(Fault::ProxyLogin), "it wants one");
    assert!(!format!("{:?}", way(login())).contains("pass12345678"));
    assert!(SocksLogin::new("", "x").is_none() && SocksLogin::new(&"x".repeat(256), "x").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_refused_and_a_proxy_that_speaks_otherwise_are_told_apart() {
    let way = || socks_way("http://api.test/v1", Names::There, None);
    for reply in 1..=8 {
        assert_eq!(through(way(), &[&[5, 0], &[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]]).await.1, Some(Fault::SocksRefused(reply)));
    }
    for answers in [&[&b"HTTP/1.1 400 Bad Request"[..]][..], &[&[4, 0]], &[&[5, 0], &[5, 0, 0, 9]], &[&[5, 0], &[5]]] {
        assert_eq!(through(way(), answers).await.1, Some(Fault::ProxyBroken), "{answers:?}");
    }
}
