//! The simulator: settings, routes, and the state that outlives a connection.

use std::{
    io,
    path::Path,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use weir_core::{Audience, Kind, Timestamp, redact::Redactor};

use crate::{
    answer,
    ask::{Ask, Family},
    catalog::{CATALOG, Term},
    digest::Fnv,
    families::{created, media},
    http1::Request,
    pace::Paces,
    refusal,
    reply::{Head, Reply},
    scenario::{Met, Scenario},
    seen::{Ended, Log, Memory, SeenRequest, Tally, millis},
    tasks::{Shape, Tasks},
    text::json,
};

/// Characters of a model's name that are kept.
const MODEL_MAX_CHARS: usize = 128;
/// Plain names that `GET /v1/models` lists too, because SDK examples use them.
const PLAIN_MODELS: &[&str] = &["gpt-4o-mini", "text-embedding-3-small", "claude-sonnet-4-5"];

/// How a simulator behaves, whatever the model names ask.
#[derive(Debug, Clone)]
pub struct SimSettings {
    /// Larger request bodies are refused with 413, in bytes. Pictures in a chat reach tens of megabytes.
    pub body_max_bytes: usize,
    /// Requests that `Sim::requests` remembers.
    pub requests_max: usize,
    /// Connections served at once; more are reset at once.
    pub connections_max: usize,
    /// How long a connection may be silent between requests.
    pub idle: Duration,
    /// The wall time at which the simulator begins; dates in answers count on from it.
    pub epoch: Timestamp,
    /// Laid under every request's own scenario, until [`Sim::set_always`] lays another. With `reset_before_accept` connections are
    /// reset before a byte is read; with `reset_before_accept_once` only the first.
    pub always: Scenario,
}

impl Default for SimSettings {
    /// 64 MiB bodies as OpenAI takes them; ten minutes of keep-alive, longer than any client's pool; 2026-01-01 as the epoch, so
    /// that two runs are equal.
    fn default() -> Self {
        Self {
            body_max_bytes: 64 << 20,
            requests_max: 10_000,
            connections_max: 20_000,
            idle: Duration::from_secs(600),
            epoch: Timestamp(1_767_225_600_000),
            always: Scenario::default(),
        }
    }
}

/// A fake upstream. Clones share one state.
#[derive(Debug, Clone)]
pub struct Sim(Arc<Shared>);

struct Shared {
    settings: SimSettings,
    begun: Instant,
    state: Mutex<State>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("settings", &self.settings).finish_non_exhaustive()
    }
}

struct State {
    log: Log,
    memory: Memory,
    tasks: Tasks,
    paces: Paces,
    always: Scenario,
}

/// A request that was noted and must be ended.
pub(crate) struct Noted {
    pub(crate) n: u64,
    pub(crate) stream: bool,
}

impl Sim {
    /// A simulator whose time begins now.
    #[must_use]
    pub fn new(settings: SimSettings) -> Self {
        Self::with(settings, Tasks::default())
    }

    /// The same, but its video jobs outlive it: the last thousand of them stand in this file. For one simulator at a time.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn keeping_jobs(settings: SimSettings, file: &Path) -> io::Result<Self> {
        Ok(Self::with(settings, Tasks::kept(file)?))
    }

    fn with(settings: SimSettings, tasks: Tasks) -> Self {
        let state = State {
            log: Log::new(settings.requests_max),
            memory: Memory::default(),
            tasks,
            paces: Paces::default(),
            always: settings.always.clone(),
        };
        Self(Arc::new(Shared { settings, begun: Instant::now(), state: Mutex::new(state) }))
    }

    /// What was received, oldest first, without content.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.state().log.requests()
    }

    /// Requests since the start or the last clear, beyond those remembered.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state().log.counts().0
    }

    /// Requests being answered now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.state().log.counts().1
    }

    /// Video jobs ever taken.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.state().tasks.made()
    }

    /// Forgets the requests; `_once` and jobs are kept.
    pub fn clear_requests(&self) {
        self.state().log.clear();
    }

    /// Lays another scenario under every request that comes from now on: an upstream that falls ill, or recovers.
    pub fn set_always(&self, always: Scenario) {
        self.state().always = always;
    }

    pub(crate) fn settings(&self) -> &SimSettings {
        &self.0.settings
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves counts a little off, which a test should see rather than a poison error.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Notes a connection; false if it is to be reset before a byte is read.
    pub(crate) fn accepts_connection(&self) -> bool {
        let mut state = self.state();
        let first = state.log.connected();
        let always = state.always.clone().strike(0, Met { before: u64::from(!first), over: None });
        !always.has(Term::ResetBeforeAccept)
    }

    pub(crate) fn end(&self, noted: &Noted, tally: Tally, ended: Ended) {
        let at = self.elapsed();
        self.state().log.end(noted.n, noted.stream, tally, ended, at);
    }

    /// The reply of one request, and its place in the log if it is a client's.
    pub(crate) fn reply(&self, request: &Request) -> (Reply, Option<Noted>) {
        if let Some(reply) = self.own_page(request) {
            return (reply, None);
        }
        let family = Family::of_path(&request.path);
        let ask = Ask::read(request);
        let noted = self.note(request, ask.as_ref());
        let now = self.settings().epoch.after(self.elapsed());
        let model = ask.as_ref().map_or("", |ask| ask.model.as_str());
        let ordered = match Scenario::parse(model) {
            // Resetting before the accept is a connection's matter, decided when it came.
            Ok(ordered) => ordered.with(&self.state().always.clone().without(Term::ResetBeforeAccept)),
            Err(error) => {
                let message = format!("The model `{}` does not exist: failed to {error}. GET /v1/models lists all.", short(model));
                return (answer::not_served(404, family, "model_not_found", &message), Some(noted));
            }
        };
        let seed = ask.as_ref().map_or_else(|| crate::digest::fnv(request.path.as_bytes()), |ask| ask.seed);
        let before = if ordered.remembers() { self.meets(request, ask.as_ref()) } else { 0 };
        // Only what asks a model for something counts against its rate.
        let rpm = ordered.count(Term::Rpm).filter(|_| ask.is_some());
        let over = rpm.and_then(|rpm| self.state().paces.ask(rpm, self.elapsed()).err());
        let scenario = ordered.strike(seed, Met { before, over });
        if scenario.has(Term::ResetAfterAccept) || scenario.has(Term::ResetBeforeAccept) {
            return (Reply::reset(), Some(noted));
        }
        let reply = self.route(request, family, ask.as_ref(), &scenario, now);
        (answer::finish(reply, &scenario, request, seed, now), Some(noted))
    }

    fn meets(&self, request: &Request, ask: Option<&Ask>) -> u64 {
        let mut sum = Fnv::new();
        sum.eat(request.method.as_bytes());
        sum.eat(request.path.as_bytes());
        if let Some(ask) = ask {
            sum.eat(&ask.seed.to_le_bytes());
            sum.eat(&[u8::from(ask.stream)]);
        }
        self.state().memory.meet(sum.end())
    }

    fn note(&self, request: &Request, ask: Option<&Ask>) -> Noted {
        let hex = |hash: Option<u64>| hash.map(|hash| format!("{hash:016x}")).unwrap_or_default();
        let stream = ask.is_some_and(|ask| ask.stream);
        let seen = SeenRequest {
            n: 0,
            at_ms: millis(self.elapsed()),
            method: request.method.clone(),
            path: short(&without_credential(&request.path, request)),
            model: short(&without_credential(ask.map_or("", |ask| ask.model.as_str()), request)),
            stream,
            body_bytes: request.body.len() as u64,
            body_hash: hex(ask.map(|ask| ask.body_hash)),
            prompt_hash: hex(ask.map(|ask| ask.seed)),
            idempotency_key: request.idempotency_key,
            retry_count: request.retry_count,
            status: 0,
            events: 0,
            written_bytes: 0,
            ended: Ended::Running,
            generation_ms: 0,
        };
        Noted { n: self.state().log.begin(seen), stream }
    }

    /// The simulator's own pages; asking for them leaves no trace.
    fn own_page(&self, request: &Request) -> Option<Reply> {
        if request.path != "/sim/requests" {
            return None;
        }
        Some(match request.method.as_str() {
            "GET" => {
                let state = self.state();
                Reply::json(200, state.log.page(state.tasks.made()))
            }
            "DELETE" => {
                self.clear_requests();
                Reply::json(200, r#"{"cleared":true}"#)
            }
            _ => answer::not_served(405, None, "method_not_allowed", "Use GET or DELETE."),
        })
    }

    fn route(&self, request: &Request, family: Option<Family>, ask: Option<&Ask>, scenario: &Scenario, now: Timestamp) -> Reply {
        if let (Some(family), "POST") = (family, request.method.as_str()) {
            let Some(ask) = ask else {
                return answer::not_served(400, Some(family), "invalid_json", "We could not parse the body of your request.");
            };
            return refusal::refuse(scenario, ask, request, Some(family), now)
                .unwrap_or_else(|| answer::of_family(family, ask, scenario, request));
        }
        // Requests without a body can only be refused by what is always in force.
        let nothing = Ask { body: serde_json::Value::Null, model: String::new(), stream: false, seed: 0, body_hash: 0 };
        if let Some(reply) = refusal::refuse(scenario, ask.unwrap_or(&nothing), request, family, now) {
            return reply;
        }
        let unknown = || answer::not_served(404, family, "unknown_url", &format!("Invalid URL ({} {})", request.method, request.path));
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/models") => Reply::json(200, models()),
            ("GET", path) if path.starts_with("/v1/models/") => {
                let name = path["/v1/models/".len()..].replace("%3A", ":").replace("%3D", "=").replace("%2C", ",");
                match Scenario::parse(&name) {
                    Ok(_) => Reply::json(200, model(&name, "", "")),
                    Err(error) => {
                        answer::not_served(404, family, "model_not_found", &format!("The model does not exist: failed to {error}."))
                    }
                }
            }
            ("POST", "/v1/videos") => self.create_task(ask, scenario, now, Shape::Videos),
            ("POST", "/v1/video/generations") => self.create_task(ask, scenario, now, Shape::Generations),
            ("POST", path) if path.starts_with("/v1/videos/") && path.ends_with("/remix") => {
                self.create_task(ask, scenario, now, Shape::Videos)
            }
            (method, path) => self.task(method, path, now).unwrap_or_else(unknown),
        }
    }

    fn create_task(&self, ask: Option<&Ask>, scenario: &Scenario, now: Timestamp, shape: Shape) -> Reply {
        let Some(ask) = ask else {
            return answer::not_served(400, None, "invalid_json", "We could not parse the body of your request.");
        };
        let body = self.state().tasks.create(ask, scenario, self.settings().epoch, now, shape);
        if scenario.has(Term::TaskLostAnswer) { Reply::reset() } else { Reply::json(200, body) }
    }

    /// Reading and deleting jobs; `None` for paths that are none of theirs.
    fn task(&self, method: &str, path: &str, at: Timestamp) -> Option<Reply> {
        if (method, path) == ("GET", "/v1/videos") {
            return Some(Reply::json(200, self.state().tasks.list(at)));
        }
        let (shape, rest) = match path.strip_prefix("/v1/videos/") {
            Some(rest) => (Shape::Videos, rest),
            None => (Shape::Generations, path.strip_prefix("/v1/video/generations/")?),
        };
        let missing = || answer::not_served(404, None, "not_found", "No such video.");
        let (id, content) = rest.strip_suffix("/content").map_or((rest, false), |id| (id, true));
        let mut state = self.state();
        Some(match (method, content) {
            ("GET", false) => state.tasks.show(id, at, shape).map_or_else(missing, |body| Reply::json(200, body)),
            ("GET", true) => match state.tasks.content(id, at) {
                Some(Some(seed)) => Reply::whole(Head::new(200, "video/mp4"), media::mp4(seed)),
                Some(None) => answer::not_served(404, None, "not_ready", "The video is not ready."),
                None => missing(),
            },
            ("DELETE", false) => state.tasks.delete(id).map_or_else(missing, |body| Reply::json(200, body)),
            _ => return None,
        })
    }
}

/// People paste the very key they call with.
fn without_credential(model: &str, request: &Request) -> String {
    let key = request.credential.rsplit(' ').next().unwrap_or_default();
    if key.is_empty() { model.to_owned() } else { model.replace(key, Kind::Key.marker()) }
}

/// A model's name or a path as pages and errors show it: people paste keys there.
fn short(model: &str) -> String {
    static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);
    if model.is_empty() || model.starts_with("sim:") && Scenario::parse(model).is_ok() {
        return model.chars().take(MODEL_MAX_CHARS).collect();
    }
    REDACTOR.redact(model, Audience::Support).cut(MODEL_MAX_CHARS).into_string()
}

fn model(name: &str, zh: &str, en: &str) -> String {
    let (name, made) = (json(name), created(0));
    if en.is_empty() {
        return format!(r#"{{"id":{name},"object":"model","created":{made},"owned_by":"weir-sim"}}"#);
    }
    format!(
        r#"{{"id":{name},"object":"model","created":{made},"owned_by":"weir-sim","description":{},"description_zh":{}}}"#,
        json(en),
        json(zh)
    )
}

/// Every word of the catalogue with its line in both languages.
fn models() -> String {
    let words = CATALOG.iter().map(|entry| model(&entry.model(), entry.zh, entry.en));
    let data = words.chain(PLAIN_MODELS.iter().map(|name| model(name, "", ""))).collect::<Vec<_>>().join(",");
    format!(r#"{{"object":"list","data":[{data}]}}"#)
}
