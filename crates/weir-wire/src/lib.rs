//! The OpenAI-compatible wire as values: frames, usage, errors, waits, requests. Bytes in, nouns out.
//!
//! Pure: no IO, no async, no clock, no money. The gateway, the doctor and the simulator read and write the same wire here.

pub mod answer;
pub mod classify;
pub mod error;
pub mod headers;
mod json;
pub mod limits;
pub mod request;
pub mod sse;
pub mod tasks;
pub mod tokens;
mod unasked;
mod usage;
pub mod watch;

pub use answer::Answer;
pub use classify::{UpstreamClass, UpstreamError, UpstreamText, Vendor};
pub use error::{ErrorBody, Scope};
pub use headers::Audience;
pub use request::{Peek, RequestFault};
pub use sse::{EventTooLong, FrameSplitter, Seam};
pub use tokens::DeliveredEstimate;
pub use unasked::without_null_usage;
pub use watch::{Eof, Seen, StreamWatch};
