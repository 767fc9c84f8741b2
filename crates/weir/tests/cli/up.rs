//! Commands that serve: ready in one line, a taken port is told, a signal ends them well.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{running::Running, weir::Home};

/// One request on a connection of its own; the whole answer.
fn ask(base_url: &str, key: &str, path: &str, body: Option<&Value>) -> String {
    let host = base_url.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap();
    let mut io = TcpStream::connect(host).unwrap();
    let body = body.map_or_else(String::new, Value::to_string);
    let method = if body.is_empty() { "GET" } else { "POST" };
    let length = body.len();
    write!(
        io,
        "{method} /v1{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn chat(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello" }] })
}

#[test]
fn up_is_ready_in_one_line_and_the_demo_key_works() {
    let home = Home::new();
    let up = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!(up.ready["event"], "ready");
    assert!(up.text("sim_url").starts_with("http://127.0.0.1:"));
    let (url, key) = (up.text("base_url"), up.text("api_key"));
    let whole = ask(url, key, "/chat/completions", Some(&chat("sim:ok", false)));
    assert!(whole.starts_with("HTTP/1.1 200") && whole.contains("x-request-id: wr_"), "{whole}");
    let stream = ask(url, key, "/chat/completions", Some(&chat("sim:ok", true)));
    assert!(stream.contains("data: [DONE]"), "{stream}");
    let refused = ask(url, "sk-wrong", "/chat/completions", Some(&chat("sim:ok", false)));
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("W-AUTH-001"), "{refused}");
    assert_eq!(up.stop(Signal::TERM), Some(0));
}

#[test]
fn calls_are_found_while_the_gateway_runs_and_after_it_ended() {
    let home = Home::new();
    let up = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    let (url, key) = (up.text("base_url").to_owned(), up.text("api_key").to_owned());
    ask(&url, &key, "/chat/completions", Some(&chat("sim:ok", false)));
    ask(&url, &key, "/chat/completions", Some(&chat("sim:cut_after=3", true)));
    let kid = &key[6..14];
    assert_eq!(home.run(&["calls", "list", "--count", "--json", "--key", kid, "--since", "1h"]).done().json()["count"], 2);
    assert_eq!(up.stop(Signal::TERM), Some(0));
    let calls = home.run(&["calls", "list", "--json", "--limit", "1"]).done().json();
    let cut = &calls["calls"][0];
    let id = cut["id"].as_str().or_else(|| cut["request_id"].as_str()).unwrap_or_else(|| panic!("an id in {cut}")).to_owned();
    for lang in ["zh", "en"] {
        let shown = home.run(&["calls", "show", &id, "--lang", lang]).done().out;
        assert!(shown.starts_with("[W-STREAM-005]") && shown.contains("sim:cut_after=3"), "{shown}");
        assert!(home.run(&["calls", "list", "--lang", lang]).done().out.contains(&id));
    }
    assert_eq!(home.run(&["calls", "show", &id, "--json"]).done().json(), *cut);
    evidence_of_a_cut(&home, &id, kid);
    assert_eq!(home.run(&["audit", "--json"]).done().json()["ok"], true);
}

/// The record of the call for both audiences, as text and JSON, verified, edited and spoiled.
fn evidence_of_a_cut(home: &Home, id: &str, kid: &str) {
    for (lang, word) in [("zh", "请勿补充完整 key"), ("en", "Please do not add full keys")] {
        let text = home.run(&["evidence", "show", id, "--lang", lang]).done().out;
        assert!(text.starts_with("[W-STREAM-005]") && text.contains(word) && text.contains(id), "{text}");
    }
    let support = home.run(&["evidence", "show", id, "--json"]).done();
    assert_eq!(support.json()["schema"], "weir.evidence/1");
    let public = home.run(&["evidence", "show", id, "--json", "--audience", "public"]).done();
    assert!(support.json()["key_id"].to_string().contains(kid) && public.json()["key_id"].is_null(), "{support:?} {public:?}");
    for record in [&support, &public] {
        assert_eq!(home.run_on(&record.out, &["evidence", "verify", "--json"]).done().json()["found"], "matches", "{}", record.out);
    }
    pasted_text_of_a_cut(home, id);
    let edited = support.out.replacen("\"status\":200", "\"status\":500", 1);
    let told = home.run_on(&edited, &["evidence", "verify", "--json"]);
    assert_eq!((told.exit, &told.json()["differs"]), (1, &json!(["status"])));
    let spoiled = support.out.replacen('{', "{\"prompt\":\"a story\",", 1);
    let told = home.run_on(&spoiled, &["evidence", "verify"]);
    assert!(told.exit == 1 && told.out.contains("has no `prompt`") && !told.out.contains("story"), "{told:?}");
    assert_eq!(home.run(&["evidence", "export", "--since", "1h", "--audience", "public"]).done().out.lines().count(), 2);
}

/// The text of the record, as tickets bring it back.
fn pasted_text_of_a_cut(home: &Home, id: &str) {
    let found = |text: &str| {
        let ran = home.run_on(text, &["evidence", "verify", "--json"]);
        let told = ran.json();
        (ran.exit, told["found"].as_str().unwrap().to_owned(), told["differs"].clone())
    };
    for (lang, audience) in [("zh", "support"), ("en", "public")] {
        let text = home.run(&["evidence", "show", id, "--lang", lang, "--audience", audience]).done().out;
        let quoted = text.replace('\n', "\r\n> ");
        for pasted in [text.clone(), format!("hello\r\n> {quoted}\r\nbye"), format!("```\n{text}```"), text.replace("\n", "\n    ")] {
            assert_eq!(found(&pasted), (0, "matches".to_owned(), json!([])), "{pasted}");
        }
        assert_eq!(found(&text.replacen("200", "500", 1)), (1, "edited".to_owned(), json!(["status"])), "{text}");
        let by_other_eyes = text.replacen("WEV-", "WEV-0", 1).replacen("   ", " extra   ", 1);
        assert_eq!(found(&by_other_eyes), (0, "matches".to_owned(), json!([])), "the doctor's record of our call: {by_other_eyes}");
        let other = text.replace(id, "wr_01j2w8k3q4zp7m01j2w8k3q4zp");
        assert_eq!(found(&other).1, "unknown_id", "{other}");
    }
    let form = home.run(&["evidence", "template"]).done().out;
    assert_eq!(found(&form).1, "not_a_record", "an empty form is no record");
    let filled =
        |status: &str| form.replacen(": \n", &format!(": {id}\n"), 1).replace("(such as 429): ", &format!("(such as 429): {status}"));
    assert_eq!(found(&filled("200")).1, "matches");
    assert_eq!(found(&filled("502")), (1, "edited".to_owned(), json!(["status"])));
    let triaged = home.run_on(&format!("HTTP/1.1 200 OK\nx-request-id: {id}\n\ncurl: (18) transfer closed"), &["triage"]).out;
    assert_eq!(found(&triaged).1, "matches", "{triaged}");
    assert_eq!(found("Traceback: something").1, "not_a_record");
}

#[test]
fn a_second_start_keeps_the_demo_key_and_the_calls() {
    let home = Home::new();
    let first = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    let key = first.text("api_key").to_owned();
    ask(first.text("base_url"), &key, "/chat/completions", Some(&chat("sim:ok", false)));
    assert_eq!(first.stop(Signal::INT), Some(0));
    let mode = std::fs::metadata(home.path().join("data/demo-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!(second.text("api_key"), key);
    assert_eq!(home.run(&["calls", "list", "--count"]).done().out, "1\n");
    assert_eq!(second.stop(Signal::TERM), Some(0));
}

#[test]
fn r36_jobs_that_are_open_when_up_is_killed_come_to_their_end_after_the_next_start() {
    let home = Home::new();
    let start = || Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    let up = start();
    let task = |up: &Running, arguments: &[&str]| {
        let arguments = [&["task", "--url", up.text("base_url"), "--json"], arguments].concat();
        home.run_with(&[("WEIR_KEY", up.text("api_key"))], &arguments)
    };
    let video = json!({ "model": "sim:task_slow=2s", "prompt": "a violet lantern", "seconds": "8" });
    let lost = json!({ "model": "sim:task_lost_answer,task_slow=2s", "prompt": "a violet lantern", "seconds": "8" });
    let submit = |body: &Value| ask(up.text("base_url"), up.text("api_key"), "/videos", Some(body));
    let id = |answer: &str| answer.lines().find_map(|line| line.strip_prefix("x-weir-task-id: ")).unwrap().to_owned();
    let (taken, unheard) = (submit(&video), submit(&lost));
    assert!(taken.starts_with("HTTP/1.1 200") && unheard.contains("W-TMO-009"), "{taken} {unheard}");
    let ids = [id(&taken), id(&unheard)];
    up.kill();
    let up = start();
    for id in &ids {
        let ended = task(&up, &["wait", id]).done().json();
        assert_eq!((&ended["weir"]["state"], &ended["weir"]["charged"]), (&json!("succeeded"), &json!("yes")), "{ended}");
        let content = ask(up.text("base_url"), up.text("api_key"), &format!("/videos/{id}/content"), None);
        assert!(content.starts_with("HTTP/1.1 200") && content.contains("content-type: video/mp4"), "{content}");
    }
    let file = std::fs::metadata(home.path().join("data/sim-jobs")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(up.stop(Signal::TERM), Some(0));
    assert_eq!(home.run(&["audit", "--json"]).done().json()["ok"], true);
}

#[test]
fn a_taken_port_and_a_taken_directory_say_what_to_do() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    home.run(&["up", "--listen", &at]).failed(2, &["is taken", "hint: ", "--listen 127.0.0.1:0"]);
    let up = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    home.run(&["up", "--listen", "127.0.0.1:0"]).failed(2, &["another gateway runs", "hint: "]);
    assert_eq!(up.stop(Signal::TERM), Some(0));
}

#[test]
fn an_upstream_of_ones_own_needs_a_url_and_its_key_a_variable() {
    let home = Home::new();
    home.run(&["up", "--listen", "127.0.0.1:0", "--upstream", "api.example.com"]).failed(2, &["must begin with http", "hint: "]);
    home.run(&["up", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9/v1", "--upstream-key-env", "NO_KEY"])
        .failed(2, &["NO_KEY is not set"]);
    home.run(&["up", "--upstream-key-env", "NO_KEY"]).failed(2, &["--upstream"]);
}

#[test]
fn up_hears_the_environment_but_no_file() {
    let home = Home::new();
    std::fs::write(home.path().join("weir.toml"), "[no_such_table]\n").unwrap();
    home.run_with(&[("WEIR_STREAMS__LINGER", "soon")], &["up"]).failed(2, &["WEIR_STREAMS__LINGER", "streams.linger"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    home.run_with(&[("WEIR_SERVER__LISTEN", &at)], &["up"]).failed(2, &["is taken", &at]);
}

#[test]
fn serve_goes_to_its_upstream_and_a_revoked_key_ends_within_a_second() {
    let home = Home::with_account();
    let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
    let upstream = sim.text("base_url");
    home.file(
        "weir.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[prices]\nunknown = \"free\"\n[[upstream]]\nname = \"sim\"\nbase_url = \"{upstream}\"\n[[upstream.channel]]\nname = \"main\"\nno_key = true\n"
        ),
    );
    let made = home.run(&["key", "create", "--account", "demo", "--json"]).done().json();
    let key = made["key"].as_str().unwrap();
    let serve = Running::start(&home, &["serve", "--json"]);
    let answer = ask(serve.text("base_url"), key, "/chat/completions", Some(&chat("sim:ok", false)));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(serve.stop(Signal::TERM), Some(0));
    assert_eq!(sim.stop(Signal::INT), Some(0));
}

#[test]
fn people_get_lines_to_paste_in_their_language() {
    let home = Home::new();
    for (lang, word) in [("zh", "weir 已就绪"), ("en", "weir is ready")] {
        let mut child = home.command(&["up", "--listen", "127.0.0.1:0", "--lang", lang]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        while !told.contains("Ctrl-C") {
            assert_ne!(out.read_line(&mut told).unwrap(), 0, "{told}");
        }
        assert!(
            told.starts_with(word) && told.contains("curl -N") && told.contains("sk-wr-") && told.contains("sim:cut_after=5"),
            "{told}"
        );
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
