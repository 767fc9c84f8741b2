//! A record that comes back as text: pasted into a ticket, indented, quoted, fenced, wrapped by a mail program. What is compared are its
//! letters and not its white space, which every program on the way changes.

use super::{EvidenceId, text::MAX_TEXT_LINES};
use crate::{RequestId, Verdict};

/// Longer pastes are read this far, in lines: a record, the report around it and the mail around that.
const LINES_MAX: usize = MAX_TEXT_LINES * 8;
/// Ids that are read of one text.
const IDS_MAX: usize = 8;

/// Which text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastedKind {
    /// What `Evidence::render_text` made.
    Block,
    /// What `weir doctor` or `weir triage` printed.
    Report,
    /// The form of `weir evidence template`.
    Form,
}

/// A record as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pasted {
    pub kind: PastedKind,
    /// Ids of calls that it names, in their order.
    pub requests: Vec<RequestId>,
    /// What it states of the call, by the path of the record's field. What it does not know is not among it.
    pub stated: Vec<(&'static str, String)>,
    lines: Vec<String>,
}

/// How the texts call a field: in Chinese, in English, in the record. Longer ones first where one begins another.
const LABELS: [(&str, &str, &str); 20] = [
    ("证据编号", "Evidence", "evidence_id"),
    ("请求 ID", "Request", "request.id"),
    ("任务 ID", "Task", "task.id"),
    ("账号", "Account", "account"),
    ("脱敏 key", "Key", "key_masked"),
    ("客户端", "Client", "client"),
    ("经过代理", "Via proxy", "request.via_proxy"),
    ("请求时间", "Time", "request.time"),
    ("模型", "Model", "request.model"),
    ("stream", "stream", "request.stream"),
    ("状态码", "Status", "status"),
    ("错误原文", "Error text", "error_text"),
    ("是否重试", "Retried", "retry.retried"),
    ("重试次数", "Retries", "retry.count"),
    ("是否扣费", "Charged", "charge.state"),
    ("限额", "Limit", "limits"),
    ("剩余", "left", "limits.remaining"),
    ("resetAt", "resetAt", "limits.reset_at"),
    ("现象", "Seen:", "timing"),
    ("先查", "Check first:", "verdict"),
];

/// Facts that every text states in the same words, so that a report and a form can be compared as well.
const COMPARED: [(&str, &[&str]); 3] =
    [("request.model", &["模型名", "模型", "model"]), ("request.stream", &["stream"]), ("status", &["状态码", "status"])];

/// How a text says that it does not know.
const UNKNOWN: [&str; 8] = ["", "unknown", "未知", "none", "无", "not known", "不知道", "?"];

impl Pasted {
    /// Reads a text. `None`: it is none of weir's.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let lines: Vec<String> = text.lines().take(LINES_MAX).map(bare).filter(|line| !line.is_empty()).collect();
        let kind = kind(&lines)?;
        let whole = lines.join("\n");
        let mut requests: Vec<RequestId> = Vec::new();
        for id in words(&whole).filter(|word| word.starts_with("wr_")).filter_map(|word| word.parse().ok()) {
            if !requests.contains(&id) && requests.len() < IDS_MAX {
                requests.push(id);
            }
        }
        let stated = COMPARED.iter().filter_map(|(path, labels)| Some((*path, stated(&lines, labels)?))).collect();
        Some(Self { kind, requests, stated, lines })
    }

    /// Whether it bears this id.
    #[must_use]
    pub fn bears(&self, id: EvidenceId) -> bool {
        let id = id.to_string();
        self.lines.iter().any(|line| words(line).any(|word| word == id))
    }

    /// Where a block differs from what it must say, one of `ours`; empty if it is one of them, whatever stands around it.
    #[must_use]
    pub fn differs(&self, ours: &[String]) -> Vec<&'static str> {
        let theirs = squeezed(&self.lines.join("\n"));
        let mut nearest = (0, Vec::new());
        for text in ours {
            if theirs.contains(&squeezed(text)) {
                return Vec::new();
            }
            let cells: Vec<&str> = text.lines().flat_map(|line| line.split("   ")).collect();
            let missing: Vec<_> = cells.iter().filter(|cell| !theirs.contains(&squeezed(cell))).map(|cell| field(cell)).collect();
            let there = cells.len() - missing.len();
            if there > nearest.0 {
                nearest = (there, missing);
            }
        }
        // None of it is there: another text under the same code.
        let (there, mut found) = nearest;
        if there == 0 {
            return vec!["verdict"];
        }
        found.dedup();
        // Every part is there, and something stands between them.
        if found.is_empty() { vec!["added_text"] } else { found }
    }
}

/// A line without what mail programs and ticket systems put before it.
fn bare(line: &str) -> String {
    let mut rest = line.trim_matches(['\u{feff}', '\u{200b}', ' ', '\t', '\r', '\u{a0}', '\u{3000}']);
    while let Some(inner) = rest.strip_prefix(['>', '|', '》']) {
        rest = inner.trim_start();
    }
    if rest.starts_with("```") || rest.starts_with("~~~") { String::new() } else { rest.trim_matches('`').to_owned() }
}

fn kind(lines: &[String]) -> Option<PastedKind> {
    let begins_block = |line: &String| line.find("[W-").is_some_and(|at| code(&line[at + 1..]).is_some());
    let asks = |line: &String| line.contains("(such as ") || line.contains("(例 ");
    if lines.iter().any(begins_block) {
        return Some(PastedKind::Block);
    }
    if lines.iter().filter(|line| asks(line)).count() >= 3 {
        return Some(PastedKind::Form);
    }
    let has_id = lines.iter().any(|line| words(line).any(|word| word.starts_with("WEV-") && word.len() == 18));
    (has_id && lines.iter().any(|line| code(line).is_some())).then_some(PastedKind::Report)
}

/// The code at the beginning of a text.
fn code(text: &str) -> Option<Verdict> {
    words(text).next().filter(|word| text.starts_with(word)).and_then(Verdict::from_code)
}

/// Runs of letters, digits, `_` and `-`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').filter(|word| !word.is_empty())
}

/// What a label is followed by, unless that says that nobody knows.
fn stated(lines: &[String], labels: &[&str]) -> Option<String> {
    let cells = lines.iter().flat_map(|line| {
        let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).peekable();
        std::iter::from_fn(move || Some((cells.next()?, cells.peek().copied())))
    });
    for (cell, next) in cells {
        for label in labels {
            let Some(rest) = cell.get(..label.len()).filter(|start| start.eq_ignore_ascii_case(label)).map(|_| &cell[label.len()..]) else {
                continue;
            };
            let is_apart = rest.starts_with(' ');
            let rest = rest.trim_start();
            let value = match rest.chars().next() {
                None => next.unwrap_or_default(),
                Some('(' | '（') => rest.split_once(['：', ':']).map_or("", |_| after_example(rest)),
                Some(':' | '：') => rest.trim_start_matches([' ', ':', '：']),
                Some(_) if is_apart => rest,
                Some(_) => continue,
            };
            let value = value.split_whitespace().next().unwrap_or_default();
            if !UNKNOWN.contains(&value) {
                return Some(value.to_owned());
            }
        }
    }
    None
}

/// What stands behind `(such as …):`, whatever signs the example has.
fn after_example(rest: &str) -> &str {
    [":", "："]
        .iter()
        .filter_map(|sign| rest.split_once(&format!("){sign}")).or_else(|| rest.split_once(&format!("）{sign}"))))
        .map(|(_, value)| value.trim())
        .next()
        .unwrap_or_default()
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\u{200b}' | '\u{feff}')).collect()
}

fn field(cell: &str) -> &'static str {
    let cell = cell.trim();
    let known = LABELS.iter().find(|(zh, en, _)| [zh, en].iter().any(|label| cell.starts_with(*label)));
    known.map_or("verdict", |(_, _, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "[W-STREAM-005] The stream was cut (certain)\nEvidence WEV-7K3M-Q9TP-2X4D   Request wr_01j2w8k3q4zp7m01j2w8k3q4zp   Task none\nTime 2026-07-14 10:30:41 +08:00   Model gpt-4o-mini   stream true\nStatus 200   Error text none   Retried no\nCheck first: the hops   Do not: glue two outputs";

    fn differs(text: &str) -> Vec<&'static str> {
        Pasted::read(text).unwrap().differs(&["another".to_owned(), OURS.to_owned()])
    }

    #[test]
    fn what_programs_do_to_a_pasted_text_changes_nothing_in_it() {
        let quoted = OURS.lines().map(|line| format!("> > {line}\r\n")).collect::<String>();
        let wrapped = OURS.replace(" WEV", "\nWEV").replace("   ", "\n");
        let told = [
            OURS.to_owned(),
            format!("    {}", OURS.replace('\n', "\n\t  ")),
            quoted,
            format!("Hello,\n\n```text\n{OURS}\n```\nregards"),
            format!("\u{feff}{}", OURS.replace('\n', "\r\n")),
            wrapped,
            OURS.replace(' ', "\u{a0}"),
        ];
        for text in told {
            assert_eq!(differs(&text), Vec::<&str>::new(), "{text}");
            assert_eq!(Pasted::read(&text).unwrap().requests.len(), 1, "{text}");
        }
    }

    #[test]
    fn what_was_changed_taken_out_or_put_in_is_named() {
        assert_eq!(differs(&OURS.replace("Status 200", "Status 500")), ["status"]);
        assert_eq!(differs(&OURS.replace("   Retried no", "")), ["retry.retried"]);
        assert_eq!(differs(&OURS.replace("gpt-4o-mini", "gpt-4o").replace("glue", "join")), ["request.model", "verdict"]);
        assert_eq!(differs(&OURS.replace("\nStatus", "\nplease refund me\nStatus")), ["added_text"]);
    }

    #[test]
    fn a_report_and_a_form_state_what_can_be_compared() {
        let report = "weir doctor 0.1.0   api.example.com   model gpt-4o-mini   key none\nW-STREAM-005  cut   likely\n  status        200\n  evidence      WEV-7K3M-Q9TP-2X4D";
        let read = Pasted::read(report).unwrap();
        assert_eq!(
            (read.kind, &*read.stated),
            (PastedKind::Report, &[("request.model", "gpt-4o-mini".to_owned()), ("status", "200".to_owned())][..])
        );
        let form = "请求 ID(例 wr_…):wr_01j2w8k3q4zp7m01j2w8k3q4zp\n模型名(例 gpt-4o-mini):gpt-4o\nstream(例 true / false):未知\n状态码(例 429):500\n";
        let read = Pasted::read(form).unwrap();
        assert_eq!((read.kind, read.requests.len()), (PastedKind::Form, 1));
        assert_eq!(read.stated, [("request.model", "gpt-4o".to_owned()), ("status", "500".to_owned())]);
    }

    #[test]
    fn other_texts_are_none_of_ours() {
        for text in
            ["", "hello", "{\"error\":1}", "W-STREAM-005 is what the page says", "WEV-7K3M-Q9TP-2X4D", "[W-NOPE-001] x", "[warn] W-"]
        {
            assert!(Pasted::read(text).is_none(), "{text}");
        }
    }
}
