//! Readers that take their time: they lose nothing by it, and nobody else waits for them.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep, timeout},
};
use weir_core::{StreamEnd, Timeouts, Verdict};

use crate::{
    promises::{Bench, secs, unchunked},
    reply::LAST_WORDS,
};

/// No kernel gives a socket less.
const SOCKET_BYTES: usize = 2_304;
const CHAT: &str = "/v1/chat/completions";

/// A request on a short pipe, and what serves it.
async fn asked(bench: &Bench, lines: &str, body: &str) -> (DuplexStream, impl Future<Output = ()> + use<>) {
    let (mut near, far) = duplex(SOCKET_BYTES);
    near.write_all(bench.request("POST", CHAT, lines, "application/json", body).as_bytes()).await.unwrap();
    (near, Arc::clone(&bench.gateway).serve_connection(far, None))
}

/// Takes so many bytes every three seconds until there are `most` or no more.
async fn slowly(near: &mut DuplexStream, bytes: usize, most: usize) -> String {
    let mut all = Vec::new();
    let mut some = vec![0; bytes];
    while all.len() < most {
        sleep(secs(3)).await;
        match near.read(&mut some).await {
            Ok(count @ 1..) => all.extend_from_slice(&some[..count]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// What a chunked answer's body says.
fn events(answer: &str) -> String {
    unchunked(answer.split_once("\r\n\r\n").unwrap().1)
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_make_its_call_last_longer_than_its_total_and_still_hears_why() {
    let bench = Bench::new(|settings| settings.timeouts = Timeouts { total: secs(30), ..Timeouts::default() });
    let (mut near, connection) = asked(&bench, "connection: close\r\n", &body("sim:tokens=18,big=3", true)).await;
    let (read, ()) = tokio::join!(slowly(&mut near, 41, usize::MAX), connection);
    let said = events(&read);
    let last = said.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("data: {\"error\"") && last.contains("W-TMO-006"), "{last}");
    assert_eq!(said.matches("\"error\":{").count(), 1);
    let record = bench.gateway.books().store().calls(&weir_store::CallFilter::default()).unwrap().remove(0).record;
    let total = Duration::from_millis(record.timing.total.into());
    assert!(total >= secs(30) && total <= secs(30) + LAST_WORDS, "{total:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_slow_reader() {
    let bench = Bench::new(|_| {});
    let (mut near, connection) = asked(&bench, "connection: close\r\n", &body("sim:tokens=18,big=3", true)).await;
    let stop = async {
        sleep(secs(5)).await;
        let began = Instant::now();
        bench.gateway.drain(secs(2)).await;
        began.elapsed()
    };
    let (_, (), took) = tokio::join!(slowly(&mut near, 41, usize::MAX), connection, stop);
    assert!(took <= secs(2) + LAST_WORDS * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn half_a_request_does_not_hold_a_stop_and_its_client_is_told_so() {
    let bench = Bench::new(|_| {});
    let (mut near, far) = duplex(1 << 16);
    let request = bench.request("POST", CHAT, "", "application/json", &body("sim:ok", false));
    near.write_all(&request.as_bytes()[..request.len() - 20]).await.unwrap();
    let connection = Arc::clone(&bench.gateway).serve_connection(far, None);
    let stop = async {
        sleep(secs(1)).await;
        let began = Instant::now();
        bench.gateway.drain(Duration::ZERO).await;
        began.elapsed()
    };
    let read = async {
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let (read, (), took) = tokio::join!(read, connection, stop);
    assert!(read.starts_with("HTTP/1.1 503") && read.contains("W-GW-002"), "{read}");
    assert!(took < secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_for_longer_than_a_next_head_may_take_is_not_cut() {
    let bench = Bench::new(|_| {});
    let (mut near, connection) = asked(&bench, "", &body("sim:tokens=4000", false)).await;
    let reads = async {
        let began = Instant::now();
        let mut read = slowly(&mut near, 200, 1_000).await;
        let (head, _) = read.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
        let whole = head.len() + 4 + length;
        let so_far = read.len();
        read.push_str(&slowly(&mut near, 200, whole - so_far).await);
        let lasted = began.elapsed();
        assert!(lasted > secs(90), "{lasted:?} shows nothing");
        assert_eq!(read.len(), whole, "it was cut");
        // Its connection carries the next request.
        near.write_all(bench.request("POST", CHAT, "connection: close\r\n", "application/json", &body("sim:ok", false)).as_bytes())
            .await
            .unwrap();
        let mut next = Vec::new();
        near.read_to_end(&mut next).await.unwrap();
        assert!(next.starts_with(b"HTTP/1.1 200"));
    };
    tokio::join!(reads, connection);
}

/// The longest silence of an answer that is read to its end, and the answer.
async fn silence(mut near: DuplexStream) -> (Duration, String) {
    let (mut longest, mut last, mut all) = (Duration::ZERO, Instant::now(), Vec::new());
    let mut some = vec![0; 4096];
    while let Ok(count @ 1..) = near.read(&mut some).await {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        all.extend_from_slice(&some[..count]);
    }
    (longest, String::from_utf8_lossy(&all).into_owned())
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_an_open_stream_fit_into_the_read_timeout_that_its_client_announced() {
    let table = [
        ("x-stainless-read-timeout: 5\r\n", 2_500),
        ("x-stainless-read-timeout: 1\r\n", 500),
        ("x-stainless-read-timeout: 600\r\n", 15_000),
        ("", 15_000),
    ];
    for (lines, most) in table {
        let bench = Bench::new(|_| {});
        let lines = format!("connection: close\r\n{lines}");
        let (near, connection) = asked(&bench, &lines, &body("sim:tokens=6,stall=40s,stall_after=2", true)).await;
        let ((longest, read), ()) = tokio::join!(silence(near), connection);
        assert_eq!(longest, Duration::from_millis(most), "{lines}");
        assert!(events(&read).ends_with("data: [DONE]\n\n"), "{read}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_a_stream_hears_heartbeats_by_its_own_announcement() {
    let bench = Bench::new(|_| {});
    let model = body("sim:tokens=6,stall=40s,stall_after=2", true);
    let key = "connection: close\r\nidempotency-key: \"again-12345678\"\r\n";
    let (first, connection) = asked(&bench, key, &model).await;
    let second = async {
        sleep(secs(3)).await;
        let (near, connection) = asked(&bench, &format!("{key}x-stainless-read-timeout: 5\r\n"), &model).await;
        tokio::join!(silence(near), connection).0
    };
    let (_, (), (longest, read)) = tokio::join!(timeout(secs(600), silence(first)), connection, second);
    assert_eq!(longest, Duration::from_millis(2_500));
    assert!(read.contains("x-weir-call: ") && events(&read).ends_with("data: [DONE]\n\n"), "{read}");
    assert_eq!(bench.sim.count(), 1);
}

/// How a stream ended for its client and in its record: whether they agree, and whether it was complete.
fn ended_whole(bench: &Bench, answer: &str, of: &str) -> bool {
    let said = events(answer);
    let record = bench.gateway.books().store().calls(&weir_store::CallFilter::default()).unwrap().remove(0).record;
    let (end, verdict) = (record.observed.unwrap().end, record.verdict);
    let (marked, errors) = (said.ends_with("data: [DONE]\n\n"), said.matches("\"error\":{").count());
    let agree = match end {
        StreamEnd::Done => marked && errors == 0 && verdict == Verdict::Ok,
        StreamEnd::TotalTimeout => !said.contains("[DONE]") && errors == 1 && said.contains("W-TMO-006"),
        _ => false,
    };
    assert!(agree, "{of}: {end:?}, {verdict:?}, marker {marked}, {errors} errors: {said}");
    marked
}

#[tokio::test(start_paused = true)]
async fn an_end_marker_that_arrives_at_the_very_total_is_in_time_and_a_moment_later_it_is_not() {
    let model = body("sim:tokens=4,interval=70ms", true);
    let ends_in = |total: Duration| {
        let model = &model;
        async move {
            let bench = Bench::new(|settings| settings.timeouts = Timeouts { total, ..Timeouts::default() });
            let (near, connection) = asked(&bench, "connection: close\r\n", model).await;
            let ((_, read), ()) = tokio::join!(silence(near), connection);
            let whole = ended_whole(&bench, &read, &format!("{total:?}"));
            (whole, bench.gateway.books().store().calls(&weir_store::CallFilter::default()).unwrap().remove(0).record)
        }
    };
    let (_, record) = ends_in(secs(60)).await;
    let marker_at = Duration::from_millis(record.timing.last_event.unwrap().into());
    assert!(marker_at > Duration::from_millis(200), "{marker_at:?}");
    let moment = Duration::from_millis(1);
    assert!(!ends_in(marker_at - moment).await.0);
    // Two timers of one instant: either may be the first, and both sides are told the same.
    ends_in(marker_at).await;
    assert!(ends_in(marker_at + moment).await.0);
}

#[tokio::test(start_paused = true)]
async fn whatever_a_reader_has_not_taken_at_the_total_its_stream_ends_for_it_as_its_record_says() {
    let model = body("sim:tokens=18,big=3,interval=0ms", true);
    let total = secs(30);
    let (mut complete, mut cut) = (0, 0);
    // The reader stops at each place of the stream, one of which lets the end marker wait for it when the total strikes.
    for taken in (0..12_000).step_by(500) {
        let bench = Bench::new(|settings| settings.timeouts = Timeouts { total, ..Timeouts::default() });
        let (mut near, connection) = asked(&bench, "connection: close\r\n", &model).await;
        let reads = async {
            let mut all = vec![0; taken];
            near.read_exact(&mut all).await.unwrap();
            sleep(total + Duration::from_millis(500)).await;
            near.read_to_end(&mut all).await.unwrap();
            String::from_utf8(all).unwrap()
        };
        let (read, ()) = tokio::join!(reads, connection);
        let whole = ended_whole(&bench, &read, &format!("{taken} bytes were taken"));
        *(if whole { &mut complete } else { &mut cut }) += 1;
    }
    assert!(complete > 0 && cut > 0, "{complete} complete, {cut} cut");
}
