//! What upstreams report as used, in every family's words, as weir's own [`Usage`].

use serde::Deserialize;
use weir_core::Usage;

use crate::json::Count;

/// A `usage` object. OpenAI counts cached input among its input, Anthropic beside it; some vendors say only a total.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WireUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    input_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    prompt_cache_hit_tokens: Count,
    cached_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    /// Transcriptions charged by time: `{"type":"duration","seconds":12}`.
    seconds: Count,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    reasoning_tokens: Count,
}

impl WireUsage {
    /// `None` if nothing was counted.
    pub(crate) fn read(&self) -> Option<Usage> {
        let input = self.input();
        let usage = Usage { input, cached: self.cached().min(input), output: self.output(input), images: 0, seconds: self.seconds.0 };
        (usage != Usage::default()).then_some(usage)
    }

    fn input(&self) -> u64 {
        // Beside `prompt_tokens` the cache fields repeat what is already among it; beside `input_tokens` they come on top.
        let beside = self.cache_read_input_tokens.0.saturating_add(self.cache_creation_input_tokens.0);
        let told = if self.prompt_tokens.0 > 0 { self.prompt_tokens.0 } else { self.input_tokens.0.saturating_add(beside) };
        let answered = self.completion_tokens.0.max(self.output_tokens.0);
        if told == 0 { self.total_tokens.0.saturating_sub(answered) } else { told }
    }

    fn cached(&self) -> u64 {
        let detail = |details: Option<Details>| details.map_or(0, |details| details.cached_tokens.0);
        let told = [self.prompt_cache_hit_tokens.0, self.cached_tokens.0, self.cache_read_input_tokens.0];
        told.into_iter().chain([detail(self.prompt_tokens_details), detail(self.input_tokens_details)]).max().unwrap_or(0)
    }

    fn output(&self, input: u64) -> u64 {
        let told = self.completion_tokens.0.max(self.output_tokens.0);
        let unexplained = self.total_tokens.0.saturating_sub(input).saturating_sub(told);
        // Some vendors leave reasoning out of the completion; their total proves it.
        let reasoning = self.completion_tokens_details.map_or(0, |details| details.reasoning_tokens.0);
        if told == 0 || reasoning == unexplained { told.saturating_add(unexplained) } else { told }
    }
}

/// Joins reports of one call: each number only grows, because streams report running totals.
pub(crate) fn join(seen: Option<Usage>, told: Option<Usage>) -> Option<Usage> {
    let (Some(a), Some(b)) = (seen, told) else { return seen.or(told) };
    Some(Usage {
        input: a.input.max(b.input),
        cached: a.cached.max(b.cached),
        output: a.output.max(b.output),
        images: a.images.max(b.images),
        seconds: a.seconds.max(b.seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_familys_usage_reads_as_ours() {
        let table = [
            (r#"{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}"#, (9, 0, 12)),
            (r#"{"prompt_tokens":90,"completion_tokens":12,"prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0}}"#, (90, 64, 12)),
            (r#"{"prompt_tokens":90,"completion_tokens":12,"prompt_cache_hit_tokens":30,"prompt_tokens_details":null}"#, (90, 30, 12)),
            (r#"{"input_tokens":5,"output_tokens":7,"total_tokens":12,"input_tokens_details":{"cached_tokens":2}}"#, (5, 2, 7)),
            (r#"{"input_tokens":5,"cache_read_input_tokens":100,"cache_creation_input_tokens":20,"output_tokens":7}"#, (125, 100, 7)),
            (r#"{"prompt_tokens":125,"cache_read_input_tokens":100,"completion_tokens":7}"#, (125, 100, 7)),
            (r#"{"prompt_tokens":8,"total_tokens":8}"#, (8, 0, 0)),
            (r#"{"total_tokens":8}"#, (8, 0, 0)),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45,"completion_tokens_details":{"reasoning_tokens":30}}"#,
                (10, 0, 35),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":35,"total_tokens":45,"completion_tokens_details":{"reasoning_tokens":30}}"#,
                (10, 0, 35),
            ),
            (r#"{"prompt_tokens":4,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#, (4, 4, 1)),
            (r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1,"total_tokens":3}"#, (u64::MAX, 0, 1)),
        ];
        for (json, (input, cached, output)) in table {
            let usage = serde_json::from_str::<WireUsage>(json).unwrap().read().unwrap();
            assert_eq!((usage.input, usage.cached, usage.output), (input, cached, output), "{json}");
        }
    }

    #[test]
    fn a_usage_of_nothing_is_none() {
        for json in ["{}", r#"{"prompt_tokens":0,"completion_tokens":null}"#, r#"{"prompt_tokens":-3,"search_units":1}"#] {
            assert_eq!(serde_json::from_str::<WireUsage>(json).unwrap().read(), None, "{json}");
        }
    }
}
