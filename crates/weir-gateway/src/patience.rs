//! Clients whose SDK announces how long it waits: each is answered just before that, and its call goes on for whoever repeats it.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;
use weir_core::{Charged, ClientFacts, RequestId, Route, Side, Verdict};
use weir_wire::Scope;

use crate::{Streams, refusal::Refusal, reply};

/// SDKs pause for up to 8 s between two tries; a call that was promised to them lingers at least as long, and a little for the way.
pub(crate) const COMES_BACK: Duration = Duration::from_secs(10);

/// How long a client waits, by its own announcement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    announced_s: u32,
    /// When it must have been answered.
    pub(crate) until: Instant,
}

/// How long before `announced` is over an answer must leave: a tenth of the time, at most two seconds, is for its way back.
pub(crate) fn in_time(announced: Duration) -> Duration {
    announced.saturating_sub((announced / 10).min(Duration::from_secs(2)))
}

/// No announcement makes heartbeats come faster than this.
const FASTEST: Duration = Duration::from_millis(500);

/// How long this client may hear nothing of an open stream: two heartbeats fit into the time that its SDK waits between two reads.
pub(crate) fn heartbeat(streams: &Streams, client: &ClientFacts) -> Duration {
    streams.heartbeat.min(client.read_timeout_s.map_or(Duration::MAX, half))
}

fn half(announced_s: u32) -> Duration {
    (Duration::from_secs(announced_s.into()) / 2).max(FASTEST)
}

impl Patience {
    /// From now on: a client's time begins when it has sent its request.
    pub(crate) fn of(client: &ClientFacts) -> Option<Self> {
        let announced_s = client.read_timeout_s?;
        Some(Self { announced_s, until: Instant::now() + in_time(Duration::from_secs(announced_s.into())) })
    }

    /// How long it may hear nothing of a stream that it reads.
    pub(crate) fn heartbeat(self) -> Duration {
        half(self.announced_s)
    }

    /// What it is told when its time is over while `call` runs.
    pub(crate) fn over(self, call: RequestId) -> Refusal {
        let what = format!(
            "there is no answer yet, and your client announced that it waits {} s; call {call} is still running: send the same request again and it joins that call, nothing is generated or charged twice. A longer read timeout or a stream avoids this",
            self.announced_s
        );
        // The code is the one of a wait for a first byte; what is to be mended is the client's.
        let refusal = Refusal::of(Verdict::FirstByteTimeout).judged(Verdict::ClientLeft).quoting(what.clone(), what);
        refusal.scope(Scope::Upstream).by(Side::Client).again_soon().about(call)
    }
}

/// What a call says to its first client when that one's time is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parting {
    pub(crate) patience: Patience,
    pub(crate) call: RequestId,
    pub(crate) route: Route,
}

impl Parting {
    pub(crate) fn answer(self) -> (Response<()>, Bytes) {
        let (mut head, body) = self.patience.over(self.call).response(self.call, self.route, Charged::Pending);
        reply::name(&mut head, self.call, self.route);
        (head, body)
    }
}
