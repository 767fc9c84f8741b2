//! Durations, sizes and prices as people write them, read exactly. No message repeats what was written: it may be a misplaced secret.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A size in bytes: a whole number and `B`, `KiB`, `MiB`, `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A price in nano-units (10⁻⁹ of the account's unit), written as a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Money(pub(crate) u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("a duration is a whole number with ms, s, m, h or d, such as \"30s\"")]
    Span,
    #[error("a size is a whole number with B, KiB, MiB or GiB, such as \"32MiB\"")]
    Size,
    #[error("a price is a decimal such as 0.15, not negative, at most 9 decimals")]
    Money,
}

/// Splits `"30s"` into its number and its unit; both must be there.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    Some((number.parse().ok()?, unit))
}

impl Span {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = number_and_unit(text).ok_or(UnitError::Span)?;
        let seconds = match unit {
            "ms" => return Ok(Self(Duration::from_millis(number))),
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(UnitError::Span),
        };
        number.checked_mul(seconds).map(Self::seconds).ok_or(UnitError::Span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            _ if millis.is_multiple_of(86_400_000) => write!(f, "{}d", millis / 86_400_000),
            _ if millis.is_multiple_of(3_600_000) => write!(f, "{}h", millis / 3_600_000),
            _ if millis.is_multiple_of(60_000) => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1_000) => write!(f, "{}s", millis / 1_000),
            _ => write!(f, "{millis}ms"),
        }
    }
}

impl Size {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = number_and_unit(text).ok_or(UnitError::Size)?;
        let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or(UnitError::Size)?;
        number.checked_mul(*bytes).map(Self).ok_or(UnitError::Size)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = SIZES.iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes) && self.0 >= *bytes).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

impl FromStr for Money {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 || text.ends_with('.') {
            return Err(UnitError::Money);
        }
        format!("{whole}{fraction:0<9}").parse().map(Self).map_err(|_| UnitError::Money)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Money {
    /// The nano-units of one unit when this is the price of `per` units; `None` if that is no whole number.
    pub(crate) fn each(self, per: u64) -> Option<u64> {
        self.0.is_multiple_of(per).then_some(self.0 / per)
    }
}

/// The shortest decimal that means the same number, as it was written: exact for every price a person writes.
pub(crate) fn decimal_of(number: f64) -> String {
    format!("{number}")
}

struct MoneyVisitor;

impl de::Visitor<'_> for MoneyVisitor {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal such as 0.15")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Money, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Money, E> {
        decimal_of(number).parse().map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MoneyVisitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

macro_rules! shown_as_text {
    ($type:ident, $name:literal, $schema:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

shown_as_text!(Span, "Duration", json_schema!({ "type": "string", "format": "span", "pattern": "^[0-9]+(ms|s|m|h|d)$" }));
shown_as_text!(Size, "Size", json_schema!({ "type": "string", "format": "size", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }));
shown_as_text!(
    Money,
    "Price",
    json_schema!({ "type": ["number", "string"], "format": "price", "minimum": 0, "pattern": "^[0-9]+(\\.[0-9]{1,9})?$" })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_says_its_unit() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.0.as_millis(), span.to_string().as_str()), (millis, text));
        }
        for text in ["", "30", "s", "1.5s", "-1s", "30 s", "30sec", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(text.parse::<Span>(), Err(UnitError::Span), "{text}");
        }
    }

    #[test]
    fn a_size_says_its_unit() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("32MiB", 33_554_432), ("1GiB", 1 << 30)] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, text));
        }
        for text in ["", "32", "32MB", "1.5MiB", "MiB", "18446744073709551615GiB"] {
            assert_eq!(text.parse::<Size>(), Err(UnitError::Size), "{text}");
        }
    }

    #[test]
    fn a_price_is_exact() {
        for (text, nano) in [("0.15", 150_000_000), ("2", 2_000_000_000), ("0.000000001", 1), ("0", 0)] {
            let price: Money = text.parse().unwrap();
            assert_eq!((price.0, price.to_string().as_str()), (nano, text));
        }
        for text in ["", ".5", "1.", "-1", "1e3", "0.0000000001", "free", "99999999999999999999"] {
            assert_eq!(text.parse::<Money>(), Err(UnitError::Money), "{text}");
        }
    }

    #[test]
    fn a_price_per_million_is_whole_nano_units_each_or_nothing() {
        assert_eq!(Money(150_000_000).each(1_000_000), Some(150));
        assert_eq!("0.0005".parse::<Money>().unwrap().each(1_000_000), None);
    }

    #[test]
    fn a_price_written_as_a_number_keeps_its_digits() {
        for text in ["0.15", "0.075", "0.1", "2.5", "10.003"] {
            assert_eq!(decimal_of(text.parse().unwrap()), text);
        }
    }
}
