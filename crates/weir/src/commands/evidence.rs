//! `weir evidence`: the record of a call that support may keep and the public may read.

mod template;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use jiff::tz::TimeZone;
use weir_core::{
    TaskRecord,
    evidence::{self, Evidence, EvidenceContext, Fact, Label, MAX_EVIDENCE_BYTES, Moment, Source, TaskFacts, TaskState, VerdictWords},
    redact::{Audience, Redactor},
    verdict::Level,
};
use weir_store::{LedgerKind, StoredCall};

use super::{
    calls::{Chosen, find},
    redact::For,
};
use crate::{
    fault::{Exit, Fault},
    lang::{pick, text},
    shell::Shell,
};

/// Name and version, as records show them.
pub(super) const PRODUCT: &str = concat!("weir ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Show the record of one call, ready to paste into a ticket
    #[command(after_help = "Example:\n  weir evidence show wr_01j2w8k3q4zp7m01j2w8k3q4zp --audience public --lang zh")]
    Show {
        /// A request id, `wr_…`
        id: String,
        /// For whom: support keeps ids of accounts and keys, public does not
        #[arg(long, value_enum, default_value_t = For::Support)]
        audience: For,
    },
    /// Print the records of many calls as JSON Lines
    #[command(after_help = "Example:\n  weir evidence export --since 1h --verdict W-STREAM-005 --audience public > pack.jsonl")]
    Export {
        #[command(flatten)]
        chosen: Chosen,
        /// For whom
        #[arg(long, value_enum, default_value_t = For::Support)]
        audience: For,
    },
    /// Say whether a record, or the text of one that came back in a ticket, is the one that weir made
    #[command(
        after_help = "Example:\n  weir evidence verify ticket.json\n  weir evidence verify ticket.txt\n\nIt reads the JSON, and the text of `evidence show`, `doctor`, `triage` and the filled-in template, quoted, indented or fenced.\nExit code 1: it is no record, or not the one that weir made."
    )]
    Verify {
        /// A file, or - for stdin
        #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print the form with what support needs to know; it never asks for keys, headers or prompts
    #[command(after_help = "Example:\n  weir evidence template --scenario V --lang zh")]
    Template(Template),
}

#[derive(Debug, Args)]
pub(crate) struct Template {
    /// S short chat, B batch, V image and video tasks, K shared key
    #[arg(long, value_enum, ignore_case = true, default_value_t = template::Kind::S)]
    scenario: template::Kind,
}

impl EvidenceCommand {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self {
            Self::Show { id, audience } => show(shell, &id, audience.into()),
            Self::Export { chosen, audience } => export(shell, chosen, audience.into()),
            Self::Verify { file } => verify::run(shell, &file),
            Self::Template(template) => template::print(shell, template.scenario),
        }
    }
}

fn show(shell: &Shell, id: &str, audience: Audience) -> Result<Exit, Fault> {
    let call = find(shell, id)?;
    let evidence = made(shell, &call, audience)?;
    if shell.flags.json {
        shell.print(&sealed(&evidence, audience)?)?;
        return Ok(Exit::Done);
    }
    let words = call.record.verdict.words(shell.lang);
    let lang = pick(shell.lang, evidence::Lang::Zh, evidence::Lang::En);
    let text = evidence.render_text(lang, &VerdictWords { title: words.title, check: words.check, never: words.never });
    looked_through(&text, audience)?;
    shell.print(&text)?;
    Ok(Exit::Done)
}

fn export(shell: &Shell, chosen: Chosen, audience: Audience) -> Result<Exit, Fault> {
    let store = shell.store()?;
    let filter = chosen.filter(shell, &store)?;
    let mut lines = String::new();
    for call in store.calls(&filter)? {
        lines.push_str(&sealed(&made(shell, &call, audience)?, audience)?);
        lines.push('\n');
    }
    shell.print_as_is(&lines)?;
    Ok(Exit::Done)
}

/// The record of a call.
fn made(shell: &Shell, call: &StoredCall, audience: Audience) -> Result<Evidence, Fault> {
    let engine = Redactor::new([]);
    let ledger: Vec<String> = call.ledger.iter().map(|entry| entry.id.clone()).collect();
    let charges = call.ledger.iter().filter(|entry| entry.kind == LedgerKind::Charge).count();
    let context = EvidenceContext {
        level: match call.record.verdict.level() {
            Level::Ok => evidence::Level::Ok,
            Level::Info => evidence::Level::Info,
            Level::Warn | Level::Unknown => evidence::Level::Warn,
            Level::Fail => evidence::Level::Fail,
        },
        task: call.task.as_deref().and_then(|task| task_facts(task, &engine, audience)),
        ledger_ids: &ledger,
        charge_count: u16::try_from(charges).ok(),
        ..EvidenceContext::new(&engine, PRODUCT, Source::Gateway, shell.now(), TimeZone::system())
    };
    Evidence::of(&call.record, &context, audience).ok_or_else(unsafe_record)
}

/// The task that the call submitted.
fn task_facts(task: &TaskRecord, engine: &Redactor, audience: Audience) -> Option<TaskFacts> {
    Some(TaskFacts {
        id: Label::new(&task.id(), engine, audience)?,
        submitted_at: Moment::of(task.submitted, &TimeZone::system()).map_or(Fact::UNKNOWN, Fact::Known),
        state: match task.state {
            weir_core::TaskState::Submitted => TaskState::Queued,
            weir_core::TaskState::Running => TaskState::Running,
            weir_core::TaskState::Succeeded => TaskState::Succeeded,
            weir_core::TaskState::Failed => TaskState::Failed,
            weir_core::TaskState::Cancelled => TaskState::Cancelled,
            weir_core::TaskState::Unconfirmed | weir_core::TaskState::Unknown => TaskState::Unknown,
        },
        charged: task.charge.charged,
    })
}

/// The record as JSON, after the last look: nothing leaves that the engine would still hide.
fn sealed(evidence: &Evidence, audience: Audience) -> Result<String, Fault> {
    let json = serde_json::to_string(evidence).map_err(|_| unsafe_record())?;
    looked_through(&json, audience)?;
    if json.len() > MAX_EVIDENCE_BYTES { Err(unsafe_record()) } else { Ok(json) }
}

fn looked_through(text: &str, audience: Audience) -> Result<(), Fault> {
    Redactor::new([]).scan(text, audience).map_err(|_| unsafe_record())
}

fn unsafe_record() -> Fault {
    Fault::new(
        Exit::Refused,
        text!("这条记录无法保证不含机密,没有输出", "the record cannot be proven free of secrets, so it was not printed"),
    )
}
