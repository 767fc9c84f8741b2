//! A request body read for what an answer depends on, and the seed that makes equal requests get equal answers.

use serde_json::Value;

use crate::{
    catalog::Term,
    digest::{Fnv, fnv},
    http1::Request,
    multipart,
    scenario::Scenario,
    text::Prose,
};

/// Members that a gateway may add, drop or change, or that say how to send and not what to answer.
const VOLATILE: &[&str] = &["stream", "stream_options", "user", "metadata", "store", "prompt_cache_key", "safety_identifier"];
/// Words of an answer unless the scenario says otherwise.
const WORDS_DEFAULT: u64 = 24;
/// Choices one request may ask for; OpenAI's own limit.
const CHOICES_MAX: u64 = 128;

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Chat,
    Completions,
    Responses,
    Messages,
    Embeddings,
    Moderations,
    Rerank,
    Speech,
    Transcriptions,
    Images,
}

impl Family {
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" => Self::Chat,
            "/v1/completions" => Self::Completions,
            "/v1/responses" => Self::Responses,
            "/v1/messages" => Self::Messages,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/moderations" => Self::Moderations,
            "/v1/rerank" => Self::Rerank,
            "/v1/audio/speech" => Self::Speech,
            "/v1/audio/transcriptions" | "/v1/audio/translations" => Self::Transcriptions,
            "/v1/images/generations" | "/v1/images/edits" => Self::Images,
            _ => return None,
        })
    }
}

/// A body, parsed.
pub(crate) struct Ask {
    pub(crate) body: Value,
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// Equal for requests that ask for the same thing.
    pub(crate) seed: u64,
    /// Of the raw bytes.
    pub(crate) body_hash: u64,
}

impl Ask {
    /// Reads JSON or a form. `None` when the body is neither.
    pub(crate) fn read(request: &Request) -> Option<Self> {
        let (body, files) = match multipart::boundary(&request.content_type) {
            Some(boundary) => multipart::read(&request.body, boundary)?,
            None => (serde_json::from_slice(&request.body).ok()?, 0),
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let stream = body.get("stream").is_some_and(|flag| flag == &Value::Bool(true) || flag == "true")
            || matches!(text("stream_format"), "sse") && request.path == "/v1/audio/speech";
        Some(Self { model: text("model").to_owned(), stream, seed: seed(&body, files), body_hash: fnv(&request.body), body })
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let value = self.body.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// How many entries `name` has: an array's length, or one.
    pub(crate) fn inputs(&self, name: &str) -> u64 {
        match self.body.get(name) {
            // A flat array of numbers is one input made of tokens.
            Some(Value::Array(items)) if !items.first().is_some_and(Value::is_number) => items.len() as u64,
            _ => 1,
        }
    }

    /// Tokens of the prompt, estimated as tokenizers go: four bytes each, a picture at a flat rate.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        ["messages", "input", "prompt", "system", "instructions", "tools", "query", "documents"]
            .iter()
            .filter_map(|name| self.body.get(*name))
            .map(tokens)
            .sum::<u64>()
            .max(1)
    }
}

fn tokens(value: &Value) -> u64 {
    match value {
        Value::String(text) if text.len() > 2048 && (text.starts_with("data:") || !text.contains(' ')) => 765,
        Value::String(text) => (text.len() as u64).div_ceil(4),
        Value::Array(items) => items.iter().map(tokens).sum(),
        Value::Object(members) => members.values().map(|member| tokens(member) + 1).sum(),
        _ => 1,
    }
}

fn seed(body: &Value, files: u64) -> u64 {
    let mut sum = Fnv::new();
    sum.eat(&files.to_le_bytes());
    if let Value::Object(members) = body {
        // serde_json keeps members sorted or as written; sorting here makes the order of no account either way.
        let mut kept: Vec<_> = members.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str())).collect();
        kept.sort_by_key(|(name, _)| *name);
        for (name, value) in kept {
            sum.eat(name.as_bytes());
            eat(&mut sum, value);
        }
    }
    sum.end()
}

fn eat(sum: &mut Fnv, value: &Value) {
    match value {
        Value::String(text) => {
            sum.eat(b"\"");
            sum.eat(text.as_bytes());
        }
        Value::Array(items) => {
            sum.eat(b"[");
            items.iter().for_each(|item| eat(sum, item));
            sum.eat(b"]");
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            sum.eat(b"{");
            for (name, value) in members {
                sum.eat(name.as_bytes());
                sum.eat(b":");
                eat(sum, value);
            }
            sum.eat(b"}");
        }
        other => sum.eat(other.to_string().as_bytes()),
    }
}

/// Why a text answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    ContentFilter,
    Tools,
}

/// A text answer before any family's form is put on it. Cheap to copy around: its words are made when they are sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) seed: u64,
    /// As a JSON string.
    pub(crate) model: String,
    pub(crate) choices: u64,
    pub(crate) words: u64,
    pub(crate) bulk_bytes: usize,
    pub(crate) reasoning: u64,
    pub(crate) tools: u64,
    pub(crate) tool_name: String,
    pub(crate) refusal: bool,
    pub(crate) finish: Finish,
    /// Whether the answer tells its usage at all.
    pub(crate) usage: bool,
    /// Whether a chat stream was asked for its usage chunk.
    pub(crate) usage_chunk: bool,
    pub(crate) prompt_tokens: u64,
    pub(crate) obfuscation: bool,
}

impl Answer {
    pub(crate) fn new(ask: &Ask, scenario: &Scenario) -> Self {
        let tools = scenario.count(Term::Tools).unwrap_or(0).max(u64::from(must_call_a_tool(ask)));
        let ordered = scenario.count(Term::Tokens).unwrap_or_else(|| if tools > 0 { 0 } else { words_that_reach_the_fault(scenario) });
        let limit =
            ["max_completion_tokens", "max_tokens", "max_output_tokens"].iter().find_map(|name| ask.number(name)).unwrap_or(u64::MAX);
        let finish = match scenario.choice(Term::Finish) {
            Some("content_filter") => Finish::ContentFilter,
            Some("stop") => Finish::Stop,
            Some(_) => Finish::Length,
            None if ordered > limit => Finish::Length,
            None if tools > 0 => Finish::Tools,
            None => Finish::Stop,
        };
        let usage_chunk = ask.body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
        Self {
            seed: ask.seed,
            model: crate::text::json(&ask.model),
            choices: ask.number("n").unwrap_or(1).clamp(1, CHOICES_MAX),
            words: ordered.min(limit),
            bulk_bytes: usize::try_from(scenario.count(Term::Big).unwrap_or(0) * 1024).unwrap_or(0),
            reasoning: scenario.count(Term::Reasoning).unwrap_or(0),
            tools,
            tool_name: crate::text::json(first_tool(ask)),
            refusal: scenario.has(Term::Refusal),
            finish,
            usage: !scenario.has(Term::NoUsage),
            usage_chunk: usage_chunk && !scenario.has(Term::NoUsage),
            prompt_tokens: ask.prompt_tokens(),
            obfuscation: scenario.has(Term::Obfuscation),
        }
    }

    pub(crate) fn prose(&self, choice: u64) -> Prose {
        Prose { seed: self.seed.wrapping_add(choice.wrapping_mul(0x517c_c1b7_2722_0a95)), words: self.words, bulk_bytes: self.bulk_bytes }
    }

    pub(crate) fn thought(&self) -> Prose {
        Prose { seed: !self.seed, words: self.reasoning, bulk_bytes: 0 }
    }

    /// The arguments of a tool call as JSON text.
    pub(crate) fn arguments(&self, call: u64) -> String {
        let place = crate::text::place(self.seed.wrapping_add(call));
        format!(r#"{{"location":"{place}","unit":"celsius","days":{}}}"#, 1 + call)
    }

    /// The same text in the pieces in which a model brings it: 2 to 9 bytes.
    pub(crate) fn argument_pieces(&self, call: u64) -> Vec<String> {
        let text = self.arguments(call);
        let mut pieces = Vec::new();
        let mut left = text.as_str();
        while !left.is_empty() {
            let size = 2 + usize::try_from(crate::digest::mix(self.seed, 7000 + call * 100 + pieces.len() as u64) % 8).unwrap_or(0);
            let (piece, rest) = left.split_at(size.min(left.len()));
            pieces.push(piece.to_owned());
            left = rest;
        }
        pieces
    }

    pub(crate) fn completion_tokens(&self) -> u64 {
        self.choices * (self.words + self.tools * 18) + self.reasoning
    }
}

/// Enough words that a fault behind event N is met.
fn words_that_reach_the_fault(scenario: &Scenario) -> u64 {
    [Term::CutAfter, Term::CutFinAfter, Term::CutCleanAfter, Term::ErrorAfter, Term::StallAfter]
        .iter()
        .filter_map(|term| scenario.count(*term))
        .map(|events| events + 8)
        .fold(WORDS_DEFAULT, u64::max)
}

fn must_call_a_tool(ask: &Ask) -> bool {
    match ask.body.get("tool_choice") {
        Some(Value::String(choice)) => choice == "required",
        Some(Value::Object(choice)) => matches!(choice.get("type").and_then(Value::as_str), Some("function" | "tool" | "any")),
        _ => false,
    }
}

fn first_tool(ask: &Ask) -> &str {
    let tool = ask.body.pointer("/tools/0");
    let name = tool.and_then(|tool| tool.pointer("/function/name").or_else(|| tool.get("name")));
    name.and_then(Value::as_str).unwrap_or("get_weather")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &str) -> Ask {
        Ask::read(&Request { body: body.as_bytes().to_vec(), content_type: "application/json".to_owned(), ..Request::default() }).unwrap()
    }

    #[test]
    fn what_a_gateway_may_change_does_not_change_the_answer() {
        let plain = ask(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
        let through =
            ask(r#"{ "stream_options":{"include_usage":true},"messages":[{"content":"hi","role":"user"}],"stream":true,"model":"m"}"#);
        let other = ask(r#"{"model":"m","messages":[{"role":"user","content":"ho"}]}"#);
        assert_eq!(plain.seed, through.seed);
        assert_ne!(plain.body_hash, through.body_hash);
        assert_ne!(plain.seed, other.seed);
        assert!(through.stream && !plain.stream);
    }

    #[test]
    fn max_tokens_ends_an_answer_with_length() {
        let ask = ask(r#"{"model":"m","max_tokens":5}"#);
        let answer = Answer::new(&ask, &Scenario::default());
        assert_eq!((answer.words, answer.finish), (5, Finish::Length));
    }

    #[test]
    fn argument_pieces_join_to_the_arguments() {
        let answer = Answer::new(&ask(r#"{"model":"m"}"#), &Scenario::parse("sim:tools=3").unwrap());
        for call in 0..3 {
            assert_eq!(answer.argument_pieces(call).concat(), answer.arguments(call));
            assert!(serde_json::from_str::<Value>(&answer.arguments(call)).is_ok());
        }
    }
}
