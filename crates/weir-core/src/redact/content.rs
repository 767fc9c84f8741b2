//! Prompts and answers behind their names.

use memchr::memmem;

use super::credential::next_literals;
use super::engine::{Kind, Span};
use super::judge::{is_marker, is_number_or_none};
use super::names::{Name, text_of};
use super::normalise::Shadow;
use super::triggers::{Trigger, trigger, window};
use super::value::{Form, Separator, Value, line_end, read, skip_blanks};

/// Prompts and answers: strings and lists whole; objects are looked into; numbers are counts and stay.
pub(super) fn content(shadow: &Shadow<'_>, name: &Name, separator: Separator, at: usize, quoted: bool, strong: bool) -> Option<Span> {
    let bytes = shadow.bytes();
    if separator == Separator::Pair || bytes.get(at) == Some(&b'{') && !strong && !is_arguments(shadow, name) {
        return None;
    }
    let mut value = read(shadow, at)?;
    match value.form {
        Form::Quoted if separator == Separator::Blank => return None,
        Form::Quoted => {
            let word = text_of(shadow, &value);
            // `"input":"text"`, `"type":…`: one small word that a schema would use is no content, unless the name is sure.
            if !strong && (is_schema_word(shadow.text(), name, word) || is_other_response(shadow, name, &value)) {
                return None;
            }
            value.range.end = next_literals(bytes, value.range.end);
        }
        Form::List if separator != Separator::Blank && bytes[value.range.start] == b'[' => {}
        Form::Object if strong || is_arguments(shadow, name) => {}
        Form::List | Form::Object => return None,
        // `[messages] => Array`, and what was hidden before.
        Form::Bare if matches!(text_of(shadow, &value), "Array" | "[REDACTED:content]") => return None,
        Form::Bare => {
            let allowed = match separator {
                Separator::Tag => true,
                Separator::Equals => {
                    strong || line_is_pairs(bytes, name) || bytes[..name.start].ends_with(b"[") && starts_line(bytes, name.start - 1)
                }
                Separator::Colon => (strong || starts_speech(shadow, name, &value)) && !after_complaint(shadow.text(), name),
                Separator::Blank | Separator::Pair => false,
            };
            if quoted || !allowed || is_number_or_none(text_of(shadow, &value)) {
                return None;
            }
            value.range.end = match separator {
                Separator::Colon => block_end(shadow, name, unquoted_content_end(shadow, &value, separator)),
                _ => unquoted_content_end(shadow, &value, separator),
            };
        }
    }
    if shadow.text().get(value.range.clone()).is_none_or(|t| t.trim().is_empty() || is_marker(t)) {
        return None;
    }
    Some(Span::new(value.range.start, value.range.end, Kind::Content))
}

/// `question: what is …` at the start of a line, and `content: …` under a role, as YAML and people write them.
fn starts_speech(shadow: &Shadow<'_>, name: &Name, value: &Value) -> bool {
    let text = shadow.text();
    let start = text.floor_char_boundary(name.start.saturating_sub(80));
    let before = &text[start..name.start];
    let first = before.trim_end_matches([' ', '\t', '-']).chars().next_back().is_none_or(|c| c == '\n');
    match &text[name.start..name.end] {
        "content" | "text" => first && before.contains("role"),
        "question" | "answer" | "query" | "transcript" | "reply" | "instruction" | "instructions" => {
            first && is_speech(text, value.range.start)
        }
        _ => false,
    }
}

/// Several words, or Han: what a person says, not what a field holds.
fn is_speech(text: &str, at: usize) -> bool {
    let end = text.floor_char_boundary(text.len().min(at + 200));
    let line = text[at..end].lines().next().unwrap_or_default();
    line.split_whitespace().count() >= 3 || line.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

pub(super) const TRIGGERS: [Trigger; 1] =
    [trigger(&["human", "assistant", "user", "ai", "用户", "客户", "助手", "模型", "问", "答"], dialogue)];

/// What may stand between a line's beginning and its speaker.
const MAX_INDENT_BYTES: usize = 8;
/// As far behind an answer as its state stands.
const MAX_STATE_BYTES: usize = 48;
/// A line shorter than this says nothing.
const MIN_SPEECH_CHARS: usize = 4;

/// `用户问：`, `助手回答：`.
const SPEAKS: [&str; 9] = ["提问", "回答", "回复", "输入", "输出", "问", "答", "说", "发送"];

/// A dialogue pasted as people see it, one speaker a line.
fn dialogue(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let (text, bytes) = (shadow.text(), shadow.bytes());
    let end = end + SPEAKS.iter().find(|verb| text[end..].starts_with(**verb)).map_or(0, |verb| verb.len());
    // `[user]: `, `**User:** `.
    let end = end + usize::from(bytes.get(end) == Some(&b']') && at > 0 && bytes[at - 1] == b'[');
    let colon = end + window(bytes, end, 3).iter().take_while(|b| matches!(b, b' ' | b'\t' | b'*')).count();
    let speech = match bytes.get(colon) {
        Some(b':') => colon + 1,
        _ => return,
    };
    let indent =
        bytes[..at].iter().rev().take(MAX_INDENT_BYTES).take_while(|b| matches!(b, b' ' | b'\t' | b'>' | b'*' | b'-' | b'[')).count();
    if at > indent && bytes[at - indent - 1] != b'\n' {
        return;
    }
    let speech = speech + usize::from(matches!(bytes.get(speech), Some(b' ' | b'\t')));
    let line = speech..line_end(shadow, speech);
    let is_long = text[line.clone()].chars().nth(MIN_SPEECH_CHARS - 1).is_some();
    if is_long && is_speech(text, line.start) && !text[line.clone()].starts_with("[REDACTED") {
        out.push(Span::new(line.start, line.end, Kind::Content));
    }
}

/// Whether only blanks and list signs stand before `at` in its line.
fn starts_line(bytes: &[u8], at: usize) -> bool {
    let signs = bytes[..at].iter().rev().take(MAX_INDENT_BYTES * 8).take_while(|b| matches!(b, b' ' | b'\t' | b'-')).count();
    at == signs || bytes[at - signs - 1] == b'\n'
}

/// The lines below that stand further in than their name: one text that YAML wrote on several lines.
fn block_end(shadow: &Shadow<'_>, name: &Name, mut end: usize) -> usize {
    let bytes = shadow.bytes();
    if !starts_line(bytes, name.start) {
        return end;
    }
    let column = bytes[..name.start].iter().rev().take_while(|b| **b != b'\n').count();
    while bytes.get(end) == Some(&b'\n') || bytes[end..].starts_with(b"\r\n") {
        let line = end + if bytes[end] == b'\r' { 2 } else { 1 };
        let indent = bytes[line..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let next = line_end(shadow, line + indent);
        let is_blank = next == line + indent;
        if indent <= column && !is_blank || is_blank && !goes_on(bytes, next, column) || !shadow.walk(0) {
            break;
        }
        end = next;
    }
    end
}

/// Whether behind an empty line the block goes on.
fn goes_on(bytes: &[u8], at: usize, column: usize) -> bool {
    let rest = &bytes[at..];
    let gap = rest.iter().take(MAX_INDENT_BYTES).take_while(|b| matches!(b, b'\n' | b'\r')).count();
    let indent = rest[gap..].iter().take_while(|b| **b == b' ').count();
    indent > column && rest.get(gap + indent).is_some_and(|b| !b.is_ascii_whitespace())
}

/// `"response":"…"` is an answer where a model's state follows; elsewhere it is what a server said.
fn is_other_response(shadow: &Shadow<'_>, name: &Name, value: &Value) -> bool {
    let behind = &shadow.bytes()[value.range.end..];
    let behind = &behind[..behind.len().min(MAX_STATE_BYTES)];
    shadow.text()[name.start..name.end].ends_with("esponse")
        && !["\"done\"", "'done'", "\"thinking\"", "\"eval_count\""].iter().any(|state| memmem::find(behind, state.as_bytes()).is_some())
}

fn is_arguments(shadow: &Shadow<'_>, name: &Name) -> bool {
    matches!(&shadow.text()[name.start..name.end], "arguments" | "input" | "inputs")
}

fn is_schema_word(text: &str, name: &Name, word: &str) -> bool {
    const SCHEMA: &[&str] = &[
        "text",
        "json",
        "image",
        "audio",
        "auto",
        "string",
        "object",
        "null",
        "none",
        "user",
        "assistant",
        "system",
        "tool",
        "unknown",
        "stdout",
        "stderr",
        "linux",
        "darwin",
        "windows",
        "macos",
    ];
    let name = &text[name.start..name.end];
    SCHEMA.contains(&word)
        || matches!(name, "system" | "suffix" | "output" | "query") && word.is_ascii() && !word.contains(' ') && word.len() < 24
        || word.starts_with('/') && !word.contains(' ')
}

/// In `a=1 prompt=…` the next name ends a value; elsewhere the line does.
fn unquoted_content_end(shadow: &Shadow<'_>, value: &Value, separator: Separator) -> usize {
    let bytes = shadow.bytes();
    let line = line_end(shadow, value.range.start);
    if separator == Separator::Tag {
        return bytes[value.range.start..].iter().position(|b| *b == b'<').map_or(line, |i| value.range.start + i);
    }
    if separator != Separator::Equals {
        return line;
    }
    let mut at = value.range.end;
    while at < line {
        let word = skip_blanks(bytes, at, false);
        let len = bytes[word..line].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
        if len > 0 && bytes.get(word + len) == Some(&b'=') && word > at {
            return at;
        }
        at = word + len.max(1);
    }
    line
}

fn line_is_pairs(bytes: &[u8], name: &Name) -> bool {
    matches!(bytes.get(name.start.wrapping_sub(1)), None | Some(b' ' | b'&' | b'?' | b'\t' | b'\n' | b','))
        && bytes.get(name.end) == Some(&b'=')
}

/// "invalid prompt: …" is what an API says about a prompt.
fn after_complaint(text: &str, name: &Name) -> bool {
    const COMPLAINTS: &[&str] = &[
        "invalid",
        "missing",
        "empty",
        "unsupported",
        "the",
        "your",
        "for",
        "this",
        "in",
        "of",
        "no",
        "bad",
        "'",
        "`",
        "field",
        "parameter",
    ];
    let start = text.floor_char_boundary(name.start.saturating_sub(64));
    let before = text[start..name.start].trim_end();
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '"').next().unwrap_or_default().to_ascii_lowercase();
    text[..name.start].ends_with([' ', '\'', '`']) && COMPLAINTS.contains(&word.trim_start_matches(['"', '(', '[']))
        || before.ends_with(['\'', '`'])
}
