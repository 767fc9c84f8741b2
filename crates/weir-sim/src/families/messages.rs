//! Anthropic's messages: one object, or typed events that end with `message_stop`.

use super::{Event, Events, Mark};
use crate::{
    ask::{Answer, Finish},
    text::{id, json},
};

fn stop_reason(answer: &Answer) -> &'static str {
    match answer.finish {
        _ if answer.refusal => "refusal",
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ContentFilter => "refusal",
        Finish::Tools => "tool_use",
    }
}

fn usage(answer: &Answer, output: u64) -> String {
    let input = if answer.usage { answer.prompt_tokens } else { 0 };
    format!(
        r#"{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":{output},"service_tier":"standard"}}"#
    )
}

fn output_tokens(answer: &Answer) -> u64 {
    if answer.usage { answer.words + answer.reasoning + answer.tools * 18 } else { 0 }
}

fn message(answer: &Answer, content: &str, stop: &str, output: u64) -> String {
    format!(
        r#"{{"id":"{}","type":"message","role":"assistant","model":{},"content":[{content}],"stop_reason":{stop},"stop_sequence":null,"usage":{}}}"#,
        id("msg_01", answer.seed, 22),
        answer.model,
        usage(answer, output)
    )
}

fn signature(answer: &Answer) -> String {
    id("", answer.seed ^ 0x5167, 64)
}

pub(crate) fn whole(answer: &Answer) -> String {
    let mut blocks = Vec::new();
    if answer.reasoning > 0 {
        blocks.push(format!(r#"{{"type":"thinking","thinking":{},"signature":"{}"}}"#, json(&answer.thought().whole()), signature(answer)));
    }
    if answer.words > 0 {
        blocks.push(format!(r#"{{"type":"text","text":{}}}"#, json(&answer.prose(0).whole())));
    }
    for call in 0..answer.tools {
        blocks.push(format!(
            r#"{{"type":"tool_use","id":"{}","name":{},"input":{}}}"#,
            tool_id(answer, call),
            answer.tool_name,
            answer.arguments(call)
        ));
    }
    message(answer, &blocks.join(","), &format!("\"{}\"", stop_reason(answer)), output_tokens(answer))
}

fn tool_id(answer: &Answer, call: u64) -> String {
    id("toolu_01", answer.seed.wrapping_add(call), 22)
}

fn start(index: u64, block: &str) -> Event {
    let data = format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#);
    Event::named(Mark::Open, "content_block_start", data)
}

fn delta(index: u64, kind: &str, field: &str, text: &str) -> Event {
    let data = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"{kind}","{field}":{}}}}}"#, json(text));
    Event::named(Mark::Delta, "content_block_delta", data)
}

fn stop(index: u64) -> Event {
    Event::named(Mark::Open, "content_block_stop", format!(r#"{{"type":"content_block_stop","index":{index}}}"#))
}

/// The blocks before the text: the message's start, and its thinking.
fn opening(answer: &Answer) -> Events {
    let first =
        Event::named(Mark::Open, "message_start", format!(r#"{{"type":"message_start","message":{}}}"#, message(answer, "", "null", 1)));
    let ping = Event::named(Mark::Open, "ping", r#"{"type":"ping"}"#.to_owned());
    if answer.reasoning == 0 {
        return Box::new([first, ping].into_iter());
    }
    let thought = answer.thought();
    let thinking = (0..answer.reasoning).map(move |at| delta(0, "thinking_delta", "thinking", &thought.piece(at)));
    let head = [first, start(0, r#"{"type":"thinking","thinking":"","signature":""}"#), ping];
    let tail = [delta(0, "signature_delta", "signature", &signature(answer)), stop(0)];
    Box::new(head.into_iter().chain(thinking).chain(tail))
}

fn tools(answer: &Answer, first: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for call in 0..answer.tools {
        let index = first + call;
        events.push(start(
            index,
            &format!(r#"{{"type":"tool_use","id":"{}","name":{},"input":{{}}}}"#, tool_id(answer, call), answer.tool_name),
        ));
        events.extend(answer.argument_pieces(call).iter().map(|piece| delta(index, "input_json_delta", "partial_json", piece)));
        events.push(stop(index));
    }
    events
}

pub(crate) fn events(answer: &Answer) -> Events {
    let text_at = u64::from(answer.reasoning > 0);
    let has_text = answer.words > 0;
    let opening = opening(answer);
    let prose = answer.prose(0);
    let text = has_text.then(|| start(text_at, r#"{"type":"text","text":""}"#)).into_iter();
    let text = text
        .chain((0..answer.words).map(move |at| delta(text_at, "text_delta", "text", &prose.piece(at))))
        .chain(has_text.then(|| stop(text_at)));
    let tools = tools(answer, text_at + u64::from(has_text));
    let last = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{}","stop_sequence":null}},"usage":{{"output_tokens":{}}}}}"#,
        stop_reason(answer),
        output_tokens(answer)
    );
    let last = Event::named(Mark::Finish, "message_delta", last);
    let end = Event::named(Mark::Done, "message_stop", r#"{"type":"message_stop"}"#.to_owned());
    Box::new(opening.chain(text).chain(tools).chain([last, end]))
}
