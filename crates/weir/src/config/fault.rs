//! What is wrong with a configuration: where, which key, why, and what was perhaps meant. Never repeats a value.

use weir_core::Lang;

use crate::lang::{Text, text};

/// One fault, one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigFault {
    /// `weir.toml:3:7`, or the environment variable that set the key.
    pub(crate) at: String,
    /// The key path, such as `upstream[0].base_url`; empty for the whole file.
    pub(crate) path: String,
    pub(crate) why: Text,
    pub(crate) hint: Option<Text>,
}

impl ConfigFault {
    /// `weir.toml:3:7: server.lisen: unknown key`, then perhaps a hint on a line of its own.
    pub(crate) fn line(&self, lang: Lang) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        format!("{}: {path}{}", self.at, self.why.in_lang(lang))
    }
}

/// Everything that is wrong, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<(String, Text, Option<Text>)>);

impl Faults {
    pub(crate) fn add(&mut self, path: impl Into<String>, why: Text) {
        self.0.push((path.into(), why, None));
    }

    pub(crate) fn add_with_hint(&mut self, path: impl Into<String>, why: Text, hint: Text) {
        self.0.push((path.into(), why, Some(hint)));
    }
}

/// What a key that looks like a secret's place is told.
pub(crate) fn secrets_elsewhere() -> Text {
    text!(
        "密钥不写进配置文件:用 key_env = \"环境变量名\" 或 key_file = \"文件路径\"",
        "a secret does not belong in this file: use key_env = \"NAME\" or key_file = \"PATH\""
    )
}
