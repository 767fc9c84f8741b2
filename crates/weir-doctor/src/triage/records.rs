//! Cuts a log or a traceback into records, each the few lines that belong to one event, without the frames of a stack.

use super::pattern::{is_in, pattern};

/// More records with something of interest are not looked at: half of them from the beginning, half from the end.
const MOST: usize = 400;
/// A text of no more records than these is a sentence or a traceback: each may be what it is about. A longer one is a log.
const FEW: usize = 20;
/// Longest record, in bytes; of a longer one its beginning and its end are kept.
const RECORD_BYTES: usize = 6 * 1024;

pattern!(
    STARTS,
    r#"^(?:\[?\d{4}[-/]\d\d[-/]\d\d|\[?\d\d:\d\d:\d\d|[A-Z][a-z]{2} +\d{1,2} \d\d:|\[?(?:INFO|WARN|WARNING|ERROR|DEBUG|TRACE|FATAL|ERR|SYS|GIN)\b|Traceback |\S+ - \S+ \[|\{"(?:time|ts|timestamp|level|@timestamp)|time=|level=|data:|event:|\$ )"#
);
pattern!(
    OF_INTEREST,
    r#"(?i)error|exception|fail|time.?out|timed out|refused|reset|abort|denied|invalid|limit|quota|exceed|too many|too long|overload|unauthori|forbidden|not found|not exist|HTTP/[\d.]+" ?[3-5]\d\d|status|"code"|warn|closed|cut|policy|violat|block|filter|moderat|审核|违规|missing|unsupported|malformed|illegal|unknown|incomplete|eof|bad gateway|unavailable|no data|insufficient|balance|expired|certificate|curl: \(|错误|失败|超时|限流|限制|频率|余额|额度|欠费|过期|无效|拒绝|中断|断开|繁忙|饱和|不存在|无权|无可用|敏感|超长|上限| [45]\d\d \d+ - - |W-[A-Z]+-\d{3}"#
);
// What a log only notes, whatever words of limits and quotas are in it.
pattern!(NOTED, r#"^(?:\S+ \S+ )?\[?(?:INFO|DEBUG|TRACE|SYS)\b|^\S+ \S+ (?:\S+ )?(?:INFO|DEBUG)\b|level"?[=:] ?"?(?:info|debug)"#);
pattern!(
    OF_TROUBLE,
    r#"(?i)error|exception|fail|time.?out|timed out|refused|reset by|abort|denied|invalid|exceed|too many|overload|HTTP/[\d.]+" ?[45]\d\d|status(?:[_ ]?code)?"?[=: ]+[45]\d\d| [45]\d\d |closed|cut|eof|不足|失败|超时|错误|限流|拒绝|中断|断开"#
);
pattern!(FRAME, r#"^\s+(?:at |File "|\.{3} ?\d+ (?:more|lines)|in \S+\(|raise |return |await |yield |\^+|~+|\||│)|^\s*(?:Caused by: )?$"#);

/// The records that may tell of a fault.
pub(super) fn of(text: &str) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    let mut current = String::new();
    let mut in_stack = false;
    for line in text.lines() {
        let is_stack = line.starts_with("Traceback ");
        if (line.trim().is_empty() || is_in(&STARTS, line)) && !current.is_empty() {
            records.push(std::mem::take(&mut current));
            in_stack = false;
        }
        // A stack ends with the line that says what was raised; what is indented behind that belongs to it.
        in_stack = is_stack || in_stack && (line.starts_with(' ') || line.starts_with("During ") || line.starts_with("The above "));
        // The code under a frame tells nothing, and its names would be taken for what happened.
        let is_frame = is_in(&FRAME, line) || in_stack && line.starts_with("  ");
        if !is_frame && current.len() < RECORD_BYTES * 4 {
            current.push_str(line);
            current.push('\n');
        }
    }
    records.push(current);
    let is_short = records.len() <= FEW;
    records.retain(|record| is_in(&OF_INTEREST, record) || is_short && !record.trim().is_empty() && !is_in(&STARTS, record));
    records.retain(|record| !is_in(&NOTED, record) || is_in(&OF_TROUBLE, record));
    let drop = records.len().saturating_sub(MOST);
    if drop > 0 {
        records.drain(MOST / 2..MOST / 2 + drop);
    }
    records.into_iter().map(shortened).collect()
}

fn shortened(record: String) -> String {
    if record.len() <= RECORD_BYTES {
        return record;
    }
    let head = record.floor_char_boundary(RECORD_BYTES / 3);
    let tail = record.ceil_char_boundary(record.len() - RECORD_BYTES * 2 / 3);
    format!("{}\n{}", &record[..head], &record[tail..])
}
