//! Files that only grow: what was written whole stays, what was not is taken back.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// A file that is appended to.
pub trait Disk: Send {
    /// Writes all of it, or nothing: after an error the file is as long as before.
    ///
    /// # Errors
    /// There is no room, or the disk fails.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What was written outlives a loss of power.
    ///
    /// # Errors
    /// The disk fails.
    fn sync(&mut self) -> io::Result<()>;

    /// Gives room back that was kept for this moment; `false` if there is none left to give.
    fn make_room(&mut self) -> bool;

    /// How many bytes it has.
    fn end(&self) -> u64;
}

/// Room that is kept free beside the file, so that answers on their way can still be written when the disk is full, in bytes.
const SPARE_BYTES: usize = 4 << 20;

/// A file on a real disk.
#[derive(Debug)]
pub struct Grown {
    file: File,
    len: u64,
    spare: Option<PathBuf>,
}

impl Grown {
    /// Opens or makes the file, cuts it to `len` bytes, and appends from there.
    ///
    /// # Errors
    /// It cannot be opened, or is shorter than that.
    pub fn open(path: &Path, len: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
        if file.metadata()?.is_file() {
            file.set_len(len)?;
            file.seek(SeekFrom::Start(len))?;
        }
        Ok(Self { file, len, spare: None })
    }

    /// Keeps room in a file beside it, as long as this lives.
    ///
    /// # Errors
    /// There is no room even for that.
    pub fn with_spare(mut self, path: &Path) -> io::Result<Self> {
        let mut spare = File::create(path)?;
        self.spare = Some(path.to_owned());
        // Written, not only sized: holes take no room.
        spare.write_all(&vec![0x20; SPARE_BYTES])?;
        Ok(self)
    }
}

impl Disk for Grown {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Half a line is worse than none; what cannot be cut is cut by the next start.
            let _ = self.file.set_len(self.len).and_then(|()| self.file.seek(SeekFrom::Start(self.len)));
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn make_room(&mut self) -> bool {
        self.spare.take().is_some_and(|path| std::fs::remove_file(path).is_ok())
    }

    fn end(&self) -> u64 {
        self.len
    }
}

impl Drop for Grown {
    fn drop(&mut self) {
        self.make_room();
    }
}

#[cfg(test)]
pub(crate) mod memory {
    //! Files in memory with as much room as a test gives them.

    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    pub(crate) struct Sheet {
        pub(crate) bytes: Arc<Mutex<Vec<u8>>>,
        pub(crate) room: Option<usize>,
        pub(crate) spare: usize,
    }

    impl Disk for Sheet {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let mut sheet = self.bytes.lock().unwrap();
            if self.room.is_some_and(|room| sheet.len() + bytes.len() > room) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            sheet.extend_from_slice(bytes);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn make_room(&mut self) -> bool {
            let spare = std::mem::take(&mut self.spare);
            self.room = self.room.map(|room| room + spare);
            spare > 0
        }

        fn end(&self) -> u64 {
            self.bytes.lock().unwrap().len() as u64
        }
    }
}
