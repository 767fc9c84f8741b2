//! Events into a script: which come, how they are written, and when. Each fault is one small stage.

use std::time::Duration;

use crate::{
    ask::Family,
    catalog::Term,
    digest::share,
    families::{Event, Events, Mark},
    refusal::{Failure, RATE_LIMIT, SERVER_ERROR},
    reply::{Ending, Step, Steps},
    scenario::Scenario,
    text::json,
};

/// After how many events a mid-stream error comes unless `error_after` says.
const ERROR_AT: u64 = 3;
/// The event that faults of a single event pick, counted from 0.
const ODD_EVENT: u64 = 2;
/// How long `stall_after` is silent unless `stall` says.
const STALL_DEFAULT: Duration = Duration::from_secs(3600);
const STALL_AFTER_DEFAULT: u64 = 3;
/// Position of the jitter's rolls, far from those that words are made of.
const JITTER_ROLL: u64 = 1 << 50;

/// The script of a stream, before any regrouping of its bytes.
pub(crate) fn script(events: Events, scenario: &Scenario, family: Family, seed: u64) -> Steps {
    if let Some(hold) = scenario.span(Term::NoData) {
        return heartbeats(Box::new(std::iter::once(Step::Wait(hold))), scenario);
    }
    let (events, ending) = cut(glued_lines(faulty(marked(events, scenario), scenario, family), scenario), scenario);
    let steps = heartbeats(timed(events, scenario, seed), scenario);
    Box::new(steps.chain(ending.map(Step::End)))
}

/// Leaves out the marks that the scenario denies.
fn marked(events: Events, scenario: &Scenario) -> Events {
    let left_out: &'static [Mark] = if scenario.has(Term::NoDone) {
        &[Mark::Finish, Mark::Usage, Mark::Done]
    } else if scenario.has(Term::NoFinish) {
        &[Mark::Finish]
    } else if scenario.has(Term::FinishNoDone) {
        &[Mark::Done]
    } else {
        return events;
    };
    Box::new(events.filter(|event| !left_out.contains(&event.mark)))
}

/// Ends the stream with an error event where the scenario wants one.
fn faulty(events: Events, scenario: &Scenario, family: Family) -> Events {
    let message = json(SERVER_ERROR.message);
    let first = [(Term::ErrorFirst, SERVER_ERROR), (Term::S429FirstEvent, RATE_LIMIT)].into_iter().find(|(term, _)| scenario.has(*term));
    if let Some((_, failure)) = first {
        return Box::new(std::iter::once(error_event(family, &failure)));
    }
    let at = scenario.count(Term::ErrorAfter);
    let error = if scenario.has(Term::ErrorFlat) {
        vec![Event::new(Mark::Open, format!(r#"{{"type":"error","code":"server_error","message":{message},"param":null}}"#))]
    } else if scenario.has(Term::ErrorWithChoices) {
        let body = SERVER_ERROR.body(None);
        vec![Event::new(Mark::Open, format!(r#"{},"choices":[]}}"#, body.strip_suffix('}').unwrap_or_default()))]
    } else if scenario.has(Term::ErrorField) {
        vec![Event { field: "error", ..Event::new(Mark::Open, SERVER_ERROR.body(None)) }, Event::done()]
    } else if at.is_some() {
        vec![error_event(family, &SERVER_ERROR)]
    } else {
        return events;
    };
    Box::new(limited(events, at.unwrap_or(ERROR_AT)).chain(error))
}

/// An error in the family's own event form.
fn error_event(family: Family, failure: &Failure<'_>) -> Event {
    match family {
        Family::Messages => Event::named(Mark::Open, "error", failure.body(Some(family))),
        Family::Responses => {
            let code = json(failure.code.unwrap_or("server_error"));
            let data = format!(r#"{{"type":"error","sequence_number":0,"code":{code},"message":{},"param":null}}"#, json(failure.message));
            Event::named(Mark::Open, "error", data)
        }
        _ => Event::new(Mark::Open, failure.body(None)),
    }
}

/// The first events, then an error in place of the rest.
pub(crate) fn broken_off(events: Events, family: Family, failure: &Failure<'_>) -> Events {
    Box::new(limited(events, ERROR_AT).chain([error_event(family, failure)]))
}

/// Joins one event with its successor in one data line.
fn glued_lines(mut events: Events, scenario: &Scenario) -> Events {
    if !scenario.has(Term::GluedLines) {
        return events;
    }
    let mut at = 0;
    Box::new(std::iter::from_fn(move || {
        let mut event = events.next()?;
        if at == ODD_EVENT
            && let Some(next) = events.next()
        {
            event.data.push_str("data: ");
            event.data.push_str(&next.data);
        }
        at += 1;
        Some(event)
    }))
}

fn limited(events: Events, count: u64) -> Events {
    Box::new(events.take(usize::try_from(count).unwrap_or(usize::MAX)))
}

/// Stops after the ordered number of events; the ending says how rudely.
fn cut(events: Events, scenario: &Scenario) -> (Events, Option<Ending>) {
    let cuts = [(Term::CutAfter, Some(Ending::Reset)), (Term::CutFinAfter, Some(Ending::Cut)), (Term::CutCleanAfter, None)];
    for (term, ending) in cuts {
        if let Some(count) = scenario.count(term) {
            return (limited(events, count), ending);
        }
    }
    (events, None)
}

/// Writes each event and puts the waits between them.
fn timed(events: Events, scenario: &Scenario, seed: u64) -> Steps {
    let mut writer = Writer::new(scenario);
    let interval = scenario.interval();
    let jitter = scenario.has(Term::Jitter);
    let stalls = scenario.has(Term::Stall) || scenario.has(Term::StallAfter);
    let stall = stalls
        .then(|| (scenario.count(Term::StallAfter).unwrap_or(STALL_AFTER_DEFAULT), scenario.span(Term::Stall).unwrap_or(STALL_DEFAULT)));
    let mut at = 0;
    Box::new(events.flat_map(move |event| {
        let mut wait = if event.mark == Mark::Delta { interval } else { Duration::ZERO };
        if jitter {
            wait = wait.mul_f64(0.5 + share(seed, JITTER_ROLL + at));
        }
        if let Some((after, span)) = stall
            && after == at
        {
            wait += span;
        }
        at += 1;
        let wait = (!wait.is_zero()).then_some(Step::Wait(wait));
        wait.into_iter().chain([Step::Body { bytes: writer.write(&event), events: 1 }])
    }))
}

/// Fills waits with comment lines.
pub(crate) fn heartbeats(steps: Steps, scenario: &Scenario) -> Steps {
    let Some(period) = scenario.span(Term::Heartbeat).filter(|period| !period.is_zero()) else { return steps };
    let beat = || Step::Body { bytes: b": heartbeat\n\n".to_vec(), events: 0 };
    Box::new(steps.flat_map(move |step| -> Steps {
        let Step::Wait(span) = step else { return Box::new(std::iter::once(step)) };
        let beats = usize::try_from(span.as_nanos().saturating_sub(1) / period.as_nanos()).unwrap_or(usize::MAX);
        let rest = span.saturating_sub(period.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX)));
        Box::new((0..beats * 2).map(move |at| if at % 2 == 0 { Step::Wait(period) } else { beat() }).chain([Step::Wait(rest)]))
    }))
}

/// Puts events into bytes, with the faults of form.
struct Writer {
    newline: &'static str,
    bom: bool,
    ids: bool,
    prefixed: bool,
    blank_lines: bool,
    unterminated_done: bool,
    bad_json: bool,
    comment_every: Option<u64>,
    inserted: &'static [&'static str],
    at: u64,
}

impl Writer {
    fn new(scenario: &Scenario) -> Self {
        let inserted: [(Term, &'static [&'static str]); 3] =
            [(Term::EmptyData, &["data:"]), (Term::NamedPing, &["event: ping"]), (Term::RetryLine, &["retry: 3000"])];
        Self {
            newline: if scenario.has(Term::Crlf) {
                "\r\n"
            } else if scenario.has(Term::Cr) {
                "\r"
            } else {
                "\n"
            },
            bom: scenario.has(Term::Bom),
            ids: scenario.has(Term::Ids),
            prefixed: !scenario.has(Term::NoPrefix),
            blank_lines: !scenario.has(Term::NoBlankLines),
            unterminated_done: scenario.has(Term::UnterminatedDone),
            bad_json: scenario.has(Term::BadJson),
            comment_every: scenario.count(Term::Comments).filter(|every| *every > 0),
            inserted: inserted.iter().find(|(term, _)| scenario.has(*term)).map_or(&[], |(_, lines)| lines),
            at: 0,
        }
    }

    fn write(&mut self, event: &Event) -> Vec<u8> {
        let (at, newline) = (self.at, self.newline);
        self.at += 1;
        let mut out = String::with_capacity(event.data.len() + 64);
        if self.bom && at == 0 {
            out.push('\u{feff}');
        }
        if self.comment_every.is_some_and(|every| at % every == 0) {
            out.extend([": sim", newline, newline]);
        }
        if at == ODD_EVENT {
            for line in self.inserted {
                out.extend([line, newline, newline]);
            }
        }
        if self.ids {
            out.push_str(&format!("id: {}{newline}", at + 1));
        }
        if let Some(name) = event.name {
            out.extend(["event: ", name, newline]);
        }
        if self.prefixed {
            out.extend([event.field, ": "]);
        }
        let broken = if self.bad_json && at == ODD_EVENT { event.data.char_indices().nth_back(8).map(|(end, _)| end) } else { None };
        out.push_str(&event.data[..broken.unwrap_or(event.data.len())]);
        out.push_str(newline);
        if self.blank_lines && !(self.unterminated_done && event.mark == Mark::Done) {
            out.push_str(newline);
        }
        out.into_bytes()
    }
}
