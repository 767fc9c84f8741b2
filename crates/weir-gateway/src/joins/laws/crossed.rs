//! Clients that give up at the moment at which their answer comes, and come back without a mark: what a kernel took they have not read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::TcpStream,
    task::yield_now,
    time,
};
use weir_core::How;

use super::{
    CHAT, body,
    lost::{Served, dial, sealed, until, write},
};
use crate::{
    line::Line,
    promises::{Bench, secs},
};

/// Until so much of the answer lies unread where the client's kernel keeps it.
async fn lies_there(client: &TcpStream, end: &str) {
    let mut bytes = vec![0; 1 << 16];
    loop {
        client.readable().await.unwrap();
        let count = client.peek(&mut bytes).await.unwrap();
        if bytes[..count].ends_with(end.as_bytes()) {
            return;
        }
        yield_now().await;
    }
}

/// A call whose whole stream was acknowledged, and of which its client has read nothing.
async fn unread(bench: &Bench, text: &str) -> (TcpStream, Served) {
    let (mut client, mut served) = dial(bench, None).await;
    write(&mut client, bench, text).await;
    until(&mut served, async { tokio::join!(sealed(bench, 1), lies_there(&client, "\r\n0\r\n\r\n")) }).await;
    (client, served)
}

#[tokio::test]
async fn d3_a_stream_that_its_client_closed_unread_is_given_to_whoever_asks_for_it_again() {
    for noticed in [true, false] {
        let bench = Bench::new(|_| {});
        let text = body("sim:tokens=8", true);
        let (client, served) = unread(&bench, &text).await;
        drop(client);
        // Or the first connection's end is not polled: it cannot know.
        let waits = if noticed {
            served.await;
            None
        } else {
            Some(served)
        };
        let again = bench.post("", &text).await;
        assert_eq!((again.status(), again.header("idempotent-replayed"), bench.upstream_calls()), (200, Some("true"), 1), "{noticed}");
        assert!(again.body.ends_with("data: [DONE]\n\n"), "{}", again.body);
        assert_eq!((bench.call(again.id()).requests[0].how, bench.charges()), (How::Returned, 1));
        drop(waits);
        // It arrived this time.
        let anew = bench.post("", &text).await;
        assert_eq!((anew.header("x-weir-call"), bench.upstream_calls()), (None, 2), "{noticed}");
        bench.audited();
    }
}

#[tokio::test]
async fn d3_a_cut_answer_that_its_client_closed_unread_is_not_paid_for_twice() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=20,cut_after_once=5", true);
    let (client, served) = unread(&bench, &text).await;
    drop(client);
    served.await;
    let again = bench.post("", &text).await;
    assert_eq!((again.header("idempotent-replayed"), again.error()["code"].as_str()), (Some("true"), Some("upstream_stream_interrupted")));
    assert_eq!((bench.upstream_calls(), bench.charges(), bench.call(again.id()).requests[0].how), (1, 1, How::Returned));
    // Who has read that it was cut may ask for another.
    let anew = bench.post("", &text).await;
    assert_eq!((anew.header("x-weir-call"), bench.upstream_calls(), bench.charges()), (None, 2, 2));
    bench.audited();
}

#[tokio::test]
async fn d3_a_stream_that_was_read_before_its_connection_was_closed_is_not_lost() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=8", true);
    let (mut client, mut served) = unread(&bench, &text).await;
    let mut bytes = vec![0; 1 << 16];
    assert!(until(&mut served, client.read(&mut bytes)).await.unwrap() > 0);
    drop(client);
    let before_it_is_noticed = bench.post("", &text).await;
    served.await;
    let anew = bench.post("", &text).await;
    assert_eq!((before_it_is_noticed.header("x-weir-call"), anew.header("x-weir-call"), bench.upstream_calls()), (None, None, 3));
}

/// A proxy that drops its idle connections resets them; its client had read the answer long before.
#[tokio::test]
async fn d3_a_reset_long_after_a_stream_takes_nothing_back() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=8", true);
    let (client, served) = unread(&bench, &text).await;
    time::pause();
    time::advance(secs(6)).await;
    drop(client);
    served.await;
    let anew = bench.post("", &text).await;
    time::resume();
    assert_eq!((anew.header("x-weir-call"), bench.upstream_calls()), (None, 2));
}

/// The second client's connection is asked like the first one's: neither is known to have ended.
#[tokio::test]
async fn d3_a_third_request_joins_a_call_whose_first_two_clients_left_though_nobody_has_noticed_yet() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=8,first_byte=3s", true);
    let (mut first, mut first_served) = dial(&bench, None).await;
    // The clock stands from here on, so that the answer comes when it is told to.
    time::pause();
    write(&mut first, &bench, &text).await;
    until(&mut first_served, async {
        while bench.upstream_calls() < 1 {
            yield_now().await;
        }
    })
    .await;
    time::advance(Duration::from_millis(500)).await;
    drop(first);
    let (mut second, mut second_served) = dial(&bench, None).await;
    write(&mut second, &bench, &text).await;
    until(&mut second_served, async {
        while bench.gateway.closer.running() < 2 {
            yield_now().await;
        }
    })
    .await;
    drop(second);
    let third = bench.post("", &text).await;
    time::resume();
    assert_eq!((third.status(), third.header("x-weir-call").is_some(), bench.upstream_calls()), (200, true, 1));
    assert!(third.body.ends_with("data: [DONE]\n\n"), "{}", third.body);
    tokio::join!(first_served, second_served);
    assert_eq!((bench.call(third.id()).requests.len(), bench.charges()), (2, 1));
    bench.audited();
}

/// A client's end that breaks with the write that has the end marker, and says nothing before.
struct Breaks(DuplexStream);

impl AsyncRead for Breaks {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Breaks {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.windows(6).any(|bytes| bytes == b"[DONE]") {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn d3_what_could_not_be_written_did_not_arrive() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=8,first_byte=1s", true);
    let (mut near, far) = duplex(1 << 16);
    near.write_all(bench.request("POST", CHAT, "", "application/json", &text).as_bytes()).await.unwrap();
    Arc::clone(&bench.gateway).serve_line(Breaks(far), Line::default(), None).await;
    let again = bench.post("", &text).await;
    assert_eq!((again.status(), again.header("x-weir-call").is_some(), bench.upstream_calls()), (200, true, 1));
    bench.gateway.closer.idle().await;
    assert_eq!(bench.charges(), 1);
    bench.audited();
}

#[tokio::test(start_paused = true)]
async fn d3_who_leaves_anywhere_in_a_joined_answer_gets_it_when_it_comes_back() {
    let whole = {
        let bench = Bench::new(|_| {});
        let read = bench.post("", &body("sim:tokens=4,first_byte=3s", true)).await;
        read.head.len() + read.body.len()
    };
    // Heads differ in a few bytes, and chunks have borders: no reader of so much has read all.
    for bytes in (0..whole).step_by(31) {
        let bench = Bench::new(|_| {});
        let text = body("sim:tokens=4,first_byte=3s", true);
        bench.give_up("", &text, secs(1)).await;
        // Little fits in between, so that what is read is what was sent.
        let (mut near, far) = duplex(16);
        let request = bench.request("POST", CHAT, "", "application/json", &text);
        let reads = async {
            near.write_all(request.as_bytes()).await.unwrap();
            near.read_exact(&mut vec![0; bytes]).await.unwrap();
            drop(near);
        };
        tokio::join!(reads, Arc::clone(&bench.gateway).serve_connection(far, None));
        let third = bench.post("", &text).await;
        assert_eq!((third.status(), third.header("x-weir-call").is_some(), bench.upstream_calls()), (200, true, 1), "{bytes} of {whole}");
        bench.gateway.closer.idle().await;
        assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1), "{bytes} of {whole}");
    }
}
