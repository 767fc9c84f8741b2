//! Credentials known by where they stand in a file or a command line, where the name before them is too far away or too short for
//! the names to see it: `docker login -p`, a Kubernetes `name`/`value` pair, a YAML tag, the fallback behind an environment variable.

use std::sync::LazyLock;

use regex::bytes::{Match, Regex};

use super::engine::{Kind, Span};
use super::judge::{is_marker, is_number_or_none, is_placeholder, is_plain_word};
use super::normalise::Shadow;
use super::shapes::looks_random;
use super::triggers::{Trigger, at_place, begins_word, trigger, window};
use super::words::{Claim, claim_of};

/// What the value must look like to be hidden.
#[derive(Clone, Copy)]
enum Must {
    /// The place alone says enough.
    Nothing,
    /// Letters and digits mixed: words stand there too.
    LookRandom,
}

type Pattern = LazyLock<Option<Regex>>;

/// Longer than what any pattern here may look at.
const WINDOW_BYTES: usize = 768;

/// In each pattern the group `v` is the value.
pub(super) const TRIGGERS: [Trigger; 16] = [
    trigger(&["auth", "login", "credential"], |shadow, at, _, out| value(&LOGIN, Must::LookRandom, shadow, at, out)),
    trigger(&["pass=", "passwd=", "pwd="], |shadow, at, _, out| value(&SHORT, Must::LookRandom, shadow, at, out)),
    trigger(&["api", "secret", "access", "password"], |shadow, at, _, out| cell(shadow, at, out)),
    trigger(&["ak:", "ak=", "ak :", "ak =", "sk:", "sk=", "sk :", "sk ="], |shadow, at, _, out| {
        value(&PAIR_OF_KEYS, Must::LookRandom, shadow, at, out)
    }),
    trigger(
        &["login", "sshpass", "mysql", "redis-cli", "ldap", "mongo", "mosquitto_", "sqlcmd", "unzip", "passin", "passout"],
        |shadow, at, _, out| value(&OPTION, Must::Nothing, shadow, at, out),
    ),
    trigger(
        &["?code=", "&code=", "?ticket=", "&ticket=", "?sign=", "&sign=", "?sig=", "&sig=", "?auth=", "&auth=", "?otp=", "&otp="],
        |shadow, at, _, out| inside(&RELATIVE, Must::LookRandom, shadow, at, out),
    ),
    trigger(
        &["/reset", "/invit", "/verif", "/magic", "/activate", "/confirm", "/unsubscribe", "/login/", "/hooks/", "/share/"],
        |shadow, at, _, out| inside(&PERMIT, Must::LookRandom, shadow, at, out),
    ),
    trigger(&["key", "token", "secret", "password"], tagged),
    trigger(&["process.env.", "import.meta.env.", "environ", "getenv("], fallback),
    trigger(&["key", "token", "密钥", "秘钥", "令牌", "密码", "口令"], |shadow, at, _, out| {
        value(&BRACKETED, Must::LookRandom, shadow, at, out)
    }),
    trigger(&["name:"], pair),
    trigger(&["login"], |shadow, at, _, out| value(&NETRC, Must::Nothing, shadow, at, out)),
    trigger(&["basicauth"], |shadow, at, _, out| inside(&BASIC_CALL, Must::Nothing, shadow, at, out)),
    trigger(&["auth"], auth_pair),
    trigger(&["后台", "账号", "帐号", "账户", "用户名", "登录", "登陆"], |shadow, at, _, out| {
        inside(&ACCOUNT, Must::LookRandom, shadow, at, out)
    }),
    trigger(
        &["前半", "后半", "上半", "下半", "第一段", "第二段", "另一半", "first half", "second half"],
        |shadow, at, _, out| inside(&HALF, Must::LookRandom, shadow, at, out),
    ),
];

/// `Basic auth: admin / secret`.
static LOGIN: Pattern =
    LazyLock::new(|| at_place(r"(?i-u)(?:auth|login|credentials?)\b[^\n:]{0,12}: ?[a-z0-9_.@-]{1,32} ?/ ?(?P<v>[^\s,;]{6,128})"));
static SHORT: Pattern = LazyLock::new(|| at_place(r#"(?i-u)(?:pass|passwd|pwd)=["']?(?P<v>[^\s;&,"']{6,128})"#));
/// A table's cells.
static CELL: Pattern =
    LazyLock::new(|| at_place(r"(?i-u)(?:api[_-]?key|secret|access[_-]?token|password)[ \t]*[,|][ \t]*(?P<v>[a-z0-9_.~+/=-]{16,256})"));
static PAIR_OF_KEYS: Pattern = LazyLock::new(|| at_place(r"(?i-u)[as]k ?[:=] ?(?P<v>[a-z0-9_~+/=-]{16,256})"));
/// Only where `-p` is a password: elsewhere it is a port.
static OPTION: Pattern = LazyLock::new(|| {
    at_place(concat!(
        r#"(?i-u)(?:(?:login\b[^\n]{0,120}?|sshpass|(?:mysql(?:dump|admin)?|mongo[a-z]*)\b[^\n]{0,80}?) -p ?"#,
        r#"|redis-cli\b[^\n]{0,80}? -a |ldap[a-z]+\b[^\n]{0,160}? -w ?|(?:mosquitto_[ps]ub|sqlcmd|unzip)\b[^\n]{0,80}? -P ?"#,
        r#"|pass(?:in|out) pass:)["']?(?P<v>[^\s"']{4,128})"#,
    ))
});
static TAGGED: Pattern =
    LazyLock::new(|| at_place(r#"(?i-u)(?:key|token|secret|password)["']?\s{0,8}:\s{0,8}!!?[a-z]+\s{1,8}["']?(?P<v>[^\s"',}]{8,256})"#));
static FALLBACK: Pattern = LazyLock::new(|| {
    at_place(
        r#"(?i-u)(?:process\.env\.\w+|import\.meta\.env\.\w+|environ(?:\.get)?[(\[][^)\]\n]{1,60}|getenv\([^)\n]{1,60}\)?)\s*(?:\?\?|\|\||,|\bor\b|:)\s*["'`](?P<v>[^"'`\n]{12,256})["'`]"#,
    )
});
static BRACKETED: Pattern = LazyLock::new(|| {
    at_place(r"(?i)(?:key|token|密钥|秘钥|令牌|密码|口令)(?: ?#?[0-9]{1,3})? ?[【「『《〔（(\[] ?(?P<v>[A-Za-z0-9_.~+/=-]{12,256})")
});
/// `- name: OPENAI_API_KEY`, and the value on the next line.
static PAIR: Pattern = LazyLock::new(|| {
    at_place(r#"(?-u)name:[ \t]*["']?(?P<n>[A-Za-z0-9_.-]{2,64})["']?[ \t]*\r?\n[ \t]*-?[ \t]*value:[ \t]*["']?(?P<v>[^\s"']{4,512})"#)
});

static NETRC: Pattern = LazyLock::new(|| at_place(r"(?i-u)login\s{1,8}[^\s]{1,64}\s{1,8}password\s{1,8}(?P<v>[^\s]{4,128})"));
/// `HTTPBasicAuth('name', 'password')`, `SetBasicAuth("name", "password")`.
static BASIC_CALL: Pattern =
    LazyLock::new(|| at_place(r#"(?i-u)basicauth\(\s{0,8}["'][^"'\n]{0,64}["']\s{0,8},\s{0,8}["'](?P<v>[^"'\s]{4,256})["']"#));
/// `auth=('name', 'password')`.
static AUTH_PAIR: Pattern = LazyLock::new(|| {
    at_place(
        r#"(?i-u)auth["']?\s?[=:]\s?(?:\w{1,20})?[(\[]\s{0,8}["'](?P<n>[^"'\n]{0,64})["']\s{0,8},\s{0,8}["'](?P<v>[^"'\s]{4,256})["']"#,
    )
});
/// `/callback?code=…` without the host.
static RELATIVE: Pattern = LazyLock::new(|| at_place(r"(?i-u)[?&][a-z]{3,6}=(?P<v>[a-z0-9_.~%+/-]{10,512})"));
/// `/reset-password/…`: whoever has the address has the permission.
static PERMIT: Pattern = LazyLock::new(|| at_place(r"(?i-u)/[a-z_-]{4,32}/(?:[a-z_-]{1,32}/)?(?P<v>[a-z0-9_-]{16,512})"));
/// `后台 admin/…`.
static ACCOUNT: Pattern = LazyLock::new(|| {
    at_place(r"(?:后台|账号|帐号|账户|用户名|登录|登陆)[^\n/]{0,8}?[A-Za-z0-9_.@-]{1,32} ?/ ?(?P<v>[!-~&&[^/,;.]]{6,64})")
});
/// A key that is told in two halves.
static HALF: Pattern = LazyLock::new(|| {
    at_place(
        r"(?i)(?:[前后上下]半|第[一二]段|另一半|(?:first|second) half)[段截部]?分?[ ]?(?:是|为|:|=|is)?[ ]?(?P<v>[A-Za-z0-9_+/=-]{8,256})",
    )
});

fn value(pattern: &Pattern, must: Must, shadow: &Shadow<'_>, at: usize, out: &mut Vec<Span>) {
    if begins_word(shadow.bytes(), at) {
        inside(pattern, must, shadow, at, out);
    }
}

/// Also where the word is the end of a longer name.
fn inside(pattern: &Pattern, must: Must, shadow: &Shadow<'_>, at: usize, out: &mut Vec<Span>) {
    let here = window(shadow.bytes(), at, WINDOW_BYTES);
    let Some(pattern) = pattern.as_ref().filter(|p| p.is_match(here)) else { return };
    let Some(found) = pattern.captures(here).and_then(|found| found.name("v")) else { return };
    let is_it = match must {
        Must::Nothing => true,
        Must::LookRandom => looks_random(found.as_bytes()),
    };
    hide(at, found, is_it, out);
}

/// Kinds and rights of authentication stand in such brackets too: `auth=("basic", "digest")`.
fn auth_pair(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    const TERMS: &str = "basic digest bearer none oauth oauth2 ntlm negotiate kerberos apikey api_key api-key token jwt saml ldap oidc sso mtls read write \
         admin:read admin:write header query cookie body required optional login logout session user users roles permissions GET POST PUT";
    let is_term = |word: &[u8]| TERMS.split_ascii_whitespace().any(|term| term.as_bytes().eq_ignore_ascii_case(word));
    let here = window(shadow.bytes(), at, WINDOW_BYTES);
    let Some(found) = AUTH_PAIR.as_ref().filter(|_| begins_word(shadow.bytes(), at)).and_then(|p| p.captures(here)) else { return };
    let (Some(name), Some(value)) = (found.name("n"), found.name("v")) else { return };
    hide(at, value, !(is_term(name.as_bytes()) && is_term(value.as_bytes())), out);
}

fn cell(shadow: &Shadow<'_>, at: usize, out: &mut Vec<Span>) {
    inside(&CELL, Must::LookRandom, shadow, at, out);
}

fn tagged(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    // A tag is rare and its words are not.
    if window(shadow.bytes(), end, 20).contains(&b'!') {
        inside(&TAGGED, Must::Nothing, shadow, at, out);
    }
}

fn fallback(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    inside(&FALLBACK, Must::LookRandom, shadow, at, out);
}

fn pair(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    if !begins_word(bytes, at) {
        return;
    }
    let Some(found) = PAIR.as_ref().and_then(|p| p.captures(window(bytes, at, WINDOW_BYTES))) else { return };
    let (Some(name), Some(value)) = (found.name("n"), found.name("v")) else { return };
    let claims = std::str::from_utf8(name.as_bytes()).ok().and_then(claim_of);
    hide(at, value, matches!(claims, Some(Claim::Strong(_))), out);
}

fn hide(at: usize, value: Match<'_>, is_it: bool, out: &mut Vec<Span>) {
    let text = String::from_utf8_lossy(value.as_bytes());
    let is_harmless =
        is_placeholder(&text) || is_marker(&text) || text.starts_with("[REDACTED") || is_number_or_none(&text) || is_plain_word(&text);
    if is_it && !is_harmless {
        out.push(Span::new(at + value.start(), at + value.end(), Kind::Auth));
    }
}
