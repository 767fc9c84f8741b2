//! The server over a connection in memory, on a paused clock: a client written by hand does one thing, and the record says so.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    time::{sleep, timeout},
};
use weir_core::{Lang, Verdict, evidence::Confidence};

use super::{record::Shared, server::connection, *};

/// What lies between a server and its client on one machine.
const PIPE_BYTES: usize = 64 << 10;
const SDK: &str =
    "user-agent: OpenAI/Python 3.54.0\r\nx-stainless-read-timeout: 600\r\nx-stainless-retry-count: 0\r\naccept-encoding: gzip, deflate\r\n";
const KEY: &str = "sk-proj-12345678abcdefgh12345678abcdefgh";

struct Bench {
    shared: Arc<Shared>,
    ended: mpsc::Receiver<Seen>,
    connections: u32,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings { script: Script::Chat, silence: SILENCE, limit: LIMIT_MAX, calls: None, created: 1_790_000_000 };
        let (shared, ended) = Shared::new(settings);
        Self { shared, ended, connections: 0 }
    }

    /// Runs a client on a connection of its own, and the server until that connection has ended.
    async fn client<T>(&mut self, client: impl AsyncFnOnce(&mut DuplexStream) -> T) -> T {
        let (mut near, far) = duplex(PIPE_BYTES);
        self.connections += 1;
        let server = connection(Arc::clone(&self.shared), far, self.connections);
        let acts = async {
            let done = client(&mut near).await;
            drop(near);
            done
        };
        timeout(LIMIT_MAX * 2, async { tokio::join!(acts, server).0 }).await.unwrap()
    }

    /// Sends a request and reads the answer to its end.
    async fn whole(&mut self, request: &str) -> String {
        self.client(async |io| {
            io.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let _ = io.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        })
        .await
    }

    /// Sends a request and leaves after a while, having read what came.
    async fn leaving(&mut self, request: &str, after: Duration) {
        self.client(async |io| {
            io.write_all(request.as_bytes()).await.unwrap();
            let mut scrap = vec![0; PIPE_BYTES];
            let _ = timeout(after, async { while io.read(&mut scrap).await.is_ok_and(|n| n > 0) {} }).await;
        })
        .await;
    }

    fn seen(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.ended.try_recv().ok()).collect()
    }

    fn judged(&mut self) -> Judgement {
        judge(&self.seen(), PATIENCE)
    }
}

/// A request that asks to close behind its answer.
fn post(path: &str, body: &str, more: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n{more}content-length: {length}\r\n\r\n{body}"
    )
}

fn chat(script: Script, more: &str) -> String {
    let model = script.model();
    post(
        "/v1/chat/completions",
        &format!(r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"a secret plan"}}]}}"#),
        more,
    )
}

#[tokio::test(start_paused = true)]
async fn r27_a_client_that_reads_shows_flag_sdk_retries_and_timeout() {
    for script in [Script::Chat, Script::Long, Script::Code] {
        let mut bench = Bench::new();
        let answer = bench.whole(&chat(script, SDK)).await;
        assert!(answer.contains("data: [DONE]\n\n") && answer.ends_with("0\r\n\r\n"), "{script:?}");
        let seen = bench.seen().remove(0);
        assert_eq!((seen.stream, seen.path, seen.http), (Some(true), "/v1/chat/completions", "HTTP/1.1"));
        assert_eq!((seen.client.name.as_deref(), seen.client.version.as_deref()), (Some("OpenAI/Python"), Some("3.54.0")));
        assert_eq!((seen.client.retry_header, seen.client.read_timeout_s), (Some(0), Some(600)));
        assert_eq!((seen.ended, seen.accept_encoding), (Ended::Whole, vec!["gzip".to_owned(), "deflate".to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn r27_the_seconds_until_a_client_leaves_are_its_read_timeout() {
    let mut bench = Bench::new();
    bench.leaving(&chat(Script::Slow, SDK), Duration::from_secs(7)).await;
    bench.leaving(&chat(Script::Quiet, SDK), Duration::from_secs(10)).await;
    let judgement = bench.judged();
    let habit = &judgement.habits[0];
    assert_eq!(habit.gave_up, Some(At { request: 1, ms: 7_000 }));
    assert_eq!((judgement.primary.verdict, &judgement.primary.fact), (Verdict::ClientReadTimeoutShort, &Fact::ShortMeasured { ms: 7_000 }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_heartbeats_come_does_not_count_them() {
    let mut bench = Bench::new();
    bench.leaving(&chat(Script::Long, ""), Duration::from_secs(20)).await;
    assert!(matches!(bench.judged().primary.fact, Fact::LeftDespiteHeartbeats { ms: 20_000 }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_at_the_marker_is_told_from_one_that_reads_on() {
    let mut bench = Bench::new();
    let request = chat(Script::Chat, "");
    bench
        .client(async |io| {
            io.write_all(request.as_bytes()).await.unwrap();
            let mut text = Vec::new();
            while !String::from_utf8_lossy(&text).contains("[DONE]") {
                assert!(io.read_buf(&mut text).await.unwrap() > 0);
            }
        })
        .await;
    bench.whole(&request).await;
    let ends: Vec<_> = bench.seen().iter().map(|one| (one.ended, one.attempt)).collect();
    assert_eq!(ends, [(Ended::AtMarker, 1), (Ended::Whole, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_429_that_is_waited_out_is_answered_and_one_that_is_not_is_not() {
    let mut bench = Bench::new();
    let request = chat(Script::RateLimited, "");
    for pause_ms in [0, 500, 500, 2_000] {
        sleep(Duration::from_millis(pause_ms)).await;
        bench.whole(&request).await;
    }
    let seen = bench.seen();
    let shown: Vec<_> = seen.iter().map(|one| (one.status, one.attempt, one.waited_ms, one.is_early())).collect();
    assert_eq!(
        shown,
        [(Some(429), 1, None, false), (Some(429), 2, Some(500), true), (Some(429), 3, Some(500), true), (Some(200), 4, Some(2_000), false),]
    );
    let judgement = judge(&seen, PATIENCE);
    assert_eq!((judgement.primary.verdict, judgement.primary.sure), (Verdict::RetriedTooEarly, Confidence::Likely));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_a_cut_makes_a_second_answer_and_the_judge_says_so() {
    let mut bench = Bench::new();
    bench.whole(&chat(Script::Cut, "")).await;
    sleep(Duration::from_secs(1)).await;
    bench.whole(&chat(Script::Cut, "x-stainless-retry-count: 1\r\n")).await;
    let judgement = bench.judged();
    assert_eq!(judgement.primary.verdict, Verdict::ClientRetriesCostly);
    assert_eq!(judgement.habits[0].after_cut.as_ref().unwrap().waits_ms, [1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_found() {
    let mut bench = Bench::new();
    let request = chat(Script::Code, "");
    bench
        .client(async |io| {
            io.write_all(request.as_bytes()).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            let _ = io.read_to_end(&mut Vec::new()).await;
        })
        .await;
    let judgement = bench.judged();
    assert_eq!((judgement.primary.verdict, judgement.primary.fact), (Verdict::ClientSpinner, Fact::NotReading { ms: 5_000 }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_ask_to_stream_is_told_so_first() {
    let mut bench = Bench::new();
    let answer = bench.whole(&post("/v1/messages", r#"{"model":"any","messages":[]}"#, "")).await;
    assert!(answer.contains("23 24") && answer.contains("end_turn"), "{answer}");
    let judgement = bench.judged();
    assert_eq!((judgement.primary.verdict, judgement.primary.sure), (Verdict::ClientNotStreaming, Confidence::Certain));
}

#[tokio::test(start_paused = true)]
async fn a_base_url_that_is_not_written_right_shows_in_the_path() {
    for (path, twice) in [("/v1/v1/chat/completions", true), ("/chat/completions", false)] {
        let mut bench = Bench::new();
        assert!(bench.whole(&post(path, "{}", "")).await.starts_with("HTTP/1.1 404"));
        let judgement = bench.judged();
        assert_eq!((judgement.primary.verdict, judgement.primary.fact), (Verdict::BaseUrlMalformed, Fact::OddPath { twice }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_may_ask_from_any_origin_with_the_headers_it_names() {
    let mut bench = Bench::new();
    let asked = "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: x\r\norigin: https://chat.example\r\nconnection: close\r\naccess-control-request-headers: authorization,x-stainless-lang\r\n\r\n";
    let answer = bench.whole(asked).await;
    assert!(answer.starts_with("HTTP/1.1 204") && answer.contains("access-control-allow-origin: *"), "{answer}");
    assert!(answer.contains("access-control-allow-headers: authorization,x-stainless-lang"), "{answer}");
    assert!(bench.judged().habits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_private_is_kept_of_a_request() {
    let mut bench = Bench::new();
    let body = format!(r#"{{"model":"{KEY}","stream":true,"user":"{KEY}","messages":[{{"role":"user","content":"a secret plan"}}]}}"#);
    let more =
        format!("user-agent: {KEY}/1\r\nx-weir-caller: {KEY}\r\nx-api-key: {KEY}\r\nidempotency-key: {KEY}\r\norigin: https://{KEY}\r\n");
    bench.whole(&post("/v1/chat/completions", &body, &more)).await;
    bench.whole(&post(&format!("/v1/{KEY}"), &body, &more)).await;
    let seen = bench.seen();
    let judgement = judge(&seen, PATIENCE);
    let mut shown = serde_json::to_string(&seen).unwrap() + &format!("{seen:?}");
    for lang in [Lang::Zh, Lang::En] {
        shown.extend(seen.iter().map(|one| line(one, lang)));
        shown.push_str(&report(&judgement, 60, lang));
    }
    shown.push_str(&serde_json::to_string(&ClientReport::new(judgement, "0", 60, Strict::No)).unwrap());
    for private in [&KEY[8..16], "secret plan", "chat.example"] {
        assert!(!shown.contains(private), "{private} in {shown}");
    }
    assert!(seen.len() == 2 && seen[0].key == KeyPlace::Bearer && seen[0].browser && seen[0].idempotency_key);
}

#[tokio::test(start_paused = true)]
async fn the_report_reads_well_in_both_languages() {
    let mut bench = Bench::new();
    bench.whole(&chat(Script::Chat, SDK)).await;
    let again = SDK.replace("count: 0", "count: 1");
    for (script, pause_ms) in [(Script::RateLimited, 3_100), (Script::Overloaded, 480), (Script::Cut, 0)] {
        bench.whole(&chat(script, SDK)).await;
        if pause_ms > 0 {
            sleep(Duration::from_millis(pause_ms)).await;
            bench.whole(&chat(script, &again)).await;
        }
    }
    bench.leaving(&chat(Script::Slow, SDK), Duration::from_secs(10)).await;
    bench.leaving(&chat(Script::Slow, &again), Duration::from_secs(10)).await;
    let seen = bench.seen();
    let judgement = judge(&seen, PATIENCE);
    for lang in [Lang::En, Lang::Zh] {
        let lines: Vec<_> = seen.iter().map(|one| line(one, lang)).collect();
        insta::assert_snapshot!(format!("{}\n\n{}", lines.join("\n"), report(&judgement, 60, lang)));
    }
}

#[test]
fn without_a_request_nothing_is_guessed() {
    let judgement = judge(&[], PATIENCE);
    assert_eq!((judgement.primary.verdict, &judgement.primary.fact), (Verdict::EvidenceMissing, &Fact::NothingCame));
    assert_eq!(ClientReport::new(judgement, "0", 60, Strict::No).exit_code, 3);
}

/// A client that does what `verdict` is about.
pub(crate) async fn doing(verdict: Verdict) -> Judgement {
    let mut bench = Bench::new();
    match verdict {
        Verdict::ClientNotStreaming => drop(bench.whole(&post("/v1/messages", r#"{"model":"any","messages":[]}"#, "")).await),
        Verdict::ClientReadTimeoutShort => bench.leaving(&chat(Script::Slow, SDK), Duration::from_secs(7)).await,
        Verdict::ClientRetriesCostly => {
            bench.whole(&chat(Script::Cut, "")).await;
            bench.whole(&chat(Script::Cut, "x-stainless-retry-count: 1\r\n")).await;
        }
        _ => {}
    }
    bench.judged()
}
