//! What the gateway must know of a request.
use bytes::Bytes;
use weir_core::Route;

/// Why a request is refused before any upstream is asked. Holds nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestFault {
    pub message: String,
    pub param: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// ≤ 256 bytes, no control characters; empty only for routes without a body.
    pub model: String,
    pub stream: bool,
    /// The client itself asked for `stream_options.include_usage`.
    pub asked_usage: bool,
    /// Output tokens allowed per choice.
    pub max_output: Option<u64>,
    /// `n`, 1..=128.
    pub choices: u32,
    /// Input tokens, estimated.
    pub input_tokens: u64,
}

impl Peek {
    pub fn of_form(model: &str, stream: Option<&str>, _form_bytes: u64) -> Result<Self, RequestFault> {
        Ok(Self {
            model: model.to_owned(),
            stream: stream == Some("true"),
            asked_usage: false,
            max_output: None,
            choices: 1,
            input_tokens: 0,
        })
    }
}

pub fn peek(_route: Route, _content_type: Option<&str>, _body: &Bytes) -> Result<Peek, RequestFault> {
    Err(RequestFault { message: String::new(), param: None })
}
/// The body with `stream_options.include_usage` true, spliced in textually. `peek` must be of the same `body`.
pub fn with_include_usage(body: &Bytes, _peek: &Peek) -> Bytes {
    body.clone()
}
