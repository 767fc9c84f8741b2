//! `weir doctor client`: a scripted server on this machine; what the real client sends, and when it gives up.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use serde_json::json;
use weir_doctor::listen::{
    ClientReport, LIMIT_MAX, PATIENCE, REQUESTS_MAX, SILENCE, SILENCE_MAX, Script, Seen, Settings, Strict, how_to, judge, line, report,
    serve,
};

use crate::{
    args::{listen, span},
    commands::{
        serve::{Signals, bind, block_on},
        sim::base_url,
    },
    fault::{Exit, Fault},
    lang::text,
    shell::{Shell, tell_wrapped},
};

#[derive(Debug, Args)]
pub(crate) struct Client {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = listen)]
    listen: SocketAddr,
    /// How requests are answered whose model names no script: chat, long, quiet, code, cut, 429, 503, slow or no_done
    #[arg(long, value_name = "SCRIPT", default_value = "chat", value_parser = script)]
    script: Script,
    /// How long it listens, at most 10m
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = limit)]
    limit: Duration,
    /// End after so many calls
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=i64::from(REQUESTS_MAX)))]
    once: Option<u32>,
    /// How long the scripts long and quiet are silent [default: 40s]
    #[arg(long, value_name = "DURATION", value_parser = silence)]
    silence: Option<Duration>,
    /// The silence that a client should bear: the model's usual time to its first word, at its worst in twenty [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    p95: Option<Duration>,
    /// A warning counts as not well: exit code 1
    #[arg(long)]
    strict: bool,
}

fn script(text: &str) -> Result<Script, String> {
    text.parse()
}

fn limit(text: &str) -> Result<Duration, String> {
    span(text).and_then(|limit| if limit <= LIMIT_MAX { Ok(limit) } else { Err("it is at most 10m".to_owned()) })
}

fn silence(text: &str) -> Result<Duration, String> {
    span(text).and_then(|silence| if silence <= SILENCE_MAX { Ok(silence) } else { Err("it is at most 5m".to_owned()) })
}

impl Client {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        block_on(async {
            let signals = Signals::take()?;
            let listener = bind(self.listen).await?;
            let url = base_url(&listener)?;
            if shell.flags.json {
                shell.print_json(&json!({ "event": "ready", "base_url": url, "page_url": format!("{}/", url.trim_end_matches("/v1")) }))?;
            } else {
                tell_wrapped(&how_to(&url, self.script, shell.lang));
            }
            if !self.listen.ip().is_loopback() {
                shell.tell(&text!(
                    "注意:其他机器也能连到这里,Key 会以明文经过网络,请用随便编的 Key",
                    "note: other machines can reach this too and keys cross the network in the clear; use an invented key"
                ));
            }
            let settings = Settings {
                script: self.script,
                silence: self.silence.unwrap_or(SILENCE),
                limit: self.limit,
                calls: self.once,
                created: shell.now().0.div_euclid(1000),
            };
            // Ctrl-C is how a person says that it is enough: the report follows.
            signals
                .stop(|stop| async move {
                    let seen = serve(listener, settings, stop, |one| self.hear(shell, one)).await;
                    self.conclude(shell, &seen)
                })
                .await
        })
    }

    /// One request has ended. Nobody there to read it is no reason to end.
    fn hear(&self, shell: &Shell, one: &Seen) {
        if shell.flags.json {
            let mut event = json!({ "event": "request" });
            if let (Some(fields), Ok(serde_json::Value::Object(more))) = (event.as_object_mut(), serde_json::to_value(one)) {
                fields.extend(more);
            }
            let _ = shell.print_json(&event);
        } else {
            tell_wrapped(&line(one, shell.lang));
        }
    }

    fn conclude(&self, shell: &Shell, seen: &[Seen]) -> Result<Exit, Fault> {
        let patience = self.p95.unwrap_or(PATIENCE);
        let judgement = judge(seen, patience);
        let strict = if self.strict { Strict::Yes } else { Strict::No };
        let text = report(&judgement, patience.as_secs(), shell.lang);
        let document = ClientReport::new(judgement, env!("CARGO_PKG_VERSION"), patience.as_secs(), strict);
        let exit = match document.exit_code {
            0 => Exit::Done,
            1 => Exit::NotWell,
            _ => Exit::Unknown,
        };
        if shell.flags.json {
            let mut event = serde_json::to_value(&document).unwrap_or_default();
            event["event"] = "report".into();
            shell.print_json(&event)?;
        } else {
            shell.print_for_people(&format!("\n{text}"))?;
        }
        Ok(exit)
    }
}
