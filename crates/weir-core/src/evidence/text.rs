//! The record as text to paste into a ticket or a forum, in Chinese and English.

use std::fmt::{Display, Write};

use super::field::{Fact, Moment};
use super::record::{Confidence, Evidence, LimitKind, Status, ViaProxy};
use crate::Charged;

/// What not to do, without the words "do not": for a place that says them already.
#[must_use]
pub fn bare_never(never: &str) -> &str {
    ["don't ", "do not ", "不要"].iter().find_map(|start| never.strip_prefix(start)).unwrap_or(never)
}

/// More lines are not read.
pub const MAX_TEXT_LINES: usize = 40;
/// A catalogue's sentence that is longer is cut, so that the text stays a text.
const MAX_WORDS_CHARS: usize = 400;

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    Zh,
    #[default]
    En,
}

/// What the catalogue says about a verdict, in the language asked for.
#[derive(Debug, Clone, Copy)]
pub struct VerdictWords<'a> {
    pub title: &'a str,
    /// What to check first.
    pub check: &'a str,
    /// What not to do.
    pub never: &'a str,
}

impl Evidence {
    /// At most [`MAX_TEXT_LINES`] lines, without a line break at the end.
    #[must_use]
    pub fn render_text(&self, lang: Lang, words: &VerdictWords<'_>) -> String {
        let sure = match (lang, self.verdict.confidence) {
            (Lang::Zh, Confidence::Certain) => "确定",
            (Lang::Zh, Confidence::Likely) => "很可能",
            (Lang::Zh, Confidence::Guess) => "可能",
            (Lang::En, Confidence::Certain) => "certain",
            (Lang::En, Confidence::Likely) => "likely",
            (Lang::En, Confidence::Guess) => "guess",
        };
        let code = self.verdict.code.code();
        let (title, check, never) = (line(words.title), line(words.check), line(bare_never(words.never)));
        let facts = self.facts(lang);
        match lang {
            Lang::Zh => format!(
                "[{code}] {title}（{sure}）\n{facts}先查 {check}   不要 {never}\n请勿补充完整 key、请求头或提示词；以上字段已足够首轮排查"
            ),
            Lang::En => format!(
                "[{code}] {title} ({sure})\n{facts}Check first: {check}   Do not: {never}\nPlease do not add full keys, headers or prompts; these fields are enough for the first review"
            ),
        }
    }

    fn facts(&self, lang: Lang) -> String {
        let say = Say { lang };
        let request = &self.request;
        let client = match (self.client.name.known(), self.client.version.known()) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            (Some(name), None) => name.to_string(),
            _ => say.unknown().to_owned(),
        };
        let task = self.task.known().map(|t| t.id.to_string());
        let time = request.time.known().map_or(say.unknown().to_owned(), |t| {
            let text = t.as_str();
            format!("{} {} {}", text.get(..10).unwrap_or(text), text.get(11..19).unwrap_or_default(), text.get(19..).unwrap_or_default())
        });
        let status = match &self.status {
            Fact::Known(Status::Code(code)) => code.to_string(),
            Fact::Known(Status::Never(_)) | Fact::NotApplicable => say.none().to_owned(),
            Fact::Unknown(_) => say.unknown().to_owned(),
        };
        let error = self.error_text.known().map_or(say.none().to_owned(), |t| line(t.as_str()));
        let retried = self.retry.retried.known().map_or(say.unknown(), |yes| say.yes_no(*yes));
        let proxy = match request.via_proxy {
            ViaProxy::Yes => say.yes_no(true),
            ViaProxy::NotSeen => say.pick("未见", "not seen"),
            ViaProxy::Unknown => say.unknown(),
        };
        let rows: [&[(&str, &str, &str)]; 4] = [
            &[
                ("证据编号", "Evidence", &self.evidence_id.to_string()),
                ("请求 ID", "Request", &say.fact(&request.id)),
                ("任务 ID", "Task", task.as_deref().unwrap_or(say.none())),
            ],
            &[
                ("账号", "Account", &say.fact(&self.account)),
                ("脱敏 key", "Key", &say.fact(&self.key_masked)),
                ("客户端", "Client", &client),
                ("经过代理", "Via proxy", proxy),
            ],
            &[("请求时间", "Time", &time), ("模型", "Model", &say.fact(&request.model)), ("stream", "stream", &say.fact(&request.stream))],
            &[
                ("状态码", "Status", &status),
                ("错误原文", "Error text", &error),
                ("是否重试", "Retried", retried),
                ("重试次数", "Retries", &say.fact(&self.retry.count)),
                ("是否扣费", "Charged", &self.charged(&say)),
            ],
        ];
        let mut text = String::new();
        for row in rows {
            let cells: Vec<String> = row.iter().map(|(zh, en, value)| format!("{} {value}", say.pick(zh, en))).collect();
            text.push_str(&cells.join("   "));
            text.push('\n');
        }
        if let Some(limited) = self.limited(&say) {
            text.push_str(&limited);
        }
        if let Some(seen) = self.seen(&say) {
            text.push_str(&seen);
        }
        text
    }

    fn charged(&self, say: &Say) -> String {
        let state = match self.charge.state {
            Charged::Yes => say.yes_no(true),
            Charged::No => say.yes_no(false),
            Charged::Pending => say.pick("处理中", "pending"),
            Charged::Refunded => say.pick("已退回", "refunded"),
            Charged::Unknown => say.unknown(),
        };
        match (self.charge.count.known(), say.lang) {
            (Some(count), Lang::Zh) if *count > 1 => format!("{state}（{count} 次请求）"),
            (Some(count), Lang::En) if *count > 1 => format!("{state} ({count} requests)"),
            _ => state.to_owned(),
        }
    }

    /// Which limit refused the call, and who called; nothing if no limit did.
    fn limited(&self, say: &Say) -> Option<String> {
        let limits = self.limits.as_ref()?;
        let kind = match limits.kind {
            LimitKind::Rate => say.pick("频率", "rate"),
            LimitKind::Concurrency => say.pick("并发", "concurrency"),
            LimitKind::Daily => say.pick("每日配额", "daily quota"),
            LimitKind::Upstream => say.pick("上游", "upstream"),
            LimitKind::Unknown => say.unknown(),
        };
        let reset = limits.reset_at.known().map_or(say.unknown(), Moment::as_str);
        let caller = self.caller.as_ref().map_or(say.none().to_owned(), |caller| caller.label.to_string());
        let cells = [
            (say.pick("限额", "Limit"), format!("{kind} {}", say.fact(&limits.limit))),
            (say.pick("剩余", "left"), say.fact(&limits.remaining)),
            ("resetAt", reset.to_owned()),
            (say.pick("需等待秒数", "wait in seconds"), say.fact(&limits.retry_after_s)),
            (say.pick("调用方", "Caller"), caller),
        ];
        Some(cells.map(|(name, value)| format!("{name} {value}")).join("   ") + "\n")
    }

    /// What the clock and the stream showed.
    fn seen(&self, say: &Say) -> Option<String> {
        let timing = self.timing.as_ref()?;
        let mut text = say.pick("现象", "Seen:").to_owned();
        // Writing to a String cannot fail.
        let _ = write!(text, " {} {} ms", say.pick("总耗时", "total"), timing.total);
        if let Some(first) = timing.first_event.or(timing.ttfb) {
            let _ = write!(text, "   {} {first} ms", say.pick("首个数据", "first data"));
        }
        if let Some(stream) = &self.stream_obs {
            let _ = write!(text, "   {} {}", say.pick("事件数", "events"), stream.events);
        }
        let side = match timing.ended_by {
            crate::Side::Client => say.pick("客户端", "client"),
            crate::Side::Proxy => say.pick("代理", "proxy"),
            crate::Side::Gateway => say.pick("网关", "gateway"),
            crate::Side::Upstream => say.pick("上游", "upstream"),
            crate::Side::Done => say.pick("正常结束", "done"),
        };
        let _ = writeln!(text, "   {} {side}", say.pick("结束方", "ended by"));
        Some(text)
    }
}

/// One line, bounded.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS_CHARS).collect()
}

struct Say {
    lang: Lang,
}

impl Say {
    fn pick<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        if self.lang == Lang::Zh { zh } else { en }
    }

    fn unknown(&self) -> &'static str {
        self.pick("未知", "unknown")
    }

    fn none(&self) -> &'static str {
        self.pick("无", "none")
    }

    fn yes_no(&self, yes: bool) -> &'static str {
        if yes { self.pick("是", "yes") } else { self.pick("否", "no") }
    }

    fn fact<T: Display>(&self, fact: &Fact<T>) -> String {
        match fact {
            Fact::Known(value) => value.to_string(),
            Fact::Unknown(_) => self.unknown().to_owned(),
            Fact::NotApplicable => self.none().to_owned(),
        }
    }
}
