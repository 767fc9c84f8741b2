//! Sums of money: behind a word for a balance any number, behind other words only with a currency or a fraction.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use super::engine::{Kind, Span};
use super::normalise::Shadow;
use super::triggers::{Trigger, at_place, begins_word, trigger, window};

/// Longer than a word for money, what people say behind it, and the sum.
const WINDOW_BYTES: usize = 512;
/// As far as a number begins behind its word at the most: the word and twelve others.
const NEAR_BYTES: usize = 160;

pub(super) const TRIGGERS: [Trigger; 4] = [
    trigger(
        &[
            "余额",
            "balance",
            "credit",
            "额度",
            "充值",
            "付款",
            "支付",
            "到账",
            "退款",
            "扣款",
            "消费",
            "扣费",
            "topup",
            "top-up",
            "topped up",
            "recharge",
            "paid",
            "payment",
            "refund",
            "deposit",
            "invoice",
            "owe",
            "spen",
            "欠费",
            "remain",
            "used quota",
            "used_quota",
            "usedquota",
        ],
        behind_word,
    ),
    trigger(&["¥", "$", "€", "£"], before_word),
    trigger(&["余额", "额度", "账户", "balance", "credit"], moved),
    trigger(&["剩", "花", "充", "扣", "用掉", "少了", "退"], with_unit),
];

type Pattern = LazyLock<Option<Regex>>;

static SUM: Pattern = LazyLock::new(|| {
    at_place(concat!(
        r"(?i)(余额|balance|credits?|额度|充值|付款|支付|到账|退款|扣款|消费|扣费|top-?ups?|topped up|recharged?|paid|payments?|refund(?:ed)?|deposit(?:ed)?|invoice|owes?|spen[dt]|欠费|remain(?:ing)?[ _]?quota|used[ _]?quota)",
        r"(?:[\s:=(]|is|of|was|now|remaining|left|available|required|need(?:ed)?|have|only|total|amount|your|account|with|剩余|还有|还剩|仅剩|只有|只剩|当前|是|为|约|共|了|金额|的|剩|有|我|成功){0,12}",
        r"((?:[¥￥$€£]|USD|CNY|RMB|US\$)?\s?-?(?:[¥￥$€£])?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?\s?(?:元|美元|美金|块|刀|USD|CNY|RMB|yuan|dollars)?)",
    ))
});
static SUM_BEFORE: Pattern = LazyLock::new(|| {
    at_place(r"(?i)([¥$€£] ?-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)\s?(?:remaining|left|in credits?|credits?|balance|available|余额|可用)")
});
/// What a person tells of a balance that went from one sum to another, and of sums with their unit.
static SUM_MOVED: Pattern = LazyLock::new(|| {
    at_place(concat!(
        r"(?i)(?:余额|额度|账户|balance|credits?)[^\n0-9]{0,24}?(?:从|由|from)\s?([¥￥$€£]?\s?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?\s?(?:元|块|USD|CNY|RMB)?)",
        r"[^\n0-9]{0,12}?(?:变成了?|变为|降到|掉到|到|成|->|→|to|down to)\s?([¥￥$€£]?\s?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?\s?(?:元|块|USD|CNY|RMB)?)",
    ))
});
static SUM_WITH_UNIT: Pattern = LazyLock::new(|| {
    at_place(
        r"(?:剩下?|花了?|充了?|扣了?|用掉了?|少了|退了?)[ ]?(?:约|大概|差不多)?[ ]?([¥￥$]?[ ]?[0-9]+(?:\.[0-9]+)?[ ]?(?:元|块钱?|美元|美金|刀|USD|CNY|RMB))",
    )
});

fn captures<'a>(pattern: &Pattern, shadow: &'a Shadow<'_>, at: usize) -> Option<Captures<'a>> {
    let here = window(shadow.bytes(), at, WINDOW_BYTES);
    // Most words for money have no number behind them.
    let pattern = pattern.as_ref().filter(|_| here.iter().take(NEAR_BYTES).any(u8::is_ascii_digit))?;
    pattern.is_match(here).then(|| pattern.captures(here)).flatten()
}

fn behind_word(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    out.extend(captures(&SUM, shadow, at).and_then(|found| sum(shadow.bytes(), at, &found)));
}

fn before_word(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    let found = captures(&SUM_BEFORE, shadow, at);
    out.extend(found.and_then(|found| found.get(1)).map(|sum| Span::new(at + sum.start(), at + sum.end(), Kind::Amount)));
}

fn moved(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    both(captures(&SUM_MOVED, shadow, at), at, out);
}

fn with_unit(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    both(captures(&SUM_WITH_UNIT, shadow, at), at, out);
}

fn both(found: Option<Captures<'_>>, at: usize, out: &mut Vec<Span>) {
    let Some(found) = found else { return };
    out.extend(found.iter().skip(1).flatten().map(|sum| Span::new(at + sum.start(), at + sum.end(), Kind::Amount)));
}

fn sum(bytes: &[u8], at: usize, found: &Captures<'_>) -> Option<Span> {
    let (word, number) = (found.get(1)?, found.get(2)?);
    let word = word.as_bytes();
    let sure = word.eq_ignore_ascii_case(b"balance")
        || word == "余额".as_bytes()
        || word == "充值".as_bytes()
        || word.to_ascii_lowercase().ends_with(b"quota");
    let text = String::from_utf8_lossy(number.as_bytes());
    let money = text.contains(['¥', '￥', '$', '€', '£', '元', '块', '刀', '金'])
        || text.contains('.')
        || ["USD", "CNY", "RMB", "yuan", "dollar"].iter().any(|c| text.contains(c));
    let glued = word[0].is_ascii() && !begins_word(bytes, at);
    let start = at + number.start() + text.len() - text.trim_start().len();
    let end = at + number.end() - (text.len() - text.trim_end().len()).min(number.len());
    let behind = bytes.get(end).copied().unwrap_or(b' ');
    let date = matches!(behind, b'-' | b'/' | b':' | b'%') && !money;
    let is_word = behind.is_ascii_alphanumeric() || behind == b'_';
    ((sure || money) && !glued && !is_word && !date).then(|| Span::new(start, end, Kind::Amount))
}
