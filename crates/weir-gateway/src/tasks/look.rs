//! One look at a task's upstream: a question that changes nothing there, so it may be asked as often as it takes.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::Full;
use tokio::time::timeout;
use weir_client::{Answer, AttemptLimits};
use weir_core::{
    TaskRecord, TaskState, Timestamp,
    task::{Listed, Look, Told, found, looked},
};
use weir_wire::{
    limits::told_wait,
    tasks::{Adapter, Job},
};

use super::blocking;
use crate::{Gateway, lanes::Lane, refusal::Refusal};

/// How long one look may take: a status is a short answer, and the next look is never far.
const LOOK: Duration = Duration::from_secs(15);
/// The longest answer about jobs: a list of two hundred is a tenth of it.
const ANSWER_BYTES: usize = 4 << 20;

/// An answer that was read whole.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Asks a channel something about jobs, within 15 s and 4 MiB. `None`: no answer.
pub(super) async fn question(gateway: &Gateway, lane: &Lane, method: Method, path: &str) -> Option<Said> {
    let request = request(lane, method, path)?;
    let limits = AttemptLimits { connect: LOOK, first_byte: LOOK };
    let asked = async {
        let mut answer = Answer::get(gateway.dial.as_ref(), &lane.target, &lane.pool, request, limits).await.ok()?;
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await {
            let piece = piece.ok()?;
            if body.len() + piece.len() > ANSWER_BYTES {
                return None;
            }
            body.extend_from_slice(&piece);
        }
        Some(Said { status: answer.head.status.as_u16(), headers: answer.head.headers, body: body.freeze() })
    };
    timeout(LOOK, asked).await.ok().flatten()
}

/// A request of weir's own to a channel.
pub(super) fn request(lane: &Lane, method: Method, path: &str) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::try_from(format!("{}{path}", lane.target.path)).ok()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, lane.host.clone()?);
    if lane.channel.key.is_some() {
        headers.insert(header::AUTHORIZATION, lane.credential.as_ref()?.bearer.clone());
    }
    Some(request)
}

/// The channel that a task was submitted to, if the configuration still has it.
pub(super) fn lane_of<'a>(gateway: &'a Gateway, task: &TaskRecord) -> Option<(&'a Lane, &'static Adapter)> {
    let lane = gateway.lanes.all().iter().find(|lane| lane.name == task.channel)?;
    Some((lane, Adapter::of_name(&task.adapter)?))
}

/// Looks once and keeps what that changes. Gives back the task as it is then.
pub(super) async fn look(gateway: &Arc<Gateway>, task: TaskRecord) -> Result<Option<TaskRecord>, Refusal> {
    let seen = Box::pin(see(gateway, &task)).await;
    let seen = screened(gateway, seen);
    blocking(gateway, move |gateway| {
        let (now, roll) = (gateway.clock.now(), gateway.dice.roll());
        let changed = super::change(gateway, task.call, now, |task| {
            let mut task = task.clone();
            if task.state == TaskState::Submitted && task.upstream_id.is_none() {
                // Whoever submitted it never came to say how that went.
                task.state = TaskState::Unconfirmed;
            }
            looked(&task, seen, now, &gateway.settings.tasks.terms, roll)
        });
        if let Err(error) = &changed {
            tracing::warn!(task.id = %task.id(), %error, "failed to keep what became of a task");
        }
        changed.ok().flatten()
    })
    .await
}

/// What an upstream says of a fault may hold what nobody should read.
fn screened(gateway: &Gateway, mut look: Look) -> Look {
    if let Look::Told(told) | Look::Found { told, .. } = &mut look {
        screen(gateway, told);
    }
    look
}

pub(super) fn screen(gateway: &Gateway, told: &mut Told) {
    if let Some(fault) = &mut told.fault {
        fault.code = gateway.screen.token(&fault.code);
        fault.text = gateway.screen.text(&fault.text);
    }
}

async fn see(gateway: &Arc<Gateway>, task: &TaskRecord) -> Look {
    let silent = Look::Silent { until: None };
    let Some((lane, adapter)) = lane_of(gateway, task) else { return silent };
    let Some(id) = &task.upstream_id else { return seek(gateway, lane, adapter, task).await };
    let Some(path) = Adapter::path(adapter.look, id) else { return silent };
    let Some(said) = question(gateway, lane, Method::GET, &path).await else { return silent };
    match said.status {
        200..=299 => adapter.job(&said.body, &task.model).and_then(|job| job.told).map_or(silent, Look::Told),
        404 | 410 => Look::Missing,
        _ => Look::Silent { until: told_until(gateway, &said) },
    }
}

/// When the upstream may be asked again, if it told; within reason.
fn told_until(gateway: &Gateway, said: &Said) -> Option<Timestamp> {
    const MOST: Duration = Duration::from_secs(600);
    let now = gateway.clock.now();
    told_wait(&said.headers, Some(&said.body), now).map(|until| until.min(now.after(MOST)))
}

/// Asks for a job whose answer was lost by the name that was given to it.
async fn by_name(gateway: &Gateway, lane: &Lane, adapter: &'static Adapter, task: &TaskRecord) -> Look {
    let silent = Look::Silent { until: None };
    let Some(path) = Adapter::path(adapter.look, &task.id()) else { return silent };
    let Some(said) = question(gateway, lane, Method::GET, &path).await else { return silent };
    match said.status {
        200..=299 => match adapter.job(&said.body, &task.model) {
            Some(Job { id: Some(id), told: Some(told), .. }) => Look::Found { id, told },
            _ if adapter.refused(&said.body).is_some() => Look::Missing,
            _ => silent,
        },
        400 | 404 | 410 => Look::Missing,
        _ => Look::Silent { until: told_until(gateway, &said) },
    }
}

/// Looks for a job whose answer was lost.
async fn seek(gateway: &Arc<Gateway>, lane: &Lane, adapter: &'static Adapter, task: &TaskRecord) -> Look {
    let silent = Look::Silent { until: None };
    if adapter.own_name.is_some() {
        return by_name(gateway, lane, adapter, task).await;
    }
    // An upstream that lists nothing will never show it.
    let Some(path) = adapter.list else { return Look::Missing };
    let Some(said) = question(gateway, lane, Method::GET, path).await else { return silent };
    if !(200..300).contains(&said.status) {
        return Look::Silent { until: told_until(gateway, &said) };
    }
    let Some(jobs) = adapter.jobs(&said.body) else { return silent };
    let (channel, task) = (task.channel.clone(), task.clone());
    let sought = blocking(gateway, move |gateway| {
        let rivals = gateway.books.lost_tasks(&channel).ok()?;
        let mut free: Vec<Listed> = Vec::new();
        for (listed, _) in &jobs {
            if !gateway.books.has_upstream_id(&channel, &listed.id).ok()? {
                free.push(listed.clone());
            }
        }
        let Some(job) = found(&task, &rivals, &free) else { return Some(Look::Missing) };
        let told = jobs.iter().find(|(listed, _)| listed.id == job.id).and_then(|(_, value)| adapter.told_of(value, &task.model))?;
        Some(Look::Found { id: job.id.clone(), told })
    });
    sought.await.ok().flatten().unwrap_or(silent)
}
