//! What a denied call is told: whose limit, how much, when it opens, and what to do meanwhile.

use weir_core::{LimitFacts, LimitKind, LimitScope, Verdict, limit::Opens};
use weir_wire::Scope;

use super::Denied;
use crate::refusal::Refusal;

/// So many calls before the told time are no accident: something retries by itself.
const TOO_EARLY: u32 = 3;

impl Denied {
    /// What the record keeps of it.
    pub(crate) fn facts(&self) -> LimitFacts {
        LimitFacts { scope: self.scope, kind: self.blocked.kind, limit: self.blocked.limit, reset_at: self.reset_at, early: self.early }
    }

    /// The verdict, and the one whose error code the client gets: the code names the limit, whoever is to blame.
    fn verdicts(&self) -> (Verdict, Verdict) {
        let base = match self.blocked.kind {
            _ if self.blocked.opens == Opens::Never => Verdict::RequestTooLong,
            LimitKind::RequestsPerMinute | LimitKind::TokensPerMinute => Verdict::RateLimited,
            LimitKind::Concurrency => Verdict::ConcurrencySpent,
            LimitKind::DailyRequests | LimitKind::DailyTokens | LimitKind::DailyAmount => Verdict::QuotaSpent,
        };
        let verdict = match base {
            Verdict::RequestTooLong => base,
            _ if self.early >= TOO_EARLY => Verdict::RetriedTooEarly,
            Verdict::RateLimited | Verdict::ConcurrencySpent if self.taken_by.is_some() => Verdict::SharedKeyTaken,
            _ => base,
        };
        (verdict, base)
    }

    fn sentence(&self) -> String {
        let (whose, limit) = (self.scope.label(), amount(self.blocked.kind, self.blocked.limit));
        let at = self.reset_at.map(|at| at.rfc3339_in(&self.zone)).unwrap_or_default();
        let mut text = match (self.blocked.opens, self.blocked.kind) {
            (Opens::Never, _) => {
                format!("the request asks for more than the {whose}'s whole limit of {limit}, so it can never be admitted")
            }
            // "will reset at" is what LangChain stops on.
            (_, kind) if kind.is_daily() => format!("the {whose}'s daily quota of {limit} is used up and will reset at {at}"),
            (_, LimitKind::Concurrency) => format!("the {whose} may run {limit} and does; come back at {at}"),
            _ => format!("the {whose}'s limit of {limit} is used up; the next call is admitted from {at} on"),
        };
        if self.early > 0 {
            text = format!("{text}; calls made before the time told: {}", self.early);
        }
        if let Some((caller, share)) = &self.taken_by {
            text = format!("{text}; {share} % of the key's calls are of the caller {caller}");
        }
        text
    }
}

/// The error of a call that is denied.
pub(crate) fn refusal(denied: &Denied) -> Refusal {
    let (verdict, base) = denied.verdicts();
    let mut refusal = Refusal::of(verdict).scope(scope(denied.scope)).saying(denied.sentence());
    if let Some(api) = base.api() {
        let daily = denied.blocked.kind.is_daily() && base == Verdict::QuotaSpent;
        let code = if daily { format!("{}_daily_quota_exceeded", denied.scope.label()) } else { api.code.to_owned() };
        refusal = refusal.status(api.status).code(Some(&code), Some(api.kind));
    }
    if matches!(base, Verdict::QuotaSpent | Verdict::RequestTooLong) {
        refusal = refusal.never_retry();
    }
    refusal.until(denied.reset_at, denied.now.wall).in_zone(denied.zone.clone())
}

pub(crate) fn scope(scope: LimitScope) -> Scope {
    match scope {
        LimitScope::Key => Scope::Key,
        LimitScope::Account => Scope::Account,
        LimitScope::Group => Scope::Group,
        LimitScope::Upstream => Scope::Upstream,
    }
}

fn amount(kind: LimitKind, limit: u64) -> String {
    match kind {
        LimitKind::RequestsPerMinute => format!("{limit} requests per minute"),
        LimitKind::TokensPerMinute => format!("{limit} tokens per minute"),
        LimitKind::Concurrency => format!("{limit} calls at once"),
        LimitKind::DailyRequests => format!("{limit} requests"),
        LimitKind::DailyTokens => format!("{limit} tokens"),
        // Amounts are the account's business: an error may be pasted anywhere.
        LimitKind::DailyAmount => "spending".to_owned(),
    }
}
