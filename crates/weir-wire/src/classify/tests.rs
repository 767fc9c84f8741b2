//! Laws of sorting: every labelled error of the corpus, errors that are not in it, every shape, and no leak through Debug.

use proptest::prelude::*;

use super::{UpstreamClass as C, *};
use weir_core::{Timestamp, Verdict};

fn vendor_of(name: &str) -> Vendor {
    if matches!(name, "dashscope" | "gemini") { Vendor::named(name) } else { Vendor::UNKNOWN }
}

fn wrong(hints: impl Fn(&str) -> Vendor) -> Vec<String> {
    let cases = accuracy::known();
    let labelled = cases.iter().filter_map(|case| case.class.as_ref().map(|class| (case, class)));
    labelled
        .filter_map(|(case, wanted)| {
            let seen = class(&UpstreamError::read(case.status, case.body.as_bytes()), hints(&case.vendor)).name();
            (seen != wanted).then(|| format!("{} {} should be {wanted}, is {seen}: {}", case.vendor, case.status, case.body))
        })
        .collect()
}

#[test]
fn every_class_of_the_labelled_list_is_reproduced() {
    assert_eq!(wrong(vendor_of), [""; 0]);
}

#[test]
fn the_labelled_list_needs_no_vendor_hint() {
    assert_eq!(wrong(|_| Vendor::UNKNOWN), [""; 0]);
}

#[test]
fn every_pattern_is_a_regular_expression() {
    assert!(rules::every_pattern_compiles() && vendor::every_pattern_compiles());
}

fn sorted(status: u16, body: &str) -> C {
    class(&UpstreamError::read(status, body.as_bytes()), Vendor::UNKNOWN)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn errors_outside_the_corpus_are_sorted_by_what_they_say() {
    let table: &[(u16, &str, C)] = &[
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            C::ContextLength,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            C::ContextLength,
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
            C::Auth,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
            C::Auth,
        ),
        (404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-nothing"}}"#, C::Model),
        (
            400,
            r#"{"error":{"message":"The model `llama2-70b` has been decommissioned","type":"invalid_request_error","code":"model_decommissioned"}}"#,
            C::Model,
        ),
        (400, r#"{"object":"error","message":"Invalid model: mistral-huge","type":"invalid_model","param":null,"code":"1500"}"#, C::Model),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for gpt-4o on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s.","type":"requests","code":"rate_limit_exceeded"}}"#,
            C::DailyQuota,
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for gpt-4o on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.","type":"requests","code":"rate_limit_exceeded"}}"#,
            C::RateLimit,
        ),
        (
            429,
            r#"{"error":{"code":"RateLimitReached","message":"Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 3600 seconds before retrying."}}"#,
            C::DailyQuota,
        ),
        (
            429,
            r#"{"error":{"message":"Your account is not active, please check your billing details on our website.","type":"billing_not_active","code":"billing_not_active"}}"#,
            C::Balance,
        ),
        (
            429,
            r#"{"error":{"message":"Your account org-x is suspended, please check your plan and billing details","type":"exceeded_current_quota_error"}}"#,
            C::Balance,
        ),
        (
            403,
            r#"{"error":{"code":"AccountOverdueError","message":"The request failed because your account has an overdue balance."}}"#,
            C::Balance,
        ),
        (402, r#"{"error":{"message":"Insufficient credits. Add more using https://example.com/credits","code":402}}"#, C::Balance),
        (429, r#"{"error":{"code":"SetLimitExceeded","message":"paused"}}"#, C::Balance),
        (
            503,
            r#"{"error":{"message":"Service is too busy. We advise users to temporarily switch.","type":"service_unavailable_error"}}"#,
            C::Overloaded,
        ),
        (
            429,
            r#"{"error":{"code":"ServerOverloaded","message":"The service is currently unable to handle additional requests."}}"#,
            C::Overloaded,
        ),
        (503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, C::Overloaded),
        (429, r#"{"__type":"ThrottlingException","message":"Too many tokens, please wait before trying again."}"#, C::RateLimit),
        (200, r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit exceeded"}}"#, C::RateLimit),
        (200, r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#, C::Balance),
        (504, "upstream request timeout", C::Timeout),
        (
            500,
            r#"{"error":{"message":"do request failed: context deadline exceeded","type":"new_api_error","code":"do_request_failed"}}"#,
            C::Timeout,
        ),
        (502, "upstream connect error or disconnect/reset before headers. reset reason: connection failure", C::Upstream),
        (403, "", C::Auth),
        (500, "", C::Upstream),
        (418, "short and stout", C::BadRequest),
        (0, "java.net.SocketException: Connection reset", C::StreamCut),
        (403, r#"{"error":{"message":"该分组无可用渠道"}}"#, C::Group),
        (
            422,
            r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096","error_type":"validation"}"#,
            C::ContextLength,
        ),
    ];
    for (status, body, expected) in table {
        assert_eq!(sorted(*status, body), *expected, "{status} {body}");
    }
}

/// Status, body, code.
fn told(table: &[(u16, &str, &str)]) {
    for (status, body, code) in table {
        let seen = classified(&UpstreamError::read(*status, body.as_bytes()), &Around::default());
        assert_eq!(seen.verdict.code(), *code, "{status} {body} by {}", seen.why);
    }
}

#[test]
fn an_offer_or_a_question_does_not_beat_what_happened() {
    told(&[
        (429, r#"{"error":{"message":"Too many requests. To increase your quota, see https://example.com/b to top up."}}"#, "W-RATE-002"),
        (429, r#"{"error":{"message":"You are sending requests too quickly. Add credits to raise your limits."}}"#, "W-RATE-002"),
        (429, r#"{"error":{"message":"请求过于频繁，请稍后再试。如需提升限额，请前往控制台充值"}}"#, "W-RATE-002"),
        (503, r#"{"error":{"message":"Model overloaded. Upgrade your plan for priority access."}}"#, "W-UP-002"),
        (404, r#"{"error":{"message":"Model foo not found. Contact support to request access."}}"#, "W-MODEL-001"),
        (401, r#"{"error":{"message":"Invalid key. If your key expired, you can create a new one."}}"#, "W-AUTH-001"),
        (0, "how do I top up my account?", "W-PROBE-001"),
        (0, "请问怎么充值？", "W-PROBE-001"),
        // Where nothing else is said, the advice is what there is.
        (403, r#"{"error":{"message":"Please top up your account."}}"#, "W-BAL-001"),
    ]);
}

#[test]
fn a_connection_that_ended_without_an_answer_leaves_the_outcome_open() {
    told(&[
        (0, "Error: read ECONNRESET", "W-TMO-009"),
        (0, "httpx.RemoteProtocolError: Server disconnected without sending a response.", "W-TMO-009"),
        (0, "Post \"https://api.example.com/v1/chat/completions\": EOF", "W-TMO-009"),
        (502, r#"{"error":{"message":"read ECONNRESET","type":"proxy_error"}}"#, "W-TMO-009"),
        // A stream that had begun is another matter.
        (0, "urllib3.exceptions.ProtocolError: ('Connection broken: IncompleteRead(0 bytes read)')", "W-STREAM-005"),
        (0, "curl: (18) transfer closed with outstanding read data remaining", "W-STREAM-005"),
    ]);
}

#[test]
fn what_is_given_once_is_money_and_what_opens_again_is_a_quota() {
    told(&[
        (429, r#"{"error":{"message":"免费额度已用完，请购买资源包"}}"#, "W-BAL-001"),
        (403, r#"{"code":"AllocationQuota.FreeTierOnly","message":"The free tier of the model has been exhausted."}"#, "W-BAL-001"),
        (429, r#"{"error":{"message":"今日免费额度已用完，明日再来"}}"#, "W-RATE-003"),
        (429, r#"{"error":{"message":"You have used up your daily free allocation of 10,000 neurons."}}"#, "W-RATE-003"),
    ]);
}

#[test]
fn an_error_is_found_wherever_its_fields_stand() {
    told(&[
        (401, r#"{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth.v2.InvalidApiKey"}}}"#, "W-AUTH-001"),
        (402, r#"{"name":"payment_required","errors":["You lack sufficient credits to make this request."]}"#, "W-BAL-001"),
        (429, r#"{"__type":"com.amazon.coral.service#ThrottlingException","message":"Rate exceeded"}"#, "W-RATE-002"),
        (422, r#"{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error.missing"}]}"#, "W-REQ-001"),
        (0, "google.api_core.exceptions.ResourceExhausted: 429 Resource exhausted. Please try again later.", "W-RATE-002"),
        (0, "grpc: status = StatusCode.RESOURCE_EXHAUSTED", "W-RATE-002"),
        (401, "<Error><Code>InvalidAccessKeyId</Code><Message>The access key does not exist.</Message></Error>", "W-AUTH-001"),
        (200, r#"{"data":{"task_id":"1","status":"FAILED","fail_reason":"render error"}}"#, "W-TASK-003"),
    ]);
}

#[test]
fn one_word_means_what_its_vendor_means() {
    let quota = br#"{"error":{"message":"You exceeded your current quota, please check your plan.","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let error = UpstreamError::read(429, quota);
    assert_eq!(class(&error, Vendor::UNKNOWN), C::Balance);
    assert_eq!(class(&error, Vendor::named("dashscope")), C::RateLimit);
    assert_eq!(class(&error, Vendor::named("gemini")), C::RateLimit);
    assert_eq!(Vendor::of_host("dashscope-intl.aliyuncs.com"), Vendor::named("dashscope"));
    assert_eq!(Vendor::of_host("Generativelanguage.googleapis.com"), Vendor::named("gemini"));
    assert_eq!(Vendor::of_host("dashscope.evil.example"), Vendor::UNKNOWN);
}

#[test]
fn a_prompt_that_an_error_echoes_outside_its_telling_fields_sorts_nothing() {
    let body =
        r#"{"error":{"message":"server had an error","type":"server_error","input":"what is insufficient_quota and a rate limit?"}}"#;
    assert_eq!(sorted(500, body), C::Upstream);
}

#[test]
fn a_message_is_found_in_every_shape() {
    let table: &[(&str, &str, Option<&str>, Option<&str>)] = &[
        (r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#, "m", Some("c"), Some("t")),
        (r#"{"error":{"message":"m","type":"t","code":429}}"#, "m", Some("429"), Some("t")),
        (r#"{"error":"m"}"#, "m", None, None),
        (r#"{"object":"error","message":"m","type":"t","code":404}"#, "m", Some("404"), Some("t")),
        (r#"{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}"#, "m", None, Some("t")),
        (r#"{"code":30011,"message":"m","data":null}"#, "m", Some("30011"), None),
        (r#"[{"error":{"code":400,"message":"m","status":"INVALID"}}]"#, "m", Some("400"), Some("INVALID")),
        (r#"{"error":{"message":"{\"error\":{\"message\":\"m\"}}","code":"c"}}"#, "m", Some("c"), None),
        (r#"{"detail":"m"}"#, "m", None, None),
        (r#"{"detail":[{"loc":["body"],"msg":"m","type":"missing"}]}"#, "m", None, None),
        (r#"{"msg":"m"}"#, "m", None, None),
        (r#"{"type":"about:blank","title":"m","status":524}"#, "m", None, Some("about:blank")),
        (r#"{"response":{"status":"failed","error":{"code":"c","message":"m"}}}"#, "m", Some("c"), None),
        (r#""{\"error\":{\"message\":\"m\"}}""#, "m", None, None),
        ("<html><head><title>m</title></head></html>", "m", None, None),
        ("m", "m", None, None),
        ("\u{feff}{\"error\":{\"message\":\"m\"}}", "m", None, None),
        (r#"{"error":{"message":"m"#, "m", None, None),
        ("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"t\",\"message\":\"m\"}}\n\n", "m", None, Some("t")),
        ("data: {\"error\":{\"message\":\"m\",\"code\":\"c\"}}\n\n", "m", Some("c"), None),
        ("error: {\"code\":400,\"message\":\"m\",\"type\":\"t\"}\n\ndata: [DONE]\n\n", "m", Some("400"), Some("t")),
        ("", "", None, None),
        ("null", "", None, None),
        ("{}", "", None, None),
    ];
    for (body, message, code, kind) in table {
        let error = UpstreamError::read(400, body.as_bytes());
        assert_eq!((error.message.expose(), error.code.as_deref(), error.kind.as_deref()), (*message, *code, *kind), "{body}");
    }
}

#[test]
fn an_upstream_text_is_cut_and_never_printed() {
    let error = UpstreamError::read(500, format!(r#"{{"error":{{"message":"{}","code":"not a token"}}}}"#, "密".repeat(5000)).as_bytes());
    let kept = error.message.expose().chars().count();
    assert!((800..=1024).contains(&kept), "{kept}");
    assert_eq!(error.code, None);
    let secret = UpstreamError::read(401, br#"{"error":{"message":"Incorrect API key provided: sk-canary"}}"#);
    assert!(!format!("{secret:?}").contains("canary"));
}

#[test]
fn r41_no_half_of_a_key_is_left_where_a_text_is_cut() {
    for filler in 900..1100 {
        let body = format!("{} key sk-canary-0123456789abcdefghijklmnopqrstuvwxyz", "x ".repeat(filler / 2));
        let error = UpstreamError::read(500, body.as_bytes());
        let shown = error.message.expose();
        assert!(!shown.contains("canary") || shown.ends_with("xyz"), "{filler}");
    }
}

#[test]
fn a_class_is_told_to_the_one_it_concerns() {
    let at = Some(Timestamp(1));
    assert_eq!(C::RateLimit.verdict(429, at), Verdict::RateLimited);
    assert_eq!(C::RateLimit.verdict(429, None), Verdict::RateLimitedNoHint);
    assert_eq!(C::Timeout.verdict(524, None), Verdict::ProxyCut);
    for (class, verdict) in [
        (C::Balance, Verdict::NoUpstream),
        (C::Auth, Verdict::NoUpstream),
        (C::Group, Verdict::NoUpstream),
        (C::RateLimit, Verdict::UpstreamThrottled),
        (C::DailyQuota, Verdict::UpstreamThrottled),
        (C::Overloaded, Verdict::UpstreamOverloaded),
        (C::ContentFilter, Verdict::ContentRefused),
        (C::ContextLength, Verdict::RequestTooLong),
        (C::BadRequest, Verdict::RequestRejected),
        (C::Model, Verdict::ModelNotFound),
    ] {
        assert_eq!(class.verdict_behind_gateway(), verdict);
    }
    let own = [Verdict::BalanceSpent, Verdict::KeyUnknown, Verdict::QuotaSpent, Verdict::GroupModelDenied, Verdict::RateLimited];
    assert!(C::ALL.iter().all(|class| !own.contains(&class.verdict_behind_gateway())), "an upstream's fault became the caller's");
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(status: u16, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = class(&UpstreamError::read(status, &body), Vendor::UNKNOWN);
    }

    #[test]
    fn no_json_makes_the_reader_panic(body in r#"[{}\[\]",:a-z0-9\\]{0,80}"#) {
        let _ = class(&UpstreamError::read(429, body.as_bytes()), Vendor::named("gemini"));
        let wrapped = format!(r#"{{"error":{{"message":{}}}}}"#, serde_json::to_string(&body).unwrap());
        let _ = class(&UpstreamError::read(429, wrapped.as_bytes()), Vendor::named("dashscope"));
    }
}
