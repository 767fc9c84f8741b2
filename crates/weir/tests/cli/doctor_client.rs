//! `weir doctor client` over real sockets: a client written by hand acts, and the doctor says what it did.

use std::{
    io::{BufRead, BufReader, Read},
    process::Child,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    raw::{Wire, address, post},
    weir::Home,
};

const KEY: &str = "sk-12345678-a-key-of-no-one";

/// The doctor, its ready line read. Killed if a test fails.
struct Doctor {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    ready: Value,
}

impl Doctor {
    fn start(home: &Home, more: &[&str]) -> Self {
        let arguments = [&["doctor", "client", "--listen", "127.0.0.1:0", "--json"], more].concat();
        let mut child = home.command(&arguments).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        Self { child, out, ready: serde_json::from_str(&line).unwrap() }
    }

    fn connect(&self) -> Wire {
        Wire::open(address(self.ready["base_url"].as_str().unwrap())).unwrap()
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Its exit code, and what else it wrote for people.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (code, told)
    }
}

impl Drop for Doctor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chat(model: &str) -> String {
    post("/chat/completions", KEY, &json!({ "model": model, "stream": true, "messages": [] }))
}

#[test]
fn r27_what_a_client_sends_and_when_it_leaves_is_told() {
    let home = Home::new();
    let mut doctor = Doctor::start(&home, &[]);
    let mut client = doctor.connect();
    client.send(chat("doctor-chat").as_bytes()).unwrap();
    let (head, body) = client.answer().unwrap();
    assert!(head.status == 200 && body.ends_with("data: [DONE]\n\n") && head.get("content-type").unwrap().starts_with("text/event-stream"));
    let first = doctor.next();
    assert_eq!(
        (&first["event"], &first["stream"], &first["ended"], &first["key"]),
        (&json!("request"), &json!(true), &json!("whole"), &json!("bearer"))
    );
    client.send(chat("doctor-cut").as_bytes()).unwrap();
    assert!(client.answer().is_err(), "a cut is no end");
    let second = doctor.next();
    assert_eq!((&second["nth_on_connection"], &second["ended"]), (&json!(2), &json!("cut")));
    let mut hurried = doctor.connect();
    hurried.send(chat("doctor-quiet").as_bytes()).unwrap();
    let head = hurried.head().unwrap();
    hurried.body(&head, |piece| !piece.starts_with(b"data:")).unwrap();
    drop(hurried);
    let third = doctor.next();
    assert_eq!((&third["script"], &third["status"], &third["ended"]), (&json!("quiet"), &json!(200), &json!("left")));
    kill_process(Pid::from_child(&doctor.child), Signal::INT).unwrap();
    let report = doctor.next();
    assert_eq!(
        (&report["event"], &report["schema"], &report["clients"][0]["calls"]),
        (&json!("report"), &json!("weir.doctor.client/1"), &json!(3))
    );
    assert!(![first, second, third, report].iter().any(|told| told.to_string().contains("12345678")));
    assert_eq!(doctor.end(), (Some(0), String::new()));
}

#[test]
fn it_ends_after_so_many_calls_and_says_whether_a_warning_counts() {
    let home = Home::new();
    for (more, code) in [(&["--once", "1"][..], 0), (&["--once", "1", "--strict"][..], 1)] {
        let mut doctor = Doctor::start(&home, more);
        let mut client = doctor.connect();
        client.send(post("/messages", KEY, &json!({ "model": "any", "messages": [] })).as_bytes()).unwrap();
        assert_eq!(client.answer().unwrap().0.status, 200);
        assert_eq!(doctor.next()["stream"], Value::Null);
        let report = doctor.next();
        assert_eq!((&report["primary"]["code"], &report["exit_code"]), (&json!("W-CLIENT-002"), &json!(code)));
        assert_eq!(doctor.end().0, Some(code));
    }
}

#[test]
fn without_a_call_it_could_not_find_out() {
    let home = Home::new();
    for (lang, words) in [("zh", ["客户端诊断在", "没有请求到达"]), ("en", ["the client probe waits", "no request came"])] {
        let ran = home.run(&["doctor", "client", "--listen", "127.0.0.1:0", "--for", "1ms", "--lang", lang]);
        assert_eq!(ran.exit, 3, "{ran:?}");
        assert!(ran.err.contains(words[0]) && ran.out.contains(words[1]) && ran.out.contains("W-PROBE-001"), "{ran:?}");
    }
    home.run(&["doctor", "client", "--for", "1h"]).failed(2, &["at most 10m"]);
    home.run(&["doctor", "client", "--script", "quick"]).failed(2, &["one of chat, long"]);
}
