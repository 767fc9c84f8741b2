//! Checksums and encodings that are too small for a dependency: FNV-1a, CRC-32, Base64, stored gzip.

/// FNV-1a with 64 bits. Stable for all time, because answers derive from it; not for secrets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn eat(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn end(self) -> u64 {
        self.0
    }
}

pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    let mut sum = Fnv::new();
    sum.eat(bytes);
    sum.end()
}

/// A well-spread number from a seed and a position (`SplitMix64`), so any piece of an answer can be made alone.
pub(crate) fn mix(seed: u64, at: u64) -> u64 {
    let mut z = seed.wrapping_add(at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in `[0, 1)` from a seed and a position.
pub(crate) fn share(seed: u64, at: u64) -> f64 {
    f64::from(u32::try_from(mix(seed, at) >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

/// CRC-32 as gzip and PNG use it, continued from `sum` (0 to begin).
pub(crate) fn crc32(sum: u32, bytes: &[u8]) -> u32 {
    let mut crc = !sum;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// gzip without compression: each piece becomes stored blocks, so what goes in can come out at once.
#[derive(Debug, Default)]
pub(crate) struct StoredGzip {
    begun: bool,
    crc: u32,
    length: u32,
}

impl StoredGzip {
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + 32);
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        }
        for block in piece.chunks(usize::from(u16::MAX)) {
            let size = u16::try_from(block.len()).unwrap_or(u16::MAX);
            out.push(0);
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&(!size).to_le_bytes());
            out.extend_from_slice(block);
        }
        self.crc = crc32(self.crc, piece);
        self.length = self.length.wrapping_add(u32::try_from(piece.len() % (1 << 32)).unwrap_or(0));
        out
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        let mut out = self.feed(&[]);
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_have_their_known_values() {
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn stored_gzip_ends_with_checksum_and_length() {
        let mut zip = StoredGzip::default();
        let first = zip.feed(b"1234");
        assert_eq!(&first[..3], &[0x1f, 0x8b, 8]);
        zip.feed(b"56789");
        let end = zip.end();
        assert_eq!(end[5..9], 0xcbf4_3926u32.to_le_bytes());
        assert_eq!(end[9..], 9u32.to_le_bytes());
    }

    #[test]
    fn shares_lie_between_zero_and_one_and_spread() {
        let low = (0..1000).filter(|at| share(7, *at) < 0.5).count();
        assert!((400..600).contains(&low), "{low}");
    }
}
