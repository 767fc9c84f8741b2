//! Server-sent events without IO.
use bytes::Bytes;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read an event: it exceeds {limit_bytes} bytes")]
pub struct EventTooLong {
    pub limit_bytes: usize,
}

#[derive(Debug)]
pub struct FrameSplitter {
    limit_bytes: usize,
}

impl FrameSplitter {
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes }
    }
    /// Each output is one raw frame with its blank-line border; frames found before the error are in `out`.
    pub fn feed(&mut self, _chunk: Bytes, _out: &mut Vec<Bytes>) -> Result<(), EventTooLong> {
        Err(EventTooLong { limit_bytes: self.limit_bytes })
    }
    /// Bytes of an event whose border has not come.
    pub fn pending(&self) -> usize {
        0
    }
    /// The unterminated rest.
    pub fn finish(self) -> Bytes {
        Bytes::new()
    }
}
