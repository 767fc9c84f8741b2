//! Personal data: addresses, telephone numbers, identity and card numbers, sums of money, and for the public also ids.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use super::engine::{Audience, Kind, Span};
use super::normalise::Shadow;
use super::urls;

fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

static EMAIL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?i-u)[a-z0-9_.+%-]{1,64}(?:@| ?[\[(]at[\])] ?)[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9-]{1,63}){0,6}\.[a-z]{2,18}")
});
static MOBILE: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r"(?-u)(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:[0-9]{8}|[ -][0-9]{4}[ -][0-9]{4})"));
static LANDLINE: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r"(?-u)(?:\(0[0-9]{2,3}\) ?|0[0-9]{2,3}-)[2-9][0-9]{6,7}|400-[0-9]{3}-[0-9]{4}"));
static INTERNATIONAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?-u)\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,4}\)?){2,5}|(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[2-9][0-9]{2}[-.][0-9]{4}")
});
static IDENTITY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?-u)[1-9][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]|[0-9]{3}-[0-9]{2}-[0-9]{4}")
});
static CARD: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"(?-u)[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}"));
static IPV4: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r"(?-u)(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"));
static IPV6: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"(?-u)[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,40}"));
static SUM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)(余额|balance|credits?|额度|充值|付款|支付|到账|退款|扣款|消费|扣费|top-?ups?|topped up|recharged?|paid|payments?|refund(?:ed)?|deposit(?:ed)?|invoice|owes?|spen[dt]|欠费|remain(?:ing)?[ _]?quota|used[ _]?quota)",
        r"(?:[\s:=(]|is|of|was|now|remaining|left|available|required|need(?:ed)?|have|only|total|amount|your|account|with|剩余|还有|还剩|仅剩|只有|只剩|当前|是|为|约|共|了|金额|的|剩|有|我|成功){0,12}",
        r"((?:[¥￥$€£]|USD|CNY|RMB|US\$)?\s?-?(?:[¥￥$€£])?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?\s?(?:元|美元|美金|块|刀|USD|CNY|RMB|yuan|dollars)?)",
    ))
});
static SUM_BEFORE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?i)([¥$€£] ?-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)\s?(?:remaining|left|in credits?|credits?|balance|available|余额|可用)")
});
/// What a person tells of a balance that went from one sum to another, and of sums with their unit.
static SUM_MOVED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)(?:余额|额度|账户|balance|credits?)[^\n0-9]{0,24}?(?:从|由|from)\s?([¥￥$€£]?\s?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?\s?(?:元|块|USD|CNY|RMB)?)",
        r"[^\n0-9]{0,12}?(?:变成了?|变为|降到|掉到|到|成|->|→|to|down to)\s?([¥￥$€£]?\s?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?\s?(?:元|块|USD|CNY|RMB)?)",
    ))
});
static SUM_WITH_UNIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r"(?:剩下?|还剩|只剩|花了?|充了?|扣了?|用掉了?|多扣了?|少了|退了?)[ ]?(?:约|大概|差不多)?[ ]?([¥￥$]?[ ]?[0-9]+(?:\.[0-9]+)?[ ]?(?:元|块钱?|美元|美金|刀|USD|CNY|RMB))",
    )
});
static PUBLIC_ID: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"(?-u)(?:acc|led|k|fp)_[A-Za-z0-9]{2,40}"));
static CHAT_ID: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"(?-u)wxid_[A-Za-z0-9_-]{5,40}"));
static VENDOR_ID: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"(?-u)(?:org-|proj_|user-)[A-Za-z0-9]{16,64}"));

pub(super) fn find(shadow: &Shadow<'_>, audience: Audience, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    urls::find(bytes, out);
    if bytes.contains(&b'@') || bytes.windows(3).any(|w| w.eq_ignore_ascii_case(b"at]") || w.eq_ignore_ascii_case(b"at)")) {
        emails(bytes, out);
    }
    each(&CHAT_ID, bytes, Kind::Id, stands_alone, out);
    each(&VENDOR_ID, bytes, Kind::Id, stands_alone, out);
    if audience == Audience::Public {
        each(&PUBLIC_ID, bytes, Kind::Id, stands_alone, out);
    }
    if !bytes.iter().any(u8::is_ascii_digit) {
        return;
    }
    for pattern in [&SUM_MOVED, &SUM_WITH_UNIT] {
        let Some(pattern) = pattern.as_ref() else { continue };
        for found in pattern.captures_iter(bytes) {
            out.extend(found.iter().skip(1).flatten().map(|sum| Span::new(sum.start(), sum.end(), Kind::Amount)));
        }
    }
    each(&MOBILE, bytes, Kind::Phone, is_number, out);
    each(&LANDLINE, bytes, Kind::Phone, is_number, out);
    each(&INTERNATIONAL, bytes, Kind::Phone, is_international, out);
    each(&IDENTITY, bytes, Kind::Id, is_number, out);
    each(&CARD, bytes, Kind::Id, is_card, out);
    each(&IPV4, bytes, Kind::Ip, is_ipv4, out);
    each(&IPV6, bytes, Kind::Ip, is_ipv6, out);
    sums(bytes, out);
    if let Some(before) = SUM_BEFORE.as_ref() {
        out.extend(before.captures_iter(bytes).filter_map(|c| c.get(1)).map(|m| Span::new(m.start(), m.end(), Kind::Amount)));
    }
}

/// Not the `password@host` of an address that is hidden already.
fn emails(bytes: &[u8], out: &mut Vec<Span>) {
    let mut taken: Vec<Span> = out.iter().filter(|s| s.kind == Kind::Url).copied().collect();
    taken.sort_by_key(|s| s.start);
    let before = out.len();
    each(&EMAIL, bytes, Kind::Email, is_email, out);
    let mails = out.split_off(before);
    let is_taken = |m: &Span| taken[..taken.partition_point(|t| t.start <= m.start)].last().is_some_and(|t| m.start < t.end);
    out.extend(mails.into_iter().filter(|m| !is_taken(m)));
}

fn each(pattern: &LazyLock<Option<Regex>>, bytes: &[u8], kind: Kind, fits: fn(&[u8], usize, usize) -> bool, out: &mut Vec<Span>) {
    let Some(pattern) = pattern.as_ref() else { return };
    out.extend(pattern.find_iter(bytes).filter(|m| fits(bytes, m.start(), m.end())).map(|m| Span::new(m.start(), m.end(), kind)));
}

/// The bytes before and behind; a space where there is none.
fn around(bytes: &[u8], start: usize, end: usize) -> (u8, u8) {
    let before = start.checked_sub(1).map_or(b' ', |i| bytes[i]);
    (before, bytes.get(end).copied().unwrap_or(b' '))
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = around(bytes, start, end);
    !is_word(before) && before != b'-' && !is_word(behind)
}

/// `git@host:path` is an address of a repository.
fn is_email(bytes: &[u8], start: usize, end: usize) -> bool {
    !(bytes[start..].starts_with(b"git@") && matches!(bytes.get(end), Some(b':' | b'/')))
}

/// Not a part of an id, a decimal fraction or a longer number.
fn is_number(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = around(bytes, start, end);
    let fraction = behind == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    !is_word(before) && !matches!(before, b'-' | b'.' | b'$' | b'#') && !is_word(behind) && behind != b'-' && !fraction
}

fn is_international(bytes: &[u8], start: usize, end: usize) -> bool {
    let digits = bytes[start..end].iter().filter(|b| b.is_ascii_digit()).count();
    let (before, behind) = around(bytes, start, end);
    let plus = bytes[start] == b'+';
    // `+08:00` is a zone, `1+2025` a sum, `2e+10` a number.
    (if plus { (9..=15).contains(&digits) } else { digits == 10 })
        && !is_word(before)
        && !matches!(before, b'-' | b'.')
        && !is_word(behind)
        && behind != b'-'
}

fn is_card(bytes: &[u8], start: usize, end: usize) -> bool {
    let digits: Vec<u32> = bytes[start..end].iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0')).collect();
    let lead = digits.iter().take(4).fold(0, |sum, d| sum * 10 + d);
    let issuer = match digits.len() {
        13 | 19 if lead / 1000 == 4 => true,
        14 => matches!(lead / 100, 30 | 36 | 38),
        15 => matches!(lead / 100, 34 | 37),
        16 => lead / 1000 == 4 || matches!(lead / 100, 51..=55 | 62 | 65 | 35) || lead == 6011 || (2221..=2720).contains(&lead),
        17..=19 => lead / 100 == 62,
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 1 {
                let twice = d * 2;
                twice / 10 + twice % 10
            } else {
                *d
            }
        })
        .sum();
    issuer && sum.is_multiple_of(10) && is_number(bytes, start, end)
}

/// Loopback tells nothing; `Chrome/120.0.0.0` and `v1.2.3.4` are versions.
fn is_ipv4(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = around(bytes, start, end);
    let text = &bytes[start..end];
    let longer = behind == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    let version =
        before == b'/' && start >= 2 && bytes[start - 2] != b'/' || bytes[start.saturating_sub(8)..start].eq_ignore_ascii_case(b"version ");
    !is_word(before)
        && !matches!(before, b'.' | b'-')
        && !is_word(behind)
        && !longer
        && !version
        && !text.starts_with(b"127.")
        && text != b"0.0.0.0"
}

/// Real addresses have digits and several groups; `std::de` and `10:31:02` have not.
fn is_ipv6(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = around(bytes, start, end);
    let text = std::str::from_utf8(&bytes[start..end]).unwrap_or_default().trim_end_matches(['.', ':']);
    let groups = text.split(':').filter(|g| !g.is_empty()).count();
    let long =
        groups >= 4 || ["fe80", "fc", "fd", "20", "24", "26", "2a"].iter().any(|p| text.to_ascii_lowercase().starts_with(p)) && groups >= 2;
    !is_word(before)
        && before != b':'
        && !is_word(behind)
        && long
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.parse::<Ipv6Addr>().is_ok_and(|ip| !ip.is_loopback())
}

/// Sums of money: behind a word for a balance any number, behind other words only with a currency or a fraction.
fn sums(bytes: &[u8], out: &mut Vec<Span>) {
    let Some(pattern) = SUM.as_ref() else { return };
    for found in pattern.captures_iter(bytes) {
        if let Some(span) = sum(bytes, &found) {
            out.push(span);
        }
    }
}

fn sum(bytes: &[u8], found: &Captures<'_>) -> Option<Span> {
    let (word, number) = (found.get(1)?, found.get(2)?);
    let sure = matches!(word.as_bytes().to_ascii_lowercase().as_slice(), b"balance")
        || word.as_bytes() == "余额".as_bytes()
        || word.as_bytes() == "充值".as_bytes()
        || word.as_bytes().to_ascii_lowercase().ends_with(b"quota");
    let text = String::from_utf8_lossy(number.as_bytes());
    let money = text.contains(['¥', '￥', '$', '€', '£', '元', '块', '刀', '金'])
        || text.contains('.')
        || ["USD", "CNY", "RMB", "yuan", "dollar"].iter().any(|c| text.contains(c));
    let glued = word.start() > 0 && is_word(bytes[word.start() - 1]) && word.as_bytes()[0].is_ascii();
    let start = number.start() + text.len() - text.trim_start().len();
    let end = number.end() - (text.len() - text.trim_end().len()).min(number.len());
    let (_, behind) = around(bytes, start, end);
    let date = matches!(behind, b'-' | b'/' | b':' | b'%') && !money;
    ((sure || money) && !glued && !is_word(behind) && !date).then(|| Span::new(start, end, Kind::Amount))
}
