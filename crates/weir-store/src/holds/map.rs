//! The holds file as a row of words in memory. The only unsafe code of the store is here.
//!
//! A store to a word is a store to the kernel's page cache: it outlives the process, whatever kills it. One process maps the file (the data directory's
//! lock sees to that), and each slot has one writer; other processes read the file with ordinary reads.

use std::{fs::File, io, sync::atomic::AtomicU64};

use memmap2::MmapRaw;

/// A file mapped as words of eight bytes. Keeps the file open and never shorter than the map.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    _file: File,
}

impl Map {
    /// Maps the first `bytes` of `file`, which must be that long and allocated: a hole could not be filled on a full disk, and the process would die of it.
    pub(crate) fn new(file: File, bytes: usize) -> io::Result<Self> {
        if file.metadata()?.len() < bytes as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than its map"));
        }
        let raw = memmap2::MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Self { raw, _file: file })
    }

    /// All words of the map.
    #[expect(unsafe_code, reason = "memory-mapped words are reached through a raw pointer; this is the one place")]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the pointer is page-aligned, so aligned for u64; `len()` bytes are mapped readable and writable for as long as `self.raw` lives, which
        // the returned borrow ensures; any bit pattern is a valid AtomicU64; every access is atomic, so other mappings of the file cannot make a data race.
        // The file is not truncated while mapped: only the process that holds the data directory's lock touches its length, and it only ever grows it.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().cast::<AtomicU64>(), self.raw.len() / 8) }
    }
}
