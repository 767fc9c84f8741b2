//! Results on their way to their owners: in pieces, in parts, at the reader's pace, and never half a body that looks whole.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::sleep,
};
use weir_client::{Dial, Dialing, Io, Target};

use super::{priced, secs};
use crate::promises::Bench;

/// An upstream that has made every video, and answers a request for one with these bytes and then so many more.
#[derive(Clone)]
struct Films {
    said: &'static str,
    then: usize,
    /// Bytes of results that its connections took, and the heads of requests for results.
    taken: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Connections that were given up in the middle of a result.
    left: Arc<AtomicUsize>,
}

const PIECE: usize = 16 << 10;

impl Films {
    fn new(said: &'static str, then: usize) -> Self {
        Self { said, then, taken: Arc::default(), asked: Arc::default(), left: Arc::default() }
    }

    async fn serve(self, mut io: DuplexStream) {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = io.read_u8().await else { return };
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
            io.read_exact(&mut vec![0; length]).await.unwrap();
            if !head.contains("/content") {
                let state = if head.starts_with("post") { "queued" } else { "completed" };
                let job = format!(r#"{{"id":"video_12345678","object":"video","status":"{state}","seconds":"8"}}"#);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{job}", job.len());
                io.write_all(answer.as_bytes()).await.unwrap();
                continue;
            }
            self.asked.lock().unwrap().push(head);
            io.write_all(self.said.as_bytes()).await.unwrap();
            for _ in 0..self.then / PIECE {
                if io.write_all(&[b'v'; PIECE]).await.is_err() {
                    self.left.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                self.taken.fetch_add(PIECE, Ordering::Relaxed);
            }
            if self.said.contains("cut") {
                // What was said before is on its way.
                sleep(secs(1)).await;
                return;
            }
        }
    }
}

impl Dial for Films {
    #[expect(clippy::disallowed_methods, reason = "the far end of a pipe is a task of its own")]
    fn dial<'a>(&'a self, _: &'a Target) -> Dialing<'a> {
        let (near, far) = duplex(PIECE);
        drop(tokio::spawn(self.clone().serve(far)));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }
}

/// A gateway in front of such an upstream, and the path of a result.
async fn made(films: &Films) -> (Bench, String) {
    let bench = Bench::new(priced).before(Arc::new(films.clone()));
    let read = bench.submit("any").await;
    bench.follow(secs(10)).await;
    let path = format!("/v1/videos/{}/content", read.header("x-weir-task-id").unwrap());
    (bench, path)
}

#[tokio::test(start_paused = true)]
async fn r14_a_part_of_a_result_passes_as_it_was_asked_for_and_told() {
    let films = Films::new(
        "HTTP/1.1 206 Partial Content\r\ncontent-type: video/mp4\r\ncontent-length: 4\r\ncontent-range: bytes 2-5/9\r\naccept-ranges: bytes\r\netag: \"v1\"\r\nset-cookie: a=b\r\n\r\nabcd",
        0,
    );
    let (bench, path) = made(&films).await;
    let read = bench.send("GET", &path, "range: bytes=2-5\r\nif-range: \"v1\"\r\n", "").await;
    assert_eq!((read.status(), read.body.as_str()), (206, "abcd"), "{}", read.head);
    for (name, value) in [
        ("content-type", "video/mp4"),
        ("content-length", "4"),
        ("content-range", "bytes 2-5/9"),
        ("accept-ranges", "bytes"),
        ("etag", "\"v1\""),
    ] {
        assert_eq!(read.header(name), Some(value), "{name}");
    }
    assert_eq!(read.header("set-cookie"), None);
    assert!(read.header("x-request-id").is_some() && read.header("cache-control") == Some("private, no-store"));
    let asked = films.asked.lock().unwrap().remove(0);
    assert!(asked.contains("range: bytes=2-5\r\n") && asked.contains("if-range: \"v1\"\r\n"), "{asked}");
    bench.send("GET", &format!("{path}?variant=thumbnail"), "", "").await;
    let asked = films.asked.lock().unwrap().remove(0);
    assert!(asked.starts_with("get /v1/videos/video_12345678/content?variant=thumbnail") && !asked.contains("range:"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn the_head_alone_says_how_long_a_result_is() {
    let films = Films::new("HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\ncontent-length: 1048576\r\n\r\n", 1 << 20);
    let (bench, path) = made(&films).await;
    let read = bench.send("HEAD", &path, "", "").await;
    assert_eq!((read.status(), read.header("content-length"), read.body.as_str()), (200, Some("1048576"), ""), "{}", read.head);
    sleep(secs(1)).await;
    assert!(films.taken.load(Ordering::Relaxed) < 1 << 20, "the rest is not fetched");
    assert_eq!(bench.send("HEAD", "/v1/videos/video_0/content", "", "").await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_upstream_and_gets_every_byte() {
    const LENGTH: usize = 64 << 20;
    let films = Films::new("HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\ncontent-length: 67108864\r\n\r\n", LENGTH);
    let (bench, path) = made(&films).await;
    let (mut near, connection) = bench.open("GET", &path, "", "application/json", "");
    let reads = async {
        let mut got = near.read(&mut [0; 100]).await.unwrap();
        sleep(secs(30)).await;
        // What lies in pipes and buffers; the client's own pipe here holds a mebibyte.
        let ahead = films.taken.load(Ordering::Relaxed);
        assert!(ahead < 4 << 20, "{ahead} bytes are on their way to a reader that took {got}");
        let mut buffer = vec![0; 1 << 20];
        loop {
            match near.read(&mut buffer).await.unwrap() {
                0 => break got,
                more => got += more,
            }
        }
    };
    let (got, ()) = tokio::join!(reads, connection);
    assert!(got > LENGTH && got < LENGTH + 1_000, "{got} bytes, the head among them");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_breaks_off_never_looks_whole() {
    for said in [
        "HTTP/1.1 200 OK\r\nx: cut\r\ncontent-length: 1000000\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nx: cut\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n",
    ] {
        let (bench, path) = made(&Films::new(said, 0)).await;
        let (mut near, connection) = bench.open("GET", &path, "", "application/json", "");
        let read = async {
            let mut bytes = Vec::new();
            near.read_to_end(&mut bytes).await.unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let (read, ()) = tokio::join!(read, connection);
        assert!(read.contains("abcd"), "{read}");
        // Fewer bytes than were announced, or no last chunk: every client knows that it has not got all.
        let announced = read.contains("content-length: 1000000") && read.len() < 2_000;
        assert!(announced || read.contains("transfer-encoding: chunked") && !read.contains("\r\n0\r\n"), "{read}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_there_no_more_says_so_with_a_code_and_a_range_that_is_not_there_too() {
    for (said, status, code) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 410, "result_expired"),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", 410, "result_expired"),
        ("HTTP/1.1 416 Range\r\ncontent-range: bytes */9\r\ncontent-length: 0\r\n\r\n", 416, "range_not_satisfiable"),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 502, "upstream_error"),
    ] {
        let (bench, path) = made(&Films::new(said, 0)).await;
        let read = bench.send("GET", &path, "", "").await;
        assert_eq!((read.status(), read.error()["code"].as_str()), (status, Some(code)), "{}", read.body);
        assert_eq!(read.header("x-should-retry"), (status < 500).then_some("false"), "{said}");
        assert_eq!(read.header("content-range"), (status == 416).then_some("bytes */9"));
        assert_eq!(read.error()["charged"], false, "asking costs nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_the_upstreams_connection_and_a_stop_does_not_wait_for_ever() {
    let films = Films::new("HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n", 64 << 20);
    let (bench, path) = made(&films).await;
    let (mut near, connection) = bench.open("GET", &path, "", "application/json", "");
    let leave = async {
        near.read_exact(&mut [0; 2_000]).await.unwrap();
        drop(near);
    };
    tokio::join!(leave, connection);
    bench.gateway.closer.idle().await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(films.left.load(Ordering::Relaxed), 1);
    // One that reads slowly is cut when the time of a stop is over.
    let (mut near, connection) = bench.open("GET", &path, "", "application/json", "");
    let reads = async {
        let mut got = 0;
        while let Ok(more @ 1..) = near.read(&mut [0; 1_000]).await {
            got += more;
            sleep(Duration::from_millis(10)).await;
        }
        got
    };
    let stop = async {
        sleep(secs(1)).await;
        bench.gateway.drain(secs(2)).await;
    };
    let (got, (), ()) = tokio::join!(reads, connection, stop);
    assert!((100_000..16 << 20).contains(&got), "{got} bytes");
}
