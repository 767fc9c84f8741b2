//! A task as its owner is told of it: in the form of the API that it was submitted by, under weir's own id.

use serde_json::{Value, json};
use weir_core::{TaskRecord, TaskShape, TaskState, TaskTerms, Timestamp, task::AtDeadline};

use super::{Adapter, Job};

/// The task in its family's form, with what weir itself knows of it under `weir`: amounts in nano-units, and until when it is asked for. `live` is what its upstream says just now, for what no row keeps: where the result is, and a reason in words.
#[must_use]
pub fn show(task: &TaskRecord, live: Option<&Job>, terms: &TaskTerms) -> Value {
    let code = task.fault.as_deref().unwrap_or(task.state.label());
    let reason = live.and_then(|job| job.told.as_ref()?.fault.as_ref()).map_or("", |fault| fault.text.as_str());
    let weir = json!({
        "state": task.state, "verdict": task.verdict().code(), "charged": task.charge.charged, "call": task.call,
        "looks": task.looks, "missing": task.oddities.missing, "deadline": task.deadline.rfc3339(),
        "held": task.charge.held.0, "amount": task.charge.amount.0, "until": task.given_up_at(terms).map(Timestamp::rfc3339),
        "then": if terms.at_deadline == AtDeadline::Charge { "charge" } else { "release" },
        "findable": task.upstream_id.is_some() || Adapter::of_name(&task.adapter).is_some_and(Adapter::finds_lost),
        "duplicate_of": task.duplicate_of.map(|call| TaskRecord::id_of(task.shape, call)),
    });
    match task.shape {
        TaskShape::Videos => {
            let seconds = |at: weir_core::Timestamp| at.0.div_euclid(1000);
            let made = task.finished.filter(|_| task.state == TaskState::Succeeded);
            json!({
                "id": task.id(), "object": "video", "model": task.model, "status": video_status(task.state), "progress": task.progress,
                "created_at": seconds(task.submitted), "completed_at": made.map(seconds), "expires_at": null, "prompt": null,
                "size": task.ask.size, "seconds": task.ask.seconds.map(|seconds| seconds.to_string()), "remixed_from_video_id": task.made_of.map(|call| TaskRecord::id_of(task.shape, call)),
                "error": failed(task).then(|| json!({
                    "code": code, "message": reason,
                })),
                "weir": weir,
            })
        }
        TaskShape::Images => json!({
            "id": task.id(), "object": "image.task", "model": task.model, "status": video_status(task.state),
            "created_at": task.submitted.0.div_euclid(1000), "completed_at": task.finished.map(|at| at.0.div_euclid(1000)),
            "error": failed(task).then(|| json!({ "code": code, "message": reason })),
            "weir": weir,
        }),
        TaskShape::Generations => {
            let mut shown = json!({ "task_id": task.id(), "status": generation_status(task.state), "model": task.model, "weir": weir });
            if let Some(url) = live.and_then(|job| job.url.as_deref()) {
                shown["url"] = url.into();
            }
            if failed(task) {
                shown["error"] = json!({
                    "code": code.parse::<i64>().unwrap_or(500), "message": reason,
                });
            }
            shown
        }
    }
}

fn failed(task: &TaskRecord) -> bool {
    matches!(task.state, TaskState::Failed | TaskState::Cancelled | TaskState::Unknown)
}

/// OpenAI knows four words.
fn video_status(state: TaskState) -> &'static str {
    match state {
        TaskState::Submitted | TaskState::Unconfirmed => "queued",
        TaskState::Running => "in_progress",
        TaskState::Succeeded => "completed",
        TaskState::Failed | TaskState::Cancelled | TaskState::Unknown => "failed",
    }
}

fn generation_status(state: TaskState) -> &'static str {
    match state {
        TaskState::Submitted | TaskState::Unconfirmed => "queued",
        TaskState::Running => "in_progress",
        TaskState::Succeeded => "succeeded",
        TaskState::Cancelled => "cancelled",
        TaskState::Failed | TaskState::Unknown => "failed",
    }
}

/// A page of tasks, newest first.
#[must_use]
pub fn list(tasks: &[TaskRecord], more: bool, terms: &TaskTerms) -> Value {
    let id = |task: Option<&TaskRecord>| task.map(TaskRecord::id);
    json!({
        "object": "list", "data": tasks.iter().map(|task| show(task, None, terms)).collect::<Vec<_>>(),
        "first_id": id(tasks.first()), "last_id": id(tasks.last()), "has_more": more,
    })
}

/// What a `DELETE` answers.
#[must_use]
pub fn deleted(task: &TaskRecord) -> Value {
    json!({ "id": task.id(), "object": "video.deleted", "deleted": true })
}
