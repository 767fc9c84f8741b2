//! What came from outside passes here before a record, a file or an error may hold it. Nothing else of the gateway redacts.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use weir_core::{Audience, CallRecord, Secret, redact::Redactor};

use crate::private::Private;

/// Tokens known to be harmless: the same models and SDKs come with every call. Emptied when full.
const KNOWN_TOKENS: usize = 1024;
/// What a record keeps of an error text, and what a client is shown of it, in characters.
const TEXT_CHARS: usize = 1024;
/// What a record keeps of a model's name, in characters.
const MODEL_CHARS: usize = 128;

/// The gateway's redactor, with a memory for what it need not look at again.
pub(crate) struct Screen {
    redactor: Redactor,
    known: Mutex<HashSet<String>>,
    /// Lets everything pass, to show that the search for canaries sees what leaks.
    #[cfg(test)]
    pub(crate) blind: bool,
}

impl Screen {
    /// A screen that also knows these exact secrets.
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self {
            redactor: Redactor::new(secrets),
            known: Mutex::default(),
            #[cfg(test)]
            blind: false,
        }
    }

    #[cfg(test)]
    fn is_blind(&self) -> bool {
        self.blind
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests have a blind screen")]
    fn is_blind(&self) -> bool {
        false
    }

    /// A text without keys, header values and personal data, at most 1,024 characters: what the one who called may read.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.is_blind() { text.to_owned() } else { self.redactor.redact(text, Audience::Support).cut(TEXT_CHARS).into_string() }
    }

    /// The same without what the text quotes of the request: what a record may keep.
    pub(crate) fn kept(&self, text: &str, private: Private<'_>) -> String {
        if self.is_blind() { text.to_owned() } else { self.text(&private.hidden_in(text)) }
    }

    /// A short token: itself, or the marker of what is in it.
    pub(crate) fn token(&self, token: &str) -> String {
        if self.is_blind() || self.known().contains(token) {
            return token.to_owned();
        }
        let redacted = self.redactor.redact(token, Audience::Support);
        if redacted.as_str() == token {
            let mut known = self.known();
            if known.len() >= KNOWN_TOKENS {
                known.clear();
            }
            known.insert(token.to_owned());
        }
        redacted.into_string()
    }

    /// A model as records keep it: people paste keys into this field, so it is looked at whole before anything is cut off.
    pub(crate) fn model(&self, model: &str) -> String {
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || "_.:@/=,-[]".contains(*c);
        self.token(model).chars().filter(is_plain).take(MODEL_CHARS).collect()
    }

    /// An id that is new with every call, so there is no use in remembering it; `None` if something is in it.
    pub(crate) fn id(&self, id: String) -> Option<String> {
        (self.is_blind() || self.redactor.scan(&id, Audience::Support).is_ok()).then_some(id)
    }

    /// What a request says of its sender.
    pub(crate) fn sender(&self, record: &mut CallRecord) {
        let client = &mut record.client;
        for token in [&mut client.name, &mut client.version, &mut client.caller].into_iter().flatten() {
            *token = self.token(token);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "upstream/Q7wZxT3-9k2Lm";

    #[test]
    fn a_key_in_a_field_for_words_becomes_a_marker() {
        let screen = Screen::new([Secret::new(KEY)]);
        for token in [KEY, "sk-proj-Q7w9zX2mK4pL8vN3bT6yR1cF5hJ0dS7gA9eU2iO4kM6", "someone@example.com"] {
            let kept = screen.token(token);
            assert!(kept.starts_with("[REDACTED:"), "{kept}");
            assert!(screen.model(token).starts_with("[REDACTED:"));
            assert_eq!(screen.id(token.to_owned()), None);
        }
        for token in ["gpt-4o-mini", "OpenAI/Python", "1.2.3", "models/gemini-2.5-pro", "team-a", "sim:cut_after=3"] {
            assert_eq!((screen.token(token).as_str(), screen.token(token).as_str()), (token, token));
        }
        assert_eq!(screen.model("a<b>模型\"c"), "abc");
    }

    #[test]
    fn the_memory_of_harmless_tokens_is_bounded() {
        let screen = Screen::new([]);
        for n in 0..3 * KNOWN_TOKENS {
            screen.token(&format!("model-{n}"));
        }
        assert!(screen.known().len() <= KNOWN_TOKENS);
    }
}
