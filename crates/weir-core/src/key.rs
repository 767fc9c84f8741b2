//! API keys. A whole key exists in memory only, cannot be printed, and shows the world its public id.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const PREFIX: &str = "sk-wr-";
const KID_LEN: usize = 8;
const SECRET_LEN: usize = 43;
const CHECK_LEN: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A whole key as a client sent it. Has no `Display`, no `Serialize`, and a `Debug` that says nothing.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// The public id of a key: what people paste, what a record shows. ≤ 32 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

/// What is wrong with the shape of a key; never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyShapeError {
    #[error("read a key: it is empty")]
    Empty,
    #[error("read a key: it is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
    #[error("read a key: it has a space, a quote, a line break or a character outside ASCII")]
    Characters,
    #[error("read a key: it is already masked")]
    Masked,
    #[error("read a key: its last {CHECK_LEN} characters do not match the rest, so it was copied badly")]
    Check,
}

/// Longer keys are refused before they are hashed.
pub const MAX_KEY_BYTES: usize = 512;

impl ApiKey {
    /// Takes a key of any vendor's shape; checks the last six characters if the shape is weir's own.
    pub fn parse(text: &str) -> Result<Self, KeyShapeError> {
        if text.is_empty() {
            return Err(KeyShapeError::Empty);
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyShapeError::TooLong);
        }
        if text.contains('…') || text.contains("...") || text.contains("***") {
            return Err(KeyShapeError::Masked);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'`' | b',' | b';')) {
            return Err(KeyShapeError::Characters);
        }
        if let Some(rest) = text.strip_prefix(PREFIX) {
            let (body, check) = rest.split_at_checked(KID_LEN + 1 + SECRET_LEN).ok_or(KeyShapeError::Check)?;
            if check != check_digits(body) {
                return Err(KeyShapeError::Check);
            }
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Makes a key of weir's own shape from 64 bytes of dice: `sk-wr-<kid 8>-<secret 43><check 6>`.
    #[must_use]
    pub fn mint(dice: &[u8; 64]) -> (Self, KeyId) {
        let kid: String = dice[..KID_LEN].iter().map(|b| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[usize::from(b & 31)])).collect();
        // 43 digits of nearly 5.9 bits each: about 250 bits.
        let secret: String = dice[KID_LEN..KID_LEN + SECRET_LEN].iter().map(|b| char::from(BASE62[usize::from(*b) % 62])).collect();
        let body = format!("{kid}-{secret}");
        let check = check_digits(&body);
        (Self(Zeroizing::new(format!("{PREFIX}{body}{check}"))), KeyId(kid))
    }

    /// The public id inside a key of weir's own shape.
    #[must_use]
    pub fn kid(&self) -> Option<KeyId> {
        let kid = self.0.strip_prefix(PREFIX)?.get(..KID_LEN)?;
        Some(KeyId(kid.to_owned()))
    }

    /// The whole key, for the hash that the store looks up and the header that an upstream wants. Nothing else may call this.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl KeyId {
    /// An id as the store keeps it: 1 to 32 ASCII letters, digits, `_` or `-`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fine = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        fine.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What people see: `sk-wr-<kid>-…`, without one secret character.
    #[must_use]
    pub fn mask(&self) -> String {
        format!("{PREFIX}{}-…", self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// CRC-32 of the body in six base62 digits: a typing error is found without asking the store.
fn check_digits(body: &str) -> String {
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let mut rest = !crc;
    let mut digits = [b'0'; CHECK_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|&d| char::from(d)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_minted_key_reads_back_and_one_wrong_letter_is_found(dice in proptest::collection::vec(any::<u8>(), 64), at in 15usize..58) {
            let (key, kid) = ApiKey::mint(&dice.try_into().unwrap());
            prop_assert_eq!(key.expose().len(), 64);
            prop_assert_eq!(ApiKey::parse(key.expose()).unwrap().kid(), Some(kid));
            let mut wrong = key.expose().to_owned().into_bytes();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(ApiKey::parse(&wrong).unwrap_err(), KeyShapeError::Check);
        }
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let (key, kid) = ApiKey::mint(&std::array::from_fn(|i| u8::try_from(i).unwrap() * 3));
        assert_eq!(format!("{key:?}"), "[REDACTED]");
        assert!(!kid.mask().contains(&key.expose()[16..24]));
    }

    #[test]
    fn badly_copied_keys_say_what_is_wrong() {
        for (text, error) in [
            ("", KeyShapeError::Empty),
            ("sk-abc def", KeyShapeError::Characters),
            ("“sk-abc”", KeyShapeError::Characters),
            ("sk-…9f2c", KeyShapeError::Masked),
            ("sk-wr-abcd1234-short", KeyShapeError::Check),
        ] {
            assert_eq!(ApiKey::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
