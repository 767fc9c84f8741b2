//! How a stream arrived, in numbers: events, groups, gaps, and the pieces that the last hop made of it.

use std::time::Duration;

use weir_client::probe::{BodyEnd, HttpVersion, Limit};

use super::{End, Trace};

/// Events that lie closer belong to one group.
pub const CLUSTER_GAP: Duration = Duration::from_millis(20);

/// Events that arrived together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    pub at: Duration,
    pub end: Duration,
    pub events: u32,
    pub bytes: u64,
}

/// What a stream's arrivals say. Times count from the request's last byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measures {
    pub events: u32,
    pub clusters: Vec<Cluster>,
    pub first: Duration,
    pub last: Duration,
    pub total: Duration,
    /// The longest time without a byte, after the head.
    pub gap_max: Duration,
    /// Reads that brought a part of an event or more. A server that flushes each event makes a chunk or a frame of each, and
    /// those stay apart however the network bunches them; a hop that stores makes few large ones.
    pub pieces: u32,
    /// Those that ended where an event ended. The network cuts a large piece anywhere.
    pub aligned: u32,
    /// HTTP told the pieces apart; by the close of the connection alone they are only what the kernel had.
    pub is_framed: bool,
    /// Comment lines came while there was no data: nothing on the way holds bytes back.
    pub beats_first: bool,
}

impl Measures {
    /// `None`: there was no event.
    #[must_use]
    pub fn of(trace: &Trace) -> Option<Self> {
        let with_events = || trace.arrivals.iter().filter(|arrival| arrival.events > 0);
        let (first, last) = (with_events().next()?.at, with_events().next_back()?.at);
        let mut clusters: Vec<Cluster> = Vec::new();
        for arrival in &trace.arrivals {
            match clusters.last_mut() {
                Some(cluster) if arrival.at.saturating_sub(cluster.end) <= CLUSTER_GAP => {
                    cluster.end = arrival.at;
                    cluster.events += arrival.events;
                    cluster.bytes += arrival.bytes;
                }
                _ => clusters.push(Cluster { at: arrival.at, end: arrival.at, events: arrival.events, bytes: arrival.bytes }),
            }
        }
        clusters.retain(|cluster| cluster.events > 0);
        let beats_first = trace.arrivals.iter().any(|arrival| arrival.comments > 0 && arrival.at + CLUSTER_GAP < first);
        Some(Self {
            events: with_events().map(|arrival| arrival.events).sum(),
            clusters,
            first,
            last,
            total: trace.total,
            gap_max: gap_max(trace),
            pieces: u32::try_from(trace.arrivals.iter().filter(|arrival| arrival.comments == 0 || arrival.events > 0).count())
                .unwrap_or(u32::MAX),
            aligned: u32::try_from(trace.arrivals.iter().filter(|arrival| arrival.ends_event).count()).unwrap_or(u32::MAX),
            is_framed: trace.version != Some(HttpVersion::Http10) && trace.end != End::Body(BodyEnd::Closed),
            beats_first,
        })
    }

    #[must_use]
    pub fn span(&self) -> Duration {
        self.last.saturating_sub(self.first)
    }
}

/// The longest time without a byte between the head and the end.
#[must_use]
pub fn gap_max(trace: &Trace) -> Duration {
    let head = trace.phases.first_byte.unwrap_or_default();
    let mut before = head;
    let mut longest = Duration::ZERO;
    for arrival in &trace.arrivals {
        longest = longest.max(arrival.at.saturating_sub(before));
        before = arrival.at;
    }
    // The silence before a proper end is no gap between data; the one before a break is what broke it, more often than not.
    let is_broken = matches!(trace.end, End::Body(end) if end.is_cut() || matches!(end, BodyEnd::Limit(Limit::Gap | Limit::FirstByte)));
    if is_broken {
        longest = longest.max(trace.total.saturating_sub(before));
    }
    longest
}
