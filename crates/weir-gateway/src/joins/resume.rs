//! `GET /v1/weir/calls/{id}/stream?after=N`: a client that was cut reads on behind the events that it has seen. No upstream, no charge.

use std::{net::IpAddr, sync::Arc};

use hyper::{Request, body::Incoming};
use weir_core::{How, RequestId, Verdict};

use super::{
    Joining,
    follow::{read, row},
};
use crate::{Gateway, outlet::Gone, own, refusal::Refusal, reply::Reply};

/// Continues the running answer of a call of this key, or replays the rest of it.
pub(crate) async fn resume(
    gateway: &Arc<Gateway>,
    id: RequestId,
    after: u64,
    (request, peer): (&Request<Incoming>, Option<IpAddr>),
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let _running = gateway.closer.enter();
    let principal = own::owner(gateway, request, peer)?;
    let reader =
        gateway.joins.find(&principal.kid, id).and_then(|entry| Some((entry.outlet.attach(&gateway.closer, &reply.outlet)?, entry)));
    let Some((reader, entry)) = reader else {
        // Says whether there was such a call.
        let call = own::find(gateway, &principal, id).await?.record.id;
        let what =
            format!("the answer of call {call} is no longer kept, or was too long to be; its record is at GET /v1/weir/calls/{call}");
        let gone = Refusal::of(Verdict::ReplayedOnce).quoting(what.clone(), what).never_retry();
        return Err(gone.status(410).code(Some("replay_gone"), Some("invalid_request_error")));
    };
    let mut joining = Joining { entry, how: How::Resume, reader, patience: None };
    let at = gateway.clock.now();
    let mut row = row(&joining, reply.id(), at);
    gateway.books.joined(row.clone());
    let read: Result<(), Gone> = read(&mut joining, after, reply).await;
    let _ = read;
    (row.status, row.events) = (reply.status(), reply.events);
    gateway.books.joined(row);
    Ok(())
}
