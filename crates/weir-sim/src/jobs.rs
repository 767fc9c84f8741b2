//! The file in which a simulator keeps its jobs over a restart, where it is told to: a provider does not forget what it took because it was restarted.
//!
//! One line for each change of a job, the last one counts. What is written is with the kernel before the answer leaves, so `kill -9` loses nothing.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// Jobs that are kept over a restart; the oldest go first.
const KEPT: usize = 1_000;
/// Lines in the file before it is written anew.
const LINES: usize = 4 * KEPT;
/// A longer line is not kept: no job of a demo has one.
const LINE_BYTES: usize = 4 << 10;

pub(crate) struct JobsFile {
    path: PathBuf,
    file: File,
    lines: usize,
}

/// What can be kept.
pub(crate) trait Kept: Serialize + DeserializeOwned {
    fn id(&self) -> &str;
}

impl JobsFile {
    /// Opens or makes the file; what it keeps, oldest first. A line that a crash cut is no job.
    pub(crate) fn open<J: Kept>(path: &Path) -> io::Result<(Self, VecDeque<J>)> {
        let mut jobs: Vec<J> = Vec::new();
        let mut places = HashMap::new();
        match File::open(path) {
            Ok(file) => {
                for line in BufReader::new(file).lines().take(LINES + 1) {
                    let Ok(job) = serde_json::from_str::<J>(&line?) else { continue };
                    match places.get(job.id()) {
                        Some(place) => jobs[*place] = job,
                        None => {
                            places.insert(job.id().to_owned(), jobs.len());
                            jobs.push(job);
                        }
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let jobs: VecDeque<J> = jobs.split_off(jobs.len().saturating_sub(KEPT)).into();
        let file = write(path, &jobs)?;
        Ok((Self { path: path.to_owned(), file, lines: jobs.len() }, jobs))
    }

    /// Keeps a job as it is now; `all` are those there are, in their order.
    pub(crate) fn keep<J: Kept>(&mut self, job: &J, all: &VecDeque<J>) -> io::Result<()> {
        if self.lines >= LINES {
            let newest = all.iter().skip(all.len().saturating_sub(KEPT));
            self.file = write(&self.path, newest)?;
            self.lines = all.len().min(KEPT);
        }
        let line = line(job)?;
        self.lines += 1;
        self.file.write_all(&line)
    }
}

fn line<J: Kept>(job: &J) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(job)?;
    line.push(b'\n');
    Ok(if line.len() > LINE_BYTES { Vec::new() } else { line })
}

/// Writes the whole file, for its owner only, or leaves the old one.
fn write<'j, J: Kept + 'j>(path: &Path, jobs: impl IntoIterator<Item = &'j J>) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let next = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&next)?;
    for job in jobs {
        file.write_all(&line(job)?)?;
    }
    fs::rename(&next, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Job {
        id: String,
        gone: bool,
    }

    impl Kept for Job {
        fn id(&self) -> &str {
            &self.id
        }
    }

    fn job(n: usize) -> Job {
        Job { id: format!("video_{n}"), gone: false }
    }

    fn path(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("weir-sim-jobs-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir.join("sim-jobs")
    }

    #[test]
    fn jobs_are_there_again_as_they_were_last_whatever_a_crash_cut() {
        let path = path("again");
        let (mut file, mut all) = JobsFile::open::<Job>(&path).unwrap();
        for n in 0..3 {
            all.push_back(job(n));
            file.keep(&all[n], &all).unwrap();
        }
        all[1].gone = true;
        file.keep(&all[1], &all).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (_, found) = JobsFile::open::<Job>(&path).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            // A line that only lacks its end is whole.
            assert!(found.len() == lines.min(3) || found.len() == (lines + 1).min(3), "{cut}: {found:?}");
            // What a crash left behind is no beginning of a next line.
            assert!(fs::read(&path).unwrap().last().is_none_or(|last| *last == b'\n'));
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(JobsFile::open::<Job>(&path).unwrap().1, all);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn the_file_does_not_grow_beyond_its_bound_and_the_newest_stay() {
        let path = path("bound");
        let (mut file, mut all) = JobsFile::open::<Job>(&path).unwrap();
        for n in 0..2 * LINES + 7 {
            all.push_back(job(n));
            file.keep(&all[n], &all).unwrap();
        }
        let lines = fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count();
        assert!(lines <= LINES, "{lines}");
        let found = JobsFile::open::<Job>(&path).unwrap().1;
        assert_eq!((found.len(), found.back()), (KEPT, all.back()));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
