//! The report as plain text, in the reader's language. Everything that the JSON finds is here, and nothing else.

use weir_core::{Lang, Level, RetryWord, evidence::bare_never, verdict::Scenario};

use super::{Check, Note, Report, Status, look::shown, words};
use crate::probe::ProbeId;

/// How the text is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// The verdict alone.
    pub is_summary: bool,
    /// Also the times of every read, sizes only.
    pub is_verbose: bool,
    pub ascii: bool,
    pub colour: bool,
}

/// Widest column of what a probe is called, in cells.
const NAME_CELLS: usize = 14;
/// Widest line of fields, behind the column of names, in cells: both fit on the narrowest usual terminal.
const LINE_CELLS: usize = 62;
/// Of what the other side said; the record has more.
const SAID_CHARS: usize = 300;
/// Reads that `--verbose` shows of one stream.
const READS_SHOWN: usize = 60;

impl Report {
    /// Ends with a line break.
    #[must_use]
    pub fn text(&self, lang: Lang, layout: Layout) -> String {
        let mut out = String::new();
        if !layout.is_summary {
            out.push_str(&self.head(lang));
            for line in lines_of_checks(&self.checks, lang, layout) {
                out.push_str(&line);
            }
            // The answer stands apart.
            out.push('\n');
        }
        out.push_str(&self.verdict(lang, layout));
        if layout.ascii { ascii(&out) } else { out }
    }

    /// The first two lines: what is examined, and what it may cost.
    #[must_use]
    pub fn head(&self, lang: Lang) -> String {
        let target = &self.target;
        let (host, model, mask, from) =
            (&target.base_url_host, shown(&target.model, lang), shown(&target.key_masked, lang), &target.key_from);
        let version = &self.weir;
        let why = target.model_why.as_ref().map_or_else(String::new, |why| format!(" ({})", why.in_lang(lang)));
        let from = if from == "none" { String::new() } else { format!(" ({from})") };
        let first = match lang {
            Lang::Zh => format!("weir doctor {version}   {host}   模型 {model}{why}   key {mask}{from}\n"),
            Lang::En => format!("weir doctor {version}   {host}   model {model}{why}   key {mask}{from}\n"),
        };
        let budget = &self.budget;
        first + &plan_line(budget.requests, budget.max_output_tokens, budget.seconds, lang)
    }

    fn verdict(&self, lang: Lang, layout: Layout) -> String {
        let say = |zh: &'static str, en: &'static str| if lang == Lang::Zh { zh } else { en };
        let words = self.primary.words(lang);
        let check = self.primary_check();
        let sure = check.and_then(|check| check.confidence).unwrap_or(weir_core::evidence::Confidence::Likely);
        let code = paint(self.primary.code(), self.overall, layout);
        let mut out = format!("{code}  {}   {}\n", words.title, words::confidence(sure, lang));
        let mut row = |name: &str, text: &str| out.push_str(&format!("  {}{text}\n", padded(name, NAME_CELLS)));
        let detail = check.and_then(|check| check.detail.as_ref());
        let is_well = self.primary == weir_core::Verdict::Ok;
        if words.cause != words.title {
            row(if is_well { say("结果", "result") } else { say("原因", "cause") }, words.cause);
        }
        if let Some(detail) = detail {
            row(say("具体", "in this case"), detail.in_lang(lang));
        }
        if let Some(text) = self.error_text() {
            row(say("错误原文", "it said"), &cut(text));
        }
        for (n, step) in words.check_first.iter().enumerate() {
            let label = if is_well { say("接下来", "next") } else { say("先查", "check first") };
            row(if n == 0 { label } else { "" }, &format!("{} {step}", n + 1));
        }
        row(say("不要", "do NOT"), bare_never(words.never));
        let retry = self.primary.retry(Scenario::ShortChat);
        if retry != RetryWord::Nothing {
            row(say("重试", "retry"), words::retry(retry).in_lang(lang));
        }
        for group in &self.look_at {
            let fields: Vec<String> =
                group.fields.iter().map(|field| format!("{} {}", field.label.in_lang(lang), shown(&field.value, lang))).collect();
            for (n, line) in wrapped(&fields).iter().enumerate() {
                row(if n == 0 { super::look::label(&group.group, lang) } else { "" }, line);
            }
        }
        for note in &self.notes {
            row(say("另外", "also"), &note_line(note, lang));
        }
        for hint in &self.hints {
            row(say("接着", "next"), hint.in_lang(lang));
        }
        if self.overall > Status::Ok {
            row(say("负责方", "owner"), words::owner(self.primary.owner()).in_lang(lang));
        }
        let id = self.evidence_id;
        row(
            say("证据", "evidence"),
            &match lang {
                Lang::Zh => format!("{id}(--evidence 文件:可安全转发的记录)"),
                Lang::En => format!("{id}  (--evidence FILE writes a record that is safe to share)"),
            },
        );
        row(say("详情", "more"), &format!("weir explain {}", self.primary.code()));
        if !self.complete {
            row(say("未完成", "incomplete"), say("这次诊断没有做完,以上是已经看到的", "this run did not finish; the above is what it saw"));
        }
        out.push_str(&exit_line(self.exit_code, lang));
        out
    }

    /// What the other side said, redacted.
    pub(super) fn error_text(&self) -> Option<&str> {
        let evidence = self.evidence.as_ref()?;
        let text = evidence.error_text.known().map(|text| text.as_str())?;
        // weir's own errors say what the catalogue says; once is enough.
        (self.primary.level() > Level::Ok && !text.contains("[W-")).then_some(text)
    }
}

fn exit_line(exit: u8, lang: Lang) -> String {
    if lang == Lang::Zh { format!("退出码 {exit}\n") } else { format!("exit {exit}\n") }
}

/// What a run costs at most.
#[must_use]
pub fn plan_line(requests: u32, tokens: u32, seconds: u32, lang: Lang) -> String {
    match lang {
        Lang::Zh => format!("计划:{requests} 次短请求,最多 {tokens} 个输出 token,最长 {seconds} 秒\n"),
        Lang::En => {
            let calls = if requests == 1 { "call" } else { "calls" };
            format!("plan: {requests} short {calls}, at most {tokens} output tokens, at most {seconds} s\n")
        }
    }
}

fn lines_of_checks(checks: &[Check], lang: Lang, layout: Layout) -> Vec<String> {
    let mut lines = Vec::new();
    let mut skip = false;
    for (n, check) in checks.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        // A name that resolved and a connection that stands are one line.
        let next = checks.get(n + 1).filter(|next| check.id == ProbeId::P1 && next.id == ProbeId::P2 && check.code.is_none());
        if let Some(next) = next {
            let both = format!("{}{}{}", check.seen.in_lang(lang), if lang == Lang::Zh { ";" } else { "; " }, next.seen.in_lang(lang));
            lines.push(check_line("P1-2", if lang == Lang::Zh { "网络" } else { "network" }, next.status, &both, lang, layout));
            skip = true;
            continue;
        }
        lines.push(line_of_check(check, lang, layout));
        if layout.is_verbose {
            lines.extend(timeline(check, lang));
        }
    }
    lines
}

/// The line of one probe.
#[must_use]
pub fn line_of_check(check: &Check, lang: Lang, layout: Layout) -> String {
    check_line(&check.id.to_string(), check.id.label().in_lang(lang), check.status, check.seen.in_lang(lang), lang, layout)
}

fn check_line(id: &str, name: &str, status: Status, seen: &str, lang: Lang, layout: Layout) -> String {
    let word = words::status(status, lang);
    let tag = paint(&format!("[{word}]"), status, layout);
    let gap = " ".repeat(7usize.saturating_sub(cells(word) + 2));
    format!("  {tag}{gap}{}{seen}\n", padded(&format!("{id} {name}"), NAME_CELLS + 1))
}

fn timeline(check: &Check, lang: Lang) -> Vec<String> {
    let row = |point: &super::TimelinePoint| {
        let (at, bytes, events) = (point.at_ms, point.bytes, point.events);
        match lang {
            Lang::Zh => format!("             {at:>7} 毫秒  {bytes:>6} 字节  {events} 个事件\n"),
            Lang::En => format!("             {at:>7} ms  {bytes:>6} bytes  {events} events\n"),
        }
    };
    let mut rows: Vec<String> = check.timeline.iter().take(READS_SHOWN).map(row).collect();
    let more = check.timeline.len().saturating_sub(READS_SHOWN);
    if more > 0 {
        rows.push(if lang == Lang::Zh {
            format!("             …另有 {more} 次读取\n")
        } else {
            format!("             … and {more} more reads\n")
        });
    }
    rows
}

fn note_line(note: &Note, lang: Lang) -> String {
    let detail = note.detail.as_ref().map_or_else(String::new, |detail| match lang {
        Lang::Zh => format!(":{}", detail.in_lang(lang)),
        Lang::En => format!(": {}", detail.in_lang(lang)),
    });
    format!("{} {}{detail}", note.code.code(), note.summary.in_lang(lang))
}

/// Fields side by side, as many as fit on a line.
fn wrapped(fields: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for field in fields {
        match lines.last_mut().filter(|line| cells(line) + cells(field) + 3 <= LINE_CELLS) {
            Some(line) => {
                line.push_str("   ");
                line.push_str(field);
            }
            None => lines.push(field.clone()),
        }
    }
    lines
}

/// One line of what may be a page.
fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SAID_CHARS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// Cells on a terminal: wide characters take two.
fn cells(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(cells(text)).max(1)))
}

fn paint(text: &str, status: Status, layout: Layout) -> String {
    if !layout.colour {
        return text.to_owned();
    }
    let colour = match status {
        Status::Ok => "32",
        Status::Info => "36",
        Status::Warn | Status::Unknown => "33",
        Status::Fail => "31;1",
    };
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

/// The marks that have a plain form; letters of the language stay.
fn ascii(text: &str) -> String {
    text.replace('…', "...").replace(['–', '—'], "-").replace(['“', '”'], "\"")
}
