//! `weir`: arguments, configuration file, environment and wiring. Nothing is decided here.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail"))]

mod args;
mod commands;
mod config;
mod fault;
mod lang;
mod logs;
mod shell;
mod table;
mod typed;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::Arguments,
    fault::Exit,
    shell::{Shell, tell_fault},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    logs::name_panics_by_place();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => {
            if told.use_stderr() {
                typed::tell_mistake(&told);
                return Exit::Usage.into();
            }
            // A closed pipe is no fault of the one who asked for help.
            let _ = told.print();
            return Exit::Done.into();
        }
    };
    let shell = Shell::new(arguments.flags);
    match commands::run(&shell, arguments.command) {
        Ok(exit) => exit.into(),
        Err(fault) => {
            tell_fault(&fault, shell.lang);
            fault.exit().into()
        }
    }
}
