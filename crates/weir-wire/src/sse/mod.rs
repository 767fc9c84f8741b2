//! Server-sent events without IO: whole frames for the relay, decoded events for whoever must understand them.
//!
//! [`FrameSplitter`] finds where events end and hands their bytes on unchanged; [`Decoder`] reads events as the standard
//! says; [`FrameParts`] looks into one raw frame without copying. None reads, waits or looks at a clock.

mod decoder;
mod parts;
mod seam;
mod splitter;
#[cfg(test)]
mod tests;

pub use decoder::{Decoded, Decoder, Event};
pub use parts::{FrameParts, event_data, without_bom};
pub use seam::Seam;
pub use splitter::FrameSplitter;

/// An event exceeds the limit that its reader was given. The reader must not be fed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read an event: it exceeds {limit_bytes} bytes")]
pub struct EventTooLong {
    pub limit_bytes: usize,
}
