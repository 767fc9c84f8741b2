//! The typed record of a call that support may keep and the public may read.

/// Crockford's alphabet: no letter can be mistaken for a digit.
pub(crate) const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The lowest `digits` groups of five bits, highest first.
pub(crate) fn crockford(value: u64, digits: u32) -> String {
    (0..digits).rev().map(|i| char::from(CROCKFORD[(value >> (5 * i) & 31) as usize])).collect()
}
