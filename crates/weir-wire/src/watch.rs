//! Watches a stream pass.
use crate::{DeliveredEstimate, UpstreamError};
use weir_core::{Dialect, StreamEnd, Usage};

#[derive(Debug)]
pub enum Seen {
    /// Comments, or an event without data.
    Comment,
    /// An event without output: a role, a ping, a finish.
    Progress,
    /// An event with output.
    Content,
    /// The chat chunk with `choices: []` and `usage`.
    UsageOnly,
    /// An in-stream error; the family's end marker need not follow.
    Error(Box<UpstreamError>),
    /// The family's own end with an error inside: `response.failed`.
    Failed(Box<UpstreamError>),
    /// The family's own end.
    Marker,
    /// Data that is not what the family sends.
    Malformed,
}

/// How the bytes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eof {
    Clean,
    Cut,
}

#[derive(Debug)]
pub struct StreamWatch {
    _dialect: Dialect,
}

impl StreamWatch {
    pub fn new(dialect: Dialect) -> Self {
        Self { _dialect: dialect }
    }
    pub fn see(&mut self, _frame: &[u8]) -> Seen {
        Seen::Comment
    }
    pub fn usage(&self) -> Option<Usage> {
        None
    }
    pub fn delivered(&self) -> DeliveredEstimate {
        DeliveredEstimate::default()
    }
    pub fn finish_reason(&self) -> Option<&str> {
        None
    }
    pub fn upstream_response_id(&self) -> Option<&str> {
        None
    }
    /// Every choice seen has finished, or the family's terminal event passed.
    pub fn is_complete(&self) -> bool {
        false
    }
    pub fn end(&self, _how: Eof) -> StreamEnd {
        StreamEnd::None
    }
}
