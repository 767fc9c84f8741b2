//! A look into one raw frame: its type and its data, borrowed wherever the frame holds them in one piece.

use std::borrow::Cow;

/// What one frame says, as the standard reads it, without its sticky id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrameParts<'a> {
    /// The last `event` field; empty if there is none.
    pub event: &'a [u8],
    /// The `data` lines, joined by LF. `None`: there is none, so a browser sees no event.
    pub data: Option<Cow<'a, [u8]>>,
    /// The `error` field, which is not of the standard: old llama.cpp servers report their errors in it.
    pub error: Option<&'a [u8]>,
}

impl<'a> FrameParts<'a> {
    /// Reads one frame as [`FrameSplitter`](super::FrameSplitter) gives it. A BOM is content here; see [`without_bom`].
    #[must_use]
    pub fn of(frame: &'a [u8]) -> Self {
        let mut parts = Self::default();
        let mut rest = frame;
        while !rest.is_empty() {
            // A CRLF is read as a line and an empty line; inside a frame the empty one changes nothing.
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            parts.take_line(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        parts
    }

    fn take_line(&mut self, line: &'a [u8]) {
        let colon = line.iter().take(MAX_NAME + 1).position(|&byte| byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (line, &line[line.len()..]),
        };
        match name {
            b"data" => match &mut self.data {
                None => self.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"event" => self.event = value,
            b"error" => self.error = Some(value),
            _ => {}
        }
    }
}

/// The length of the longest field name that means something: `event`, `error`, `retry`.
const MAX_NAME: usize = 5;

/// The data of one frame; borrowed unless it has several `data` lines.
#[must_use]
pub fn event_data(frame: &[u8]) -> Option<Cow<'_, [u8]>> {
    FrameParts::of(frame).data
}

/// The first frame of a stream without the byte order mark that it may begin with. Only one is taken.
#[must_use]
pub fn without_bom(frame: &[u8]) -> &[u8] {
    frame.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(frame)
}
