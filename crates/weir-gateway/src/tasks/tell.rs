//! What the client of a submission is told: its task, and the task that it repeats.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use weir_core::{Side, TaskRecord, TaskTerms, Verdict};
use weir_wire::tasks as wire;

use super::address;
use crate::{refusal::Refusal, reply::Reply, talk::Live};

/// How a submission is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the API does whose path it is: 200.
    Own,
    /// As a client asked that does not want to wait (`Prefer: respond-async`): 202, and where to ask.
    Accepted,
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
        let is_wished = lines.flat_map(|line| line.split(',')).any(|wish| wish.trim().eq_ignore_ascii_case("respond-async"));
        if is_wished { Self::Accepted } else { Self::Own }
    }
}

/// The refusal of what was submitted already.
pub(super) fn duplicate(task: &TaskRecord) -> Refusal {
    let refusal = Refusal::of(Verdict::TaskDuplicate).status(409).never_retry().code(Some("duplicate_task"), Some("invalid_request_error"));
    refusal.saying(format_args!("the same was submitted as {}; GET {} tells its state", task.id(), address(task)))
}

/// Answers with the task that is there already.
pub(super) async fn join(task: &TaskRecord, terms: &TaskTerms, form: Form, live: &mut Live<'_>) -> Result<(), Refusal> {
    name(task, live.reply);
    note(live.reply, "x-weir-duplicate-of", &task.id());
    tracing::info!(task.id = %task.id(), call.id = %live.record.id, "answered an equal submission with the task that was there");
    (live.record.verdict, live.record.ended_by) = (Verdict::TaskDuplicate, Side::Done);
    say(task, terms, form, live).await;
    Ok(())
}

/// Answers a request that repeats its own submission, of which only the store still knows, with the task as it is now.
pub(super) async fn repeat(task: &TaskRecord, terms: &TaskTerms, form: Form, live: &mut Live<'_>) -> Result<(), Refusal> {
    name(task, live.reply);
    note(live.reply, "x-weir-call", &task.call.to_string());
    note(live.reply, "idempotent-replayed", "true");
    (live.record.verdict, live.record.ended_by) = (Verdict::ReplayedOnce, Side::Done);
    say(task, terms, form, live).await;
    Ok(())
}

fn note(reply: &mut Reply, header: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.task.push((HeaderName::from_static(header), value));
    }
}

/// Every answer from here on names the task.
pub(super) fn name(task: &TaskRecord, reply: &mut Reply) {
    note(reply, "x-weir-task-id", &task.id());
    if let Some(call) = task.duplicate_of {
        note(reply, "x-weir-duplicate-of", &TaskRecord::id_of(task.shape, call));
    }
}

/// The task itself, as the whole answer.
pub(super) async fn say(task: &TaskRecord, terms: &TaskTerms, form: Form, live: &mut Live<'_>) {
    let mut head = Response::new(());
    *head.status_mut() = if form == Form::Accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Bytes::from(wire::show(task, None, terms).to_string());
    if form == Form::Accepted {
        note(live.reply, "preference-applied", "respond-async");
        note(live.reply, "location", &address(task));
    }
    if live.reply.answer(head, body).await.is_err() {
        live.record.ended_by = Side::Client;
    }
}
