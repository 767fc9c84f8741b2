//! Chat completions: one object, or chunks that end with `[DONE]`.

use super::{Event, Events, Mark, created};
use crate::{
    ask::{Answer, Finish},
    text::{id, json},
};

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
        Finish::Tools => "tool_calls",
    }
}

pub(super) fn usage(answer: &Answer) -> String {
    let (prompt, completion) = (answer.prompt_tokens, answer.completion_tokens());
    format!(
        r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
        prompt + completion,
        answer.reasoning
    )
}

fn tool_calls(answer: &Answer) -> String {
    let call = |at| {
        format!(
            r#"{{"id":"{}","type":"function","function":{{"name":{},"arguments":{}}}}}"#,
            id("call_", answer.seed.wrapping_add(at), 24),
            answer.tool_name,
            json(&answer.arguments(at))
        )
    };
    (0..answer.tools).map(call).collect::<Vec<_>>().join(",")
}

fn choice(answer: &Answer, index: u64) -> String {
    let text = json(&answer.prose(index).whole());
    let (content, refusal) = if answer.refusal { ("null", text.as_str()) } else { (text.as_str(), "null") };
    let content = if answer.words == 0 { "null" } else { content };
    let mut message = format!(r#"{{"role":"assistant","content":{content},"refusal":{refusal},"annotations":[]"#);
    if answer.reasoning > 0 {
        message.push_str(&format!(r#","reasoning_content":{}"#, json(&answer.thought().whole())));
    }
    if answer.tools > 0 {
        message.push_str(&format!(r#","tool_calls":[{}]"#, tool_calls(answer)));
    }
    format!(r#"{{"index":{index},"message":{message}}},"logprobs":null,"finish_reason":"{}"}}"#, finish_reason(answer.finish))
}

pub(crate) fn whole(answer: &Answer) -> String {
    let choices = (0..answer.choices).map(|index| choice(answer, index)).collect::<Vec<_>>().join(",");
    let usage = if answer.usage { format!(r#","usage":{}"#, usage(answer)) } else { String::new() };
    format!(
        r#"{{"id":"{}","object":"chat.completion","created":{},"model":{},"choices":[{choices}]{usage},"service_tier":"default","system_fingerprint":"fp_sim"}}"#,
        id("chatcmpl-", answer.seed, 29),
        created(answer.seed),
        answer.model
    )
}

/// Writes the chunks of one answer.
#[derive(Clone)]
struct Chunks {
    head: String,
    tail: &'static str,
    padding: &'static str,
}

impl Chunks {
    fn new(answer: &Answer) -> Self {
        let head = format!(
            r#"{{"id":"{}","object":"chat.completion.chunk","created":{},"model":{},"service_tier":"default","system_fingerprint":"fp_sim","choices":["#,
            id("chatcmpl-", answer.seed, 29),
            created(answer.seed),
            answer.model
        );
        Self {
            head,
            tail: if answer.usage_chunk { r#","usage":null"# } else { "" },
            padding: if answer.obfuscation { r#","obfuscation":"xKp3vQ9w""# } else { "" },
        }
    }

    fn delta(&self, mark: Mark, index: u64, delta: &str, finish: Option<&str>) -> Event {
        let finish = finish.map_or_else(|| "null".to_owned(), |finish| format!("\"{finish}\""));
        let Self { head, tail, padding } = self;
        Event::new(mark, format!(r#"{head}{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]{tail}{padding}}}"#))
    }
}

fn tool_deltas(answer: &Answer) -> Vec<String> {
    let mut deltas = Vec::new();
    for call in 0..answer.tools {
        deltas.push(format!(
            r#"{{"tool_calls":[{{"index":{call},"id":"{}","type":"function","function":{{"name":{},"arguments":""}}}}]}}"#,
            id("call_", answer.seed.wrapping_add(call), 24),
            answer.tool_name
        ));
        let piece = |piece: &String| format!(r#"{{"tool_calls":[{{"index":{call},"function":{{"arguments":{}}}}}]}}"#, json(piece));
        deltas.extend(answer.argument_pieces(call).iter().map(piece));
    }
    deltas
}

pub(crate) fn events(answer: &Answer) -> Events {
    let chunks = Chunks::new(answer);
    let choices = answer.choices;
    let field = if answer.refusal { "refusal" } else { "content" };
    let opened = if answer.words == 0 { "null" } else { "\"\"" };

    let writer = chunks.clone();
    let open = (0..choices)
        .map(move |index| writer.delta(Mark::Open, index, &format!(r#"{{"role":"assistant","content":{opened},"refusal":null}}"#), None));
    let (writer, thought) = (chunks.clone(), answer.thought());
    let reasoning = (0..answer.reasoning * choices).map(move |at| {
        writer.delta(Mark::Delta, at % choices, &format!(r#"{{"reasoning_content":{}}}"#, json(&thought.piece(at / choices))), None)
    });
    let (writer, prose) = (chunks.clone(), answer.clone());
    let words = (0..answer.words * choices).map(move |at| {
        let index = at % choices;
        writer.delta(Mark::Delta, index, &format!(r#"{{"{field}":{}}}"#, json(&prose.prose(index).piece(at / choices))), None)
    });
    let (writer, deltas) = (chunks.clone(), tool_deltas(answer));
    let tools = (0..choices).flat_map(move |index| {
        let writer = writer.clone();
        deltas.clone().into_iter().map(move |delta| writer.delta(Mark::Delta, index, &delta, None))
    });
    let (writer, reason) = (chunks.clone(), finish_reason(answer.finish));
    let finish = (0..choices).map(move |index| writer.delta(Mark::Finish, index, "{}", Some(reason)));
    let total =
        answer.usage_chunk.then(|| Event::new(Mark::Usage, format!(r#"{}],"usage":{}{}}}"#, chunks.head, usage(answer), chunks.padding)));
    Box::new(open.chain(reasoning).chain(words).chain(tools).chain(finish).chain(total).chain(Some(Event::done())))
}
