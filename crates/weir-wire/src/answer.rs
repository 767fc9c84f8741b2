//! Answers that are not streams.
use crate::{DeliveredEstimate, UpstreamError};
use bytes::Bytes;
use weir_core::{Dialect, Route, Usage};

#[derive(Debug, Default)]
pub struct Answer {
    pub usage: Option<Usage>,
    pub finish_reason: Option<String>,
    pub id: Option<String>,
    /// An error inside a 2xx body.
    pub error: Option<UpstreamError>,
    /// What weir counted of the output, for upstreams that report no usage.
    pub delivered: DeliveredEstimate,
}

pub fn read(_route: Route, _body: &[u8]) -> Answer {
    Answer::default()
}
/// A whole JSON completion as events; `None` if it is not one.
pub fn as_stream(_dialect: Dialect, _body: &[u8]) -> Option<Vec<Bytes>> {
    None
}
