//! The event stream as the WHATWG standard reads it (HTML §9.2.5 and §9.2.6), comments and retry times included.

use std::time::Duration;

use super::EventTooLong;

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; `message` if there was none.
    pub kind: String,
    /// The `data` lines, joined by LF.
    pub data: String,
    /// The last event id, which stays until another comes.
    pub id: String,
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    Event(Event),
    /// A line that began with a colon, without it.
    Comment(String),
    /// The reconnection time.
    Retry(Duration),
}

/// Reads events from chunks of any size. Bad UTF-8 becomes U+FFFD, as the standard says.
#[derive(Debug)]
pub struct Decoder {
    limit_bytes: usize,
    line: Vec<u8>,
    is_first_line: bool,
    after_cr: bool,
    kind: String,
    /// Each data line and a LF; empty if the event has none.
    data: String,
    id_buffer: String,
    last_id: String,
}

impl Decoder {
    /// A decoder that refuses lines and events of more than `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            line: Vec::new(),
            is_first_line: true,
            after_cr: false,
            kind: String::new(),
            data: String::new(),
            id_buffer: String::new(),
            last_id: String::new(),
        }
    }

    /// Hands `out` what ends in `chunk`.
    ///
    /// # Errors
    /// When a line or an event exceeds the limit; the decoder must not be fed again.
    pub fn feed(&mut self, chunk: &[u8], mut out: impl FnMut(Decoded)) -> Result<(), EventTooLong> {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                return self.hold(rest);
            };
            self.hold(&rest[..end])?;
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(&mut out);
        }
        Ok(())
    }

    /// The event whose blank line never came. The standard discards it; lenient readers take it, because some upstreams end
    /// with an unterminated `data: [DONE]`.
    #[must_use]
    pub fn finish(mut self) -> Option<Event> {
        if !self.line.is_empty() {
            self.end_line(&mut |_| ());
        }
        self.dispatch()
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), EventTooLong> {
        if self.line.len() + self.data.len() + part.len() > self.limit_bytes {
            return Err(EventTooLong { limit_bytes: self.limit_bytes });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self, out: &mut impl FnMut(Decoded)) {
        let mut line = std::mem::take(&mut self.line);
        let bare = if std::mem::take(&mut self.is_first_line) { super::without_bom(&line) } else { &line };
        match String::from_utf8_lossy(bare).as_ref() {
            "" => {
                if let Some(event) = self.dispatch() {
                    out(Decoded::Event(event));
                }
            }
            text => match text.split_once(':') {
                Some(("", comment)) => out(Decoded::Comment(comment.to_owned())),
                Some((name, value)) => self.field(name, value.strip_prefix(' ').unwrap_or(value), out),
                None => self.field(text, "", out),
            },
        }
        line.clear();
        self.line = line;
    }

    fn field(&mut self, name: &str, value: &str, out: &mut impl FnMut(Decoded)) {
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id_buffer),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                out(Decoded::Retry(Duration::from_millis(value.parse().unwrap_or(u64::MAX))));
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.id_buffer.clone_into(&mut self.last_id);
        let kind = std::mem::take(&mut self.kind);
        if self.data.is_empty() {
            return None;
        }
        let mut data = std::mem::take(&mut self.data);
        data.pop();
        Some(Event { kind: if kind.is_empty() { "message".to_owned() } else { kind }, data, id: self.last_id.clone() })
    }
}
