//! What every command is given: where things are, which language, what time it is, and where output goes.

use std::{
    env,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;
use weir_core::{Clock, Lang, Timestamp, redact::Redactor};
use weir_store::Store;

use crate::{
    args::Flags,
    config::{Loaded, load},
    fault::{Exit, Fault},
    lang::{Text, pick, text},
};

/// The wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the binary is the shell that owns the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) flags: Flags,
    pub(crate) lang: Lang,
    /// The environment, read once; names and values that are not UTF-8 are left out.
    pub(crate) variables: Vec<(String, String)>,
    /// How the person called this program, so that a line to paste works as it stands: `weir`, or the path that was typed.
    pub(crate) called: String,
}

impl Shell {
    pub(crate) fn new(flags: Flags) -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        let variables = env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        let called = env::args_os().next().and_then(text).filter(|name| name.contains('/')).unwrap_or_else(|| "weir".to_owned());
        Self { lang: flags.lang.resolve(), flags, variables, called }
    }

    /// The text in the person's language.
    pub(crate) fn say<T>(&self, zh: T, en: T) -> T {
        pick(self.lang, zh, en)
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn now(&self) -> Timestamp {
        WallClock.now()
    }

    /// The configuration file in force: `--config`, `WEIR_CONFIG`, then the usual places.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        let named = self.flags.config.clone().or_else(|| self.variable("WEIR_CONFIG").map(PathBuf::from));
        named.or_else(|| {
            let home = self
                .variable("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| self.variable("HOME").map(|home| Path::new(home).join(".config")));
            let usual = [
                Some(PathBuf::from("weir.toml")),
                home.map(|home| home.join("weir/weir.toml")),
                Some(PathBuf::from("/etc/weir/weir.toml")),
            ];
            usual.into_iter().flatten().find(|path| path.is_file())
        })
    }

    /// The configuration, read and checked.
    pub(crate) fn load(&self) -> Result<Loaded, Fault> {
        Ok(load(self.config_file().as_deref(), &self.variables)?)
    }

    /// Where the store is when no configuration says so.
    pub(crate) fn plain_data_dir(&self) -> Result<PathBuf, Fault> {
        if let Some(dir) = self.flags.data.clone().or_else(|| self.variable("WEIR_DATA").map(PathBuf::from)) {
            return Ok(dir);
        }
        let home = self.variable("XDG_DATA_HOME").map(PathBuf::from);
        home.or_else(|| self.variable("HOME").map(|home| Path::new(home).join(".local/share"))).map(|home| home.join("weir")).ok_or_else(
            || {
                Fault::usage(
                    text!("不知道数据放在哪里:HOME 没有设置", "cannot tell where the data is: HOME is not set"),
                    text!("用 --data 目录 指明", "name it with --data DIR"),
                )
            },
        )
    }

    /// Where the store is: `--data`, `WEIR_DATA`, the configuration's `data`, the usual place.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Fault> {
        let named = self.flags.data.is_some() || self.variable("WEIR_DATA").is_some();
        if !named
            && self.config_file().is_some()
            && let Some(dir) = self.load()?.config.data
        {
            return Ok(dir);
        }
        self.plain_data_dir()
    }

    /// The store, made if it is not there.
    pub(crate) fn store_or_new(&self) -> Result<Store, Fault> {
        Ok(Store::open(&self.data_dir()?)?)
    }

    /// The store, which must be there: a question makes nothing.
    pub(crate) fn store(&self) -> Result<Store, Fault> {
        let dir = self.data_dir()?;
        if !dir.is_dir() {
            let (shown, weir) = (dir.display(), &self.called);
            return Err(Fault::usage(
                text!("{shown} 里还没有数据", "there is no data in {shown} yet"),
                text!("先运行 `{weir} up`,或用 --data 指明目录", "run `{weir} up` first, or name the directory with --data"),
            ));
        }
        Ok(Store::open(&dir)?)
    }

    /// Data for stdout, written whole.
    pub(crate) fn print(&self, text: &str) -> Result<(), Fault> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Text for people: on a terminal its lines are as wide as that is.
    pub(crate) fn print_for_people(&self, text: &str) -> Result<(), Fault> {
        let size = io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        match size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0) {
            Some(columns) => self.print(&weir_doctor::report::wrapped(text, columns)),
            None => self.print(text),
        }
    }

    /// Data for stdout, byte for byte.
    pub(crate) fn print_as_is(&self, text: &str) -> Result<(), Fault> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// One line of JSON for stdout.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), Fault> {
        let line = serde_json::to_string(value)
            .map_err(|error| Fault::new(Exit::Unknown, text!("JSON 出错:{error}", "cannot write JSON: {error}")))?;
        self.print(&line)
    }

    /// A line for people, on stderr. Nobody there to read it is no fault.
    pub(crate) fn tell(&self, text: &Text) {
        tell(text.in_lang(self.lang));
    }
}

/// Text for people on stderr: on a terminal its lines are as wide as that is.
pub(crate) fn tell_wrapped(text: &str) {
    let size = io::stderr().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stderr()).ok()).flatten();
    match size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0) {
        Some(columns) => tell(&weir_doctor::report::wrapped(text, columns)),
        None => tell(text),
    }
}

/// A line on stderr.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Tells a fault: what, then the hint on a line of its own. What was typed is quoted, but no key in it.
pub(crate) fn tell_fault(fault: &Fault, lang: Lang) {
    let engine = Redactor::default();
    let tell = |line: &str| tell(&engine.without_credentials(line));
    let hint = |text: &Text| tell(&format!("hint: {}", text.in_lang(lang)));
    match fault {
        Fault::PipeClosed => {}
        Fault::Told { why, hint: more, .. } => {
            tell(&format!("error: {}", why.in_lang(lang)));
            more.iter().for_each(hint);
        }
        Fault::Config(faults) => {
            for fault in faults {
                tell(&format!("error: {}", fault.line(lang)));
                fault.hint.iter().for_each(hint);
            }
        }
    }
}
