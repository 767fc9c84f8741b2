//! What a record says of the limit that refused a call, and of the caller. Only what the call's own row knows: asked again later, it says the same.

use super::field::Fact;
use super::make::{EvidenceContext, Maker};
use super::record::{CallerFacts, LimitKind, Limits};
use crate::{CallRecord, LimitFacts, LimitScope, limit};

pub(super) fn limits(maker: &mut Maker<'_>, record: &CallRecord, context: &EvidenceContext<'_>) -> Option<Limits> {
    if context.limits.is_some() {
        return context.limits.clone();
    }
    let refused = record.limit.as_ref()?;
    let kind = match refused.kind {
        _ if refused.scope == LimitScope::Upstream => LimitKind::Upstream,
        limit::LimitKind::RequestsPerMinute | limit::LimitKind::TokensPerMinute => LimitKind::Rate,
        limit::LimitKind::Concurrency => LimitKind::Concurrency,
        limit::LimitKind::DailyRequests | limit::LimitKind::DailyTokens | limit::LimitKind::DailyAmount => LimitKind::Daily,
    };
    // Where calls are counted, one is refused only if none is left. Of tokens some may be, too few for this call.
    let counts_calls =
        matches!(refused.kind, limit::LimitKind::RequestsPerMinute | limit::LimitKind::Concurrency | limit::LimitKind::DailyRequests);
    let size = size(maker, refused);
    Some(Limits {
        kind,
        used: if refused.kind == limit::LimitKind::RequestsPerMinute || !counts_calls { Fact::UNKNOWN } else { size.clone() },
        remaining: if counts_calls { Fact::Known(0) } else { Fact::UNKNOWN },
        limit: size,
        reset_at: Fact::or_unknown(refused.reset_at.and_then(|at| maker.moment(at))),
        retry_after_s: Fact::or_unknown(refused.reset_at.map(|at| wait_s(record, at))),
    })
}

/// The limit, unless it is a sum of money: those are in no record.
fn size(maker: &mut Maker<'_>, refused: &LimitFacts) -> Fact<u64> {
    if refused.kind == limit::LimitKind::DailyAmount {
        maker.drop("limits.limit");
        return Fact::NotApplicable;
    }
    Fact::Known(refused.limit)
}

/// Whole seconds from the answer until the limit opens.
fn wait_s(record: &CallRecord, opens: crate::Timestamp) -> u32 {
    let answered = crate::Timestamp(record.at.0.saturating_add(i64::from(record.timing.total)));
    let wait = opens.since(answered);
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

pub(super) fn caller(maker: &mut Maker<'_>, record: &CallRecord, context: &EvidenceContext<'_>) -> Option<CallerFacts> {
    let known = context.caller.clone().or_else(|| {
        Some(CallerFacts {
            label: maker.label("caller", record.client.caller.as_deref())?,
            group: Fact::or_unknown(maker.label("caller.group", record.group.as_deref())),
            daily_quota: Fact::or_unknown(record.limit.as_ref().and_then(daily_quota)),
            share_pct: Fact::UNKNOWN,
        })
    });
    Option::from(maker.private("caller", Fact::or_null(known)))
}

/// The day's quota of the key, if it is what refused the call.
fn daily_quota(refused: &LimitFacts) -> Option<u64> {
    let of_key = refused.scope == LimitScope::Key;
    let in_calls_or_tokens = matches!(refused.kind, limit::LimitKind::DailyRequests | limit::LimitKind::DailyTokens);
    (of_key && in_calls_or_tokens).then_some(refused.limit)
}
