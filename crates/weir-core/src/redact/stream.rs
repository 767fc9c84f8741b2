//! Redaction of a text that comes in pieces. A piece is let go only as far as it reads the same alone as with what
//! follows, so a secret across a border is seen whole.

use super::engine::{Audience, Kind, Redacted, Redactor};

/// Kept back at least: longer than any secret with its name and its encoding.
const CARRY_BYTES: usize = 8 * 1024;
/// Work begins when this much has come, so that each byte is looked at about twice.
const WORK_BYTES: usize = 64 * 1024;
/// One private value longer than this is dropped to the end of the text: its end cannot be told safely any more.
const MAX_HELD_BYTES: usize = 2 * 1024 * 1024;
/// Borders tried before more text is awaited.
const MAX_TRIES: usize = 8;

/// Redacts a stream. Output lags behind input by 8 KiB or more; at most 2 MiB are held.
#[derive(Debug)]
pub struct RedactStream<'a> {
    redactor: &'a Redactor,
    audience: Audience,
    held: String,
    /// The first bytes of a character whose rest has not come.
    partial: Vec<u8>,
    /// Held bytes at which the next try is worth its time.
    next_work: usize,
    dropped: bool,
}

impl<'a> RedactStream<'a> {
    #[must_use]
    pub fn new(redactor: &'a Redactor, audience: Audience) -> Self {
        Self { redactor, audience, held: String::new(), partial: Vec::new(), next_work: WORK_BYTES, dropped: false }
    }

    /// Takes the next piece; returns what is safe to show by now, often nothing. Bytes that are no UTF-8 become `�`.
    pub fn push(&mut self, piece: &[u8]) -> Redacted {
        if self.dropped {
            return Redacted::default();
        }
        let mut out = Redacted::default();
        // A large piece is worked on in parts, so that the bound holds whatever comes.
        for part in piece.chunks(WORK_BYTES) {
            self.take(part);
            if self.held.len() >= self.next_work && !self.dropped {
                out.append(self.work());
            }
        }
        out
    }

    /// The rest.
    #[must_use]
    pub fn finish(mut self) -> Redacted {
        if self.dropped {
            return Redacted::default();
        }
        if !self.partial.is_empty() {
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        self.redactor.redact(&self.held, self.audience)
    }

    fn take(&mut self, piece: &[u8]) {
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(piece);
        let mut rest = bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.held.push_str(text);
                    return;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.held.push_str(std::str::from_utf8(good).unwrap_or_default());
                    let Some(len) = error.error_len() else {
                        self.partial = bad.to_vec();
                        return;
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    rest = &bad[len..];
                }
            }
        }
    }

    fn work(&mut self) -> Redacted {
        let whole = self.redactor.spans(&self.held, self.audience);
        let mut limit = self.held.len() - CARRY_BYTES;
        for _ in 0..MAX_TRIES {
            let Some(cut) = border(&self.held, limit) else { break };
            if let Some(span) = whole.iter().find(|s| s.start < cut && cut < s.end) {
                limit = span.start;
                continue;
            }
            let behind: Vec<_> = whole.iter().filter(|s| s.start >= cut).map(|s| (s.start - cut, s.end - cut, s.kind)).collect();
            let alone: Vec<_> = self.redactor.spans(&self.held[cut..], self.audience).iter().map(|s| (s.start, s.end, s.kind)).collect();
            let before: Vec<_> = whole.iter().filter(|s| s.end <= cut).collect();
            let alone_before = self.redactor.spans(&self.held[..cut], self.audience);
            if alone == behind && alone_before.iter().eq(before) {
                let ready = self.redactor.redact(&self.held[..cut], self.audience);
                self.held.drain(..cut);
                self.next_work = self.held.len() + WORK_BYTES;
                return ready;
            }
            limit = cut - 1;
        }
        if self.held.len() >= MAX_HELD_BYTES {
            return self.give_up(whole.first().map_or(0, |s| s.start));
        }
        // Twice as much next time: the work stays linear however long a value is.
        self.next_work = self.held.len() * 2;
        Redacted::default()
    }

    /// Lets go what stands before the endless value; the rest of the stream is not shown.
    fn give_up(&mut self, at: usize) -> Redacted {
        let mut ready = self.redactor.redact(&self.held[..at], self.audience);
        ready.append(Redacted::hidden(Kind::Content));
        self.held = String::new();
        self.dropped = true;
        ready
    }
}

/// The last line break at or before `limit`, else the last blank; the cut is behind it.
fn border(text: &str, limit: usize) -> Option<usize> {
    let bytes = &text.as_bytes()[..limit];
    let at = bytes.iter().rposition(|b| *b == b'\n').or_else(|| bytes.iter().rposition(|b| *b == b' '))?;
    Some(at + 1)
}
