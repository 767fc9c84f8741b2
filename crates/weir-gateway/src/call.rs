//! The life of one call, on one screen: accept, admit, reserve, attempt, relay, settle, seal.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use tokio::time::Instant;
use weir_core::{CallRecord, ChargeRule, Charged, Route, Side, Told, Verdict};
use weir_store::Hold;

use crate::{
    Gateway,
    accept::Arrival,
    admit,
    attempt::{self, CallTerms, millis},
    joins::{self, Course, Entry, Joining, Said},
    models,
    outlet::{Outcome, Outlet},
    patience::Parting,
    refusal::Refusal,
    reply::{CLIENT_LEFT, Reply},
    settle,
    talk::{Live, Talk},
    tasks,
    vigil::Vigil,
};

/// Runs one call to its end, whatever happens to its connection. Every way out leads through `seal`.
// The request is borrowed all the way down: each `async fn` that takes it would have two places for it.
pub(crate) async fn run(gateway: Arc<Gateway>, mut arrival: Box<Arrival>, outlet: Outlet) {
    let _running = gateway.closer.enter();
    let (id, route, began) = (arrival.id, arrival.route, arrival.began);
    let mut reply = Reply::new(outlet, id, route);
    let Ok(hold) = gateway.books.accept(id, route) else {
        let _ = reply.refuse(&Refusal::of(Verdict::GatewayFull), Charged::No).await;
        return;
    };
    let mut record = arrival.record();
    gateway.screen.sender(&mut record);
    let mut entry = None;
    let way = {
        let path = path(&gateway, &mut arrival, &hold, &mut record, &mut reply, &mut entry);
        unwound(std::pin::pin!(path)).await
    };
    let refused = match way {
        Some(Ok(None)) => None,
        // Boxed: joining is rare.
        Some(Ok(Some(joining))) => return Box::pin(joins::follow(&gateway, hold, id, record.at, &mut reply, joining)).await,
        Some(Err(refusal)) => Some(refusal),
        None => Some(Refusal::of(Verdict::GatewayInternal)),
    };
    if let Some(refusal) = refused {
        refusal.note(&mut record);
        let _ = reply.refuse(&refusal, record.charge.charged).await;
    }
    seal(&gateway, hold, record, &reply, began, entry.as_ref());
}

/// The path of a call that goes well; a refusal leaves it early, and so does a request that belongs to another's call. What is charged is in
/// the record on every way out.
async fn path(
    gateway: &Arc<Gateway>,
    arrival: &mut Arrival,
    hold: &Hold,
    record: &mut CallRecord,
    reply: &mut Reply,
    entry: &mut Option<Arc<Entry>>,
) -> Result<Option<Joining>, Refusal> {
    arrival.check_method(&gateway.screen)?;
    let principal = admit::principal(gateway, arrival, record)?;
    let (route, began) = (arrival.route, arrival.began);
    if route == Route::Models {
        // Boxed: a rare path must not make room for itself in every call.
        return Box::pin(models::list(gateway, arrival, &principal, record, reply)).await.map(|()| None);
    }
    if let Some(shape) = tasks::shape_of(arrival) {
        let mut wish = Box::pin(tasks::wish(gateway, arrival, shape, &principal, record)).await?;
        if wish.is_new() {
            match joins::belongs(gateway, arrival, &principal, wish.said, hold, record, &reply.outlet)? {
                Course::Own(own) => *entry = Some(wish.begins(own)),
                Course::Joins(joining) => return Ok(Some(joining)),
            }
        }
        return Box::pin(tasks::submit(gateway, arrival, wish, &principal, hold, record, reply)).await.map(|()| None);
    }
    let asked = arrival.read(gateway).await?;
    record.model = gateway.screen.model(&asked.peek.model);
    record.stream = asked.peek.stream;
    record.scenario = attempt::scenario(&arrival.head.headers, || gateway.limiter.is_shared(&principal.kid));
    let said = Said::of(gateway, arrival, &principal, &asked, record)?;
    if let Some(shelf) = &gateway.shelf {
        // Boxed: the disk knows what few requests ask for.
        Box::pin(joins::restore(gateway, shelf, arrival, &principal, said)).await;
    }
    joins::unless_charged(gateway, arrival, &principal, &said)?;
    match joins::belongs(gateway, arrival, &principal, said, hold, record, &reply.outlet)? {
        Course::Own(own) => *entry = Some(own),
        Course::Joins(joining) => return Ok(Some(joining)),
    }
    let policy = gateway.settings.policies.of(record.scenario);
    let limits = CallTerms::of(gateway, record, &asked.peek.model, policy, began).joinable();
    let admitted = admit::model(gateway, &principal, &asked.peek)?;
    let parting = limits.patience.map(|patience| Parting { patience, call: arrival.id, route });
    let vigil = Vigil::new(reply.outlet.clone(), gateway.closer.clone(), began, &limits.timeouts, &gateway.settings.streams);
    let mut vigil = vigil.parting(parting);
    let most = admit::most(&admitted, &asked.peek, route)?;
    let wanted = admit::wanted(gateway, &principal, &asked.peek, most, record);
    let permit = admit::limits(gateway, &wanted, hold, &mut Live { vigil: &mut vigil, record, reply }).await?;
    let charge = match admit::reserve(gateway, hold, &principal, &asked.peek, most.1, &record.model).await {
        Ok(charge) => charge,
        Err(refusal) => {
            permit.end(&admit::UNUSED);
            return Err(refusal);
        }
    };
    if asked.peek.stream {
        attempt::let_go(&mut arrival.head);
    }
    let talk = Talk { gateway, admitted: &admitted, asked: &asked, hold, policy, limits, need: wanted.need() };
    let ended = talk.run(&arrival.head, Live { vigil: &mut vigil, record, reply }).await;
    record.charge = settle::end(charge, &admitted.price, &ended.used);
    permit.end(&admit::used(record));
    ended.last_word(record, reply).await.map(|()| None)
}

/// Ends the call: one row, with the charge in it. Nothing of the call happens after this.
fn seal(gateway: &Gateway, hold: Hold, mut record: CallRecord, reply: &Reply, began: Instant, entry: Option<&Arc<Entry>>) {
    record.status = reply.status();
    if record.status == CLIENT_LEFT {
        // Whatever the upstream did afterwards, it was the client who ended this call.
        record.ended_by = Side::Client;
        if record.verdict != Verdict::ProducedNotDelivered {
            record.verdict = Verdict::ClientLeft;
        }
    }
    if let Some((status, at)) = reply.outlet.parted() {
        record.told = Some(Told { status, at_ms: millis(at - began) });
        if record.ended_by == Side::Client {
            // Nobody came back: that is all that anybody got.
            record.status = status;
        }
    }
    record.timing.total = millis(began.elapsed());
    #[cfg(test)]
    if gateway.sabotage == crate::world::Sabotage::DroppedRecord {
        entry.into_iter().for_each(|entry| gateway.joins.ended(entry, outcome(&record, Some(entry))));
        return;
    }
    #[cfg(test)]
    if gateway.sabotage == crate::world::Sabotage::DoubleSettle {
        record.charge.amount = weir_core::Amount(record.charge.amount.0 * 2);
    }
    let outcome = outcome(&record, entry);
    gateway.books.seal(hold, record);
    if let Some(entry) = entry {
        gateway.joins.ended(entry, outcome);
        joins::shelve(gateway, entry, outcome);
    }
}

/// How a call ended, for whoever repeats it.
fn outcome(record: &CallRecord, entry: Option<&Arc<Entry>>) -> Outcome {
    let charged = matches!(record.charge.charged, Charged::Yes | Charged::Refunded | Charged::Unknown);
    // A job that may run is as good as charged.
    let charged = charged || entry.is_some_and(|entry| entry.is_bound());
    // What an upstream or a limit cut is all that there ever was of it; an answer that is no stream is charged only if it is whole.
    Outcome { charged, complete: charged && record.charge.rule != ChargeRule::ClientLeft }
}

/// Runs a future; `None` if it panicked. A broken invariant costs one call, and that call still gets its row.
/// Takes it pinned: an argument and its pin would both have a place in the call.
async fn unwound<F: Future>(mut work: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(move |cx| match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => std::task::Poll::Ready(None),
    })
    .await
}
