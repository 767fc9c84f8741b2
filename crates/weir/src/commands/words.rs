//! Words for people that several commands show: amounts, times, yes and no, who ended it, who can mend it.

use jiff::tz::TimeZone;
use weir_core::{
    Amount, Charged, Lang, Phase, Side, Timestamp, Verdict,
    verdict::{Level, Owner, RetryWord, Scenario},
};

use crate::{
    config::nearest::nearest,
    fault::Fault,
    lang::{pick, text},
};

/// An amount in units, exact, without needless zeros: `0.000123`.
pub(crate) fn amount(amount: Amount) -> String {
    let nano = amount.0.unsigned_abs();
    let unit = Amount::UNIT.unsigned_abs();
    let sign = if amount.0 < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:09}", nano / unit, nano % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads an amount in units, exact.
pub(crate) fn parse_amount(text: &str) -> Result<Amount, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let money: crate::config::Money = digits.parse().map_err(|_| "it is a decimal such as 25.00, at most 9 decimals".to_owned())?;
    i64::try_from(money.0).map(|nano| Amount(sign * nano)).map_err(|_| "it is more than weir can count".to_owned())
}

/// Local time to the second; the head of a column says the zone.
pub(crate) fn local_time(at: Timestamp) -> String {
    zoned(at, "%Y-%m-%d %H:%M:%S")
}

/// Local time with its offset.
pub(crate) fn local_time_with_zone(at: Timestamp) -> String {
    zoned(at, "%Y-%m-%d %H:%M:%S %:z")
}

/// The local time of the day.
pub(crate) fn local_clock(at: Timestamp) -> String {
    zoned(at, "%H:%M:%S")
}

/// `UTC+8`-like words for the head of a time column: the offset in force at `at`.
pub(crate) fn zone(at: Timestamp) -> String {
    zoned(at, "%:z")
}

fn zoned(at: Timestamp, form: &str) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| "?".to_owned(), |at| at.to_zoned(TimeZone::system()).strftime(form).to_string())
}

pub(crate) fn none(lang: Lang) -> &'static str {
    pick(lang, "无", "none")
}

pub(crate) fn charged(lang: Lang, charged: Charged) -> &'static str {
    let (zh, en) = match charged {
        Charged::Yes => ("是", "yes"),
        Charged::No => ("否", "no"),
        Charged::Pending => ("结算中", "pending"),
        Charged::Refunded => ("已退回", "refunded"),
        Charged::Unknown => ("未知", "unknown"),
    };
    pick(lang, zh, en)
}

pub(crate) fn side(lang: Lang, side: Side) -> &'static str {
    let (zh, en) = match side {
        Side::Client => ("客户端", "client"),
        Side::Proxy => ("代理", "proxy"),
        Side::Gateway => ("网关", "gateway"),
        Side::Upstream => ("上游", "upstream"),
        Side::Done => ("正常结束", "nobody, it came to its own end"),
    };
    pick(lang, zh, en)
}

/// How far an attempt came.
pub(crate) fn phase(lang: Lang, phase: Phase) -> &'static str {
    let (zh, en) = match phase {
        Phase::Connect => ("连接", "connecting"),
        Phase::Send => ("发送", "sending"),
        Phase::FirstByte => ("等首字节", "no first byte"),
        Phase::Body => ("有应答", "answered"),
        Phase::Done => ("完成", "done"),
    };
    pick(lang, zh, en)
}

pub(crate) fn level(lang: Lang, level: Level) -> &'static str {
    let (zh, en) = match level {
        Level::Ok => ("正常", "ok"),
        Level::Info => ("提示", "info"),
        Level::Warn => ("警告", "warning"),
        Level::Unknown => ("未知", "unknown"),
        Level::Fail => ("故障", "failure"),
    };
    pick(lang, zh, en)
}

pub(crate) fn owner(lang: Lang, owner: Owner) -> String {
    weir_doctor::report::words::owner(owner).in_lang(lang).to_owned()
}

pub(crate) fn scenario(lang: Lang, scenario: Scenario) -> &'static str {
    let (zh, en) = match scenario {
        Scenario::ShortChat => ("短聊天", "short chat"),
        Scenario::Batch => ("批量脚本", "batch"),
        Scenario::MediaTask => ("生图和视频任务", "image and video tasks"),
        Scenario::SharedKey => ("共享 key", "shared key"),
    };
    pick(lang, zh, en)
}

/// A retry word in a sentence.
pub(crate) fn retry(lang: Lang, word: RetryWord) -> String {
    weir_doctor::report::words::retry(word).in_lang(lang).to_owned()
}

/// A verdict by its code, in any case, or by the word that an error bears. A status alone mostly has several.
pub(crate) fn verdict(code: &str) -> Result<Verdict, Fault> {
    let upper = code.to_ascii_uppercase();
    let answered =
        |verdict: &Verdict| verdict.api().is_some_and(|api| api.status.to_string() == code || api.code.eq_ignore_ascii_case(code));
    let bearing: Vec<Verdict> = Verdict::ALL.into_iter().filter(answered).collect();
    if let [one] = bearing[..] {
        return Ok(one);
    }
    if !bearing.is_empty() {
        let codes: Vec<&str> = bearing.iter().map(|verdict| verdict.code()).collect();
        let (zh, en) = (codes.join("、"), codes.join(", "));
        return Err(Fault::usage(
            text!("{code} 有好几种原因", "{code} has several causes"),
            text!(
                "`weir explain` 加其中一个:{zh};不知道是哪个,把错误贴给 `weir triage`",
                "`weir explain` one of {en}; if you cannot tell which, paste the error to `weir triage`"
            ),
        ));
    }
    Verdict::from_code(&upper).ok_or_else(|| {
        let hint = match nearest(&upper, Verdict::ALL.iter().map(|verdict| verdict.code())) {
            Some(near) => text!("是不是 {near}?`weir explain` 列出全部", "did you mean {near}? `weir explain` lists all"),
            None => text!("`weir explain` 列出全部结论码", "`weir explain` lists every code"),
        };
        Fault::usage(text!("没有这个结论码", "there is no such code"), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_found_by_what_people_have_before_them() {
        for word in ["W-RATE-003", "w-rate-003", "key_daily_quota_exceeded"] {
            assert_eq!(verdict(word).ok(), Some(Verdict::QuotaSpent), "{word}");
        }
        let Err(Fault::Told { hint: Some(hint), .. }) = verdict("429") else { panic!("a status has several") };
        assert!(hint.en.contains("W-RATE-001, ") && hint.zh.contains("W-RATE-003"), "{hint:?}");
    }

    #[test]
    fn an_amount_survives_its_text() {
        for (text, nano) in [("25", 25_000_000_000), ("0.000123", 123_000), ("-1.5", -1_500_000_000), ("0", 0)] {
            assert_eq!(parse_amount(text), Ok(Amount(nano)), "{text}");
            assert_eq!(amount(Amount(nano)), text);
        }
        for text in ["", "1e3", "--1", "99999999999", "0.0000000001"] {
            assert!(parse_amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_code_is_found_in_any_case_and_a_slip_is_met_with_the_nearest() {
        assert_eq!(verdict("w-stream-009").unwrap(), Verdict::GzipBuffered);
        let Fault::Told { hint: Some(hint), .. } = verdict("W-STREAM-01O").unwrap_err() else { panic!("a hint") };
        assert!(hint.en.contains("W-STREAM-01"), "{}", hint.en);
    }
}
