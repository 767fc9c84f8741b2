//! Answers that left whole and did not arrive, and clients that left before anybody knew: on real sockets, as only those tell.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time,
};
use weir_core::How;

use super::{CHAT, body};
use crate::{
    line::Line,
    promises::{Bench, secs},
};

pub(super) type Served = Pin<Box<dyn Future<Output = ()>>>;

/// A client's socket and the gateway's end of it, which runs only while it is polled. `room`: what the client's kernel takes unread, about.
pub(super) async fn dial(bench: &Bench, room: Option<u32>) -> (TcpStream, Served) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(room) = room {
        socket.set_recv_buffer_size(room).unwrap();
    }
    let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    let (io, _) = listener.accept().await.unwrap();
    let line = Line::of(&io);
    (client, Box::pin(Arc::clone(&bench.gateway).serve_line(io, line, None)))
}

pub(super) async fn write(client: &mut TcpStream, bench: &Bench, body: &str) {
    let request = bench.request("POST", CHAT, "", "application/json", body);
    client.write_all(request.as_bytes()).await.unwrap();
}

/// Runs the gateway's end until `done`.
pub(super) async fn until<T>(served: &mut Served, done: impl Future<Output = T>) -> T {
    tokio::select! {
        done = done => done,
        () = served => panic!("the connection ended"),
    }
}

/// Reads a whole answer that is no stream.
async fn answer(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        assert!(client.read_buf(&mut bytes).await.unwrap() > 0, "it ended");
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && head.lines().any(|line| line == format!("content-length: {}", body.len()))
        {
            return body.to_owned();
        }
    }
}

/// Until the gateway's last call is sealed.
pub(super) async fn sealed(bench: &Bench, calls: usize) {
    while bench.calls().len() < calls || bench.gateway.closer.running() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn d3_an_answer_whose_connection_was_reset_is_given_to_whoever_asks_for_it_again() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=8", false);
    let (mut client, mut served) = dial(&bench, None).await;
    write(&mut client, &bench, &text).await;
    let first = until(&mut served, answer(&mut client)).await;
    sealed(&bench, 1).await;
    client.set_zero_linger().unwrap();
    drop(client);
    served.await;
    let again = bench.post("", &text).await;
    assert_eq!((again.status(), again.header("idempotent-replayed"), &again.body), (200, Some("true"), &first));
    assert_eq!((bench.upstream_calls(), bench.charges(), bench.calls().len()), (1, 1, 1));
    assert_eq!(bench.call(again.id()).requests[0].how, How::Returned);
    // It arrived this time.
    let anew = bench.post("", &text).await;
    assert_eq!((anew.header("x-weir-call"), bench.upstream_calls()), (None, 2));
    bench.audited();
}

#[tokio::test]
async fn d3_an_answer_that_did_not_arrive_is_given_again_after_kill_9_too_where_answers_are_on_the_disk() {
    let on_disk = |settings: &mut crate::Settings| settings.replay.disk_bytes = Some(1 << 20);
    for reset in [true, false] {
        let bench = Bench::new(on_disk);
        let text = body("sim:tokens=8", false);
        let (mut client, mut served) = dial(&bench, None).await;
        write(&mut client, &bench, &text).await;
        let first = until(&mut served, answer(&mut client)).await;
        sealed(&bench, 1).await;
        if reset {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        served.await;
        let written = || bench.files().iter().any(|(name, bytes)| name.len() == 32 && bytes[12] == u8::from(reset));
        while !written() {
            tokio::task::yield_now().await;
        }
        let bench = bench.killed(on_disk);
        let again = bench.post("", &text).await;
        let replayed = reset.then_some("true");
        assert_eq!((again.status(), again.header("idempotent-replayed")), (200, replayed), "reset: {reset}");
        assert_eq!((again.body == first || !reset, bench.charges()), (true, if reset { 1 } else { 2 }));
        bench.audited();
    }
}

#[tokio::test]
async fn d3_a_repeated_answer_that_is_lost_again_is_given_again() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=8", false);
    for _ in 0..3 {
        let (mut client, mut served) = dial(&bench, None).await;
        write(&mut client, &bench, &text).await;
        until(&mut served, answer(&mut client)).await;
        sealed(&bench, 1).await;
        client.set_zero_linger().unwrap();
        drop(client);
        served.await;
    }
    assert_eq!((bench.upstream_calls(), bench.charges(), bench.calls()[0].requests.len()), (1, 1, 2));
}

#[tokio::test]
async fn d3_an_answer_that_arrived_is_not_lost() {
    let close: fn(TcpStream) -> Option<TcpStream> = |_| None;
    for after in [close, Some] {
        let bench = Bench::new(|_| {});
        let text = body("sim:tokens=8", false);
        let (mut client, mut served) = dial(&bench, None).await;
        write(&mut client, &bench, &text).await;
        until(&mut served, answer(&mut client)).await;
        sealed(&bench, 1).await;
        // Closed as clients close, or kept for a next request.
        let stays = after(client);
        if stays.is_none() {
            (&mut served).await;
        }
        time::pause();
        time::advance(secs(5)).await;
        let anew = bench.post("", &text).await;
        time::resume();
        assert_eq!((anew.header("x-weir-call"), bench.upstream_calls(), bench.charges()), (None, 2, 2));
    }
}

#[tokio::test]
async fn d3_who_asks_for_something_else_on_the_same_connection_has_got_the_answer() {
    let bench = Bench::new(|_| {});
    let (mut client, mut served) = dial(&bench, None).await;
    for model in ["sim:tokens=8", "sim:tokens=9"] {
        write(&mut client, &bench, &body(model, false)).await;
        until(&mut served, answer(&mut client)).await;
    }
    sealed(&bench, 2).await;
    client.set_zero_linger().unwrap();
    drop(client);
    served.await;
    let first = bench.post("", &body("sim:tokens=8", false)).await;
    let second = bench.post("", &body("sim:tokens=9", false)).await;
    assert_eq!((first.header("x-weir-call").is_none(), second.header("x-weir-call").is_some()), (true, true));
    assert_eq!((bench.upstream_calls(), bench.charges()), (3, 3));
}

/// A machine that vanished says nothing; that its kernel acknowledges nothing is all there is to see.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn d3_an_answer_that_nobody_acknowledges_is_given_to_whoever_asks_for_it_again() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=20000", false);
    let (mut client, mut served) = dial(&bench, Some(4_096)).await;
    // The clock stands from here on, for what waits below never sleeps: how long the answer takes to leave is no part of the 900 ms.
    time::pause();
    write(&mut client, &bench, &text).await;
    until(&mut served, sealed(&bench, 1)).await;
    time::advance(Duration::from_millis(900)).await;
    let doubted = bench.gateway.joins.find(&bench.calls()[0].record.kid.clone().unwrap(), bench.calls()[0].record.id).unwrap();
    doubted.outlet.look();
    assert!(!doubted.outlet.standing().left, "an acknowledgement may be under way");
    time::advance(Duration::from_millis(200)).await;
    let again = bench.post("", &text).await;
    time::resume();
    assert_eq!((again.status(), again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
    drop(client);
}

#[tokio::test]
async fn d3_an_equal_request_joins_a_call_whose_client_left_though_nobody_has_noticed_yet() {
    for reset in [true, false] {
        let bench = Bench::new(|_| {});
        let text = body("sim:tokens=8,first_byte=3s", false);
        let (mut client, mut served) = dial(&bench, None).await;
        // The clock stands from here on, so that the answer comes when it is told to.
        time::pause();
        write(&mut client, &bench, &text).await;
        until(&mut served, async {
            while bench.upstream_calls() < 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        time::advance(Duration::from_millis(500)).await;
        // While the client is there an equal request is a call of its own.
        let other = bench.post("", &text).await;
        assert_eq!((other.header("x-weir-call"), bench.upstream_calls()), (None, 2));
        if reset {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        // The first connection's end is not polled: it cannot know.
        let read = bench.post("", &text).await;
        time::resume();
        assert_eq!((read.status(), read.header("x-weir-call").is_some(), bench.upstream_calls()), (200, true, 2), "reset={reset}");
        assert_eq!(bench.call(read.id()).requests[0].how, How::Returned);
        served.await;
        assert_eq!(bench.charges(), 2);
        bench.audited();
    }
}
