//! The four limits of one attempt. Each has a verdict of its own, so a timeout always has a name.

use std::time::Duration;

/// How long each part of an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection (TLS included) stands.
    pub connect: Duration,
    /// From the request's last byte until the answer's first byte.
    pub first_byte: Duration,
    /// Between two pieces of an answer that has begun.
    pub idle: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    /// Connect fails fast because another try is free; a slow model may think for two minutes before its first byte
    /// (reasoning models do), but a stream that has begun and is silent for a minute is dead; ten minutes is what
    /// the OpenAI SDKs wait in all.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}
