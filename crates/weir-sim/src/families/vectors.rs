//! Answers that are never streams: embeddings, moderations, rerank.

use crate::{
    ask::Ask,
    digest::{base64, mix, share},
    text::{id, json},
};

/// Dimensions of `text-embedding-3-small`.
const DIMENSIONS_DEFAULT: u64 = 1536;
const DIMENSIONS_MAX: u64 = 8192;
/// OpenAI's own limit for one request.
const INPUTS_MAX: u64 = 2048;

pub(crate) fn embeddings(ask: &Ask) -> String {
    let dimensions = ask.number("dimensions").unwrap_or(DIMENSIONS_DEFAULT).clamp(1, DIMENSIONS_MAX);
    let packed = ask.text("encoding_format") == "base64";
    let one = |index| {
        let vector = unit_vector(ask.seed.wrapping_add(index), dimensions);
        let vector = if packed {
            format!("\"{}\"", base64(&vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()))
        } else {
            format!("[{}]", vector.iter().map(|x| format!("{x:.8}")).collect::<Vec<_>>().join(","))
        };
        format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#)
    };
    let data = (0..ask.inputs("input").min(INPUTS_MAX)).map(one).collect::<Vec<_>>().join(",");
    let tokens = ask.prompt_tokens();
    format!(
        r#"{{"object":"list","data":[{data}],"model":{},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#,
        json(&ask.model)
    )
}

/// A vector of length one, as the real ones are.
#[expect(clippy::cast_possible_truncation, reason = "embeddings are 32-bit floats")]
fn unit_vector(seed: u64, dimensions: u64) -> Vec<f32> {
    let raw: Vec<f64> = (0..dimensions).map(|at| share(seed, at) - 0.5).collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    raw.iter().map(|x| (x / length) as f32).collect()
}

pub(crate) fn moderations(ask: &Ask) -> String {
    const CATEGORIES: &[&str] = &[
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    let table = |value: &dyn Fn(u64) -> String| {
        (0u64..).zip(CATEGORIES).map(|(at, name)| format!("\"{name}\":{}", value(at))).collect::<Vec<_>>().join(",")
    };
    let one = |index: u64| {
        let (flags, scores) =
            (table(&|_| "false".to_owned()), table(&|at| format!("{:.7}", share(ask.seed.wrapping_add(index), at) * 0.01)));
        let types = table(&|_| r#"["text"]"#.to_owned());
        format!(r#"{{"flagged":false,"categories":{{{flags}}},"category_scores":{{{scores}}},"category_applied_input_types":{{{types}}}}}"#)
    };
    let results = (0..ask.inputs("input").min(INPUTS_MAX)).map(one).collect::<Vec<_>>().join(",");
    format!(r#"{{"id":"{}","model":{},"results":[{results}]}}"#, id("modr-", ask.seed, 29), json(&ask.model))
}

pub(crate) fn rerank(ask: &Ask) -> String {
    let count = ask.inputs("documents").min(INPUTS_MAX);
    let mut scored: Vec<(u64, u64)> = (0..count).map(|index| (mix(ask.seed, index) % 1_000_000, index)).collect();
    scored.sort_unstable_by(|left, right| right.cmp(left));
    let keep = usize::try_from(ask.number("top_n").unwrap_or(count)).unwrap_or(usize::MAX);
    let results = scored
        .iter()
        .take(keep)
        .map(|(score, index)| format!(r#"{{"index":{index},"relevance_score":0.{score:06}}}"#))
        .collect::<Vec<_>>()
        .join(",");
    let tokens = ask.prompt_tokens();
    format!(
        r#"{{"id":"{}","model":{},"results":[{results}],"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#,
        id("rerank-", ask.seed, 24),
        json(&ask.model)
    )
}
