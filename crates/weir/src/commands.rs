//! One module per command group. Each takes the shell and what was typed, and ends with an exit code or a fault.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod calls;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod evidence;
pub(crate) mod explain;
pub(crate) mod key;
mod nearby;
pub(crate) mod pages;
pub(crate) mod policy;
pub(crate) mod redact;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod task;
pub(crate) mod triage;
pub(crate) mod up;
pub(crate) mod vocab;
mod words;

use crate::{
    args::Command,
    fault::{Exit, Fault},
    shell::Shell,
};

/// Runs what was typed.
pub(crate) fn run(shell: &Shell, command: Command) -> Result<Exit, Fault> {
    match command {
        Command::Up(up) => up.run(shell),
        Command::Serve(serve) => serve.run(shell),
        Command::Sim(sim) => sim.run(shell),
        Command::Key(key) => key.run(shell),
        Command::Account(account) => account.run(shell),
        Command::Calls(calls) => calls.run(shell),
        Command::Evidence(evidence) => evidence.run(shell),
        Command::Doctor(doctor) => doctor.run(shell),
        Command::Explain(explain) => explain.run(shell),
        Command::Audit(audit) => audit.run(shell),
        Command::Task(task) => task.run(shell),
        Command::Batch(batch) => batch.run(shell),
        Command::Config(config) => config.run(shell),
        Command::Policy(policy) => policy.run(shell),
        Command::Redact(redact) => redact.run(shell),
        Command::Triage(triage) => triage.run(shell),
        Command::Vocab(vocab) => vocab.run(shell),
        Command::Completions(completions) => completions.run(shell),
        Command::Man(man) => man.run(shell),
    }
}
