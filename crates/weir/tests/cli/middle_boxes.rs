//! The doctor behind real middle boxes: it names what the box does to a stream, and with `--direct` it names the box.

use serde_json::Value;

use crate::{
    boxes::{MiddleBox, StoringBox, has},
    running::Running,
    weir::Home,
};

/// A dozen events in most of a second: long enough to tell a burst from a flow.
const MODEL: &str = "sim:tokens=16,interval=60ms";
const FLOWING: &str = "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off;";
/// What the upstream asks of nginx is not heard, as with a configuration that was copied from a page server.
const DEAF: &str = "proxy_ignore_headers X-Accel-Buffering; proxy_buffering on;";

struct Upstream {
    home: Home,
    running: Running,
}

impl Upstream {
    fn sim() -> Self {
        let home = Home::new();
        let running = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
        Self { home, running }
    }

    fn up() -> Self {
        let home = Home::new();
        let running = Running::start(&home, &["up", "--listen", "127.0.0.1:0", "--json"]);
        Self { home, running }
    }

    fn url(&self) -> &str {
        self.running.text("base_url")
    }

    fn key(&self) -> &str {
        self.running.ready["api_key"].as_str().unwrap_or("sk-12345678-a-key-of-no-one")
    }

    fn nginx(&self, lines: &str) -> MiddleBox {
        MiddleBox::nginx(self.url(), lines)
    }

    fn haproxy(&self, lines: &str) -> MiddleBox {
        MiddleBox::haproxy(self.url(), lines)
    }

    /// The report on what is behind a box, and the exit code that goes with it.
    fn examined(&self, through: &MiddleBox, model: &str, more: &[&str]) -> Value {
        let url = through.base_url();
        let arguments = [&["doctor", &url, "--model", model, "--json"], more].concat();
        let ran = self.home.run_with(&[("WEIR_KEY", self.key())], &arguments);
        let report = ran.json();
        assert_eq!(report["exit_code"], ran.exit, "{ran:?}");
        report
    }
}

fn codes(report: &Value) -> (&str, Vec<&str>) {
    let notes = report["notes"].as_array().unwrap().iter().map(|note| note["code"].as_str().unwrap()).collect();
    (report["primary"].as_str().unwrap(), notes)
}

/// A fault that strikes within a second or two, and what the doctor must call it.
struct Case {
    lines: &'static str,
    model: &'static str,
    more: &'static [&'static str],
    primary: &'static str,
    note: Option<&'static str>,
    exit: u8,
}

fn case(lines: &'static str, primary: &'static str, exit: u8) -> Case {
    Case { lines, model: MODEL, more: &["--cheap"], primary, note: None, exit }
}

/// Every case behind a box of its own, one after the other.
fn named(start: impl Fn(&Upstream, &str) -> MiddleBox, cases: &[Case]) {
    let sim = Upstream::sim();
    for Case { lines, model, more, primary, note, exit } in cases {
        let report = sim.examined(&start(&sim, lines), model, more);
        let (found, notes) = codes(&report);
        assert_eq!((found, report["exit_code"].as_u64()), (*primary, Some(u64::from(*exit))), "{lines}: {report}");
        assert!(note.is_none_or(|note| notes.contains(&note)), "{lines}: {notes:?}");
    }
}

const WHOLE: &str =
    "proxy_ignore_headers X-Accel-Buffering; proxy_buffering on; proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;";
const STALLING: &str = "sim:tokens=16,interval=60ms,stall=4s,stall_after=5";

#[test]
fn a_good_nginx_and_a_good_haproxy_are_no_fault() {
    if has("nginx") {
        named(Upstream::nginx, &[Case { more: &[], ..case(FLOWING, "W-OK-001", 0) }]);
    }
    if has("haproxy") {
        named(Upstream::haproxy, &[Case { more: &[], ..case("option http-no-delay", "W-OK-001", 0) }, case("", "W-OK-001", 0)]);
    }
}

#[test]
fn r26_nginx_that_buffers_is_named_whole_or_in_blocks() {
    if has("nginx") {
        let blocks = Case { model: "sim:tokens=40,interval=30ms", ..case(DEAF, "W-STREAM-011", 0) };
        named(Upstream::nginx, &[case(WHOLE, "W-STREAM-002", 1), blocks]);
    }
}

#[test]
fn nginx_that_compresses_is_named_by_the_comparison() {
    if has("nginx") {
        let stored =
            "proxy_ignore_headers X-Accel-Buffering; proxy_http_version 1.1; gzip on; gzip_types text/event-stream; gzip_proxied any;";
        let flowing = "proxy_http_version 1.1; proxy_buffering off; gzip on; gzip_types text/event-stream; gzip_proxied any;";
        let compared = |lines, primary, exit| Case { more: &[], ..case(lines, primary, exit) };
        named(
            Upstream::nginx,
            &[Case { note: Some("W-STREAM-010"), ..compared(stored, "W-STREAM-009", 1) }, compared(flowing, "W-STREAM-010", 0)],
        );
    }
}

#[test]
fn a_short_read_timeout_is_named_before_the_first_byte_and_in_the_middle() {
    let slow = |lines| Case { model: "sim:first_byte=5s", ..case(lines, "W-TMO-002", 1) };
    let cut = |lines| Case { model: STALLING, ..case(lines, "W-STREAM-005", 1) };
    if has("nginx") {
        let lines = "proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1s;";
        named(Upstream::nginx, &[slow(lines), cut(lines)]);
    }
    if has("haproxy") {
        named(Upstream::haproxy, &[slow("timeout server 1s"), cut("timeout server 1s")]);
    }
}

#[test]
fn headers_that_a_box_takes_away_are_named_and_a_strict_run_fails() {
    if has("nginx") {
        let lines =
            "proxy_http_version 1.1; proxy_buffering off; proxy_hide_header Cache-Control; add_header Cache-Control 'public, max-age=60';";
        named(
            Upstream::nginx,
            &[case(lines, "W-STREAM-010", 0), Case { more: &["--cheap", "--strict"], ..case(lines, "W-STREAM-010", 1) }],
        );
    }
}

#[test]
fn haproxy_compresses_only_where_a_box_before_it_took_the_promise_away() {
    if !has("nginx") || !has("haproxy") {
        return;
    }
    let compressing = "compression algo gzip\ncompression type text/event-stream";
    named(Upstream::haproxy, &[Case { more: &[], ..case(compressing, "W-OK-001", 0) }]);
    let sim = Upstream::sim();
    let stripping = sim.nginx("proxy_http_version 1.1; proxy_buffering off; proxy_hide_header Cache-Control;");
    let report = sim.examined(&MiddleBox::haproxy(&stripping.base_url(), compressing), MODEL, &[]);
    assert_eq!((codes(&report).0, &report["exit_code"]), ("W-STREAM-010", &Value::from(0)), "{report}");
}

#[test]
fn r23_the_way_around_the_box_names_the_box() {
    if !has("nginx") {
        return;
    }
    let blocks = "sim:tokens=40,interval=30ms";
    for (upstream, lines, model) in [(Upstream::sim(), WHOLE, MODEL), (Upstream::sim(), DEAF, blocks), (Upstream::up(), WHOLE, MODEL)] {
        let through = upstream.nginx(lines);
        let report = upstream.examined(&through, model, &["--cheap", "--direct", upstream.url()]);
        assert_eq!((codes(&report).0, &report["exit_code"]), ("W-STREAM-012", &Value::from(1)), "{report}");
        let seen = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "P7").unwrap();
        assert!(
            seen["seen"]["en"].as_str().unwrap().contains(through.base_url().trim_start_matches("http://").trim_end_matches("/v1")),
            "{seen}"
        );
    }
}

#[test]
fn r23_behind_a_good_box_the_gateway_is_examined_to_its_record() {
    if has("nginx") {
        let up = Upstream::up();
        let report = up.examined(&up.nginx(FLOWING), MODEL, &[]);
        assert_eq!(codes(&report).0, "W-OK-001", "{report}");
        assert!(report["checks"].as_array().unwrap().iter().any(|check| check["id"] == "P8" && check["status"] == "ok"), "{report}");
    }
}

/// A gateway that gives its upstream two seconds between two events.
fn impatient(home: &Home, upstream: &str) -> (Running, String) {
    home.run(&["account", "create", "demo"]).done();
    let channel = "[[upstream.channel]]\nname = \"main\"\nno_key = true\n";
    let limits = "[timeouts]\nconnect = \"2s\"\nfirst_byte = \"10s\"\nidle = \"2s\"\ntotal = \"30s\"\n";
    let rest = format!("[prices]\nunknown = \"free\"\n{limits}[[upstream]]\nname = \"sim\"\nbase_url = \"{upstream}\"\n{channel}");
    home.file("weir.toml", &format!("[server]\nlisten = \"127.0.0.1:0\"\n{rest}"));
    let key = home.run(&["key", "create", "--account", "demo", "--json"]).done().json()["key"].as_str().unwrap().to_owned();
    (Running::start(home, &["serve", "--json"]), key)
}

#[test]
fn a_gap_that_the_gateway_did_not_bear_is_told_as_the_upstreams() {
    let sim = Upstream::sim();
    let home = Home::new();
    let (gateway, key) = impatient(&home, sim.url());
    for (lang, words) in [("zh", ["W-TMO-005", "上游"]), ("en", ["W-TMO-005", "upstream"])] {
        let arguments = ["doctor", gateway.text("base_url"), "--model", "sim:tokens=16,interval=60ms,stall=20s", "--cheap", "--lang", lang];
        let ran = home.run_with(&[("WEIR_KEY", &key)], &arguments);
        let verdict = ran.out.lines().find(|line| line.starts_with("W-")).unwrap_or_default();
        assert!(ran.exit == 1 && verdict.starts_with(words[0]) && ran.out.contains(words[1]), "{ran:?}");
    }
}

#[test]
fn a_box_before_the_gateway_that_stores_streams_is_told_by_the_gateways_echo() {
    let up = Upstream::up();
    let storing = StoringBox::before(up.url());
    for lang in ["zh", "en"] {
        let ran = up.home.run_with(&[("WEIR_KEY", up.key())], &["doctor", storing.base_url(), "--model", MODEL, "--cheap", "--lang", lang]);
        let verdict = ran.out.lines().find(|line| line.starts_with("W-")).unwrap_or_default();
        assert!(ran.exit == 1 && verdict.starts_with("W-STREAM-002") && ran.out.contains("P13"), "{ran:?}");
        assert!(verdict.contains(if lang == "zh" { "确定" } else { "certain" }), "the gateway's own echo says so: {verdict}");
    }
}
