//! Commands that print what is known: explain, vocab, redact, completions, man, help.

use std::process::Stdio;

use crate::weir::Home;

#[test]
fn r51_a_code_is_explained_in_both_languages() {
    let home = Home::new();
    let zh = home.run(&["explain", "W-STREAM-009", "--lang", "zh"]).done().out;
    assert!(zh.starts_with("W-STREAM-009 ") && zh.contains("gzip") && zh.contains("先查") && zh.contains("不要"), "{zh}");
    let en = home.run(&["explain", "w-stream-009"]).done().out;
    assert!(en.contains("check first") && en.contains("do not"), "{en}");
    let json = home.run(&["explain", "W-RATE-003", "--json"]).done().json();
    assert_eq!((&json["code"], &json["api"]["status"]), (&"W-RATE-003".into(), &429.into()));
}

#[test]
fn without_a_code_every_verdict_is_listed() {
    let home = Home::new();
    let all = home.run(&["explain", "--json"]).done().json()["verdicts"].as_array().unwrap().len();
    assert!(all > 70);
    assert_eq!(home.run(&["explain", "--lang", "zh"]).done().out.lines().count(), all + 1);
    home.run(&["explain", "W-STREM-9"]).failed(2, &["no such code", "did you mean W-STREAM-009?"]);
}

#[test]
fn the_language_follows_the_environment() {
    let home = Home::new();
    for (name, value) in [("LANG", "zh_CN.UTF-8"), ("LC_ALL", "zh_TW"), ("WEIR_LANG", "zh")] {
        assert!(home.run_with(&[(name, value)], &["explain", "W-OK-001"]).done().out.contains("先查"), "{name}");
    }
}

#[test]
fn the_vocabulary_holds_codes_flags_and_configuration_keys() {
    let home = Home::new();
    let words = home.run(&["vocab", "--json"]).done().json();
    assert!(words["config_keys"].as_array().unwrap().contains(&"streams.heartbeat".into()));
    assert!(words["verdicts"].as_array().unwrap().iter().any(|verdict| verdict["code"] == "W-STREAM-009"));
    let up = words["commands"].as_array().unwrap().iter().find(|command| command["name"] == "weir up").unwrap();
    assert!(up["flags"].as_array().unwrap().contains(&"--upstream-key-env".into()));
    assert!(home.run(&["vocab"]).done().out.contains("W-STREAM-009"));
}

#[test]
fn r52_a_secret_in_a_text_is_hidden_and_its_owner_is_told() {
    let home = Home::new();
    let secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789abcdef";
    let safe = home.run_on(&format!("status 429 with {secret}"), &["redact"]).done();
    assert!(safe.out.contains("status 429") && !safe.out.contains("abcdefgh") && safe.err.contains("replace that secret"), "{safe:?}");
    let file = home.file("a.log", secret);
    let json = home.run(&["redact", "--audience", "public", "--json", file.to_str().unwrap()]).done().json();
    assert_eq!(json["held_a_secret"], true);
    assert_eq!(home.run_on("nothing here", &["redact", "-"]).done().out, "nothing here");
    home.run(&["redact", "none.log"]).failed(2, &["cannot read none.log"]);
}

#[test]
fn r41_a_key_typed_in_the_wrong_place_is_not_quoted_back() {
    let home = Home::new();
    let secret = "sk-12345678aBcDeFgHiJkLmNoPqRsTuVwX";
    let file = format!("none/{secret}");
    for arguments in
        [&[secret][..], &["vocab", secret], &["redact", &file], &["calls", "list", "--since", secret], &["completions", secret]]
    {
        let told = home.run(arguments).failed(2, &["[REDACTED:key]"]);
        assert!(!told.err.contains("12345678"), "{told:?}");
    }
}

#[test]
fn completions_and_man_pages_are_made_from_the_arguments() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(home.run(&["completions", shell]).done().out.contains("weir"));
    }
    assert!(home.run(&["man"]).done().out.contains(".TH weir 1"));
    home.run(&["man", "--dir", "pages"]).done();
    assert!(home.path().join("pages/weir-calls-list.1").is_file());
}

#[test]
fn every_help_shows_an_example() {
    let home = Home::new();
    let words = home.run(&["vocab", "--json"]).done().json();
    for command in words["commands"].as_array().unwrap().iter().skip(1) {
        let name = command["name"].as_str().unwrap();
        let mut arguments: Vec<&str> = name.split(' ').skip(1).collect();
        arguments.push("--help");
        assert!(home.run(&arguments).done().out.contains("Example:\n"), "{name}");
    }
    assert!(home.run(&["--help"]).done().out.contains("Exit codes:"));
}

#[test]
fn what_is_not_a_command_is_usage() {
    let home = Home::new();
    home.run(&["dcotor"]).failed(2, &["unrecognized subcommand"]);
    home.run(&[]).failed(2, &["Usage"]);
}

#[test]
fn a_reader_that_has_enough_is_no_fault() {
    let home = Home::new();
    for arguments in [&["explain"][..], &["vocab"], &["--help"], &["sim", "--list"], &["completions", "bash"]] {
        let mut child = home.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn r53_every_scenario_has_its_form_in_both_languages() {
    let home = Home::new();
    for (scenario, zh, en) in
        [("S", "resetAt", "resetAt"), ("B", "并发", "concurrency"), ("V", "任务 ID", "task id"), ("K", "调用方", "caller")]
    {
        for (lang, word) in [("zh", zh), ("en", en)] {
            let form = home.run(&["evidence", "template", "--scenario", scenario, "--lang", lang]).done().out;
            assert!(form.contains(word) && form.contains("stream"), "{form}");
        }
        let fields =
            home.run(&["evidence", "template", "--scenario", scenario, "--json"]).done().json()["fields"].as_array().unwrap().len();
        assert!(fields > 16);
    }
}

#[test]
fn what_is_no_record_is_told_without_repeating_it() {
    let home = Home::new();
    for text in ["", "{}", "not json", "{\"schema\":\"weir.evidence/9\"}", "[1]"] {
        let told = home.run_on(text, &["evidence", "verify"]);
        assert!(told.exit == 1 && told.out.contains("no evidence record"), "{text}: {told:?}");
    }
    let secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789abcdef";
    let told = home.run_on(&format!("{{\"{secret}\":\"{secret}\"}}"), &["evidence", "verify", "--json"]);
    assert!(told.exit == 1 && !told.out.contains("abcdefgh"), "{told:?}");
    home.run(&["evidence", "show", "wr_x"]).failed(2, &["not a request id"]);
}
