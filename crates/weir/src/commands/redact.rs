//! `weir redact`: a text in, the same text without secrets out. The engine is the one that every record passes.

use std::{
    fs::File,
    io::{Read, stdin},
    path::PathBuf,
};

use clap::{Args, ValueEnum, ValueHint};
use serde_json::{Value, json};
use weir_core::redact::{Audience, Redactor};

use crate::{
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
};

/// The longest text that is taken at once. Secrets may lie anywhere, so a text is read whole.
const MAX_TEXT_BYTES: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(crate) struct Redact {
    /// For whom: support keeps what helps to find a fault, public keeps what a forum may see
    #[arg(long, value_enum, default_value_t = For::Support)]
    audience: For,
    /// A file, or - for stdin
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

/// Who will read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum For {
    Support,
    Public,
}

impl From<For> for Audience {
    fn from(whom: For) -> Self {
        match whom {
            For::Support => Self::Support,
            For::Public => Self::Public,
        }
    }
}

impl Redact {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let text = read(&self.file)?;
        let engine = Redactor::new([]);
        let safe = engine.redact(&text, self.audience.into());
        if engine.scan(safe.as_str(), self.audience.into()).is_err() {
            return Err(Fault::new(
                Exit::Refused,
                text!("脱敏后复查仍有疑似机密,没有输出任何内容", "a second look still found what may be a secret, so nothing was printed"),
            ));
        }
        let replaced: serde_json::Map<String, Value> = safe
            .replaced()
            .iter()
            .filter_map(|(kind, n)| Some((serde_json::to_value(kind).ok()?.as_str()?.to_owned(), (*n).into())))
            .collect();
        if safe.held_a_secret() {
            shell.tell(&text!("原文里有密钥,已隐藏;请立即更换它", "the text held a secret, which is hidden now: replace that secret"));
        }
        if shell.flags.json {
            shell.print_json(&json!({ "text": safe.as_str(), "replaced": replaced, "held_a_secret": safe.held_a_secret() }))?;
        } else {
            shell.print_as_is(safe.as_str())?;
        }
        Ok(Exit::Done)
    }
}

/// Reads a file, or stdin for `-`; what is not UTF-8 is replaced.
pub(crate) fn read(file: &PathBuf) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        stdin().lock().take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes))
    };
    let shown = file.display();
    read.map_err(|error| Fault::new(Exit::Usage, text!("读不了 {shown}:{error}", "cannot read {shown}: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_TEXT_BYTES {
        let mib = MAX_TEXT_BYTES >> 20;
        return Err(Fault::usage(
            text!("超过 {mib} MiB", "it is longer than {mib} MiB"),
            text!("先截取相关部分", "cut out the part that matters first"),
        ));
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
