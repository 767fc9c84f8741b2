//! How weir estimates tokens from text, where the upstream counted nothing.

/// What was handed over, as an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveredEstimate {
    /// UTF-8 bytes of text, reasoning and tool arguments.
    pub bytes: u64,
    /// Output tokens.
    pub tokens: u64,
}
