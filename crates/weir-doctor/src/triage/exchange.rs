//! Requests and answers as `curl -v`, `curl -i` and unfolded recordings show them.

use super::pattern::{first, pattern};

/// One request with its answer, as far as the text shows them.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) host: Option<String>,
    pub(super) asked_with: Vec<(String, String)>,
    /// 0: no answer is shown.
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// What the program itself said: lines with `*`.
    pub(super) said: String,
}

/// More exchanges are not read.
const MOST: usize = 200;
/// Longest body kept, in bytes.
const BODY_BYTES: usize = 1 << 20;

// A line that goes on behind its reason is a sentence about a status.
pattern!(STATUS, r"^HTTP(?:/[\d.]+ (\d{3})\b| (\d{3})(?: [A-Za-z][A-Za-z -]{0,40})?$)");
pattern!(REQUEST, r"^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (\S+) HTTP");
pattern!(HEADER, r"^([A-Za-z][A-Za-z0-9-]{1,48}): ?(.*)$");

impl Exchange {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(super) fn asked_header(&self, name: &str) -> Option<&str> {
        find(&self.asked_with, name)
    }

    pub(super) fn is_event_stream(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("text/event-stream"))
    }
}

fn find<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

enum At {
    Request,
    Headers,
    Body,
}

/// All exchanges of a text; none if it shows no line of HTTP.
pub(super) fn read(text: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    let mut at = At::Body;
    let is_verbose = text.lines().any(|line| line.starts_with("< HTTP") || line.starts_with("> POST") || line.starts_with("> GET"));
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        let (mark, rest) = match line.split_at_checked(1) {
            Some((mark @ ("<" | ">" | "*"), rest)) if is_verbose && (rest.is_empty() || rest.starts_with(' ')) => (mark, rest.trim_start()),
            _ => ("", line),
        };
        let starts = if mark == "*" { Starts::Nothing } else { starts(rest) };
        match starts {
            Starts::Request(method, path) if mark == ">" || !is_verbose => {
                if found.len() >= MOST {
                    break;
                }
                found.push(Exchange { method: Some(method), path: Some(path), ..Exchange::default() });
                at = At::Request;
            }
            Starts::Status(status) if mark == "<" || !is_verbose => {
                answer(&mut found, status);
                at = At::Headers;
            }
            _ => take(&mut found, &mut at, mark, rest, line),
        }
    }
    found.retain(|exchange| exchange.status > 0 || exchange.method.is_some() || !exchange.said.is_empty());
    found
}

enum Starts {
    Request(String, String),
    Status(u16),
    Nothing,
}

fn starts(line: &str) -> Starts {
    if let Some(status) = first(&STATUS, line).and_then(|digits| digits.parse().ok()) {
        return Starts::Status(status);
    }
    if first(&REQUEST, line).is_some() {
        let mut words = line.split_whitespace();
        if let (Some(method), Some(path)) = (words.next(), words.next()) {
            return Starts::Request(method.to_owned(), path.to_owned());
        }
    }
    Starts::Nothing
}

/// A status line: the answer to the last request, unless that has one already. An interim or a proxy's own answer gives way.
fn answer(found: &mut Vec<Exchange>, status: u16) {
    if let Some(last) = found.last_mut()
        && (last.status < 200 || last.body.is_empty() && last.status == 200)
    {
        last.status = status;
        last.headers.clear();
    } else if found.len() < MOST {
        found.push(Exchange { status, ..Exchange::default() });
    }
}

fn take(found: &mut Vec<Exchange>, at: &mut At, mark: &str, rest: &str, line: &str) {
    if mark == "*" || line.starts_with("curl: (") {
        if found.is_empty() {
            found.push(Exchange::default());
        }
        if let Some(last) = found.last_mut() {
            last.said.push_str(rest);
            last.said.push('\n');
        }
        return;
    }
    let Some(last) = found.last_mut() else { return };
    match at {
        At::Request => {
            if let Some((name, value)) = header(rest) {
                if name.eq_ignore_ascii_case("host") {
                    last.host = Some(value.clone());
                }
                last.asked_with.push((name, value));
            }
        }
        At::Headers => match header(rest) {
            Some(pair) if last.headers.len() < 80 => last.headers.push(pair),
            Some(_) => {}
            None => {
                *at = At::Body;
                if !rest.is_empty() {
                    body(last, line);
                }
            }
        },
        At::Body if last.status > 0 && mark.is_empty() && !is_progress(line) => body(last, line),
        At::Body => {}
    }
}

fn header(line: &str) -> Option<(String, String)> {
    first(&HEADER, line)?;
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

/// curl's own notes between pieces of a body.
fn is_progress(line: &str) -> bool {
    (line.starts_with("{ [") || line.starts_with("} [")) && line.ends_with(']')
}

fn body(exchange: &mut Exchange, line: &str) {
    if exchange.body.len() < BODY_BYTES {
        exchange.body.push_str(line);
        exchange.body.push('\n');
    }
}
