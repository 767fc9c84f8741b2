//! What can be typed: every command with its options and one example. clap makes the help, the man pages and the completions from it.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::{
    commands::{
        account, audit, batch, calls, config, doctor, evidence, explain, key, pages, policy, redact, serve, sim, task, triage, up, vocab,
    },
    lang::LangChoice,
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the thing asked about is not well
  2    usage or configuration
  3    could not find out
  4    refused for safety
  130  interrupted

Start here:
  weir up";

/// A reliability gateway for OpenAI-compatible AI APIs.
///
/// Tells a broken stream, a 429 and a timeout apart, handles each the right way, charges each call once, and leaves a
/// record from which a support person answers without asking again.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES, max_term_width = 110)]
#[command(propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Flags {
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Language of texts; auto follows WEIR_LANG, LC_ALL, LC_MESSAGES, LANG
    #[arg(
        long,
        global = true,
        value_name = "zh|en|auto",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) lang: LangChoice,
    /// Data directory; else WEIR_DATA, the configuration's `data`, $XDG_DATA_HOME/weir, ~/.local/share/weir
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Configuration; else WEIR_CONFIG, ./weir.toml, $XDG_CONFIG_HOME/weir/weir.toml, /etc/weir/weir.toml
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a gateway on this machine in front of a simulated upstream: no account, no key, nothing to install
    #[command(after_help = "Example:\n  weir up\n  weir up --upstream https://api.openai.com/v1 --upstream-key-env OPENAI_API_KEY")]
    Up(up::Up),
    /// Run the gateway in front of the upstreams of weir.toml
    #[command(after_help = "Example:\n  weir serve --config /etc/weir/weir.toml")]
    Serve(serve::Serve),
    /// Run the simulated upstream alone: every fault of the handbook on request
    #[command(after_help = "Example:\n  weir sim --listen 127.0.0.1:8788\n  curl http://127.0.0.1:8788/v1/models")]
    Sim(sim::Sim),
    /// Make, show and end API keys
    #[command(subcommand, after_help = "Example:\n  weir key create --account demo --rpm 60 --expires 30d")]
    Key(key::Key),
    /// Make accounts and credit them
    #[command(subcommand, after_help = "Example:\n  weir account create team-a\n  weir account credit team-a 25.00")]
    Account(account::Account),
    /// Find calls and read their records
    #[command(subcommand, after_help = "Example:\n  weir calls list --since 1h --verdict W-STREAM-005")]
    Calls(calls::Calls),
    /// Show, export and check the support-safe record of a call
    #[command(subcommand, after_help = "Example:\n  weir evidence show wr_01j2w8k3q4zp7m01j2w8k3q4zp --lang zh")]
    Evidence(evidence::EvidenceCommand),
    /// Probe an OpenAI-compatible address: which fault is it, what to check first and what not to do
    #[command(
        after_help = "Example:\n  weir doctor https://api.example.com/v1 --model gpt-4o-mini\n  weir doctor --symptom spinner --lang zh\n  weir doctor client"
    )]
    Doctor(Box<doctor::Doctor>),
    /// Say what a verdict code means, what to check first and what not to do
    #[command(after_help = "Example:\n  weir explain W-STREAM-009 --lang zh")]
    Explain(explain::Explain),
    /// Check the laws of the ledger on a live store
    #[command(after_help = "Example:\n  weir audit --json")]
    Audit(audit::Audit),
    /// Submit a video job once, ask for it, wait for it
    #[command(
        after_help = "Example:\n  weir task submit --model sora-2 \"a violet lantern\"\n  weir task wait video_01j2w8k3q4zp7m01j2w8k3q4zp"
    )]
    Task(task::TaskCommand),
    /// Ask for thousands of rows of a file at the speed that the limits allow, each made once
    #[command(
        subcommand,
        after_help = "Example:\n  weir batch run rows.jsonl --out answers.jsonl\n  weir batch status answers.jsonl\n  weir batch resume answers.jsonl"
    )]
    Batch(batch::BatchCommand),
    /// Check, describe and show the configuration
    #[command(subcommand, after_help = "Example:\n  weir config check --config weir.toml")]
    Config(config::ConfigCommand),
    /// Show how each kind of use is retried
    #[command(subcommand, after_help = "Example:\n  weir policy show")]
    Policy(policy::PolicyCommand),
    /// Read a pasted log, traceback, recording or description: a verdict, what to do, and what is still missing
    #[command(
        after_help = "Example:\n  weir triage error.log --lang zh\n  curl -v … 2>&1 | weir triage\n\nExit code 0: nothing wrong found; 1: a fault was recognised; 3: could not tell."
    )]
    Triage(triage::Triage),
    /// Take keys, personal data and content out of a text
    #[command(after_help = "Example:\n  weir redact error.log > safe.log\n  pbpaste | weir redact --audience public")]
    Redact(redact::Redact),
    /// List every word that weir uses: codes, labels, commands, configuration keys
    #[command(after_help = "Example:\n  weir vocab --json")]
    Vocab(vocab::Vocab),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  weir completions bash > ~/.local/share/bash-completion/completions/weir")]
    Completions(pages::Completions),
    /// Print the man page, or write all of them
    #[command(after_help = "Example:\n  weir man | man -l -\n  weir man --dir ~/.local/share/man/man1")]
    Man(pages::Man),
}

/// An address to listen on.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "it is IP:PORT, such as 127.0.0.1:8787".to_owned())
}

/// A duration such as `30s` or `30d`.
pub(crate) fn span(text: &str) -> Result<std::time::Duration, String> {
    text.parse::<crate::config::Span>().map(|span| span.0).map_err(|error| error.to_string())
}
