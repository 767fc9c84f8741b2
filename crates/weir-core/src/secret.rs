//! A value that must never be shown, and the masks that may be shown instead.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret in memory. No `Display`, no `Serialize`; `Debug` says `[REDACTED]`; the memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself: only where a header is built, a hash is made, or the redactor learns what to hide.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Prefixes that vendors publish: they tell whose key it is and nothing else. Longer ones first.
pub(crate) const KEY_PREFIXES: [&str; 22] = [
    "sk-svcacct-",
    "sk-ant-api03-",
    "sk-ant-admin01-",
    "sk-ant-",
    "sk-admin-",
    "sk-proj-",
    "sk-or-v1-",
    "sk-lf-",
    "sk-wr-",
    "github_pat_",
    "sk_live_",
    "sk_test_",
    "nvapi-",
    "pplx-",
    "sess-",
    "gsk_",
    "csk-",
    "xai-",
    "AIza",
    "hf_",
    "r8_",
    "sk-",
];

/// How many of a secret's characters may be shown, and how long it must be for that: 4 of 32 are 12.5 %.
const SHOWN: usize = 4;
const LONG_ENOUGH: usize = SHOWN * 8;

/// The mask of a key of any vendor: its public prefix, `…`, and the last four characters if the secret is so long
/// (32 characters or more) that they are at most 12.5 % of it. A key without a known prefix is `[key]`, or `…` and the four.
#[must_use]
pub fn mask_foreign(key: &Secret) -> String {
    let text = key.expose();
    let prefix = KEY_PREFIXES.iter().find(|p| text.starts_with(**p)).copied().unwrap_or_default();
    let hidden: Vec<char> = text[prefix.len()..].chars().collect();
    let plain_end = hidden.iter().rev().take(SHOWN).all(char::is_ascii_alphanumeric);
    let shows_end = hidden.len() >= LONG_ENOUGH && plain_end && prefix != "sk-wr-";
    match (prefix.is_empty(), shows_end) {
        (true, false) => "[key]".to_owned(),
        (false, false) => format!("{prefix}…"),
        (_, true) => format!("{prefix}…{}", hidden[hidden.len() - SHOWN..].iter().collect::<String>()),
    }
}

/// The fingerprint of a key: `fp_` and 8 base32 digits (40 bits of a keyed hash that the store computes).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct KeyFingerprint(#[schemars(regex(pattern = r"^fp_[0-9A-HJKMNP-TV-Z]{8}$"))] String);

/// The text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a key fingerprint: it is `fp_` and 8 base32 digits")]
pub struct NotAFingerprint;

impl KeyFingerprint {
    /// From the first 40 bits of the keyed hash.
    #[must_use]
    pub fn from_bits(bits: [u8; 5]) -> Self {
        let value = bits.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        Self(format!("fp_{}", crate::evidence::crockford(value, 8)))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyFingerprint {
    type Error = NotAFingerprint;

    fn try_from(text: String) -> Result<Self, NotAFingerprint> {
        let digits = text.strip_prefix("fp_").ok_or(NotAFingerprint)?;
        let fine = digits.len() == 8 && digits.bytes().all(|b| crate::evidence::CROCKFORD.contains(&b));
        if fine { Ok(Self(text)) } else { Err(NotAFingerprint) }
    }
}

impl From<KeyFingerprint> for String {
    fn from(fingerprint: KeyFingerprint) -> Self {
        fingerprint.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new("hunter2hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[REDACTED] Some([REDACTED])");
    }

    #[test]
    fn r39_a_mask_shows_at_most_four_characters_and_never_the_first() {
        let long = format!("sk-proj-{}9aZk", "Q7".repeat(40));
        assert_eq!(mask_foreign(&Secret::new(long)), "sk-proj-…9aZk");
        assert_eq!(mask_foreign(&Secret::new("sk-abcd1234abcd1234")), "sk-…", "too short to show an end");
        assert_eq!(mask_foreign(&Secret::new("hunter2")), "[key]");
        assert_eq!(mask_foreign(&Secret::new("sk-wr-abcd1234-0123456789012345678901234567890123456789")), "sk-wr-…");
        assert_eq!(mask_foreign(&Secret::new("0123456789abcdef0123456789abcdef")), "…cdef");
    }

    #[test]
    fn a_fingerprint_survives_its_text() {
        let fingerprint = KeyFingerprint::from_bits([0, 1, 2, 250, 255]);
        assert_eq!(KeyFingerprint::try_from(String::from(fingerprint.clone())), Ok(fingerprint));
        assert_eq!(KeyFingerprint::try_from("fp_short".to_owned()), Err(NotAFingerprint));
    }
}
