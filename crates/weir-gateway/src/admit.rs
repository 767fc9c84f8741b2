//! Stages 1 and 2: who asks, whether this key may use this model, and a hold on the balance for what it may cost.

use std::sync::Arc;

use http::{HeaderMap, header};
use weir_core::{Amount, ApiKey, CallRecord, Charge, Price, Reserved, Usage, Verdict};
use weir_store::{Hold, KeyRefusal, Principal};
use weir_wire::{Peek, Scope};

use crate::{Gateway, accept::Arrival, refusal::Refusal, settings::fits};

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

/// Holds the most that the call may cost before any upstream hears of it.
pub(crate) async fn reserve(
    gateway: &Gateway,
    hold: &Hold,
    principal: &Principal,
    admitted: &Admitted,
    peek: &Peek,
    shown_model: &str,
) -> Result<Charge<Reserved>, Refusal> {
    let output = peek.max_output.unwrap_or(DEFAULT_OUTPUT).saturating_mul(u64::from(peek.choices.max(1)));
    let most = Usage { input: admitted.input, output, images: 0, cached: 0, seconds: 0 };
    let spent = || Refusal::of(Verdict::BalanceSpent).scope(Scope::Account);
    let amount: Amount = admitted.price.of(&most).map_err(|_| spent())?;
    gateway.books.reserve(hold, principal, shown_model, peek.stream, amount).await.map_err(|_| spent())
}
