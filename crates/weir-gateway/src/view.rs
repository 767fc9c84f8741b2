//! A call as its owner, the console and `weir calls` see it: the record, its charge and its ledger lines.

use serde_json::{Value, json};
use weir_core::{Amount, Charged, Verdict, verdict::Lang};
use weir_store::{CallState, StoredCall};

/// The form of `GET /v1/weir/calls/{id}` and of each entry of `weir calls list --json`. Amounts are nano-units.
#[must_use]
pub fn call_view(call: &StoredCall) -> Value {
    let record = &call.record;
    let verdict = record.verdict;
    let words = |lang| {
        let words = verdict.words(lang);
        json!({ "title": words.title, "cause": words.cause, "check": words.check, "never": words.never })
    };
    json!({
        "object": "weir.call",
        "id": record.id,
        "state": if call.state == CallState::Running { "running" } else { "ended" },
        "time": record.at.rfc3339(),
        "path": record.route.path(),
        "task_type": record.route.task_type(),
        "model": record.model,
        "stream": record.stream,
        "scenario": record.scenario,
        "status": record.status,
        "verdict": { "code": verdict.code(), "class": verdict.class().label(), "level": verdict.level().label(), "owner": verdict.owner().label(),
            "zh": words(Lang::Zh), "en": words(Lang::En) },
        "ended_by": record.ended_by,
        "charged": record.charge.charged,
        "charge": {
            "charged": record.charge.charged,
            "rule": record.charge.rule,
            "held": record.charge.held,
            "amount": record.charge.amount,
            "usage": record.charge.usage,
            "usage_source": record.charge.usage_source,
            "pending": record.charge.charged == Charged::Pending,
        },
        "ledger": call.ledger.iter().map(|line| json!({ "id": line.id, "kind": line.kind, "amount": amount(line.amount), "at": line.at.rfc3339() })).collect::<Vec<_>>(),
        "task": call.task.as_ref().map(|task| json!({ "id": task.id(), "state": task.state, "verdict": task.verdict().code(), "submitted": task.submitted.rfc3339(),
            "ended": task.finished.map(weir_core::Timestamp::rfc3339), "upstream_id": task.upstream_id, "looks": task.looks, "oddities": task.oddities })),
        "key_id": record.kid,
        "key_masked": record.kid.as_ref().map(weir_core::KeyId::mask),
        "account": record.account,
        "group": record.group,
        "client": record.client,
        "error_code": record.error_code,
        "error_text": record.error_text,
        "scenario": record.scenario,
        "limit": record.limit.as_ref().map(|limit| json!({ "scope": limit.scope, "kind": limit.kind, "limit": limit.limit,
            "resetAt": limit.reset_at.map(weir_core::Timestamp::rfc3339), "early": limit.early })),
        "suspected_retry_of": record.suspected_retry_of,
        "told": record.told,
        "requests": call.requests.iter().map(|request| json!({ "id": request.id, "time": request.at.rfc3339(), "how": request.how,
            "status": request.status, "events": request.events, "verdict": Verdict::ReplayedOnce.code(), "charged": Charged::No })).collect::<Vec<_>>(),
        "attempts": record.attempts,
        "timing": record.timing,
        "stream_obs": record.observed,
    })
}

fn amount(amount: Amount) -> i64 {
    amount.0
}
