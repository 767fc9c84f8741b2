//! The keyed hash that a key is looked up by. Its key, the pepper, lies beside the database and not in it: a stolen database alone finds no key.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use weir_core::ApiKey;

use crate::StoreError;

const FILE: &str = "pepper";
const BYTES: usize = 32;

/// What the store looks a key up by.
pub(crate) type KeyHash = [u8; 32];

/// HMAC-SHA-256 that has taken in the pepper already, so a hash costs the key's own blocks only.
#[derive(Clone)]
pub(crate) struct Pepper(Hmac<Sha256>);

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper")
    }
}

impl Pepper {
    /// Reads the pepper of `dir`; the first to ask makes it from the system's dice.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(dir, &path).map_err(StoreError::file("make", &path))?,
            other => other.map_err(StoreError::file("read", &path))?,
        };
        if bytes.len() != BYTES {
            return Err(StoreError::Damaged { what: "the pepper" });
        }
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| StoreError::Damaged { what: "the pepper" })
    }

    /// A digest by which equal texts are known and none is told. Cannot be mistaken for a key's.
    pub(crate) fn digest(&self, text: &[u8]) -> KeyHash {
        let mut mac = self.0.clone();
        mac.update(b"\0body\0");
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn hash(&self, key: &ApiKey) -> KeyHash {
        let mut mac = self.0.clone();
        mac.update(key.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Writes a whole pepper under another name first: of two processes that start at once, both end with the one that came first.
fn make(dir: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let draft = dir.join(format!("{FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::read(path),
    }
}
