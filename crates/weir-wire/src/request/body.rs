//! One pass over a JSON body: finds the few fields that weir goes by, checks the whole, and estimates its size in tokens.

use std::{borrow::Cow, collections::HashSet, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{CHOICES, FIELDS, RequestFault, Splice};
use crate::{
    json::Text,
    tokens::{TOKEN, TextCount},
};

/// What one pass found.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) asked_usage: bool,
    pub(super) max_output: Option<u64>,
    pub(super) choices: Option<u32>,
    pub(super) input: TextCount,
    pub(super) splice: Option<Splice>,
}

/// Tokens of an image, a sound or a file, in place of its base64.
const MEDIUM_TOKENS: u64 = 1024;
/// Base64 shorter than this is counted as the text that it may well be.
const MEDIUM_BYTES: usize = 256;

/// Reads a whole body.
pub(super) fn read(bytes: &[u8]) -> Result<Body, RequestFault> {
    let not_json = |error: &serde_json::Error| {
        // serde_json's own words may quote the request.
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Eof => "ends too early",
            _ => "is not valid JSON",
        };
        RequestFault { message: format!("The request body {what} (line {line}, column {column})."), param: None }
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| RequestFault { message: format!("The request body is not UTF-8 (byte {}).", error.valid_up_to()), param: None })?;
    if !text.trim_start().starts_with('{') {
        return Err(RequestFault { message: "The request body must be a JSON object.".to_owned(), param: None });
    }
    let mut fault = None;
    let mut reader = serde_json::Deserializer::from_str(text);
    let body = reader.deserialize_map(BodyVisitor { text, fault: &mut fault }).and_then(|body| reader.end().map(|()| body));
    match (body, fault) {
        (_, Some(fault)) => Err(fault),
        (Err(error), None) => Err(not_json(&error)),
        (Ok(body), None) => Ok(body),
    }
}

struct BodyVisitor<'t, 'f> {
    text: &'t str,
    /// What is wrong with a field, where the JSON itself is right; JSON errors cannot carry it.
    fault: &'f mut Option<RequestFault>,
}

impl<'de> Visitor<'de> for BodyVisitor<'de, '_> {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Body, A::Error> {
        let mut body = Body::default();
        // Few enough to be compared one by one; a hash of each would cost more.
        let mut names: Vec<Cow<'de, str>> = Vec::with_capacity(16);
        let mut has_options = false;
        while let Some(name) = fields.next_key::<Text<'de>>()? {
            let name = name.0.unwrap_or_default();
            has_options |= name == "stream_options";
            let taken = take(&mut body, self.text, &name, &mut fields)?;
            let is_new = !names.contains(&name);
            names.push(name);
            let fault = match taken {
                Err(fault) => Some(fault),
                Ok(()) if !is_new => Some(RequestFault { message: "The request body names a field twice.".to_owned(), param: None }),
                Ok(()) if names.len() > FIELDS => {
                    Some(RequestFault { message: format!("The request body has more than {FIELDS} fields."), param: None })
                }
                Ok(()) => None,
            };
            if let Some(fault) = fault {
                *self.fault = Some(fault);
                return Err(A::Error::custom("a faulty field"));
            }
        }
        if !has_options {
            body.splice = self.text.find('{').map(|brace| Splice {
                at: brace + 1..brace + 1,
                text: if names.is_empty() {
                    r#""stream_options":{"include_usage":true}"#
                } else {
                    r#""stream_options":{"include_usage":true},"#
                },
            });
        }
        Ok(body)
    }
}

/// Takes the value of one top-level field. The outer error is of the JSON, the inner one of the request.
fn take<'de, A: MapAccess<'de>>(body: &mut Body, text: &str, name: &str, fields: &mut A) -> Result<Result<(), RequestFault>, A::Error> {
    let fault = |param, message: &str| Err(RequestFault::of(param, message));
    let found = match name {
        "model" => match fields.next_value::<Scalar<'de>>()? {
            Scalar::Text(model) => {
                body.model = Some(model.into_owned());
                Ok(())
            }
            _ => fault("model", "`model` must be a string."),
        },
        "stream" => match fields.next_value::<Scalar<'de>>()? {
            Scalar::Null => Ok(()),
            Scalar::Bool(stream) => {
                body.stream |= stream;
                Ok(())
            }
            _ => fault("stream", "`stream` must be true or false."),
        },
        // Speech has no `stream`, but a form of its own to ask for events.
        "stream_format" => {
            body.stream |= matches!(fields.next_value::<Scalar<'de>>()?, Scalar::Text(format) if format == "sse");
            Ok(())
        }
        "stream_options" => take_options(body, text, fields.next_value::<&RawValue>()?),
        "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
            let param =
                ["max_tokens", "max_completion_tokens", "max_output_tokens"].into_iter().find(|known| *known == name).unwrap_or_default();
            match fields.next_value::<Scalar<'de>>()? {
                Scalar::Null | Scalar::NoLimit => Ok(()),
                Scalar::Whole(most) => {
                    body.max_output = body.max_output.max(Some(most));
                    Ok(())
                }
                _ => fault(param, &format!("`{param}` must be a whole number that is not negative.")),
            }
        }
        "n" | "best_of" => {
            let param = if name == "n" { "n" } else { "best_of" };
            match fields.next_value::<Scalar<'de>>()? {
                Scalar::Null => Ok(()),
                Scalar::Whole(n @ 1..) if n <= u64::from(CHOICES) => {
                    body.choices = body.choices.max(u32::try_from(n).ok());
                    Ok(())
                }
                _ => fault(param, &format!("`{param}` must be a whole number from 1 to {CHOICES}.")),
            }
        }
        _ => {
            fields.next_value_seed(Size { count: &mut body.input, name })?;
            Ok(())
        }
    };
    Ok(found)
}

/// Reads `stream_options`, and finds where to ask for usage in it.
fn take_options(body: &mut Body, text: &str, options: &RawValue) -> Result<(), RequestFault> {
    let fault = || RequestFault::of("stream_options", "`stream_options` must be an object whose `include_usage` is true or false.");
    let options = options.get();
    // A raw value is skipped without a bound on its depth; this pass has one.
    let size = Size { count: &mut body.input, name: "stream_options" };
    size.deserialize(&mut serde_json::Deserializer::from_str(options)).map_err(|_| fault())?;
    let whole = place(text, options);
    if options == "null" {
        body.splice = Some(Splice { at: whole, text: r#"{"include_usage":true}"# });
        return Ok(());
    }
    let fields: Options<'_> = serde_json::from_str(options).map_err(|_| fault())?;
    let after_brace = whole.start + 1..whole.start + 1;
    body.splice = match fields.include_usage.map(RawValue::get) {
        Some("true") => {
            body.asked_usage = true;
            None
        }
        Some(asked @ ("false" | "null")) => Some(Splice { at: place(text, asked), text: "true" }),
        Some(_) => return Err(fault()),
        None if fields.is_empty => Some(Splice { at: after_brace, text: r#""include_usage":true"# }),
        None => Some(Splice { at: after_brace, text: r#""include_usage":true,"# }),
    };
    Ok(())
}

/// Where `part`, a slice of `text`, stands in it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

/// The fields of `stream_options`; a name that comes twice is an error.
struct Options<'a> {
    include_usage: Option<&'a RawValue>,
    is_empty: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Options<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionsVisitor;
        impl<'de> Visitor<'de> for OptionsVisitor {
            type Value = Options<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Options<'de>, A::Error> {
                let mut options = Options { include_usage: None, is_empty: true };
                let mut names = HashSet::new();
                while let Some((Text(name), value)) = fields.next_entry::<Text<'de>, &'de RawValue>()? {
                    options.is_empty = false;
                    if name.as_deref() == Some("include_usage") {
                        options.include_usage = Some(value);
                    }
                    if !names.insert(name) || names.len() > FIELDS {
                        return Err(A::Error::custom("a field comes twice"));
                    }
                }
                Ok(options)
            }
        }
        deserializer.deserialize_map(OptionsVisitor)
    }
}

/// A value where weir wants a single one.
enum Scalar<'a> {
    Null,
    Bool(bool),
    Whole(u64),
    /// -1, which local servers take for "no limit".
    NoLimit,
    Text(Cow<'a, str>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => serde_json::from_str::<Text<'a>>(raw).ok().and_then(|text| text.0).map_or(Self::Other, Self::Text),
            _ if raw == "-1" => Self::NoLimit,
            _ => raw.parse().map_or(Self::Other, Self::Whole),
        })
    }
}

/// Measures a value and all that is inside it.
struct Size<'c, 'n> {
    count: &'c mut TextCount,
    /// The name of the field that the value stands in.
    name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Size<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Size<'_, '_> {
    /// Base64 and addresses stand for media, which models do not read as text.
    fn is_medium(&self, text: &str) -> bool {
        let is_data_url = || text.starts_with("data:") && text.as_bytes().iter().take(128).any(|byte| *byte == b',');
        let is_address = || matches!(self.name, "url" | "image_url" | "file_url") && text.starts_with("http");
        let is_base64 = || {
            matches!(self.name, "data" | "file_data" | "b64_json" | "image" | "bytes")
                && text.len() > MEDIUM_BYTES
                && text.bytes().take(MEDIUM_BYTES).all(|b| b.is_ascii_alphanumeric() || b"+/=-_".contains(&b))
        };
        is_data_url() || is_address() || is_base64()
    }
}

impl<'de> Visitor<'de> for Size<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.is_medium(text) {
            self.count.quarters += MEDIUM_TOKENS * TOKEN;
        } else {
            self.count.add_text(text);
        }
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.count.quarters += TOKEN;
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.visit_u64(0)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.visit_u64(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Size { count: self.count, name: self.name })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = fields.next_key::<Text<'de>>()? {
            let name = name.unwrap_or_default();
            self.count.add_text(&name);
            fields.next_value_seed(Size { count: self.count, name: &name })?;
        }
        Ok(())
    }
}
