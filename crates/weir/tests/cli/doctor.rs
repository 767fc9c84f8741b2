//! `weir doctor` as it is typed: where address and key come from, what is printed, which code it ends with.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::{running::Running, weir::Home};

const KEY: &str = "sk-planted12345678planted12345678abcd";
const KEYED: &[(&str, &str)] = &[("WEIR_KEY", KEY)];

/// A simulator, and the address to probe it at.
fn simulator(home: &Home) -> (Running, String) {
    let sim = Running::start(home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
    let url = sim.text("base_url").to_owned();
    (sim, url)
}

fn report(home: &Home, arguments: &[&str]) -> (i32, Value) {
    let ran = home.run_with(KEYED, &[&["doctor"], arguments, &["--json"]].concat());
    (ran.exit, ran.json())
}

#[test]
fn r42_the_pair_of_calls_and_both_results_are_printed() {
    let home = Home::new();
    let (sim, url) = simulator(&home);
    for (lang, words) in [("en", ["P4 control", "P5 stream", "exit 0"]), ("zh", ["P4 对照请求", "P5 流式", "退出码 0"])] {
        let ran = home.run_with(KEYED, &["doctor", &url, "--model", "sim:ok", "--lang", lang]).done();
        for word in words {
            assert!(ran.out.contains(word), "{word}: {}", ran.out);
        }
        assert!(ran.out.contains("W-OK-001") && !ran.out.contains("planted12345678"), "{}", ran.out);
    }
    assert_eq!(sim.stop(Signal::TERM), Some(0));
}

#[test]
fn the_exit_code_is_the_one_of_the_report() {
    let home = Home::new();
    let (_sim, url) = simulator(&home);
    for (model, code, exit) in [
        ("sim:ok", "W-OK-001", 0),
        ("sim:no_done", "W-STREAM-004", 1),
        ("sim:cut_after=5", "W-STREAM-005", 1),
        ("sim:401", "W-AUTH-001", 1),
        ("sim:429_hint=7s", "W-RATE-001", 1),
        ("sim:finish=length", "W-STREAM-013", 0),
        ("sim:no_anti_buffer_headers", "W-STREAM-010", 0),
    ] {
        let (ended, json) = report(&home, &[&url, "--model", model]);
        assert_eq!((json["primary"].as_str().unwrap(), ended), (code, exit), "{model}: {json}");
        assert_eq!(json["exit_code"], exit, "{model}");
    }
    let (strict, json) = report(&home, &[&url, "--model", "sim:no_anti_buffer_headers", "--strict"]);
    assert_eq!((strict, json["exit_code"].as_i64()), (1, Some(1)), "a warning counts when it shall");
    let (inconclusive, _) = report(&home, &[&url, "--model", "sim:ok", "--only", "P3"]);
    assert_eq!(inconclusive, 3);
}

#[test]
fn without_an_address_it_takes_the_variable_then_the_running_gateway_then_says_what_to_type() {
    let home = Home::new();
    home.run(&["doctor"]).failed(2, &["no address", "weir doctor https://api.example.com/v1"]);
    home.run(&["doctor", ""]).failed(2, &["the address is empty", "OPENAI_BASE_URL"]);
    home.run_with(&[("OPENAI_BASE_URL", " ")], &["doctor"]).failed(2, &["no address"]);
    let (_sim, url) = simulator(&home);
    let ran =
        home.run_with(&[("OPENAI_BASE_URL", &url), ("OPENAI_API_KEY", KEY)], &["doctor", "--model", "sim:ok", "--cheap", "--json"]).done();
    assert_eq!(ran.json()["target"]["key_from"], "OPENAI_API_KEY");

    let gateway = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    let ran = home.run(&["doctor", "--json"]).done();
    let json = ran.json();
    assert_eq!((json["target"]["key_from"].as_str(), json["primary"].as_str()), (Some("weir up"), Some("W-OK-001")), "{json}");
    let record = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "P8").unwrap();
    assert!(record["seen"]["en"].as_str().unwrap().contains("charged yes"), "the gateway's own record was read: {record}");
    assert_eq!(json["evidence"]["charge"]["state"], "yes");

    let id = json["evidence"]["request"]["id"].as_str().unwrap().to_owned();
    let past = home.run(&["doctor", "--request-id", &id, "--json"]).done().json();
    assert_eq!((past["primary"].as_str(), past["budget"]["used_requests"].as_i64()), (Some("W-OK-001"), Some(0)), "{past}");
    let unknown = home.run(&["doctor", "--request-id", "wr_00000000000000000000000000", "--json"]);
    assert_eq!((unknown.exit, unknown.json()["primary"].as_str()), (3, Some("W-PROBE-001")));
    assert_eq!(gateway.stop(Signal::TERM), Some(0));
    home.run(&["doctor"]).failed(2, &["no address"]);
}

#[test]
fn a_key_comes_from_a_named_variable_or_a_pipe_and_a_typed_one_is_warned_about() {
    let home = Home::new();
    let (_sim, url) = simulator(&home);
    let typed = home.run(&["doctor", &url, "--model", "sim:401", "--key", KEY]);
    assert!(typed.exit == 1 && typed.err.contains("process lists") && !typed.out.contains(KEY), "{typed:?}");
    let named =
        home.run_with(&[("MY_KEY", KEY)], &["doctor", &url, "--model", "sim:ok", "--cheap", "--key-env", "MY_KEY", "--json"]).done();
    assert_eq!(named.json()["target"]["key_from"], "MY_KEY");
    home.run(&["doctor", &url, "--key-env", "NOT_THERE"]).failed(2, &["NOT_THERE", "--key-stdin"]);
    let piped = home.run_on(&format!("{KEY}\n"), &["doctor", &url, "--model", "sim:ok", "--cheap", "--key-stdin", "--json"]).done();
    assert_eq!(
        (piped.json()["target"]["key_from"].as_str(), piped.json()["target"]["key_masked"].as_str()),
        (Some("stdin"), Some("sk-…abcd"))
    );
    let quoted = home.run_on(&format!("\"{KEY}\""), &["doctor", &url, "--key-stdin", "--json"]);
    assert_eq!((quoted.exit, quoted.json()["primary"].as_str()), (1, Some("W-LOCAL-001")));
}

#[test]
fn what_costs_is_planned_shown_and_only_done_with_consent() {
    let home = Home::new();
    let (_sim, url) = simulator(&home);
    let plan = home.run_with(KEYED, &["doctor", &url, "--dry-run", "--json"]).done().json();
    assert_eq!((plan["requests"].as_i64(), plan["max_output_tokens"].as_i64(), plan["seconds"].as_i64()), (Some(3), Some(192), Some(30)));
    for costly in [["--probe-429", "5"], ["--hold", "10"]] {
        home.run_with(KEYED, &["doctor", &url, "--model", "sim:ok", costly[0], costly[1]]).failed(4, &["--yes-spend"]);
    }
    let spent = report(&home, &[&url, "--model", "sim:429", "--only", "P11", "--probe-429", "5", "--yes-spend"]);
    assert_eq!((spent.0, spent.1["budget"]["used_requests"].as_i64()), (1, Some(1)), "it stops at the first: {}", spent.1);
}

#[test]
fn a_record_is_written_for_support_and_for_the_public() {
    let home = Home::new();
    let (_sim, url) = simulator(&home);
    for audience in ["support", "public"] {
        let file = home.path().join(format!("{audience}.json"));
        let path = file.to_str().unwrap();
        let ran = home.run_with(KEYED, &["doctor", &url, "--model", "sim:echo_error=401", "--evidence", path, "--audience", audience]);
        assert_eq!(ran.exit, 1, "{ran:?}");
        let record = fs::read_to_string(&file).unwrap();
        for planted in ["planted12345678", "planted-cookie", "Count from"] {
            assert!(!record.contains(planted) && !ran.out.contains(planted) && !ran.err.contains(planted), "{audience}: {planted}");
        }
        home.run(&["evidence", "verify", path]).done();
    }
}

#[test]
fn the_report_has_a_published_form_and_other_layouts() {
    let home = Home::new();
    let (_sim, url) = simulator(&home);
    assert!(home.run(&["doctor", "--schema"]).done().json()["properties"]["primary"].is_object());
    assert!(home.run(&["doctor", "--list", "--lang", "zh"]).done().out.contains("P13"));
    let summary = home.run_with(KEYED, &["doctor", &url, "--model", "sim:no_done", "--summary"]);
    assert!(!summary.out.contains("P4 control") && summary.out.contains("W-STREAM-004"), "{}", summary.out);
    let verbose = home.run_with(KEYED, &["doctor", &url, "--model", "sim:no_done", "--verbose", "--ascii"]);
    assert!(verbose.out.contains(" bytes  1 events") && verbose.out.is_ascii(), "{}", verbose.out);
}

#[test]
fn a_typing_mistake_is_told_before_anything_is_sent() {
    let home = Home::new();
    for arguments in [
        &["--direct", "example"][..],
        &["--via", "socks4://127.0.0.1:1"],
        &["--request-id", "../calls"],
        &["--only", "P99"],
        &["--probe-429", "21"],
        &["--hold", "301"],
        &["--budget", "0"],
    ] {
        let ran = home.run_with(KEYED, &[&["doctor", "http://127.0.0.1:9/v1"], arguments].concat());
        assert_eq!((ran.exit, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_key_in_the_wrong_place_is_never_repeated() {
    let home = Home::new();
    let behind = home.run(&["doctor", "http://127.0.0.1:9/v1", KEY]);
    assert!(behind.exit == 2 && behind.err.contains("--key-stdin") && !behind.err.contains("planted12345678"), "{behind:?}");
    for arguments in [
        &["doctor", KEY][..],
        &["doctor", "http://127.0.0.1:9/v1", "--key-env", KEY],
        &["doctor", "http://127.0.0.1:9/v1", "--model", KEY],
        &["doctor", "http://127.0.0.1:9/v1", "--direct", KEY],
        &["doctor", "http://127.0.0.1:9/v1", "--via", KEY],
        &["doctor", "http://127.0.0.1:9/v1", "--request-id", KEY],
        &["doctor", "https://planted:planted12345678@127.0.0.1:9/v1"],
        &["doctor", "https://127.0.0.1:9/v1?key=planted12345678planted12345678"],
    ] {
        for flag in ["--json", "--verbose"] {
            let ran = home.run_with(KEYED, &[arguments, &[flag]].concat());
            assert!(
                ran.exit != 0 && !ran.out.contains("planted12345678") && !ran.err.contains("planted12345678"),
                "{arguments:?}: {ran:?}"
            );
        }
    }
}
