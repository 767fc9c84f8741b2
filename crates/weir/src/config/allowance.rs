//! What the keys of a group may use together, and what a channel may ask of its upstream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Money, fault::Faults};
use crate::lang::text;

/// Limits; what is left out is not limited.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Allowance {
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute, input and output together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub(crate) tpm: Option<u64>,
    /// Calls running at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) concurrency: Option<u64>,
    /// Requests per civil day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub(crate) daily_requests: Option<u64>,
    /// Tokens per civil day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64))]
    pub(crate) daily_tokens: Option<u64>,
    /// What may be spent per civil day, in units of the accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) daily_amount: Option<Money>,
    /// The zone of the civil day, such as `Asia/Shanghai`; UTC without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
}

/// What a channel may ask of its upstream, so that the upstream need not refuse. Its quota of a day is the upstream's business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChannelLimits {
    /// Requests per minute, retries included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute, input and output together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub(crate) tpm: Option<u64>,
    /// Attempts running at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) concurrency: Option<u64>,
}

impl ChannelLimits {
    /// As the gateway takes them.
    pub(crate) fn limits(&self) -> weir_core::Limits {
        weir_core::Limits { rpm: self.rpm, tpm: self.tpm, concurrency: self.concurrency, ..weir_core::Limits::default() }
    }
}

impl Allowance {
    /// As the gateway takes it.
    pub(crate) fn limits(&self) -> weir_core::Limits {
        weir_core::Limits {
            rpm: self.rpm,
            tpm: self.tpm,
            concurrency: self.concurrency,
            daily_requests: self.daily_requests,
            daily_tokens: self.daily_tokens,
            daily_amount: self.daily_amount.map(|money| money.0),
            zone: self.zone.clone(),
        }
    }

    /// What the schema cannot tell.
    pub(crate) fn check(&self, path: &str, faults: &mut Faults) {
        if self.zone.as_deref().is_some_and(|zone| weir_core::limit::zone(zone).is_none()) {
            let hint = text!("写 IANA 时区名,例如 Asia/Shanghai", "write an IANA zone such as Asia/Shanghai");
            faults.add_with_hint(format!("{path}.zone"), text!("没有这个时区", "is no time zone"), hint);
        }
    }
}
