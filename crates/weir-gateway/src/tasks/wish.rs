//! What a submission wants, and whether it repeats one that was made before.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header};
use weir_core::{CallRecord, Route, Scenario, TaskRecord, TaskShape, TaskState, Timestamp, Verdict, task::TaskAsk};
use weir_store::{Principal, StoreError};
use weir_wire::{request::without_boundary, tasks as wire};

use super::{blocking, look::lane_of, owned, tell::Form};
use crate::{
    Gateway,
    accept::{self, Arrival, Asked},
    joins::{self, Entry, Said},
    refusal::Refusal,
};

/// Within this time an equal submission is taken for a likely mistake, and a marked retry for one.
pub(super) const DUPLICATE: Duration = Duration::from_secs(600);

/// A submission that was read and understood.
pub(crate) struct Wish {
    pub(super) shape: TaskShape,
    pub(super) ask: TaskAsk,
    pub(super) asked: Asked,
    /// What a remix is made of, and the channel that has it.
    pub(super) source: Option<(TaskRecord, usize)>,
    pub(crate) said: Said,
    /// Its own task, if it repeats a submission of which only the store still knows.
    pub(super) known: Option<TaskRecord>,
    /// What others know it by who repeat it.
    pub(super) entry: Option<Arc<Entry>>,
}

impl Wish {
    /// Whether the store knows nothing of it; memory may.
    pub(crate) fn is_new(&self) -> bool {
        self.known.is_none()
    }

    /// It is a call of its own, and known as this.
    pub(crate) fn begins(&mut self, own: Arc<Entry>) -> Arc<Entry> {
        self.entry = Some(Arc::clone(&own));
        own
    }
}

/// Reads a submission.
pub(crate) async fn wish(
    gateway: &Arc<Gateway>,
    arrival: &mut Arrival,
    shape: TaskShape,
    principal: &Principal,
    record: &mut CallRecord,
) -> Result<Wish, Refusal> {
    let source = source(gateway, arrival, principal).await?;
    let mut asked = match &source {
        None => arrival.read(gateway).await?,
        Some((task, _)) => arrival.read_for(&task.model, gateway).await?,
    };
    // Nothing is streamed here, whatever was asked.
    asked.peek.stream = false;
    record.model = gateway.screen.model(&asked.peek.model);
    record.scenario = Scenario::MediaTask;
    let mut ask = ask(arrival, &asked).await?;
    if let Some((task, _)) = &source {
        ask = task.ask.clone();
    }
    let said = Said::of(gateway, arrival, principal, &asked, record)?;
    let known = known(gateway, arrival, shape, principal, &said, &asked).await?;
    Ok(Wish { shape, ask, asked, source, said, known, entry: None })
}

/// The task of a submission that is repeated, where only the store still knows: after a restart, or when its answer is no longer kept.
async fn known(
    gateway: &Arc<Gateway>,
    arrival: &Arrival,
    shape: TaskShape,
    principal: &Principal,
    said: &Said,
    asked: &Asked,
) -> Result<Option<TaskRecord>, Refusal> {
    let kid = principal.kid.clone();
    // Whether it was submitted cannot be found out: asking again later is safe, a second submission is not.
    let unknown = |_: StoreError| Refusal::of(Verdict::GatewayInternal).status(503);
    if !gateway.joins.lacks(said) {
        return Ok(None);
    }
    if let Some(key) = said.key {
        let since = Timestamp(arrival.at.0.saturating_sub(joins::KNOWN_MS));
        let found = blocking(gateway, move |gateway| {
            let Some((call, request)) = gateway.books.keyed_call(&kid, &key, since)? else { return Ok(None) };
            Ok(Some((call, request, gateway.books.store().task(call)?)))
        });
        return match found.await?.map_err(unknown)? {
            None => Ok(None),
            Some((_, _, Some(task))) if task.is_refused() => Ok(None),
            Some((call, request, _)) if request != said.request => Err(joins::reused(call)),
            Some((_, _, Some(task))) => Ok(Some(task)),
            Some((call, _, None)) => Err(joins::gone(call)),
        };
    }
    if !said.marked {
        return Ok(None);
    }
    let (since, body) = (recent(arrival.at), likeness(arrival, asked));
    blocking(gateway, move |gateway| gateway.books.submitted(&kid, shape, &body, since)).await?.map_err(unknown)
}

/// From when on a submission is recent.
pub(super) fn recent(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(DUPLICATE.as_millis()).unwrap_or(i64::MAX)))
}

/// What two equal submissions have in common: a form's boundary is drawn anew for each, and a remix says in its path alone what it is made of.
pub(super) fn likeness(arrival: &Arrival, asked: &Asked) -> Bytes {
    let kind = multipart(&arrival.head.headers);
    let path = arrival.is_remix().then(|| arrival.head.uri.path().as_bytes());
    if kind.is_none() && path.is_none() {
        return asked.body.clone();
    }
    let parts = kind.map_or_else(|| vec![&asked.body[..]], |kind| without_boundary(kind, &asked.body));
    [&[path.unwrap_or_default()], &parts[..]].concat().concat().into()
}

/// The content type, if it is a form with files.
fn multipart(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    kind.to_ascii_lowercase().starts_with("multipart/").then_some(kind)
}

/// The task that a remix is made of, and the channel that has it.
async fn source(gateway: &Arc<Gateway>, arrival: &Arrival, principal: &Principal) -> Result<Option<(TaskRecord, usize)>, Refusal> {
    let path = arrival.head.uri.path();
    let Some(id) = path.strip_prefix("/v1/videos/").and_then(|rest| rest.strip_suffix("/remix")) else { return Ok(None) };
    let task = owned(gateway, principal, TaskShape::Videos, id).await?;
    let refused = |what: &str| Refusal::of(Verdict::RequestRejected).saying(format_args!("task {} {what}", task.id()));
    if task.state != TaskState::Succeeded {
        return Err(refused("has no video to remix").status(409).never_retry());
    }
    match lane_of(gateway, &task) {
        Some((lane, adapter)) if adapter.remix.is_some() => {
            let lane = lane.at;
            Ok(Some((task, lane)))
        }
        _ => Err(refused("was made by an upstream that does not remix")),
    }
}

/// The task that a request becomes: every video, and a picture that nobody wants to wait for.
pub(crate) fn shape_of(arrival: &Arrival) -> Option<TaskShape> {
    let pictures = matches!(arrival.route, Route::ImageGenerations | Route::ImageEdits);
    let waits = || Form::of(&arrival.head.headers) == Form::Own;
    arrival.route.task().or_else(|| (pictures && !waits()).then_some(TaskShape::Images))
}

/// What the request asks for, as far as it is paid for.
async fn ask(arrival: &Arrival, asked: &Asked) -> Result<TaskAsk, Refusal> {
    let read = if multipart(&arrival.head.headers).is_some() {
        let fields = accept::fields(&arrival.head, &asked.body, &["seconds", "duration", "n", "size"]).await;
        wire::ask_of_form(|name| fields.get(name).cloned())
    } else {
        wire::ask(&asked.body)
    };
    read.map_err(|fault| Refusal::of(Verdict::RequestRejected).saying(fault.message).param(fault.param))
}
