//! `weir up`: a gateway with a simulated upstream, a demo key and something to paste.

use std::{
    fs::{self, OpenOptions},
    io::{IsTerminal, Write, stdout},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use weir_core::{ApiKey, Price};
use weir_gateway::{Channel, PriceList, Settings, Upstream};
use weir_sim::{Sim, SimSettings};
use weir_store::{KeyState, NewKey, Store, StoreError};

use super::{
    key::dice,
    serve::{Signals, bind, block_on, open, serve},
    sim::base_url,
};
use crate::{
    args::listen,
    config::{
        check::wrong_base_url,
        load, secret,
        settings::{settings, target},
    },
    fault::{Exit, Fault},
    lang::text,
    logs,
    shell::Shell,
};

/// The demo's account, and the file in the data directory that remembers its key.
const DEMO: &str = "demo";
pub(super) const DEMO_KEY_FILE: &str = "demo-key";
/// The file that says where the gateway of this data directory listens, for the commands that need a server.
pub(super) const ADDRESS_FILE: &str = "base-url";
/// The file in which the simulated upstream keeps its video jobs: as a real one, it must know them when the gateway comes back.
const JOBS_FILE: &str = "sim-jobs";
/// How long running calls may finish after Ctrl-C: someone is waiting at the terminal.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where it listens, 127.0.0.1:8787 if left out; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", value_parser = listen)]
    listen: Option<SocketAddr>,
    /// An upstream instead of the simulated one, such as https://api.openai.com/v1
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The environment variable that holds the upstream's key; without it none is sent
    #[arg(long, value_name = "NAME", requires = "upstream")]
    upstream_key_env: Option<String>,
}

impl Up {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        // No file is read: what `weir.toml` says is meant for `weir serve`. What the environment says is meant for every command.
        let config = load(None, &shell.variables)?.config;
        logs::start(shell, config.log.format, config.log.filter.as_deref().unwrap_or("warn"))?;
        let dir = shell.plain_data_dir()?;
        let at = self.listen.or_else(|| config.server.listen.parse().ok()).unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)));
        let grace = shell.variable("WEIR_SERVER__GRACE").map_or(GRACE, |_| config.server.grace.0);
        block_on(async {
            let signals = Signals::take()?;
            let listener = bind(at).await?;
            let simulator = match self.upstream {
                Some(_) => None,
                None => Some(bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?),
            };
            let sim_url = simulator.as_ref().map(base_url).transpose()?;
            let upstream = self.upstream(shell, sim_url.as_deref())?;
            let store = Store::open(&dir)?;
            let key = demo_key(shell, &store, &dir)?;
            let gateway = open(store, &dir, free(settings(&config, &shell.variables)?, upstream), &config)?;
            let url = base_url(&listener)?;
            // Only a convenience: without it people type the address.
            let _ = fs::write(dir.join(ADDRESS_FILE), &url);
            announce(shell, &url, &key, sim_url.as_deref(), &dir)?;
            let simulator = match simulator {
                Some(listener) => Some((simulator_of(&dir, shell.now())?, listener)),
                None => None,
            };
            signals
                .stop(|stop| async move {
                    tokio::select! {
                        done = serve(gateway, listener, stop, grace) => done,
                        // The simulator stays until the gateway has drained.
                        () = simulate(simulator) => Ok(Exit::Done),
                    }
                })
                .await
        })
    }

    fn upstream(&self, shell: &Shell, sim_url: Option<&str>) -> Result<Upstream, Fault> {
        let url = self.upstream.as_deref().or(sim_url).unwrap_or_default();
        if let Some((why, hint)) = wrong_base_url(url) {
            let (zh, en) = (why.zh, why.en);
            return Err(Fault::usage(text!("--upstream {zh}", "--upstream {en}"), hint));
        }
        let key = match &self.upstream_key_env {
            Some(name) => Some(secret::from_variable(name, &shell.variables).map_err(|fault| Fault::usage(fault.why, fault.hint))?),
            None => None,
        };
        let name = if self.upstream.is_some() { "upstream" } else { "sim" };
        let channel = Channel {
            name: "main".to_owned(),
            key: key.map(Arc::new),
            models: Vec::new(),
            weight: 1,
            limits: weir_core::Limits::default(),
        };
        Ok(Upstream { name: name.to_owned(), tasks: None, target: target(url)?, channels: vec![channel] })
    }
}

/// One upstream, and nothing costs anything unless told otherwise, so no model is without a price.
fn free(settings: Settings, upstream: Upstream) -> Settings {
    let prices = PriceList { fallback: Some(Price::default()), ..settings.prices };
    Settings { upstreams: vec![upstream], prices, ..settings }
}

/// The simulated upstream of this data directory.
fn simulator_of(dir: &Path, epoch: weir_core::Timestamp) -> Result<Sim, Fault> {
    let file = dir.join(JOBS_FILE);
    Sim::keeping_jobs(SimSettings { epoch, ..SimSettings::default() }, &file).map_err(|error| {
        let shown = file.display();
        Fault::new(Exit::Unknown, text!("写不了 {shown}:{error}", "cannot write {shown}: {error}"))
    })
}

async fn simulate(simulator: Option<(Sim, TcpListener)>) {
    match simulator {
        Some((sim, listener)) => sim.serve(listener, std::future::pending()).await,
        None => std::future::pending().await,
    }
}

/// The demo key: the one of the last start if it still works, else a new one.
fn demo_key(shell: &Shell, store: &Store, dir: &Path) -> Result<ApiKey, Fault> {
    let path = dir.join(DEMO_KEY_FILE);
    if let Some(key) = fs::read_to_string(&path).ok().and_then(|text| ApiKey::parse(text.trim()).ok()) {
        let known = key.kid().map(|kid| store.key(&kid)).transpose()?.flatten();
        if known.is_some_and(|row| row.state == KeyState::Active) {
            return Ok(key);
        }
    }
    let now = shell.now();
    let account = match store.create_account(DEMO, now) {
        Ok(account) => account.id,
        Err(StoreError::AccountExists(name)) => name,
        Err(error) => return Err(error.into()),
    };
    let (key, _) = store.create_key(&NewKey { account, ..NewKey::default() }, &dice(), now)?;
    keep(&path, key.expose()).map_err(|error| {
        let shown = path.display();
        Fault::new(Exit::Unknown, text!("写不了 {shown}:{error}", "cannot write {shown}: {error}"))
    })?;
    Ok(key)
}

/// Writes a secret that only its owner may read, whole or not at all.
fn keep(path: &Path, secret: &str) -> std::io::Result<()> {
    let next = path.with_extension("new");
    let _ = fs::remove_file(&next);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(next, path)
}

/// Says that it is ready, to a program in one line or to a person.
fn announce(shell: &Shell, url: &str, key: &ApiKey, sim_url: Option<&str>, dir: &Path) -> Result<(), Fault> {
    if shell.flags.json {
        return shell.print_json(&json!({
            "event": "ready",
            "base_url": url,
            "console_url": null,
            "api_key": key.expose(),
            "console_login_url": null,
            "sim_url": sim_url,
        }));
    }
    match shell.print(&welcome(shell, url, key.expose(), sim_url, dir)) {
        // Whoever started it may have closed stdout; the gateway is wanted all the same.
        Err(Fault::PipeClosed) => Ok(()),
        told => told,
    }
}

fn welcome(shell: &Shell, url: &str, key: &str, sim_url: Option<&str>, dir: &Path) -> String {
    let model = if sim_url.is_some() { "sim:ok" } else { "MODEL" };
    let curl = |model: &str, stream: bool| {
        let flag = if stream { "curl -N" } else { "curl" };
        let hello = shell.say("你好", "hello");
        format!(
            "{flag} {url}/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\\n    -d '{{\"model\":\"{model}\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"{hello}\"}}]}}'"
        )
    };
    let (whole, stream, cut) = (curl(model, false), curl(model, true), curl("sim:cut_after=5", true));
    let (data, weir) = (dir.display(), quoted(&shell.called));
    let named = shell.flags.data.is_some() || shell.variable("WEIR_DATA").is_some();
    let at = if named { format!(" --data {}", quoted(&data.to_string())) } else { String::new() };
    let sim_zh = sim_url.map_or_else(String::new, |sim| format!("模拟上游  {sim}\n"));
    let sim_en = sim_url.map_or_else(String::new, |sim| format!("simulator  {sim}\n"));
    let fault_zh = sim_url.map_or_else(String::new, |_| format!("接着试一个故障,流在第 5 个事件后断开:\n  {cut}\n"));
    let fault_en = sim_url.map_or_else(String::new, |_| format!("then try a fault, a stream that is cut after 5 events:\n  {cut}\n"));
    let explain = if sim_url.is_some() { format!("\n  {weir} explain W-STREAM-005") } else { String::new() };
    let text = shell.say(
        format!(
            "weir 已就绪\n\nBase URL  {url}\nKey       {key}\n{sim_zh}数据      {data}\n\n先试 stream=false:\n  {whole}\n再试 stream=true:\n  {stream}\n{fault_zh}看记录和结论的含义(另开一个终端):\n  {weir} calls list{at}{explain}\n\n停止:Ctrl-C\n"
        ),
        format!(
            "weir is ready\n\nbase URL   {url}\nkey        {key}\n{sim_en}data       {data}\n\nfirst stream=false:\n  {whole}\nthen stream=true:\n  {stream}\n{fault_en}read the records and what a verdict means, in another terminal:\n  {weir} calls list{at}{explain}\n\nto stop: Ctrl-C\n"
        ),
    );
    if stdout().is_terminal() { format!("\n{text}") } else { text }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_directory_can_be_pasted_whatever_its_name() {
        assert_eq!(quoted("/tmp/weir-1"), "/tmp/weir-1");
        assert_eq!(quoted("/tmp/it's mine"), r"'/tmp/it'\''s mine'");
    }
}
