//! Answers that are no streams: what they used, how they ended, and the error that some hide in a 200.

mod stream;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::value::RawValue;
use weir_core::{Route, Usage};

pub use stream::as_stream;

use crate::{
    DeliveredEstimate, UpstreamError,
    json::{Count, Measured, Text},
    tokens::TextCount,
    usage::WireUsage,
    watch::{Choices, Incomplete, kept_id, kept_reason},
};

/// What an accepted answer says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub usage: Option<Usage>,
    /// The last choice's, ≤ 32 characters of `[a-z_]`. For responses: the status, or why it is incomplete.
    pub finish_reason: Option<String>,
    /// The answer's own id, ≤ 96 characters of `[\w.:-]`.
    pub id: Option<String>,
    /// An error in the body of a 2xx, or a body that is no answer of this route at all: a page, or nothing.
    pub error: Option<UpstreamError>,
    /// What weir counted of the output, for upstreams that report no usage.
    pub delivered: DeliveredEstimate,
}

/// The answers of all routes, only as far as weir looks into them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Whole<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    object: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    stop_reason: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    msg: Text<'a>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    base_resp: Option<BaseResponse>,
    #[serde(borrow)]
    choices: Option<Choices<'a>>,
    /// Of responses.
    output: Option<Measured>,
    #[serde(borrow)]
    incomplete_details: Option<Incomplete<'a>>,
    /// Of messages.
    content: Option<Measured>,
    /// Of transcripts, with the seconds of sound behind them.
    text: Option<Measured>,
    duration: Count,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    usage: Option<WireUsage>,
    /// Cohere's and Jina's place for the usage of a rerank.
    meta: Option<Meta>,
}

/// MiniMax answers errors with 200.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BaseResponse {
    status_code: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    tokens: Option<WireUsage>,
}

/// Reads a whole answer that came with a 2xx.
#[must_use]
pub fn read(route: Route, body: &[u8]) -> Answer {
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    match is_object.then(|| whole(body)) {
        Some(Ok(whole)) => {
            let pictures = if matches!(route, Route::ImageGenerations | Route::ImageEdits) { whole.pictures() } else { 0 };
            let mut answer = whole.read(body);
            if pictures > 0 {
                answer.usage = Some(Usage { images: pictures, ..answer.usage.unwrap_or_default() });
            }
            answer
        }
        _ => not_an_object(route, body),
    }
}

/// Text that is known to be text is read without a look at each string's bytes.
fn whole(body: &[u8]) -> serde_json::Result<Whole<'_>> {
    std::str::from_utf8(body).map_or_else(|_| serde_json::from_slice(body), serde_json::from_str)
}

fn not_an_object(route: Route, body: &[u8]) -> Answer {
    let mut count = TextCount::default();
    let error = match route {
        // Sound, or a transcript as plain text.
        Route::AudioSpeech => None,
        Route::AudioTranscriptions | Route::AudioTranslations if !body.starts_with(b"<") => {
            count.add_text(&String::from_utf8_lossy(body));
            None
        }
        _ => Some(UpstreamError::read(200, body)),
    };
    Answer { error, delivered: count.into(), ..Answer::default() }
}

impl Whole<'_> {
    fn read(&self, body: &[u8]) -> Answer {
        let told = self.usage.or_else(|| self.meta.as_ref()?.tokens).and_then(|told| told.read());
        let timed = || (self.duration.0 > 0).then(|| Usage { seconds: self.duration.0, ..Usage::default() });
        Answer {
            usage: told.or_else(timed),
            finish_reason: Some(kept_reason(self.reason())).filter(|reason| !reason.is_empty()),
            id: Some(kept_id(self.id.as_str())).filter(|id| !id.is_empty()),
            error: self.is_error().then(|| UpstreamError::read(200, body)),
            delivered: self.measured().into(),
        }
    }

    /// Entries of `data`.
    fn pictures(&self) -> u64 {
        let entries = self.data.and_then(|data| serde_json::from_str::<Vec<&RawValue>>(data.get()).ok());
        entries.map_or(0, |entries| entries.len() as u64)
    }

    fn is_error(&self) -> bool {
        let has_failed = self.base_resp.as_ref().is_some_and(|base| base.status_code.0 != 0);
        let is_named = self.object.as_str() == "error" || self.kind.as_str() == "error";
        let has_result = self.choices.is_some()
            || self.output.is_some()
            || self.content.is_some()
            || self.text.is_some()
            || self.data.is_some()
            || self.results.is_some();
        let has_words = !self.message.as_str().is_empty() || !self.msg.as_str().is_empty() || self.detail.is_some();
        self.error.is_some() || has_failed || is_named || (has_words && !has_result)
    }

    fn reason(&self) -> &str {
        let of_choice = || self.choices.as_ref().map(|choices| choices.finish_reason.as_str());
        let of_incomplete = || self.incomplete_details.as_ref().map(|why| why.reason.as_str()).filter(|why| !why.is_empty());
        let of_response = || (self.object.as_str() == "response").then(|| self.status.as_str());
        of_choice().or_else(of_incomplete).or_else(of_response).unwrap_or(self.stop_reason.as_str())
    }

    fn measured(&self) -> TextCount {
        let mut sum = self.choices.as_ref().map_or(TextCount::default(), |choices| choices.measured);
        for Measured(count) in [self.output, self.content, self.text].into_iter().flatten() {
            sum.add(count);
        }
        sum
    }
}
