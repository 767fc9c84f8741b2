//! Reads a gateway's record of a call, its limits, and tasks, as far as they are told.

use serde_json::Value;
use weir_core::{Charged, Side, TaskState, Verdict};

use crate::judge::seen::{Record, TaskSeen};

/// The form of `GET /v1/weir/calls/{id}`. `None`: it is something else.
pub(crate) fn record(body: &[u8]) -> Option<Record> {
    let value: Value = serde_json::from_slice(body).ok()?;
    if value.get("object")?.as_str()? != "weir.call" {
        return None;
    }
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let number = |path: &str| value.pointer(path).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let count = |path: &str| value.pointer(path).and_then(Value::as_array).map_or(0, |list| u32::try_from(list.len()).unwrap_or(u32::MAX));
    Some(Record {
        id: text("/id")?,
        verdict: text("/verdict/code").and_then(|code| Verdict::from_code(&code)),
        status: number("/status").and_then(|status| u16::try_from(status).ok()),
        charged: value.get("charged").and_then(charged),
        ended_by: value.get("ended_by").and_then(|side| serde_json::from_value::<Side>(side.clone()).ok()),
        attempts: count("/attempts"),
        requests: 1 + count("/requests"),
        first_event_ms: number("/timing/first_event"),
        last_event_ms: number("/timing/last_event"),
        total_ms: number("/timing/total"),
        model: text("/model"),
        is_stream: value.get("stream").and_then(Value::as_bool),
        early: number("/limit/early").unwrap_or(0),
        is_running: text("/state").as_deref() == Some("running"),
        group: text("/group"),
        time: text("/time"),
        task: value.get("task").and_then(task_of_record),
        task_type: text("/task_type"),
    })
}

fn charged(value: &Value) -> Option<Charged> {
    match value {
        Value::Bool(true) => Some(Charged::Yes),
        Value::Bool(false) => Some(Charged::No),
        other => serde_json::from_value(other.clone()).ok(),
    }
}

fn task_of_record(value: &Value) -> Option<TaskSeen> {
    Some(TaskSeen {
        id: value.get("id")?.as_str()?.to_owned(),
        state: serde_json::from_value(value.get("state")?.clone()).ok()?,
        charged: value.get("charged").and_then(charged),
        verdict: value.get("verdict").and_then(Value::as_str).and_then(Verdict::from_code),
    })
}

/// A task in OpenAI's form or the common one; weir adds what it knows.
pub(crate) fn task(body: &[u8]) -> Option<TaskSeen> {
    task_of(&serde_json::from_slice(body).ok()?)
}

/// The latest of a list of tasks.
pub(crate) fn latest_task(body: &[u8]) -> Option<TaskSeen> {
    let value: Value = serde_json::from_slice(body).ok()?;
    task_of(value.get("data")?.as_array()?.first()?)
}

fn task_of(value: &Value) -> Option<TaskSeen> {
    let value = value.get("data").filter(|inner| inner.is_object()).unwrap_or(value);
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let id = text("id").or_else(|| text("task_id"))?.to_owned();
    let state = match text("status")?.to_ascii_lowercase().as_str() {
        "queued" | "pending" | "submitted" | "not_start" => TaskState::Submitted,
        "in_progress" | "running" | "processing" => TaskState::Running,
        "completed" | "succeeded" | "success" => TaskState::Succeeded,
        "failed" | "failure" | "error" => TaskState::Failed,
        "cancelled" | "canceled" => TaskState::Cancelled,
        _ => TaskState::Unknown,
    };
    let weir = value.get("weir");
    Some(TaskSeen {
        id,
        state,
        charged: weir.and_then(|weir| weir.get("charged")).and_then(charged),
        verdict: weir.and_then(|weir| weir.get("verdict")?.as_str()).and_then(Verdict::from_code),
    })
}

/// The share of the busiest caller that is not the doctor, in percent, from `GET /v1/weir/limits`. `None`: callers are not told apart.
pub(crate) fn other_share(body: &[u8]) -> Option<u8> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let callers = value.get("callers")?.as_array().filter(|callers| callers.len() > 1)?;
    let is_other = |caller: &&Value| caller.get("caller").and_then(Value::as_str).is_none_or(|name| !name.contains("weir-doctor"));
    let share = |caller: &Value| caller.get("share_percent").and_then(Value::as_u64).and_then(|share| u8::try_from(share).ok());
    callers.iter().filter(is_other).filter_map(share).max()
}
