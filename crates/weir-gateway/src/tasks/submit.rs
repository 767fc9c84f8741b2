//! A submission: the row first, then the upstream, once. Only what provably never left is sent again.

use std::{sync::Arc, time::Duration};

use weir_core::{
    Amount, CallRecord, Charged, Outcome, Price, RequestId, Side, TaskRecord, TaskShape, TaskState, Timestamp, Usage, Verdict,
    limit::Used,
    task::{Oddities, TaskAsk},
};
use weir_store::{Earlier, Hold, Keyed, NotMade, Principal};
use weir_wire::Scope;

use super::{
    adapter_of, blocking, cost, may_cost,
    send::Submission,
    tell::{Form, duplicate, join, name, repeat, say},
    wish::{Wish, likeness, recent},
};
use crate::{
    ClientGone, Duplicates, Gateway, Streams,
    accept::{Arrival, Asked},
    admit::{self, Admitted},
    attempt::{CallLimits, CallTerms},
    attempts::{Attempts, Turn},
    joins::Said,
    limiter::Permit,
    refusal::Refusal,
    reply::Reply,
    talk::Live,
    vigil::Vigil,
};

/// A submission that its call did not bring to an end is looked up this long after it must have ended.
const OVERDUE: Duration = Duration::from_secs(30);

/// The path of a submission, from what it wants to its answer.
pub(crate) async fn submit(
    gateway: &Arc<Gateway>,
    arrival: &mut Arrival,
    wish: Wish,
    principal: &Arc<Principal>,
    hold: &Hold,
    record: &mut CallRecord,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let Wish { shape, ask, asked, source, said, known, entry } = wish;
    let admitted = admit::model(gateway, principal, &asked.peek)?;
    let most = most(&admitted, &ask)?;
    let policy = gateway.settings.policies.of(record.scenario);
    let form = Form::of(&arrival.head.headers);
    if form == Form::Accepted {
        // The wish is weir's to fulfil.
        arrival.head.headers.remove("prefer");
    }
    if shape == TaskShape::Images {
        // Who does not wait for the answer sets it no limit.
        record.client.read_timeout_s = None;
    }
    let limits = CallTerms::of(gateway, record, &asked.peek.model, policy, arrival.began).limits();
    // A client that leaves does not cancel what was sent: what became of it must be known.
    let streams = Streams { client_gone: ClientGone::Finish, ..gateway.settings.streams };
    let mut vigil = Vigil::new(reply.outlet.clone(), gateway.closer.clone(), arrival.began, &limits.timeouts, &streams);
    let wanted = admit::wanted(gateway, principal, &asked.peek, most, record);
    let mut live = Live { vigil: &mut vigil, record, reply };
    if let Some(task) = &known {
        return repeat(task, &gateway.settings.tasks.terms, form, &mut live).await;
    }
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
    let new = New { shape, ask, price: admitted.price, held: most.1, made_of: source.as_ref().map(|(task, _)| task.call), said };
    let task = match begin(gateway, arrival, &asked, new, principal, turn, live.record).await {
        Ok(task) => task,
        Err(not_begun) => {
            attempts.said(turn.lane, Outcome::Nothing);
            permit.end(&admit::UNUSED);
            return match not_begun {
                NotBegun::Earlier(task) => join(&task, &gateway.settings.tasks.terms, form, &mut live).await,
                NotBegun::Refused(refusal) => Err(refusal),
            };
        }
    };
    gateway.limiter.submits(arrival.id);
    if let Some(entry) = &entry {
        entry.bind(true);
    }
    name(&task, live.reply);
    let made_of = source.and_then(|(task, _)| task.upstream_id);
    let submission = Submission { gateway, arrival, asked: &asked, made_of, task, form, entry };
    let finished = finish(submission, attempts, turn, &limits, &mut live).await;
    end(permit, live.record, arrival.id);
    finished
}

/// Sends what is recorded and answers; pictures that nobody waits for are answered first, and the rest of the call is the task's.
async fn finish(
    submission: Submission<'_>,
    attempts: Attempts<'_>,
    turn: Turn<'_>,
    limits: &CallLimits,
    live: &mut Live<'_>,
) -> Result<(), Refusal> {
    if submission.task.shape != TaskShape::Images {
        return submission.run(attempts, turn, limits, live).await;
    }
    live.record.charge = submission.task.charge;
    (live.record.verdict, live.record.ended_by) = (Verdict::Ok, Side::Done);
    say(&submission.task, &submission.gateway.settings.tasks.terms, submission.form, live).await;
    if let Err(refusal) = submission.run(attempts, turn, limits, live).await {
        refusal.note(live.record);
    }
    Ok(())
}

fn most(admitted: &Admitted, ask: &TaskAsk) -> Result<(Usage, Amount), Refusal> {
    let most = ask.most();
    let amount = admitted.price.of(&most).map_err(|_| Refusal::of(Verdict::BalanceSpent).scope(Scope::Account))?;
    Ok((most, amount))
}

/// What a submission takes of its limits: what it holds counts against the day at once, since nobody waits here for its end.
fn end(permit: Permit<'_>, record: &CallRecord, call: RequestId) {
    let used = Used { asked: !record.attempts.is_empty(), ..cost(&record.charge) };
    let held = Used { asked: used.asked, ..may_cost(&record.charge) };
    permit.end_submission(call, &used, (record.charge.charged == Charged::Pending).then_some(&held));
}

/// What is wanted and what it may cost.
struct New {
    shape: TaskShape,
    ask: TaskAsk,
    price: Price,
    held: Amount,
    made_of: Option<RequestId>,
    said: Said,
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
    new: New,
    principal: &Arc<Principal>,
    turn: Turn<'_>,
    record: &CallRecord,
) -> Result<TaskRecord, NotBegun> {
    let now = gateway.clock.now();
    let terms = gateway.settings.tasks.terms;
    let adapter = adapter_of(turn.lane, new.shape).ok_or_else(|| Refusal::of(Verdict::GatewayInternal))?;
    let total = gateway.settings.timeouts_of(record.route, &asked.peek.model).total;
    let task = TaskRecord {
        call: arrival.id,
        kid: principal.kid.clone(),
        account: principal.account.clone(),
        shape: new.shape,
        adapter: adapter.name.to_owned(),
        channel: turn.lane.name.clone(),
        model: record.model.clone(),
        ask: new.ask,
        state: TaskState::Submitted,
        upstream_id: None,
        submitted: now,
        deadline: now.after(terms.deadline),
        finished: None,
        next_look: now.after(total + OVERDUE),
        looks: 0,
        looked: None,
        progress: 0,
        price: new.price,
        charge: TaskRecord::held(new.held),
        fault: None,
        oddities: Oddities::default(),
        duplicate_of: None,
        removed: false,
        made_of: new.made_of,
    };
    let earlier = earlier(gateway, arrival, now);
    let (by, body) = (Arc::clone(principal), likeness(arrival, asked));
    let keyed = new.said.key.map(|key| Keyed { key, request: new.said.request });
    match blocking(gateway, move |gateway| gateway.books.submit_task(&by, task, &body, keyed.as_ref(), earlier)).await? {
        Ok(task) => Ok(task),
        Err(NotMade::Spent(_)) => Err(Refusal::of(Verdict::BalanceSpent).scope(Scope::Account).into()),
        // Under its own key it is the task that was made meanwhile.
        Err(NotMade::Earlier(task)) if gateway.settings.tasks.duplicates == Duplicates::Join || keyed.is_some() => {
            Err(NotBegun::Earlier(task))
        }
        Err(NotMade::Earlier(task)) => Err(duplicate(&task).into()),
        Err(NotMade::Store(error)) => {
            tracing::warn!(call.id = %arrival.id, %error, "failed to write the row of a task; it was not submitted");
            Err(Refusal::of(Verdict::GatewayInternal).saying("the task could not be recorded, so it was not submitted").into())
        }
    }
}

/// A submission that names itself is judged by that name, not by its likeness.
fn earlier(gateway: &Gateway, arrival: &Arrival, now: Timestamp) -> Earlier {
    let since = recent(now);
    match gateway.settings.tasks.duplicates {
        _ if arrival.head.headers.contains_key("idempotency-key") => Earlier::Ignored,
        Duplicates::Warn => Earlier::Named(since),
        Duplicates::Refuse | Duplicates::Join => Earlier::Instead(since),
    }
}
