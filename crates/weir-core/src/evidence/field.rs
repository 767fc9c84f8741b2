//! The kinds of field a record has. Each is bounded and none holds text that did not pass the redactor.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::redact::{Audience, Redacted, Redactor};
use crate::{RequestId, Timestamp};

/// The engine for records that come in from outside. It knows no exact secrets, only shapes and names.
pub(super) static ENGINE: LazyLock<Redactor> = LazyLock::new(Redactor::default);

/// A value, or the word `unknown`, or `null` where the question makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Fact<T> {
    Unknown(UnknownWord),
    Known(T),
    #[default]
    NotApplicable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UnknownWord {
    #[serde(rename = "unknown")]
    Unknown,
}

impl<T> Fact<T> {
    pub const UNKNOWN: Self = Self::Unknown(UnknownWord::Unknown);

    /// `None` is unknown.
    pub fn or_unknown(value: Option<T>) -> Self {
        value.map_or(Self::UNKNOWN, Self::Known)
    }

    /// `None` is not applicable.
    pub fn or_null(value: Option<T>) -> Self {
        value.map_or(Self::NotApplicable, Self::Known)
    }

    pub fn known(&self) -> Option<&T> {
        if let Self::Known(value) = self { Some(value) } else { None }
    }
}

/// A short token: at most `MAX` letters, digits and `_ . : @ / = , + - … [ ]` or blanks, with nothing private in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label<const MAX: usize>(String);

impl<const MAX: usize> Label<MAX> {
    /// `None` if a character does not belong, the text is empty or too long, or `redactor` would hide something in it.
    #[must_use]
    pub fn new(text: &str, redactor: &Redactor, audience: Audience) -> Option<Self> {
        let fits =
            !text.is_empty() && text.chars().count() <= MAX && text.chars().all(|c| c.is_alphanumeric() || "_.:@/=,+-…[] ".contains(c));
        (fits && redactor.scan(text, audience).is_ok()).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Free text of at most `MAX` characters that passed the redactor.
#[derive(Clone, PartialEq, Eq)]
pub struct Text<const MAX: usize>(Redacted);

impl<const MAX: usize> Text<MAX> {
    /// Cuts at a character border, then looks once more: `None` if the cut made something private visible.
    #[must_use]
    pub fn new(text: Redacted, redactor: &Redactor, audience: Audience) -> Option<Self> {
        let cut = text.cut(MAX);
        redactor.scan(cut.as_str(), audience).is_ok().then_some(Self(cut))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

macro_rules! as_string {
    ($name:ident, $read:expr, $pattern:expr) => {
        impl<const MAX: usize> fmt::Display for $name<MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl<const MAX: usize> fmt::Debug for $name<MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl<const MAX: usize> Serialize for $name<MAX> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de, const MAX: usize> Deserialize<'de> for $name<MAX> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let read: fn(&str) -> Option<Self> = $read;
                read(&text).ok_or_else(|| de::Error::custom("a text that is too long or holds something private"))
            }
        }
        impl<const MAX: usize> JsonSchema for $name<MAX> {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                format!("{}{MAX}", stringify!($name)).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $pattern(MAX)
            }
        }
    };
}
as_string!(
    Label,
    |text| Self::new(text, &ENGINE, Audience::Support),
    |max: usize| json_schema!({"type": "string", "minLength": 1, "maxLength": max, "pattern": r"^[\w\p{L}.:@/=,+\-…\[\] ]+$"})
);
as_string!(
    Text,
    |text| if text.chars().count() <= MAX { Self::new(ENGINE.redact(text, Audience::Support), &ENGINE, Audience::Support) } else { None },
    |max: usize| json_schema!({"type": "string", "maxLength": max})
);

/// An instant as people read it: RFC 3339 with the offset of a stated zone, to the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Moment(#[schemars(extend("format" = "date-time"))] String);

impl Moment {
    /// `None` for instants outside the calendar.
    #[must_use]
    pub fn of(at: Timestamp, zone: &TimeZone) -> Option<Self> {
        let zoned = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone());
        Some(Self(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `+08:00`.
    pub(super) fn offset(&self) -> &str {
        self.0.get(19..).unwrap_or("Z")
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fine = text.len() <= 40 && text.parse::<jiff::Timestamp>().is_ok();
        if fine { Ok(Self(text)) } else { Err(de::Error::custom("a time that is not RFC 3339")) }
    }
}

/// Crockford's alphabet: no letter can be mistaken for a digit.
pub(crate) const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The lowest `digits` groups of five bits, highest first.
pub(crate) fn crockford(value: u64, digits: u32) -> String {
    (0..digits).rev().map(|i| char::from(CROCKFORD[(value >> (5 * i) & 31) as usize])).collect()
}

/// `WEV-XXXX-XXXX-XXXX`: 60 bits that can be read out on a telephone and are chosen whole by a double click.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EvidenceId(u64);

/// The text is not an evidence id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read an evidence id: it is `WEV-` and three groups of four letters or digits")]
pub struct NotAnEvidenceId;

impl EvidenceId {
    const BITS: u32 = 60;

    /// From 60 random bits; the upper four of `dice` are ignored.
    #[must_use]
    pub fn from_dice(dice: u64) -> Self {
        Self(dice & ((1 << Self::BITS) - 1))
    }

    /// The id of a call's record: the call's own lowest random bits, so the same call always shows the same id.
    #[must_use]
    pub fn of_call(call: RequestId) -> Self {
        let bytes = call.to_bytes();
        Self::from_dice(bytes[8..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = crockford(self.0, 12);
        write!(f, "WEV-{}-{}-{}", &digits[..4], &digits[4..8], &digits[8..])
    }
}

impl fmt::Debug for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EvidenceId {
    type Err = NotAnEvidenceId;

    /// Reads what people write: small letters, `O` for zero, `I` and `L` for one.
    fn from_str(text: &str) -> Result<Self, NotAnEvidenceId> {
        let upper = text.trim().to_ascii_uppercase();
        let digits: String = upper.strip_prefix("WEV-").ok_or(NotAnEvidenceId)?.chars().filter(|c| *c != '-').collect();
        if digits.len() != 12 {
            return Err(NotAnEvidenceId);
        }
        let read = |sum: u64, byte: u8| {
            let byte = match byte {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            CROCKFORD.iter().position(|d| *d == byte).map(|digit| sum << 5 | digit as u64)
        };
        digits.bytes().try_fold(0, read).map(Self).ok_or(NotAnEvidenceId)
    }
}

impl Serialize for EvidenceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EvidenceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for EvidenceId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EvidenceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^WEV-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$"})
    }
}
