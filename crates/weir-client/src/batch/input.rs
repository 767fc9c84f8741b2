//! The input file, line by line: millions of them pass through a buffer of one.

use std::io::{self, BufRead};

use sha2::{Digest, Sha256};

use super::{
    repeats::{Came, Ids, KEPT_IDS, Repeats},
    row::{self, BadRow, Row},
};

/// Longest line, in bytes: a chat with a dozen large pictures.
pub const LINE_BYTES: usize = 32 << 20;

/// One line.
#[derive(Debug)]
pub enum Read {
    Row(Row),
    Bad {
        number: u64,
        why: BadRow,
        custom_id: Option<String>,
    },
    /// There is nothing on it.
    Blank {
        number: u64,
    },
}

/// Reads rows one after the other.
pub struct Lines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
    repeats: Repeats,
}

impl<R> std::fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<R: BufRead> Lines<R> {
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), number: 0, repeats: Repeats::default() }
    }

    /// Takes these lines for bad ones: an earlier line has their `custom_id`, as [`survey`] found.
    #[must_use]
    pub fn without(self, repeats: Repeats) -> Self {
        Self { repeats, ..self }
    }

    /// The next line that `wanted` says is still to be done; `None` at the end. Others are not even parsed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self, wanted: impl Fn(u64) -> bool) -> io::Result<Option<Read>> {
        loop {
            self.line.clear();
            let length = io::Read::take(&mut self.from, LINE_BYTES as u64).read_until(b'\n', &mut self.line)?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            let is_too_long = length == LINE_BYTES && self.line.last() != Some(&b'\n');
            if is_too_long {
                skip_line(&mut self.from)?;
            }
            if !wanted(self.number) {
                continue;
            }
            let number = self.number;
            if self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Read::Blank { number }));
            }
            if is_too_long {
                return Ok(Some(Read::Bad { number, why: BadRow::TooLong(LINE_BYTES), custom_id: None }));
            }
            // A file that an editor of another system wrote begins with a mark.
            let text = self.line.strip_prefix(b"\xEF\xBB\xBF").filter(|_| number == 1).unwrap_or(&self.line);
            return Ok(Some(match row::read(number, text) {
                Ok(row) if self.repeats.has(number) => Read::Bad { number, why: BadRow::Repeated, custom_id: Some(row.custom_id) },
                Ok(row) => Read::Row(row),
                Err((why, custom_id)) => Read::Bad { number, why, custom_id },
            }));
        }
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(place) => (place + 1, true),
            None => (buffer.len(), false),
        };
        from.consume(length);
        if ended {
            return Ok(());
        }
    }
}

/// What a look through the whole file found, before anything is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub hash: String,
    pub lines: u64,
    /// Rows, the bad ones among them.
    pub rows: u64,
    pub bad: u64,
    /// Estimated input tokens of the good rows, and the most output that those ask for which name a bound.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Good rows that name no bound.
    pub unbounded: u64,
    pub images: u64,
    pub seconds: u64,
    /// Good rows but for an earlier line that has their `custom_id`; they count as bad.
    pub repeats: Repeats,
    /// Rows beyond [`KEPT_IDS`]: compared with those before, but not with each other.
    pub unkept: u64,
}

/// Feeds whatever is read to a hash.
struct Hashing<'a, R> {
    from: R,
    hash: &'a mut Sha256,
    bytes: &'a mut u64,
}

impl<R: BufRead> io::Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.hash.update(&buffer[..length]);
        *self.bytes += length as u64;
        Ok(length)
    }
}

/// Looks through the file: counts it, and tells each bad row to `each`.
///
/// # Errors
/// The file cannot be read.
pub fn survey(from: impl BufRead, each: impl FnMut(u64, &BadRow)) -> io::Result<Survey> {
    survey_keeping(KEPT_IDS, from, each)
}

fn survey_keeping(most_ids: usize, from: impl BufRead, mut each: impl FnMut(u64, &BadRow)) -> io::Result<Survey> {
    let mut ids = Ids::new(most_ids);
    let (mut hash, mut bytes, mut found) = (Sha256::new(), 0, Survey::default());
    let hashing = Hashing { from, hash: &mut hash, bytes: &mut bytes };
    let mut lines = Lines::new(io::BufReader::with_capacity(1 << 16, hashing));
    while let Some(read) = lines.next(|_| true)? {
        found.rows += u64::from(!matches!(read, Read::Blank { .. }));
        let custom_id = match &read {
            Read::Blank { .. } => None,
            Read::Bad { custom_id, .. } => custom_id.as_deref(),
            Read::Row(row) => Some(row.custom_id.as_str()),
        };
        let came = custom_id.map(|custom_id| ids.note(custom_id));
        found.unkept += u64::from(came == Some(Came::Unkept));
        match read {
            Read::Blank { .. } => {}
            Read::Bad { number, why, .. } => {
                found.bad += 1;
                each(number, &why);
            }
            Read::Row(row) if came == Some(Came::Again) => {
                found.bad += 1;
                found.repeats.add(row.number);
                each(row.number, &BadRow::Repeated);
            }
            Read::Row(row) => {
                let most = row.most(0);
                found.input_tokens = found.input_tokens.saturating_add(most.input);
                found.output_tokens = found.output_tokens.saturating_add(most.output);
                found.unbounded += u64::from(row.output.is_none() && !row.is_media());
                found.images = found.images.saturating_add(most.images);
                found.seconds = found.seconds.saturating_add(most.seconds);
            }
        }
    }
    found.lines = lines.number;
    drop(lines);
    found.bytes = bytes;
    found.hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"four"}}"#;

    #[test]
    fn bad_rows_are_told_with_line_and_reason_and_do_not_stop_the_rest() {
        let text = format!("\u{feff}{ROW}\n\n{{}}\n{}\n{}", ROW.replace("POST", "GET"), ROW.replace("\"a\"", "\"b\""));
        let mut bad = Vec::new();
        let found = survey(text.as_bytes(), |line, why| bad.push((line, why.code()))).unwrap();
        assert_eq!(bad, [(3, "row_custom_id"), (4, "row_method")]);
        assert_eq!((found.lines, found.rows, found.bad, found.bytes), (5, 4, 2, text.len() as u64));
        assert_eq!(found.hash.len(), 64);
    }

    #[test]
    fn a_repeated_custom_id_is_a_bad_row_and_the_first_of_its_name_is_asked_for() {
        let named = |id: &str| ROW.replace("\"a\"", &format!("\"{id}\""));
        // The third line is bad for a reason of its own, and its name is taken all the same: the output would have two lines of it.
        let text = [ROW, &named("b"), &named("c").replace("POST", "GET"), ROW, &named("d"), &named("c"), ROW].join("\n");
        let mut bad = Vec::new();
        let found = survey(text.as_bytes(), |line, why| bad.push((line, why.code()))).unwrap();
        let again = "row_custom_id_repeated";
        assert_eq!(bad, [(3, "row_method"), (4, again), (6, again), (7, again)]);
        assert_eq!(
            (found.rows, found.bad, found.unkept, found.input_tokens),
            (7, 4, 0, 3 * survey(ROW.as_bytes(), |_, _| {}).unwrap().input_tokens)
        );
        let mut lines = Lines::new(text.as_bytes()).without(found.repeats);
        let mut asked = Vec::new();
        while let Some(read) = lines.next(|_| true).unwrap() {
            match read {
                Read::Row(row) => asked.push((row.number, row.custom_id)),
                Read::Bad { why: BadRow::Repeated, custom_id, .. } => assert!(matches!(custom_id.as_deref(), Some("a" | "c"))),
                Read::Bad { number, .. } => assert_eq!(number, 3),
                Read::Blank { number } => panic!("line {number} is not blank"),
            }
        }
        assert_eq!(asked, [(1, "a".to_owned()), (2, "b".to_owned()), (5, "d".to_owned())]);
    }

    #[test]
    fn rows_beyond_what_is_kept_are_counted_and_compared_with_those_before() {
        let text = ["a", "b", "c", "c", "a"].map(|id| ROW.replace("\"a\"", &format!("\"{id}\""))).join("\n");
        let mut bad = Vec::new();
        let found = survey_keeping(2, text.as_bytes(), |line, _| bad.push(line)).unwrap();
        assert_eq!((bad, found.unkept), (vec![5], 2));
    }

    #[test]
    fn a_line_that_is_too_long_is_one_bad_row() {
        let text = format!("{}\n{ROW}\n", "x".repeat(LINE_BYTES + 10));
        let mut lines = Lines::new(text.as_bytes());
        assert!(matches!(lines.next(|_| true).unwrap(), Some(Read::Bad { number: 1, why: BadRow::TooLong(_), .. })));
        assert!(matches!(lines.next(|_| true).unwrap(), Some(Read::Row(row)) if row.number == 2));
        assert!(lines.next(|_| true).unwrap().is_none());
    }

    #[test]
    fn rows_that_are_done_are_passed_over() {
        let text = format!("{ROW}\n{ROW}\n{ROW}\n");
        let mut lines = Lines::new(text.as_bytes());
        assert!(matches!(lines.next(|line| line == 3).unwrap(), Some(Read::Row(row)) if row.number == 3));
    }
}
