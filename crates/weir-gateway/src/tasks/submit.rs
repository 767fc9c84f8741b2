//! A submission: the row first, then the upstream, once. Only what provably never left is sent again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use weir_core::{
    Amount, CallRecord, Failure, Outcome, Price, RequestId, Scenario, Side, TaskRecord, TaskShape, TaskState, Timestamp, Usage, Verdict,
    limit::Used,
    task::{Oddities, TaskAsk, TaskFault, Told},
};
use weir_store::{Earlier, Hold, NotMade, Principal};
use weir_wire::{
    Scope,
    tasks::{self as wire, Adapter},
};

use super::{
    adapter_of, address, blocking,
    look::{lane_of, screen},
    owned,
};
use crate::{
    ClientGone, Duplicates, Gateway, Streams,
    accept::{self, Arrival, Asked},
    admit::{self, Admitted},
    attempt::{self, CallLimits, Outgoing},
    attempts::{Attempts, Failed, Turn},
    limiter::Permit,
    private::Private,
    refusal::Refusal,
    reply::Reply,
    talk::Live,
    vigil::Vigil,
    whole,
};

/// Within this time an equal submission is taken for a likely mistake.
const DUPLICATE: Duration = Duration::from_secs(600);
/// A submission that its call did not bring to an end is looked up this long after it must have ended.
const OVERDUE: Duration = Duration::from_secs(30);

/// What became of one attempt.
enum Sent {
    /// The upstream took it under this id.
    Taken(String, Option<Told>),
    /// It said no: no job runs.
    Refused(Failed),
    /// It may have taken it; and what that says of the channel.
    Lost(Outcome),
    /// It provably never heard of it.
    Unsent(Failed),
}

/// What the stages of one submission share.
struct Submission<'a> {
    gateway: &'a Arc<Gateway>,
    arrival: &'a Arrival,
    asked: &'a Asked,
    /// The upstream's id of the job that this one is made of.
    made_of: Option<String>,
    task: TaskRecord,
}

/// The path of a submission, from its body to its answer.
pub(crate) async fn submit(
    gateway: &Arc<Gateway>,
    mut arrival: Arrival,
    shape: TaskShape,
    principal: &Arc<Principal>,
    hold: &Hold,
    record: &mut CallRecord,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let source = source(gateway, &arrival, principal).await?;
    let mut asked = match &source {
        None => arrival.read(&gateway.settings.limits).await?,
        Some((task, _)) => arrival.read_for(&task.model, &gateway.settings.limits).await?,
    };
    // Nothing is streamed here, whatever was asked.
    asked.peek.stream = false;
    record.model = gateway.screen.model(&asked.peek.model);
    record.scenario = Scenario::MediaTask;
    let mut ask = ask(&arrival, &asked).await?;
    if let Some((task, _)) = &source {
        ask = task.ask.clone();
    }
    let admitted = admit::model(gateway, principal, &asked.peek)?;
    let most = most(&admitted, &ask)?;
    let policy = gateway.settings.policies.of(record.scenario);
    let limits = CallLimits::of(gateway, record.route, record, &asked.peek.model, policy, arrival.began);
    // A client that leaves does not cancel what was sent: what became of it must be known.
    let streams = Streams { client_gone: ClientGone::Finish, ..gateway.settings.streams };
    let mut vigil = Vigil::new(reply.outlet.clone(), gateway.closer.clone(), arrival.began, &limits.timeouts, &streams);
    let wanted = admit::wanted(gateway, principal, &asked.peek, most, record);
    let mut live = Live { vigil: &mut vigil, record, reply };
    let permit = admit::limits(gateway, &wanted, hold, &mut live).await?;
    let mut attempts = Attempts::new(gateway, policy, Some(&asked.peek.model), limits, Some(wanted.need()));
    if let Some((_, lane)) = &source {
        attempts.pin(*lane);
    }
    let turn = match attempts.first(live.record.client.retry_header) {
        Ok(turn) => turn,
        Err(refusal) => {
            permit.end(&admit::UNUSED);
            return Err(refusal);
        }
    };
    let wish = Wish { shape, ask, price: admitted.price, held: most.1, made_of: source.as_ref().map(|(task, _)| task.call) };
    let task = match begin(gateway, &arrival, &asked, wish, principal, turn, live.record).await {
        Ok(task) => task,
        Err(not_begun) => {
            attempts.said(turn.lane, Outcome::Nothing);
            permit.end(&admit::UNUSED);
            return match not_begun {
                NotBegun::Earlier(task) => join(&task, &mut live).await,
                NotBegun::Refused(refusal) => Err(refusal),
            };
        }
    };
    name(&task, live.reply);
    let made_of = source.and_then(|(task, _)| task.upstream_id);
    let submission = Submission { gateway, arrival: &arrival, asked: &asked, made_of, task };
    let ended = submission.run(attempts, turn, &limits, &mut live).await;
    end(permit, live.record);
    ended
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

/// What the request asks for, as far as it is paid for.
async fn ask(arrival: &Arrival, asked: &Asked) -> Result<TaskAsk, Refusal> {
    let kind = arrival.head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let read = if kind.to_ascii_lowercase().starts_with("multipart/") {
        let fields = accept::fields(&arrival.head, &asked.body, &["seconds", "duration", "n", "size"]).await;
        wire::ask_of_form(|name| fields.get(name).cloned())
    } else {
        wire::ask(&asked.body)
    };
    read.map_err(|fault| Refusal::of(Verdict::RequestRejected).saying(fault.message).param(fault.param))
}

fn most(admitted: &Admitted, ask: &TaskAsk) -> Result<(Usage, Amount), Refusal> {
    let most = ask.most();
    let amount = admitted.price.of(&most).map_err(|_| Refusal::of(Verdict::BalanceSpent).scope(Scope::Account))?;
    Ok((most, amount))
}

/// What a submission takes of its limits: what it holds counts against the day at once, since nobody waits here for its end.
fn end(permit: Permit<'_>, record: &CallRecord) {
    let held = record.charge.charged != weir_core::Charged::No;
    let amount = if held { record.charge.held.0.unsigned_abs() } else { 0 };
    permit.end(&Used { asked: !record.attempts.is_empty(), charged: held, tokens: 0, amount });
}

/// What is wanted and what it may cost.
struct Wish {
    shape: TaskShape,
    ask: TaskAsk,
    price: Price,
    held: Amount,
    made_of: Option<RequestId>,
}

/// Why there is no new row.
enum NotBegun {
    /// An equal one is there, and answers for it.
    Earlier(Box<TaskRecord>),
    Refused(Refusal),
}

impl From<Refusal> for NotBegun {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Writes the row.
async fn begin(
    gateway: &Arc<Gateway>,
    arrival: &Arrival,
    asked: &Asked,
    wish: Wish,
    principal: &Arc<Principal>,
    turn: Turn<'_>,
    record: &CallRecord,
) -> Result<TaskRecord, NotBegun> {
    let now = gateway.clock.now();
    let terms = gateway.settings.tasks.terms;
    let adapter = adapter_of(turn.lane, wish.shape).ok_or_else(|| Refusal::of(Verdict::GatewayInternal))?;
    let total = gateway.settings.timeouts_of(record.route, &asked.peek.model).total;
    let task = TaskRecord {
        call: arrival.id,
        kid: principal.kid.clone(),
        account: principal.account.clone(),
        shape: wish.shape,
        adapter: adapter.name.to_owned(),
        channel: turn.lane.name.clone(),
        model: record.model.clone(),
        ask: wish.ask,
        state: TaskState::Submitted,
        upstream_id: None,
        submitted: now,
        deadline: now.after(terms.deadline),
        finished: None,
        next_look: now.after(total + OVERDUE),
        looks: 0,
        looked: None,
        progress: 0,
        price: wish.price,
        charge: TaskRecord::held(wish.held),
        fault: None,
        oddities: Oddities::default(),
        duplicate_of: None,
        removed: false,
        made_of: wish.made_of,
    };
    let earlier = earlier(gateway, arrival, now);
    let (by, body) = (Arc::clone(principal), asked.body.clone());
    match blocking(gateway, move |gateway| gateway.books.submit_task(&by, task, &body, earlier)).await? {
        Ok(task) => Ok(task),
        Err(NotMade::Spent(_)) => Err(Refusal::of(Verdict::BalanceSpent).scope(Scope::Account).into()),
        Err(NotMade::Earlier(task)) if gateway.settings.tasks.duplicates == Duplicates::Join => Err(NotBegun::Earlier(task)),
        Err(NotMade::Earlier(task)) => Err(duplicate(&task).into()),
        Err(NotMade::Store(error)) => {
            tracing::warn!(call.id = %arrival.id, %error, "failed to write the row of a task; it was not submitted");
            Err(Refusal::of(Verdict::GatewayInternal).saying("the task could not be recorded, so it was not submitted").into())
        }
    }
}

/// A submission that names itself is judged by that name, not by its likeness.
fn earlier(gateway: &Gateway, arrival: &Arrival, now: Timestamp) -> Earlier {
    let since = Timestamp(now.0.saturating_sub(i64::try_from(DUPLICATE.as_millis()).unwrap_or(i64::MAX)));
    match gateway.settings.tasks.duplicates {
        _ if arrival.head.headers.contains_key("idempotency-key") => Earlier::Ignored,
        Duplicates::Warn => Earlier::Named(since),
        Duplicates::Refuse | Duplicates::Join => Earlier::Instead(since),
    }
}

fn duplicate(task: &TaskRecord) -> Refusal {
    let refusal = Refusal::of(Verdict::TaskDuplicate).status(409).never_retry().code(Some("duplicate_task"), Some("invalid_request_error"));
    refusal.saying(format_args!("the same was submitted as {}; GET {} tells its state", task.id(), address(task)))
}

/// Answers with the task that is there already.
async fn join(task: &TaskRecord, live: &mut Live<'_>) -> Result<(), Refusal> {
    name(task, live.reply);
    note(live.reply, "x-weir-duplicate-of", &task.id());
    tracing::info!(task.id = %task.id(), call.id = %live.record.id, "answered an equal submission with the task that was there");
    (live.record.verdict, live.record.ended_by) = (Verdict::TaskDuplicate, Side::Done);
    say(task, live).await;
    Ok(())
}

fn note(reply: &mut Reply, header: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.limits.push((HeaderName::from_static(header), value));
    }
}

/// Every answer from here on names the task.
fn name(task: &TaskRecord, reply: &mut Reply) {
    note(reply, "x-weir-task-id", &task.id());
    if let Some(call) = task.duplicate_of {
        note(reply, "x-weir-duplicate-of", &TaskRecord::id_of(task.shape, call));
    }
}

async fn say(task: &TaskRecord, live: &mut Live<'_>) {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::OK;
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Bytes::from(wire::show(task, None).to_string());
    if live.reply.answer(head, body).await.is_err() {
        live.record.ended_by = Side::Client;
    }
}

impl Submission<'_> {
    /// Sends it until it is taken, refused or lost, and answers.
    async fn run(
        mut self,
        mut attempts: Attempts<'_>,
        mut turn: Turn<'_>,
        limits: &CallLimits,
        live: &mut Live<'_>,
    ) -> Result<(), Refusal> {
        live.record.charge = self.task.charge;
        let refusal = loop {
            match self.send(turn, limits, live).await? {
                Sent::Taken(id, told) => {
                    attempts.said(turn.lane, Outcome::Good);
                    return self.taken(id, told, live).await;
                }
                Sent::Refused(failed) => {
                    attempts.said(turn.lane, failed.failure.into());
                    break failed.refusal;
                }
                Sent::Lost(outcome) => {
                    attempts.said(turn.lane, outcome);
                    return self.lost(live).await;
                }
                Sent::Unsent(failed) => match attempts.next(turn, failed, live).await {
                    Ok(next) => turn = next,
                    Err(refusal) => break refusal,
                },
            }
            let (channel, adapter) = (turn.lane.name.clone(), adapter_of(turn.lane, self.task.shape));
            self.change(move |task, _| {
                task.channel = channel;
                adapter.map_or("", |adapter| adapter.name).clone_into(&mut task.adapter);
            })
            .await?;
        };
        let fault = TaskFault { code: refusal.code_word().to_owned(), text: String::new() };
        self.change(move |task, now| task.refuse(Some(fault), now)).await?;
        live.record.charge = self.task.charge;
        Err(refusal)
    }

    /// Changes the task's row.
    async fn change(&mut self, with: impl FnOnce(&mut TaskRecord, Timestamp) + Send + 'static) -> Result<(), Refusal> {
        let call = self.task.call;
        let changed = blocking(self.gateway, move |gateway| {
            let now = gateway.clock.now();
            gateway.books.change_task(call, now, |task| {
                let mut task = task.clone();
                with(&mut task, now);
                task
            })
        });
        match changed.await? {
            Ok(Some(task)) => {
                self.task = task;
                Ok(())
            }
            // The row says that it was sent, and will be looked up.
            _ => Err(self.unknown()),
        }
    }

    async fn send(&self, turn: Turn<'_>, limits: &CallLimits, live: &mut Live<'_>) -> Result<Sent, Refusal> {
        let adapter = adapter_of(turn.lane, self.task.shape).ok_or_else(|| Refusal::of(Verdict::GatewayInternal))?;
        let remix = self.made_of.as_deref().and_then(|id| Adapter::path(adapter.remix?, id));
        let path = remix.as_deref().unwrap_or(adapter.submit);
        let outgoing = Outgoing::new(&self.arrival.head, live.record.route, path, self.asked.body.clone());
        let mut answer = match attempt::ask(self.gateway, &outgoing, turn, limits, live).await {
            Ok(answer) => answer,
            Err(failed) if failed.failure == Failure::Unsent => return Ok(Sent::Unsent(failed)),
            Err(failed) => return Ok(Sent::Lost(failed.failure.into())),
        };
        let Ok(body) = whole::collect(&mut answer, Bytes::new(), live.vigil, self.gateway.settings.limits.answer_bytes).await else {
            return Ok(Sent::Lost(Outcome::Failed { told: None }));
        };
        let status = answer.head.status.as_u16();
        let said_no = |status: u16| {
            let private = Private::of(&self.asked.body);
            whole::refused(self.gateway, &turn.lane.target.host, private, status, &answer.head.headers, &body)
        };
        if !answer.head.status.is_success() {
            let failed = said_no(status);
            return Ok(if is_no(status, &body) { Sent::Refused(failed) } else { Sent::Lost(failed.failure.into()) });
        }
        Ok(match adapter.job(&body, &self.asked.peek.model) {
            Some(wire::Job { id: Some(id), mut told, .. }) => {
                told.iter_mut().for_each(|told| screen(self.gateway, told));
                Sent::Taken(id, told)
            }
            _ if adapter.refused(&body).is_some() => Sent::Refused(said_no(status)),
            _ => Sent::Lost(Outcome::Failed { told: None }),
        })
    }

    async fn taken(mut self, id: String, told: Option<Told>, live: &mut Live<'_>) -> Result<(), Refusal> {
        let (terms, roll) = (self.gateway.settings.tasks.terms, self.gateway.dice.roll());
        self.change(move |task, now| task.confirm(Some(id), told, now, &terms, roll)).await?;
        self.gateway.task_news.notify_one();
        live.record.charge = self.task.charge;
        (live.record.verdict, live.record.ended_by) = (Verdict::Ok, Side::Done);
        say(&self.task, live).await;
        Ok(())
    }

    async fn lost(mut self, live: &mut Live<'_>) -> Result<(), Refusal> {
        live.record.charge = self.task.charge;
        let (terms, roll) = (self.gateway.settings.tasks.terms, self.gateway.dice.roll());
        self.change(move |task, now| task.lose(now, &terms, roll)).await?;
        self.gateway.task_news.notify_one();
        live.record.charge = self.task.charge;
        Err(self.unknown())
    }

    /// Nobody knows whether it was taken: it is looked up, and must not be submitted again.
    fn unknown(&self) -> Refusal {
        let (id, address) = (self.task.id(), address(&self.task));
        let refusal = Refusal::of(Verdict::OutcomeUnknown).scope(Scope::Upstream).by(Side::Upstream).status(502).never_retry();
        refusal.saying(format_args!("task {id} was sent and no answer came; weir looks for it, and GET {address} tells its state"))
    }
}

/// Whether an error proves that no job runs. What a proxy says on behalf of an upstream proves nothing, nor does a conflict.
fn is_no(status: u16, body: &[u8]) -> bool {
    let is_json = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    match status {
        408 | 409 | 425 | 499 => false,
        400..=498 => true,
        501 | 503 | 529 => is_json,
        _ => false,
    }
}
