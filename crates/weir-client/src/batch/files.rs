//! The files of a run: the output, and beside it the journal, which one program at a time may write.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    disk::{Disk, Grown},
    journal::{Header, JournalError, Record},
    output,
    standing::{Found, Standings, found},
};

/// Rows that are put into order in one pass over the output.
const TOGETHER: u64 = 1 << 20;

/// Where a run keeps what it knows.
#[derive(Debug, Clone)]
pub struct RunFiles {
    output: PathBuf,
}

/// A run that nobody else may go on with while this lives.
#[derive(Debug)]
pub struct Opened {
    pub header: Header,
    pub standings: Standings,
    pub journal: Grown,
    pub output: Grown,
    pub lock: RunLock,
}

/// Held while a program runs a run.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Why a run's files cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("open the run: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Journal(#[from] JournalError),
    #[error("open the run: another program runs it")]
    Runs,
    #[error("begin the run: there is one already")]
    Exists,
    #[error("open the run: there is none")]
    None,
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(what);
    PathBuf::from(name)
}

impl RunFiles {
    /// The files of the run whose output this is.
    #[must_use]
    pub fn new(output: &Path) -> Self {
        Self { output: output.to_owned() }
    }

    #[must_use]
    pub fn journal(&self) -> PathBuf {
        beside(&self.output, ".journal")
    }

    fn spare(&self) -> PathBuf {
        beside(&self.output, ".spare")
    }

    fn arranged(&self) -> PathBuf {
        beside(&self.output, ".arranged")
    }

    fn lock(&self) -> Result<RunLock, FilesError> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(self.journal())?;
        match file.try_lock() {
            Ok(()) => Ok(RunLock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(FilesError::Runs),
            Err(fs::TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Begins a run: makes its files. The output must not be there, or be empty.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn begin(&self, header: Header) -> Result<Opened, FilesError> {
        let is_there = |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0);
        if is_there(&self.journal()) || is_there(&self.output) {
            return Err(FilesError::Exists);
        }
        let lock = self.lock()?;
        let mut journal = Grown::open(&self.journal(), 0)?;
        journal.append(header.line()?.as_bytes())?;
        journal.sync()?;
        let output = Grown::open(&self.output, 0)?.with_spare(&self.spare())?;
        Ok(Opened { standings: Standings::new(header.lines), header, journal, output, lock })
    }

    /// Takes a run up where it was left, however that came.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn resume(&self) -> Result<Opened, FilesError> {
        if !self.journal().is_file() {
            return Err(FilesError::None);
        }
        let lock = self.lock()?;
        let mut run = self.read()?;
        if let Some(len) = run.standings.arranged
            && fs::metadata(self.arranged()).is_ok_and(|found| found.len() == len)
        {
            fs::rename(self.arranged(), &self.output)?;
        }
        let mut there = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.output)?;
        let length = there.seek(SeekFrom::End(0))?;
        let (records, end) = run.adopt(&mut BufReader::new(there), length)?;
        let mut journal = Grown::open(&self.journal(), run.journal_len)?;
        let text: String = records.iter().map(Record::line).collect();
        journal.append(text.as_bytes())?;
        let output = Grown::open(&self.output, end)?.with_spare(&self.spare())?;
        Ok(Opened { header: run.header, standings: run.standings, journal, output, lock })
    }

    /// What the journal says, also while another program writes it.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn read(&self) -> Result<Found, FilesError> {
        let file = File::open(self.journal()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FilesError::None,
            _ => error.into(),
        })?;
        Ok(found(&mut BufReader::with_capacity(1 << 16, file))?)
    }

    /// Whether a program runs the run just now.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.lock(), Err(FilesError::Runs))
    }

    /// Replaces the output by one that has each row's last line, in the order of the input. Kept at any instant: before the replacement all that was
    /// there, after it all of that in order.
    ///
    /// # Errors
    /// See [`FilesError`]; the output is as it was.
    pub fn arrange(&self, _held: &RunLock) -> Result<(), FilesError> {
        let run = self.read()?;
        let mut from = File::open(&self.output)?;
        let mut to = BufWriter::new(File::create(self.arranged())?);
        let mut first = 1;
        while first <= run.header.lines {
            let last = first.saturating_add(TOGETHER - 1).min(run.header.lines);
            let mut places = vec![(0, 0); usize::try_from(last - first + 1).unwrap_or(0)];
            from.seek(SeekFrom::Start(0))?;
            output::find(&mut BufReader::with_capacity(1 << 20, &from), 0, &run.header.run, |found| {
                let place = found.row.checked_sub(first).and_then(|place| usize::try_from(place).ok());
                if let Some(slot) = place.and_then(|place| places.get_mut(place)) {
                    *slot = (found.begin, found.end);
                }
            })?;
            let mut line = Vec::new();
            for (begin, end) in places.into_iter().filter(|(begin, end)| end > begin) {
                line.clear();
                from.seek(SeekFrom::Start(begin))?;
                Read::take(&mut from, end - begin).read_to_end(&mut line)?;
                to.write_all(&line)?;
            }
            first = last + 1;
        }
        let whole = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        whole.sync_all()?;
        let mut journal = Grown::open(&self.journal(), run.journal_len)?;
        journal.append(Record::Arranged { len: whole.metadata()?.len() }.line().as_bytes())?;
        journal.sync()?;
        fs::rename(self.arranged(), &self.output)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{FailedHow, RowState, journal::tests::header};

    fn line(row: u64, body: &str) -> String {
        format!(
            "{{\"id\":\"batch_req_0badcafe_{row:08}\",\"custom_id\":\"c\",\"response\":{{\"status_code\":200,\"body\":{body}}},\"error\":null}}\n"
        )
    }

    fn write(opened: &mut Opened, row: u64, body: &str) {
        opened.output.append(line(row, body).as_bytes()).unwrap();
        let record = Record::Answered { row, end: opened.output.end(), status: 200, cost: 0 };
        opened.journal.append(record.line().as_bytes()).unwrap();
    }

    #[test]
    fn a_run_is_run_by_one_program_and_begun_once() {
        let dir = tempfile::tempdir().unwrap();
        let files = RunFiles::new(&dir.path().join("out.jsonl"));
        assert!(matches!(files.resume(), Err(FilesError::None)));
        let opened = files.begin(header(3)).unwrap();
        assert!(files.runs() && matches!(files.resume(), Err(FilesError::Runs)));
        assert!(dir.path().join("out.jsonl.spare").exists());
        drop(opened);
        assert!(!files.runs() && matches!(files.begin(header(3)), Err(FilesError::Exists)));
        assert!(!dir.path().join("out.jsonl.spare").exists(), "the room is given back");
    }

    #[test]
    fn an_arranged_output_has_each_row_once_in_order_and_survives_a_kill_at_any_step() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out.jsonl");
        let files = RunFiles::new(&out);
        let mut opened = files.begin(header(3)).unwrap();
        write(&mut opened, 3, "3");
        write(&mut opened, 1, "0");
        write(&mut opened, 2, "2");
        write(&mut opened, 1, "1");
        let before = fs::read(&out).unwrap();
        files.arrange(&opened.lock).unwrap();
        let wanted = [line(1, "1"), line(2, "2"), line(3, "3")].concat();
        assert_eq!(fs::read_to_string(&out).unwrap(), wanted);
        drop(opened);
        // Killed between the record and the replacement.
        fs::rename(&out, dir.path().join("out.jsonl.arranged")).unwrap();
        fs::write(&out, before).unwrap();
        let opened = files.resume().unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), wanted);
        assert_eq!(opened.standings.count(RowState::Answered), 3);
    }

    #[test]
    fn a_full_disk_takes_half_a_line_back_and_the_kept_room_is_there_for_the_last_ones() {
        // /dev/full says on each write that there is no room.
        let full = Path::new("/dev/full");
        if full.exists() {
            let mut disk = Grown::open(full, 0).unwrap();
            assert_eq!(disk.append(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert!(!disk.make_room());
        }
        let bad = Record::Failed { row: 1, end: 0, status: 0, how: FailedHow::Bad };
        assert!(bad.line().ends_with("F 1 0 0 b\n"));
    }
}
