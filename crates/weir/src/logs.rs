//! Logs, on stderr: readable lines on a terminal, JSON elsewhere. What is logged never holds a key, a header or a prompt.

use std::{
    io::{IsTerminal, Write, stderr},
    panic::{PanicHookInfo, set_hook},
};

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

/// Tells a broken invariant by its place alone: what a panic says may quote whatever it was about.
pub(crate) fn name_panics_by_place() {
    set_hook(Box::new(|panic| {
        let place = place_of(panic);
        if tracing::dispatcher::has_been_set() {
            tracing::error!(%place, "a broken invariant: please report this place");
        } else {
            // Nobody there to read it is no second fault.
            let _ = writeln!(stderr().lock(), "error: a broken invariant at {place}\nhint: please report this place");
        }
    }));
}

fn place_of(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map_or_else(|| "an unknown place".to_owned(), |at| format!("{}:{}:{}", at.file(), at.line(), at.column()))
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{catch_unwind, take_hook},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[test]
    fn r41_a_panic_is_told_by_its_place_and_not_by_its_words() {
        let told = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&told);
        let before = take_hook();
        set_hook(Box::new(move |panic| *sink.lock().unwrap() = place_of(panic)));
        let caught = catch_unwind(|| panic!("the violet lantern hums over the quay"));
        set_hook(before);
        let told = told.lock().unwrap().clone();
        assert!(caught.is_err() && told.contains("logs.rs:") && !told.contains("lantern"), "{told}");
    }
}
