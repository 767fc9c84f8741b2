//! What no client should send: each has a code, none moves a balance, none ends the process.

use std::{net::SocketAddr, process::Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    raw::{Head, Wire, address},
    running::Running,
    weir::Home,
};

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[log]
filter = "off"
[groups.small]
models = ["sim:ok"]
[prices.models."sim:*"]
input = 1
output = 4
[prices.models."gpt-*"]
input = 1
"#;

/// The bounds that the rows run into.
const SMALL: &str = "body_bytes = \"16KiB\"\nhead_bytes = \"16KiB\"\n";
/// Tries of what becomes true within a moment.
const TRIES: usize = 10_000;

/// A gateway with small bounds in front of a simulator, and keys for every way to be refused.
struct House {
    home: Home,
    sim: Running,
    gateway: Running,
    /// The key that may do everything.
    key: String,
}

impl House {
    fn open() -> Self {
        Self::with_limits(SMALL)
    }

    fn with_limits(limits: &str) -> Self {
        let home = Home::with_account();
        home.run(&["account", "credit", "demo", "10"]).done();
        let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
        let upstream = sim.text("base_url");
        let channel = "[[upstream.channel]]\nname = \"main\"\nno_key = true\nmodels = [\"sim:*\", \"free-*\", \"made-up\"]\n";
        home.file("weir.toml", &format!("{CONFIG}[limits]\n{limits}[[upstream]]\nname = \"sim\"\nbase_url = \"{upstream}\"\n{channel}"));
        let key = made(&home, &["--account", "demo"]);
        let gateway = Running::start(&home, &["serve", "--config", "weir.toml", "--json"]);
        Self { home, sim, gateway, key }
    }

    fn at(&self) -> SocketAddr {
        address(self.gateway.text("base_url"))
    }

    /// What is left of the account, and how much was ever taken.
    fn balance(&self) -> (Value, Value) {
        let accounts = self.home.run(&["account", "list", "--json"]).done().json();
        (accounts["accounts"][0]["balance"].clone(), accounts["accounts"][0]["settled"].clone())
    }

    /// Sends bytes on a connection of their own and reads one answer.
    fn ask(&self, bytes: &[u8]) -> (Head, String) {
        let mut wire = Wire::open(self.at()).unwrap();
        // A server that has read enough may close before all is written.
        let _ = wire.send(bytes);
        wire.answer().unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)])))
    }

    /// A call that costs nothing but must work.
    fn is_well(&self) {
        let (head, text) = self.ask(self.post(&good()).as_bytes());
        assert_eq!(head.status, 200, "{text}");
    }

    /// The head and body of a call with this body.
    fn post(&self, body: &str) -> String {
        self.with("content-type: application/json\r\n", body)
    }

    /// The same with these headers beside the key's.
    fn with(&self, headers: &str, body: &str) -> String {
        post_as(&format!("authorization: Bearer {}\r\n{headers}", self.key), body)
    }

    /// Asks until the answer has another status: for what becomes true within a moment.
    fn ask_while(&self, status: u16, bytes: &[u8]) {
        assert!((0..TRIES).any(|_| self.ask(bytes).0.status != status), "still {status}");
    }

    /// Ends everything. The books hold, and only good calls were charged. Gives the records.
    fn close(self) -> Vec<Value> {
        assert_eq!(self.gateway.stop(Signal::TERM), Some(0));
        assert_eq!(self.sim.stop(Signal::TERM), Some(0));
        let audit = self.home.run(&["audit", "--json"]).done().json();
        assert_eq!((&audit["ok"], &audit["in_flight"]), (&true.into(), &0.into()), "{audit}");
        let calls = self.home.run(&["calls", "list", "--json", "--limit", "1000"]).done().json()["calls"].as_array().unwrap().clone();
        assert_eq!(audit["calls"], calls.len());
        for call in &calls {
            assert_eq!(call["charged"] == "yes", call["status"] == 200, "{call}");
        }
        calls
    }
}

fn made(home: &Home, allowed: &[&str]) -> String {
    let arguments = [&["key", "create", "--json"], allowed].concat();
    home.run(&arguments).done().json()["key"].as_str().unwrap().to_owned()
}

fn post_as(headers: &str, body: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// A call that the simulator answers, at a price.
fn good() -> String {
    json!({ "model": "sim:ok", "messages": [{ "role": "user", "content": "hello" }] }).to_string()
}

/// One row: what is sent, and the status, code and verdict of the answer.
type Row = (&'static str, Vec<u8>, u16, &'static str, &'static str);

/// Sends every row; each gets its code in a body of the API's form, and nothing is charged.
fn refuses(house: &House, rows: Vec<Row>) {
    let before = house.balance();
    for (what, bytes, status, code, verdict) in rows {
        let (head, text) = house.ask(&bytes);
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: {} {text:?}", head.status));
        let error = &body["error"];
        assert_eq!((head.status, &error["code"], &error["verdict"]), (status, &code.into(), &verdict.into()), "{what}: {text}");
        assert_eq!(error["charged"], false, "{what}: {text}");
        assert_eq!(error["request_id"].as_str(), head.get("x-request-id"), "{what}: {text}");
        assert!(!text.contains(&house.key), "{what}: {text}");
    }
    assert_eq!(house.balance(), before);
}

const INVALID: (&str, &str) = ("invalid_request_error", "W-REQ-001");

#[test]
fn a_bad_body_is_refused_with_what_is_wrong_with_it() {
    let house = House::open();
    let chat = |fields: &str| format!("{{{fields},\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}");
    let bodies = [
        ("no body", String::new()),
        ("malformed", "{model: sim:ok}".to_owned()),
        ("truncated", good()[..30].to_owned()),
        ("an array", "[1]".to_owned()),
        ("NaN", chat(r#""model":"sim:ok","temperature":NaN"#)),
        ("a field twice", chat(r#""model":"sim:ok","model":"sim:ok""#)),
        ("too deep", chat(&format!(r#""model":"sim:ok","x":{}{}"#, "[".repeat(4000), "]".repeat(4000)))),
        ("stream is a word", chat(r#""model":"sim:ok","stream":"yes""#)),
        ("no model", chat(r#""stream":false"#)),
        ("the model is a number", chat(r#""model":5"#)),
        ("a long model", chat(&format!(r#""model":"{}""#, "m".repeat(10_000)))),
        ("two values", format!("{0}{0}", good())),
    ];
    let mut rows: Vec<Row> = bodies.iter().map(|(what, body)| (*what, house.post(body).into_bytes(), 400, INVALID.0, INVALID.1)).collect();
    let mut bytes = house.post(&good()).into_bytes();
    let hello = bytes.windows(5).position(|five| five == b"hello").unwrap();
    bytes[hello] = 0xFF;
    rows.push(("not UTF-8", bytes, 400, INVALID.0, INVALID.1));
    let kind = |kind: &str| house.with(kind, &good()).into_bytes();
    rows.extend([
        ("a page", kind("content-type: text/html\r\n"), 415, "unsupported_content_type", "W-REQ-001"),
        ("a form", kind("content-type: multipart/form-data; boundary=x\r\n"), 415, "unsupported_content_type", "W-REQ-001"),
        ("gzip", kind("content-type: application/json\r\ncontent-encoding: gzip\r\n"), 415, "unsupported_content_encoding", "W-REQ-001"),
    ]);
    let much = "x".repeat(4 << 20);
    let chunked = house.with("transfer-encoding: chunked\r\n", "").replace("content-length: 0\r\n", "");
    rows.extend([
        ("too long", house.post(&much).into_bytes(), 413, "request_too_large", "W-REQ-002"),
        (
            "says that it is too long",
            house.post("").replace("content-length: 0", "content-length: 999999999").into_bytes(),
            413,
            "request_too_large",
            "W-REQ-002",
        ),
        (
            "too long in chunks",
            format!("{chunked}{:x}\r\n{much}\r\n0\r\n\r\n", much.len()).into_bytes(),
            413,
            "request_too_large",
            "W-REQ-002",
        ),
        ("a chunk size that is none", format!("{chunked}hello\r\n").into_bytes(), 400, INVALID.0, INVALID.1),
        ("a huge chunk size", format!("{chunked}fffffffffffffffff\r\n").into_bytes(), 400, INVALID.0, INVALID.1),
    ]);
    refuses(&house, rows);
    house.is_well();
    house.close();
}

#[test]
fn the_answer_to_a_body_that_is_too_long_is_not_lost_in_a_reset() {
    let house = House::open();
    let mut wire = Wire::open(house.at()).unwrap();
    wire.send(house.post(&"x".repeat(16 << 20)).as_bytes()).unwrap();
    assert_eq!(wire.answer().unwrap().0.status, 413);
    assert!(wire.is_over(), "reset instead of closed");
    house.close();
}

#[test]
fn who_may_not_ask_and_what_is_not_served_is_refused_with_its_own_code() {
    let house = House::open();
    let home = &house.home;
    let [disabled, revoked, expired] =
        [&[][..], &[], &["--expires", "1ms"]].map(|more| made(home, &[&["--account", "demo"], more].concat()));
    for (verb, key) in [("disable", &disabled), ("revoke", &revoked)] {
        home.run(&["key", verb, &key[6..14]]).done();
    }
    let elsewhere = made(home, &["--account", "demo", "--sources", "192.0.2.0/24"]);
    let small = made(home, &["--account", "demo", "--group", "small"]);
    home.run(&["account", "create", "poor"]).done();
    let poor = made(home, &["--account", "poor"]);
    // The gateway follows changes of keys within a moment: it is ready for the rows when it knows the last one.
    house.ask_while(401, asks(&bearer(&poor), "sim:ok").as_bytes());
    let unknown = made(&Home::with_account(), &["--account", "demo"]);
    let mut mistyped = house.key.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'a' { 'b' } else { 'a' });
    let own = bearer(&house.key);
    let long = format!("authorization: Bearer {}\r\n", "k".repeat(4000));
    let basic = "authorization: Basic dTpw\r\n".to_owned();
    let bare = format!("authorization: {}\r\n", house.key);
    let rows = [
        ("no key", String::new(), "sim:ok", 401, "invalid_api_key", "W-AUTH-001"),
        ("Basic", basic, "sim:ok", 401, "invalid_api_key", "W-AUTH-001"),
        ("no scheme", bare, "sim:ok", 401, "invalid_api_key", "W-AUTH-001"),
        ("a long key", long, "sim:ok", 401, "invalid_api_key", "W-AUTH-001"),
        ("wrong check digits", bearer(&mistyped), "sim:ok", 401, "invalid_api_key", "W-AUTH-001"),
        ("an unknown key", bearer(&unknown), "sim:ok", 401, "invalid_api_key", "W-AUTH-001"),
        ("a disabled key", bearer(&disabled), "sim:ok", 401, "key_disabled", "W-AUTH-002"),
        ("an expired key", bearer(&expired), "sim:ok", 401, "key_expired", "W-AUTH-002"),
        ("a revoked key", bearer(&revoked), "sim:ok", 401, "key_revoked", "W-AUTH-002"),
        ("from elsewhere", bearer(&elsewhere), "sim:ok", 403, "ip_not_allowed", "W-AUTH-003"),
        ("not of the group", bearer(&small), "sim:tokens=3", 403, "group_model_denied", "W-GROUP-001"),
        ("no price", own.clone(), "free-lunch", 400, "price_unknown", "W-MODEL-002"),
        ("no channel", own.clone(), "gpt-4o-mini", 404, "model_not_found", "W-MODEL-001"),
        ("not the upstream's", own.clone(), "sim:404", 404, "model_not_found", "W-MODEL-001"),
        ("no balance", bearer(&poor), "sim:ok", 402, "insufficient_balance", "W-BAL-001"),
    ];
    refuses(
        &house,
        rows.into_iter()
            .map(|(what, key, model, status, code, verdict)| (what, asks(&key, model).into_bytes(), status, code, verdict))
            .collect(),
    );
    house.is_well();
    house.close();
}

#[test]
fn a_path_or_method_that_is_none_is_a_clear_refusal() {
    let house = House::open();
    let own = bearer(&house.key);
    let path = |line: &str| format!("{line} HTTP/1.1\r\nhost: weir\r\n{own}\r\n").into_bytes();
    refuses(
        &house,
        vec![
            ("GET", path("GET /v1/chat/completions"), 405, "method_not_allowed", "W-REQ-001"),
            ("DELETE", path("DELETE /v1/models"), 405, "method_not_allowed", "W-REQ-001"),
            ("a method of one's own", path("BREW /v1/chat/completions"), 405, "method_not_allowed", "W-REQ-001"),
            ("CONNECT", path("CONNECT example.com:443"), 404, "not_found", "W-NET-004"),
            ("OPTIONS *", path("OPTIONS *"), 404, "not_found", "W-NET-004"),
            ("no such path", path("GET /v1/nothing"), 404, "not_found", "W-NET-004"),
            ("two slashes", path("GET //v1/models"), 404, "not_found", "W-NET-004"),
            ("a way around", path("GET /v1/../v1/models"), 404, "not_found", "W-NET-004"),
            ("percent", path("GET /v1/%6dodels"), 404, "not_found", "W-NET-004"),
            ("a long path", path(&format!("GET /{}", "p".repeat(5000))), 404, "not_found", "W-NET-004"),
        ],
    );
    house.is_well();
    house.close();
}

fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

fn asks(key: &str, model: &str) -> String {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] }).to_string();
    post_as(&format!("{key}content-type: application/json\r\n"), &body)
}

#[test]
fn a_head_that_could_be_read_in_two_ways_is_not_read_at_all() {
    let house = House::open();
    let get = |headers: &str| format!("GET /healthz HTTP/1.1\r\nhost: weir\r\n{headers}\r\n").into_bytes();
    let line = |line: &str| format!("{line}\r\nhost: weir\r\n\r\n").into_bytes();
    let row = |what, bytes| (what, bytes, 400, INVALID.0, INVALID.1);
    refuses(
        &house,
        vec![
            row("two lengths", get("content-length: 3\r\ncontent-length: 4\r\n")),
            row("a list of lengths", get("content-length: 3, 4\r\n")),
            row("a negative length", get("content-length: -1\r\n")),
            row("a signed length", get("content-length: +1\r\n")),
            row("an unknown coding", get("transfer-encoding: chunked, gzip\r\n")),
            row("a folded header", get("x-a: 1\r\n 2\r\n")),
            row("space before the colon", get("content-length : 3\r\n")),
            row("no colon", get("nonsense\r\n")),
            row("an empty name", get(": x\r\n")),
            row("NUL", get("x-a: a\0b\r\n")),
            row("a bare CR", get("x-a: a\rb\r\n")),
            row("HTTP/0.9", b"GET /healthz\r\n\r\n".to_vec()),
            row("HTTP/3", line("GET /healthz HTTP/3")),
            row("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
            row("a space in the path", line("GET /heal thz HTTP/1.1")),
            row("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
            ("a long header", get(&format!("x-a: {}\r\n", "a".repeat(100 << 10))), 431, "request_too_large", "W-REQ-002"),
            ("many headers", get(&"x-a: 1\r\n".repeat(500)), 431, "request_too_large", "W-REQ-002"),
            ("a huge path", line(&format!("GET /{} HTTP/1.1", "p".repeat(70_000))), 431, "request_too_large", "W-REQ-002"),
        ],
    );
    house.is_well();
    house.close();
}

#[test]
fn a_body_framed_twice_is_the_last_thing_read_from_its_connection() {
    let house = House::open();
    let smuggled = format!("GET /v1/models HTTP/1.1\r\nhost: weir\r\n{}\r\n", bearer(&house.key));
    let body = good();
    for headers in ["content-length: 5\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"] {
        let head =
            post_as(&format!("{}content-type: application/json\r\n", bearer(&house.key)), "").replace("content-length: 0\r\n", headers);
        let mut wire = Wire::open(house.at()).unwrap();
        wire.send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n{smuggled}", body.len()).as_bytes()).unwrap();
        let (head, text) = wire.answer().unwrap();
        assert_eq!((head.status, head.get("connection")), (200, Some("close")), "{text}");
        assert!(wire.is_over());
    }
    // Two calls, and no trace of what came behind them.
    assert_eq!(house.close().len(), 2);
}

#[test]
fn old_careful_and_hasty_clients_are_served() {
    let house = House::open();
    let call = house.post(&good());
    let old = call.replace("HTTP/1.1", "HTTP/1.0");
    let absolute = call.replace("POST /v1", "POST http://weir/v1");
    for bytes in [&call, &old, &absolute] {
        let (head, text) = house.ask(bytes.as_bytes());
        assert!(head.status == 200 && text.contains("\"usage\""), "{text}");
    }
    let mut wire = Wire::open(house.at()).unwrap();
    let (head, body) = call.split_once("\r\n\r\n").unwrap();
    wire.send(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(wire.head().unwrap().status, 100);
    wire.send(body.as_bytes()).unwrap();
    assert_eq!(wire.answer().unwrap().0.status, 200);
    // Three at once on the same connection, the last of them wrong: three answers in order.
    wire.send(format!("{call}{call}GET /healthz\r\n\r\n").as_bytes()).unwrap();
    for status in [200, 200, 400] {
        let (head, text) = wire.answer().unwrap();
        assert_eq!(head.status, status, "{text}");
    }
    assert!(wire.is_over());
    house.close();
}

#[test]
fn slow_heads_and_bodies_get_a_408_and_silence_gets_silence() {
    let house = House::with_limits("header_read = \"300ms\"\nbody_read = \"300ms\"\n");
    let before = house.balance();
    let call = house.post(&good());
    let (head, body) = call.split_once("\r\n\r\n").unwrap();
    for part in [call[..40].to_owned(), head.to_owned(), format!("{head}\r\n\r\n{}", &body[..10])] {
        let (head, text) = house.ask(part.as_bytes());
        let error = serde_json::from_str::<Value>(&text).unwrap()["error"].clone();
        assert_eq!((head.status, &error["code"], &error["verdict"]), (408, &"request_timeout".into(), &"W-TMO-010".into()), "{text}");
    }
    let mut silent = Wire::open(house.at()).unwrap();
    assert!(silent.is_over());
    assert_eq!(house.balance(), before);
    // A second request that comes slowly, on a connection that was good.
    let mut wire = Wire::open(house.at()).unwrap();
    wire.send(format!("{call}POST /v1").as_bytes()).unwrap();
    assert_eq!(wire.answer().unwrap().0.status, 200);
    assert_eq!(wire.answer().unwrap().0.status, 408);
    house.close();
}

#[test]
fn one_connection_too_many_is_told_so_and_a_client_that_leaves_makes_room() {
    let house = House::with_limits("connections = 4\n");
    let call = house.post(&good());
    // A call whose body does not come keeps its place until `body_read`.
    let open: Vec<Wire> = (0..4)
        .map(|_| {
            let mut wire = Wire::open(house.at()).unwrap();
            wire.send(&call.as_bytes()[..call.len() - 10]).unwrap();
            wire
        })
        .collect();
    let (head, text) = house.ask(call.as_bytes());
    let error = &serde_json::from_str::<Value>(&text).unwrap()["error"];
    assert_eq!((head.status, &error["code"], &error["verdict"]), (503, &"gateway_full".into(), &"W-GW-001".into()), "{text}");
    drop(open);
    house.ask_while(503, call.as_bytes());
    // Clients that closed within their bodies left a record each.
    let calls = house.close();
    let left: Vec<&Value> = calls.iter().filter(|call| call["status"] != 200).collect();
    assert_eq!(left.len(), 4, "{calls:?}");
    assert!(left.iter().all(|call| call["ended_by"] == "client"), "{left:?}");
}

#[test]
fn a_configuration_with_a_key_that_nobody_knows_does_not_start() {
    let home = Home::with_account();
    home.file("weir.toml", "[limits]\nbody_byte = \"1MiB\"\n");
    let mut command = home.command(&["serve", "--config", "weir.toml"]);
    let told = command.stdin(Stdio::null()).output().unwrap();
    let words = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(2), "{words}");
    assert!(
        words.contains("weir.toml:2:1: limits.body_byte: unknown key") && words.contains("hint: did you mean limits.body_bytes?"),
        "{words}"
    );
}
