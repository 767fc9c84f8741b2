//! Finds whole events in a byte stream and passes their bytes on, unchanged.

use bytes::Bytes;

use super::EventTooLong;

/// Cuts a stream after each blank line. The outputs and the rest, joined, are the input, byte for byte.
///
/// Lines end at LF, CRLF or CR, split anywhere over chunks. A CR ends its line at once: nothing waits to learn whether a LF
/// follows. If one does, in a later chunk, and the CR had ended a frame, that LF is the first byte of the next frame, where it
/// means nothing. Further blank lines are frames of their own.
///
/// A frame inside one chunk is a slice of it; only a frame that spans chunks is copied.
#[derive(Debug)]
pub struct FrameSplitter {
    limit_bytes: usize,
    /// The frame that has begun in earlier chunks.
    held: Vec<u8>,
    /// The current line has no byte yet.
    line_is_empty: bool,
    /// The last byte was a CR; a LF now belongs to the same line end.
    after_cr: bool,
}

impl FrameSplitter {
    /// A splitter that refuses frames of more than `limit_bytes`, their border included.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, held: Vec::new(), line_is_empty: true, after_cr: false }
    }

    /// Appends to `out` every frame that ends in `chunk`.
    ///
    /// # Errors
    /// When a frame exceeds the limit; the whole frames before it are in `out`, and the splitter must not be fed again.
    #[expect(clippy::needless_pass_by_value, reason = "whoever hands a chunk over should not keep its buffer alive")]
    pub fn feed(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), EventTooLong> {
        let mut start = 0;
        let mut line = 0;
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            line = usize::from(chunk[0] == b'\n');
        }
        while let Some(length) = memchr::memchr2(b'\n', b'\r', &chunk[line..]) {
            let end = line + length;
            let is_border = self.line_is_empty && length == 0;
            line = end + 1;
            if chunk[end] == b'\r' {
                match chunk.get(line) {
                    Some(b'\n') => line += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.line_is_empty = true;
            if is_border {
                out.push(self.frame(&chunk, start, line)?);
                start = line;
            }
        }
        self.line_is_empty &= line == chunk.len();
        self.hold(&chunk[start..])
    }

    /// Bytes of the frame whose border has not come.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.held.len()
    }

    /// The rest after the last border. By the standard it is no event; `\n` alone is the second half of a CRLF.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.held.into()
    }

    fn frame(&mut self, chunk: &Bytes, start: usize, end: usize) -> Result<Bytes, EventTooLong> {
        if self.held.is_empty() {
            return if end - start > self.limit_bytes { Err(self.too_long()) } else { Ok(chunk.slice(start..end)) };
        }
        self.hold(&chunk[start..end])?;
        Ok(std::mem::take(&mut self.held).into())
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), EventTooLong> {
        if self.held.len() + part.len() > self.limit_bytes {
            return Err(self.too_long());
        }
        self.held.extend_from_slice(part);
        Ok(())
    }

    fn too_long(&self) -> EventTooLong {
        EventTooLong { limit_bytes: self.limit_bytes }
    }
}
