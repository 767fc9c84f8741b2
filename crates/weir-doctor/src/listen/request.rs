//! What a request asks for and what it tells about its sender. Reads leniently: odd clients are the ones that are looked at here.

use http::{HeaderMap, Version, header};
use serde::Deserialize;
use serde_json::Value;
use weir_core::{Audience, ClientFacts, Redactor};
use weir_wire::headers::client_facts;

use super::seen::KeyPlace;

/// Longest model name that is kept, in characters.
const MODEL_CHARS: usize = 64;
/// Codings that are kept by name.
const CODINGS: [&str; 6] = ["gzip", "deflate", "br", "zstd", "identity", "*"];

/// The few fields of a body that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    model: Value,
    stream: Value,
    stream_options: Value,
}

impl Asked {
    /// `None`: the body is no JSON object.
    pub(super) fn of(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub(super) fn stream(&self) -> Option<bool> {
        self.stream.as_bool()
    }

    pub(super) fn usage(&self) -> bool {
        self.stream_options["include_usage"] == true
    }

    /// The model as it was asked for: for the script and the answer, never for a record.
    pub(super) fn model(&self) -> &str {
        self.model.as_str().unwrap_or_default()
    }
}

/// A model's name that may be shown: it looks like one, and holds no secret.
pub(super) fn tame(redactor: &Redactor, name: &str) -> Option<String> {
    let fits = name.len() <= MODEL_CHARS && name.chars().all(|c| c.is_ascii_alphanumeric() || "._:/@-+".contains(c));
    (fits && !name.is_empty() && redactor.redact(name, Audience::Public).as_str() == name).then(|| name.to_owned())
}

/// The sender, without anything that the redactor knows for a secret.
pub(super) fn client(redactor: &Redactor, headers: &HeaderMap) -> ClientFacts {
    let facts = client_facts(headers);
    let tamed = |token: Option<String>| token.filter(|token| redactor.redact(token, Audience::Public).as_str() == token);
    ClientFacts { name: tamed(facts.name), version: tamed(facts.version), caller: None, ..facts }
}

/// Browsers say so themselves, and no page can keep them from it. Node's `fetch` sends `sec-fetch-mode` too, but knows no site.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN)
}

pub(super) fn key_place(headers: &HeaderMap) -> KeyPlace {
    match headers.get(header::AUTHORIZATION) {
        Some(value) if value.as_bytes().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer ")) => KeyPlace::Bearer,
        Some(_) => KeyPlace::Other,
        None if headers.contains_key("x-api-key") => KeyPlace::XApiKey,
        None if headers.contains_key("api-key") => KeyPlace::ApiKey,
        None => KeyPlace::None,
    }
}

pub(super) fn accept_encoding(headers: &HeaderMap) -> Vec<String> {
    let text = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = text.split(',').filter_map(|part| part.split(';').next()).map(|name| name.trim().to_ascii_lowercase());
    named.filter(|name| CODINGS.contains(&name.as_str())).take(CODINGS.len()).collect()
}

pub(super) fn http_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_place_of_a_model_or_a_client_is_not_kept() {
        let redactor = Redactor::new([]);
        assert_eq!(tame(&redactor, "gpt-4o-mini").as_deref(), Some("gpt-4o-mini"));
        assert_eq!(tame(&redactor, "qwen/qwen3:free").as_deref(), Some("qwen/qwen3:free"));
        for secret in ["sk-proj-12345678abcdefgh12345678abcdefgh", "two words", ""] {
            assert_eq!(tame(&redactor, secret), None);
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "sk-12345678abcdefgh12345678abcdefgh/1.0".parse().unwrap());
        assert_eq!(client(&redactor, &headers).name, None);
    }

    #[test]
    fn the_flag_is_true_false_or_left_out() {
        let of = |text: &str| Asked::of(text.as_bytes()).unwrap().stream();
        assert_eq!((of("{\"stream\":true}"), of("{\"stream\":false}"), of("{}")), (Some(true), Some(false), None));
        assert!(Asked::of(b"model=x").is_none());
    }
}
