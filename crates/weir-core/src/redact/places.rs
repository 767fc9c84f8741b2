//! Credentials known by where they stand in a file or a command line, where the name before them is too far away or too short for
//! the names to see it: `docker login -p`, a Kubernetes `name`/`value` pair, a YAML tag, the fallback behind an environment variable.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::engine::{Kind, Span};
use super::judge::{is_marker, is_number_or_none, is_placeholder, is_plain_word};
use super::normalise::Shadow;
use super::shapes::looks_random;
use super::words::{Claim, claim_of};

/// What the value must look like to be hidden.
#[derive(Clone, Copy)]
enum Must {
    /// The place alone says enough.
    Nothing,
    /// Letters and digits mixed: words stand there too.
    LookRandom,
}

struct Place {
    pattern: LazyLock<Option<Regex>>,
    must: Must,
}

const fn place(pattern: fn() -> Option<Regex>, must: Must) -> Place {
    Place { pattern: LazyLock::new(pattern), must }
}

fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

/// The group `v` is the value.
static PLACES: [Place; 9] = [
    // `Basic auth: admin / secret`.
    place(
        || compile(r"(?i-u)\b(?:auth|login|credentials?)\b[^\n:]{0,12}: ?[a-z0-9_.@-]{1,32} ?/ ?(?P<v>[^\s,;]{6,128})"),
        Must::LookRandom,
    ),
    place(|| compile(r#"(?i-u)\b(?:pass|passwd|pwd)=["']?(?P<v>[^\s;&,"']{6,128})"#), Must::LookRandom),
    // A table's cells.
    place(
        || compile(r"(?i-u)\b[a-z_-]{0,24}(?:api[_-]?key|secret|access[_-]?token|password)[ \t]*[,|][ \t]*(?P<v>[a-z0-9_.~+/=-]{16,256})"),
        Must::LookRandom,
    ),
    place(|| compile(r"(?i-u)\b[as]k ?[:=] ?(?P<v>[a-z0-9_~+/=-]{16,256})"), Must::LookRandom),
    // Only where `-p` is a password: elsewhere it is a port.
    place(
        || {
            compile(
                r#"(?i-u)(?:\blogin\b[^\n]{0,120}?|\bsshpass|\bmysql(?:dump|admin)?\b[^\n]{0,80}?|\bmysql(?:dump)?) -p ?["']?(?P<v>[^\s"']{4,128})"#,
            )
        },
        Must::Nothing,
    ),
    place(
        || compile(r#"(?i-u)\b[a-z0-9_-]{0,32}(?:key|token|secret|password)["']?\s*:\s*!!?[a-z]+\s+["']?(?P<v>[^\s"',}]{8,256})"#),
        Must::Nothing,
    ),
    place(
        || {
            compile(
                r#"(?i-u)(?:process\.env\.\w+|import\.meta\.env\.\w+|environ(?:\.get)?[(\[][^)\]\n]{1,60}|getenv\([^)\n]{1,60}\)?)\s*(?:\?\?|\|\||,|\bor\b|:)\s*["'`](?P<v>[^"'`\n]{12,256})["'`]"#,
            )
        },
        Must::LookRandom,
    ),
    place(
        || compile(r"(?i)(?:\bkey|\btoken|密钥|秘钥|令牌|密码|口令)(?: ?#?\d{1,3})? ?[【「『《〔（(\[] ?(?P<v>[A-Za-z0-9_.~+/=-]{12,256})"),
        Must::LookRandom,
    ),
    place(|| compile(r#"(?i-u)\bkey(?: ?#\d{1,3})? \((?P<v>[a-z0-9_.~+/=-]{16,256})\)"#), Must::LookRandom),
];

/// `- name: OPENAI_API_KEY`, and the value on the next line.
static PAIR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r#"(?-u)\bname:[ \t]*["']?(?P<n>[A-Za-z0-9_.-]{2,64})["']?[ \t]*\r?\n[ \t]*-?[ \t]*value:[ \t]*["']?(?P<v>[^\s"']{4,512})"#)
});

pub(super) fn find(shadow: &Shadow<'_>, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    for place in &PLACES {
        let Some(pattern) = place.pattern.as_ref() else { continue };
        for found in pattern.captures_iter(bytes).filter_map(|found| found.name("v")) {
            let is_it = match place.must {
                Must::Nothing => true,
                Must::LookRandom => looks_random(found.as_bytes()),
            };
            hide(found, is_it, out);
        }
    }
    let Some(pair) = PAIR.as_ref() else { return };
    for found in pair.captures_iter(bytes) {
        let (Some(name), Some(value)) = (found.name("n"), found.name("v")) else { continue };
        let claims = std::str::from_utf8(name.as_bytes()).ok().and_then(claim_of);
        hide(value, matches!(claims, Some(Claim::Strong(_))), out);
    }
}

fn hide(value: regex::bytes::Match<'_>, is_it: bool, out: &mut Vec<Span>) {
    let text = String::from_utf8_lossy(value.as_bytes());
    let is_harmless =
        is_placeholder(&text) || is_marker(&text) || text.starts_with("[REDACTED") || is_number_or_none(&text) || is_plain_word(&text);
    if is_it && !is_harmless {
        out.push(Span::new(value.start(), value.end(), Kind::Auth));
    }
}
