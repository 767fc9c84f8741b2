//! Logs, on stderr: readable lines on a terminal, JSON elsewhere. What is logged never holds a key, a header or a prompt.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::{config::LogFormat, fault::Fault, lang::text, shell::Shell};

/// Starts logging for a command that runs until it is stopped. `filter`: what the configuration says, or what suits the command.
pub(crate) fn start(shell: &Shell, format: LogFormat, filter: &str) -> Result<(), Fault> {
    let wanted = shell.variable("RUST_LOG").unwrap_or(filter);
    let filter = EnvFilter::try_new(wanted).map_err(|_| {
        Fault::usage(
            text!("日志过滤条件写得不对", "the log filter is not written as it should be"),
            text!("RUST_LOG 或 log.filter,例如 info,weir_gateway=debug", "RUST_LOG or log.filter, such as info,weir_gateway=debug"),
        )
    })?;
    let plain = match format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let colour = stderr().is_terminal() && shell.variable("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colour);
    // A second start in one process is a test's; its logs go where the first one's do.
    let _ = if plain { lines.with_target(false).try_init() } else { lines.json().flatten_event(true).try_init() };
    Ok(())
}
