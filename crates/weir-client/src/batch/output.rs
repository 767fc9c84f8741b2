//! The lines of the output file, in the form of OpenAI's batch files, and how they are found again in it.

use std::io::{self, BufRead};

use serde::Serialize;
use serde_json::value::RawValue;
use weir_core::Secret;

use super::row::Row;
use crate::Said;

/// Longest line that is read back, in bytes: an answer with ten large pictures.
const LINE_BYTES: u64 = 128 << 20;
/// What each line's id begins with.
const PREFIX: &str = r#"{"id":"batch_req_"#;

#[derive(Serialize)]
struct Line<'a> {
    id: String,
    custom_id: Option<&'a str>,
    response: Option<Response<'a>>,
    error: Option<Reason<'a>>,
}

#[derive(Serialize)]
struct Response<'a> {
    status_code: u16,
    request_id: Option<&'a str>,
    body: &'a RawValue,
}

/// Why a row has no good answer, as the file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reason<'a> {
    pub(super) code: &'a str,
    pub(super) message: String,
}

/// Writes the lines of one run.
pub(super) struct Writer {
    pub(super) run: String,
    /// The key, which no line may hold, whatever a server quotes.
    pub(super) hidden: Option<Secret>,
}

impl Writer {
    fn id(&self, number: u64) -> String {
        format!("batch_req_{}_{number:08}", self.run)
    }

    /// A row's line, its end of line included.
    pub(super) fn line(&self, row: &Row, said: Option<&Said>, reason: Option<Reason<'_>>) -> Vec<u8> {
        let body = said.map(|said| body_of(&said.body));
        let response =
            said.zip(body.as_deref()).map(|(said, body)| Response { status_code: said.status, request_id: said.request_id(), body });
        self.written(&Line { id: self.id(row.number), custom_id: Some(&row.custom_id), response, error: reason })
    }

    /// The line of what is no row.
    pub(super) fn bad(&self, number: u64, custom_id: Option<&str>, reason: Reason<'_>) -> Vec<u8> {
        self.written(&Line { id: self.id(number), custom_id, response: None, error: Some(reason) })
    }

    fn written(&self, line: &Line<'_>) -> Vec<u8> {
        // These shapes have only string keys and JSON that was read, so writing them cannot fail.
        let mut text = serde_json::to_string(line).unwrap_or_default();
        if let Some(key) = self.hidden.as_ref().map(Secret::expose).filter(|key| key.len() >= 8 && text.contains(*key)) {
            text = text.replace(key, "[REDACTED:key]");
        }
        text.push('\n');
        text.into_bytes()
    }
}

/// An answer's body on one line. In JSON a raw end of line stands only between its parts, so leaving them out changes nothing of it; what is no
/// JSON becomes a string.
fn body_of(body: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(body);
    let one_line: String = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], "") } else { text.clone().into_owned() };
    RawValue::from_string(one_line).or_else(|_| serde_json::value::to_raw_value(&*text)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The part of an answer about a picture's job that is the answer itself.
pub(super) fn result_of(said: &Said) -> Option<Said> {
    #[derive(serde::Deserialize)]
    struct Shown<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    let shown: Shown<'_> = serde_json::from_slice(&said.body).ok()?;
    let result = bytes::Bytes::copy_from_slice(shown.result.get().as_bytes());
    let mut whole = said.clone();
    (whole.body, whole.status) = (result, 200);
    Some(whole)
}

/// A line found in an output file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) row: u64,
    /// Its first byte and the one behind it.
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) status: u16,
    pub(super) is_good: bool,
}

/// Finds the lines of a run in its output from byte `from` on, where `file` stands. What is torn at its end is left out.
///
/// # Errors
/// The file cannot be read.
pub(super) fn find(file: &mut impl BufRead, from: u64, run: &str, mut each: impl FnMut(Found)) -> io::Result<()> {
    let (mut begin, mut line) = (from, Vec::new());
    loop {
        line.clear();
        let length = io::Read::take(&mut *file, LINE_BYTES).read_until(b'\n', &mut line)? as u64;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok(());
        }
        let end = begin + length;
        if let Some((row, status, is_good)) = read(&line, run) {
            each(Found { row, begin, end, status, is_good });
        }
        begin = end;
    }
}

fn read(line: &[u8], run: &str) -> Option<(u64, u16, bool)> {
    let text = std::str::from_utf8(line).ok()?;
    let number = text.strip_prefix(PREFIX)?.strip_prefix(run)?.strip_prefix('_')?;
    let number = number.get(..number.find('"')?)?.parse().ok()?;
    #[derive(serde::Deserialize)]
    struct Known {
        response: Option<Status>,
        error: Option<serde::de::IgnoredAny>,
    }
    #[derive(serde::Deserialize)]
    struct Status {
        status_code: u16,
    }
    let known: Known = serde_json::from_str(text).ok()?;
    Some((number, known.response.map_or(0, |response| response.status_code), known.error.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        Writer { run: "0badcafe".into(), hidden: Some(Secret::new("sk-12345678")) }
    }

    fn row() -> Row {
        let line = br#"{"custom_id":"a \"b\"","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}"#;
        super::super::row::read(12, line).unwrap()
    }

    #[test]
    fn a_line_has_openai_s_form_and_a_pretty_body_stands_on_one_line() {
        let said = Said::made(200, http::HeaderMap::new(), "{\n  \"v\": 1.10,\r\n  \"t\": \"a\\nb\"\n}".into());
        let line = String::from_utf8(writer().line(&row(), Some(&said), None)).unwrap();
        assert_eq!(
            line,
            "{\"id\":\"batch_req_0badcafe_00000012\",\"custom_id\":\"a \\\"b\\\"\",\"response\":{\"status_code\":200,\"request_id\":null,\"body\":{  \"v\": 1.10,  \"t\": \"a\\nb\"}},\"error\":null}\n"
        );
        let page = Said::made(502, http::HeaderMap::new(), "<html>\nsk-12345678".into());
        let reason = Reason { code: "upstream", message: "m".into() };
        let line = String::from_utf8(writer().line(&row(), Some(&page), Some(reason))).unwrap();
        assert!(
            line.contains(r#""body":"<html>\n[REDACTED:key]""#) && line.ends_with("\"error\":{\"code\":\"upstream\",\"message\":\"m\"}}\n"),
            "{line}"
        );
    }

    #[test]
    fn lines_are_found_again_and_a_torn_one_is_not() {
        let said = Said::made(200, http::HeaderMap::new(), "{}".into());
        let good = writer().line(&row(), Some(&said), None);
        let bad = writer().bad(13, None, Reason { code: "row_not_json", message: String::new() });
        let text = [good.as_slice(), b"rubbish\n", &bad, &good[..30]].concat();
        let mut all = Vec::new();
        find(&mut io::Cursor::new(&text), 100, "0badcafe", |found| all.push((found.row, found.begin, found.status, found.is_good)))
            .unwrap();
        assert_eq!(all, [(12, 100, 200, true), (13, 108 + good.len() as u64, 0, false)]);
        let mut none = 0;
        find(&mut io::Cursor::new(&text), 0, "00000000", |_| none += 1).unwrap();
        assert_eq!(none, 0, "another run's lines are not ours");
    }
}
