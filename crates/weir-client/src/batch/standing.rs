//! How far each row is: one byte a row, so a million rows take a megabyte. Made by reading the journal, kept up while the run goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead},
};

use super::{
    journal::{self, FailedHow, Header, JournalError, Mark, Record},
    output,
};

/// How far one row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RowState {
    /// Never sent, or refused: it may be sent.
    Open,
    /// Sent, and what became of it is not known.
    Sent,
    Answered,
    Failed,
    /// Failed, because no answer came.
    FailedSilent,
    /// A job that nobody knows the end of.
    Unknown,
    Bad,
    /// A job that runs at the server.
    Task,
    /// A blank line, which is no row.
    Blank,
}

const STATES: [RowState; 9] = [
    RowState::Open,
    RowState::Sent,
    RowState::Answered,
    RowState::Failed,
    RowState::FailedSilent,
    RowState::Unknown,
    RowState::Bad,
    RowState::Task,
    RowState::Blank,
];

impl RowState {
    /// Whether the row has its line in the output.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Answered | Self::Failed | Self::FailedSilent | Self::Unknown | Self::Bad | Self::Blank)
    }

    const fn of(how: FailedHow) -> Self {
        match how {
            FailedHow::Refused => Self::Failed,
            FailedHow::Silent => Self::FailedSilent,
            FailedHow::Unknown => Self::Unknown,
            FailedHow::Bad => Self::Bad,
            FailedHow::Blank => Self::Blank,
        }
    }
}

/// The state in the lower bits of a row's byte, how often it was reopened in the upper ones.
const STATE_BITS: u8 = 0b1111;
const ROUND: u8 = 0b1_0000;

fn state_of(byte: u8) -> RowState {
    STATES.get(usize::from(byte & STATE_BITS)).copied().unwrap_or(RowState::Open)
}

/// How all rows are.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    rows: Vec<u8>,
    /// Lines in each state.
    counts: [u64; 9],
    /// Jobs that run at the server.
    pub tasks: BTreeMap<u64, String>,
    /// When rows were sent of which it is not known what became.
    pub sent_at: BTreeMap<u64, weir_core::Timestamp>,
    /// When rows that were refused may be sent again.
    pub told: BTreeMap<u64, weir_core::Timestamp>,
    /// Ids of all jobs of the run, up to [`TASK_IDS`]: none of them is another row's.
    pub task_ids: BTreeSet<String>,
    /// How many bytes of the output are accounted for.
    pub end: u64,
    /// Nano-units that answered rows cost.
    pub spent: i64,
    /// Rows that were sent again although the server does not remember names.
    pub unguaranteed: u64,
    pub mark: Mark,
    /// The output was about to be replaced, and nothing was written since.
    pub arranged: Option<u64>,
    /// Failed rows were reopened since the output was last arranged: it may hold two lines of one row.
    pub has_twins: bool,
}

/// Jobs of one run whose ids are kept apart; of more, a lost one is not looked for.
pub(super) const TASK_IDS: usize = 100_000;

impl Standings {
    #[must_use]
    pub fn new(lines: u64) -> Self {
        let rows = vec![0; usize::try_from(lines).unwrap_or(usize::MAX)];
        let mut counts = [0; 9];
        counts[0] = lines;
        Self { rows, counts, ..Self::default() }
    }

    fn place(row: u64) -> usize {
        usize::try_from(row).unwrap_or(usize::MAX).wrapping_sub(1)
    }

    #[must_use]
    pub fn of(&self, row: u64) -> RowState {
        self.rows.get(Self::place(row)).map_or(RowState::Open, |byte| state_of(*byte))
    }

    /// How often the row was reopened, up to 15.
    #[must_use]
    pub fn round(&self, row: u64) -> u8 {
        self.rows.get(Self::place(row)).map_or(0, |byte| byte / ROUND)
    }

    #[must_use]
    pub fn count(&self, state: RowState) -> u64 {
        self.counts[state as usize]
    }

    fn set(&mut self, row: u64, state: RowState) {
        let Some(byte) = self.rows.get_mut(Self::place(row)) else { return };
        self.counts[usize::from(*byte & STATE_BITS)] -= 1;
        self.counts[state as usize] += 1;
        *byte = *byte & !STATE_BITS | state as u8;
    }

    fn ended(&mut self, row: u64) {
        self.tasks.remove(&row);
        self.sent_at.remove(&row);
    }

    /// Takes a record in.
    pub fn note(&mut self, record: &Record) {
        match record {
            Record::Sent { row, at, again } => {
                self.sent_at.entry(*row).or_insert(*at);
                self.told.remove(row);
                // A job that is asked for stays a job.
                if self.of(*row) != RowState::Task {
                    self.set(*row, RowState::Sent);
                }
                self.unguaranteed += u64::from(*again);
                self.arranged = None;
            }
            Record::Answered { row, end, cost, .. } => {
                self.ended(*row);
                self.set(*row, RowState::Answered);
                self.spent = self.spent.saturating_add(*cost);
                self.end = self.end.max(*end);
                self.arranged = None;
            }
            Record::Failed { row, end, how, .. } => {
                self.ended(*row);
                self.set(*row, RowState::of(*how));
                self.end = self.end.max(*end);
                self.arranged = None;
            }
            Record::PutBack { row, until } => {
                self.ended(*row);
                self.set(*row, RowState::Open);
                self.told.extend(until.map(|until| (*row, until)));
            }
            Record::Silent { row, until } => {
                self.set(*row, RowState::Sent);
                self.told.extend(until.map(|until| (*row, until)));
            }
            Record::Task { row, id } => {
                self.set(*row, RowState::Task);
                self.tasks.insert(*row, id.clone());
                if self.task_ids.len() < TASK_IDS {
                    self.task_ids.insert(id.clone());
                }
            }
            Record::Reopened { row } => {
                // What was not answered must bear the same name again; what was refused may be a new call.
                let (state, step) = if self.of(*row) == RowState::FailedSilent { (RowState::Sent, 0) } else { (RowState::Open, ROUND) };
                self.set(*row, state);
                if let Some(byte) = self.rows.get_mut(Self::place(*row)) {
                    *byte = byte.checked_add(step).unwrap_or(*byte);
                }
                self.has_twins = true;
                self.arranged = None;
            }
            Record::Mark(mark) => self.mark = *mark,
            Record::Arranged { len } => {
                self.end = *len;
                self.arranged = Some(*len);
                self.has_twins = false;
            }
        }
    }

    /// How many rows, from the first on, have their line: what is behind the cursor need never be looked at again.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        let open = self.rows.iter().position(|byte| !state_of(*byte).is_final());
        open.unwrap_or(self.rows.len()) as u64
    }

    /// Failed rows that may be asked anew, in order.
    pub fn failed(&self) -> impl Iterator<Item = u64> {
        let again = |byte: &u8| matches!(state_of(*byte), RowState::Failed | RowState::FailedSilent);
        self.rows.iter().zip(1..).filter(move |(byte, _)| again(byte)).map(|(_, row)| row)
    }

    /// Rows that may have been made already.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.count(RowState::Sent)
    }
}

/// A run as its journal tells it.
#[derive(Debug)]
pub struct Found {
    pub header: Header,
    pub standings: Standings,
    /// Whole bytes of the journal; cut to this before it is appended to.
    pub journal_len: u64,
}

/// Reads a run's journal.
///
/// # Errors
/// See [`JournalError`].
pub fn found(journal: &mut impl BufRead) -> Result<Found, JournalError> {
    let mut standings: Option<Standings> = None;
    let (header, journal_len) = journal::read(journal, |header, record| {
        standings.get_or_insert_with(|| Standings::new(header.lines)).note(&record);
    })?;
    let standings = standings.unwrap_or_else(|| Standings::new(header.lines));
    Ok(Found { header, standings, journal_len })
}

impl Found {
    /// Compares with the output, which is `length` bytes long: lines that were written after the last record are taken over; where the output is
    /// shorter than the journal says, because a disk lost its end, the rows whose lines are gone count as sent. Returns the records to append, and
    /// how many bytes of the output are whole.
    ///
    /// # Errors
    /// The output cannot be read.
    pub fn adopt<R: BufRead + io::Seek>(&mut self, output: &mut R, length: u64) -> io::Result<(Vec<Record>, u64)> {
        let (mut records, run) = (Vec::new(), self.header.run.clone());
        let lost = length < self.standings.end;
        let from = if lost { 0 } else { self.standings.end };
        output.seek(io::SeekFrom::Start(from))?;
        let mut end = from;
        let mut there = lost.then(|| vec![false; self.standings.rows.len()]);
        output::find(output, from, &run, |found| {
            end = found.end;
            if let Some(seen) = there.as_mut().and_then(|there| there.get_mut(Standings::place(found.row))) {
                *seen = true;
            }
            let is_new = !self.standings.of(found.row).is_final();
            if is_new && found.is_good {
                records.push(Record::Answered { row: found.row, end: found.end, status: found.status, cost: 0 });
            } else if is_new {
                let how = FailedHow::Refused;
                records.push(Record::Failed { row: found.row, end: found.end, status: found.status, how });
            }
        })?;
        for (seen, row) in there.iter().flatten().zip(1..) {
            if !seen && self.standings.of(row).is_final() {
                records.push(Record::Silent { row, until: None });
            }
        }
        self.standings.end = end;
        records.iter().for_each(|record| self.standings.note(record));
        Ok((records, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::journal::tests::header;

    fn of(records: &[Record], lines: u64) -> Found {
        let text: String = std::iter::once(header(lines).line().unwrap()).chain(records.iter().map(Record::line)).collect();
        found(&mut io::Cursor::new(text)).unwrap()
    }

    fn sent(row: u64) -> Record {
        Record::Sent { row, at: weir_core::Timestamp(1), again: false }
    }

    fn answered(row: u64, end: u64) -> Record {
        Record::Answered { row, end, status: 200, cost: 5 }
    }

    fn line(row: u64) -> String {
        format!(
            "{{\"id\":\"batch_req_0badcafe_{row:08}\",\"custom_id\":\"c\",\"response\":{{\"status_code\":200,\"body\":{{}}}},\"error\":null}}\n"
        )
    }

    #[test]
    fn r35_the_journal_says_what_was_sent_and_answered_and_the_cursor_how_far_it_is() {
        let failed = Record::Failed { row: 3, end: 30, status: 500, how: FailedHow::Refused };
        let records = [
            sent(1),
            sent(2),
            sent(3),
            answered(2, 20),
            failed,
            answered(1, 40),
            sent(4),
            Record::PutBack { row: 4, until: None },
            sent(5),
        ];
        let found = of(&records, 6);
        let states: Vec<_> = (1..=6).map(|row| found.standings.of(row)).collect();
        use RowState::{Answered, Failed, Open, Sent};
        assert_eq!(states, [Answered, Answered, Failed, Open, Sent, Open]);
        assert_eq!((found.standings.cursor(), found.standings.spent, found.standings.end), (3, 10, 40));
        assert_eq!((found.standings.unknown(), found.standings.count(Answered)), (1, 2));
    }

    #[test]
    fn a_reopened_row_is_a_new_call_unless_nobody_knows_what_became_of_it() {
        let failed = |row, how| Record::Failed { row, end: row, status: 0, how };
        let records =
            [failed(1, FailedHow::Refused), failed(2, FailedHow::Silent), failed(3, FailedHow::Unknown), failed(4, FailedHow::Bad)];
        let mut standings = of(&records, 4).standings;
        assert_eq!(standings.failed().collect::<Vec<_>>(), [1, 2], "no job that may exist, no line that is no row");
        for row in [1, 2] {
            standings.note(&Record::Reopened { row });
        }
        assert_eq!((standings.of(1), standings.round(1)), (RowState::Open, 1));
        assert_eq!((standings.of(2), standings.round(2)), (RowState::Sent, 0));
        assert!(standings.has_twins);
    }

    #[test]
    fn lines_that_no_record_names_are_taken_over_and_a_torn_one_is_cut() {
        let first = line(1).len() as u64;
        let mut run = of(&[sent(1), answered(1, first), sent(2), sent(3)], 3);
        let text = [line(1), line(3), line(2)[..40].to_owned()].concat();
        let (records, end) = run.adopt(&mut io::Cursor::new(&text), text.len() as u64).unwrap();
        assert_eq!(records, [Record::Answered { row: 3, end: 2 * first, status: 200, cost: 0 }]);
        assert_eq!((end, run.standings.of(2)), (2 * first, RowState::Sent));
    }

    #[test]
    fn an_output_that_lost_its_end_makes_its_rows_sent_again_under_the_same_name() {
        let first = line(1).len() as u64;
        let mut run = of(&[sent(1), sent(2), answered(1, first), answered(2, 2 * first)], 2);
        let text = [line(1), line(2)[..10].to_owned()].concat();
        let (records, end) = run.adopt(&mut io::Cursor::new(&text), text.len() as u64).unwrap();
        assert_eq!((records, end), (vec![Record::Silent { row: 2, until: None }], first));
        assert_eq!((run.standings.of(1), run.standings.of(2), run.standings.round(2)), (RowState::Answered, RowState::Sent, 0));
    }
}
