//! `[retention]`: how long what the store holds is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span, fault::Faults};
use crate::lang::text;

/// How long rows are kept. What is open stays however old it is, and no balance changes: charges that go are carried forward as a sum.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// The records of calls, with their charges.
    pub(crate) calls: Span,
    /// Image and video jobs that have ended; never longer than `calls`, whatever is written here.
    pub(crate) tasks: Span,
    /// Requests that were answered with an earlier call's answer; never longer than `calls`, whatever is written here.
    pub(crate) requests: Span,
    /// What keys, callers, accounts and groups used, by the quarter of an hour.
    pub(crate) usage: Span,
    /// What all rows may take of the disk. Beyond it the oldest calls go before their time, down to three days.
    pub(crate) bytes: Size,
}

impl Default for Retention {
    fn default() -> Self {
        let store = weir_store::Retention::default();
        Self {
            calls: Span(store.calls),
            tasks: Span(store.tasks),
            requests: Span(store.requests),
            usage: Span(store.usage),
            bytes: Size(store.bytes),
        }
    }
}

impl Retention {
    pub(crate) fn store(&self) -> weir_store::Retention {
        weir_store::Retention {
            calls: self.calls.0,
            tasks: self.tasks.0,
            requests: self.requests.0,
            usage: self.usage.0,
            bytes: self.bytes.0,
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        let least = Span(weir_store::Retention::LEAST);
        for (name, span) in [("calls", self.calls), ("tasks", self.tasks), ("requests", self.requests), ("usage", self.usage)] {
            if span.0 < least.0 {
                faults.add(
                    format!("retention.{name}"),
                    text!(
                        "至少 {least}:限额和核对要看今天和昨天",
                        "must be at least {least}: limits and the audit look at today and yesterday"
                    ),
                );
            }
        }
    }
}
