//! `weir config`: whether the configuration is right, what it may hold, and what is in force.

use clap::Subcommand;
use serde_json::json;

use crate::{
    config::{ConfigFault, UnknownPrice, load, load::schema},
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check everything; one line per fault, with file, line, column and key
    #[command(after_help = "Example:\n  weir config check --config weir.toml && systemctl reload weir")]
    Check,
    /// Print the JSON Schema of weir.toml
    #[command(
        after_help = "Example:\n  weir config schema > weir.schema.json\n\nThen put `#:schema ./weir.schema.json` at the top of weir.toml for editors that know it."
    )]
    Schema,
    /// Print every value in force: file, environment, defaults. Secrets are never part of it
    #[command(after_help = "Example:\n  WEIR_STREAMS__LINGER=30s weir config show")]
    Show,
}

impl ConfigCommand {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self {
            Self::Check => check(shell),
            Self::Schema => {
                let text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
                shell.print(&text)?;
                Ok(Exit::Done)
            }
            Self::Show => show(shell),
        }
    }
}

fn check(shell: &Shell) -> Result<Exit, Fault> {
    let file = shell.config_file();
    let shown = file.as_ref().map(|path| path.display().to_string());
    match load(file.as_deref(), &shell.variables) {
        Ok(loaded) => {
            let config = &loaded.config;
            let unpriced = unpriced(config);
            if shell.flags.json {
                shell.print_json(&json!({ "ok": true, "file": shown, "faults": [], "unpriced_models": unpriced }))?;
                return Ok(Exit::Done);
            }
            let name = shown.unwrap_or_else(|| shell.say("没有配置文件,全部是默认值", "no file, all defaults").to_owned());
            let upstreams = config.upstream.len();
            shell.print(&shell.say(format!("配置正确:{name},上游 {upstreams} 个"), format!("fine: {name}, {upstreams} upstreams")))?;
            if !unpriced.is_empty() {
                let list = unpriced.join(", ");
                shell.tell(&text!(
                    "注意:这些模型没有价格,调用会被拒绝(prices.unknown = \"refuse\"):{list}",
                    "note: these models have no price and are refused (prices.unknown = \"refuse\"): {list}"
                ));
            }
            Ok(Exit::Done)
        }
        Err(faults) if shell.flags.json => {
            let view = |fault: &ConfigFault| json!({ "at": fault.at, "path": fault.path, "why": fault.why.in_lang(shell.lang), "hint": fault.hint.as_ref().map(|hint| hint.in_lang(shell.lang)) });
            shell.print_json(&json!({ "ok": false, "file": shown, "faults": faults.iter().map(view).collect::<Vec<_>>() }))?;
            Ok(Exit::Usage)
        }
        Err(faults) => Err(faults.into()),
    }
}

/// Models that a channel names and no price covers.
fn unpriced(config: &crate::config::Config) -> Vec<String> {
    if config.prices.unknown == UnknownPrice::Free {
        return Vec::new();
    }
    let named = config.upstream.iter().flat_map(|upstream| &upstream.channel).flat_map(|channel| &channel.models);
    let priced = |model: &str| config.prices.models.keys().any(|pattern| weir_gateway::fits(pattern, model));
    let mut models: Vec<String> = named.filter(|model| !priced(model)).cloned().collect();
    models.sort();
    models.dedup();
    models
}

fn show(shell: &Shell) -> Result<Exit, Fault> {
    let loaded = shell.load()?;
    let mut config = loaded.config;
    if shell.flags.data.is_some() || shell.variable("WEIR_DATA").is_some() || config.data.is_none() {
        config.data = Some(shell.plain_data_dir()?);
    }
    if shell.flags.json {
        shell.print_json(&config)?;
    } else {
        let text = toml::to_string(&config)
            .map_err(|error| Fault::new(Exit::Unknown, text!("写不出 TOML:{error}", "cannot write TOML: {error}")))?;
        shell.print(&text)?;
        if let Some(file) = &loaded.file {
            let shown = file.display();
            shell.tell(&text!("来自 {shown}、环境变量和默认值", "from {shown}, the environment and the defaults"));
        }
    }
    Ok(Exit::Done)
}
