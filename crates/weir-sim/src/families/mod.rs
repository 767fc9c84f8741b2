//! The forms that answers take, one file per API family. All pure: an `Answer` in, bodies or events out.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod media;
pub(crate) mod messages;
pub(crate) mod responses;
pub(crate) mod vectors;

/// What an event is to the stream it belongs to; faults pick events by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Comes at once, with no interval before it.
    Open,
    /// A piece of the answer.
    Delta,
    /// Says that the answer is complete: a finish reason, or the family's last typed event.
    Finish,
    Usage,
    /// The end marker behind it all.
    Done,
}

/// One server-sent event before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) mark: Mark,
    /// The `event:` line, where the family has one.
    pub(crate) name: Option<&'static str>,
    /// The field that the text comes in: `data`, but for one fault.
    pub(crate) field: &'static str,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn new(mark: Mark, data: String) -> Self {
        Self { mark, name: None, field: "data", data }
    }

    pub(crate) fn named(mark: Mark, name: &'static str, data: String) -> Self {
        Self { name: Some(name), ..Self::new(mark, data) }
    }

    pub(crate) fn done() -> Self {
        Self::new(Mark::Done, "[DONE]".to_owned())
    }
}

pub(crate) type Events = Box<dyn Iterator<Item = Event> + Send>;

/// When an answer says it was made: seconds since 1970, the same for the same request.
pub(crate) fn created(seed: u64) -> u64 {
    const BASE: u64 = 1_767_225_600;
    BASE + seed % 86_400
}
