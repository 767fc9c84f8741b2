//! The responses API: one object, or typed events with sequence numbers that end with `response.completed`.

use super::{Event, Events, Mark, created};
use crate::{
    ask::{Answer, Finish},
    text::{id, json},
};

fn usage(answer: &Answer) -> String {
    if !answer.usage {
        return "null".to_owned();
    }
    let (input, output) = (answer.prompt_tokens, answer.completion_tokens());
    format!(
        r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":0,"cache_write_tokens":0}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#,
        answer.reasoning,
        input + output
    )
}

/// The response object in one of its states.
fn response(answer: &Answer, status: &str, output: &str, usage: &str) -> String {
    let reason = if answer.finish == Finish::ContentFilter { "content_filter" } else { "max_output_tokens" };
    let incomplete = if status == "incomplete" { format!(r#"{{"reason":"{reason}"}}"#) } else { "null".to_owned() };
    format!(
        r#"{{"id":"{}","object":"response","created_at":{},"status":"{status}","background":false,"error":null,"incomplete_details":{incomplete},"instructions":null,"max_output_tokens":null,"metadata":{{}},"model":{},"output":[{output}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"service_tier":"default","store":true,"temperature":1.0,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{usage},"user":null}}"#,
        id("resp_", answer.seed, 48),
        created(answer.seed),
        answer.model
    )
}

/// One entry of `output`: its id, its object before and after, and what comes between.
struct Item {
    id: String,
    begun: String,
    ended: String,
}

fn reasoning_item(answer: &Answer) -> Item {
    let id = id("rs_", answer.seed, 48);
    let ended =
        format!(r#"{{"id":"{id}","type":"reasoning","summary":[{{"type":"summary_text","text":{}}}]}}"#, json(&answer.thought().whole()));
    Item { begun: format!(r#"{{"id":"{id}","type":"reasoning","summary":[]}}"#), ended, id }
}

fn part(answer: &Answer, text: &str) -> String {
    let text = json(text);
    if answer.refusal {
        format!(r#"{{"type":"refusal","refusal":{text}}}"#)
    } else {
        format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":{text}}}"#)
    }
}

fn message_item(answer: &Answer) -> Item {
    let id = id("msg_", answer.seed, 48);
    let with = |status: &str, content: &str| {
        format!(r#"{{"id":"{id}","type":"message","status":"{status}","content":[{content}],"role":"assistant"}}"#)
    };
    let (begun, ended) = (with("in_progress", ""), with("completed", &part(answer, &answer.prose(0).whole())));
    Item { begun, ended, id }
}

fn call_item(answer: &Answer, call: u64) -> Item {
    let seed = answer.seed.wrapping_add(call);
    let id = id("fc_", seed, 48);
    let with = |status: &str, arguments: &str| {
        format!(
            r#"{{"id":"{id}","type":"function_call","status":"{status}","arguments":{},"call_id":"{}","name":{}}}"#,
            json(arguments),
            crate::text::id("call_", seed, 24),
            answer.tool_name
        )
    };
    let (begun, ended) = (with("in_progress", ""), with("completed", &answer.arguments(call)));
    Item { begun, ended, id }
}

fn output(answer: &Answer) -> String {
    let reasoning = (answer.reasoning > 0).then(|| reasoning_item(answer).ended);
    let message = (answer.words > 0).then(|| message_item(answer).ended);
    reasoning.into_iter().chain(message).chain((0..answer.tools).map(|call| call_item(answer, call).ended)).collect::<Vec<_>>().join(",")
}

fn status(answer: &Answer) -> &'static str {
    if matches!(answer.finish, Finish::Length | Finish::ContentFilter) { "incomplete" } else { "completed" }
}

pub(crate) fn whole(answer: &Answer) -> String {
    response(answer, status(answer), &output(answer), &usage(answer))
}

/// An event whose sequence number is put in when its place is known.
struct Draft {
    mark: Mark,
    name: &'static str,
    rest: String,
}

type Drafts = Box<dyn Iterator<Item = Draft> + Send>;

fn draft(mark: Mark, name: &'static str, rest: String) -> Draft {
    Draft { mark, name, rest }
}

fn added(at: u64, item: &Item) -> Draft {
    draft(Mark::Open, "response.output_item.added", format!(r#""output_index":{at},"item":{}"#, item.begun))
}

fn ended(at: u64, item: &Item) -> Draft {
    draft(Mark::Open, "response.output_item.done", format!(r#""output_index":{at},"item":{}"#, item.ended))
}

fn reasoning(answer: &Answer) -> Drafts {
    let item = reasoning_item(answer);
    let place = format!(r#""item_id":"{}","output_index":0,"summary_index":0"#, item.id);
    let thought = answer.thought();
    let full = json(&thought.whole());
    let first =
        draft(Mark::Open, "response.reasoning_summary_part.added", format!(r#"{place},"part":{{"type":"summary_text","text":""}}"#));
    let text_done = draft(Mark::Open, "response.reasoning_summary_text.done", format!(r#"{place},"text":{full}"#));
    let part_done =
        draft(Mark::Open, "response.reasoning_summary_part.done", format!(r#"{place},"part":{{"type":"summary_text","text":{full}}}"#));
    let deltas = (0..answer.reasoning).map({
        let place = place.clone();
        move |at| draft(Mark::Delta, "response.reasoning_summary_text.delta", format!(r#"{place},"delta":{}"#, json(&thought.piece(at))))
    });
    Box::new([added(0, &item), first].into_iter().chain(deltas).chain([text_done, part_done, ended(0, &item)]))
}

fn message(answer: &Answer, at: u64) -> Drafts {
    let item = message_item(answer);
    let begun = added(at, &item);
    let place = format!(r#""item_id":"{}","output_index":{at},"content_index":0"#, item.id);
    let (delta_name, done_name, field) = if answer.refusal {
        ("response.refusal.delta", "response.refusal.done", "refusal")
    } else {
        ("response.output_text.delta", "response.output_text.done", "text")
    };
    let logprobs = if answer.refusal { "" } else { r#","logprobs":[]"# };
    let prose = answer.prose(0);
    let first = draft(Mark::Open, "response.content_part.added", format!(r#"{place},"part":{}"#, part(answer, "")));
    let deltas = (0..answer.words).map({
        let place = place.clone();
        move |word| draft(Mark::Delta, delta_name, format!(r#"{place},"delta":{}{logprobs}"#, json(&prose.piece(word))))
    });
    // The last three repeat the whole text; they are made when they are reached.
    let answer = answer.clone();
    let last = std::iter::once(()).flat_map(move |()| {
        let full = answer.prose(0).whole();
        let text_done = draft(Mark::Open, done_name, format!(r#"{place},"{field}":{}{logprobs}"#, json(&full)));
        let part_done = draft(Mark::Open, "response.content_part.done", format!(r#"{place},"part":{}"#, part(&answer, &full)));
        [text_done, part_done, ended(at, &item)]
    });
    Box::new([begun, first].into_iter().chain(deltas).chain(last))
}

fn call(answer: &Answer, call: u64, at: u64) -> Vec<Draft> {
    let item = call_item(answer, call);
    let place = format!(r#""item_id":"{}","output_index":{at}"#, item.id);
    let mut drafts = vec![added(at, &item)];
    for piece in answer.argument_pieces(call) {
        drafts.push(draft(Mark::Delta, "response.function_call_arguments.delta", format!(r#"{place},"delta":{}"#, json(&piece))));
    }
    drafts.push(draft(
        Mark::Open,
        "response.function_call_arguments.done",
        format!(r#"{place},"arguments":{}"#, json(&answer.arguments(call))),
    ));
    drafts.push(ended(at, &item));
    drafts
}

pub(crate) fn events(answer: &Answer) -> Events {
    let begun = format!(r#""response":{}"#, response(answer, "in_progress", "", "null"));
    let head = [draft(Mark::Open, "response.created", begun.clone()), draft(Mark::Open, "response.in_progress", begun)];
    let mut at = 0;
    let mut body: Drafts = Box::new(head.into_iter());
    if answer.reasoning > 0 {
        body = Box::new(body.chain(reasoning(answer)));
        at += 1;
    }
    if answer.words > 0 {
        body = Box::new(body.chain(message(answer, at)));
        at += 1;
    }
    let calls: Vec<Draft> = (0..answer.tools).flat_map(|index| call(answer, index, at + index)).collect();
    let answer = answer.clone();
    let last = std::iter::once(()).map(move |()| {
        let name = if status(&answer) == "completed" { "response.completed" } else { "response.incomplete" };
        draft(Mark::Finish, name, format!(r#""response":{}"#, whole(&answer)))
    });
    let number = |(at, Draft { mark, name, rest }): (usize, Draft)| {
        Event::named(mark, name, format!(r#"{{"type":"{name}","sequence_number":{at},{rest}}}"#))
    };
    Box::new(body.chain(calls).chain(last).enumerate().map(number))
}
