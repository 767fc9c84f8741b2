//! The same bytes in other pieces: held back, glued, split, compressed or cut, as boxes on the way do it.

use std::{collections::VecDeque, time::Duration};

use crate::{
    catalog::Term,
    digest::StoredGzip,
    reply::{Ending, Step, Steps},
    scenario::Scenario,
};

/// Events before the chunk size that is no number.
const BAD_CHUNK_AT: u64 = 3;

/// A stage that may hold bytes back: `Some(step)` as it comes, `None` once at the end.
type Stage = Box<dyn FnMut(Option<Step>, &mut VecDeque<Step>) + Send>;

fn through(mut steps: Steps, mut stage: Stage) -> Steps {
    let mut queue = VecDeque::new();
    let mut ended = false;
    Box::new(std::iter::from_fn(move || {
        while queue.is_empty() && !ended {
            let step = steps.next();
            ended = step.is_none();
            stage(step, &mut queue);
        }
        queue.pop_front()
    }))
}

/// The pieces in which the scenario lets a stream's bytes leave. `asked_gzip` is whether the client takes gzip.
pub(crate) fn stream(mut steps: Steps, scenario: &Scenario, asked_gzip: bool) -> Steps {
    let hold_all = scenario.has(Term::Buffered) || scenario.has(Term::GzipBuffered) && asked_gzip;
    if hold_all {
        steps = through(steps, held_until(|_| None));
    } else if let Some(size) = scenario.count(Term::Blocks).and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0) {
        steps = through(steps, held_until(move |held| (held.bytes.len() >= size).then_some(size)));
    } else if let Some(count) = scenario.count(Term::Glued) {
        steps = through(steps, held_until(move |held| (held.events >= count).then_some(held.bytes.len())));
    } else if scenario.has(Term::OneLate) {
        steps = through(steps, one_late());
    }
    if compresses(scenario, asked_gzip) {
        steps = through(steps, zipped());
    }
    if let Some(size) = scenario.count(Term::Split).and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0) {
        steps = through(steps, split(size));
    }
    steps
}

pub(crate) fn compresses(scenario: &Scenario, asked_gzip: bool) -> bool {
    scenario.has(Term::Gzip) || scenario.has(Term::GzipBuffered) && asked_gzip
}

/// Faults of the body as such, stream or not.
pub(crate) fn body(mut steps: Steps, scenario: &Scenario) -> Steps {
    if let Some(limit) = scenario.count(Term::CutBytes) {
        steps = through(steps, cut_bytes(usize::try_from(limit).unwrap_or(usize::MAX)));
    }
    if scenario.has(Term::BadChunk) {
        steps = through(steps, bad_chunk());
    }
    if scenario.has(Term::ShortBody) {
        steps = Box::new(steps.chain([Step::End(Ending::Cut)]));
    }
    steps
}

#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    events: u64,
}

/// Holds bytes until `ready` tells how many may leave; what is left leaves at the end.
fn held_until(ready: impl Fn(&Held) -> Option<usize> + Send + 'static) -> Stage {
    let mut held = Held::default();
    Box::new(move |step, out| {
        match step {
            Some(Step::Body { bytes, events }) => {
                held.bytes.extend_from_slice(&bytes);
                held.events += events;
                while let Some(size) = ready(&held).filter(|size| *size > 0) {
                    let rest = held.bytes.split_off(size);
                    out.push_back(Step::Body { bytes: std::mem::replace(&mut held.bytes, rest), events: std::mem::take(&mut held.events) });
                }
                return;
            }
            Some(Step::Wait(span)) => return out.push_back(Step::Wait(span)),
            Some(Step::End(_)) | None => {}
        }
        if !held.bytes.is_empty() {
            let Held { bytes, events } = std::mem::take(&mut held);
            out.push_back(Step::Body { bytes, events });
        }
        out.extend(step);
    })
}

fn one_late() -> Stage {
    let mut late: Option<Step> = None;
    Box::new(move |step, out| match step {
        Some(Step::Body { .. }) => out.extend(std::mem::replace(&mut late, step)),
        Some(Step::Wait(_)) => out.extend(step),
        Some(Step::End(_)) | None => out.extend(late.take().into_iter().chain(step)),
    })
}

fn split(size: usize) -> Stage {
    Box::new(move |step, out| match step {
        Some(Step::Body { bytes, events }) => {
            let last = bytes.len().div_ceil(size);
            for (at, piece) in bytes.chunks(size).enumerate() {
                out.push_back(Step::Body { bytes: piece.to_vec(), events: if at + 1 == last { events } else { 0 } });
                // Between the pieces others get a turn, so that a reader in the same process sees them apart.
                out.push_back(Step::Wait(Duration::ZERO));
            }
        }
        step => out.extend(step),
    })
}

fn zipped() -> Stage {
    let mut zip = Some(StoredGzip::default());
    Box::new(move |step, out| match step {
        Some(Step::Body { bytes, events }) => out.extend(zip.as_mut().map(|zip| Step::Body { bytes: zip.feed(&bytes), events })),
        None => out.extend(zip.take().map(|zip| Step::Body { bytes: zip.end(), events: 0 })),
        step => out.extend(step),
    })
}

fn cut_bytes(limit: usize) -> Stage {
    let mut left = limit;
    Box::new(move |step, out| match step {
        Some(Step::Body { mut bytes, events }) if bytes.len() >= left => {
            bytes.truncate(left);
            out.push_back(Step::Body { events: if bytes.len() < left { events } else { 0 }, bytes });
            out.push_back(Step::End(Ending::Cut));
            left = 0;
        }
        Some(Step::Body { bytes, events }) => {
            left -= bytes.len();
            out.push_back(Step::Body { bytes, events });
        }
        step => out.extend(step),
    })
}

fn bad_chunk() -> Stage {
    let mut seen = 0;
    Box::new(move |step, out| {
        let (was_body, ended) = (matches!(step, Some(Step::Body { .. })), step.is_none());
        out.extend(step);
        seen += u64::from(was_body);
        if ended || was_body && seen == BAD_CHUNK_AT {
            out.push_back(Step::End(Ending::BadChunk));
        }
    })
}
