//! `weir triage`: a pasted log, traceback, recording or description in; a verdict, safe evidence and one question out.

use std::{
    fs::File,
    io::{Read, Write as _, stdin},
    path::PathBuf,
};

use clap::{Args, ValueHint};
use jiff::tz::TimeZone;
use weir_core::{RequestId, evidence::MAX_EVIDENCE_BYTES, redact::Redactor};
use weir_doctor::triage::{MAX_PASTE_BYTES, Outcome, Setting, Triage as Made, TriageError, triage, triage_schema};

use super::redact::For;
use crate::{
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
};

/// Name and version, as records show them.
const PRODUCT: &str = concat!("weir ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Args)]
pub(crate) struct Triage {
    /// A file, or - for stdin: curl -v output, HAR, a traceback, a log, an error's JSON, an event stream, or plain words
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// For whom the result is: support keeps ids of accounts, public does not
    #[arg(long, value_enum, default_value_t = For::Support)]
    audience: For,
    /// Write the evidence record to a file, as `weir.evidence/1`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    evidence: Option<PathBuf>,
    /// Print the JSON Schema of what --json prints, and read nothing
    #[arg(long)]
    schema: bool,
}

impl Triage {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        if self.schema {
            shell.print_json(&triage_schema())?;
            return Ok(Exit::Done);
        }
        let pasted = read(shell, &self.file)?;
        let redactor = Redactor::new([]);
        let setting = Setting {
            redactor: &redactor,
            audience: self.audience.into(),
            now: shell.now(),
            zone: TimeZone::system(),
            dice: rand::random(),
            product: PRODUCT,
        };
        let mut made = triage(&pasted, &setting).map_err(refused)?;
        let own = own_record(shell, &mut made);
        if let Some(file) = &self.evidence {
            write_evidence(&made, &setting, file)?;
        }
        if shell.flags.json {
            shell.print_json(&made.view(shell.lang))?;
        } else {
            shell.print_for_people(&made.text(shell.lang))?;
        }
        if let Some(id) = own {
            let weir = &shell.called;
            shell.tell(&text!(
                "本机有这次调用的记录:`{weir} calls show {id}`",
                "this machine has the record of that call: `{weir} calls show {id}`"
            ));
        }
        Ok(match made.outcome() {
            Outcome::Fine => Exit::Done,
            Outcome::Fault => Exit::NotWell,
            Outcome::CannotTell => Exit::Unknown,
        })
    }
}

/// The call of the first of weir's own ids that the store of this machine knows. Its record is surer than any text; that there is no
/// store, or that it cannot be opened now, is no fault of a triage.
fn own_record(shell: &Shell, made: &mut Made) -> Option<RequestId> {
    let ids: Vec<RequestId> = made.own_ids().iter().filter_map(|id| id.parse().ok()).collect();
    if ids.is_empty() || !shell.data_dir().ok()?.is_dir() {
        return None;
    }
    let store = shell.store().ok()?;
    let (id, verdict) = ids.into_iter().find_map(|id| Some((id, store.call(id).ok()??.record.verdict)))?;
    made.correct_by_record(verdict);
    Some(id)
}

fn write_evidence(made: &Made, setting: &Setting<'_>, file: &PathBuf) -> Result<(), Fault> {
    let evidence = made.evidence(setting).ok_or_else(|| refused(TriageError::Unsafe))?;
    let json = serde_json::to_string(&evidence).map_err(|_| refused(TriageError::Unsafe))?;
    if json.len() > MAX_EVIDENCE_BYTES || setting.redactor.scan(&json, setting.audience).is_err() {
        return Err(refused(TriageError::Unsafe));
    }
    let shown = file.display();
    let written = File::create(file).and_then(|mut out| writeln!(out, "{json}"));
    written.map_err(|error| Fault::new(Exit::Usage, text!("写不了 {shown}:{error}", "cannot write {shown}: {error}")))
}

fn refused(error: TriageError) -> Fault {
    match error {
        TriageError::TooLong { .. } => too_long(),
        TriageError::Unsafe => Fault::new(
            Exit::Refused,
            text!(
                "脱敏后复查仍有疑似机密,没有输出任何内容;请先手工删去可疑的部分再试",
                "a second look still found what may be a secret, so nothing was printed; take the suspicious part out by hand and try again"
            ),
        ),
    }
}

fn too_long() -> Fault {
    let mib = MAX_PASTE_BYTES >> 20;
    Fault::usage(
        text!("超过 {mib} MiB", "it is longer than {mib} MiB"),
        text!(
            "先截取出错前后的部分,例如 `tail -n 2000 app.log | weir triage`",
            "cut out the part around the error first, such as `tail -n 2000 app.log | weir triage`"
        ),
    )
}

/// Reads the paste; what is not UTF-8 is replaced.
fn read(shell: &Shell, file: &PathBuf) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_PASTE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = if file.as_os_str() == "-" {
        if std::io::IsTerminal::is_terminal(&stdin()) {
            shell.tell(&text!("粘贴内容,然后按 Ctrl-D:", "paste the text, then press Ctrl-D:"));
        }
        stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    let shown = file.display();
    read.map_err(|error| Fault::new(Exit::Usage, text!("读不了 {shown}:{error}", "cannot read {shown}: {error}")))?;
    if bytes.len() > MAX_PASTE_BYTES {
        return Err(too_long());
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
