//! The law of whoever asks for the same again: at most one charge, and the answer that the first request got or would have got.

use weir_core::{CallRecord, Charged, Verdict};
use weir_sim::{Ended, SeenRequest};
use weir_store::StoredCall;

use super::{
    events::without_heartbeats,
    laws::{Law, hold},
    plan::Mark,
    run::{Ran, World},
};

use crate::patience::COMES_BACK;

/// Checks a call whose client came back.
pub(super) fn law(world: &World, call: &Ran) -> Law {
    let (Some(again), Some(comeback)) = (&call.again, call.asking.comeback) else { return Ok(()) };
    let caller = format!("c{}", call.asking.n);
    let rows: Vec<_> = world.records.iter().filter(|stored| stored.record.client.caller.as_deref() == Some(&*caller)).collect();
    hold(rows.len() <= 2, || format!("two requests left {} rows", rows.len()))?;
    let charged: Vec<&CallRecord> =
        rows.iter().map(|stored| &stored.record).filter(|record| record.charge.charged == Charged::Yes).collect();
    // Nothing tells an unmarked request from a new one, but that its client had been put off a moment ago.
    let put_off = call.got.was_put_off() && comeback.after <= COMES_BACK;
    let one_request = put_off
        || match comeback.mark {
            Mark::Key => true,
            Mark::Retry => comeback.after < WINDOW,
            Mark::None => false,
        };
    hold(charged.len() <= 1 || !one_request, || format!("one request was charged as {} and {}", charged[0].id, charged[1].id))?;
    // Who stays away for longer than the linger finds that its call has ended; where it had got nothing, nothing was charged, and what was made is gone.
    let first = rows.iter().map(|stored| &stored.record).min_by_key(|record| record.id);
    let forgotten = first.is_some_and(|first| first.verdict == Verdict::ClientLeft && first.charge.charged == Charged::No);
    let most = if forgotten && comeback.after >= world.plan.streams.linger { 2 } else { 1 };
    hold(!one_request || made(world, call) <= most, || format!("one request was answered {} times", made(world, call)))?;
    let Some(id) = again.header("x-request-id").filter(|_| call.reaches_accept()) else { return Ok(()) };
    let known =
        rows.iter().find(|stored| stored.record.id.to_string() == id || stored.requests.iter().any(|request| request.id.to_string() == id));
    let Some(known) = known else { return Err(format!("the second request {id} is in no row")) };
    // Who is put off is told which call runs on, be it its own.
    hold(again.was_put_off() || again.header("x-weir-call").is_some() == (known.record.id.to_string() != id), || {
        format!("{id} does not say whose answer it got")
    })?;
    match again.header("x-weir-call") {
        Some(of) => joined(call, known, of),
        None => Ok(()),
    }
}

/// How often the upstream made the whole answer.
fn made(world: &World, call: &Ran) -> usize {
    let whole = |seen: &&SeenRequest| seen.status == 200 && seen.ended == Ended::Completed && seen.model == call.asking.model;
    // What exceeds a limit of the gateway is refused, however good it was.
    if call.asking.good && world.plan.has_room() {
        world.seen.iter().filter(whole).filter(|seen| seen.body_hash == call.hash).count()
    } else {
        0
    }
}

/// As the gateway's default has it.
const WINDOW: std::time::Duration = std::time::Duration::from_secs(600);

/// What a request got of a call that the first began.
fn joined(call: &Ran, known: &StoredCall, of: &str) -> Law {
    let Some(again) = &call.again else { return Ok(()) };
    hold(of == known.record.id.to_string(), || format!("it says that it got the answer of {of}, not of {}", known.record.id))?;
    hold(again.whole, || "a joined answer just stopped".to_owned())?;
    if call.got.was_put_off() || again.was_put_off() {
        return Ok(());
    }
    let (first, second) = (without_heartbeats(&call.got.body), without_heartbeats(&again.body));
    let same = call.got.status == 0
        || call.got.status == again.status && (second.starts_with(&first) || call.got.is_stream() != again.is_stream());
    hold(same, || format!("the second got another answer: {} bytes are no beginning of {}", first.len(), second.len()))
}
