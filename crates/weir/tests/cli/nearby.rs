//! The gateway that runs on this machine is found with its key by every command that asks one, and its key goes nowhere else.

use rustix::process::Signal;
use serde_json::json;

use crate::{running::Running, weir::Home};

const ROW: &str = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"sim:ok","messages":[]}}"#;
/// A key of another vendor that a developer's shell often has.
const FOREIGN: (&str, &str) = ("OPENAI_API_KEY", "sk-proj-invented12345678invented12345678");

fn up(home: &Home) -> Running {
    Running::start(home, &["up", "--listen", "127.0.0.1:0", "--json"])
}

#[test]
fn whoever_started_weir_up_needs_neither_address_nor_key() {
    let home = Home::new();
    let running = up(&home);
    home.file("rows.jsonl", ROW);
    for (n, variables) in [&[][..], &[FOREIGN]].into_iter().enumerate() {
        let ran = home.run_with(variables, &["batch", "run", "rows.jsonl", "--out", &format!("answers{n}.jsonl")]);
        assert_eq!(ran.exit, 0, "{ran:?}");
        let task = home.run_with(variables, &["task", "submit", "--model", "sora-2", "a violet lantern", "--json"]).done().json();
        assert!(task["id"].as_str().is_some_and(|id| id.starts_with("video_")), "{task}");
        let doctor = home.run_with(variables, &["doctor", "--model", "sim:tokens=12,interval=60ms", "--cheap", "--json"]).done().json();
        assert_eq!(doctor["target"]["key_from"], "weir up", "{doctor}");
    }
    assert_eq!(home.run(&["batch", "resume", "answers0.jsonl"]).exit, 0, "a key that no variable holds is found again");
    assert_eq!(running.stop(Signal::TERM), Some(0));
}

#[test]
fn a_key_that_was_named_comes_first() {
    let home = Home::new();
    let running = up(&home);
    let ran = home.run_with(&[("WEIR_KEY", "sk-wr-wrong12345678")], &["task", "list"]);
    assert!(ran.exit == 1 && ran.err.contains("W-AUTH-001"), "{ran:?}");
    let key = running.text("api_key").to_owned();
    home.run_with(&[("OPENAI_API_KEY", &key)], &["task", "list"]).done();
    assert_eq!(running.stop(Signal::TERM), Some(0));
}

#[test]
fn the_key_of_weir_up_goes_to_no_other_server() {
    let home = Home::new();
    let running = up(&home);
    let elsewhere = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
    let url = elsewhere.text("base_url");
    home.run(&["task", "--url", url, "list"]).failed(2, &["there is no key", "WEIR_KEY"]);
    let doctor = home.run(&["doctor", url, "--cheap", "--json", "--model", "sim:tokens=12,interval=60ms"]).json();
    assert_eq!(doctor["target"]["key_from"], json!("none"), "{doctor}");
    assert_eq!(running.stop(Signal::TERM), Some(0));
    assert_eq!(elsewhere.stop(Signal::TERM), Some(0));
}
