//! The journal, the output and what they say, kept in step: nothing leaves before it is noted, nothing is noted before it is written.

use std::{io, time::Duration};

use weir_core::Timestamp;

use super::{
    disk::Disk,
    journal::{FailedHow, Record},
    output::{Reason, Writer},
    row::Row,
    standing::Standings,
};
use crate::Said;

/// How long written lines may wait until they outlive a loss of power. A killed process loses nothing.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What a run keeps.
pub(super) struct Book {
    journal: Box<dyn Disk>,
    output: Box<dyn Disk>,
    writer: Writer,
    pub(super) standings: Standings,
    /// Records that wait to be written together.
    waiting: String,
    synced_at: Timestamp,
    is_dirty: bool,
    /// The room that was kept for this moment is in use: nothing new may be begun.
    pub(super) is_full: bool,
}

impl Book {
    pub(super) fn new(journal: Box<dyn Disk>, output: Box<dyn Disk>, writer: Writer, standings: Standings, now: Timestamp) -> Self {
        Self { journal, output, writer, standings, waiting: String::new(), synced_at: now, is_dirty: false, is_full: false }
    }

    /// Notes what the next [`Book::flush`] writes.
    pub(super) fn note(&mut self, record: &Record) {
        self.standings.note(record);
        self.waiting.push_str(&record.line());
    }

    /// What was noted is in the journal from now on, whoever kills the process.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut written = self.journal.append(self.waiting.as_bytes());
        if self.makes_room(&written) {
            written = self.journal.append(self.waiting.as_bytes());
        }
        written?;
        self.waiting.clear();
        self.is_dirty = true;
        Ok(())
    }

    /// On a full disk: the room that was kept beside the output is given back.
    fn makes_room(&mut self, written: &io::Result<()>) -> bool {
        let is_full = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        self.is_full |= is_full;
        is_full && self.output.make_room()
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.output.append(line);
        if self.makes_room(&written) { self.output.append(line) } else { written }
    }

    /// Writes a row's good answer.
    pub(super) fn answered(&mut self, row: &Row, said: &Said, cost: i64) -> io::Result<()> {
        let line = self.writer.line(row, Some(said), None);
        self.write(&line)?;
        let record = Record::Answered { row: row.number, end: self.output.end(), status: said.status, cost };
        self.note(&record);
        self.flush()
    }

    /// Writes why a row has none.
    pub(super) fn failed(&mut self, row: &Row, said: Option<&Said>, how: FailedHow, reason: Reason<'_>) -> io::Result<()> {
        let line = self.writer.line(row, said, Some(reason));
        self.write(&line)?;
        let status = said.map_or(0, |said| said.status);
        self.note(&Record::Failed { row: row.number, end: self.output.end(), status, how });
        self.flush()
    }

    /// Writes that a line is no row.
    pub(super) fn bad(&mut self, number: u64, custom_id: Option<&str>, reason: Reason<'_>) -> io::Result<()> {
        let line = self.writer.bad(number, custom_id, reason);
        self.write(&line)?;
        self.note(&Record::Failed { row: number, end: self.output.end(), status: 0, how: FailedHow::Bad });
        self.flush()
    }

    /// Makes what was written outlive a loss of power, if it is time.
    pub(super) fn sync_if_due(&mut self, now: Timestamp) -> io::Result<()> {
        if self.is_dirty && now.since(self.synced_at) >= SYNC_EVERY { self.sync(now) } else { Ok(()) }
    }

    pub(super) fn sync(&mut self, now: Timestamp) -> io::Result<()> {
        self.flush()?;
        // The answers first: a journal must not know of lines that are not there.
        self.output.sync()?;
        self.journal.sync()?;
        (self.synced_at, self.is_dirty) = (now, false);
        Ok(())
    }
}
