//! Stages 1 and 2: who asks, whether this key may use this model, and a hold on the balance for what it may cost.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header};
use jiff::tz::TimeZone;
use tokio::time::Instant;
use weir_core::{
    Amount, ApiKey, CallRecord, Charge, Charged, Dialect, LimitKind, LimitScope, Price, Reserved, Route, Usage, Verdict,
    limit::{self, Day, Opens, Spent},
};
use weir_store::{Hold, KeyRefusal, Principal};
use weir_wire::{Peek, Scope, limits::limit_headers};

use crate::{
    Gateway,
    accept::Arrival,
    attempt::{attended, limited, millis},
    limiter::{self, Denied, Holder, Permit, Wanted},
    refusal::Refusal,
    settings::fits,
    talk::Live,
    vigil::Limit,
};

/// A call that may go on: what it costs.
pub(crate) struct Admitted {
    pub(crate) price: Price,
    /// What the request's input is held to be until the upstream counts it.
    pub(crate) input: u64,
}

/// Output tokens held for a request that names no limit of its own.
const DEFAULT_OUTPUT: u64 = 4096;

/// Finds whom the key acts for. `Authorization: Bearer`, `x-api-key` and `api-key` are all understood.
pub(crate) fn principal(gateway: &Gateway, arrival: &Arrival, record: &mut CallRecord) -> Result<Arc<Principal>, Refusal> {
    let unknown = || Refusal::of(Verdict::KeyUnknown).scope(Scope::Key);
    let text = presented(&arrival.head.headers).ok_or_else(|| unknown().saying("no API key was sent"))?;
    let key = ApiKey::parse(text).map_err(|shape| unknown().saying(format_args!("failed to {shape}")))?;
    record.kid = key.kid();
    let principal = gateway.books.principal(&key, arrival.peer, arrival.at).map_err(|refusal| match refusal {
        KeyRefusal::Unknown => unknown(),
        KeyRefusal::Disabled => Refusal::of(Verdict::KeyDisabled).scope(Scope::Key).code(Some("key_disabled"), None),
        KeyRefusal::Expired => Refusal::of(Verdict::KeyDisabled).scope(Scope::Key).code(Some("key_expired"), None),
        KeyRefusal::Revoked => Refusal::of(Verdict::KeyDisabled).scope(Scope::Key).code(Some("key_revoked"), None),
        KeyRefusal::SourceNotAllowed => Refusal::of(Verdict::SourceNotAllowed).scope(Scope::Key),
    })?;
    record.kid = Some(principal.kid.clone());
    record.account = Some(principal.account.clone());
    record.group.clone_from(&principal.group);
    Ok(principal)
}

/// The key as it was sent; a form that nobody documents is no key.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().ok()?;
        let (scheme, key) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(key.trim());
    }
    headers.get("x-api-key").or_else(|| headers.get("api-key"))?.to_str().ok().map(str::trim)
}

/// Whether `model` is among what the key and its group may use.
pub(crate) fn may_use(gateway: &Gateway, principal: &Principal, model: &str) -> bool {
    let group = principal.group.as_ref().and_then(|group| gateway.settings.groups.get(group));
    principal.allows(model) && group.is_none_or(|patterns| patterns.iter().any(|pattern| fits(pattern, model)))
}

/// Admits a call for a model: allowed, served and priced.
pub(crate) fn model(gateway: &Gateway, principal: &Principal, peek: &Peek) -> Result<Admitted, Refusal> {
    let model = peek.model.as_str();
    if !may_use(gateway, principal, model) {
        return Err(Refusal::of(Verdict::GroupModelDenied).scope(Scope::Group).param(Some("model")));
    }
    if !gateway.lanes.serve(model) {
        return Err(Refusal::of(Verdict::ModelNotFound).scope(Scope::Gateway).param(Some("model")));
    }
    let price =
        *gateway.settings.prices.of(model).ok_or_else(|| Refusal::of(Verdict::PriceUnknown).scope(Scope::Gateway).param(Some("model")))?;
    Ok(Admitted { price, input: peek.input_tokens })
}

/// The most that a call may use and cost.
pub(crate) fn most(admitted: &Admitted, peek: &Peek, route: Route) -> Result<(Usage, Amount), Refusal> {
    let output = peek.max_output.unwrap_or(DEFAULT_OUTPUT).saturating_mul(u64::from(peek.choices.max(1)));
    let images = if route.dialect() == Dialect::Images { u64::from(peek.choices.max(1)) } else { 0 };
    let most = Usage { input: admitted.input, output, images, cached: 0, seconds: 0 };
    let amount = admitted.price.of(&most).map_err(|_| Refusal::of(Verdict::BalanceSpent).scope(Scope::Account))?;
    Ok((most, amount))
}

/// Holds the most that the call may cost before any upstream hears of it.
pub(crate) async fn reserve(
    gateway: &Gateway,
    hold: &Hold,
    principal: &Principal,
    peek: &Peek,
    amount: Amount,
    shown_model: &str,
) -> Result<Charge<Reserved>, Refusal> {
    let spent = |_| Refusal::of(Verdict::BalanceSpent).scope(Scope::Account);
    gateway.books.reserve(hold, principal, shown_model, peek.stream, amount).await.map_err(spent)
}

/// Whose limits a call of this key must meet, the key's first.
pub(crate) fn holders(gateway: &Gateway, principal: &Principal, caller: Option<&str>) -> Vec<Holder> {
    let kid = principal.kid.as_str();
    let holder = |scope, id: &str, limits: &limit::Limits, caller: &str| Holder {
        scope,
        id: id.to_owned(),
        limits: limits.clone(),
        caller: caller.to_owned(),
    };
    let mut holders = vec![holder(LimitScope::Key, kid, &principal.limits, caller.unwrap_or(UNNAMED))];
    if let Some(parent) = &principal.parent {
        holders.push(holder(LimitScope::Key, parent.kid.as_str(), &parent.limits, principal.label.as_deref().unwrap_or(kid)));
    }
    if principal.account_limits != limit::Limits::default() {
        holders.push(holder(LimitScope::Account, &principal.account, &principal.account_limits, kid));
    }
    if let Some(group) = &principal.group
        && let Some(limits) = gateway.settings.group_limits.get(group)
    {
        holders.push(holder(LimitScope::Group, group, limits, &principal.account));
    }
    holders
}

/// The caller that tells nothing of itself.
const UNNAMED: &str = "-";

/// What was used of a holder's day before this process saw it.
pub(crate) fn recall(gateway: &Gateway) -> impl Fn(&Holder, Day) -> Spent {
    move |holder, day| {
        let kid = weir_core::KeyId::new(&holder.id);
        let of = match (holder.scope, &kid) {
            (LimitScope::Key, Some(kid)) => weir_store::Holder::Key(kid),
            (LimitScope::Account, _) => weir_store::Holder::Account(&holder.id),
            (LimitScope::Group, _) => weir_store::Holder::Group(&holder.id),
            _ => return Spent::default(),
        };
        // A store that cannot be read now cannot be written either: such calls are refused further on.
        let used = gateway.books.used(&of, day.start).unwrap_or_default();
        Spent { requests: used.requests, tokens: used.tokens, amount: used.amount.0.unsigned_abs() }
    }
}

/// What a call asks of its limits.
pub(crate) fn wanted(gateway: &Gateway, principal: &Principal, peek: &Peek, most: (Usage, Amount), record: &CallRecord) -> Arc<Wanted> {
    let caller = record.client.caller.as_deref().or(record.client.name.as_deref());
    // What answers with vectors or scores uses no output tokens.
    let speaks = record.route.dialect() != Dialect::Plain || record.route == Route::AudioTranslations;
    Arc::new(Wanted {
        holders: holders(gateway, principal, caller),
        input: most.0.input,
        output: if speaks { most.0.output } else { 0 },
        unbounded: speaks && peek.max_output.is_none(),
        amount: most.1.0.unsigned_abs(),
    })
}

/// Stage 1b: every limit admits the call, at once or after a short wait, or it is refused and told when to come back.
pub(crate) async fn limits<'a>(
    gateway: &'a Gateway,
    wanted: &Arc<Wanted>,
    hold: &Hold,
    live: &mut Live<'_>,
) -> Result<Permit<'a>, Refusal> {
    let recall = recall(gateway);
    let permit = match gateway.limiter.admit(wanted, &recall) {
        Ok(permit) => permit,
        // Boxed: waiting must not make room for itself in every call.
        Err(denied) => Box::pin(in_line(gateway, wanted, denied, hold, live)).await?,
    };
    live.reply.limits = limit_headers(&permit.entered.standings, None, permit.entered.now.wall);
    Ok(permit)
}

/// Stands in line if waiting is allowed and may help; else, or if it did not help, the call is refused.
async fn in_line<'a>(
    gateway: &'a Gateway,
    wanted: &Arc<Wanted>,
    mut denied: Denied,
    hold: &Hold,
    live: &mut Live<'_>,
) -> Result<Permit<'a>, Refusal> {
    let began = Instant::now();
    if let Some(deadline) = waits_until(&denied, gateway.settings.limits.max_wait, live.vigil.answer_by())
        && let Some(turn) = gateway.limiter.stand(wanted, &denied)
    {
        let waited = attended(std::pin::pin!(turn.wait(deadline)), &gateway.settings.streams, live).await;
        let queued = millis(began.elapsed());
        live.record.timing.queued = Some(queued);
        hold.waited(queued);
        denied = match waited {
            Ok(Some(permit)) => return Ok(permit),
            Ok(None) | Err(Limit::Total) => match gateway.limiter.again(wanted, denied.early) {
                Ok(permit) => return Ok(permit),
                Err(denied) => denied,
            },
            Err(limit) => return Err(limited(limit)),
        };
    }
    gateway.limiter.tell(wanted, &mut denied);
    live.record.limit = Some(denied.facts());
    let (standings, _, now) = gateway.limiter.standings(&wanted.holders, &recall(gateway));
    let binding = denied.reset_at.map(|at| (denied.scope, denied.blocked.kind, at));
    live.reply.limits = limit_headers(&standings, binding, now.wall);
    Err(limiter::refusal(&denied))
}

/// How long a denied call stands in line; `None` if not at all.
fn waits_until(denied: &Denied, most: Duration, answer_by: Instant) -> Option<Instant> {
    let now = Instant::now();
    let opens_soon = match denied.blocked.opens {
        // It came at the time that it had been told: it waits for its place as long as it may wait for an answer.
        Opens::Turn => return Some(answer_by),
        Opens::At(at) => at.saturating_sub(denied.now.steady).unsigned_abs() <= u64::from(millis(most)),
        Opens::Tomorrow(_) | Opens::Never => false,
    };
    // How soon a place is free nobody knows; every other limit says when.
    let may_help = opens_soon || denied.blocked.kind == LimitKind::Concurrency;
    (may_help && most > Duration::ZERO).then(|| answer_by.min(now + most))
}

/// What an ended call used, by its record.
pub(crate) fn used(record: &CallRecord) -> limit::Used {
    let usage = &record.charge.usage;
    limit::Used {
        asked: !record.attempts.is_empty(),
        charged: record.charge.charged == Charged::Yes,
        tokens: usage.input.saturating_add(usage.output),
        amount: record.charge.amount.0.unsigned_abs(),
    }
}

/// A call that asked no upstream leaves no trace in its limits.
pub(crate) const UNUSED: limit::Used = limit::Used { asked: false, charged: false, tokens: 0, amount: 0 };

/// The zone in which a key's times are told.
pub(crate) fn zone(principal: &Principal) -> TimeZone {
    principal.limits.zone.as_deref().and_then(limit::zone).unwrap_or(TimeZone::UTC)
}
