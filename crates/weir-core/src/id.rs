//! Names for requests and calls: sortable by time, safe to show, unique without coordination.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The id of one HTTP request, and of the call whose first request it is.
/// 48 bits of milliseconds, then 80 random bits; shown as `wr_` and 26 lowercase base32 digits, so text sorts as time does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u128);

/// Crockford's alphabet in lowercase: no letter can be mistaken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const PREFIX: &str = "wr_";
const DIGITS: usize = 26;

impl RequestId {
    /// An id for an instant; `dice` brings the 80 random bits (the upper 48 of its 128 are ignored).
    #[must_use]
    pub fn new(at: Timestamp, dice: u128) -> Self {
        let millis = u128::from(u64::try_from(at.0).unwrap_or(0) & 0xFFFF_FFFF_FFFF);
        Self(millis << 80 | dice & ((1 << 80) - 1))
    }

    /// When the request arrived.
    #[must_use]
    pub fn at(self) -> Timestamp {
        Timestamp(i64::try_from(self.0 >> 80).unwrap_or(i64::MAX))
    }

    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; DIGITS];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        f.write_str(PREFIX)?;
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a request id: it is `wr_` and 26 letters or digits")]
pub struct NotARequestId;

impl FromStr for RequestId {
    type Err = NotARequestId;

    fn from_str(text: &str) -> Result<Self, NotARequestId> {
        let digits = text.strip_prefix(PREFIX).filter(|d| d.len() == DIGITS).ok_or(NotARequestId)?;
        let mut value: u128 = 0;
        for byte in digits.bytes() {
            let digit = ALPHABET.iter().position(|&a| a == byte.to_ascii_lowercase()).ok_or(NotARequestId)?;
            if value >> 123 != 0 {
                return Err(NotARequestId);
            }
            value = value << 5 | digit as u128;
        }
        Ok(Self(value))
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_its_text(raw: u128) {
            let id = RequestId(raw);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(RequestId::from_bytes(id.to_bytes()), id);
        }

        #[test]
        fn ids_sort_as_their_times(a in 0i64..1 << 47, b in 0i64..1 << 47, x: u128, y: u128) {
            let (first, second) = (RequestId::new(Timestamp(a), x), RequestId::new(Timestamp(b), y));
            prop_assert_eq!(first.at(), Timestamp(a));
            if a < b {
                prop_assert!(first.to_string() < second.to_string());
            }
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "wr_", "wr_0", "req_01J2W8K3Q4ZP7M01J2W8K3Q4", "wr_zzzzzzzzzzzzzzzzzzzzzzzzzz", "wr_01j2w8k3q4zp7m01j2w8k3q4il"] {
            assert_eq!(text.parse::<RequestId>(), Err(NotARequestId), "{text}");
        }
    }
}
