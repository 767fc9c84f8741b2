//! One key becomes several: children that work like their parent, each with a label and limits of its own.
//!
//! The parent goes on working, so nobody has to change at once. A child's call counts against the child's limits and against its parent's: the family
//! as a whole may use what the parent alone could. A parent that is revoked, disabled or expired stops only itself; its limits still bound the family.

use std::collections::HashSet;

use rusqlite::{Connection, TransactionBehavior};
use weir_core::{ApiKey, KeyId, Limits, Timestamp};

use crate::{
    KeyRow, KeyState, SplitRefusal, Store, StoreError,
    keys::{NewRow, children_of, find_key, insert_key, is_word},
    limits::check_limits,
};

/// What a key that is split from another shall be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewChild {
    /// Who is to use it: 1 to 64 letters, digits, `_`, `.` or `-`, once in a family.
    pub label: String,
    pub limits: Limits,
}

impl NewChild {
    /// Characters of a label.
    pub const MAX_LABEL: usize = 64;

    fn check(&self) -> Result<(), StoreError> {
        if self.label.is_empty() || self.label.len() > Self::MAX_LABEL || !is_word(&self.label, "_.-") {
            return Err(StoreError::NotAValue { what: "a label", why: "it is 1 to 64 letters, digits, `_`, `.` or `-`" });
        }
        check_limits(&self.limits)
    }
}

impl Store {
    /// Children that one key may have, revoked ones included.
    pub const MAX_CHILDREN: usize = 256;

    /// Splits a key: each child gets its parent's account, group, models, sources and expiry, and a label and limits of its own. All are made or none.
    /// The keys are returned this once, in the order of `children`; `dice` is asked once for each.
    ///
    /// # Errors
    /// [`StoreError::NotToSplit`] if the key is a child itself, or may not be used; [`StoreError::NotAValue`] for labels and limits.
    pub fn split_key(
        &self,
        parent: &KeyId,
        children: &[NewChild],
        dice: &mut dyn FnMut() -> [u8; 64],
        now: Timestamp,
    ) -> Result<Vec<(ApiKey, KeyId)>, StoreError> {
        children.iter().try_for_each(NewChild::check)?;
        let mut db = self.db();
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let parent = find_key(&change, parent)?.ok_or_else(|| StoreError::NoSuchKey(parent.to_string()))?;
        may_split(&parent, now)?;
        check_family(&change, &parent.kid, children)?;
        let mut made = Vec::with_capacity(children.len());
        for child in children {
            let (key, kid) = ApiKey::mint(&dice());
            let row = NewRow {
                account: &parent.account,
                group: parent.group.as_deref(),
                models: &parent.models,
                sources: &parent.sources,
                expires: parent.expires,
                limits: &child.limits,
                label: Some(&child.label),
                parent: Some(&parent.kid),
            };
            insert_key(&change, &kid, &self.hash(&key), &row, now)?;
            made.push((key, kid));
        }
        change.commit()?;
        Ok(made)
    }

    /// The keys that were split from a key, oldest first.
    pub fn children(&self, parent: &KeyId) -> Result<Vec<KeyRow>, StoreError> {
        children_of(&self.db(), parent)
    }
}

fn may_split(parent: &KeyRow, now: Timestamp) -> Result<(), StoreError> {
    let why = match parent.state {
        KeyState::Revoked => SplitRefusal::Revoked,
        KeyState::Disabled => SplitRefusal::Disabled,
        KeyState::Active if parent.expires.is_some_and(|at| at <= now) => SplitRefusal::Expired,
        KeyState::Active if parent.parent.is_some() => SplitRefusal::IsChild,
        KeyState::Active => return Ok(()),
    };
    Err(StoreError::NotToSplit { kid: parent.kid.to_string(), why })
}

/// A label names one key that works; a revoked one's may be given again.
fn check_family(db: &Connection, parent: &KeyId, children: &[NewChild]) -> Result<(), StoreError> {
    let family = children_of(db, parent)?;
    if children.is_empty() || family.len().saturating_add(children.len()) > Store::MAX_CHILDREN {
        return Err(StoreError::NotAValue { what: "a split", why: "a key has 1 to 256 children" });
    }
    let mut labels: HashSet<&str> =
        family.iter().filter(|key| key.state != KeyState::Revoked).filter_map(|key| key.label.as_deref()).collect();
    if children.iter().all(|child| labels.insert(&child.label)) {
        return Ok(());
    }
    Err(StoreError::NotAValue { what: "a label", why: "another key of this family has it" })
}
