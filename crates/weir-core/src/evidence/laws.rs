//! The laws of the record: complete, strict, bounded, and without anything private.

use jiff::tz::{Offset, TimeZone};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::redact::{Audience, Redactor};
use crate::secret::{KeyFingerprint, Secret};
use crate::{
    AttemptRecord, CallRecord, ChargeFacts, Charged, ClientFacts, KeyId, LimitFacts, LimitScope, Phase, RequestId, Route, Side, StreamEnd,
    StreamFacts, Timestamp, Timing, Verdict,
};

fn record() -> CallRecord {
    CallRecord {
        id: RequestId::new(Timestamp(1_752_460_241_000), 0x1234_5678_9abc_def0_1234),
        at: Timestamp(1_752_460_241_000),
        route: Route::ChatCompletions,
        verdict: Verdict::StreamCut,
        status: 200,
        ended_by: Side::Upstream,
        charge: ChargeFacts { charged: Charged::Yes, ..ChargeFacts::default() },
        kid: KeyId::new("ab12cd34"),
        account: Some("acc_83".to_owned()),
        group: Some("default".to_owned()),
        model: "gpt-4o-mini".to_owned(),
        stream: true,
        client: ClientFacts { name: Some("OpenAI/Python".to_owned()), version: Some("1.52.0".to_owned()), ..ClientFacts::default() },
        suspected_retry_of: None,
        told: None,
        error_code: Some("stream_cut".to_owned()),
        error_text: Some("upstream http://10.0.0.3:8080 closed; key sk-abcdefgh12345678 rejected".to_owned()),
        limit: None,
        scenario: crate::Scenario::default(),
        attempts: vec![AttemptRecord {
            n: 1,
            channel: "azure-eastus".to_owned(),
            phase: Phase::Body,
            status: Some(200),
            upstream_id: Some("req_011CPxyz".to_owned()),
            ms: 900,
            ..AttemptRecord::default()
        }],
        timing: Timing { ttfb: Some(300), first_event: Some(310), last_event: Some(800), total: 905, ..Timing::default() },
        observed: Some(StreamFacts { end: StreamEnd::UpstreamCut, events: 7, bytes: 900, finish_reason: None }),
    }
}

fn zone() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

fn context(redactor: &Redactor) -> EvidenceContext<'_> {
    EvidenceContext {
        level: Level::Fail,
        key_fp: Some(KeyFingerprint::from_bits([1, 2, 3, 4, 5])),
        base_url_host: Some("api.example.com"),
        ..EvidenceContext::new(redactor, "weir 0.1.0", Source::Gateway, Timestamp(1_752_460_262_000), zone())
    }
}

fn json_of(evidence: &Evidence) -> Value {
    serde_json::to_value(evidence).unwrap()
}

#[test]
fn r12_the_nine_things_are_always_there_and_what_is_missing_is_unknown() {
    let redactor = Redactor::default();
    let bare = CallRecord {
        kid: None,
        account: None,
        model: String::new(),
        client: ClientFacts::default(),
        error_text: None,
        observed: None,
        ..record()
    };
    let seen = json_of(&Evidence::of(&bare, &context(&redactor), Audience::Support).unwrap());
    assert_eq!(seen["request"]["model"], "unknown");
    assert_eq!(seen["client"]["name"], "unknown");
    assert_eq!(seen["key_masked"], "unknown");
    assert_eq!(seen["account"], "unknown");
    assert_eq!(seen["error_text"], Value::Null);
    assert_eq!(seen["request"]["time"], "2025-07-14T10:30:41+08:00");
    assert_eq!((&seen["request"]["stream"], &seen["status"], &seen["charge"]["state"]), (&json!(true), &json!(200), &json!("yes")));
}

#[test]
fn r13_a_proxy_that_was_not_seen_is_never_a_no() {
    let redactor = Redactor::default();
    let seen = json_of(&Evidence::of(&record(), &context(&redactor), Audience::Support).unwrap());
    assert_eq!(seen["request"]["via_proxy"], "not_seen");
    let proxied = EvidenceContext { via_proxy_how: Some("HTTPS_PROXY"), ..context(&redactor) };
    let seen = json_of(&Evidence::of(&record(), &proxied, Audience::Support).unwrap());
    assert_eq!((&seen["request"]["via_proxy"], &seen["request"]["via_proxy_how"]), (&json!("yes"), &json!("HTTPS_PROXY")));
}

#[test]
fn r25_only_response_headers_of_the_allow_list_are_kept() {
    let redactor = Redactor::default();
    let headers = [
        ("Content-Type", "text/event-stream"),
        ("Set-Cookie", "sid=1"),
        ("X-RateLimit-Limit-Requests", "60"),
        ("X-Internal-Route", "a"),
        ("Via", "1.1 squid.corp.internal"),
        ("authorization", "Bearer x"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let with = EvidenceContext { response_headers: &headers, ..context(&redactor) };
    let seen = json_of(&Evidence::of(&record(), &with, Audience::Support).unwrap());
    assert_eq!(
        seen["response_headers"],
        json!({"content-type": "text/event-stream", "x-ratelimit-limit-requests": "60", "via": "1.1 private"})
    );
}

#[test]
fn r40_the_schema_requires_the_twelve_fields_and_the_rest_of_group_a() {
    let schema = evidence_schema().to_value();
    let required: Vec<&str> = schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for field in [
        "schema",
        "evidence_id",
        "created_at",
        "product",
        "source",
        "verdict",
        "account",
        "key_masked",
        "key_fp",
        "key_id",
        "client",
        "request",
        "status",
        "error_code",
        "error_text",
        "retry",
        "task",
        "charge",
        "redaction",
    ] {
        assert!(required.contains(&field), "{field} of {required:?}");
    }
    let inner = |name: &str| -> Vec<String> {
        schema["$defs"][name]["required"].as_array().unwrap().iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    for field in ["time", "model", "stream"] {
        assert!(inner("RequestFacts").iter().any(|f| f == field), "{field}");
    }
    assert!(["retried", "count"].iter().all(|f| inner("Retry").iter().any(|r| r == f)));
    assert!(inner("ChargeEvidence").iter().any(|f| f == "state"));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn d5_the_schema_has_no_request_header_and_no_sum_of_money() {
    let schema = evidence_schema().to_value();
    let mut names: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    for (name, part) in schema["$defs"].as_object().unwrap() {
        // The kinds of what was hidden are words such as `cookie`; they are counts.
        if name != "Redaction" {
            names.extend(part["properties"].as_object().into_iter().flat_map(|p| p.keys().cloned()));
        }
    }
    assert!(names.len() > 60);
    for word in [
        "request_headers",
        "authorization",
        "cookie",
        "prompt",
        "messages",
        "content",
        "balance",
        "amount",
        "weight",
        "channel",
        "user_agent",
        "ip",
    ] {
        assert!(!names.iter().any(|n| n == word), "{word}");
    }
}

#[test]
fn r46_a_record_with_an_unknown_field_is_refused() {
    let redactor = Redactor::default();
    let good = json_of(&Evidence::of(&record(), &context(&redactor), Audience::Support).unwrap());
    let back: Evidence = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(json_of(&back), good);
    for (place, field) in [
        ("", "prompt"),
        ("", "headers"),
        ("/client", "user_agent"),
        ("/request", "messages"),
        ("/charge", "amount"),
        ("/redaction", "original"),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(place).unwrap()[field] = json!("x");
        assert!(serde_json::from_value::<Evidence>(bad).is_err(), "{place}/{field}");
    }
    for field in ["account", "task", "error_text", "key_fp"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(field);
        assert!(serde_json::from_value::<Evidence>(bad).is_err(), "without {field}");
    }
}

#[test]
fn r50_the_public_form_has_no_account_no_ledger_no_upstream_and_no_private_host() {
    let redactor = Redactor::default();
    let ids = ["led_01J2W8K3".to_owned()];
    let caller = CallerFacts {
        label: Label::new("team-a", &redactor, Audience::Support).unwrap(),
        group: Fact::UNKNOWN,
        daily_quota: Fact::UNKNOWN,
        share_pct: Fact::UNKNOWN,
    };
    let full = EvidenceContext {
        ledger_ids: &ids,
        caller: Some(caller),
        user_note: Some("a note"),
        base_url_host: Some("gw.corp.internal:8080"),
        charge_window: Some((Timestamp(0), Timestamp(9))),
        ..context(&redactor)
    };
    let public = Evidence::of(&record(), &full, Audience::Public).unwrap();
    let text = serde_json::to_string(&public).unwrap();
    for hidden in ["acc_83", "fp_", "k_ab12", "led_", "team-a", "a note", "corp.internal", "up1", "azure", "1970"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    for shown in ["sk-wr-ab12cd34-…", "\"base_url_host\":\"private\"", "\"account\":null", "gpt-4o-mini"] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert!(public.redaction.dropped.iter().any(|d| d == "account"));
}

#[test]
fn r41_what_is_private_in_an_error_text_or_a_name_never_reaches_a_record() {
    let redactor = Redactor::new([Secret::new("registered-upstream-key")]);
    let bad = CallRecord {
        model: "sk-abcdefgh12345678abcdefgh".to_owned(),
        account: Some("bob@example.com".to_owned()),
        error_code: Some("registered-upstream-key".to_owned()),
        ..record()
    };
    let evidence = Evidence::of(
        &bad,
        &EvidenceContext { user_note: Some("my key sk-abcdefgh12345678 and mail bob@example.com"), ..context(&redactor) },
        Audience::Support,
    )
    .unwrap();
    let text = serde_json::to_string(&evidence).unwrap();
    for hidden in ["abcdefgh", "bob@", "registered", "10.0.0.3"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    for dropped in ["request.model", "account", "error_code"] {
        assert!(evidence.redaction.dropped.iter().any(|d| d == dropped), "{dropped}");
    }
    assert!(evidence.redaction.replaced.values().sum::<u32>() >= 4);
    assert_eq!(evidence.request.model, Fact::UNKNOWN);
}

#[test]
fn r37_a_refused_call_tells_its_limit_and_its_caller_and_no_sum_of_money() {
    let redactor = Redactor::default();
    let mut refused = CallRecord { verdict: Verdict::QuotaSpent, status: 429, observed: None, ..record() };
    refused.client.caller = Some("team-a".to_owned());
    let mut with = |kind, limit| {
        let reset_at = Some(Timestamp(refused.at.0 + 60_000));
        refused.limit = Some(LimitFacts { scope: LimitScope::Key, kind, limit, reset_at, early: 0 });
        [Audience::Support, Audience::Public].map(|audience| Evidence::of(&refused, &context(&redactor), audience).unwrap())
    };
    let [support, public] = with(crate::LimitKind::DailyRequests, 3);
    let limits =
        json!({ "kind": "daily", "limit": 3, "remaining": 0, "used": 3, "reset_at": "2025-07-14T10:31:41+08:00", "retry_after_s": 60 });
    assert_eq!([&json_of(&support)["limits"], &json_of(&public)["limits"]], [&limits, &limits]);
    let caller = json!({ "label": "team-a", "group": "default", "daily_quota": 3, "share_pct": "unknown" });
    assert_eq!((&json_of(&support)["caller"], &json_of(&public)["caller"]), (&caller, &Value::Null));
    let words = VerdictWords { title: "t", check: "c", never: "n" };
    let text = support.render_text(Lang::En, &words);
    assert!(text.contains("Limit daily quota 3   left 0   resetAt 2025-07-14") && text.contains("Caller team-a"), "{text}");
    for evidence in with(crate::LimitKind::DailyAmount, 123_456_789) {
        let json = json_of(&evidence);
        assert_eq!((&json["limits"]["limit"], &json["limits"]["kind"]), (&Value::Null, &"daily".into()));
        assert!(!json.to_string().contains("123456789") && !evidence.render_text(Lang::Zh, &words).contains("123456789"));
    }
}

#[test]
fn the_same_call_has_the_same_id_and_the_id_survives_being_written_down() {
    let id = EvidenceId::of_call(record().id);
    assert_eq!(id, EvidenceId::of_call(record().id));
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(id.to_string().to_lowercase().replace('1', "l").replace('0', "o").parse(), Ok(id));
    assert_eq!("WEV-1234".parse::<EvidenceId>(), Err(NotAnEvidenceId));
}

#[test]
fn r40_the_text_to_paste_has_every_field_in_both_languages() {
    let redactor = Redactor::default();
    let evidence = Evidence::of(&record(), &context(&redactor), Audience::Support).unwrap();
    let words = VerdictWords { title: "stream cut by the upstream", check: "the upstream's status", never: "resubmit a media task" };
    insta::assert_snapshot!(evidence.render_text(Lang::En, &words));
    let words = VerdictWords { title: "流在中途被上游断开", check: "上游状态", never: "重新提交媒体任务" };
    insta::assert_snapshot!(evidence.render_text(Lang::Zh, &words));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_record_of_anything_fits_into_eight_kibibytes_and_reads_back(error in "\\PC{0,3000}", note in "[\\PC\"\\\\\n]{0,900}", model in "\\PC{0,200}", attempts in 0usize..60, header in "[\\PC\"]{0,300}") {
        let redactor = Redactor::default();
        let mut row = CallRecord { error_text: Some(error), model, ..record() };
        row.attempts = vec![AttemptRecord { at_ms: u32::MAX, ms: u32::MAX, status: Some(599), verdict: Some(Verdict::StreamCut), upstream_id: Some("r".repeat(96)), n: 255, ..row.attempts[0].clone() }; attempts];
        row.limit = Some(LimitFacts { scope: LimitScope::Key, kind: crate::LimitKind::DailyTokens, limit: u64::MAX, reset_at: Some(Timestamp(row.at.0 + 1)), early: 9 });
        (row.client.caller, row.group) = (Some("队".repeat(64)), Some("组".repeat(64)));
        let headers: Vec<(String, String)> = (0..40).map(|i| (format!("x-ratelimit-{i:036}"), header.clone())).collect();
        let ids = vec!["led_01J2W8K3Q4ZP7M01J2W8K3Q4ZP7M01J2W8K3Q4ZP7M".to_owned(); 30];
        let full = EvidenceContext { response_headers: &headers, user_note: Some(&note), ledger_ids: &ids, ..context(&redactor) };
        let evidence = Evidence::of(&row, &full, Audience::Support).unwrap();
        let text = serde_json::to_string(&evidence).unwrap();
        prop_assert!(text.len() <= MAX_EVIDENCE_BYTES, "{}", text.len());
        let back: Evidence = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&back).unwrap(), text);
        let words = VerdictWords { title: "t\nt", check: "c", never: "n" };
        prop_assert!(evidence.render_text(Lang::Zh, &words).lines().count() <= MAX_TEXT_LINES);
    }
}
