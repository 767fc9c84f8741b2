//! Takes frames out of a stream and leaves every line end whole.

use bytes::Bytes;

/// What frames that were taken out leave behind: a CRLF that two chunks shared ends one frame and begins the next, so each half goes with the frame
/// that it ends.
#[derive(Debug, Default)]
pub struct Seam {
    is_open: bool,
    /// The first frame taken out began with the LF that ends the frame before it.
    owes_lf: bool,
    /// The last one ended with a CR: a LF that comes now is the rest of it.
    takes_lf: bool,
}

impl Seam {
    /// This frame does not go on.
    pub fn take_out(&mut self, frame: &[u8]) {
        if !std::mem::replace(&mut self.is_open, true) {
            self.owes_lf = frame.first() == Some(&b'\n');
        }
        self.takes_lf = frame.last() == Some(&b'\r');
    }

    /// A frame as it goes on: unchanged, unless what stood before it was taken out and shared a line end with it.
    #[must_use]
    pub fn close(&mut self, frame: Bytes) -> Bytes {
        let Self { is_open: true, owes_lf, takes_lf } = std::mem::take(self) else { return frame };
        let has_lf = takes_lf && frame.first() == Some(&b'\n');
        match (owes_lf, has_lf) {
            (true, true) | (false, false) => frame,
            (false, true) => frame.slice(1..),
            (true, false) => [b"\n", &frame[..]].concat().into(),
        }
    }
}
