//! A text in both languages, so that a report made once is read by everybody.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::Lang;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bilingual {
    pub zh: String,
    pub en: String,
}

impl Bilingual {
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    #[must_use]
    pub fn in_lang(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

/// Two format strings over the same names: `both!("共 {n} 条", "{n} in all")`.
macro_rules! both {
    ($zh:literal, $en:literal) => {
        $crate::report::Bilingual { zh: format!($zh), en: format!($en) }
    };
}
pub(crate) use both;
