//! Lenient pieces that the typed shapes of events and answers are made of: they borrow, ignore what they do not know, and
//! take a value of the wrong kind for an absent one.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::tokens::TextCount;

/// A text, borrowed where the JSON has no escapes. Any other kind of value is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// A count. Fractions are rounded up; what is negative or no number is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count(pub(crate) u64);

/// The text of a value and of everything inside it, measured and not kept. Numbers count as nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measured(pub(crate) TextCount);

/// Names inside measured values that hold no generated text: labels, and media as base64 or addresses.
const UNMEASURED: [&str; 16] = [
    "annotations",
    "b64_json",
    "call_id",
    "data",
    "encrypted_content",
    "format",
    "id",
    "image_url",
    "index",
    "item_id",
    "object",
    "role",
    "signature",
    "status",
    "type",
    "url",
];

/// Visits every kind of value that a type does not want, and takes it for its default.
macro_rules! ignore_the_rest {
    ($($name:ident($kind:ty)),* $(,)?) => {
        $(fn $name<E>(self, _: $kind) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*
    };
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Text<'de>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    ignore_the_rest!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count(count))
    }

    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the cast saturates, and negative counts are 0")]
    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        Ok(Count(count.ceil() as u64))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Count, A::Error> {
        TextVisitor.visit_seq(items).map(|_| Count(0))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Count, A::Error> {
        TextVisitor.visit_map(fields).map(|_| Count(0))
    }

    ignore_the_rest!(visit_bool(bool), visit_i64(i64), visit_str(&str));
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct MeasuredVisitor;

impl<'de> Visitor<'de> for MeasuredVisitor {
    type Value = Measured;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or values with text in them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Measured, E> {
        let mut count = TextCount::default();
        count.add_text(text);
        Ok(Measured(count))
    }

    fn visit_unit<E>(self) -> Result<Measured, E> {
        Ok(Measured::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Measured, A::Error> {
        let mut sum = TextCount::default();
        while let Some(Measured(item)) = items.next_element()? {
            sum.add(item);
        }
        Ok(Measured(sum))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Measured, A::Error> {
        let mut sum = TextCount::default();
        while let Some(name) = fields.next_key::<Text<'de>>()? {
            if UNMEASURED.contains(&name.as_str()) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                sum.add(fields.next_value::<Measured>()?.0);
            }
        }
        Ok(Measured(sum))
    }

    ignore_the_rest!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MeasuredVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_wrong_kind_is_taken_for_an_absent_one() {
        for json in ["null", "true", "-1", "[1,{}]", "{\"a\":[]}"] {
            assert_eq!(serde_json::from_str::<Text<'_>>(json).unwrap(), Text(None), "{json}");
            assert_eq!(serde_json::from_str::<Count>(json).unwrap(), Count(0), "{json}");
        }
        assert_eq!(serde_json::from_str::<Count>("8.2").unwrap(), Count(9));
        assert_eq!(serde_json::from_str::<Count>("\"7\"").unwrap(), Count(0));
        assert_eq!(serde_json::from_str::<Count>("-0.5").unwrap(), Count(0));
        assert_eq!(serde_json::from_str::<Text<'_>>("5").unwrap(), Text(None));
    }

    #[test]
    fn labels_and_media_are_not_measured() {
        let parts = r#"[{"type":"text","text":"abcd"},{"id":"call_1","function":{"name":"ab","arguments":"{\"x\":1}"},"data":"AAAA"}]"#;
        assert_eq!(serde_json::from_str::<Measured>(parts).unwrap().0.bytes, 4 + 2 + 7);
    }
}
