//! Every code that a probe can find is found as the primary verdict from its simulated fault, in both languages, with the right exit code.

use std::sync::LazyLock;

use weir_core::{Lang, Level, Secret, Verdict, redact::Redactor};

use super::{Bench, order, report};
use crate::report::{Layout, Report};

/// Faults that the simulator makes at an upstream, and what a doctor in front of it must say.
const FAULTS: [(&str, Verdict); 62] = {
    use Verdict as V;
    [
        ("sim:ok", V::Ok),
        ("sim:tokens=40,interval=30ms", V::Ok),
        ("sim:reasoning,interval=30ms", V::Ok),
        ("sim:heartbeat=1s,first_byte=8s,interval=20ms", V::Ok),
        ("sim:comments=2,crlf", V::Ok),
        ("sim:cr", V::Ok),
        ("sim:bom", V::Ok),
        ("sim:split=7", V::Ok),
        ("sim:empty_data", V::Ok),
        ("sim:no_finish", V::Ok),
        ("sim:finish_no_done", V::Ok),
        ("sim:unterminated_done", V::Ok),
        ("sim:http10", V::Ok),
        ("sim:close", V::Ok),
        ("sim:date_skew=5m", V::ClockWrong),
        ("sim:404_html", V::NotTheApi),
        ("sim:407", V::ProxyLoginNeeded),
        ("sim:401", V::KeyUnknown),
        ("sim:401_disabled", V::KeyDisabled),
        ("sim:403_ip", V::SourceNotAllowed),
        ("sim:403", V::SourceNotAllowed),
        ("sim:404", V::ModelNotFound),
        ("sim:nonsense", V::ModelNotFound),
        ("sim:403_group", V::GroupModelDenied),
        ("sim:402", V::BalanceSpent),
        ("sim:429_balance", V::BalanceSpent),
        ("sim:400", V::RequestRejected),
        ("sim:413", V::RequestTooLong),
        ("sim:context_length", V::RequestTooLong),
        ("sim:content_policy", V::ContentRefused),
        ("sim:429_hint=7s", V::RateLimited),
        ("sim:429_ms", V::RateLimited),
        ("sim:429_date", V::RateLimited),
        ("sim:429_body", V::RateLimited),
        ("sim:429", V::RateLimitedNoHint),
        ("sim:429_daily", V::QuotaSpent),
        ("sim:429_concurrency", V::ConcurrencySpent),
        ("sim:429_upstream", V::UpstreamThrottled),
        ("sim:slow_down", V::RampTooFast),
        ("sim:429_html", V::MiddleBoxThrottled),
        ("sim:500", V::UpstreamError),
        ("sim:503", V::UpstreamOverloaded),
        ("sim:503_no_upstream", V::NoUpstream),
        ("sim:proxy_504_html", V::ProxyCut),
        ("sim:504=connect", V::UpstreamConnectTimeout),
        ("sim:504=total", V::TotalTimeout),
        ("sim:first_byte=40s", V::FirstByteTimeout),
        ("sim:tokens=20,interval=2s", V::LongTaskSync),
        ("sim:hidden_busy", V::StatusHidden),
        ("sim:hidden_busy=500", V::StatusHidden),
        ("sim:reset_after_accept", V::OutcomeUnknown),
        ("sim:no_data", V::StreamSilent),
        ("sim:no_data=1h", V::StreamSilent),
        ("sim:json_for_stream", V::NotAStream),
        ("sim:wrong_type=json", V::NotAStream),
        ("sim:no_done", V::EndMarkerMissing),
        ("sim:cut_after=5", V::StreamCut),
        ("sim:error_after=5", V::ErrorInStream),
        ("sim:stall=30s", V::StreamStalled),
        ("sim:bad_json", V::FramesMalformed),
        ("sim:no_anti_buffer_headers", V::AntiBufferingLost),
        ("sim:finish=length", V::EndedByLimit),
    ]
};

/// Faults of time and form that need an answer long enough to be judged.
const ARRIVALS: [(&str, Verdict); 5] = [
    ("sim:buffered", Verdict::StreamBuffered),
    ("sim:buffered,tokens=40,interval=40ms", Verdict::StreamBuffered),
    ("sim:gzip_buffered", Verdict::GzipBuffered),
    ("sim:blocks=4096", Verdict::PartlyBuffered),
    ("sim:gzip,tokens=40,interval=30ms", Verdict::AntiBufferingLost),
];

async fn gives_its_own_verdict(faults: &[(&str, Verdict)]) {
    let mut wrong = Vec::new();
    for (model, expected) in faults {
        let report = Bench::new().report(order(model)).await;
        agrees(&report, model);
        if report.primary != *expected {
            wrong.push(format!("{model}: want {expected}, got\n{}", report.text(Lang::En, Layout::default())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn r1_each_simulated_fault_gives_its_own_verdict_in_both_languages() {
    gives_its_own_verdict(&FAULTS[..31]).await;
}

#[tokio::test(start_paused = true)]
async fn r1_each_other_simulated_fault_gives_its_own_verdict_in_both_languages() {
    gives_its_own_verdict(&FAULTS[31..]).await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_arrival_is_told_by_when_and_in_which_pieces_the_bytes_came() {
    gives_its_own_verdict(&ARRIVALS).await;
}

static ENGINE: LazyLock<Redactor> = LazyLock::new(|| Redactor::new([Secret::new(super::KEY)]));

/// What must hold of every report.
pub(super) fn agrees(report: &Report, what: &str) {
    let expected = match report.primary.level() {
        Level::Fail => 1,
        Level::Unknown => 3,
        _ => 0,
    };
    assert_eq!(report.exit_code, expected, "{what}");
    let json = serde_json::to_string(report).unwrap();
    let read: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json, "{what}: the JSON reads back");
    assert!(!json.contains("planted12345678") && !json.contains("planted-cookie") && !json.contains("Count from"), "{what}");
    assert!(crate::report::is_safe(&serde_json::to_value(report).unwrap(), &ENGINE, weir_core::Audience::Support), "{what}: {json}");
    for lang in [Lang::Zh, Lang::En] {
        let text = report.text(lang, Layout::default());
        assert!(text.contains(report.primary.words(lang).title), "{what}: {text}");
        // Every finding of the JSON is printed ...
        for check in &report.checks {
            assert!(text.contains(check.seen.in_lang(lang)), "{what}: {} in {text}", check.id);
        }
        for note in &report.notes {
            assert!(text.contains(note.code.code()), "{what}: {} in {text}", note.code);
        }
        for field in report.look_at.iter().flat_map(|group| &group.fields) {
            assert!(text.contains(field.label.in_lang(lang)), "{what}: {} in {text}", field.field);
        }
        // ... and the reverse.
        for code in Verdict::ALL.iter().filter(|verdict| text.contains(verdict.code())) {
            let told = *code == report.primary || report.notes.iter().any(|note| note.code == *code);
            assert!(told, "{what}: {code} is printed and not in the JSON");
        }
        assert!(text.ends_with(&if lang == Lang::Zh { format!("退出码 {expected}\n") } else { format!("exit {expected}\n") }));
    }
    let found = report.primary == Verdict::Ok || report.checks.iter().any(|check| check.code == Some(report.primary));
    assert!(found, "{what}: the primary verdict stands on a check");
}

#[tokio::test(start_paused = true)]
async fn what_this_machine_and_the_network_do_wrong_is_found_before_anything_is_sent() {
    use weir_client::probe::{Issuer, TlsFault};
    let bad_key = |key: &str| crate::probe::Order { key: Some(weir_core::Secret::new(key)), ..order("sim:ok") };
    let https = || crate::probe::Order { base_url: "https://api.example.com/v1".to_owned(), ..order("sim:ok") };
    let fine = Bench::new();
    let table = [
        (fine.clone(), bad_key("Bearer sk-planted12345678"), Verdict::KeyMalformed),
        (fine.clone(), bad_key("sk-planted12345678\n"), Verdict::KeyMalformed),
        (fine.clone(), crate::probe::Order { base_url: "api.example.com/v1".to_owned(), ..order("sim:ok") }, Verdict::BaseUrlMalformed),
        (fine.clone(), crate::probe::Order { base_url: "http://a/v1/v1".to_owned(), ..order("sim:ok") }, Verdict::BaseUrlMalformed),
        (Bench { no_address: true, ..fine.clone() }, order("sim:ok"), Verdict::DnsFailed),
        (Bench { refused: true, ..fine.clone() }, order("sim:ok"), Verdict::ConnectFailed),
        (Bench { tls: Some(Err(TlsFault::Untrusted)), ..fine.clone() }, https(), Verdict::TlsFailed),
        (Bench { tls: Some(Err(TlsFault::Expired)), ..fine.clone() }, https(), Verdict::TlsFailed),
        (Bench { tls: Some(Ok(Issuer::Private)), ..fine.clone() }, https(), Verdict::Ok),
        (Bench { tls: Some(Ok(Issuer::Public)), ..fine.clone() }, https(), Verdict::Ok),
    ];
    for (bench, order, expected) in table {
        bench.sim.clear_requests();
        let (examined, _) = bench.run(order).await;
        let report = report(&examined);
        assert_eq!(report.primary, expected, "{}", report.text(Lang::En, Layout::default()));
        agrees(&report, expected.code());
        if expected != Verdict::Ok {
            assert_eq!((bench.sim.count(), report.budget.used_requests), (0, 0), "nothing was sent");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_resets_every_connection_cannot_be_reached() {
    let always = weir_sim::Scenario::parse("sim:reset_before_accept").unwrap();
    let bench = Bench::with(weir_sim::SimSettings { always, ..weir_sim::SimSettings::default() });
    let report = bench.report(order("sim:ok")).await;
    assert_eq!(report.primary, Verdict::ConnectFailed, "{}", report.text(Lang::En, Layout::default()));
    agrees(&report, "reset_before_accept");
}
