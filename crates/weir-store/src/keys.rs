//! Keys as the store keeps them: a keyed hash, what they may do, and whom they act for.

use serde::{Deserialize, Serialize};
use weir_core::{KeyId, Timestamp};

/// Limits of one key. Stored and shown here; enforced by the gateway's limiter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyLimits {
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Tokens per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Calls running at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_tokens: Option<u64>,
    /// Nano-units per civil day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_amount: Option<u64>,
    /// The zone of the civil day, such as `Asia/Shanghai`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

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
    pub limits: KeyLimits,
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
    pub limits: KeyLimits,
}

/// Whom an admitted call acts for.
#[derive(Debug)]
pub struct Principal {
    pub kid: KeyId,
    pub account: String,
    pub group: Option<String>,
    /// Models as they are, or `prefix*`; empty allows all of the group.
    pub models: Vec<String>,
    pub limits: KeyLimits,
}

impl Principal {
    /// Whether the key itself allows `model`; the group is asked elsewhere.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        self.models.is_empty()
            || self.models.iter().any(|allowed| allowed.strip_suffix('*').map_or(allowed == model, |prefix| model.starts_with(prefix)))
    }
}
