//! What a pasted text is made of, as far as it matters to say how it was read.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    exchange::Exchange,
    facts::Facts,
    pattern::{is_in, pattern},
};

/// A kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Material {
    Har,
    Http,
    EventStream,
    Traceback,
    GatewayLog,
    Json,
    Page,
    Prose,
}

impl Material {
    #[must_use]
    pub fn label(self, is_zh: bool) -> &'static str {
        let (zh, en) = match self {
            Self::Har => ("HAR 录制", "a HAR recording"),
            Self::Http => ("HTTP 请求与响应", "an HTTP exchange"),
            Self::EventStream => ("事件流", "an event stream"),
            Self::Traceback => ("程序异常", "a program's traceback"),
            Self::GatewayLog => ("网关日志", "a gateway's log"),
            Self::Json => ("JSON 错误", "a JSON error"),
            Self::Page => ("网页", "a page"),
            Self::Prose => ("文字描述", "a description"),
        };
        if is_zh { zh } else { en }
    }
}

/// Why nothing can be read out of a paste.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Empty,
    /// A picture, an archive, anything but text.
    Binary,
}

impl Unreadable {
    /// Looks at the beginning, which is enough to know.
    pub(super) fn of(text: &str) -> Option<Self> {
        const LOOKED_AT: usize = 4_096;
        if text.trim().is_empty() {
            return Some(Self::Empty);
        }
        let is_odd = |c: &char| *c == '\u{fffd}' || c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}' | '\u{8}');
        let (all, odd) = text.chars().take(LOOKED_AT).fold((0, 0), |(all, odd), c| (all + 1, odd + usize::from(is_odd(&c))));
        (odd * 10 > all).then_some(Self::Binary)
    }

    pub(super) fn words(self, lang: weir_core::Lang) -> &'static str {
        match (self, lang) {
            (Self::Empty, weir_core::Lang::Zh) => "没有收到任何文字",
            (Self::Empty, weir_core::Lang::En) => "nothing was pasted",
            (Self::Binary, weir_core::Lang::Zh) => "这不是文字,可能是截图、压缩包或别的二进制文件;截图里的报错请打成文字",
            (Self::Binary, weir_core::Lang::En) => {
                "this is no text but a screenshot, an archive or another binary; type out what a screenshot says"
            }
        }
    }
}

pattern!(
    TRACEBACK,
    r#"Traceback \(most recent|^\s+at \S+\(.*\)|\n\s+at (?:async )?\S+ ?\(|\bgoroutine \d+ \[|(?:Error|Exception): |\bpanic: |openai\.\w+Error"#
);
pattern!(
    GATEWAY,
    r#"" \d{3} \d+ "|\[GIN\]|upstream timed out|\[error\] \d+#|\| +\d{3} \| +[\d.]+|"(?:call\.id|request_id)"\s*:\s*"wr_|relay error|LiteLLM Proxy|"level":"|haproxy\[| - - [A-Za-z-]{4} \d+/\d+/|HTTP/[\d.]+" \d{1,3} [A-Z]{2,5} "#
);
pattern!(JSON, r#"\{\s*\\?["'](?:error|code|message|detail|type|object)\\?["']\s*:"#);
pattern!(PAGE, r"(?i)<!doctype html|<html|<head>|<title>");
pattern!(PROSE, r"\p{Han}{4,}.*[，。？！,?]|\b(?:I|we|my|when|please|why|does|is it)\b.{12,}");

pub(super) fn of(text: &str, is_har: bool, exchanges: &[Exchange], facts: &Facts) -> Vec<Material> {
    let is_http = !is_har && exchanges.iter().any(|exchange| exchange.status > 0 || exchange.method.is_some());
    let found = [
        (is_har, Material::Har),
        (is_http, Material::Http),
        (facts.captured.is_some(), Material::EventStream),
        (is_in(&TRACEBACK, text), Material::Traceback),
        (is_in(&GATEWAY, text), Material::GatewayLog),
        (is_in(&JSON, text), Material::Json),
        (is_in(&PAGE, text), Material::Page),
        (!is_har && is_in(&PROSE, text), Material::Prose),
    ];
    found.into_iter().filter(|(is_there, _)| *is_there).map(|(_, material)| material).collect()
}
