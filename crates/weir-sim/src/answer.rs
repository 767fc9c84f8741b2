//! From a parsed request to its reply: the good answer in the family's form, then the scenario's faults laid over it.

use crate::{
    ask::{Answer, Ask, Family},
    catalog::Term,
    digest::mix,
    families::{Events, chat, completions, media, messages, responses, vectors},
    http1::Request,
    refusal::{self, Failure, http_date},
    regroup,
    reply::{Framing, Head, Reply, Step},
    scenario::Scenario,
    stream,
    text::id,
};
use weir_core::Timestamp;

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The reply of one of the model families.
pub(crate) fn of_family(family: Family, ask: &Ask, scenario: &Scenario, request: &Request) -> Reply {
    let answer = Answer::new(ask, scenario);
    let mut reply = match family {
        _ if ask.stream && scenario.has(Term::HtmlForStream) => return refusal::login_page(),
        _ if ask.stream && !scenario.has(Term::JsonForStream) => match events(family, ask, &answer) {
            Some(events) if scenario.choice(Term::EchoError) == Some("event") => {
                let events = stream::broken_off(events, family, &refusal::Quoting::of(ask, request).failure());
                streamed(events, family, ask, scenario, request)
            }
            Some(events) => streamed(events, family, ask, scenario, request),
            None => whole(family, ask, &answer),
        },
        _ => whole(family, ask, &answer),
    };
    if !ask.stream {
        // A model that is slow word by word is as slow in all; the control request of a comparison must see the same total.
        let interval = scenario.interval();
        let pieces = u32::try_from(answer.words + answer.reasoning).unwrap_or(u32::MAX);
        reply.first_byte += interval.saturating_mul(pieces);
    }
    if family == Family::Images {
        reply.first_byte += scenario.span(Term::TaskSlow).unwrap_or_default();
    }
    reply
}

fn whole(family: Family, ask: &Ask, answer: &Answer) -> Reply {
    let json = match family {
        Family::Chat => chat::whole(answer),
        Family::Completions => completions::whole(answer),
        Family::Responses => responses::whole(answer),
        Family::Messages => messages::whole(answer),
        Family::Embeddings => vectors::embeddings(ask),
        Family::Moderations => vectors::moderations(ask),
        Family::Rerank => vectors::rerank(ask),
        Family::Images => media::images(ask),
        Family::Speech => {
            let (content_type, sound) = media::speech(ask);
            return Reply::whole(Head::new(200, content_type), sound);
        }
        Family::Transcriptions => {
            let (content_type, text) = media::transcript(ask, answer);
            return Reply::whole(Head::new(200, content_type), text);
        }
    };
    Reply::json(200, json)
}

/// The family's events; `None` for families that never stream.
fn events(family: Family, ask: &Ask, answer: &Answer) -> Option<Events> {
    Some(match family {
        Family::Chat => chat::events(answer),
        Family::Completions => completions::events(answer),
        Family::Responses => responses::events(answer),
        Family::Messages => messages::events(answer),
        Family::Speech => media::speech_events(ask),
        Family::Transcriptions => media::transcript_events(answer),
        Family::Images => media::image_events(ask),
        Family::Embeddings | Family::Moderations | Family::Rerank => return None,
    })
}

fn streamed(events: Events, family: Family, ask: &Ask, scenario: &Scenario, request: &Request) -> Reply {
    let content_type = match scenario.choice(Term::WrongType) {
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        Some(_) => "text/plain; charset=utf-8",
        None => EVENT_STREAM,
    };
    let mut head = Head::new(200, content_type);
    if !scenario.has(Term::NoAntiBufferHeaders) {
        head = head.with("cache-control", "no-cache, no-transform").with("x-accel-buffering", "no");
    }
    if regroup::compresses(scenario, request.accepts_gzip) {
        head = head.with("content-encoding", "gzip");
    }
    let mut steps = stream::script(events, scenario, family, ask.seed);
    if scenario.has(Term::Heartbeat) {
        // Comments can only fill the wait behind an open 200.
        let wait = Step::Wait(scenario.span(Term::FirstByte).unwrap_or_default());
        steps = Box::new(stream::heartbeats(Box::new(std::iter::once(wait)), scenario).chain(steps));
    }
    Reply::new(head, Framing::Chunked, regroup::stream(steps, scenario, request.accepts_gzip))
}

/// Headers that every answer has, and the faults below the events.
pub(crate) fn finish(mut reply: Reply, scenario: &Scenario, request: &Request, seed: u64, now: Timestamp) -> Reply {
    if reply.head.status == 0 {
        return reply;
    }
    let refuses = reply.head.status == 429;
    let headers = &mut reply.head.headers;
    let quoted = request.credential.rsplit(' ').next().filter(|key| scenario.has(Term::EchoError) && !key.is_empty());
    headers.push(("x-request-id", quoted.map_or_else(|| id("req_", seed, 32), str::to_owned)));
    headers.push(("openai-processing-ms", (100 + mix(seed, 1) % 900).to_string()));
    if !refuses {
        // A limit that refuses has not 9,999 left, and a 429 says no more about its end than its scenario lets it.
        headers.push(("x-ratelimit-limit-requests", "10000".to_owned()));
        headers.push(("x-ratelimit-remaining-requests", "9999".to_owned()));
        headers.push(("x-ratelimit-reset-requests", "6ms".to_owned()));
    }
    // Planted: it must never reach a record or a page of whoever stands in front.
    headers.push(("set-cookie", "sim_session=planted-cookie; HttpOnly".to_owned()));
    if let Some(skew) = scenario.span(Term::DateSkew) {
        headers.push(("date", http_date(now.after(skew))));
    }
    if let Some(kib) = scenario.count(Term::HugeHeader) {
        headers.push(("x-huge", "h".repeat(usize::try_from(kib * 1024).unwrap_or(0))));
    }
    // A stream with heartbeats waits behind its head instead.
    if reply.framing != Framing::Chunked || !scenario.has(Term::Heartbeat) {
        reply.first_byte += scenario.span(Term::FirstByte).unwrap_or_default();
    }
    reply.slow_headers = scenario.span(Term::SlowHeaders).unwrap_or_default();
    if scenario.has(Term::BadChunk) {
        reply.framing = Framing::Chunked;
    }
    if scenario.has(Term::ShortBody)
        && let Framing::Length(length) = &mut reply.framing
    {
        *length += 64;
    }
    reply.steps = regroup::body(reply.steps, scenario);
    reply.http10 = scenario.has(Term::Http10);
    reply.close = scenario.has(Term::Close) || !request.keep_alive;
    if (reply.http10 || request.http10) && reply.framing == Framing::Chunked && !scenario.has(Term::BadChunk) {
        reply.framing = Framing::Close;
    }
    reply
}

/// An error that the simulator itself has to say.
pub(crate) fn not_served(status: u16, family: Option<Family>, code: &str, message: &str) -> Reply {
    Reply::json(status, Failure::new("invalid_request_error", Some(code), message).body(family))
}
