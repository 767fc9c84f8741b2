//! Which language a person reads, and texts that exist in both.

use std::env;

use clap::ValueEnum;
use weir_core::Lang;

/// `--lang`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LangChoice {
    Zh,
    En,
    /// What `WEIR_LANG`, `LC_ALL`, `LC_MESSAGES` or `LANG` says, in this order; else English.
    #[default]
    Auto,
}

impl LangChoice {
    pub(crate) fn resolve(self) -> Lang {
        match self {
            Self::Zh => Lang::Zh,
            Self::En => Lang::En,
            Self::Auto => ["WEIR_LANG", "LC_ALL", "LC_MESSAGES", "LANG"]
                .iter()
                .find_map(|name| env::var_os(name).filter(|value| !value.is_empty()))
                .map_or(Lang::En, |value| of_locale(&value.to_string_lossy())),
        }
    }
}

fn of_locale(locale: &str) -> Lang {
    if locale.to_ascii_lowercase().starts_with("zh") { Lang::Zh } else { Lang::En }
}

/// One text in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) zh: String,
    pub(crate) en: String,
}

impl Text {
    pub(crate) fn in_lang(&self, lang: Lang) -> &str {
        pick(lang, &self.zh, &self.en)
    }
}

/// The one of two texts that is in `lang`.
pub(crate) fn pick<T>(lang: Lang, zh: T, en: T) -> T {
    match lang {
        Lang::Zh => zh,
        Lang::En => en,
    }
}

/// A [`Text`](crate::lang::Text) of two format strings over the same names: `text!("共 {n} 条", "{n} in all")`.
macro_rules! text {
    ($zh:literal, $en:literal) => {
        $crate::lang::Text { zh: format!($zh), en: format!($en) }
    };
}
pub(crate) use text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chinese_locale_reads_chinese() {
        for (locale, lang) in [("zh_CN.UTF-8", Lang::Zh), ("zh", Lang::Zh), ("ZH_TW", Lang::Zh), ("C.UTF-8", Lang::En), ("de_DE", Lang::En)]
        {
            assert_eq!(of_locale(locale), lang, "{locale}");
        }
    }
}
