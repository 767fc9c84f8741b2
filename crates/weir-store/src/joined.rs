//! Requests that belong to a call which another request began, and the idempotency keys of calls that were charged.

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::Serialize;
use weir_core::{How, KeyId, RequestId, Timestamp};

use crate::StoreError;

/// One request that joined a call or got its replay. No call, no charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JoinedRequest {
    pub id: RequestId,
    /// The call that it belongs to.
    #[serde(skip)]
    pub call: RequestId,
    #[serde(skip)]
    pub kid: KeyId,
    pub at: Timestamp,
    pub how: How,
    /// The HTTP status that it got; 0 while it waits for one.
    pub status: u16,
    /// Whole events handed to its client.
    pub events: u64,
}

/// What a call is known by to whoever repeats it: keyed hashes, see [`crate::Books::digest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyed {
    /// Of its `Idempotency-Key`.
    pub key: [u8; 16],
    /// Of its path and body.
    pub request: [u8; 16],
}

/// How long a charged call's idempotency key is known.
pub(crate) const KNOWN_MS: i64 = 24 * 60 * 60 * 1000;

pub(crate) const KEYED: &str = "SELECT call, request FROM keyed WHERE kid = ?1 AND key = ?2 AND at >= ?3";
pub(crate) const CALL_OF: &str = "SELECT call FROM requests WHERE id = ?1";
pub(crate) const REQUESTS_OF: &str = "SELECT id, kid, at, how, status, events FROM requests WHERE call = ?1 ORDER BY id LIMIT ?2";

pub(crate) fn write_joined(change: &Transaction<'_>, joined: &[&JoinedRequest]) -> Result<(), StoreError> {
    if joined.is_empty() {
        return Ok(());
    }
    let mut row = change.prepare_cached(
        "INSERT INTO requests (id, call, kid, at, how, status, events) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET status = excluded.status, events = excluded.events",
    )?;
    for request in joined {
        let (id, call) = (request.id.to_bytes(), request.call.to_bytes());
        let events = i64::try_from(request.events).unwrap_or(i64::MAX);
        row.execute((&id[..], &call[..], request.kid.as_str(), request.at.0, request.how.label(), request.status, events))?;
    }
    Ok(())
}

/// Makes the key of a call durable, in the transaction of its charge or of its task. Old ones go, some with each that comes.
pub(crate) fn write_keyed(change: &Transaction<'_>, kid: &str, keyed: &Keyed, call: RequestId, at: Timestamp) -> Result<(), StoreError> {
    let mut old =
        change.prepare_cached("DELETE FROM keyed WHERE (kid, key) IN (SELECT kid, key FROM keyed WHERE at < ?1 ORDER BY at LIMIT 16)")?;
    old.execute([at.0.saturating_sub(KNOWN_MS)])?;
    let mut row = change.prepare_cached("INSERT OR REPLACE INTO keyed (kid, key, request, call, at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    row.execute((kid, &keyed.key[..], &keyed.request[..], &call.to_bytes()[..], at.0))?;
    Ok(())
}

pub(crate) fn keyed_call(
    db: &Connection,
    kid: &KeyId,
    key: &[u8; 16],
    since: Timestamp,
) -> Result<Option<(RequestId, [u8; 16])>, StoreError> {
    let mut query = db.prepare_cached(KEYED)?;
    let found = query.query_row((kid.as_str(), &key[..], since.0), |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get(1)?)));
    Ok(found.optional()?.map(|(call, request)| (RequestId::from_bytes(call), request)))
}

/// The call that a joined request belongs to.
pub(crate) fn call_of(db: &Connection, id: RequestId) -> Result<Option<RequestId>, StoreError> {
    let mut query = db.prepare_cached(CALL_OF)?;
    let call: Option<[u8; 16]> = query.query_row([&id.to_bytes()[..]], |row| row.get(0)).optional()?;
    Ok(call.map(RequestId::from_bytes))
}

/// The requests of a call beside its first, oldest first.
pub(crate) fn requests_of(db: &Connection, call: RequestId) -> Result<Vec<JoinedRequest>, StoreError> {
    let mut query = db.prepare_cached(REQUESTS_OF)?;
    let mut rows = query.query((&call.to_bytes()[..], crate::StoredCall::REQUESTS))?;
    let mut requests = Vec::new();
    while let Some(row) = rows.next()? {
        let damaged = || StoreError::Damaged { what: "the row of a joined request" };
        let (kid, how): (String, String) = (row.get(1)?, row.get(3)?);
        requests.push(JoinedRequest {
            id: RequestId::from_bytes(row.get(0)?),
            call,
            kid: KeyId::new(&kid).ok_or_else(damaged)?,
            at: Timestamp(row.get(2)?),
            how: How::from_label(&how).ok_or_else(damaged)?,
            status: row.get(4)?,
            events: row.get::<_, i64>(5)?.unsigned_abs(),
        });
    }
    Ok(requests)
}
