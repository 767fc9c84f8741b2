//! Image and video jobs: submitted once, followed to their end without the client, told of in the client's own form.

mod content;
mod follow;
mod look;
mod own;
mod results;
mod send;
mod submit;
mod tell;
#[cfg(test)]
mod tests;
mod wish;

use std::sync::Arc;

use weir_core::{ChargeFacts, Charged, RequestId, Route, TaskRecord, TaskShape, Timestamp, Verdict, limit::Used};
use weir_store::{OpenTask, Principal, StoreError};
use weir_wire::tasks::Adapter;

pub(crate) use own::{TaskPath, answer};
pub(crate) use results::Results;
pub(crate) use submit::submit;
pub(crate) use wish::{shape_of, wish};

use crate::{
    Gateway, admit,
    lanes::Lane,
    limiter::{self, LeftOpen},
    refusal::Refusal,
};

/// Runs what waits for the disk where no stream waits for it.
async fn blocking<T: Send + 'static>(gateway: &Arc<Gateway>, work: impl FnOnce(&Gateway) -> T + Send + 'static) -> Result<T, Refusal> {
    let gateway = Arc::clone(gateway);
    tokio::task::spawn_blocking(move || work(&gateway)).await.map_err(|_| Refusal::of(Verdict::GatewayInternal))
}

/// Changes a task's row; if that ends it, the limits of its key learn what it cost.
fn change(
    gateway: &Gateway,
    call: RequestId,
    now: Timestamp,
    with: impl FnOnce(&TaskRecord) -> TaskRecord,
) -> Result<Option<TaskRecord>, StoreError> {
    #[cfg(test)]
    let with = |task: &TaskRecord| gateway.sabotage.charge(with(task));
    let changed = gateway.books.change_task(call, now, with)?;
    if let Some(task) = &changed {
        ended(gateway, task);
    }
    Ok(changed)
}

/// What a task that has ended cost takes the place of what it held.
fn ended(gateway: &Gateway, task: &TaskRecord) {
    if task.charge.charged != Charged::Pending {
        gateway.limiter.task_ended(task.call, &cost(&task.charge));
    }
}

/// Counts every task that the last process left open against the days of its holders, as that process did.
pub(crate) fn resume(gateway: &Gateway) {
    // What cannot be read now cannot be charged either: the store says so to every call.
    let open = gateway.books.open_tasks(limiter::TASKS).unwrap_or_default();
    let recall = admit::recall(gateway);
    for OpenTask { task, admitted, principal } in open {
        let holders = admit::holders(gateway, &principal, None);
        gateway.limiter.resumes(&LeftOpen { call: task.call, at: admitted, holders, counted: may_cost(&task.charge) }, &recall);
    }
}

/// What an open task takes of a day: all that it holds.
fn may_cost(charge: &ChargeFacts) -> Used {
    Used { asked: true, charged: true, tokens: 0, amount: charge.held.0.unsigned_abs() }
}

/// What a charge takes of a day.
fn cost(charge: &ChargeFacts) -> Used {
    Used { asked: true, charged: charge.charged == Charged::Yes, tokens: 0, amount: charge.amount.0.unsigned_abs() }
}

/// How a channel is spoken to about jobs of this shape.
fn adapter_of(lane: &Lane, shape: TaskShape) -> Option<&'static Adapter> {
    let as_asked = Adapter::of_name(Adapter::of_shape(shape));
    if shape == TaskShape::Images { as_asked } else { lane.tasks.or(as_asked) }
}

/// The task of this name, for the key that submitted it and no other.
async fn owned(gateway: &Arc<Gateway>, principal: &Principal, shape: TaskShape, id: &str) -> Result<TaskRecord, Refusal> {
    let missing = || Refusal::of(Verdict::NotTheApi).saying("no task of this key has that id").code(Some("task_not_found"), None);
    let call = TaskRecord::call_of(shape, id).ok_or_else(missing)?;
    let found = blocking(gateway, move |gateway| gateway.books.store().task(call)).await?;
    let found = found.map_err(|_| Refusal::of(Verdict::GatewayInternal))?;
    found.filter(|task| task.kid == principal.kid && task.shape == shape && !task.removed).ok_or_else(missing)
}

/// Where tasks of this shape are asked for.
fn path_of(shape: TaskShape) -> &'static str {
    match shape {
        TaskShape::Videos => Route::Videos.path(),
        TaskShape::Generations => Route::VideoGenerations.path(),
        TaskShape::Images => Route::ImageGenerations.path(),
    }
}

/// Where this task is asked for.
fn address(task: &TaskRecord) -> String {
    format!("{}/{}", path_of(task.shape), task.id())
}
