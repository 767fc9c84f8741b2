//! `weir batch`: thousands of calls from a file, each made once. What is decided is in the client crate; here are arguments, files and words.

mod end;
mod progress;
mod record;
mod start;
mod status;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueHint};

use crate::{
    args::span,
    config::Money,
    fault::{Exit, Fault},
    shell::Shell,
};

const RUN_HELP: &str = "\
Example:
  weir batch run rows.jsonl --out answers.jsonl
  weir batch run rows.jsonl --out answers.jsonl --base-url https://api.openai.com/v1 --key-env OPENAI_API_KEY --concurrency 128
  weir batch run rows.jsonl --out answers.jsonl --dry-run --price input=0.15,output=0.60

One row a line, as in OpenAI's batch files: {\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{…}}
Exit codes: 0 every row was answered; 1 some were not; 3 it stopped before the end; 4 it would have cost more than allowed; 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Ask for every row of a file and write the answers to another
    #[command(after_help = RUN_HELP)]
    Run(Box<Run>),
    /// Go on with a run that was interrupted, killed or stopped: nothing is lost, nothing sent twice where the server remembers
    #[command(after_help = "Example:\n  weir batch resume answers.jsonl\n  weir batch resume answers.jsonl --only-failed")]
    Resume(Box<Resume>),
    /// Show how a run stands, also while it runs
    #[command(after_help = "Example:\n  weir batch status answers.jsonl")]
    Status {
        /// The output file of the run
        #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
        out: PathBuf,
    },
}

/// Where the key is.
#[derive(Debug, Clone, Args)]
struct KeyFrom {
    /// The environment variable that holds the key; else WEIR_KEY, OPENAI_API_KEY
    #[arg(long, value_name = "NAME", conflicts_with = "key_stdin")]
    key_env: Option<String>,
    /// Read the key from the first line of stdin
    #[arg(long)]
    key_stdin: bool,
}

/// How fast, how dear, how patient.
#[derive(Debug, Clone, Args)]
struct Pace {
    /// Requests at once, at most; how many really run follows the server
    #[arg(long, value_name = "MAX", value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: Option<u32>,
    /// Requests a minute, at most; else as the server's headers tell
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rpm: Option<u64>,
    /// Tokens a minute, at most; else as the server's headers tell
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tpm: Option<u64>,
    /// Stop before the rows that are sent could have cost more than this; needs --price
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<Money>,
    /// What a million tokens cost, an image, a second of video: input=0.15,output=0.60,cached=0.08,image=0.04,second=0.10
    #[arg(long, value_name = "PRICE", value_parser = start::price)]
    price: Option<weir_core::Price>,
    /// The longest time to wait where the server says when to come back; beyond it the run stops and says so
    #[arg(long, value_name = "DURATION", value_parser = span)]
    max_wait: Option<Duration>,
    /// The name that the gateway counts this run by, as x-weir-caller
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The rows, one a line
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Where the answers go; the journal is beside it, OUT.journal
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    out: PathBuf,
    /// The API's base URL; else OPENAI_BASE_URL, else the running `weir up`
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    key: KeyFrom,
    #[command(flatten)]
    pace: Pace,
    /// Look through the file, say what is wrong with it and what it may cost, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask anew for the rows of an earlier run that failed
    #[arg(long)]
    only_failed: bool,
    /// Put the answers into the order of the rows when the run is complete; else they stand as they came
    #[arg(long)]
    ordered: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The output file of the run
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    out: PathBuf,
    #[command(flatten)]
    key: KeyFrom,
    #[command(flatten)]
    pace: Pace,
    /// Also ask anew for the rows that failed
    #[arg(long)]
    only_failed: bool,
}

impl BatchCommand {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self {
            Self::Run(run) => start::run(shell, &run),
            Self::Resume(resume) => start::resume(shell, &resume.out, &resume.key, &resume.pace, resume.only_failed),
            Self::Status { out } => status::show(shell, &out),
        }
    }
}
