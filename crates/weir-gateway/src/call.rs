//! The life of one call, on one screen: accept, admit, reserve, attempt, relay, settle, seal.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use tokio::time::Instant;
use weir_core::{CallRecord, Charged, Route, Side, Verdict};
use weir_store::Hold;

use crate::{
    Gateway,
    accept::Arrival,
    admit,
    attempt::{self, CallLimits, millis},
    models,
    outlet::Outlet,
    refusal::Refusal,
    reply::{CLIENT_LEFT, Reply},
    settle,
    talk::{Live, Talk},
    tasks,
    vigil::Vigil,
};

/// Runs one call to its end, whatever happens to its connection. Every way out leads through `seal`.
pub(crate) async fn run(gateway: Arc<Gateway>, arrival: Arrival, outlet: Outlet) {
    let _running = gateway.closer.enter();
    let (id, route, began) = (arrival.id, arrival.route, arrival.began);
    let mut reply = Reply::new(outlet, id, route);
    let Ok(hold) = gateway.books.accept(id, route) else {
        let _ = reply.refuse(&Refusal::of(Verdict::GatewayFull), Charged::No).await;
        return;
    };
    let mut record = arrival.record();
    gateway.screen.sender(&mut record);
    let path = path(&gateway, arrival, &hold, &mut record, &mut reply);
    let refused = match unwound(std::pin::pin!(path)).await {
        Some(Ok(())) => None,
        Some(Err(refusal)) => Some(refusal),
        None => Some(Refusal::of(Verdict::GatewayInternal)),
    };
    if let Some(refusal) = refused {
        refusal.note(&mut record);
        let _ = reply.refuse(&refusal, record.charge.charged).await;
    }
    seal(&gateway, hold, record, &reply, began);
}

/// The path of a call that goes well; a refusal leaves it early. What is charged is in the record on every way out.
async fn path(
    gateway: &Arc<Gateway>,
    mut arrival: Arrival,
    hold: &Hold,
    record: &mut CallRecord,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    arrival.check_method(&gateway.screen)?;
    let principal = admit::principal(gateway, &arrival, record)?;
    let (route, began) = (arrival.route, arrival.began);
    if route == Route::Models {
        // Boxed: a rare path must not make room for itself in every call.
        return Box::pin(models::list(gateway, &arrival, &principal, record, reply)).await;
    }
    if let Some(shape) = tasks::shape_of(&arrival) {
        return Box::pin(tasks::submit(gateway, arrival, shape, &principal, hold, record, reply)).await;
    }
    let asked = arrival.read(&gateway.settings.limits).await?;
    record.model = gateway.screen.model(&asked.peek.model);
    record.stream = asked.peek.stream;
    record.scenario = attempt::scenario(&arrival.head.headers, || gateway.limiter.is_shared(&principal.kid));
    let policy = gateway.settings.policies.of(record.scenario);
    let limits = CallLimits::of(gateway, route, record, &asked.peek.model, policy, began);
    let admitted = admit::model(gateway, &principal, &asked.peek)?;
    let mut vigil = Vigil::new(reply.outlet.clone(), gateway.closer.clone(), began, &limits.timeouts, &gateway.settings.streams);
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
    let talk = Talk { gateway, admitted: &admitted, asked: &asked, hold, policy, limits, need: wanted.need() };
    let ended = talk.run(&arrival.head, Live { vigil: &mut vigil, record, reply }).await;
    record.charge = settle::end(charge, &admitted.price, &ended.used);
    permit.end(&admit::used(record));
    ended.last_word(record, reply).await
}

/// Ends the call: one row, with the charge in it. Nothing of the call happens after this.
fn seal(gateway: &Gateway, hold: Hold, mut record: CallRecord, reply: &Reply, began: Instant) {
    record.status = reply.status();
    if record.status == CLIENT_LEFT {
        // Whatever the upstream did afterwards, it was the client who ended this call.
        record.ended_by = Side::Client;
        if record.verdict != Verdict::ProducedNotDelivered {
            record.verdict = Verdict::ClientLeft;
        }
    }
    record.timing.total = millis(began.elapsed());
    #[cfg(test)]
    if gateway.sabotage == crate::world::Sabotage::DroppedRecord {
        return;
    }
    #[cfg(test)]
    if gateway.sabotage == crate::world::Sabotage::DoubleSettle {
        record.charge.amount = weir_core::Amount(record.charge.amount.0 * 2);
    }
    gateway.books.seal(hold, record);
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
