//! What was seen of one exchange: phases, head, each read with its time, and how the body ended. Plain values; the rules read nothing else.

mod measures;
mod reading;

use std::time::Duration;

use weir_client::probe::{BodyEnd, Fault, HttpVersion, Phases, TlsSeen};
use weir_wire::UpstreamError;

pub use measures::{CLUSTER_GAP, Cluster, Measures, gap_max};
pub use reading::{ARRIVALS_MAX, BODY_BYTES, Reading};

/// One exchange. Times of the body count from the request's last byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub phases: Phases,
    pub tls: Option<TlsSeen>,
    pub version: Option<HttpVersion>,
    /// `None`: no head came.
    pub status: Option<u16>,
    /// The response headers that may be kept; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Every read that brought something, in order; reads beyond the bound were added to the last.
    pub arrivals: Vec<Arrival>,
    pub body: Body,
    pub end: End,
    /// How far the server's `Date` is ahead of this machine's clock, in seconds.
    pub skew_s: Option<i64>,
    /// Until the body's end, or until whatever ended the exchange.
    pub total: Duration,
}

/// One read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrival {
    pub at: Duration,
    /// As they came, before anything was decompressed.
    pub bytes: u64,
    /// The data events that this read completed.
    pub events: u32,
    /// Comment lines, such as heartbeats.
    pub comments: u32,
    /// It ended where an event ended: whoever wrote it may have flushed there.
    pub ends_event: bool,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There was an answer, and its body ended like this.
    Body(BodyEnd),
    /// There was no answer.
    Never(Fault),
}

/// What the body was read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// There was none to read.
    None,
    Whole(Whole),
    Stream(StreamBody),
}

/// What a body looks like, whatever its content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    #[default]
    Empty,
    Json,
    Html,
    Text,
}

/// A body that was read as one piece.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whole {
    pub shape: Shape,
    pub bytes: u64,
    /// The error inside, if there is one; for statuses of 400 and above whatever the body says.
    pub error: Option<UpstreamError>,
    /// `choices`, `content`, `output` or `data`: an answer and not a phrase.
    pub is_answer: bool,
    pub finish_reason: Option<String>,
    /// Output tokens as the upstream counted them.
    pub output_tokens: Option<u64>,
    /// It holds text, or a call of a tool.
    pub has_text: bool,
    /// It has an `error` member, as APIs tell theirs.
    pub has_error_object: bool,
    /// `error.param`, where it is tame.
    pub param: Option<String>,
    /// What weir says of its own errors: the verdict, and when a retry may succeed (milliseconds since 1970).
    pub verdict: Option<weir_core::Verdict>,
    pub scope: Option<String>,
    /// When the answer says that a retry may succeed, in milliseconds since 1970, from headers or body.
    pub reset_at_ms: Option<i64>,
}

/// A body that was read as an event stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamBody {
    /// Events with data.
    pub events: u32,
    /// Lines that begin with `data:` and have something behind it.
    pub data_lines: u32,
    pub comments: u32,
    /// Events with text, reasoning or tool arguments.
    pub content_events: u32,
    /// The end marker of the family passed.
    pub is_done: bool,
    pub finish_reason: Option<String>,
    /// Every choice finished.
    pub is_complete: bool,
    pub error: Option<UpstreamError>,
    /// What weir says of an error of its own.
    pub verdict: Option<weir_core::Verdict>,
    /// The first line, counted from 1, that no client can read.
    pub malformed_line: Option<u32>,
    /// Output tokens as the upstream counted them.
    pub output_tokens: Option<u64>,
    /// Bytes of the body after decompression.
    pub bytes: u64,
}

impl Trace {
    /// A response header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn stream(&self) -> Option<&StreamBody> {
        if let Body::Stream(stream) = &self.body { Some(stream) } else { None }
    }

    #[must_use]
    pub fn whole(&self) -> Option<&Whole> {
        if let Body::Whole(whole) = &self.body { Some(whole) } else { None }
    }

    /// The time of the probe ran out, and nobody had refused.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        matches!(self.end, End::Never(Fault::Silent) | End::Body(BodyEnd::Limit(_))) && !matches!(self.status, Some(400..))
    }

    /// The error that the answer told, whole or in its stream.
    #[must_use]
    pub fn error(&self) -> Option<&UpstreamError> {
        match &self.body {
            Body::None => None,
            Body::Whole(whole) => whole.error.as_ref(),
            Body::Stream(stream) => stream.error.as_ref(),
        }
    }
}
