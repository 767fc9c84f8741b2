//! The engine: runs every search over the shadow, joins what they found, replaces it in the original, and repeats until
//! nothing more is found, so that a second pass changes nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::normalise::Shadow;
use super::registered::Registered;
use super::{dumps, encoded, names, numbers, personal, random, shapes, triggers, urls};
use crate::secret::Secret;

/// The version of the rules, as records name it.
pub const RULESET: &str = "r1";
/// A text that still changes after this many passes is hidden whole.
const MAX_PASSES: usize = 6;
/// Longest tally of hidden things in a record, in bytes: every kind with a long number.
const MAX_TALLY_BYTES: usize = 300;

/// What was hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Key,
    Auth,
    Cookie,
    Url,
    Content,
    Email,
    Phone,
    Ip,
    Host,
    Amount,
    Id,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Key,
        Self::Auth,
        Self::Cookie,
        Self::Url,
        Self::Content,
        Self::Email,
        Self::Phone,
        Self::Ip,
        Self::Host,
        Self::Amount,
        Self::Id,
    ];

    /// What stands in the place of a hidden value.
    #[must_use]
    pub fn marker(self) -> &'static str {
        match self {
            Self::Key => "[REDACTED:key]",
            Self::Auth => "[REDACTED:auth]",
            Self::Cookie => "[REDACTED:cookie]",
            Self::Url => "[REDACTED:url]",
            Self::Content => "[REDACTED:content]",
            Self::Email => "[REDACTED:email]",
            Self::Phone => "[REDACTED:phone]",
            Self::Ip => "[REDACTED:ip]",
            Self::Host => "[REDACTED:host]",
            Self::Amount => "[REDACTED:amount]",
            Self::Id => "[REDACTED:id]",
        }
    }
}

/// Who will read the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// A controlled record: ids of accounts and ledger lines may stay.
    #[default]
    Support,
    /// May be pasted in a forum: those ids go too.
    Public,
}

/// A range of the shadow to hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

impl Span {
    pub(super) fn new(start: usize, end: usize, kind: Kind) -> Self {
        Self { start, end, kind }
    }
}

/// A text that passed the engine. There is no other way to make one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Redacted {
    text: String,
    replaced: BTreeMap<Kind, u32>,
}

impl Redacted {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    /// How often something of each kind was hidden.
    #[must_use]
    pub fn replaced(&self) -> &BTreeMap<Kind, u32> {
        &self.replaced
    }

    /// Whether a whole key or a header value was in the text: its owner should be told to rotate it.
    #[must_use]
    pub fn held_a_secret(&self) -> bool {
        [Kind::Key, Kind::Auth, Kind::Cookie, Kind::Url].iter().any(|kind| self.replaced.contains_key(kind))
    }

    /// Nothing but the marker.
    pub(super) fn hidden(kind: Kind) -> Self {
        Self { text: kind.marker().to_owned(), replaced: BTreeMap::from([(kind, 1)]) }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
        for (kind, count) in other.replaced {
            *self.replaced.entry(kind).or_default() += count;
        }
    }

    /// Keeps the first `max` characters; never cuts a marker in two.
    #[must_use]
    pub fn cut(mut self, max: usize) -> Self {
        let Some((mut at, _)) = self.text.char_indices().nth(max) else { return self };
        if let Some(open) = self.text[..at].rfind("[REDACTED:")
            && !self.text[open..at].contains(']')
        {
            at = open;
        }
        self.text.truncate(at);
        self
    }
}

/// Redacted text may be printed; that is its purpose.
impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Something private is in a text that should have none. Says what kind and where, never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("let a text leave: at byte {at} it holds something of kind {kind:?}")]
pub struct Leak {
    pub kind: Kind,
    /// Byte offset in the text.
    pub at: usize,
}

/// Hides what is private. Built once, used for error texts, notes, pastes and logs.
pub struct Redactor {
    registered: Registered,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("registered", &self.registered.len()).finish()
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new([])
    }
}

impl Redactor {
    /// An engine that also knows these exact secrets, in every encoding of [`super::canary::forms`]. Secrets shorter than
    /// [`super::MIN_SECRET_CHARS`] characters are not looked for: they would hide ordinary words.
    #[must_use]
    pub fn new(registered: impl IntoIterator<Item = Secret>) -> Self {
        Self { registered: Registered::new(registered) }
    }

    /// The text without what is private to `audience`. Linear in its length; never fails: a text that cannot be made safe
    /// is hidden whole.
    #[must_use]
    pub fn redact(&self, text: &str, audience: Audience) -> Redacted {
        let mut done = Redacted { text: text.to_owned(), replaced: BTreeMap::new() };
        for _ in 0..MAX_PASSES {
            let spans = self.spans(&done.text, audience);
            if spans.is_empty() {
                return done;
            }
            replace(&mut done, &spans);
        }
        if !self.spans(&done.text, audience).is_empty() {
            *done.replaced.entry(Kind::Content).or_default() += 1;
            done.text = Kind::Content.marker().to_owned();
        }
        done
    }

    /// The text without credentials; addresses, names and paths stay. For what a program tells the person who typed it.
    #[must_use]
    pub fn without_credentials(&self, text: &str) -> String {
        let mut done = Redacted { text: text.to_owned(), replaced: BTreeMap::new() };
        for _ in 0..MAX_PASSES {
            let mut spans = self.spans(&done.text, Audience::Support);
            spans.retain(|span| matches!(span.kind, Kind::Key | Kind::Auth | Kind::Cookie | Kind::Url));
            if spans.is_empty() {
                break;
            }
            replace(&mut done, &spans);
        }
        done.text
    }

    /// The last check before something leaves: whether the engine would still hide anything in it.
    ///
    /// # Errors
    /// The first thing it would hide; the export must be refused.
    pub fn scan(&self, text: &str, audience: Audience) -> Result<(), Leak> {
        match self.spans(text, audience).first() {
            Some(span) => Err(Leak { kind: span.kind, at: span.start }),
            None => Ok(()),
        }
    }

    /// Ranges of the original to hide, sorted, disjoint.
    pub(super) fn spans(&self, text: &str, audience: Audience) -> Vec<Span> {
        if !shapes::is_ready() || !triggers::is_ready() {
            return vec![Span::new(0, text.len(), Kind::Content)];
        }
        let shadow = Shadow::of(text);
        let mut found = Vec::new();
        self.registered.find(shadow.bytes(), &mut found);
        shapes::find(&shadow, &mut found);
        random::find(shadow.bytes(), &mut found);
        encoded::find(shadow.bytes(), &mut found);
        names::find(&shadow, audience, &mut found);
        triggers::find(&shadow, audience, &mut found);
        urls::find(shadow.bytes(), &mut found);
        dumps::find(shadow.bytes(), &mut found);
        numbers::find(shadow.bytes(), &mut found);
        personal::find(&shadow, &mut found);
        let mut spans: Vec<Span> = found
            .into_iter()
            .filter(|s| s.start < s.end)
            .map(|s| {
                let (start, end) = shadow.source(s.start, s.end);
                Span::new(start, end, s.kind)
            })
            .collect();
        if shadow.differs() {
            self.registered.find(text.as_bytes(), &mut spans);
        }
        join(text, spans)
    }
}

/// Joins overlapping ranges; the widest names the kind. What is already a marker is left alone.
fn join(text: &str, mut spans: Vec<Span>) -> Vec<Span> {
    let markers = markers(text);
    if !markers.is_empty() {
        for span in &mut spans {
            outside_markers(span, &markers);
        }
    }
    spans.retain(|s| s.start < s.end && text.is_char_boundary(s.start) && text.is_char_boundary(s.end));
    spans.sort_by_key(|s| (s.start, std::cmp::Reverse(s.end)));
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}

/// A span that lies inside one marker vanishes; one that cuts a marker takes the whole of it.
fn outside_markers(span: &mut Span, markers: &[(usize, usize)]) {
    let first = markers.partition_point(|m| m.1 <= span.start);
    for &(start, end) in &markers[first..] {
        if start >= span.end {
            break;
        }
        if start <= span.start && span.end <= end {
            span.end = span.start;
            return;
        }
        span.start = span.start.min(start);
        span.end = span.end.max(end);
    }
}

fn markers(text: &str) -> Vec<(usize, usize)> {
    const OPEN: &str = "[REDACTED:";
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(OPEN).map(|i| from + i) {
        from = at + OPEN.len();
        if let Some(kind) = Kind::ALL.iter().find(|k| text[at..].starts_with(k.marker())) {
            from = at + kind.marker().len();
            found.push((at, from));
        }
    }
    found.extend(tallies(text));
    found.sort_unstable();
    found
}

/// `"replaced":{"cookie":1,"amount":2}`: what a record of ours says of how much was hidden, which hides nothing itself.
fn tallies(text: &str) -> Vec<(usize, usize)> {
    const OPEN: &str = "\"replaced\":{";
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(OPEN).map(|i| from + i) {
        from = at + OPEN.len();
        let Some(end) = text[from..].bytes().take(MAX_TALLY_BYTES).position(|b| b == b'}').map(|i| from + i) else { continue };
        let is_count = |entry: &str| {
            let Some((kind, count)) = entry.split_once(':') else { return false };
            let known = Kind::ALL.iter().any(|k| {
                k.marker().strip_prefix("[REDACTED:")
                    == kind.strip_prefix('"').and_then(|k| k.strip_suffix('"')).map(|k| format!("{k}]")).as_deref()
            });
            known && count.len() <= 9 && !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit())
        };
        if text[from..end].split(',').all(is_count) {
            found.push((at, end + 1));
            from = end;
        }
    }
    found
}

fn replace(done: &mut Redacted, spans: &[Span]) {
    let mut text = String::with_capacity(done.text.len());
    let mut from = 0;
    for span in spans {
        text.push_str(&done.text[from..span.start]);
        text.push_str(span.kind.marker());
        *done.replaced.entry(span.kind).or_default() += 1;
        from = span.end;
    }
    text.push_str(&done.text[from..]);
    done.text = text;
}
