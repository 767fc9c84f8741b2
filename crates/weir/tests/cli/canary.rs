//! Planted canaries: two keys, a token and prompts go through every fault of the simulator and through bad requests; then they are
//! looked for in whatever the binary wrote, printed, stored or answered.
//!
//! Left out on purpose: the file `pepper` and the demo key of `weir up`, whose purpose is to hold a secret, and the answers of
//! good calls, which repeat what their own client sent. That the search is not blind is shown where the redactor can be
//! taken out: in the gateway's own tests.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weir_core::{
    Secret,
    redact::canary::{find, forms},
};
use weir_sim::catalog::CATALOG;

use crate::weir::Home;

/// The upstream's key: of no vendor's shape, so that only its registration can find it.
const UPSTREAM: &str = "relay.Q7wZ9xT3k2Lm8pVb4nRc6yHd1sJf5gAe0uOi";
/// Somebody else's key, pasted where it does not belong.
const FOREIGN: &str = "sk-proj-wK3vN8rT5yB1mX7cQ2zL12345678A3eU8iO5tR1nY7bV2";
/// What an administrator's tool would hold, in a cookie, a header and the environment.
const ADMIN: &str = "adm_7Yx2Rk9Tq4Wn8Bv3Mc6Zp1Ld5Hs0Jf";
const PROMPT_EN: &str = "the violet lantern hums over the seventh quay";
const PROMPT_ZH: &str = "海上灯塔编号七十三在夜里熄灭";
/// Clients at once: the waits of the slow faults overlap.
const CLIENTS: usize = 12;

/// A process whose output goes to files, as much as it may be.
struct Process {
    child: Child,
    out: std::path::PathBuf,
    err: std::path::PathBuf,
}

impl Process {
    fn start(home: &Home, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let (out, err) = (home.path().join(format!("{name}.out")), home.path().join(format!("{name}.err")));
        let mut command = home.command(arguments);
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        let child = command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
        Self { child, out, err }
    }

    /// Its base URL, as soon as it says that it is ready.
    fn base_url(&mut self) -> String {
        loop {
            if let Some(line) = fs::read_to_string(&self.out).unwrap().split_once('\n') {
                return serde_json::from_str::<Value>(line.0).unwrap()["base_url"].as_str().unwrap().to_owned();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&self.err).unwrap());
            std::thread::yield_now();
        }
    }

    fn command_line(&self) -> Vec<u8> {
        fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap_or_default()
    }

    fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that was written, with the name of where.
#[derive(Default)]
struct Sinks(Vec<(String, Vec<u8>)>);

impl Sinks {
    fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.into(), bytes.into()));
    }

    /// Every file below a directory but those whose purpose is a secret.
    fn add_files(&mut self, when: &str, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                self.add_files(when, &path);
            } else if entry.file_name() != "pepper" {
                self.add(format!("{} {when}", path.display()), dense(&fs::read(&path).unwrap()));
            }
        }
    }

    fn add_run(&mut self, home: &Home, arguments: &[&str]) {
        let ran = home.run(arguments);
        self.add(format!("weir {} (exit {})", arguments.join(" "), ran.exit), ran.out + &ran.err);
    }

    /// Where which canary was found, and the neighbourhood of the first hit.
    fn hits(&self, canaries: &[(&str, &str)]) -> Vec<String> {
        let (mut names, mut needles) = (Vec::new(), Vec::new());
        for (name, canary) in canaries {
            for form in forms(&Secret::new(*canary)) {
                names.push(*name);
                needles.push(form);
            }
        }
        let mut hits = Vec::new();
        for (sink, bytes) in &self.0 {
            let found = find(bytes, &needles);
            if let Some(first) = found.first() {
                let around = &bytes[first.at.saturating_sub(160)..bytes.len().min(first.at + 160)];
                let (name, count) = (names[first.form], found.len());
                hits.push(format!("{name}, one of {count} hits in {sink}: …{}…", String::from_utf8_lossy(around)));
            }
        }
        hits
    }
}

/// The bytes without the long stretches of zeros that files of fixed size are made of.
fn dense(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for line in bytes.chunks(64).filter(|line| line.iter().any(|byte| *byte != 0)) {
        kept.extend_from_slice(line);
    }
    kept
}

/// Sends bytes and gives all that comes back.
fn exchange(at: &str, request: &[u8]) -> Vec<u8> {
    let mut io = TcpStream::connect(at).unwrap();
    io.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = Vec::new();
    // A refusal may come, and the connection end, before all was sent.
    let _ = io.write_all(request).and_then(|()| io.read_to_end(&mut answer));
    answer
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: weir\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: weir\r\n{headers}connection: close\r\n\r\n").into_bytes()
}

/// One planned request. `own`: its answer repeats what the client itself sent, keys included.
struct Plan {
    request: Vec<u8>,
    own: bool,
}

fn prompt(filler: usize) -> String {
    format!("{}{PROMPT_ZH}。{PROMPT_EN}", "lorem ".repeat(filler))
}

fn body(path: &str, model: &str, stream: bool, text: &str) -> String {
    let asked = if path == "/v1/responses" {
        json!({ "model": model, "stream": stream, "input": text })
    } else {
        json!({ "model": model, "stream": stream, "max_tokens": 400, "messages": [{ "role": "user", "content": text }] })
    };
    asked.to_string()
}

/// Every fault on every family, stream and not, with secrets in headers besides.
fn faults(key: &str, paths: &[&str]) -> Vec<Plan> {
    let headers = format!(
        "authorization: Bearer {key}\r\ncookie: session={ADMIN}\r\nx-admin-token: {ADMIN}\r\nproxy-authorization: Basic {ADMIN}\r\nuser-agent: curl/8.5.0 ({FOREIGN})\r\n"
    );
    let extra = ["sim:echo_error=401", "sim:echo_error=500", "sim:echo_error=event", "sim:tools=2,reasoning=4,echo"];
    let models: Vec<String> = CATALOG.iter().map(weir_sim::catalog::Entry::model).chain(extra.map(str::to_owned)).collect();
    let mut plans = Vec::new();
    for path in paths {
        for model in &models {
            for stream in [false, true] {
                plans.push(Plan { request: post(path, &headers, &body(path, model, stream, &prompt(0))), own: false });
            }
        }
    }
    // Prompts so long that what the upstream quotes behind them is cut at every place of its key.
    for filler in 140..170 {
        let body = body("/v1/chat/completions", "sim:echo_error", filler % 2 == 0, &prompt(filler));
        plans.push(Plan { request: post("/v1/chat/completions", &headers, &body), own: false });
    }
    plans
}

/// Keys and prompts wherever a person or a broken tool might put them.
fn mistakes(key: &str) -> Vec<Plan> {
    let bearer = format!("authorization: Bearer {key}\r\n");
    let chat = "/v1/chat/completions";
    let good = body(chat, "sim:ok", false, &prompt(0));
    let percent: String = PROMPT_ZH.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut requests = Vec::new();
    for wrong in [FOREIGN, ADMIN, UPSTREAM, &key[..60], &format!("{}x", &key[..63])] {
        for header in ["authorization: Bearer ", "authorization: ", "authorization: Basic ", "x-api-key: ", "api-key: "] {
            requests.push(post(chat, &format!("{header}{wrong}\r\n"), &good));
        }
    }
    // The admin token is no vendor's and not registered: where only its looks could tell, nobody can.
    for secret in [FOREIGN, UPSTREAM, key] {
        for header in
            ["user-agent", "x-weir-caller", "x-request-id", "idempotency-key", "x-stainless-package-version", "via", "x-stainless-timeout"]
        {
            requests.push(post(chat, &format!("{bearer}{header}: {secret}\r\n"), &good));
            requests.push(post(chat, &format!("{bearer}{header}: {secret}\r\n"), "{"));
        }
        requests.push(post(chat, &format!("{bearer}user-agent: tool/{FOREIGN}\r\n"), &good));
        requests.push(post(chat, &format!("{bearer}content-encoding: {secret}\r\n"), &good));
        requests.push(post(&format!("/v1/{secret}"), &bearer, &good));
        requests.push(post(&format!("{chat}/{secret}"), "", &good));
        requests.push(post(&format!("{chat}?api_key={secret}"), &bearer, "{}"));
        requests.push(get(&format!("/v1/weir/calls/{secret}"), &bearer));
        requests.push(format!("{} /v1/models HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n", secret.replace('.', "-")).into_bytes());
        requests.push(format!("GET /{secret} HTTP/9.9\r\n{secret}\r\n\r\n").into_bytes());
        requests.push(get("/v1/models", &format!("{bearer}x-long: {}\r\n", secret.repeat(3000))));
        for broken in [
            format!("{{\"model\":\"sim:ok\",\"{secret}\":"),
            format!("{{\"model\":\"sim:ok\",\"stream\":\"{secret}\"}}"),
            format!("{{\"model\":\"sim:ok\",\"max_tokens\":\"{secret}\"}}"),
            format!("{{\"model\":[\"{secret}\"]}}"),
            secret.to_owned(),
            body(chat, &format!("sim:{secret}"), false, secret),
        ] {
            requests.push(post(chat, &bearer, &broken));
        }
    }
    for path in [format!("/v1/{percent}"), format!("/v1/{}", PROMPT_EN.replace(' ', "-")), format!("/v1/{}", PROMPT_EN.replace(' ', "%20"))]
    {
        requests.push(get(&path, &bearer));
    }
    let mut plans: Vec<Plan> = requests.into_iter().map(|request| Plan { request, own: false }).collect();
    for model in [FOREIGN, UPSTREAM, key] {
        plans.push(Plan { request: get(&format!("/v1/models/{model}?key={model}"), &bearer), own: true });
        for model in [model.to_owned(), format!("{}/{model}", "m".repeat(100)), model.repeat(3)] {
            plans.push(Plan { request: post(chat, &bearer, &body(chat, &model, true, &prompt(0))), own: true });
        }
    }
    plans
}

/// Sends all of `plans`, several at a time; the answers in their order.
fn send_all(at: &str, plans: &[Plan]) -> Vec<Vec<u8>> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(vec![Vec::new(); plans.len()]);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some((n, plan)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, plans.get(n)?))) {
                    let answer = exchange(at, &plan.request);
                    answers.lock().unwrap()[n] = answer;
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

fn request_ids(answers: &[Vec<u8>]) -> Vec<String> {
    let id = |answer: &Vec<u8>| {
        let text = String::from_utf8_lossy(answer);
        text.split_once("x-request-id: ").map(|(_, rest)| rest.lines().next().unwrap_or_default().to_owned())
    };
    answers.iter().filter_map(id).filter(|id| id.starts_with("wr_")).collect()
}

fn host(base_url: &str) -> &str {
    base_url.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap()
}

fn config(upstream: &str, format: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"{format}\"\n[timeouts]\nconnect = \"1s\"\nfirst_byte = \"1s\"\nidle = \"1s\"\ntotal = \"3s\"\n[prices]\nunknown = \"free\"\n[[upstream]]\nname = \"sim\"\nbase_url = \"{upstream}\"\n[[upstream.channel]]\nname = \"main\"\nkey_env = \"UPSTREAM_KEY\"\n"
    )
}

/// What each command prints about what happened.
fn add_commands(sinks: &mut Sinks, home: &Home, kid: &str, ids: &[String]) {
    for arguments in [
        &["calls", "list", "--limit", "1000", "--lang", "zh"][..],
        &["calls", "list", "--limit", "1000", "--lang", "en"],
        &["calls", "list", "--limit", "1000", "--json"],
        &["evidence", "export", "--limit", "1000"],
        &["evidence", "export", "--limit", "1000", "--audience", "public"],
        &["audit", "--lang", "zh"],
        &["audit", "--json"],
        &["key", "list"],
        &["key", "list", "--json"],
        &["key", "show", kid],
        &["account", "list"],
        &["config", "show"],
    ] {
        sinks.add_run(home, arguments);
    }
    for (n, id) in ids.iter().enumerate() {
        let lang = ["zh", "en"][n % 2];
        sinks.add_run(home, &["calls", "show", id, "--lang", lang]);
        sinks.add_run(home, &["evidence", "show", id, "--lang", lang, "--audience", ["support", "public"][n / 2 % 2]]);
    }
}

/// One run with logs in `format`; everything that came of it.
fn run(format: &str, paths: &[&str]) -> (Sinks, Sinks, String) {
    let home = Home::with_account();
    let key = home.run(&["key", "create", "--account", "demo", "--json"]).done().json()["key"].as_str().unwrap().to_owned();
    let variables = [("UPSTREAM_KEY", UPSTREAM), ("ADMIN_TOKEN", ADMIN), ("RUST_LOG", "trace")];
    let mut sim = Process::start(&home, "sim", &["sim", "--listen", "127.0.0.1:0", "--json"], &variables);
    let sim_url = sim.base_url();
    home.file("weir.toml", &config(&sim_url, format));
    let mut serve = Process::start(&home, "serve", &["serve", "--config", "weir.toml", "--json"], &variables);
    let base_url = serve.base_url();
    let plans: Vec<Plan> = faults(&key, paths).into_iter().chain(mistakes(&key)).collect();
    let answers = send_all(host(&base_url), &plans);
    let ids = request_ids(&answers);

    let (mut sinks, mut seen) = (Sinks::default(), Sinks::default());
    for (plan, answer) in plans.iter().zip(&answers).filter(|(plan, _)| !plan.own) {
        let line = String::from_utf8_lossy(&plan.request).lines().next().unwrap_or_default().chars().take(40).collect::<String>();
        seen.add(format!("the answer to {line}"), answer.as_slice());
    }
    let bearer = format!("authorization: Bearer {key}\r\n");
    let looks: Vec<Plan> = ids.iter().map(|id| Plan { request: get(&format!("/v1/weir/calls/{id}"), &bearer), own: false }).collect();
    for (look, id) in send_all(host(&base_url), &looks).into_iter().zip(&ids) {
        sinks.add(format!("GET /v1/weir/calls/{id}"), look);
    }
    sinks.add("GET /sim/requests", exchange(host(&sim_url), &get("/sim/requests", "")));
    sinks.add("the command lines", [sim.command_line(), serve.command_line()].concat());
    sinks.add_files("while it runs", &home.path().join("data"));
    let some: Vec<String> = ids.iter().rev().step_by(ids.len().div_ceil(8)).cloned().collect();
    add_commands(&mut sinks, &home, &key[6..14], &some);
    serve.stop();
    sim.stop();
    sinks.add_files("after it ended", home.path());
    assert!(ids.len() > plans.len() / 2, "{} of {} answers name a request id", ids.len(), plans.len());
    (sinks, seen, key)
}

fn nothing_leaks(format: &str, paths: &[&str]) {
    let (sinks, seen, key) = run(format, paths);
    let keys = [("the user's key", key.as_str()), ("the upstream's key", UPSTREAM), ("a foreign key", FOREIGN), ("the admin token", ADMIN)];
    let tails: Vec<String> = keys.iter().map(|(_, key)| key[key.len() - 12..].to_owned()).collect();
    let tails: Vec<(&str, &str)> = tails.iter().map(|tail| ("the end of a key", tail.as_str())).collect();
    let prompts = [("the English prompt", PROMPT_EN), ("the Chinese prompt", PROMPT_ZH), ("the upstream's cookie", "planted-cookie")];
    let mut hits = sinks.hits(&[&keys[..], &tails[..], &prompts[..]].concat());
    // What the clients themselves got may repeat their prompt, but never a key.
    hits.extend(seen.hits(&[&keys[..], &tails[..]].concat()));
    assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
}

#[test]
fn r41_planted_secrets_reach_no_sink_with_logs_for_programs() {
    nothing_leaks("json", &["/v1/responses", "/v1/messages"]);
}

#[test]
fn r41_planted_secrets_reach_no_sink_with_logs_for_people() {
    nothing_leaks("human", &["/v1/chat/completions"]);
}
