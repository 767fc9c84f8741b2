//! What a gateway's record, a task or a past request says. A record is certain: it was written by who was there.

use weir_core::{Charged, TaskState, Verdict};

use super::{
    Finding,
    seen::{Lookup, Record, TaskSeen},
};
use crate::report::both;

/// The share of a key that is "taken", in percent.
const TAKEN_PCT: u8 = 50;
/// What is asked for where nobody named a task.
pub const LATEST: &str = "latest";
/// Calls before the told instant that are no accident any more.
const EARLY_CALLS: u32 = 3;

/// What the record of the doctor's own call adds.
#[must_use]
pub fn of_own_record(record: &Record, other_share_pct: Option<u8>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if record.early >= EARLY_CALLS {
        findings.push(Finding::certain(Verdict::RetriedTooEarly));
    }
    if other_share_pct.is_some_and(|share| share >= TAKEN_PCT) {
        findings.push(Finding::certain(Verdict::SharedKeyTaken));
    }
    findings
}

/// What is known of a past request or task.
#[must_use]
pub fn of_lookup(lookup: &Lookup) -> Vec<Finding> {
    match lookup {
        Lookup::Call(record) => of_call(record),
        Lookup::Task(task) => vec![of_task(task)],
        Lookup::NotFound { id, .. } if id == LATEST => vec![Finding::likely(Verdict::EvidenceMissing).because(both!(
            "图片和视频模型不会被提交新任务,而这把 Key 还没有任务可看:用 --model 指定一个对话模型",
            "models of pictures and videos are never asked to make anything, and this key has no task to look at: name a chat model with --model"
        ))],
        Lookup::NotFound { .. } => vec![Finding::likely(Verdict::EvidenceMissing).because(both!(
            "这个 ID 查不到:核对是否同一个网关、同一把 Key",
            "this id was not found: see that it is the same gateway and the same key"
        ))],
        Lookup::NoTask { .. } => vec![Finding::certain(Verdict::TaskUnknown)],
        Lookup::NoRecords { .. } => vec![Finding::likely(Verdict::EvidenceMissing).because(both!(
            "对方不是 weir 网关,没有可查的请求记录:请把 ID 交给服务商",
            "the server is no weir gateway and keeps no record to ask for: give the id to the provider"
        ))],
    }
}

fn of_call(record: &Record) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(task) = &record.task {
        findings.push(of_task(task));
    }
    match record.charged {
        Some(Charged::Pending) if record.is_running => findings.push(Finding::certain(Verdict::ChargePending)),
        Some(Charged::Yes) if record.requests > 1 => findings.push(Finding::certain(Verdict::ReplayedOnce)),
        Some(Charged::Yes) if record.verdict == Some(Verdict::ClientLeft) => {
            findings.push(Finding::certain(Verdict::ProducedNotDelivered));
        }
        _ => {}
    }
    match record.verdict {
        Some(verdict) => findings.push(Finding::certain(verdict)),
        None if findings.is_empty() => findings.push(Finding::likely(Verdict::EvidenceMissing)),
        None => {}
    }
    findings.extend((record.early >= EARLY_CALLS).then(|| Finding::certain(Verdict::RetriedTooEarly)));
    findings
}

/// What a task's state means.
#[must_use]
pub fn of_task(task: &TaskSeen) -> Finding {
    if let Some(verdict) = task.verdict.filter(|verdict| verdict.class() == weir_core::Class::Task) {
        return Finding::certain(verdict);
    }
    match (task.state, task.charged) {
        (TaskState::Submitted | TaskState::Running, _) => Finding::certain(Verdict::TaskRunning),
        (TaskState::Failed | TaskState::Cancelled, Some(Charged::Yes)) => Finding::certain(Verdict::TaskFailedCharged),
        (TaskState::Failed | TaskState::Cancelled, Some(Charged::No | Charged::Refunded)) => Finding::certain(Verdict::TaskFailedFree),
        (TaskState::Failed | TaskState::Cancelled, _) => {
            Finding::likely(Verdict::TaskFailedFree).because(both!("接口没有说明是否扣费", "the API does not say whether it was charged"))
        }
        (TaskState::Unconfirmed | TaskState::Unknown, _) => Finding::certain(Verdict::TaskUnknown),
        (TaskState::Succeeded, _) => Finding::certain(Verdict::Ok),
    }
}
