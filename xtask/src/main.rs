//! Every chore of the repository: `cargo xtask --help` lists them.

mod bench;
mod catalogue;
mod chores;
mod r#gen;
mod sources;
mod tidy;
mod vocabulary;

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
        /// Also run the calls and counts whose results are pages: docs/fault-matrix.md, docs/retries.md, docs/classification.md,
        /// docs/batch-runs.md; tests compare them
        #[arg(long, conflicts_with = "check")]
        simulated: bool,
    },
    /// Check headers, names, words, lengths, the lock file's budget and generated files
    Tidy,
    /// Run every test: units, simulated worlds, doc tests, unmodified clients
    Test,
    /// Run what must hold before a change lands: format, generated files, tidy, licences, lints, tests
    Ci,
    /// Run the gateway's simulated worlds
    Sim {
        /// How many seeds; SEED=17 in the environment replays one
        #[arg(long, default_value_t = 200)]
        seeds: u32,
    },
    /// Throw random texts with planted keys at the redactor; a failure names the seed that repeats it
    Fuzz {
        /// For how long; the batch that runs then is finished
        #[arg(long, default_value_t = 1)]
        minutes: u32,
        /// The first seed
        #[arg(long, default_value_t = 1)]
        seed: u32,
    },
    /// Measure how long the redactor takes for 5 MiB
    BenchRedact,
    /// Run all tests with 20,000 seeds and 200 kills; SEEDS and KILLS in the environment win
    Nightly,
    /// Measure weir beside nginx and print one table
    Bench(bench::Arguments),
    /// The load and the fake upstream of the bench
    #[command(hide = true)]
    BenchPeer { key: String },
}

fn main() -> ExitCode {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = match Arguments::parse().chore {
        Chore::Gen { check: true, .. } => r#gen::check(&root),
        Chore::Gen { simulated: false, .. } => r#gen::write(&root),
        Chore::Gen { simulated: true, .. } => chores::simulated_pages(&root).and_then(|()| r#gen::write(&root)),
        Chore::Tidy => tidy::run(&root),
        Chore::Test => chores::test(&root),
        Chore::Ci => chores::ci(&root),
        Chore::Sim { seeds } => chores::sim(&root, seeds),
        Chore::Fuzz { minutes, seed } => chores::fuzz(&root, minutes, seed),
        Chore::BenchRedact => chores::bench_redact(&root),
        Chore::Nightly => chores::nightly(&root),
        Chore::Bench(arguments) => bench::run(&root, &arguments),
        Chore::BenchPeer { key } => bench::peer(&key),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
