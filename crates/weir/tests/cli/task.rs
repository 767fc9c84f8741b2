//! Tasks through the real binary: submitted once, followed by the gateway, found again after a kill.

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    raw::{Wire, address},
    running::Running,
    weir::{Home, Ran},
};

/// A gateway whose videos cost a unit a second, in front of a simulator of its own.
struct Studio {
    home: Home,
    sim: Running,
    gateway: Running,
    key: String,
}

const CONFIG: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[log]\nfilter = \"off\"\n[prices.models.\"sim:*\"]\ninput = 1\noutput = 1\nsecond = 1\n[tasks]\nfirst_look = \"100ms\"\nlast_look = \"300ms\"\n";

impl Studio {
    fn open() -> Self {
        Self::open_with("", "")
    }

    /// With more lines about tasks and about the upstream.
    fn open_with(tasks: &str, upstream_says: &str) -> Self {
        let home = Home::with_account();
        home.run(&["account", "credit", "demo", "100"]).done();
        let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
        let upstream = sim.text("base_url");
        let channel = "[[upstream.channel]]\nname = \"main\"\nno_key = true\n";
        home.file(
            "weir.toml",
            &format!("{CONFIG}{tasks}[[upstream]]\nname = \"sim\"\nbase_url = \"{upstream}\"\n{upstream_says}{channel}"),
        );
        let key = home.run(&["key", "create", "--account", "demo", "--json"]).done().json()["key"].as_str().unwrap().to_owned();
        let gateway = Self::serve(&home);
        Self { home, sim, gateway, key }
    }

    fn serve(home: &Home) -> Running {
        Running::start(home, &["serve", "--config", "weir.toml", "--json"])
    }

    /// Runs `weir task` against the gateway.
    fn task(&self, arguments: &[&str]) -> Ran {
        let arguments = [&["task", "--url", self.gateway.text("base_url")], arguments].concat();
        self.home.run_with(&[("WEIR_KEY", &self.key)], &arguments)
    }

    /// `kill -9`, and a new start.
    fn killed(self) -> Self {
        let Self { home, sim, gateway, key } = self;
        gateway.kill();
        let gateway = Self::serve(&home);
        Self { home, sim, gateway, key }
    }

    /// Submissions that the upstream saw.
    fn submissions(&self) -> usize {
        let mut wire = Wire::open(address(self.sim.text("base_url"))).unwrap();
        wire.send(b"GET /sim/requests HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n").unwrap();
        let seen: Value = serde_json::from_str(&wire.answer().unwrap().1).unwrap();
        seen["requests"].as_array().unwrap().iter().filter(|seen| seen["method"] == "POST").count()
    }

    /// Ends everything; the laws hold, and this was taken in all, in nano-units.
    fn close(self, settled: i64) {
        assert_eq!(self.gateway.stop(Signal::TERM), Some(0));
        assert_eq!(self.sim.stop(Signal::TERM), Some(0));
        let audit = self.home.run(&["audit", "--json"]).done().json();
        assert_eq!(audit["ok"], true, "{audit}");
        let accounts = self.home.run(&["account", "list", "--json"]).done().json();
        assert_eq!(accounts["accounts"][0]["settled"], settled, "{accounts}");
    }
}

fn word<'v>(task: &'v Value, name: &str) -> &'v str {
    task["weir"][name].as_str().unwrap_or_else(|| panic!("{name} in {task}"))
}

#[test]
fn a_task_is_submitted_awaited_shown_and_listed() {
    let studio = Studio::open();
    let made = studio.task(&["submit", "--model", "sim:task_slow=1s", "--seconds", "4", "a violet lantern", "--json"]).done().json();
    let id = made["id"].as_str().unwrap();
    assert_eq!((word(&made, "state"), word(&made, "charged")), ("submitted", "pending"));
    let ended = studio.task(&["wait", id, "--timeout", "60s", "--json"]).done().json();
    assert_eq!((word(&ended, "state"), word(&ended, "charged")), ("succeeded", "yes"));
    for lang in ["zh", "en"] {
        assert!(studio.task(&["show", id, "--lang", lang]).done().out.contains("succeeded"));
        assert!(studio.task(&["list", "--lang", lang]).done().out.contains(id));
    }
    assert_eq!(studio.task(&["list", "--json"]).done().json()["tasks"][0]["id"], id);
    studio.task(&["show", "wr_nothing"]).failed(2, &["this is not a task id", "video_"]);
    let call = word(&ended, "call");
    for audience in ["support", "public"] {
        let record = studio.home.run(&["evidence", "show", call, "--audience", audience, "--json"]).done().json();
        let task = &record["task"];
        assert_eq!((&task["id"], &task["state"], &task["charged"]), (&id.into(), &"succeeded".into(), &"yes".into()), "{record}");
        assert!(task["submitted_at"].is_string(), "{record}");
    }
    assert!(studio.home.run(&["calls", "show", call]).done().out.contains(id));
    assert_eq!(studio.home.run(&["calls", "show", call, "--json"]).done().json()["charged"], "yes");
    assert_eq!(studio.submissions(), 1);
    studio.close(4_000_000_000);
}

#[test]
fn r36_a_lost_answer_is_awaited_and_not_submitted_again() {
    let studio = Studio::open();
    let lost = studio.task(&["submit", "--model", "sim:task_lost_answer,task_slow=1s", "--seconds", "8", "a lantern"]);
    let lost = lost.failed(3, &["what became of it is not known", "hint:", "task wait video_"]);
    let id = lost.err.split_whitespace().find(|word| word.starts_with("video_")).unwrap().to_owned();
    let studio = studio.killed();
    let ended = studio.task(&["wait", &id, "--timeout", "60s", "--json"]).done().json();
    assert_eq!((word(&ended, "state"), studio.submissions()), ("succeeded", 1));
    studio.close(8_000_000_000);
}

#[test]
fn r36_a_task_that_cannot_be_asked_for_says_what_is_known_what_is_held_and_what_not_to_do() {
    let studio = Studio::open_with("unconfirmed = \"1s\"\n", "tasks = \"submit_poll\"\n");
    let lost = studio.task(&["submit", "--model", "sim:task_lost_answer,task_slow=1s", "--seconds", "8", "a lantern"]);
    let lost = lost.failed(3, &["what became of it is not known"]);
    let id = lost.err.split_whitespace().find(|word| word.starts_with("video_")).unwrap().to_owned();
    let ended = studio.task(&["wait", &id, "--timeout", "60s", "--json"]);
    assert_eq!((ended.exit, word(&ended.json(), "state"), word(&ended.json(), "charged")), (1, "unknown", "no"));
    let shown = studio.task(&["show", &id, "--lang", "en"]);
    for said in
        ["nobody could tell its end in time", "0 charged; the 8 that was held is settled", "do not submit it again", "by time and model"]
    {
        assert!(shown.out.contains(said), "{said}: {}", shown.out);
    }
    assert!(studio.task(&["show", &id, "--lang", "zh"]).out.contains("不要重新提交"));
    assert_eq!(studio.submissions(), 1);
    studio.close(0);
}

#[test]
fn a_failed_task_is_not_well_and_costs_nothing() {
    let studio = Studio::open();
    let made = studio.task(&["submit", "--model", "sim:task_failed", "a lantern", "--json"]).done().json();
    let ended = studio.task(&["wait", made["id"].as_str().unwrap(), "--timeout", "60s", "--json"]);
    assert_eq!((ended.exit, word(&ended.json(), "verdict")), (1, "W-TASK-003"));
    let again = studio.task(&["submit", "--model", "sim:task_failed", "a lantern"]).done();
    assert!(again.err.contains(made["id"].as_str().unwrap()), "{again:?}");
    studio.close(0);
}

#[test]
fn without_a_key_or_a_gateway_it_says_what_to_do() {
    let home = Home::new();
    home.run(&["task", "list"]).failed(2, &["no weir runs on this machine", "weir up"]);
    home.run(&["task", "--url", "http://127.0.0.1:1/v1", "list"]).failed(2, &["there is no key", "WEIR_KEY"]);
    let nobody =
        home.run_with(&[("OPENAI_API_KEY", "sk-12345678")], &["task", "--url", "http://127.0.0.1:1/v1", "submit", "--model", "m", "x"]);
    nobody.failed(3, &["connect", "nothing was sent"]);
}

#[test]
fn a_key_that_is_bound_to_an_address_may_ask_for_its_tasks_from_there() {
    let studio = Studio::open();
    let bound = |source: &str| {
        let made = studio.home.run(&["key", "create", "--account", "demo", "--sources", source, "--json"]).done().json();
        made["key"].as_str().unwrap().to_owned()
    };
    let (here, elsewhere) = (bound("127.0.0.1"), bound("192.0.2.7"));
    let studio = studio.killed();
    let url = studio.gateway.text("base_url").to_owned();
    let list = |key: &str| studio.home.run_with(&[("WEIR_KEY", key)], &["task", "--url", &url, "list", "--json"]);
    assert_eq!(list(&here).done().json()["tasks"].as_array().map(Vec::len), Some(0));
    list(&elsewhere).failed(1, &["the gateway answered"]);
    studio.close(0);
}

#[test]
fn a_first_look_later_than_the_last_is_a_fault_of_the_configuration() {
    let home = Home::new();
    home.file("weir.toml", "[tasks]\nfirst_look = \"40s\"\nduplicates = \"ask\"\n");
    home.run(&["config", "check", "--config", "weir.toml"]).failed(2, &["tasks.duplicates", "warn, refuse, join"]);
    home.file("weir.toml", "[tasks]\nfirst_look = \"40s\"\ndeadline = \"0s\"\n");
    home.run(&["config", "check", "--config", "weir.toml"]).failed(2, &["tasks.first_look", "longer than last_look", "tasks.deadline"]);
}
