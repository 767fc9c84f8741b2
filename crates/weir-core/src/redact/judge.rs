//! What a value tells about itself: a placeholder, a mask, a plain word, a number, a complaint.

use super::engine::Kind;
use super::shapes::{is_dense, looks_random};

pub(super) fn is_number_or_none(text: &str) -> bool {
    let text = text.trim_end_matches([',', '}', ']', ')', ';']);
    text.is_empty()
        || text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'%'))
        || matches!(text, "null" | "None" | "true" | "false" | "nil" | "undefined" | "unknown")
}

/// `gpt-4o-mini-2024-07-18`, `daily_quota_2`: words and numbers with borders between them.
pub(super) fn is_dated_name(text: &str) -> bool {
    text.contains(['-', '_', '.', '/', ':'])
        && text.split(['-', '_', '.', '/', ':']).all(|part| part.len() < 12 && !is_dense(part.as_bytes()))
        && !is_uuid(text)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().enumerate().all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// A reference to a secret, or a mask: nothing to hide.
pub(super) fn is_placeholder(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "",
        "null",
        "none",
        "nil",
        "undefined",
        "true",
        "false",
        "unknown",
        "n/a",
        "your_key",
        "your_api_key",
        "your-api-key",
        "your_token",
        "yourkey",
        "...",
        "…",
        "-",
        "not_seen",
        "yes",
        "no",
        "set",
        "unset",
    ];
    const STARTS: &[&str] = &[
        "$",
        "{{",
        "process.env",
        "os.",
        "env.",
        "import.meta",
        "[REDACTED",
        "YOUR_",
        "<your",
        "<YOUR",
        "your_",
        "your-",
        "<api",
        "<token",
        "<key",
        "<redacted",
        "<REDACTED",
        "System.getenv",
        "getenv(",
    ];
    let text = text.trim();
    let stars = text.chars().filter(|c| matches!(c, '*' | '•' | '…' | 'x' | 'X' | '.')).count();
    WORDS.contains(&text.to_ascii_lowercase().as_str())
        || STARTS.iter().any(|s| text.starts_with(s))
        || text.starts_with("%") && text.ends_with('%') && text.len() > 2
        || stars >= 3 && text.chars().all(|c| matches!(c, '*' | '•' | '…' | 'x' | 'X' | '.'))
        || is_good_mask(text)
}

/// Public prefix, `…` and at most four characters; or the public id of our own key.
fn is_good_mask(text: &str) -> bool {
    let Some(at) = text.find('…').or_else(|| text.find("...")).or_else(|| text.find("***")) else {
        return text.strip_prefix("sk-wr-").is_some_and(|kid| kid.len() == 8);
    };
    let tail = text[at..].trim_start_matches(['…', '.', '*']);
    let head = &text[..at];
    let public = head.is_empty() || crate::secret::KEY_PREFIXES.contains(&head) || head.starts_with("sk-wr-") && head.len() <= 40;
    public && tail.chars().count() <= 4
}

pub(super) fn is_marker(text: &str) -> bool {
    Kind::ALL.iter().any(|k| text.trim() == k.marker())
}

/// What prose says after the name of a secret: none of these is its value.
const PLAIN_WORDS: &str = "please must is was are should or and the a an has have cannot can failed error incorrect wrong not rejected disabled \
    enabled ok rotated revoked provided string invalid expired required missing empty present absent redacted masked hidden \
    valid unauthorized forbidden denied refused it you check get see use make verify only too at in for from with to bearer \
    basic authentication authorization header limit exceeded malformed found";

/// A word that prose puts behind a name: small letters only, or a sentence's beginning.
pub(super) fn is_plain_word(text: &str) -> bool {
    let text = text.trim_end_matches([',', '.', ';', ':', '!']);
    PLAIN_WORDS.split(' ').any(|word| word.eq_ignore_ascii_case(text))
        || text.contains('_') && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && text.len() > 8
}

pub(super) fn starts_han(text: &str) -> bool {
    text.chars().next().is_none_or(|c| !c.is_ascii())
}

pub(super) fn complains(text: &str) -> bool {
    const STARTS: &[&str] = &[
        "错误", "无效", "不", "已", "是", "为", "过期", "正确", "必须", "长度", "请", "未", "和", "或", "、", "，", "。", "的", "格式",
        "没", "有", "无", "失败", "缺", "验证", "登录", "认证", "为空", "泄",
    ];
    text.is_empty() || STARTS.iter().any(|s| text.starts_with(s))
}

pub(super) fn han_value(text: &str, kind: Kind) -> bool {
    let ascii: String = text.chars().take_while(char::is_ascii).collect();
    match kind {
        Kind::Auth => ascii.len() >= 4 && ascii.bytes().any(|b| b.is_ascii_digit()),
        _ => ascii.len() >= 8 && looks_random(ascii.as_bytes()),
    }
}
