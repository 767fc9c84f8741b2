//! `weir batch` through the real binary: in front of weir and of a server that is none, interrupted, killed and taken up again.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    kill::{Dice, asked},
    raw::{Wire, address},
    running::Running,
    weir::{Home, Ran},
};

/// A simulator, and a gateway in front of it that charges for what it answers.
struct House {
    home: Home,
    sim: Running,
    gateway: Running,
    key: String,
}

const CONFIG: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[log]\nfilter = \"off\"\n[streams]\nlinger = \"30s\"\n[tasks]\nfirst_look = \"100ms\"\nlast_look = \"300ms\"\n[prices.models.\"sim:*\"]\ninput = 1\noutput = 4\nsecond = 1\nimage = 1\n";

impl House {
    fn open() -> Self {
        let home = Home::with_account();
        home.run(&["account", "credit", "demo", "100000"]).done();
        let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
        let upstream = sim.text("base_url");
        let channel = "[[upstream.channel]]\nname = \"main\"\nno_key = true\n";
        home.file("weir.toml", &format!("{CONFIG}[[upstream]]\nname = \"sim\"\nbase_url = \"{upstream}\"\n{channel}"));
        let key = home.run(&["key", "create", "--account", "demo", "--json"]).done().json()["key"].as_str().unwrap().to_owned();
        let gateway = Running::start(&home, &["serve", "--config", "weir.toml", "--json"]);
        Self { home, sim, gateway, key }
    }

    fn batch(&self, arguments: &[&str]) -> Ran {
        self.home.run_with(&[("WEIR_KEY", &self.key)], &[&["batch"], arguments].concat())
    }

    /// `weir batch run` through the gateway, with JSON.
    fn run(&self, more: &[&str]) -> Ran {
        let url = self.gateway.text("base_url");
        self.batch(&[&["run", "rows.jsonl", "--out", "out.jsonl", "--json", "--base-url", url], more].concat())
    }

    /// Starts the program and kills it after that long.
    fn kill_after(&self, arguments: &[&str], moment: Duration) {
        let arguments = [&["batch"], arguments].concat();
        let mut child = self.home.command(&arguments).env("WEIR_KEY", &self.key).spawn().unwrap();
        // The moment is counted on a clock, for a program says nothing that one could count; the laws hold whatever it meets.
        std::thread::park_timeout(moment);
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        child.wait().unwrap();
    }

    /// Generations that the upstream worked on, by the hash of the prompt.
    fn worked(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for seen in seen(&self.sim) {
            if seen["method"] == "POST" {
                *all.entry(seen["prompt_hash"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        all
    }

    /// Ends everything; the laws hold, and this many calls were charged.
    fn close(self, charged: u64) {
        assert_eq!(self.gateway.stop(Signal::TERM), Some(0));
        let audit = self.home.run(&["audit", "--json"]).done().json();
        assert_eq!(audit["ok"], true, "{audit}");
        let good = self.home.run(&["calls", "list", "--verdict", "W-OK-001", "--count", "--json"]).done().json();
        let accounts = self.home.run(&["account", "list", "--json"]).done().json();
        assert_eq!(good["count"], charged, "{good}");
        assert!(accounts["accounts"][0]["settled"].as_i64().unwrap() > 0, "{accounts}");
        assert_eq!(self.sim.stop(Signal::TERM), Some(0));
    }
}

/// What a simulator saw.
fn seen(sim: &Running) -> Vec<Value> {
    let mut wire = Wire::open(address(sim.text("base_url"))).unwrap();
    wire.send(b"GET /sim/requests HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n").unwrap();
    let seen: Value = serde_json::from_str(&wire.answer().unwrap().1).unwrap();
    seen["requests"].as_array().unwrap().clone()
}

fn row(id: &str, url: &str, body: &Value) -> String {
    format!("{}\n", json!({ "custom_id": id, "method": "POST", "url": url, "body": body }))
}

fn chats(count: u64, model: &str) -> String {
    let chat = |n| json!({ "model": model, "max_tokens": 20, "messages": [{ "role": "user", "content": format!("hello {n}") }] });
    (0..count).map(|n| row(&format!("r{n}"), "/v1/chat/completions", &chat(n))).collect()
}

/// The output's lines, by `custom_id`; each id once.
fn lines(home: &Home) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(home.path().join("out.jsonl")).unwrap();
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let id = line["custom_id"].as_str().unwrap_or("").to_owned();
        assert!(all.insert(id.clone(), line).is_none(), "{id} has two lines");
    }
    all
}

#[test]
fn r2_a_thousand_rows_with_mixed_faults_are_charged_once_each() {
    let house = House::open();
    house.home.file("rows.jsonl", &chats(1_000, "sim:tokens=5,flaky=0.05"));
    let told = house.run(&["--ordered"]).json();
    assert_eq!(
        (&told["left"], &told["sent_again_unguaranteed"], &told["server_remembers_keys"]),
        (&0.into(), &0.into(), &true.into()),
        "{told}"
    );
    // What the upstream took and never answered the gateway does not send again, and says so; whoever wants it all the same asks for it.
    let silent = told["codes"]["upstream_outcome_unknown"].as_u64().unwrap();
    assert_eq!((&told["failed"], told["ok"].as_u64().unwrap() + silent), (&silent.into(), 1_000), "{told}");
    let mut failed = silent;
    while failed > 0 {
        failed = house.batch(&["resume", "out.jsonl", "--only-failed", "--json"]).json()["failed"].as_u64().unwrap();
    }
    let upstream: u64 = house.worked().values().sum();
    assert!(upstream * 100 <= 1_000 * 115, "{upstream} upstream calls for a thousand rows");
    let text = std::fs::read_to_string(house.home.path().join("out.jsonl")).unwrap();
    let order = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["custom_id"].as_str().unwrap().to_owned());
    assert!(order.eq((0..1_000).map(|n| format!("r{n}"))), "in the order of the rows");
    house.close(1_000);
}

#[test]
fn r35_killed_at_random_moments_and_resumed_no_row_is_lost_and_none_is_made_twice() {
    const ROWS: u64 = 240;
    let (kills, seed) = (asked("KILLS", 8), asked("SEED", 1));
    let mut dice = Dice(seed);
    let house = House::open();
    // Slow enough that kills meet rows in every state.
    house.home.file("rows.jsonl", &chats(ROWS, "sim:tokens=4,interval=30ms"));
    let url = house.gateway.text("base_url").to_owned();
    let begin = ["run", "rows.jsonl", "--out", "out.jsonl", "--base-url", &url, "--concurrency", "6"];
    house.kill_after(&begin, Duration::from_millis(300));
    let mut left = kills;
    while left > 0 {
        // A run that came to its end before the kill leaves nothing to kill: the next ones find that out at once.
        house.kill_after(&["resume", "out.jsonl"], Duration::from_millis(60 + dice.roll(260)));
        left -= 1;
    }
    let status = house.batch(&["status", "out.jsonl", "--json"]).json();
    assert_eq!((&status["running"], &status["rows"]), (&false.into(), &ROWS.into()), "{status}");
    let told = house.batch(&["resume", "out.jsonl", "--json", "--concurrency", "32"]).done().json();
    assert_eq!((&told["ok"], &told["failed"], &told["sent_again_unguaranteed"]), (&ROWS.into(), &0.into(), &0.into()), "{told}");
    let all = lines(&house.home);
    assert_eq!(all.len() as u64, ROWS);
    assert!(all.values().all(|line| line["response"]["status_code"] == 200 && line["error"].is_null()));
    let worked = house.worked();
    assert_eq!((worked.len() as u64, worked.values().max()), (ROWS, Some(&1)), "each was made once");
    assert_eq!(house.batch(&["resume", "out.jsonl", "--json"]).done().json()["calls"], 0);
    house.close(ROWS);
}

#[test]
fn r16_r31_r36_against_a_server_that_is_not_weir_it_does_what_can_be_done_and_says_what_cannot() {
    let home = Home::new();
    let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
    let video = |model: &str, n: u64| json!({ "model": model, "prompt": format!("a lantern {n}"), "seconds": (4 + n).to_string() });
    let picture = |model: &str| json!({ "model": model, "prompt": "a lantern" });
    let silent = json!({ "model": "sim:reset_after_accept_once,tokens=3", "messages": [] });
    let text = [
        row("silent", "/v1/chat/completions", &silent),
        row("hint", "/v1/chat/completions", &json!({ "model": "sim:429_hint_once=2s,tokens=3", "messages": [] })),
        row("vector", "/v1/embeddings", &json!({ "model": "sim:ok", "input": "four words are here" })),
        row("picture", "/v1/images/generations", &picture("sim:ok")),
        row("lost picture", "/v1/images/generations", &picture("sim:reset_after_accept")),
        row("video", "/v1/videos", &video("sim:task_slow=1s", 1)),
        row("lost video", "/v1/videos", &video("sim:task_lost_answer", 2)),
        row("refused", "/v1/chat/completions", &json!({ "model": "sim:400", "messages": [] })),
        "{}\n\n".to_owned(),
    ]
    .concat();
    home.file("rows.jsonl", &text);
    let url = sim.text("base_url").to_owned();
    let ran = home.run(&["batch", "run", "rows.jsonl", "--out", "out.jsonl", "--json", "--base-url", &url, "--concurrency", "4"]);
    assert_eq!(ran.exit, 1, "{ran:?}");
    let told = ran.json();
    assert_eq!((&told["ok"], &told["failed"], &told["bad"], &told["unknown"]), (&6.into(), &2.into(), &1.into(), &1.into()), "{told}");
    assert_eq!((&told["sent_again_unguaranteed"], &told["server_remembers_keys"]), (&1.into(), &false.into()));
    assert!(
        ran.err.contains("line 9 cannot be used") && ran.err.contains("made and charged twice") && ran.err.contains("not submitted again"),
        "{}",
        ran.err
    );
    let all = lines(&home);
    assert_eq!(all["lost picture"]["error"]["code"], "outcome_unknown");
    assert_eq!(
        (&all["lost video"]["response"]["body"]["status"], &all["video"]["response"]["body"]["status"]),
        (&"completed".into(), &"completed".into())
    );
    assert_eq!((&all["refused"]["response"]["status_code"], &all["refused"]["error"]["code"]), (&400.into(), &"invalid_value".into()));
    let posts = seen(&sim).into_iter().filter(|seen| seen["method"] == "POST");
    let media = posts.filter(|seen| seen["path"] == "/v1/videos" || seen["path"] == "/v1/images/generations").count();
    assert_eq!(media, 4, "no job was submitted twice");
    // What is unknown or no row is not asked anew; what was refused is.
    let again = home.run(&["batch", "resume", "out.jsonl", "--only-failed", "--json"]).json();
    assert_eq!((&again["calls"], &again["failed"]), (&1.into(), &2.into()), "{again}");
    assert_eq!(lines(&home).len(), 9);
    assert_eq!(sim.stop(Signal::TERM), Some(0));
}

#[test]
fn r35_its_evidence_names_script_concurrency_range_results_and_cursor_and_no_secret() {
    let house = House::open();
    house.home.file("rows.jsonl", &chats(6, "sim:ok"));
    let told = house.run(&["--concurrency", "3"]).done().json();
    let record: Value = serde_json::from_str(&std::fs::read_to_string(house.home.path().join("out.jsonl.evidence.json")).unwrap()).unwrap();
    assert_eq!(told["evidence"], record);
    assert_eq!(record["batch"], json!({ "script": "rows.jsonl", "concurrency": 3, "from": 1, "to": 6, "ok": 6, "failed": 0, "cursor": 6 }));
    assert_eq!((&record["source"], &record["request"]["scenario"]), (&"batch".into(), &"B".into()));
    assert_eq!((&record["charge"]["state"], &record["charge"]["count"]), (&"yes".into(), &6.into()));
    house.home.run(&["evidence", "verify", "out.jsonl.evidence.json"]);
    let everything: String = ["out.jsonl", "out.jsonl.journal", "out.jsonl.evidence.json"]
        .map(|name| std::fs::read_to_string(house.home.path().join(name)).unwrap())
        .concat();
    assert!(!everything.contains(&house.key) && !everything.contains("hello 3"), "no key, no prompt");
    house.close(6);
}

#[test]
fn an_interrupt_lets_what_runs_finish_and_says_how_to_go_on() {
    let house = House::open();
    house.home.file("rows.jsonl", &chats(200, "sim:tokens=4,interval=50ms"));
    let url = house.gateway.text("base_url");
    let arguments = ["batch", "run", "rows.jsonl", "--out", "out.jsonl", "--base-url", url, "--concurrency", "4"];
    let mut child = house.home.command(&arguments).env("WEIR_KEY", &house.key).spawn().unwrap();
    // Its first answers are the sign that it takes signals.
    let out = house.home.path().join("out.jsonl");
    while std::fs::metadata(&out).map_or(0, |there| there.len()) == 0 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let exit = child.wait().unwrap().code();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(exit == Some(130) && err.contains("batch resume out.jsonl") && err.contains("stopping"), "{exit:?} {err}");
    let status = house.batch(&["status", "out.jsonl", "--json"]).json();
    assert_eq!((&status["sent"], &status["running"]), (&0.into(), &false.into()), "what ran has finished: {status}");
    let text = house.batch(&["status", "out.jsonl", "--lang", "zh"]).done().out;
    assert!(text.contains("停着") && text.contains("游标"), "{text}");
    house.batch(&["resume", "out.jsonl", "--concurrency", "32"]).done();
    assert_eq!(lines(&house.home).len(), 200);
    house.close(200);
}

#[test]
fn a_repeated_custom_id_is_told_with_its_line_and_never_asked_for_also_after_a_resume() {
    let house = House::open();
    house.home.file("rows.jsonl", &[chats(3, "sim:tokens=5"), chats(2, "sim:tokens=6")].concat());
    let plan = house.run(&["--dry-run"]);
    assert_eq!((plan.exit, &plan.json()["bad"]), (1, &2.into()), "{plan:?}");
    // What may be spent ends before the last lines are come to.
    let first = house.run(&["--price", "output=1000", "--max-cost", "0.02", "--concurrency", "1"]);
    assert_eq!(first.exit, 4, "{first:?}");
    assert!(first.err.contains("line 4 cannot be used: row_custom_id_repeated") && first.err.contains("line 5"), "{}", first.err);
    let told = house.batch(&["resume", "out.jsonl", "--max-cost", "10", "--json"]).json();
    assert_eq!((&told["ok"], &told["bad"]), (&3.into(), &2.into()), "{told}");
    let text = std::fs::read_to_string(house.home.path().join("out.jsonl")).unwrap();
    let mut codes: Vec<String> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["code"].to_string()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["\"row_custom_id_repeated\"", "\"row_custom_id_repeated\"", "null", "null", "null"]);
    assert_eq!(house.worked().values().sum::<u64>(), 3);
    house.close(3);
}

#[test]
fn a_plan_costs_nothing_and_a_cost_that_was_not_allowed_is_not_made() {
    let house = House::open();
    house.home.file("rows.jsonl", &chats(50, "sim:tokens=20"));
    let plan = house.run(&["--dry-run", "--price", "input=1,output=10"]).done().json();
    assert_eq!((&plan["rows"], &plan["bad"], &plan["output_tokens_most"]), (&50.into(), &0.into(), &1_000.into()), "{plan}");
    assert!(plan["cost_most"].as_str().unwrap().starts_with("0.010"), "{plan}");
    assert!(seen(&house.sim).is_empty() && !house.home.path().join("out.jsonl").exists());
    house.run(&["--max-cost", "1"]).failed(2, &["--max-cost needs --price"]);
    let ran = house.run(&["--price", "input=1,output=10", "--max-cost", "0.003", "--concurrency", "2"]);
    let told = ran.json();
    assert_eq!((ran.exit, told["stopped"].as_str()), (4, Some("max_cost")), "{told}");
    let answered = told["ok"].as_u64().unwrap();
    assert!((10..=15).contains(&answered) && ran.err.contains("allow more"), "{told} {}", ran.err);
    let told = house.batch(&["resume", "out.jsonl", "--max-cost", "1", "--json"]).done().json();
    assert_eq!(told["ok"], 50);
    house.close(50);
}

#[test]
fn what_concerns_every_row_stops_the_run_and_leaves_the_rows_for_a_resume() {
    let home = Home::new();
    let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
    let url = sim.text("base_url").to_owned();
    for (model, exit, stopped, words) in [
        ("sim:401", 3, "denied", "change the key"),
        ("sim:429_hint=2h", 3, "told_to_wait", "come back then"),
        ("sim:404", 3, "failing", "none succeeded"),
    ] {
        home.file("rows.jsonl", &chats(120, model));
        let ran = home.run(&["batch", "run", "rows.jsonl", "--out", "out.jsonl", "--json", "--base-url", &url]);
        let told = ran.json();
        assert_eq!((ran.exit, told["stopped"].as_str()), (exit, Some(stopped)), "{model}: {told}");
        assert!(ran.err.contains(words) && ran.err.contains("hint:"), "{model}: {}", ran.err);
        let calls = told["calls"].as_u64().unwrap();
        assert!(calls < 80 && told["left"].as_u64().unwrap() > 40, "{model}: {told}");
        for name in ["out.jsonl", "out.jsonl.journal"] {
            std::fs::remove_file(home.path().join(name)).unwrap();
        }
    }
    assert_eq!(sim.stop(Signal::TERM), Some(0));
}

#[test]
fn where_no_server_is_named_the_one_that_runs_here_is_asked() {
    let home = Home::new();
    let up = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
    home.file("rows.jsonl", &chats(2, "sim:ok"));
    let arguments = ["batch", "run", "rows.jsonl", "--out", "out.jsonl", "--json"];
    assert_eq!(home.run_with(&[("WEIR_KEY", up.text("api_key"))], &arguments).done().json()["ok"], 2);
    assert_eq!(up.stop(Signal::TERM), Some(0));
}

#[test]
fn what_was_typed_wrong_says_what_to_do() {
    let home = Home::new();
    home.run(&["batch", "run", "none.jsonl", "--out", "out.jsonl"]).failed(2, &["cannot read none.jsonl"]);
    home.run(&["batch", "resume", "out.jsonl"]).failed(2, &["there is no run behind out.jsonl"]);
    home.run(&["batch", "status", "out.jsonl"]).failed(2, &["there is no journal beside"]);
    home.file("empty.jsonl", "\n\n");
    home.run(&["batch", "run", "empty.jsonl", "--out", "out.jsonl"]).failed(2, &["there are no rows in"]);
    home.file("rows.jsonl", &chats(2, "sim:ok"));
    home.file("out.jsonl", "mine\n");
    let again = ["batch", "run", "rows.jsonl", "--out", "out.jsonl", "--base-url", "http://127.0.0.1:1/v1"];
    home.run(&again).failed(2, &["has something in it already", "batch resume"]);
    assert_eq!(std::fs::read_to_string(home.path().join("out.jsonl")).unwrap(), "mine\n");
    let nobody = ["batch", "run", "rows.jsonl", "--out", "a.jsonl", "--base-url", "http://127.0.0.1:1/v1", "--key-env", "NO_SUCH"];
    home.run(&nobody).failed(2, &["NO_SUCH is not set"]);
    home.run(&["batch", "run", "rows.jsonl", "--out", "a.jsonl", "--price", "weight=1"]).failed(2, &["none of input, output"]);
}

#[test]
fn a_changed_file_is_not_resumed_and_a_running_run_is_not_run_twice() {
    let house = House::open();
    house.home.file("rows.jsonl", &chats(40, "sim:tokens=4,interval=400ms"));
    let url = house.gateway.text("base_url");
    let arguments = ["batch", "run", "rows.jsonl", "--out", "out.jsonl", "--base-url", url, "--concurrency", "1", "--key-stdin"];
    let mut child = house.home.command(&arguments).stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{}\n", house.key).as_bytes()).unwrap();
    let out = house.home.path().join("out.jsonl");
    while std::fs::metadata(&out).map_or(0, |there| there.len()) == 0 {
        std::thread::yield_now();
    }
    house.batch(&["resume", "out.jsonl"]).failed(2, &["another weir runs out.jsonl", "batch status"]);
    assert_eq!(house.batch(&["status", "out.jsonl", "--json"]).done().json()["running"], true);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    house.home.file("rows.jsonl", &chats(41, "sim:ok"));
    house.batch(&["resume", "out.jsonl"]).failed(2, &["was changed since the run began"]);
    // The call of the killed client still lingers: this test does not wait for it.
    house.gateway.kill();
}
