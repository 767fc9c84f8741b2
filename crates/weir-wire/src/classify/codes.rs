//! The machine words of an error and the status that its text tells.

use std::{fmt, sync::LazyLock};

use regex::Regex;

/// Most machine words kept of one error.
const MAX_CODES: usize = 48;
/// Longest machine word, in bytes.
const CODE_BYTES: usize = 80;
/// Most names of errors kept of one text.
const MAX_NAMES: usize = 8;
/// Machine words of an error, in lower case. Unredacted, so Debug hides them.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Codes(Vec<String>);

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} codes]", self.0.len())
    }
}

impl Codes {
    pub(super) fn all(&self) -> &[String] {
        &self.0
    }

    pub(super) fn push(&mut self, text: &str) {
        // A name space before the word: `com.amazon.coral.service#AccessDeniedException`.
        let text = text.rsplit('#').next().unwrap_or(text);
        let fits = !text.is_empty() && text.len() <= CODE_BYTES && !text.contains(char::is_whitespace);
        if fits && self.0.len() < MAX_CODES {
            self.0.push(text.to_lowercase());
        }
    }

    /// Words that people do not write: those with an underscore.
    pub(super) fn of_words(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | ':'));
        for word in words.map(|word| word.trim_matches(['.', ':', '_'])).filter(|word| word.contains('_')) {
            // A library's own name for it may stand before a dot: `StatusCode.RESOURCE_EXHAUSTED`.
            let last = word.rsplit('.').next().unwrap_or(word);
            for word in [word, last] {
                if word.contains('_') && !self.0.iter().any(|code| code == word) {
                    self.push(word);
                }
            }
        }
    }

    /// The first that is an HTTP status of an error.
    pub(super) fn status(&self) -> Option<u16> {
        self.0.iter().find_map(|code| code.parse().ok().filter(|code| (400..600).contains(code)))
    }
}

/// A machine word as people would write it: `InsufficientBalance` and `insufficient_balance` are `insufficient balance`.
pub(super) fn spelled(code: &str) -> Option<String> {
    if code.len() > CODE_BYTES || code.contains(char::is_whitespace) || !code.is_ascii() {
        return None;
    }
    let mut words = String::with_capacity(code.len() + 8);
    let mut before = ' ';
    for c in code.chars() {
        match c {
            '_' | '-' | '.' | ':' => words.push(' '),
            c if c.is_ascii_uppercase() && before.is_ascii_lowercase() => {
                words.push(' ');
                words.push(c.to_ascii_lowercase());
            }
            c => words.push(c.to_ascii_lowercase()),
        }
        before = c;
    }
    words.contains(' ').then_some(words)
}

/// The names that programs give to errors, such as `errors.InvalidTokenError`, as people would write them, in quotes on one line.
pub(super) fn named(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    let mut names: Vec<String> = Vec::new();
    for word in words.filter(|word| {
        ["Error", "Exception", "Exceeded", "Exhausted", "Denied", "Requests", "Unavailable"].iter().any(|end| word.ends_with(end))
    }) {
        match spelled(word) {
            Some(name) if names.len() < MAX_NAMES && !names.contains(&name) => names.push(name),
            _ => {}
        }
    }
    if names.is_empty() { String::new() } else { format!("\"({})\"\n", names.join(") (")) }
}

/// Where a text tells an HTTP status: behind the words that libraries and gateways put before it, before the words of the standard,
/// or as the first word.
static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?:error code|status(?:[ _-]?code)?|statuscode|http(?:/[\d.]+)?(?: code| error| status)?|状态码|错误码|返回码?|报错?|\| |error|exception)[\s"'():=：,]{0,6}([45]\d\d)\b|(?m:^[\w.]+: ([45]\d\d)) |\b([45]\d\d)[ :-]+(?:bad request|unauthorized|payment required|forbidden|not found|method not allowed|request time|conflict|payload|request entity|unprocessable|too many|internal server|bad gateway|service unavailable|service temporarily|gateway time|client error|server error|status code)|(?m:^\W{0,4}([45]\d\d)\b)|\(([45]\d\d)\)"#,
    )
    .ok()
});

pub(super) fn told_status(text: &str) -> Option<u16> {
    let found = STATUS.as_ref()?.captures(text)?;
    found.iter().skip(1).flatten().find_map(|digits| digits.as_str().parse().ok())
}
