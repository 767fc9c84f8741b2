//! The older text completions: prose without roles, streamed as chat is.

use super::{Event, Events, Mark, chat::usage, created};
use crate::{
    ask::{Answer, Finish},
    text::{id, json},
};

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
        Finish::Stop | Finish::Tools => "stop",
    }
}

fn head(answer: &Answer) -> String {
    let id = id("cmpl-", answer.seed, 29);
    format!(
        r#"{{"id":"{id}","object":"text_completion","created":{},"model":{},"system_fingerprint":"fp_sim","choices":["#,
        created(answer.seed),
        answer.model
    )
}

fn choice(index: u64, text: &str, finish: &str) -> String {
    format!(r#"{{"text":{},"index":{index},"logprobs":null,"finish_reason":{finish}}}"#, json(text))
}

pub(crate) fn whole(answer: &Answer) -> String {
    let finish = format!("\"{}\"", finish_reason(answer.finish));
    let choices = (0..answer.choices).map(|index| choice(index, &answer.prose(index).whole(), &finish)).collect::<Vec<_>>().join(",");
    let usage = if answer.usage { format!(r#","usage":{}"#, usage(answer)) } else { String::new() };
    format!("{}{choices}]{usage}}}", head(answer))
}

pub(crate) fn events(answer: &Answer) -> Events {
    let head = head(answer);
    let choices = answer.choices;
    let tail = if answer.usage_chunk { r#"],"usage":null}"# } else { "]}" };
    let finish = format!("\"{}\"", finish_reason(answer.finish));
    let total = answer.usage_chunk.then(|| Event::new(Mark::Usage, format!(r#"{head}],"usage":{}}}"#, usage(answer))));
    let (start, answer) = (head.clone(), answer.clone());
    let words = (0..answer.words * choices).map(move |at| {
        let index = at % choices;
        Event::new(Mark::Delta, format!("{start}{}{tail}", choice(index, &answer.prose(index).piece(at / choices), "null")))
    });
    let end = (0..choices).map(move |index| Event::new(Mark::Finish, format!("{head}{}{tail}", choice(index, "", &finish))));
    Box::new(words.chain(end).chain(total).chain(Some(Event::done())))
}
