//! Values known by the name before them: headers, JSON, HAR, curl, shell, environment, logs, prose in two languages.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::content::content;
use super::credential::{secret, weak};
use super::engine::{Audience, Kind, Span};
use super::judge::{complains, is_marker, is_number_or_none, is_placeholder, is_plain_word};
use super::normalise::Shadow;
use super::shapes::{is_dense, is_known_id};
use super::triggers::window;
use super::value::{Form, Separator, Value, is_quote, line_end, read, skip_blanks};
use super::words::{Claim, MAX_NAME_BYTES, claim_of, claim_of_han};

/// Names whose claims are kept in mind.
const MAX_KNOWN_NAMES: usize = 4096;
/// A secret that stands alone on the line behind its name.
const MIN_ALONE_BYTES: usize = 12;
const MAX_ALONE_BYTES: usize = 512;
/// The name space of an element, and its attributes.
const MAX_SPACE_BYTES: usize = 16;
const MAX_ATTRIBUTES_BYTES: usize = 200;

/// Parts of names that may claim something; everything else is skipped at the speed of the automaton.
static PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i-u:key|token|secret|pass|pwd|auth|cookie|cred|bearer|jwt|otp|signature|sig\b|hmac|dsn|csrf|xsrf|sess|\bsid|connstr|connection|webhook|presigned|\bpw\b",
        r"|prompt|messages?|completion|input|output|content|text|query|parts|system|suffix|delta|reasoning|refusal|transcript|conversation|history|documents|question|answer|argument|thinking|instruction",
        r"|passages|lyrics|reply|caption|_json|base64|_data|imageurl|image_url|dialog|utterance|generated|embedding|conversations|think\b|response|postdata|inlinedata",
        r"|balance|topup|top_up|recharge|wallet|deposit|payment|prepaid|amount|credit|quota|granted|available|phone|mobile|\btel|birth|\bdob\b|\bqq|mail|ssn|passport|card|\bcv[vc]|iban|wechat|weixin|wxid|psk\b|imei|imsi|iccid|aadhaar|hkid|nric|\bcpf|cnpj|open_?id|union_?id|latitude|longitude|username|realname|fullname|_name|address|weight|organization|project|upstream|channel|backend|internal)",
        r"|密钥|秘钥|私钥|密匙|密码|口令|令牌|验证码|凭证|凭据|提示词|提示语|用户输入|用户提问|输入内容|对话内容|聊天内容|聊天记录|回答内容|模型输出|模型回答|系统提示|提问内容|请求内容|返回内容",
        r"|生日|出生日期|姓名|联系人|微信号|微信|收货地址|家庭住址|住址|护照号|护照|身份证号码|身份证号|身份证|银行卡号|银行卡|卡号|用户名|身分證字號|身分證|身分证|车牌号|车牌|手机号码|手机号|手机|电话号码|电话|联系电话|联系方式",
    ))
    .ok()
});

/// A name in the shadow.
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) claim: Claim,
    pub(super) han: bool,
}

/// Logs repeat their names in every line, so what each claims is worked out once.
#[derive(Default)]
struct Claims<'a>(HashMap<&'a str, Option<Claim>>);

impl<'a> Claims<'a> {
    fn of(&mut self, name: &'a str) -> Option<Claim> {
        if let Some(known) = self.0.get(name) {
            return *known;
        }
        let claim = claim_of(name);
        if self.0.len() < MAX_KNOWN_NAMES {
            self.0.insert(name, claim);
        }
        claim
    }
}

pub(super) fn find(shadow: &Shadow<'_>, audience: Audience, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let Some(parts) = PARTS.as_ref() else { return };
    let mut claims = Claims::default();
    let mut from = 0;
    // A value that was hidden whole needs no second look inside; nested content would cost its depth squared. A text that
    // is built to be walked again and again is hidden from there on.
    while let Some(found) = parts.find_at(bytes, from) {
        from = found.end();
        let Some(name) = name_at(shadow, &mut claims, found.start(), found.end()) else { continue };
        from = from.max(name.end);
        if let Some(span) = claimed(shadow, &name, audience) {
            from = from.max(span.end);
            out.push(span);
        }
        if !shadow.walk(0) {
            out.push(Span::new(from, bytes.len(), Kind::Content));
            return;
        }
    }
}

/// Widens a part to the whole name and asks what it claims.
fn name_at<'a>(shadow: &'a Shadow<'_>, claims: &mut Claims<'a>, start: usize, end: usize) -> Option<Name> {
    let bytes = shadow.bytes();
    if bytes[start] >= 0x80 {
        let claim = claim_of_han(&shadow.text()[start..end])?;
        return Some(Name { start, end, claim, han: true });
    }
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let mut left = start - bytes[..start].iter().rev().take(MAX_NAME_BYTES).take_while(|b| is_name(b)).count();
    let right = end + bytes[end..].iter().take(MAX_NAME_BYTES).take_while(|b| is_name(b)).count();
    let right = right - bytes[end..right].iter().rev().take_while(|b| matches!(b, b'.' | b'-')).count();
    left += bytes[left..start].iter().take_while(|b| matches!(b, b'.' | b'-' | b'_')).count();
    if right - left > MAX_NAME_BYTES || bytes[..left].ends_with(b"[REDACTED:") {
        return None;
    }
    let text = &shadow.text()[left..right];
    // `api key`, `access token` in prose are one name.
    let spaced = (bytes[..left].last() == Some(&b' ') && matches!(bytes.get(start), Some(b'k' | b'K' | b't' | b'T')))
        .then(|| two_words(shadow.text(), left, right))
        .flatten();
    let (left, claim) = match spaced {
        Some((from, claim)) => (from, claim?),
        None => (left, claims.of(text)?),
    };
    Some(Name { start: left, end: right, claim, han: false })
}

/// The word before a spaced name, and what both claim together. Only for words that change the claim.
fn two_words(text: &str, left: usize, right: usize) -> Option<(usize, Option<Claim>)> {
    let before = text[..left].trim_end_matches(' ');
    let word = before.bytes().rev().take(32).take_while(u8::is_ascii_alphabetic).count();
    let start = before.len() - word;
    let last = &text[left..right];
    if word == 0 || !last.eq_ignore_ascii_case("key") && !last.eq_ignore_ascii_case("token") {
        return None;
    }
    let claim = claim_of(&format!("{}_{last}", &before[start..]));
    match claim {
        Some(Claim::Key | Claim::Token) => None,
        other => Some((start, other)),
    }
}

fn claimed(shadow: &Shadow<'_>, name: &Name, audience: Audience) -> Option<Span> {
    let bytes = shadow.bytes();
    let quoted = name.start > 0 && is_quote(bytes[name.start - 1]) && bytes.get(name.end) == Some(&bytes[name.start - 1]);
    let (separator, at) = separator(shadow, name, quoted)?;
    match name.claim {
        Claim::Content => content(shadow, name, separator, at, quoted, true),
        Claim::QuotedContent => content(shadow, name, separator, at, quoted, false),
        Claim::Strong(kind) => secret(shadow, name, separator, at, quoted, kind),
        Claim::Token | Claim::Key => weak(shadow, name, separator, at, quoted),
        Claim::Amount => amount(shadow, separator, at),
        Claim::Person(kind) => person(shadow, separator, at, kind),
        Claim::Routing => routing(shadow, separator, at, audience),
    }
}

/// Where the value of a name begins, and what stands between.
fn separator(shadow: &Shadow<'_>, name: &Name, quoted: bool) -> Option<(Separator, usize)> {
    let bytes = shadow.bytes();
    let mut at = name.end + usize::from(quoted);
    if let Some(value) = element(bytes, name.start, at) {
        return Some((Separator::Tag, skip_blanks(bytes, value, true)));
    }
    if quoted && let Some(value) = pair(shadow, at) {
        return Some((Separator::Pair, value));
    }
    // `[name] => value`, `**Name**: value`.
    let signs = bytes[at..].iter().take(2).take_while(|b| **b == b']' || **b == b'*' && bytes[..name.start].ends_with(b"*")).count();
    at += signs;
    let blanks = skip_blanks(bytes, at, quoted);
    let after = &bytes[blanks..];
    let (separator, len) = match after.first() {
        Some(b':') if after.starts_with(b":=") => (Separator::Equals, 2),
        Some(b':') if after.starts_with(b"://") => return None,
        Some(b':') => (Separator::Colon, 1),
        Some(b'=') => (Separator::Equals, after.iter().take(3).take_while(|b| matches!(b, b'=' | b'>')).count()),
        Some(b'-') if after.starts_with(b"->") => (Separator::Equals, 2),
        _ => return prose(shadow, name, at, blanks),
    };
    // A name in quotes may have its value on the next line; a bare one may not, or the next name would be taken for it.
    let mut value = skip_blanks(bytes, blanks + len, quoted);
    if !quoted && matches!(bytes.get(value), Some(b'|' | b'>')) && line_end(shadow, value) <= value + 2 {
        value = skip_blanks(bytes, line_end(shadow, value), true);
    }
    if !quoted && matches!(name.claim, Claim::Strong(_) | Claim::Token | Claim::Key) {
        value = alone_on_next_line(bytes, value).unwrap_or(value);
    }
    Some((separator, value))
}

/// `<name>`, `<ns:Name Type="…">`: where the value begins.
fn element(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let space = bytes[..start]
        .strip_suffix(b":")
        .map_or(start, |before| before.len() - before.iter().rev().take(MAX_SPACE_BYTES).take_while(|b| b.is_ascii_alphanumeric()).count());
    if !bytes[..space].ends_with(b"<") {
        return None;
    }
    match bytes.get(end)? {
        b'>' => Some(end + 1),
        b' ' => {
            let attributes = window(bytes, end, MAX_ATTRIBUTES_BYTES);
            let close = attributes.iter().position(|b| matches!(b, b'>' | b'<' | b'\n'))?;
            (attributes[close] == b'>' && attributes[close - 1] != b'/').then_some(end + close + 1)
        }
        _ => None,
    }
}

/// `API key:` and the key on a line of its own. A line with a name of its own is another thing.
fn alone_on_next_line(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes[at..].strip_prefix(b"\r").unwrap_or(&bytes[at..]);
    let line = rest.strip_prefix(b"\n")?;
    let next = bytes.len() - line.len();
    let start = skip_blanks(bytes, next, true);
    let token = window(bytes, start, MAX_ALONE_BYTES);
    let len = token.iter().position(u8::is_ascii_whitespace).unwrap_or(token.len());
    let ends = bytes.get(start + len).is_none_or(|b| matches!(b, b'\n' | b'\r'));
    let token = token[..len].trim_ascii_end();
    let is_name = token.iter().any(|b| matches!(b, b':' | b'=' | b'(' | b'{' | b'<'));
    (ends && len >= MIN_ALONE_BYTES && !is_name && is_dense(token) && !is_known_id(token)).then_some(start)
}

/// `("name", "value")` and `{"name": "name", "value": "value"}`.
fn pair(shadow: &Shadow<'_>, at: usize) -> Option<usize> {
    let bytes = shadow.bytes();
    let comma = skip_blanks(bytes, at, true);
    if bytes.get(comma) != Some(&b',') {
        // XML: `key="apiKey" value="…"`.
        let rest = bytes.get(comma..)?;
        return rest.starts_with(b"value=").then_some(comma + 6);
    }
    let next = skip_blanks(bytes, comma + 1, true);
    let rest = &bytes[next..];
    let key = rest.first().filter(|q| is_quote(**q)).map_or(0, |_| 1);
    if rest.get(key..key + 5).is_some_and(|w| w.eq_ignore_ascii_case(b"value")) {
        let colon = skip_blanks(bytes, next + key + 5 + key, true);
        if matches!(bytes.get(colon), Some(b':' | b'=')) {
            return Some(skip_blanks(bytes, colon + 1, true));
        }
    }
    let prefixed = rest.first() == Some(&b'b') && rest.get(1).is_some_and(|q| is_quote(*q));
    ((key == 1 || prefixed) && !opens_a_field(rest)).then_some(next)
}

/// `"error_code":"invalid_api_key","error_text":"…"`: what follows the comma is the name of the next field, not a value.
fn opens_a_field(rest: &[u8]) -> bool {
    let Some(quote) = rest.first().filter(|q| is_quote(**q)) else { return false };
    let name = rest[1..].iter().take(MAX_NAME_BYTES).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
    rest.get(1 + name) == Some(quote) && rest[2 + name..].iter().take(4).find(|b| **b != b' ') == Some(&b':')
}

/// `--name value`, `name is value`, `名称是value`, `name provided: value`.
fn prose(shadow: &Shadow<'_>, name: &Name, at: usize, blanks: usize) -> Option<(Separator, usize)> {
    const FILLERS: &[&str] = &[
        "is",
        "was",
        "are",
        "provided",
        "used",
        "value",
        "given",
        "be",
        "=",
        ":",
        "to",
        "with",
        "starting",
        "是",
        "为",
        "叫",
        "如下",
        "发你",
        "给你",
        "就是",
        "改成",
        "填",
        "(",
        "header",
        "填的是",
        "用的是",
        "写的是",
        "传的是",
        "给的是",
        "配的是",
        "设的是",
        "设为",
        "设成",
        "换成",
        "→",
    ];
    let text = shadow.text();
    let bytes = shadow.bytes();
    let option = name.start >= 2 && bytes[..name.start].ends_with(b"--") || name.start >= 1 && bytes[name.start - 1] == b'-';
    if option {
        return (blanks > at).then_some((Separator::Equals, blanks));
    }
    let mut next = blanks;
    let mut separator = Separator::Blank;
    for _ in 0..4 {
        let Some(filler) = FILLERS.iter().filter(|f| text[next..].starts_with(**f)).max_by_key(|f| f.len()) else { break };
        let end = next + filler.len();
        if filler.as_bytes()[0].is_ascii_alphabetic()
            && bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        {
            break;
        }
        if !filler.is_ascii() || matches!(*filler, ":" | "=") {
            separator = if *filler == "=" { Separator::Equals } else { Separator::Colon };
        }
        next = skip_blanks(bytes, end, false);
    }
    (next > at || name.han).then_some((separator, next))
}

pub(super) fn text_of<'a>(shadow: &'a Shadow<'_>, value: &Value) -> &'a str {
    shadow.text().get(value.range.clone()).unwrap_or_default()
}

fn amount(shadow: &Shadow<'_>, separator: Separator, at: usize) -> Option<Span> {
    if separator == Separator::Blank || separator == Separator::Pair {
        return None;
    }
    let value = read(shadow, at)?;
    let text = text_of(shadow, &value);
    let is_sum = text.bytes().any(|b| b.is_ascii_digit()) && text.chars().filter(|c| c.is_alphabetic()).count() <= 4 && text.len() <= 40;
    is_sum.then(|| Span::new(value.range.start, value.range.end, Kind::Amount))
}

fn person(shadow: &Shadow<'_>, separator: Separator, at: usize, kind: Kind) -> Option<Span> {
    let value = read(shadow, at)?;
    let text = text_of(shadow, &value);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let fits = match kind {
        Kind::Phone => digits >= 5 && text.len() <= 32,
        Kind::Email => text.contains('@'),
        _ if separator == Separator::Blank => digits >= 6,
        _ => {
            !text.is_empty() && text.len() <= 200 && !is_placeholder(text) && (digits >= 6 || !is_number_or_none(text)) && !complains(text)
        }
    };
    let scalar = matches!(value.form, Form::Quoted | Form::Bare) && separator != Separator::Pair;
    (fits && scalar && !is_marker(text)).then(|| Span::new(value.range.start, value.range.end, kind))
}

fn routing(shadow: &Shadow<'_>, separator: Separator, at: usize, audience: Audience) -> Option<Span> {
    let value = read(shadow, at)?;
    let text = text_of(shadow, &value);
    let is_weight = is_number_or_none(text) && !text.is_empty();
    let is_label = !is_plain_word(text) && !text.contains("://") && text.len() <= 64;
    let hidden = (matches!(separator, Separator::Colon | Separator::Equals) || is_weight && separator == Separator::Blank)
        && matches!(value.form, Form::Quoted | Form::Bare)
        && !matches!(text, "null" | "None" | "unknown" | "true" | "false");
    let weight = is_weight && !shadow.text()[..at].trim_end_matches([' ', ':', '=', '"']).ends_with(['l', 'm', 'd']);
    (hidden && !is_placeholder(text) && (weight || audience == Audience::Public && is_label))
        .then(|| Span::new(value.range.start, value.range.end, Kind::Id))
}
