//! Exact secrets that the process knows (upstream keys, admin tokens), found in every encoding.
//!
//! Every form is searched on its own and the ranges are joined: a shorter secret that overlaps a longer one can then
//! never leave the longer one's tail behind.

use regex::bytes::{Regex, RegexBuilder};

use super::canary::{places, tidy, whole_forms};
use super::engine::{Kind, Span};
use super::normalise::Shadow;
use crate::secret::{KEY_PREFIXES, Secret};

/// The gate's automaton may grow to this; beyond it every form is searched.
const MAX_GATE_BYTES: usize = 64 << 20;
/// A secret this long is also known by its ends: people and vendors quote keys cut short.
const LONG_CHARS: usize = 24;
const END_CHARS: usize = 8;

pub(super) struct Registered {
    count: usize,
    /// Longest first.
    forms: Vec<Vec<u8>>,
    /// Whether any form stands in a text at all; nearly always not.
    gate: Option<Regex>,
}

impl Registered {
    pub(super) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut forms = Vec::new();
        let mut count = 0;
        for secret in secrets {
            let text = secret.expose();
            if text.chars().count() < super::MIN_SECRET_CHARS {
                continue;
            }
            count += 1;
            forms.extend(whole_forms(text));
            // The shadow undoes escapes that were part of the secret itself.
            forms.push(Shadow::of(text).text().as_bytes().to_vec());
            forms.extend(ends(text));
        }
        let forms = tidy(forms);
        let pattern = forms.iter().map(|f| escape(f)).collect::<Vec<_>>().join("|");
        let gate = RegexBuilder::new(&pattern).unicode(false).size_limit(MAX_GATE_BYTES).build().ok().filter(|_| !forms.is_empty());
        Self { count, forms, gate }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn find(&self, bytes: &[u8], out: &mut Vec<Span>) {
        if self.forms.is_empty() || self.gate.as_ref().is_some_and(|gate| !gate.is_match(bytes)) {
            return;
        }
        for form in &self.forms {
            out.extend(places(bytes, form).map(|at| Span::new(at, at + form.len(), Kind::Key)));
        }
    }
}

/// How many bytes of a secret are public: its vendor's prefix, and in a key of weir's own its id.
pub(super) fn public_length(text: &str) -> usize {
    let prefix = KEY_PREFIXES.iter().find(|p| text.starts_with(**p)).map_or(0, |p| p.len());
    if text.starts_with("sk-wr-") { prefix + END_CHARS + 1 } else { prefix }
}

/// The first and last eight characters of a long secret, its public prefix aside.
fn ends(text: &str) -> Vec<Vec<u8>> {
    let hidden: Vec<char> = text.get(public_length(text)..).unwrap_or_default().chars().collect();
    if hidden.len() < LONG_CHARS {
        return Vec::new();
    }
    let (head, tail) = (&hidden[..END_CHARS], &hidden[hidden.len() - END_CHARS..]);
    [head, tail].iter().map(|end| end.iter().collect::<String>().into_bytes()).collect()
}

fn escape(form: &[u8]) -> String {
    form.iter().map(|b| format!("\\x{b:02x}")).collect()
}
