//! When it happened, in any of the forms of logs, headers and people.

use weir_core::{RequestId, Timestamp};

use super::pattern::{all, first as found, pattern};

/// A time as the text has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    pub(super) text: String,
    /// The instant, where the text says the zone.
    pub(super) at: Option<Timestamp>,
    /// `+08:00`, `Z`; `None` where the text does not say.
    pub(super) zone: Option<String>,
    /// The civil date and time without its zone, as `2025-07-14T10:30:41`; empty where there is no date.
    pub(super) civil: String,
}

pattern!(
    ISO,
    r"\b(20\d\d[-/](?:0[1-9]|1[0-2])[-/](?:0[1-9]|[12]\d|3[01])[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|GMT|CST|[+-]\d\d:?\d\d)\b)?)"
);
pattern!(ACCESS, r"\b((?:0[1-9]|[12]\d|3[01])/[A-Z][a-z]{2}/20\d\d:[0-2]\d:[0-5]\d:[0-5]\d [+-]\d{4})");
pattern!(HAPROXY, r"\[((?:0[1-9]|[12]\d|3[01])/[A-Z][a-z]{2}/20\d\d:[0-2]\d:[0-5]\d:[0-5]\d)\.\d{3}\]");
pattern!(HTTP, r"\b([A-Z][a-z]{2}, [0-3]\d [A-Z][a-z]{2} 20\d\d [0-2]\d:[0-5]\d:[0-5]\d GMT)");
pattern!(GIN, r"\b(20\d\d/[01]\d/[0-3]\d - [0-2]\d:[0-5]\d:[0-5]\d)");
pattern!(
    SAID,
    r"((?:今天|昨天|前天|刚才|刚刚)?(?:\d{1,2} ?月 ?\d{1,2} ?[日号])?(?:凌晨|早上|上午|中午|下午|晚上|傍晚)? ?(?:\d{1,2} ?点(?: ?(?:半|[0-5]?\d)(?: ?分)?)?|\b[0-2]?\d ?[:：] ?[0-5]\d\b)(?: ?左右)?)"
);
pattern!(
    SAID_EN,
    r"(?i)\b((?:at|around|about) \d{1,2}(?::\d\d)? ?(?:am|pm)(?: (?:[A-Z]{3,4}|UTC[+-]?\d*))?|(?:yesterday|today|this morning|last night)(?: (?:at|around) \d{1,2}(?::\d\d)?(?: ?[ap]m)?)?)"
);

/// The first time that a text tells; the exact forms before those of people.
pub(super) fn first(text: &str) -> Option<When> {
    if let Some(iso) = all(&ISO, text, TIMES).into_iter().find(|iso| !is_of_a_reset(text, iso)) {
        return Some(of_iso(iso));
    }
    if let Some(http) = found(&HTTP, text) {
        return Some(of_strptime(http, "%a, %d %b %Y %H:%M:%S GMT", "Z"));
    }
    if let Some(access) = found(&ACCESS, text) {
        let zone = access.get(21..).map(|zone| format!("{}:{}", &zone[..3], &zone[3..])).unwrap_or_default();
        return Some(of_strptime(access.get(..20).unwrap_or(access), "%d/%b/%Y:%H:%M:%S", &zone));
    }
    if let Some(haproxy) = found(&HAPROXY, text) {
        return Some(of_strptime(haproxy, "%d/%b/%Y:%H:%M:%S", ""));
    }
    if let Some(gin) = found(&GIN, text) {
        return Some(of_strptime(gin, "%Y/%m/%d - %H:%M:%S", ""));
    }
    let said = found(&SAID, text).or_else(|| found(&SAID_EN, text))?;
    Some(When { text: said.trim().to_owned(), at: None, zone: None, civil: String::new() })
}

/// Times later than this one are not looked at.
const TIMES: usize = 50;

/// A time that says when a limit opens is not when the call was made.
fn is_of_a_reset(text: &str, time: &str) -> bool {
    // Both are slices of one text, so the distance of their beginnings is where the time stands.
    let at = (time.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text[text.ceil_char_boundary(at.saturating_sub(32))..at].to_ascii_lowercase();
    before.contains("reset") || before.contains("将在") || before.contains("expire")
}

/// When weir gave an id.
pub(super) fn of_id(id: &str) -> Option<When> {
    let at = id.parse::<RequestId>().ok()?.at();
    let zoned = jiff::Timestamp::from_millisecond(at.0).ok()?;
    let text = zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Some(When { civil: text.trim_end_matches('Z').to_owned(), text, at: Some(at), zone: Some("Z".to_owned()) })
}

fn of_iso(text: &str) -> When {
    let (date, rest) = text.split_at(10);
    let rest = &rest[1..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let zone = match zone.trim() {
        "Z" | "UTC" | "GMT" => Some("Z".to_owned()),
        // In Chinese logs it is China's standard time; elsewhere it may be another, so it is not taken for an instant.
        "CST" | "" => None,
        offset if offset.len() == 5 => Some(format!("{}:{}", &offset[..3], &offset[3..])),
        offset => Some(offset.to_owned()),
    };
    let clock = time.split(['.', ',']).next().unwrap_or(time);
    let clock = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    let civil = format!("{}T{clock}", date.replace('/', "-"));
    let at = zone.as_ref().and_then(|zone| Timestamp::from_rfc3339(&format!("{civil}{zone}")));
    When { text: text.to_owned(), at, zone, civil }
}

fn of_strptime(text: &str, form: &str, zone: &str) -> When {
    let civil = jiff::civil::DateTime::strptime(form, text).map(|at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default();
    let zone = Some(zone.to_owned()).filter(|zone| !zone.is_empty());
    let at = zone.as_ref().filter(|_| !civil.is_empty()).and_then(|zone| Timestamp::from_rfc3339(&format!("{civil}{zone}")));
    When { text: text.to_owned(), at, zone, civil }
}
