//! Every chore of the repository: `cargo xtask --help` lists them.

mod catalogue;
mod r#gen;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// What a chore ends with; the text is for the person who ran it.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of the repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Make the generated files from catalog/*.toml
    Gen {
        /// Change nothing; fail on a file that differs
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = match Arguments::parse().chore {
        Chore::Gen { check: false } => r#gen::write(&root),
        Chore::Gen { check: true } => r#gen::check(&root),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
