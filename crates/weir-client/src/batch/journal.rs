//! The journal of a run: one short line for each thing that happened, with its checksum, only ever appended to. Whatever ends a run, the
//! journal says for each row whether it was answered, failed, may have been sent, or was never sent.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use weir_core::{Price, Timestamp};

/// What a run is, written once at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Of the journal's form: 1.
    pub version: u32,
    /// Eight hexadecimal digits, drawn for this run: part of each row's idempotency key.
    pub run: String,
    pub input: String,
    pub input_bytes: u64,
    /// SHA-256 of the input, in hexadecimal digits.
    pub input_hash: String,
    /// Lines of the input, blank ones included.
    pub lines: u64,
    /// Rows among them.
    pub rows: u64,
    pub base_url: String,
    /// The environment variable that holds the key; never the key.
    pub key_env: Option<String>,
    pub started: Timestamp,
    pub terms: Terms,
}

/// How a run is run: what whoever started it asked for. A resume may change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Requests at once, at most.
    pub concurrency: u32,
    /// Requests and tokens a minute, at most; else as the server tells.
    pub rpm: Option<u64>,
    pub tpm: Option<u64>,
    /// Nano-units.
    pub max_cost: Option<i64>,
    pub price: Option<Price>,
    /// The output is put into the input's order when the run is complete.
    pub ordered: bool,
    /// The longest told wait that the run waits by itself, in seconds.
    pub max_wait_s: u64,
}

/// Why a row has no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedHow {
    /// It was refused, and may be asked for anew.
    Refused,
    /// No answer came to any attempt: asking anew must bear the same name.
    Silent,
    /// A job was submitted and nobody knows what became of it: it is never submitted again.
    Unknown,
    /// The line is no row.
    Bad,
    /// There is nothing on the line.
    Blank,
}

/// How the run stands, now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    pub at: Timestamp,
    pub running: u32,
    pub window: u32,
    /// Requests sent, and those refused as too many, since the run began.
    pub calls: u64,
    pub refused: u64,
    pub paused_until: Option<Timestamp>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A row leaves. `again`: it may have been made before, and this server does not remember.
    Sent {
        row: u64,
        at: Timestamp,
        again: bool,
    },
    /// Its line ends at this byte of the output. `cost` in nano-units.
    Answered {
        row: u64,
        end: u64,
        status: u16,
        cost: i64,
    },
    Failed {
        row: u64,
        end: u64,
        status: u16,
        how: FailedHow,
    },
    /// It was refused, or never left: it is as if it had not been sent. It is not sent before `until`, also by another start.
    PutBack {
        row: u64,
        until: Option<Timestamp>,
    },
    /// It was sent and no answer came, or none that says what became of it. It is not sent before `until`.
    Silent {
        row: u64,
        until: Option<Timestamp>,
    },
    /// The server made a job of it.
    Task {
        row: u64,
        id: String,
    },
    /// A failed row is to be asked anew, under a new name.
    Reopened {
        row: u64,
    },
    Mark(Mark),
    /// The output is about to be replaced by one of this length that has each row once.
    Arranged {
        len: u64,
    },
}

/// Longest line, in bytes: a header with long paths.
const LINE_BYTES: usize = 64 << 10;
/// What may be torn at the end of a journal, in bytes; more is damage.
const TORN_BYTES: u64 = 256 << 10;

/// What each value of a byte adds to a CRC-32 as in zip files.
const SUMS: [u32; 256] = {
    let mut sums = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
            bit += 1;
        }
        sums[byte] = sum;
        byte += 1;
    }
    sums
};

fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| sum >> 8 ^ SUMS[usize::from(u8::try_from(sum & 0xFF).unwrap_or(0) ^ byte)])
}

fn sealed(payload: &str) -> String {
    format!("{:08x} {payload}\n", checksum(payload.as_bytes()))
}

fn opened(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, payload) = line.split_once(' ')?;
    (sum.len() == 8 && u32::from_str_radix(sum, 16) == Ok(checksum(payload.as_bytes()))).then_some(payload)
}

impl Header {
    /// Its line.
    ///
    /// # Errors
    /// Never for a header that was read or made from typed options; an error all the same is told as one.
    pub fn line(&self) -> io::Result<String> {
        Ok(sealed(&format!("H {}", serde_json::to_string(self)?)))
    }

    fn read(payload: &str) -> Option<Self> {
        serde_json::from_str(payload.strip_prefix("H ")?).ok().filter(|header: &Self| header.version == 1)
    }
}

impl Record {
    /// Its line.
    #[must_use]
    pub fn line(&self) -> String {
        sealed(&match self {
            Self::Sent { row, at, again } => format!("S {row} {} {}", at.0, u8::from(*again)),
            Self::Answered { row, end, status, cost } => format!("A {row} {end} {status} {cost}"),
            Self::Failed { row, end, status, how } => {
                let how = match how {
                    FailedHow::Refused => 'r',
                    FailedHow::Silent => 's',
                    FailedHow::Unknown => 'u',
                    FailedHow::Bad => 'b',
                    FailedHow::Blank => 'n',
                };
                format!("F {row} {end} {status} {how}")
            }
            Self::PutBack { row, until } => format!("P {row} {}", until.map_or(0, |until| until.0)),
            Self::Silent { row, until } => format!("U {row} {}", until.map_or(0, |until| until.0)),
            Self::Task { row, id } => format!("T {row} {id}"),
            Self::Reopened { row } => format!("R {row}"),
            Self::Mark(mark) => {
                let until = mark.paused_until.map_or(0, |until| until.0);
                format!("M {} {} {} {} {} {until}", mark.at.0, mark.running, mark.window, mark.calls, mark.refused)
            }
            Self::Arranged { len } => format!("X {len}"),
        })
    }

    fn read(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let kind = words.next()?;
        let mut number = || words.next()?.parse::<i64>().ok();
        let unsigned = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let short = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        Some(match kind {
            "S" => Self::Sent { row: unsigned(number())?, at: Timestamp(number()?), again: number()? == 1 },
            "A" => Self::Answered {
                row: unsigned(number())?,
                end: unsigned(number())?,
                status: u16::try_from(number()?).ok()?,
                cost: number()?,
            },
            "F" => {
                let (row, end, status) = (unsigned(number())?, unsigned(number())?, u16::try_from(number()?).ok()?);
                let how = match words.next()? {
                    "r" => FailedHow::Refused,
                    "s" => FailedHow::Silent,
                    "u" => FailedHow::Unknown,
                    "b" => FailedHow::Bad,
                    "n" => FailedHow::Blank,
                    _ => return None,
                };
                Self::Failed { row, end, status, how }
            }
            "P" => Self::PutBack { row: unsigned(number())?, until: Some(Timestamp(number()?)).filter(|until| until.0 > 0) },
            "U" => Self::Silent { row: unsigned(number())?, until: Some(Timestamp(number()?)).filter(|until| until.0 > 0) },
            "T" => Self::Task { row: unsigned(number())?, id: words.next()?.to_owned() },
            "R" => Self::Reopened { row: unsigned(number())? },
            "M" => Self::Mark(Mark {
                at: Timestamp(number()?),
                running: short(number())?,
                window: short(number())?,
                calls: unsigned(number())?,
                refused: unsigned(number())?,
                paused_until: Some(Timestamp(number()?)).filter(|until| until.0 > 0),
            }),
            "X" => Self::Arranged { len: unsigned(number())? },
            _ => return None,
        })
    }
}

/// Why a journal cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("read the journal: {0}")]
    Io(#[from] io::Error),
    #[error("read the journal: it is none, or of another version")]
    NotAJournal,
    #[error("read the journal: it is damaged at byte {0}, and not only its end is")]
    Damaged(u64),
}

/// Reads a journal: its header, then each record in turn. Returns the header and how many bytes are whole; what follows them was torn by
/// whatever ended the run.
///
/// # Errors
/// See [`JournalError`].
pub fn read(from: &mut impl BufRead, mut each: impl FnMut(&Header, Record)) -> Result<(Header, u64), JournalError> {
    let mut line = Vec::new();
    next_line(from, &mut line)?;
    let header = opened(&line).and_then(Header::read).ok_or(JournalError::NotAJournal)?;
    let mut whole = line.len() as u64;
    loop {
        next_line(from, &mut line)?;
        if line.is_empty() {
            return Ok((header, whole));
        }
        let Some(record) = opened(&line).and_then(Record::read) else { break };
        each(&header, record);
        whole += line.len() as u64;
    }
    let rest = line.len() as u64 + io::copy(from, &mut io::sink())?;
    if rest > TORN_BYTES { Err(JournalError::Damaged(whole)) } else { Ok((header, whole)) }
}

fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    let mut bounded = io::Read::take(&mut *from, LINE_BYTES as u64);
    bounded.read_until(b'\n', line).map(|_| ())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn header(lines: u64) -> Header {
        Header {
            version: 1,
            run: "0badcafe".into(),
            input: "rows.jsonl".into(),
            input_bytes: 9,
            input_hash: "00".into(),
            lines,
            rows: lines,
            base_url: "http://sim.test/v1".into(),
            key_env: Some("WEIR_KEY".into()),
            started: Timestamp(1),
            terms: Terms { concurrency: 8, rpm: None, tpm: None, max_cost: None, price: None, ordered: false, max_wait_s: 3600 },
        }
    }

    fn records() -> impl Strategy<Value = Record> {
        let (row, end, at) = (0_u64..1 << 40, 0_u64..1 << 50, 0_i64..1 << 45);
        prop_oneof![
            (row.clone(), at.clone(), any::<bool>()).prop_map(|(row, at, again)| Record::Sent { row, at: Timestamp(at), again }),
            (row.clone(), end.clone(), 0_u16..600, any::<i64>()).prop_map(|(row, end, status, cost)| Record::Answered {
                row,
                end,
                status,
                cost
            }),
            (row.clone(), end.clone(), 0_u16..600).prop_map(|(row, end, status)| Record::Failed {
                row,
                end,
                status,
                how: FailedHow::Silent
            }),
            row.clone().prop_map(|row| Record::Reopened { row }),
            (row, "[a-z0-9_]{1,40}").prop_map(|(row, id)| Record::Task { row, id }),
            (at.clone(), any::<u32>(), at).prop_map(|(at, running, until)| Record::Mark(Mark {
                at: Timestamp(at),
                running,
                window: running / 2,
                calls: 7,
                refused: 1,
                paused_until: (until > 0).then_some(Timestamp(until)),
            })),
            end.prop_map(|len| Record::Arranged { len }),
        ]
    }

    fn read_back(bytes: &[u8]) -> (Vec<Record>, u64) {
        let mut all = Vec::new();
        let (_, whole) = read(&mut io::Cursor::new(bytes), |_, record| all.push(record)).unwrap();
        (all, whole)
    }

    proptest! {
        /// Cut at any byte, with any rubbish behind the cut: what was whole is read, and nothing else.
        #[test]
        fn a_torn_journal_keeps_what_was_whole(written in prop::collection::vec(records(), 0..40), cut in any::<prop::sample::Index>(), rubbish in prop::collection::vec(any::<u8>(), 0..60)) {
            let head = header(3).line().unwrap();
            let lines: Vec<String> = written.iter().map(Record::line).collect();
            let text = lines.concat();
            let at = cut.index(text.len() + 1);
            let whole_lines = lines.iter().scan(0, |sum, line| { *sum += line.len(); Some(*sum) }).take_while(|end| *end <= at).count();
            let whole: usize = lines[..whole_lines].iter().map(String::len).sum();
            let mut torn = [head.as_bytes(), &text.as_bytes()[..at]].concat();
            torn.extend(rubbish.iter().map(|byte| if *byte == b'\n' { b'x' } else { *byte }));
            let (read, valid) = read_back(&torn);
            prop_assert_eq!(read, &written[..whole_lines]);
            prop_assert_eq!(valid, (head.len() + whole) as u64);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_and_damage_in_the_middle_is_no_torn_end() {
        let head = header(3).line().unwrap();
        let line = Record::Answered { row: 1, end: 10, status: 200, cost: 0 }.line();
        let mut changed = [head.as_str(), &line].concat().into_bytes();
        let place = changed.len() - 3;
        changed[place] ^= 1;
        assert!(read_back(&changed).0.is_empty());
        changed.extend(line.repeat(20_000).into_bytes());
        assert!(matches!(read(&mut io::Cursor::new(&changed), |_, _| ()), Err(JournalError::Damaged(at)) if at == head.len() as u64));
        assert!(matches!(read(&mut io::Cursor::new(b"{}\n"), |_, _| ()), Err(JournalError::NotAJournal)));
    }
}
