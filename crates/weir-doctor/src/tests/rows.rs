//! The rows of the requirements that a doctor must meet, each by what it does and what it says.

use std::time::Duration;

use weir_core::{
    Lang, Verdict,
    evidence::{Fact, ViaProxy},
};

use super::{Bench, codes::agrees, order, report};
use crate::{
    judge::seen::Symptom,
    probe::{Order, ProbeId, Progress, Proxies},
    report::{Layout, Report},
};

fn zh(report: &Report) -> String {
    report.text(Lang::Zh, Layout::default())
}

async fn of(model: &str) -> Report {
    let report = Bench::new().report(order(model)).await;
    agrees(&report, model);
    report
}

#[tokio::test(start_paused = true)]
async fn r5_a_stream_without_data_and_one_that_stalls_are_two_things() {
    assert_eq!(of("sim:no_data").await.primary, Verdict::StreamSilent);
    assert_eq!(of("sim:stall=30s").await.primary, Verdict::StreamStalled);
}

#[tokio::test(start_paused = true)]
async fn r6_a_cut_is_told_with_the_lines_that_came() {
    let report = of("sim:cut_after=5").await;
    let observed = report.evidence.as_ref().unwrap().stream_obs.as_ref().unwrap();
    assert_eq!((report.primary, observed.data_lines), (Verdict::StreamCut, Some(5)));
}

#[tokio::test(start_paused = true)]
async fn r7_a_clean_end_without_a_mark_is_never_well() {
    for model in ["sim:no_done", "sim:cut_clean_after=5", "sim:no_done,http10"] {
        assert_eq!(of(model).await.primary, Verdict::EndMarkerMissing, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn r8_a_spinner_while_all_is_well_is_the_clients() {
    let report = Bench::new().report(Order { symptom: Some(Symptom::Spinner), ..order("sim:ok") }).await;
    agrees(&report, "spinner");
    assert_eq!(report.primary, Verdict::ClientSpinner);
    assert!(zh(&report).contains("weir doctor client"));
    let broken = Bench::new().report(Order { symptom: Some(Symptom::Spinner), ..order("sim:no_data") }).await;
    assert_eq!(broken.primary, Verdict::StreamSilent, "a fault that was seen wins over a complaint");
}

#[tokio::test(start_paused = true)]
async fn every_other_complaint_gets_a_next_step_when_all_is_well() {
    for symptom in [Symptom::Cut, Symptom::RateLimit, Symptom::Timeout, Symptom::ChargedTwice] {
        let report = Bench::new().report(Order { symptom: Some(symptom), ..order("sim:ok") }).await;
        assert_eq!((report.primary, report.hints.len()), (Verdict::Ok, 1), "{symptom:?}");
        assert!(report.text(Lang::En, Layout::default()).contains(&report.hints[0].en));
    }
}

#[tokio::test(start_paused = true)]
async fn r9_a_429_has_distinct_reasons() {
    for (model, verdict) in [
        ("sim:429_hint=7s", Verdict::RateLimited),
        ("sim:429_concurrency", Verdict::ConcurrencySpent),
        ("sim:429_daily", Verdict::QuotaSpent),
    ] {
        assert_eq!(of(model).await.primary, verdict, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn r10_four_timeouts_have_four_origins() {
    let hasty = Order { timeout: Some(Duration::from_secs(2)), ..order("sim:first_byte=5s") };
    assert_eq!(Bench::new().report(hasty).await.primary, Verdict::ClientLeft);
    assert_eq!(of("sim:proxy_504_html").await.primary, Verdict::ProxyCut);
    assert_eq!(of("sim:first_byte=40s").await.primary, Verdict::FirstByteTimeout);
    assert_eq!(of("sim:tokens=20,interval=2s").await.primary, Verdict::LongTaskSync);
}

#[tokio::test(start_paused = true)]
async fn r11_no_fault_makes_a_run_ask_the_model_more_than_three_times() {
    for model in ["sim:ok", "sim:503", "sim:no_data", "sim:buffered", "sim:first_byte=40s", "sim:400", "sim:reset_after_accept"] {
        let bench = Bench::new();
        bench.report(order(model)).await;
        let calls = bench.sim.requests().iter().filter(|request| request.method == "POST").count();
        assert!(calls <= 3, "{model}: {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn r12_the_nine_facts_of_a_first_report_are_there_or_unknown() {
    for model in ["sim:no_data", "sim:401", "sim:first_byte=40s", "sim:429"] {
        let json = serde_json::to_value(of(model).await.evidence).unwrap();
        for path in [
            "/request/model",
            "/request/time",
            "/request/stream",
            "/status",
            "/error_text",
            "/client/name",
            "/request/via_proxy",
            "/key_masked",
            "/charge/state",
        ] {
            assert!(json.pointer(path).is_some(), "{model}: {path} in {json}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r13_a_proxy_is_told_with_how_it_was_seen_and_never_denied() {
    let variables = [("HTTP_PROXY".to_owned(), "http://proxy.test:3128".to_owned())];
    let bench = Bench { is_proxied: true, ..Bench::new() };
    let through = bench.report(Order { proxies: Proxies::of(&variables), ..order("sim:ok") }).await;
    agrees(&through, "proxy");
    assert_eq!((through.primary, through.exit_code), (Verdict::LocalProxyOn, 0));
    let request = &through.evidence.as_ref().unwrap().request;
    assert_eq!(request.via_proxy, ViaProxy::Yes);
    assert_eq!(request.via_proxy_how.known().unwrap().as_str(), "HTTP_PROXY");
    assert_eq!(of("sim:ok").await.evidence.unwrap().request.via_proxy, ViaProxy::NotSeen);
}

#[tokio::test(start_paused = true)]
async fn r15_a_silent_stream_names_the_four_suspects_and_does_not_blame_the_model() {
    let text = zh(&of("sim:no_data").await);
    for word in ["响应头", "data", "缓冲", "客户端", "不要直接判断模型不可用", "直接判断模型不可用"] {
        let word = if word == "不要直接判断模型不可用" { "直接判断模型不可用" } else { word };
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn r16_a_429_names_rate_quota_and_reset() {
    let text = zh(&of("sim:429_hint=7s").await);
    for word in ["resetAt", "每日配额", "请求频率", "不要"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn r17_a_hidden_status_is_a_finding() {
    assert_eq!(of("sim:hidden_busy").await.primary, Verdict::StatusHidden);
}

#[tokio::test(start_paused = true)]
async fn r19_r24_the_control_comes_first_and_differs_in_stream_only() {
    let bench = Bench::new();
    bench.report(order("sim:ok")).await;
    let asked: Vec<_> = bench.sim.requests().into_iter().filter(|request| request.method == "POST").collect();
    assert_eq!(asked.iter().map(|request| request.stream).collect::<Vec<_>>(), [false, true, true]);
    assert!(asked.windows(2).all(|pair| pair[0].prompt_hash == pair[1].prompt_hash), "the same question");
    assert_eq!(asked[1].body_hash, asked[2].body_hash);
    assert_eq!(asked[0].body_bytes, asked[1].body_bytes + 1, "`false` is one letter longer than `true`, and nothing else differs");
}

#[tokio::test(start_paused = true)]
async fn r20_after_a_control_that_failed_no_stream_is_asked() {
    for (model, verdict) in [
        ("sim:401", Verdict::KeyUnknown),
        ("sim:404", Verdict::ModelNotFound),
        ("sim:402", Verdict::BalanceSpent),
        ("sim:403_group", Verdict::GroupModelDenied),
        ("sim:503", Verdict::UpstreamOverloaded),
    ] {
        let bench = Bench::new();
        assert_eq!(bench.report(order(model)).await.primary, verdict, "{model}");
        assert!(bench.sim.requests().iter().all(|request| !request.stream), "{model}: no stream was asked");
    }
    // A key that is refused for the list of models is not tried on a model.
    let always = weir_sim::Scenario::parse("sim:401").unwrap();
    let bench = Bench::with(weir_sim::SimSettings { always, ..weir_sim::SimSettings::default() });
    let report = bench.report(order("gpt-4o-mini")).await;
    assert_eq!((report.primary, report.budget.used_requests), (Verdict::KeyUnknown, 0));
}

#[tokio::test(start_paused = true)]
async fn r21_each_of_the_three_stream_checks_fails_alone() {
    for (model, verdict) in [
        ("sim:wrong_type=html", Verdict::NotAStream),
        ("sim:no_data", Verdict::StreamSilent),
        ("sim:no_done", Verdict::EndMarkerMissing),
        ("sim:ok", Verdict::Ok),
    ] {
        assert_eq!(of(model).await.primary, verdict, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn r25_listed_response_headers_are_kept_and_no_cookie() {
    let json = serde_json::to_string(&of("sim:no_done").await).unwrap();
    assert!(json.contains("text/event-stream") && json.contains("no-cache, no-transform"));
    assert!(!json.contains("set-cookie") && !json.contains("planted-cookie"));
}

#[tokio::test(start_paused = true)]
async fn r26_a_buffered_stream_names_four_suspects_in_order() {
    let report = of("sim:buffered").await;
    for (text, suspects) in [
        (zh(&report), ["nginx", "网关", "公司", "扩展"]),
        (report.text(Lang::En, Layout::default()), ["nginx", "gateway", "company", "extension"]),
    ] {
        let steps = &text[text.find("1 ").unwrap()..];
        let places: Vec<_> = suspects.iter().map(|suspect| steps.find(suspect).unwrap_or_else(|| panic!("{suspect}: {text}"))).collect();
        assert!(places.is_sorted(), "{places:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn r43_a_429_has_four_lines_each_with_a_value_or_unknown() {
    for model in ["sim:429", "sim:429_daily", "sim:429_concurrency", "sim:429_body"] {
        let report = of(model).await;
        let limits = &report.look_at.iter().find(|group| group.group == "limits").unwrap().fields;
        assert_eq!(limits.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["rate", "daily", "reset_at", "concurrency"]);
        assert!(limits.iter().all(|field| !field.value.is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn r44_a_timeout_is_told_hop_by_hop() {
    let report = of("sim:first_byte=40s").await;
    let hops = &report.look_at.iter().find(|group| group.group == "hops").unwrap().fields;
    assert_eq!(hops.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["client", "proxy", "gateway", "upstream"]);
    assert!(report.look_at.iter().any(|group| group.fields.iter().any(|field| field.field == "task_type")));
}

#[tokio::test(start_paused = true)]
async fn r78_each_class_has_exactly_its_own_list() {
    for (model, groups) in [
        ("sim:no_data", &["stream_obs", "headers", "client"][..]),
        ("sim:429", &["limits", "attempts"]),
        ("sim:proxy_504_html", &["timing", "hops", "task", "charge"]),
        ("sim:ok", &[]),
    ] {
        let report = of(model).await;
        assert_eq!(report.look_at.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), groups, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_tells_its_plan_first_and_each_probe_as_it_goes() {
    let (examined, told) = Bench::new().run(order("sim:tokens=10,interval=20ms")).await;
    assert!(matches!(&told[0], Progress::Planned { cost, .. } if cost.requests == 3));
    let arrived: u32 =
        told.iter().map(|progress| if let Progress::Arrived { probe: ProbeId::P5, events, .. } = progress { *events } else { 0 }).sum();
    let finished: Vec<ProbeId> =
        told.iter().filter_map(|progress| if let Progress::Finished(check) = progress { Some(check.id) } else { None }).collect();
    assert_eq!(arrived, examined.seen.stream.as_ref().unwrap().stream().unwrap().events);
    assert_eq!(finished, [ProbeId::P0, ProbeId::P1, ProbeId::P2, ProbeId::P3, ProbeId::P4, ProbeId::P5, ProbeId::P6]);
    let report = report(&examined);
    assert_eq!(report.checks.iter().map(|check| check.id).collect::<Vec<_>>(), finished);
}

#[tokio::test(start_paused = true)]
async fn a_record_for_the_public_names_no_account_and_no_fingerprint() {
    let (examined, _) = Bench::new().run(order("sim:401")).await;
    let public =
        Report::of(&examined, &crate::report::Making { audience: weir_core::Audience::Public, ..super::making() }).evidence.unwrap();
    assert_eq!(public.key_fp, Fact::NotApplicable);
    assert_eq!(public.evidence_id.to_string(), report(&examined).evidence_id.to_string(), "both are the same run");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_quotes_the_key_and_the_prompt_is_not_repeated() {
    for model in ["sim:echo_error=400", "sim:echo_error=401", "sim:echo_error=500", "sim:echo_error=event"] {
        let report = of(model).await;
        assert!(report.evidence.is_some(), "{model}: a record could be made");
        let all = format!("{}{}{}", serde_json::to_string(&report).unwrap(), zh(&report), report.text(Lang::En, Layout::default()));
        for planted in ["planted12345678", "planted-cookie", "Count from", "someone@example.com"] {
            assert!(!all.contains(planted), "{model}: {planted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_runs_out_leaves_a_valid_report_that_says_so() {
    let report = Bench::new().report(Order { budget: Duration::from_secs(3), ..order("sim:first_byte=10s") }).await;
    assert_eq!((report.complete, report.primary, report.exit_code), (false, Verdict::EvidenceMissing, 4));
    let late = Bench::new().report(Order { budget: Duration::from_secs(8), ..order("sim:no_data=1h") }).await;
    assert!(!late.complete && late.exit_code == 4, "{}", late.text(Lang::En, Layout::default()));
}

#[tokio::test(start_paused = true)]
async fn whatever_the_other_side_does_a_run_ends_within_half_a_minute_with_a_verdict() {
    for (model, verdict) in [
        ("sim:first_byte=40s", Verdict::FirstByteTimeout),
        ("sim:slow_headers=40s", Verdict::FirstByteTimeout),
        ("sim:first_byte=12s,tokens=20,interval=300ms", Verdict::Ok),
        ("sim:tokens=20,interval=2s", Verdict::LongTaskSync),
        ("sim:tokens=64,interval=390ms", Verdict::Ok),
        ("sim:no_data=1h", Verdict::StreamSilent),
        ("sim:stall=1h", Verdict::StreamStalled),
        ("sim:heartbeat=1s,first_byte=1h", Verdict::FirstByteTimeout),
        ("sim:gzip_buffered,tokens=40,interval=100ms", Verdict::GzipBuffered),
    ] {
        let began = tokio::time::Instant::now();
        let report = Bench::new().report(order(model)).await;
        agrees(&report, model);
        assert_eq!((report.primary, report.complete), (verdict, true), "{model}: {}", report.text(Lang::En, Layout::default()));
        assert!(began.elapsed() < Duration::from_secs(30), "{model}: {:?}", began.elapsed());
        assert!(report.budget.used_requests <= 3, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_control_has_the_stream_asked_beside_it_and_never_before() {
    let bench = Bench::new();
    let report = bench.report(order("sim:first_byte=12s,tokens=20,interval=100ms")).await;
    assert_eq!(report.primary, Verdict::Ok, "{}", report.text(Lang::En, Layout::default()));
    let asked: Vec<_> = bench.sim.requests().into_iter().filter(|request| request.method == "POST").collect();
    assert!(!asked[0].stream && asked[1].stream && asked[1].at_ms - asked[0].at_ms >= 5_000, "{asked:?}");
    assert!(report.skipped.contains(&ProbeId::P6) && report.hints.iter().any(|hint| hint.en.contains("--budget")));
}

#[tokio::test(start_paused = true)]
async fn a_model_is_chosen_from_the_list_and_the_reason_is_told() {
    let report = Bench::new().report(Order { model: None, ..order("") }).await;
    assert_eq!((report.target.model.as_str(), report.primary), ("gpt-4o-mini", Verdict::Ok));
    assert!(report.target.model_why.is_some());
    let unlisted = Bench::new().report(Order { model: None, no_models: true, ..order("") }).await;
    assert_eq!((unlisted.primary, unlisted.exit_code, unlisted.budget.used_requests), (Verdict::EvidenceMissing, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_media_model_is_never_asked_to_make_anything() {
    let bench = Bench::new();
    let report = bench.report(order("sora-2")).await;
    assert_eq!(report.budget.used_requests, 0);
    assert!(bench.sim.requests().iter().all(|request| request.method == "GET"));
}

#[tokio::test(start_paused = true)]
async fn calls_until_a_429_stop_at_the_first() {
    let bench = Bench::new();
    let report = bench.report(Order { burst: Some(10), ..order("sim:rpm=6,429_hint") }).await;
    let burst = report.checks.iter().find(|check| check.id == ProbeId::P11).unwrap();
    assert_eq!((report.primary, burst.code), (Verdict::RateLimited, Some(Verdict::RateLimited)));
    let burst = examined_burst(&bench);
    assert!((1..10).contains(&burst), "it stopped at the first: {burst}");
}

fn examined_burst(bench: &Bench) -> usize {
    bench.sim.requests().iter().filter(|request| request.method == "POST" && !request.stream).count() - 1
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_tells_when_it_was_cut() {
    let report = Bench::new().report(Order { hold_s: Some(120), ..order("sim:tokens=2000,interval=500ms,cut_after=120") }).await;
    let hold = report.checks.iter().find(|check| check.id == ProbeId::P12).unwrap();
    assert!(hold.observed.total_ms.unwrap() >= 59_000 && hold.seen.en.contains("reset") | hold.seen.en.contains("cut"), "{:?}", hold.seen);
    assert!(report.notes.iter().chain([]).any(|note| note.code == Verdict::StreamCut) || report.primary == Verdict::ProxyCut);
}

#[tokio::test(start_paused = true)]
async fn every_way_of_leaving_probes_out_leaves_them_out() {
    let report = Bench::new().report(Order { is_cheap: true, no_models: true, ..order("sim:ok") }).await;
    assert_eq!((report.primary, report.budget.used_requests), (Verdict::Ok, 2));
    assert!(report.skipped.contains(&ProbeId::P3) && report.skipped.contains(&ProbeId::P6));
    let only = Bench::new().report(Order { only: vec![ProbeId::P3], ..order("sim:ok") }).await;
    assert_eq!((only.budget.used_requests, only.primary, only.exit_code), (0, Verdict::EvidenceMissing, 3));
}

#[tokio::test(start_paused = true)]
async fn the_same_layout_of_a_finding_in_both_languages() {
    let report = of("sim:gzip_buffered").await;
    insta::assert_snapshot!("gzip_buffered_en", report.text(Lang::En, Layout::default()));
    insta::assert_snapshot!("gzip_buffered_zh", zh(&report));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_leaves_a_valid_report_of_what_it_saw() {
    let bench = Bench::new();
    let mut run = crate::probe::Examined::new(order("sim:no_data=1h"), super::EPOCH, 1);
    let clock = super::Wall(tokio::time::Instant::now());
    let tools = crate::probe::Tools { reach: &bench, clock: &clock, watch: &|_| () };
    // Dropped in the middle of the stream, as Ctrl-C does.
    tokio::time::timeout(Duration::from_secs(10), run.run(&tools)).await.unwrap_err();
    run.seen.is_interrupted = true;
    let report = report(&run);
    assert_eq!((report.complete, report.exit_code), (false, 130));
    assert!(report.checks.iter().any(|check| check.id == ProbeId::P4), "what was seen stays");
    let json = serde_json::to_string(&report).unwrap();
    assert!(serde_json::from_str::<Report>(&json).is_ok());
    assert!(zh(&report).contains("没有做完"));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_never_says_that_all_is_well() {
    let bench = Bench::new();
    let mut run = crate::probe::Examined::new(order("sim:ok"), super::EPOCH, 1);
    let clock = super::Wall(tokio::time::Instant::now());
    let tools = crate::probe::Tools { reach: &bench, clock: &clock, watch: &|_| () };
    run.run(&tools).await;
    assert_eq!(report(&run).primary, Verdict::Ok);
    run.seen.is_interrupted = true;
    assert_eq!((report(&run).primary, report(&run).exit_code), (Verdict::EvidenceMissing, 130));
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_key_that_is_refused_says_where_the_key_goes() {
    let report = Bench::new().report(Order { key: None, ..order("sim:401") }).await;
    assert_eq!(report.primary, Verdict::KeyUnknown);
    assert!(zh(&report).contains("WEIR_KEY"), "{}", zh(&report));
}

#[tokio::test(start_paused = true)]
async fn other_families_of_the_api_are_probed_in_their_own_words() {
    use crate::probe::Api;
    for api in [Api::Responses, Api::Messages] {
        let well = Bench::new().report(Order { api, ..order("sim:tokens=30,interval=20ms") }).await;
        assert_eq!(well.primary, Verdict::Ok, "{api:?}: {}", zh(&well));
        let cut = Bench::new().report(Order { api, ..order("sim:cut_after=5") }).await;
        assert_eq!(cut.primary, Verdict::StreamCut, "{api:?}");
        let wordless = Bench::new().report(Order { api, ..order("sim:cut_clean_after=5") }).await;
        assert_eq!(wordless.primary, Verdict::EndMarkerMissing, "{api:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_without_its_version_gets_the_one_that_would_do() {
    let report = Bench::new().report(Order { base_url: "http://api.example.com".to_owned(), ..order("sim:ok") }).await;
    assert_eq!(report.primary, Verdict::NotTheApi, "{}", zh(&report));
    assert!(zh(&report).contains("http://api.example.com/v1"), "{}", zh(&report));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_doctors_own_limit_ended_is_well() {
    let report = of("sim:tokens=500,interval=5ms").await;
    assert_eq!(report.primary, Verdict::Ok, "{}", zh(&report));
    let note = report.notes.iter().find(|note| note.code == Verdict::EndedByLimit).unwrap();
    assert!(note.detail.as_ref().unwrap().en.contains("the doctor's own"));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_the_doctor_cannot_go_through_is_not_claimed_as_its_way() {
    let variables = [("ALL_PROXY".to_owned(), "socks4://proxy.test:1080".to_owned())];
    let report = Bench::new().report(Order { proxies: Proxies::of(&variables), ..order("sim:ok") }).await;
    agrees(&report, "socks4");
    assert_eq!(report.primary, Verdict::LocalProxyOn);
    assert!(zh(&report).contains("直连"), "{}", zh(&report));
    assert_eq!(report.evidence.unwrap().request.via_proxy, ViaProxy::NotSeen);
}

#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_the_list_of_models_is_the_wrong_address_also_when_no_model_was_named() {
    let always = weir_sim::Scenario::parse("sim:404_html").unwrap();
    let bench = Bench::with(weir_sim::SimSettings { always, ..weir_sim::SimSettings::default() });
    let report = bench.report(Order { model: None, base_url: "http://api.example.com".to_owned(), ..order("") }).await;
    agrees(&report, "a page");
    assert_eq!(report.primary, Verdict::NotTheApi, "{}", zh(&report));
    assert!(zh(&report).contains("http://api.example.com/v1"), "it says where the API may be: {}", zh(&report));
}
