//! What the store can refuse, each with the number or name that a person needs.

use std::{io, path::PathBuf};

use weir_core::Amount;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("use the database")]
    Database(#[from] rusqlite::Error),
    #[error("open the database: it was written by a newer weir (schema {found}, this one knows up to {known})")]
    Newer { found: u32, known: u32 },
    #[error("open the database: migration {version} is not the one that was applied")]
    Altered { version: u32 },
    #[error("open the data directory: another gateway is running on it{}", pid.map_or_else(String::new, |pid| format!(" (pid {pid})")))]
    Locked { pid: Option<u32> },
    #[error("read {what}: it is damaged")]
    Damaged { what: &'static str },
    #[error("accept {what}: {why}")]
    NotAValue { what: &'static str, why: &'static str },
    #[error("find account {0}")]
    NoSuchAccount(String),
    #[error("find key {0}")]
    NoSuchKey(String),
    #[error("split key {kid}: {why}")]
    NotToSplit { kid: String, why: SplitRefusal },
    #[error("create account {0}: it exists")]
    AccountExists(String),
    #[error("create key: it exists")]
    KeyExists,
}

impl StoreError {
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

/// Why a key cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SplitRefusal {
    #[error("it was revoked")]
    Revoked,
    #[error("it is disabled")]
    Disabled,
    #[error("it has expired")]
    Expired,
    #[error("it was split from another key")]
    IsChild,
}

/// Every slot of the holds file is taken: too many calls run, or their rows cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("accept a call: all {slots} slots are taken")]
pub struct Full {
    pub slots: u32,
}

/// The balance does not cover the hold; nothing was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reserve: the balance does not cover the hold")]
pub struct Spent {
    /// What was free when it was asked for.
    pub balance: Amount,
    pub asked: Amount,
}

/// Why a key may not be used; never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyRefusal {
    #[error("find the key")]
    Unknown,
    #[error("use the key: it is disabled")]
    Disabled,
    #[error("use the key: it has expired")]
    Expired,
    #[error("use the key: it was revoked")]
    Revoked,
    #[error("use the key from this address")]
    SourceNotAllowed,
}
