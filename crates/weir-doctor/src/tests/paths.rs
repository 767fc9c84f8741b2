//! Two ways to the same API, where the doctor names the hop that breaks the stream; and the ways to what is past.

use weir_core::{Lang, Verdict};
use weir_sim::{Scenario, Sim, SimSettings};

use super::{Bench, codes::agrees, order};
use crate::{
    probe::{Order, ProbeId},
    report::Layout,
};

pub(super) fn edge(scenario: &str) -> Bench {
    let settings = SimSettings { always: Scenario::parse(scenario).unwrap(), ..SimSettings::default() };
    Bench { edge: Some(Sim::new(settings)), ..Bench::new() }
}

pub(super) fn through_edge(model: &str) -> Order {
    Order { base_url: "http://edge.example.com/v1".to_owned(), direct: Some("http://api.example.com/v1".to_owned()), ..order(model) }
}

#[tokio::test(start_paused = true)]
async fn r23_a_hop_that_breaks_the_stream_is_named_by_going_around_it() {
    for scenario in ["sim:buffered", "sim:no_data", "sim:cut_after=5", "sim:wrong_type=json", "sim:gzip_buffered"] {
        let report = edge(scenario).report(through_edge("sim:tokens=30,interval=40ms")).await;
        assert_eq!(report.primary, Verdict::HopBreaksStream, "{scenario}: {}", report.text(Lang::En, Layout::default()));
        agrees(&report, scenario);
        assert!(report.text(Lang::En, Layout::default()).contains("around edge.example.com it is good"), "{scenario}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_is_there_on_both_ways_is_not_the_hops() {
    let report = edge("sim:ok").report(through_edge("sim:no_done")).await;
    assert_eq!(report.primary, Verdict::EndMarkerMissing);
    agrees(&report, "both");
    let well = edge("sim:ok").report(through_edge("sim:tokens=30,interval=40ms")).await;
    assert_eq!(well.primary, Verdict::Ok);
    assert!(well.checks.iter().any(|check| check.id == ProbeId::P7));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_breaks_the_stream_is_named_by_going_through_it() {
    let via = |model: &str| Order { via: Some("http://edge.example.com:3128".to_owned()), ..order(model) };
    let report = edge("sim:buffered").report(via("sim:tokens=30,interval=40ms")).await;
    assert_eq!(report.primary, Verdict::HopBreaksStream, "{}", report.text(Lang::En, Layout::default()));
    agrees(&report, "via");
    let well = edge("sim:ok").report(via("sim:tokens=30,interval=40ms")).await;
    assert_eq!(well.primary, Verdict::Ok);
}

/// A job of the simulator, asked for after some time.
pub(super) async fn task(model: &str, later: std::time::Duration) -> crate::report::Report {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = Bench::new();
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let sim = bench.sim.clone();
    let server = tokio::spawn(async move { sim.serve_connection(far).await });
    let body = format!(r#"{{"model":"{model}","prompt":"a lantern"}}"#);
    let request =
        format!("POST /v1/videos HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    near.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while near.read_buf(&mut answer).await.unwrap_or(0) > 0 && !answer.ends_with(b"}") {}
    server.abort();
    let text = String::from_utf8(answer).unwrap();
    let id = text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("video_lost").to_owned();
    tokio::time::sleep(later).await;
    let report = bench.report(Order { task_id: Some(id), ..order("sora-2") }).await;
    agrees(&report, model);
    assert!(bench.sim.requests().iter().filter(|request| request.method == "POST").count() == 1, "asked for, never submitted again");
    report
}

#[tokio::test(start_paused = true)]
async fn a_past_task_is_told_by_its_state_and_never_submitted_again() {
    use std::time::Duration;
    let hour = Duration::from_secs(3600);
    assert_eq!(task("sim:task_slow=30s", Duration::ZERO).await.primary, Verdict::TaskRunning);
    assert_eq!(task("sim:task_failed", hour).await.primary, Verdict::TaskFailedFree);
    assert_eq!(task("sim:task_lost_answer", Duration::ZERO).await.primary, Verdict::TaskUnknown);
    assert_eq!(task("sim:task_slow=1s", hour).await.primary, Verdict::Ok);
}

/// An API whose models want `max_completion_tokens`.
#[derive(Debug, Default)]
struct Newer(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl weir_client::probe::Reach for Newer {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> weir_client::probe::Reaching<'a, std::io::Result<Vec<std::net::SocketAddr>>> {
        Box::pin(async move { Ok(vec![std::net::SocketAddr::from(([192, 0, 2, 1], port))]) })
    }

    fn connect(&self, _: std::net::SocketAddr) -> weir_client::probe::Reaching<'_, std::io::Result<Box<dyn weir_client::Io>>> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let asked = std::sync::Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut request = Vec::new();
            while !(request.starts_with(b"GET") && request.ends_with(b"\r\n\r\n") || request.ends_with(b"}")) {
                if far.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let request = String::from_utf8(request).unwrap();
            let body = request.split_once("\r\n\r\n").unwrap().1.to_owned();
            let (status, kind, answer) = if body.is_empty() {
                (200, "application/json", r#"{"data":[{"id":"newer"}]}"#.to_owned())
            } else if body.contains("\"max_tokens\"") {
                let error = r#"{"error":{"message":"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.","code":"unsupported_parameter"}}"#;
                (400, "application/json", error.to_owned())
            } else if body.contains("\"stream\":true") {
                let events =
                    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"1\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
                (200, "text/event-stream", events.to_owned())
            } else {
                (200, "application/json", r#"{"choices":[{"message":{"content":"1"},"finish_reason":"stop"}]}"#.to_owned())
            };
            if !body.is_empty() {
                asked.lock().unwrap().push(body);
            }
            let head = format!(
                "HTTP/1.1 {status} OK\r\ncontent-type: {kind}\r\ncache-control: no-cache\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            let _ = far.write_all(head.as_bytes()).await;
        });
        Box::pin(async { Ok(Box::new(near) as Box<dyn weir_client::Io>) })
    }

    fn secure<'a>(
        &'a self,
        io: Box<dyn weir_client::Io>,
        _: &'a str,
        _: weir_client::probe::Speak,
    ) -> weir_client::probe::Reaching<'a, weir_client::probe::Secured> {
        Box::pin(async { weir_client::probe::Secured { seen: None, io: Ok(io) } })
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_calls_its_limit_otherwise_is_asked_once_more_in_its_own_words() {
    let newer = Newer::default();
    let mut run = crate::probe::Examined::new(order("newer"), super::EPOCH, 1);
    let clock = super::Wall(tokio::time::Instant::now());
    run.run(&crate::probe::Tools { reach: &newer, clock: &clock, watch: &|_| () }).await;
    assert_eq!(super::report(&run).primary, Verdict::Ok);
    let asked = newer.0.lock().unwrap();
    assert_eq!(asked.iter().map(|body| body.contains("\"max_completion_tokens\":64")).collect::<Vec<_>>(), [false, true, true, true]);
}
