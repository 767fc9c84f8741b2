//! `weir triage` through the binary: files and stdin, both languages, exit codes, the record, and what is refused.

use std::fs;

use crate::weir::Home;

const KEY: &str = "sk-12345678abcdEFGHijklMNOPqrstUVWXyz012345";

#[test]
fn r52_a_pasted_key_is_never_printed_and_the_first_line_says_to_replace_it() {
    let home = Home::new();
    let paste = format!(
        "curl -H 'Authorization: Bearer {KEY}' …\nHTTP 401: {{\"error\":{{\"code\":\"invalid_api_key\",\"message\":\"Incorrect API key provided\"}}}}"
    );
    for (lang, first) in [("zh", "!! 已隐藏,请立即更换"), ("en", "!! Hidden; replace it now")] {
        let ran = home.run_on(&paste, &["triage", "--lang", lang]);
        assert_eq!(ran.exit, 1, "{ran:?}");
        assert!(ran.out.starts_with(first) && ran.out.contains("W-AUTH-001"), "{}", ran.out);
        assert!(!ran.out.contains("12345678") && !ran.err.contains("12345678"), "{ran:?}");
    }
}

#[test]
fn the_exit_code_says_fault_fine_or_cannot_tell() {
    let home = Home::new();
    let fine = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n";
    for (paste, exit, code) in [
        ("Error code: 429 - {'error': {'code': 'rate_limit_exceeded'}}", 1, "W-RATE-002"),
        (fine, 0, "W-OK-001"),
        ("it is unstable", 3, "W-PROBE-001"),
    ] {
        let ran = home.run_on(paste, &["triage", "--json"]);
        assert_eq!(ran.exit, exit, "{ran:?}");
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((&json["verdict"]["code"], &json["exit_code"]), (&code.into(), &exit.into()));
    }
}

#[test]
fn r46_the_record_goes_to_a_file_that_verify_accepts() {
    let home = Home::new();
    let paste = format!(
        "openai.RateLimitError: Error code: 429 - {{'error': {{'message': 'slow down, key {KEY}', 'code': 'rate_limit_exceeded'}}}} model=gpt-4o"
    );
    let file = home.file("paste.log", &paste);
    let ran = home.run(&["triage", file.to_str().unwrap(), "--evidence", "record.json", "--audience", "public"]);
    assert_eq!(ran.exit, 1, "{ran:?}");
    let record = fs::read_to_string(home.path().join("record.json")).unwrap();
    assert!(
        record.contains("\"schema\":\"weir.evidence/1\"") && record.contains("\"model\":\"gpt-4o\"") && !record.contains("12345678"),
        "{record}"
    );
    assert!(record.contains("\"source\":\"client\""), "no probe ran: {record}");
    assert_eq!(home.run(&["evidence", "verify", "record.json"]).exit, 0);
}

#[test]
fn the_form_is_published_and_what_is_too_long_or_missing_is_usage() {
    let home = Home::new();
    assert_eq!(home.run(&["triage", "--schema"]).done().json()["title"], "TriageView");
    home.run(&["triage", "none.log"]).failed(2, &["cannot read none.log"]);
    let long = home.file("long.log", &"x".repeat((5 << 20) + 1));
    home.run(&["triage", long.to_str().unwrap()]).failed(2, &["longer than 5 MiB", "hint:"]);
}

#[test]
fn r46_a_record_with_a_prompt_or_a_header_in_it_is_refused_in_words_that_say_what_to_do() {
    let home = Home::new();
    home.run_on("Error code: 429 - {'error': {'code': 'rate_limit_exceeded'}}", &["triage", "--evidence", "record.json"]);
    let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(home.path().join("record.json")).unwrap()).unwrap();
    for (field, lang, said) in [
        ("prompt", "en", "a record has no `prompt`"),
        ("request_headers", "zh", "记录里不能有 `request_headers`"),
        ("colour", "en", "there is no field `colour`"),
    ] {
        let mut changed = record.clone();
        changed[field] = "x".into();
        let ran = home.run_on(&changed.to_string(), &["evidence", "verify", "--lang", lang]);
        assert!(ran.exit == 1 && ran.out.contains(said), "{ran:?}");
    }
    let mut changed = record.clone();
    changed.as_object_mut().unwrap().remove("status");
    let ran = home.run_on(&changed.to_string(), &["evidence", "verify"]);
    assert!(ran.exit == 1 && ran.out.contains("`status` is missing; write \"unknown\""), "{ran:?}");
}
