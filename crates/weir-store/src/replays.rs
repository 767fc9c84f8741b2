//! Kept answers as files that only their caller's key opens. weir keeps a keyed hash of an API key, never the key: what lies here can be
//! read by nobody until a request brings that key again, the operator included.
//!
//! Bounded in files, bytes and time; the oldest go first. A file that cannot be read or opened is none.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use weir_core::{ApiKey, RequestId, Timestamp};

use crate::StoreError;

/// Below the data directory: answers for whoever repeats a request, and results of tasks for whoever submitted one.
const FOLDER: &str = "replays";
const RESULTS: &str = "results";
/// What a file begins with: its form, until when it may be read (milliseconds, little-endian), how it may be read, and its call.
const FORM: &[u8; 4] = b"wrp1";
const HEAD_BYTES: usize = FORM.len() + 8 + 1 + 16;
const PURPOSE: &[u8] = b"weir: an answer kept for whoever repeats its request";

/// By what a kept answer is found: a keyed hash of what its request said.
pub type ReplayName = [u8; 16];

/// Bounds of all files together.
#[derive(Debug, Clone, Copy)]
pub struct ReplayTerms {
    pub bytes: u64,
    pub files: usize,
}

/// The key of one call's answer, made from its caller's API key. Cannot be printed, nor turned back.
pub struct ReplayKey {
    call: RequestId,
    key: LessSafeKey,
}

impl std::fmt::Debug for ReplayKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplayKey")
    }
}

impl ReplayKey {
    /// One call has one answer, so each key closes one file and fixed nonces are safe.
    #[must_use]
    pub fn of(key: &ApiKey, call: RequestId) -> Option<Self> {
        let salt = Salt::new(HKDF_SHA256, &call.to_bytes());
        let made = salt.extract(key.expose().as_bytes());
        let key = made.expand(&[PURPOSE], &CHACHA20_POLY1305).ok()?;
        Some(Self { call, key: LessSafeKey::new(UnboundKey::from(key)) })
    }

    /// An answer is closed once, and once more where it turns out not to have arrived.
    fn nonce(left: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[0] = u8::from(left);
        Nonce::assume_unique_for_key(nonce)
    }

    /// What is in a file that this key closed.
    fn open(&self, name: &ReplayName, mut file: Vec<u8>) -> Option<Replayed> {
        let mut sealed = file.split_off(HEAD_BYTES);
        let (call, until, left) = read_head(&file)?;
        let plain = self.key.open_in_place(Self::nonce(left), Aad::from([&file[..], name].concat()), &mut sealed).ok()?.len();
        sealed.truncate(plain);
        Some(Replayed { call, until, left, answer: sealed })
    }
}

/// A kept answer in plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    pub call: RequestId,
    pub until: Timestamp,
    /// Its client left before it was delivered.
    pub left: bool,
    pub answer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    until: Timestamp,
    bytes: u64,
    left: bool,
}

#[derive(Debug, Default)]
struct Index {
    entries: HashMap<ReplayName, Entry>,
    by_end: BTreeSet<(Timestamp, ReplayName)>,
    bytes: u64,
}

impl Index {
    fn remove(&mut self, name: &ReplayName) -> bool {
        let Some(entry) = self.entries.remove(name) else { return false };
        self.by_end.remove(&(entry.until, *name));
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        true
    }

    fn add(&mut self, name: ReplayName, entry: Entry) {
        self.remove(&name);
        self.bytes += entry.bytes;
        self.by_end.insert((entry.until, name));
        self.entries.insert(name, entry);
    }
}

/// All kept answers of one data directory.
#[derive(Debug)]
pub struct Replays {
    folder: PathBuf,
    terms: ReplayTerms,
    index: Mutex<Index>,
}

impl Replays {
    /// Opens the folder in `data`, removes what is too old or no replay, and learns of the rest.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(data: &Path, terms: ReplayTerms, now: Timestamp) -> Result<Self, StoreError> {
        Self::open_at(data.join(FOLDER), terms, now)
    }

    /// The same for results of tasks, which have a folder and bounds of their own.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn results(data: &Path, terms: ReplayTerms, now: Timestamp) -> Result<Self, StoreError> {
        Self::open_at(data.join(RESULTS), terms, now)
    }

    fn open_at(folder: PathBuf, terms: ReplayTerms, now: Timestamp) -> Result<Self, StoreError> {
        crate::schema::make_dir(&folder)?;
        let replays = Self { folder, terms, index: Mutex::default() };
        let read = fs::read_dir(&replays.folder).map_err(StoreError::file("read", &replays.folder))?;
        for file in read.flatten() {
            let found = name_of(&file.file_name().to_string_lossy()).and_then(|name| Some((name, entry_of(&file.path())?)));
            match found {
                Some((name, entry)) => replays.lock().add(name, entry),
                None => drop(fs::remove_file(file.path())),
            }
        }
        replays.expire(now);
        Ok(replays)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &ReplayName) -> PathBuf {
        let mut file = String::with_capacity(32);
        for byte in name {
            let _ = write!(file, "{byte:02x}");
        }
        self.folder.join(file)
    }

    /// Whether there is an answer of this name; `left`: only one whose client had left. Touches no disk.
    #[must_use]
    pub fn has(&self, name: &ReplayName, left: bool, now: Timestamp) -> bool {
        self.lock().entries.get(name).is_some_and(|entry| entry.until > now && (entry.left || !left))
    }

    /// Keeps an answer in place of an older one of that name. Writes a file: not for a thread that serves streams.
    ///
    /// # Errors
    /// If it cannot be written; then nothing of it is kept.
    pub fn put(&self, name: ReplayName, key: &ReplayKey, replayed: Replayed) -> Result<(), StoreError> {
        let Replayed { until, left, answer, .. } = replayed;
        let mut sealed = answer;
        let head = head(key.call, until, left);
        let aad = Aad::from([&head[..], &name].concat());
        key.key
            .seal_in_place_append_tag(ReplayKey::nonce(left), aad, &mut sealed)
            .map_err(|_| StoreError::Damaged { what: "an answer" })?;
        let bytes = (head.len() + sealed.len()) as u64;
        if bytes > self.terms.bytes {
            return Ok(());
        }
        self.make_room(bytes);
        let path = self.path(&name);
        let half = path.with_extension("part");
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half).and_then(|mut file| {
            file.write_all(&head)?;
            file.write_all(&sealed)?;
            fs::rename(&half, &path)
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&half);
            return Err(StoreError::file("write", &path)(error));
        }
        self.lock().add(name, Entry { until, bytes, left });
        Ok(())
    }

    /// The answer of this name, if this caller's key opens it and its time is not over. Reads a file.
    #[must_use]
    pub fn get(&self, name: &ReplayName, key: &ApiKey, now: Timestamp) -> Option<Replayed> {
        let file = fs::read(self.path(name)).ok().filter(|file| file.len() >= HEAD_BYTES)?;
        let (call, ..) = read_head(&file)?;
        ReplayKey::of(key, call)?.open(name, file).filter(|replayed| replayed.until > now)
    }

    /// The answer of this name left and did not arrive: it is for whoever asks for it again. Writes a file; nothing where it is another call's by now.
    ///
    /// # Errors
    /// If it cannot be written; then it stays as it was, or is gone.
    pub fn lose(&self, name: &ReplayName, key: &ReplayKey) -> Result<(), StoreError> {
        let file = fs::read(self.path(name)).ok().filter(|file| file.len() >= HEAD_BYTES);
        let Some(replayed) = file.and_then(|file| key.open(name, file)).filter(|replayed| !replayed.left) else { return Ok(()) };
        self.put(*name, key, Replayed { left: true, ..replayed })
    }

    /// Removes what is too old. Cheap while there is nothing.
    pub fn expire(&self, now: Timestamp) {
        loop {
            let mut index = self.lock();
            let Some((_, name)) = index.by_end.first().copied().filter(|(until, _)| *until <= now) else { return };
            index.remove(&name);
            drop(index);
            let _ = fs::remove_file(self.path(&name));
        }
    }

    fn make_room(&self, bytes: u64) {
        loop {
            let mut index = self.lock();
            if index.entries.len() < self.terms.files && index.bytes + bytes <= self.terms.bytes {
                return;
            }
            let Some((_, oldest)) = index.by_end.first().copied() else { return };
            index.remove(&oldest);
            drop(index);
            let _ = fs::remove_file(self.path(&oldest));
        }
    }
}

fn head(call: RequestId, until: Timestamp, left: bool) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(FORM);
    head[4..12].copy_from_slice(&until.0.to_le_bytes());
    head[12] = u8::from(left);
    head[13..].copy_from_slice(&call.to_bytes());
    head
}

fn read_head(head: &[u8]) -> Option<(RequestId, Timestamp, bool)> {
    let rest = head.strip_prefix(FORM)?;
    let until = Timestamp(i64::from_le_bytes(rest.get(..8)?.try_into().ok()?));
    Some((RequestId::from_bytes(rest.get(9..25)?.try_into().ok()?), until, *rest.get(8)? == 1))
}

fn entry_of(path: &Path) -> Option<Entry> {
    let mut head = [0; HEAD_BYTES];
    let mut file = fs::File::open(path).ok()?;
    io::Read::read_exact(&mut file, &mut head).ok()?;
    let (_, until, left) = read_head(&head)?;
    Some(Entry { until, bytes: file.metadata().ok()?.len(), left })
}

fn name_of(file: &str) -> Option<ReplayName> {
    let mut name = [0; 16];
    if file.len() != 32 || !file.is_ascii() {
        return None;
    }
    for (byte, digits) in name.iter_mut().zip(0..16) {
        *byte = u8::from_str_radix(file.get(digits * 2..digits * 2 + 2)?, 16).ok()?;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LATER: Timestamp = Timestamp(2_000_000);

    fn id(n: u8) -> RequestId {
        RequestId::from_bytes([n; 16])
    }

    fn api_key(n: u8) -> ApiKey {
        ApiKey::mint(&[n; 64]).0
    }

    fn answer(n: u8, text: &str) -> Replayed {
        Replayed { call: id(n), until: LATER, left: n % 2 == 1, answer: text.as_bytes().to_vec() }
    }

    fn put(replays: &Replays, n: u8, text: &str) {
        replays.put([n; 16], &ReplayKey::of(&api_key(7), id(n)).unwrap(), answer(n, text)).unwrap();
    }

    fn open(dir: &Path, bytes: u64, files: usize) -> Replays {
        Replays::open(dir, ReplayTerms { bytes, files }, NOW).unwrap()
    }

    #[test]
    fn d3_an_answer_comes_back_to_its_callers_key_and_to_no_other_after_a_restart_too() {
        let dir = tempfile::tempdir().unwrap();
        put(&open(dir.path(), 10_000, 10), 1, "a violet lantern");
        let replays = open(dir.path(), 10_000, 10);
        assert!(replays.has(&[1; 16], true, NOW) && !replays.has(&[1; 16], true, LATER));
        assert_eq!(replays.get(&[1; 16], &api_key(7), NOW), Some(answer(1, "a violet lantern")));
        assert_eq!(replays.get(&[1; 16], &api_key(8), NOW), None);
        assert_eq!(replays.get(&[1; 16], &api_key(7), LATER), None, "its time is over");
        // Put where another answer was looked for, or changed by one bit, it is none.
        fs::copy(replays.path(&[1; 16]), replays.path(&[2; 16])).unwrap();
        assert_eq!(replays.get(&[2; 16], &api_key(7), NOW), None);
        let whole = fs::read(replays.path(&[1; 16])).unwrap();
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            fs::write(replays.path(&[1; 16]), &bent).unwrap();
            assert_eq!(replays.get(&[1; 16], &api_key(7), NOW), None, "byte {at}");
        }
    }

    #[test]
    fn d3_an_answer_that_did_not_arrive_is_for_whoever_asks_again_after_a_restart_too() {
        let dir = tempfile::tempdir().unwrap();
        let replays = open(dir.path(), 10_000, 10);
        put(&replays, 2, "a violet lantern");
        let key = ReplayKey::of(&api_key(7), id(2)).unwrap();
        let before = fs::read(replays.path(&[2; 16])).unwrap();
        assert!(!replays.has(&[2; 16], true, NOW));
        replays.lose(&[2; 16], &ReplayKey::of(&api_key(7), id(3)).unwrap()).unwrap();
        assert!(!replays.has(&[2; 16], true, NOW), "it is another call's");
        replays.lose(&[2; 16], &key).unwrap();
        let once = fs::read(replays.path(&[2; 16])).unwrap();
        assert!(before[HEAD_BYTES..].iter().zip(&once[HEAD_BYTES..]).filter(|(a, b)| a == b).count() < before.len() / 2, "another nonce");
        replays.lose(&[2; 16], &key).unwrap();
        assert_eq!(fs::read(replays.path(&[2; 16])).unwrap(), once);
        let replays = open(dir.path(), 10_000, 10);
        assert!(replays.has(&[2; 16], true, NOW));
        assert_eq!(replays.get(&[2; 16], &api_key(7), NOW), Some(Replayed { left: true, ..answer(2, "a violet lantern") }));
        replays.lose(&[5; 16], &key).unwrap();
    }

    #[test]
    fn d3_kept_answers_are_bounded_in_bytes_files_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(dir.path().join(FOLDER)).unwrap().count();
        let replays = open(dir.path(), 400, 3);
        for n in 1..=5 {
            put(&replays, n, "lantern");
            assert!(count() <= 3 && replays.lock().bytes <= 400);
        }
        assert!(!replays.has(&[2; 16], false, NOW) && replays.has(&[5; 16], false, NOW));
        put(&replays, 6, &"x".repeat(300));
        assert!(replays.lock().bytes <= 400 && replays.has(&[6; 16], false, NOW));
        put(&replays, 8, &"x".repeat(401));
        assert!(!replays.has(&[8; 16], false, NOW) && replays.has(&[6; 16], false, NOW), "no answer takes the place of all");
        fs::write(dir.path().join(FOLDER).join("half.part"), "half").unwrap();
        drop(replays);
        let late = Replays::open(dir.path(), ReplayTerms { bytes: 400, files: 3 }, LATER).unwrap();
        assert_eq!((count(), late.lock().bytes), (0, 0));
    }
}
