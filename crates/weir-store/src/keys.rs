//! Keys as the store keeps them: a keyed hash, what they may do, and whom they act for.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, types::Type};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use weir_core::{KeyId, Limits, Timestamp};

use crate::{
    StoreError,
    balance::Purse,
    limits::{check_limits, limits_text, read_limits},
    pepper::KeyHash,
    sources::Network,
};

/// What a new key shall be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewKey {
    /// Id or name of the account that pays.
    pub account: String,
    /// ≤ 64 characters of `[\w.-]`.
    pub group: Option<String>,
    /// Models as they are, or `prefix*`; empty allows all of the group.
    pub models: Vec<String>,
    /// Addresses or networks (`10.0.0.0/8`) it may be used from; empty allows all.
    pub sources: Vec<String>,
    pub expires_at: Option<Timestamp>,
    /// Kept here, enforced by the gateway.
    pub limits: Limits,
}

/// Whether a key may be used. `Expired` is told by the time of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Active,
    Disabled,
    Revoked,
}

/// A key as people see it: nothing of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyRow {
    pub kid: KeyId,
    pub account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub models: Vec<String>,
    pub sources: Vec<String>,
    pub created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    pub state: KeyState,
    pub limits: Limits,
    /// Who uses it, if it was split from another key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The key from which it was split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<KeyId>,
}

/// The key from which a principal's key was split: its limits bind all its children and itself together, whether it still may be used or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub kid: KeyId,
    pub limits: Limits,
}

/// Whom an admitted call acts for.
#[derive(Debug)]
pub struct Principal {
    pub kid: KeyId,
    pub account: String,
    pub group: Option<String>,
    /// Models as they are, or `prefix*`; empty allows all of the group.
    pub models: Vec<String>,
    pub limits: Limits,
    /// Who uses the key, if it was split from another.
    pub label: Option<String>,
    /// Set if the key was split from another: a call counts against its limits, too.
    pub parent: Option<Parent>,
    pub account_limits: Limits,
    purse: Arc<Purse>,
}

impl Principal {
    pub(crate) fn new(row: KeyRow, parent: Option<Parent>, account_limits: Limits, purse: Arc<Purse>) -> Self {
        let KeyRow { kid, account, group, models, limits, label, .. } = row;
        Self { kid, account, group, models, limits, label, parent, account_limits, purse }
    }

    pub(crate) fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// Whether the key itself allows `model`; the group is asked elsewhere.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        self.models.is_empty()
            || self.models.iter().any(|allowed| allowed.strip_suffix('*').map_or(allowed == model, |prefix| model.starts_with(prefix)))
    }
}

impl NewKey {
    const MAX_GROUP: usize = 64;
    const MAX_MODEL: usize = 128;
    /// Models, and sources, of one key at most.
    const MAX_ENTRIES: usize = 256;

    /// Says what cannot be kept as it is.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let refuse = |what, why| Err(StoreError::NotAValue { what, why });
        if self.group.as_ref().is_some_and(|group| group.is_empty() || group.len() > Self::MAX_GROUP || !is_word(group, "_.-")) {
            return refuse("a group", "it is 1 to 64 letters, digits, `_`, `.` or `-`");
        }
        if self.models.len() > Self::MAX_ENTRIES || self.sources.len() > Self::MAX_ENTRIES {
            return refuse("a list", "it has more than 256 entries");
        }
        let model = |text: &String| {
            let name = text.strip_suffix('*').unwrap_or(text);
            text.is_empty() || text.len() > Self::MAX_MODEL || !is_word(name, "_.:@/=,-")
        };
        if self.models.iter().any(model) {
            return refuse("a model", "it is 1 to 128 letters, digits or `_.:@/=,-`, with one `*` at the end at most");
        }
        if self.sources.iter().any(|source| Network::parse(source).is_none()) {
            return refuse("a source", "it is an address or a network such as 10.0.0.0/8");
        }
        check_limits(&self.limits)
    }
}

/// Whether a text has only ASCII letters, digits and `more`.
pub(crate) fn is_word(text: &str, more: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// A key about to be kept, without its secret.
#[derive(Debug)]
pub(crate) struct NewRow<'a> {
    /// Id.
    pub(crate) account: &'a str,
    pub(crate) group: Option<&'a str>,
    pub(crate) models: &'a [String],
    pub(crate) sources: &'a [String],
    pub(crate) expires: Option<Timestamp>,
    pub(crate) limits: &'a Limits,
    pub(crate) label: Option<&'a str>,
    pub(crate) parent: Option<&'a KeyId>,
}

/// Keeps a key whose values were checked.
pub(crate) fn insert_key(db: &Connection, kid: &KeyId, hash: &KeyHash, row: &NewRow<'_>, now: Timestamp) -> Result<(), StoreError> {
    let json = |error| StoreError::Database(rusqlite::Error::ToSqlConversionFailure(Box::new(error)));
    let [models, sources] = [row.models, row.sources].map(serde_json::to_string);
    let kept = db.execute(
        "INSERT INTO keys (kid, hash, account, grp, models, sources, created, expires, limits, label, parent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            kid.as_str(),
            &hash[..],
            row.account,
            row.group,
            models.map_err(json)?,
            sources.map_err(json)?,
            now.0,
            row.expires.map(|at| at.0),
            limits_text(row.limits)?,
            row.label,
            row.parent.map(KeyId::as_str),
        ),
    );
    match kept {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Err(StoreError::KeyExists),
        other => Ok(other.map(|_| ())?),
    }
}

const COLUMNS: &str = "kid, account, grp, models, sources, created, expires, disabled, revoked, limits, label, parent, hash";

/// Every key with the hash it is looked up by.
pub(crate) fn read_keys(db: &Connection) -> Result<Vec<(KeyHash, KeyRow)>, StoreError> {
    let mut keys = db.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY created, kid"))?;
    let rows = keys.query_map([], |row| Ok((row.get(12)?, read_key(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn find_key(db: &Connection, kid: &KeyId) -> Result<Option<KeyRow>, StoreError> {
    let mut key = db.prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE kid = ?1"))?;
    Ok(key.query_row([kid.as_str()], read_key).optional()?)
}

/// The keys that were split from this one, oldest first.
pub(crate) fn children_of(db: &Connection, parent: &KeyId) -> Result<Vec<KeyRow>, StoreError> {
    let mut keys = db.prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE parent = ?1 ORDER BY created, label, kid"))?;
    let rows = keys.query_map([parent.as_str()], read_key)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let kid = KeyId::new(row.get_ref(0)?.as_str()?).ok_or_else(|| rusqlite::Error::InvalidColumnType(0, "kid".to_owned(), Type::Text))?;
    let disabled: bool = row.get(7)?;
    let revoked: Option<i64> = row.get(8)?;
    let state = match (revoked, disabled) {
        (Some(_), _) => KeyState::Revoked,
        (None, true) => KeyState::Disabled,
        (None, false) => KeyState::Active,
    };
    Ok(KeyRow {
        kid,
        account: row.get(1)?,
        group: row.get(2)?,
        models: json(row, 3)?,
        sources: json(row, 4)?,
        created: Timestamp(row.get(5)?),
        expires: row.get::<_, Option<i64>>(6)?.map(Timestamp),
        state,
        limits: read_limits(row.get_ref(9)?.as_str()?, 9)?,
        label: row.get(10)?,
        parent: row.get_ref(11)?.as_str_or_null()?.and_then(KeyId::new),
    })
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
