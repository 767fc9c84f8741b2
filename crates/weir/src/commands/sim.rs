//! `weir sim`: the simulated upstream alone.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use weir_sim::{Scenario, Sim as Simulator, SimSettings, catalog::CATALOG};

use super::serve::{Signals, bind, block_on};
use crate::{
    args::listen,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::table,
};

#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8788", value_parser = listen)]
    listen: SocketAddr,
    /// A scenario under every request, such as sim:first_byte=2s
    #[arg(long, value_name = "SCENARIO", value_parser = scenario)]
    always: Option<Scenario>,
    /// List the words that a scenario may be made of, and end
    #[arg(long)]
    list: bool,
}

fn scenario(text: &str) -> Result<Scenario, String> {
    let model = if text.starts_with("sim:") { text.to_owned() } else { format!("sim:{text}") };
    Scenario::parse(&model).map_err(|error| error.to_string())
}

impl Sim {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        if self.list {
            return list(shell);
        }
        let settings = SimSettings { epoch: shell.now(), always: self.always.unwrap_or_default(), ..SimSettings::default() };
        block_on(async {
            let signals = Signals::take()?;
            let listener = bind(self.listen).await?;
            let url = base_url(&listener)?;
            if shell.flags.json {
                shell.print_json(&json!({ "event": "ready", "base_url": url }))?;
            } else {
                shell.print(&shell.say(
                    format!("模拟上游在 {url}\n模型名就是场景,例如 sim:cut_after=5;全部:weir sim --list\n停止:Ctrl-C"),
                    format!("the simulated upstream is at {url}\na model name is a scenario, such as sim:cut_after=5; all of them: weir sim --list\nto stop: Ctrl-C"),
                ))?;
            }
            signals
                .stop(|stop| async {
                    Simulator::new(settings).serve(listener, stop).await;
                    Ok(Exit::Done)
                })
                .await
        })
    }
}

/// `http://127.0.0.1:8788/v1`, as this machine reaches it.
pub(crate) fn base_url(listener: &TcpListener) -> Result<String, Fault> {
    let mut at = listener
        .local_addr()
        .map_err(|error| Fault::new(Exit::Unknown, text!("端口没有地址:{error}", "cannot tell the address: {error}")))?;
    if at.ip().is_unspecified() {
        at.set_ip(if at.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    Ok(format!("http://{at}/v1"))
}

fn list(shell: &Shell) -> Result<Exit, Fault> {
    if shell.flags.json {
        let words: Vec<_> = CATALOG.iter().map(|entry| json!({ "model": entry.model(), "zh": entry.zh, "en": entry.en })).collect();
        shell.print_json(&json!({ "scenarios": words }))?;
    } else {
        let rows: Vec<_> = CATALOG.iter().map(|entry| [entry.model(), shell.say(entry.zh, entry.en).to_owned()]).collect();
        shell.print(&table(shell.say(["模型名", "含义"], ["MODEL", "WHAT IT DOES"]), &rows))?;
    }
    Ok(Exit::Done)
}
