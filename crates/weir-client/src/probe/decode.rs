//! Takes compression off as the bytes come: what has arrived is readable at once, so that times stay true.

use std::io::Write;

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Bytes that one compressed read may become: a bomb is no stream.
const BURST_BYTES: usize = 8 << 20;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;

/// Undoes one `content-encoding`.
pub enum Decoding {
    /// Nothing to undo.
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// Which of the two that call themselves deflate shows at the first byte.
    Undecided,
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    Deflate(Box<DeflateDecoder<Vec<u8>>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Vec<u8>>>),
    /// Nobody here reads it.
    Unknown,
}

impl std::fmt::Debug for Decoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoding")
    }
}

/// The bytes are not what the header says, or nobody here reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable;

impl Decoding {
    /// For the value of a `content-encoding` header.
    #[must_use]
    pub fn of(encoding: Option<&str>) -> Self {
        match encoding.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Self::Plain,
            Some("gzip" | "x-gzip") => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Some("deflate") => Self::Undecided,
            Some("br") => Self::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(Vec::new(), BROTLI_BUFFER_BYTES))),
            Some(_) => Self::Unknown,
        }
    }

    /// Everything that can be read after these bytes came.
    ///
    /// # Errors
    /// They are not what the header says. Nothing more can be read.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
        if let (Self::Undecided, Some(first)) = (&*self, bytes.first()) {
            // The low half of zlib's first byte says "deflate"; raw deflate almost never begins so.
            *self = if first & 0x0F == 8 {
                Self::Zlib(Box::new(ZlibDecoder::new(Vec::new())))
            } else {
                Self::Deflate(Box::new(DeflateDecoder::new(Vec::new())))
            };
        }
        let out = match self {
            Self::Plain => return Ok(bytes.to_vec()),
            Self::Undecided => return Ok(Vec::new()),
            Self::Unknown => return Err(Undecodable),
            Self::Gzip(decoder) => written(decoder, bytes).map(|()| std::mem::take(decoder.get_mut())),
            Self::Zlib(decoder) => written(decoder, bytes).map(|()| std::mem::take(decoder.get_mut())),
            Self::Deflate(decoder) => written(decoder, bytes).map(|()| std::mem::take(decoder.get_mut())),
            Self::Brotli(decoder) => written(decoder, bytes).map(|()| std::mem::take(decoder.get_mut())),
        }?;
        if out.len() > BURST_BYTES { Err(Undecodable) } else { Ok(out) }
    }
}

/// Small steps, so that a bomb is noticed before it is large.
fn written(decoder: &mut impl Write, bytes: &[u8]) -> Result<(), Undecodable> {
    decoder.write_all(bytes).and_then(|()| decoder.flush()).map_err(|_| Undecodable)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn what_was_flushed_on_the_other_side_can_be_read_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut decoding = Decoding::of(Some("gzip"));
        for n in 0..50 {
            let event = format!("data: {{\"n\":{n}}}\n\n");
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            let sent = std::mem::take(encoder.get_mut());
            assert_eq!(decoding.feed(&sent), Ok(event.into_bytes()), "event {n}");
        }
    }

    #[test]
    fn raw_and_wrapped_deflate_and_brotli_are_read() {
        let text = b"data: hello\n\n".repeat(20);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        assert_eq!(Decoding::of(Some("deflate")).feed(&zlib.finish().unwrap()), Ok(text.clone()));
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&text).unwrap();
        assert_eq!(Decoding::of(Some("deflate")).feed(&raw.finish().unwrap()), Ok(text));
        // A brotli stream of one uncompressed block: "hi".
        assert_eq!(Decoding::of(Some("br")).feed(b"\x8b\x00\x80hi\x03"), Ok(b"hi".to_vec()));
    }

    #[test]
    fn what_is_not_what_the_header_says_is_told() {
        assert_eq!(Decoding::of(Some("gzip")).feed(b"data: hello\n\n"), Err(Undecodable));
        assert_eq!(Decoding::of(Some("zstd")).feed(b"x"), Err(Undecodable));
        assert_eq!(Decoding::of(None).feed(b"x"), Ok(b"x".to_vec()));
    }
}
