//! Every code of the catalogue that a probe can find is found by one, end to end, as the primary verdict; every other says why none can.
//! A new code does not compile without its line here.

use std::time::Duration;

use serde_json::json;
use weir_client::probe::TlsFault;
use weir_core::{Lang, Level, Secret, Verdict};

use super::{
    Bench,
    canned::{CALL, Canned, record},
    codes::agrees,
    order,
    paths::{edge, task, through_edge},
};
use crate::{
    judge::seen::Symptom,
    listen,
    probe::{Order, ProbeId, Proxies},
    report::{Layout, Report},
};

/// How a code is found.
enum By {
    /// The simulator misbehaves so.
    Sim(&'static str),
    /// It does, and the answer is long enough for its arrival to be judged.
    Order(fn() -> Order),
    /// What stands between is broken.
    Hop(fn() -> Bench, fn() -> Order),
    /// A weir gateway refuses the call with it.
    Refused,
    /// A weir gateway ends the stream with it.
    BrokenOff,
    /// A weir gateway's record of a past call tells it.
    Record(fn() -> serde_json::Value),
    /// The state of a task tells it: as the simulator makes it, so long after the submission.
    Task(&'static str, u64),
    /// A gateway's word of a task tells it.
    TaskOf(fn() -> serde_json::Value),
    /// What the real client does at `weir doctor client`.
    Client,
    /// No probe can find it, because.
    Never(&'static str),
}

fn well() -> Order {
    order("sim:tokens=30,interval=40ms")
}

fn local(url: &str, key: &str) -> Order {
    Order { base_url: url.to_owned(), key: Some(Secret::new(key)), ..order("sim:ok") }
}

#[expect(clippy::too_many_lines, reason = "a table with a line for each code")]
fn by(verdict: Verdict) -> By {
    use By::{BrokenOff, Client, Hop, Never, Record, Refused, Sim, Task, TaskOf};
    use Verdict as V;
    match verdict {
        V::Ok => Sim("sim:ok"),
        V::KeyMalformed => By::Order(|| local("http://api.example.com/v1", "Bearer sk-planted12345678")),
        V::BaseUrlMalformed => By::Order(|| local("api.example.com/v1", super::KEY)),
        V::LocalProxyOn => Hop(
            || Bench { is_proxied: true, ..Bench::new() },
            || Order { proxies: Proxies::of(&[("HTTP_PROXY".to_owned(), "http://proxy.test:3128".to_owned())]), ..order("sim:ok") },
        ),
        V::ClockWrong => Sim("sim:date_skew=5m"),
        V::DnsFailed => Hop(|| Bench { no_address: true, ..Bench::new() }, || order("sim:ok")),
        V::ConnectFailed => Hop(|| Bench { refused: true, ..Bench::new() }, || order("sim:ok")),
        V::TlsFailed => {
            Hop(|| Bench { tls: Some(Err(TlsFault::Expired)), ..Bench::new() }, || local("https://api.example.com/v1", super::KEY))
        }
        V::NotTheApi => Sim("sim:404_html"),
        V::ProxyLoginNeeded => Sim("sim:407"),
        V::KeyUnknown => Sim("sim:401"),
        V::KeyDisabled => Sim("sim:401_disabled"),
        V::SourceNotAllowed => Sim("sim:403_ip"),
        V::ModelNotFound => Sim("sim:404"),
        V::GroupModelDenied => Sim("sim:403_group"),
        V::BalanceSpent => Sim("sim:402"),
        V::RequestRejected => Sim("sim:400"),
        V::RequestTooLong => Sim("sim:413"),
        V::ContentRefused => Sim("sim:content_policy"),
        V::RateLimited => Sim("sim:429_hint=7s"),
        V::RateLimitedNoHint => Sim("sim:429"),
        V::QuotaSpent => Sim("sim:429_daily"),
        V::ConcurrencySpent => Sim("sim:429_concurrency"),
        V::UpstreamThrottled => Sim("sim:429_upstream"),
        V::RampTooFast => Sim("sim:slow_down"),
        V::MiddleBoxThrottled => Sim("sim:429_html"),
        V::PriceUnknown | V::SharedKeyTaken | V::RetriedTooEarly | V::GatewayFull | V::GatewayDraining | V::GatewayInternal => Refused,
        V::UpstreamError => Sim("sim:500"),
        V::UpstreamOverloaded => Sim("sim:503"),
        V::NoUpstream => Sim("sim:503_no_upstream"),
        V::ClientLeft => By::Order(|| Order { timeout: Some(Duration::from_secs(2)), ..order("sim:first_byte=5s") }),
        V::ProxyCut => Sim("sim:proxy_504_html"),
        V::UpstreamConnectTimeout => Sim("sim:504=connect"),
        V::FirstByteTimeout => Sim("sim:first_byte=40s"),
        V::IdleTimeout => BrokenOff,
        V::TotalTimeout => Sim("sim:504=total"),
        V::LongTaskSync => Sim("sim:tokens=20,interval=2s"),
        V::StatusHidden => Sim("sim:hidden_busy"),
        V::OutcomeUnknown => Sim("sim:reset_after_accept"),
        V::StreamSilent => Sim("sim:no_data"),
        V::StreamBuffered => Sim("sim:buffered"),
        V::NotAStream => Sim("sim:json_for_stream"),
        V::EndMarkerMissing => Sim("sim:no_done"),
        V::StreamCut => Sim("sim:cut_after=5"),
        V::ErrorInStream => Sim("sim:error_after=5"),
        V::StreamStalled => Sim("sim:stall_after=3"),
        V::FramesMalformed => Sim("sim:bad_json"),
        V::GzipBuffered => Sim("sim:gzip_buffered"),
        V::AntiBufferingLost => Sim("sim:no_anti_buffer_headers"),
        V::PartlyBuffered => Sim("sim:blocks=4096"),
        V::HopBreaksStream => Hop(|| edge("sim:buffered"), || through_edge("sim:tokens=30,interval=40ms")),
        V::EndedByLimit => Sim("sim:finish=length"),
        V::ClientSpinner => By::Order(|| Order { symptom: Some(Symptom::Spinner), ..well() }),
        V::ClientNotStreaming | V::ClientReadTimeoutShort | V::ClientRetriesCostly => Client,
        V::TaskRunning => Task("sim:task_slow=30s", 0),
        V::TaskUnknown => Task("sim:task_lost_answer", 0),
        V::TaskFailedFree => Task("sim:task_failed", 3600),
        V::TaskDuplicate => Record(|| json!({ "path": "/v1/videos" })),
        V::TaskFailedCharged => {
            TaskOf(|| json!({ "id": "video_1", "status": "failed", "weir": { "charged": "yes", "verdict": "W-TASK-005" } }))
        }
        V::ReplayedOnce => Record(|| json!({ "verdict": { "code": "W-OK-001" }, "requests": [{ "id": "wr_2" }] })),
        V::ProducedNotDelivered | V::GatewayRestarted => Record(|| json!({})),
        V::RequestTooSlow => Record(|| json!({ "status": 408, "charged": "no" })),
        V::ChargePending => Record(|| json!({ "state": "running", "charged": "pending" })),
        V::EvidenceMissing => By::Order(|| Order { only: vec![ProbeId::P3], ..order("sim:ok") }),
        V::RetriesCharged => Never("several charges of one account have to be laid side by side; a key may read one call at a time"),
        V::NothingCharged => Never("the ledger of an account over a time is for its owner; a key may read one call at a time"),
        V::ProbeSkipped => Never("what was not asked is listed as skipped beside the verdict; it says nothing about the API"),
        V::CheckUnsupported => {
            Never("a missing list of models stands beside the verdict of the calls that were made; it is never the fault")
        }
    }
}

async fn found(verdict: Verdict, way: By) -> Option<Report> {
    let past = || Order { request_id: Some(CALL.to_owned()), ..order("gpt-4o-mini") };
    Some(match way {
        By::Sim(model) => Bench::new().report(order(model)).await,
        By::Order(order) => Bench::new().report(order()).await,
        By::Hop(bench, order) => bench().report(order()).await,
        By::Refused => Canned::Refuses(verdict).report(order("gpt-4o-mini")).await,
        By::BrokenOff => Canned::BreaksOff(verdict).report(order("gpt-4o-mini")).await,
        By::Record(changed) => record(verdict, &changed()).report(past()).await,
        By::Task(model, after_s) => task(model, Duration::from_secs(after_s)).await,
        By::TaskOf(told) => Canned::Keeps(told()).report(Order { task_id: Some("video_1".to_owned()), ..order("sora-2") }).await,
        By::Client | By::Never(_) => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn every_code_that_a_probe_can_find_is_found_as_the_primary_verdict_in_both_languages() {
    let mut wrong = Vec::new();
    for verdict in Verdict::ALL {
        let Some(report) = found(verdict, by(verdict)).await else { continue };
        if report.primary != verdict {
            wrong.push(format!("{verdict}: got\n{}", report.text(Lang::En, Layout::default())));
            continue;
        }
        agrees(&report, verdict.code());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn every_code_that_only_a_client_can_show_is_found_by_listening_to_one() {
    for verdict in Verdict::ALL.into_iter().filter(|verdict| matches!(by(*verdict), By::Client)) {
        let judgement = listen::tests::doing(verdict).await;
        assert_eq!(judgement.primary.verdict, verdict);
        for lang in [Lang::Zh, Lang::En] {
            let text = listen::report(&judgement, 60, lang);
            assert!(text.contains(verdict.code()) && text.contains(verdict.words(lang).title), "{text}");
        }
        let document = listen::ClientReport::new(judgement, "0.1.0", 60, listen::Strict::No);
        assert_eq!(document.exit_code, u8::from(verdict.level() == Level::Fail), "{verdict}");
    }
}

#[test]
fn what_no_probe_can_find_says_why_and_is_little() {
    let reasons: Vec<&str> =
        Verdict::ALL.into_iter().filter_map(|verdict| if let By::Never(why) = by(verdict) { Some(why) } else { None }).collect();
    assert!(reasons.len() <= 4 && reasons.iter().all(|why| why.len() > 30), "{reasons:?}");
}
