//! The holds file: one slot of 512 bytes for each call that runs or waits for its row. Taking, filling and ending a slot costs memory stores only.

mod map;
mod slot;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{FallocateFlags, fallocate};

pub(crate) use self::slot::{Found, Slot, SlotState, Who, end_by_restart};
use self::{
    map::Map,
    slot::{SLOT_BYTES, SLOT_WORDS, Words, read_slot},
};
use crate::{Full, StoreError};

pub(crate) const FILE: &str = "holds";
/// A page of its own for the header, so that slots never share a page with it.
const HEADER_BYTES: usize = 4096;
const HEADER_WORDS: usize = HEADER_BYTES / 8;
/// "weirhold" version 1, and the order of bytes.
const MAGIC: u64 = u64::from_le_bytes(*b"weirhd01");
const AT_MAGIC: usize = 0;
/// How many slots from the first were ever taken since the last sweep: nobody reads further.
const AT_HIGH: usize = 1;

/// The running gateway's side of the file.
#[derive(Debug)]
pub(crate) struct Holds {
    map: Map,
    slots: u32,
    free: Mutex<Free>,
}

/// Slots that may be taken. Last returned, first taken: few pages are touched, and those stay warm.
#[derive(Debug, Default)]
struct Free {
    returned: Vec<u32>,
    /// The first slot that was never taken.
    fresh: u32,
}

impl Holds {
    /// Makes or reuses the file with `slots` slots, all free. What [`read`] found before must be committed by now.
    pub(crate) fn open(dir: &Path, slots: u32) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let fail = |error| StoreError::file("prepare", &path)(error);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(fail)?;
        let swept = high_water(&file).map_err(fail)?.unwrap_or(0);
        let bytes = HEADER_BYTES + slots.max(swept) as usize * SLOT_BYTES;
        allocate(&file, bytes as u64).map_err(fail)?;
        let map = Map::new(file, bytes).map_err(fail)?;
        let holds = Self { map, slots, free: Mutex::default() };
        for slot in 0..swept {
            holds.slot(slot).free();
        }
        let words = holds.map.words();
        words[AT_HIGH].store(0, Ordering::Release);
        words[AT_MAGIC].store(MAGIC, Ordering::Release);
        Ok(holds)
    }

    /// Takes a free slot.
    pub(crate) fn take(&self) -> Result<u32, Full> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = free.returned.pop() {
            return Ok(slot);
        }
        let slot = free.fresh;
        if slot == self.slots {
            return Err(Full { slots: self.slots });
        }
        free.fresh += 1;
        self.map.words()[AT_HIGH].store(u64::from(free.fresh), Ordering::Release);
        Ok(slot)
    }

    /// Frees slots whose calls have their rows.
    pub(crate) fn put_back(&self, slots: impl Iterator<Item = u32>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots {
            self.slot(slot).free();
            free.returned.push(slot);
        }
    }

    pub(crate) fn slot(&self, index: u32) -> Slot<'_> {
        let from = HEADER_WORDS + index as usize * SLOT_WORDS;
        Slot::new(&self.map.words()[from..from + SLOT_WORDS])
    }
}

/// Gives the file its blocks now: a later store to a hole on a full disk would kill the process.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // File systems without fallocate get zeros behind what is there.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let mut at = file.metadata()?.len();
            let zeros = [0; HEADER_BYTES];
            while at < bytes {
                let len = usize::try_from((bytes - at).min(HEADER_BYTES as u64)).unwrap_or(HEADER_BYTES);
                file.write_all_at(&zeros[..len], at)?;
                at += len as u64;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// How many slots were ever taken; `None` if the file is new.
fn high_water(file: &File) -> io::Result<Option<u32>> {
    let mut header = [0; 16];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let [magic, high] = [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|i| header[at + i])));
    match magic {
        0 => Ok(None),
        MAGIC => {
            let fits = file.metadata()?.len().saturating_sub(HEADER_BYTES as u64) / SLOT_BYTES as u64;
            Ok(Some(u32::try_from(high.min(fits)).unwrap_or(u32::MAX)))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a holds file of this version")),
    }
}

/// What the file says now, read with ordinary reads: the sweep's and other processes' view. Also counts slots that cannot be understood.
pub(crate) fn read(dir: &Path) -> Result<(Vec<Found>, u32), StoreError> {
    read_where(dir, |_| true)
}

/// The slots whose call has ended and waits for its row.
pub(crate) fn read_ended(dir: &Path) -> Result<Vec<Found>, StoreError> {
    Ok(read_where(dir, |state| state == SlotState::Ended as u64)?.0)
}

fn read_where(dir: &Path, wanted: impl Fn(u64) -> bool) -> Result<(Vec<Found>, u32), StoreError> {
    /// Slots looked at with one read.
    const STRIDE: u32 = 128;
    let path = dir.join(FILE);
    let fail = |error| StoreError::file("read", &path)(error);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        other => other.map_err(fail)?,
    };
    let mut found = Vec::new();
    let mut damaged = 0;
    let high = high_water(&file).map_err(fail)?.unwrap_or(0);
    let mut glance = vec![0; STRIDE as usize * SLOT_BYTES];
    for first in (0..high).step_by(STRIDE as usize) {
        let slots = STRIDE.min(high - first);
        let glance = &mut glance[..slots as usize * SLOT_BYTES];
        file.read_exact_at(glance, offset(first)).map_err(fail)?;
        for (index, bytes) in (first..).zip(glance.chunks_exact(SLOT_BYTES)) {
            let state = words_of(bytes)[slot::AT_STATE];
            if state == 0 || !wanted(state) {
                continue;
            }
            match read_steady(&file, index).map_err(fail)?.map(|words| read_slot(&words)) {
                Some(Ok(Some(slot))) => found.push(slot),
                Some(Ok(None)) | None => {}
                Some(Err(_)) => damaged += 1,
            }
        }
    }
    Ok((found, damaged))
}

/// Reads one slot that a gateway may be writing: a slot that changed hands between two reads is read again, and left out if it never rests.
fn read_steady(file: &File, index: u32) -> io::Result<Option<Words>> {
    const TRIES: u8 = 3;
    let mut before = read_words(file, index)?;
    for _ in 0..TRIES {
        if before[slot::AT_STATE] == 0 {
            return Ok(None);
        }
        let after = read_words(file, index)?;
        if before[slot::AT_STATE..slot::AT_AT] == after[slot::AT_STATE..slot::AT_AT] {
            return Ok(Some(after));
        }
        before = after;
    }
    Ok(None)
}

fn read_words(file: &File, index: u32) -> io::Result<Words> {
    let mut bytes = [0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, offset(index))?;
    Ok(words_of(&bytes))
}

/// Where a slot begins.
fn offset(index: u32) -> u64 {
    HEADER_BYTES as u64 + u64::from(index) * SLOT_BYTES as u64
}

fn words_of(bytes: &[u8]) -> Words {
    let mut words: Words = [0; SLOT_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(std::array::from_fn(|i| bytes[i]));
    }
    words
}

/// Words of memory as a slot has them; a type so that tests may make slots without a file.
pub(crate) type SlotMemory = [AtomicU64];
