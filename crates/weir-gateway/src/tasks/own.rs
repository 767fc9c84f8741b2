//! What an owner asks of tasks: one, a list, a result, an end. None of it is a call: nothing is recorded, nothing charged.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use weir_core::{ApiKey, Route, Side, TaskRecord, TaskShape, TaskState, Verdict};
use weir_store::TaskFilter;
use weir_wire::{
    Scope,
    tasks::{self as wire, Adapter, Job},
};

use super::{
    blocking,
    content::pass,
    look::{lane_of, look, question, screen},
    owned, results,
};
use crate::{Gateway, outlet::Outlet, own::owner, refusal::Refusal, reply::Reply};

/// An owner who asks more often than this is told what was known.
const FRESH: Duration = Duration::from_secs(1);

/// A path of tasks that makes no call.
pub(crate) enum TaskPath {
    List,
    Show(TaskShape, String),
    Content(String),
    Delete(String),
}

impl TaskPath {
    pub(crate) fn of(method: &Method, path: &str) -> Option<Self> {
        if let Some(id) = path.strip_prefix("/v1/images/generations/") {
            return (*method == Method::GET).then(|| Self::Show(TaskShape::Images, id.to_owned()));
        }
        let rest = path.strip_prefix("/v1/video")?;
        let video = |rest: &str| rest.strip_prefix("s/").map(str::to_owned);
        match *method {
            Method::GET if rest == "s" => Some(Self::List),
            Method::GET if rest.starts_with("/generations/") => {
                Some(Self::Show(TaskShape::Generations, rest["/generations/".len()..].to_owned()))
            }
            Method::GET => match rest.strip_suffix("/content") {
                Some(rest) => video(rest).map(Self::Content),
                None => video(rest).map(|id| Self::Show(TaskShape::Videos, id)),
            },
            // Whoever fetches a result in parts asks first how long it is.
            Method::HEAD => rest.strip_suffix("/content").and_then(video).map(Self::Content),
            Method::DELETE => video(rest).map(Self::Delete),
            _ => None,
        }
    }
}

/// A head and its body.
type Said = (Response<()>, Bytes);

/// Answers without making a call of it.
pub(crate) async fn answer(gateway: Arc<Gateway>, path: TaskPath, request: Request<Incoming>, peer: Option<IpAddr>, outlet: Outlet) {
    let route = if matches!(path, TaskPath::Show(TaskShape::Generations, _)) { Route::VideoGenerations } else { Route::Videos };
    let mut reply = Reply::new(outlet, gateway.new_id(), route);
    let _ = match said(&gateway, path, &request, peer, &mut reply).await {
        Ok(Some((head, body))) => reply.answer(head, body).await,
        // A result left in pieces.
        Ok(None) => Ok(()),
        Err(refusal) => reply.refuse(&refusal, weir_core::Charged::No).await,
    };
}

async fn said(
    gateway: &Arc<Gateway>,
    path: TaskPath,
    request: &Request<Incoming>,
    peer: Option<IpAddr>,
    reply: &mut Reply,
) -> Result<Option<Said>, Refusal> {
    let principal = owner(gateway, request, peer)?;
    let one = async |shape, id: &str| owned(gateway, &principal, shape, id).await;
    let said = match path {
        TaskPath::List => list(gateway, principal.kid.clone(), request.uri().query().unwrap_or_default()).await,
        TaskPath::Show(shape, id) => {
            let task = fresh(gateway, one(shape, &id).await?).await?;
            if shape == TaskShape::Images {
                return Ok(Some(picture(gateway, results::key_of(request.headers()), &task).await));
            }
            let live = live(gateway, &task).await;
            Ok(json(&wire::show(&task, live.as_ref(), &gateway.settings.tasks.terms)))
        }
        TaskPath::Content(id) => {
            let task = fresh(gateway, one(TaskShape::Videos, &id).await?).await?;
            return pass(gateway, &task, request, reply).await.map(|()| None);
        }
        TaskPath::Delete(id) => delete(gateway, one(TaskShape::Videos, &id).await?).await,
    };
    said.map(Some)
}

fn json(body: &serde_json::Value) -> Said {
    let mut head = Response::new(());
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (head, Bytes::from(body.to_string()))
}

/// The task as it is now: its upstream is asked, unless that was done a moment ago. If it does not answer, what is known counts.
async fn fresh(gateway: &Arc<Gateway>, task: TaskRecord) -> Result<TaskRecord, Refusal> {
    let recent = task.looked.is_some_and(|looked| gateway.clock.now().since(looked) < FRESH);
    if !task.state.is_open() || task.upstream_id.is_none() || recent {
        return Ok(task);
    }
    Ok(look(gateway, task.clone()).await?.unwrap_or(task))
}

/// A task of pictures with its result, as long as that is kept.
async fn picture(gateway: &Arc<Gateway>, key: Option<ApiKey>, task: &TaskRecord) -> Said {
    let mut shown = wire::show(task, None, &gateway.settings.tasks.terms);
    if task.state != TaskState::Succeeded {
        return json(&shown);
    }
    let (code, what) = match results::of(gateway, key, task).await {
        results::Result::There(result) => {
            let (head, shown) = json(&shown);
            // As it came, byte for byte, behind the fields of the task.
            let open = shown.strip_suffix(b"}").unwrap_or(&shown);
            return (head, [open, br#","result":"#, &result, b"}"].concat().into());
        }
        results::Result::Expired => ("result_expired", "it was kept for a day, and that is over"),
        results::Result::Lost => ("result_lost", "it was kept in memory only, and weir was restarted or had no room"),
    };
    let message = format!("The pictures were made and charged, and weir has them no more: {what}. Support finds the call by its id.");
    shown["error"] = serde_json::json!({ "code": code, "message": message });
    json(&shown)
}

/// What the upstream says of a task that has ended, for what no row keeps: the address of a result opens it, and a reason may quote what was asked for.
async fn live(gateway: &Gateway, task: &TaskRecord) -> Option<Job> {
    let (lane, adapter) = lane_of(gateway, task)?;
    let tells = match task.state {
        TaskState::Succeeded => adapter.content.is_none(),
        TaskState::Failed | TaskState::Cancelled => true,
        _ => false,
    };
    let path = Adapter::path(adapter.look, task.upstream_id.as_deref().filter(|_| tells)?)?;
    let said = question(gateway, lane, Method::GET, &path).await?;
    let mut job = adapter.job(&said.body, &task.model)?;
    job.told.iter_mut().for_each(|told| screen(gateway, told));
    Some(job)
}

async fn list(gateway: &Arc<Gateway>, kid: weir_core::KeyId, query: &str) -> Result<Said, Refusal> {
    const MOST: u32 = 100;
    let asked = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value);
    let limit = asked("limit").and_then(|limit| limit.parse().ok()).unwrap_or(TaskFilter::DEFAULT_LIMIT).clamp(1, MOST);
    let filter = TaskFilter {
        kid: Some(kid),
        shape: Some(TaskShape::Videos),
        after: asked("after").and_then(|id| TaskRecord::call_of(TaskShape::Videos, id)),
        oldest_first: asked("order") == Some("asc"),
        limit: limit + 1,
        ..TaskFilter::default()
    };
    let found = blocking(gateway, move |gateway| gateway.books.store().tasks(&filter)).await?;
    let mut tasks = found.map_err(|_| Refusal::of(Verdict::GatewayInternal))?;
    let more = tasks.len() > limit as usize;
    tasks.truncate(limit as usize);
    tasks.retain(|task| !task.removed);
    Ok(json(&wire::list(&tasks, more, &gateway.settings.tasks.terms)))
}

/// Forgets a task that has ended, here and at its upstream.
async fn delete(gateway: &Arc<Gateway>, task: TaskRecord) -> Result<Said, Refusal> {
    if task.state.is_open() {
        let refusal = Refusal::of(Verdict::TaskRunning).status(409).never_retry().code(Some("task_running"), Some("invalid_request_error"));
        return Err(refusal.saying(format_args!("task {} has not ended", task.id())));
    }
    if let (Some((lane, adapter)), Some(id)) = (lane_of(gateway, &task), &task.upstream_id)
        && let Some(path) = Adapter::path(adapter.look, id).filter(|_| adapter.deletes)
    {
        let said = question(gateway, lane, Method::DELETE, &path).await;
        if !said.is_some_and(|said| (200..300).contains(&said.status) || said.status == 404) {
            let refusal = Refusal::of(Verdict::UpstreamError).scope(Scope::Upstream).by(Side::Upstream);
            return Err(refusal.saying("the upstream did not delete it"));
        }
    }
    let call = task.call;
    let changed = blocking(gateway, move |gateway| {
        super::change(gateway, call, gateway.clock.now(), |task| TaskRecord { removed: true, ..task.clone() })
    });
    changed.await?.map_err(|_| Refusal::of(Verdict::GatewayInternal))?;
    Ok(json(&wire::deleted(&task)))
}
