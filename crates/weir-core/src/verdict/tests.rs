//! Laws of the catalogue that hold for every row.

use super::{Lang, Level, RetryWord, Scenario, Verdict};

#[test]
fn every_code_finds_its_verdict_again() {
    for verdict in Verdict::ALL {
        assert_eq!(Verdict::from_code(verdict.code()), Some(verdict));
        assert_eq!(serde_json::to_string(&verdict).unwrap(), format!("{:?}", verdict.code()));
    }
    assert_eq!(Verdict::from_code("W-NONE-001"), None);
}

/// The last number of each family. It only grows: a code that is no longer given keeps its row.
const LAST: [(&str, usize); 17] = [
    ("OK", 1),
    ("LOCAL", 4),
    ("NET", 5),
    ("AUTH", 3),
    ("MODEL", 2),
    ("GROUP", 1),
    ("BAL", 1),
    ("REQ", 3),
    ("RATE", 9),
    ("UP", 3),
    ("TMO", 10),
    ("STREAM", 13),
    ("CLIENT", 4),
    ("TASK", 5),
    ("CHG", 5),
    ("PROBE", 3),
    ("GW", 4),
];

#[test]
fn no_code_is_ever_removed_or_renumbered() {
    for (family, last) in LAST {
        for number in 1..=last {
            let code = format!("W-{family}-{number:03}");
            assert!(Verdict::from_code(&code).is_some(), "{code} is gone");
        }
    }
}

#[test]
fn r1_nothing_is_called_unstable() {
    for text in every_text() {
        let lower = text.to_lowercase();
        assert!(!lower.contains("unstable") && !lower.contains("接口不稳定"), "{text}");
    }
}

#[test]
fn every_slot_has_words_in_both_languages_that_fit_a_line() {
    for verdict in Verdict::ALL {
        for lang in [Lang::Zh, Lang::En] {
            let words = verdict.words(lang);
            for text in [words.title, words.cause, words.check, words.never] {
                assert!((1..=60).contains(&text.chars().count()), "{verdict} {lang:?}: {text}");
            }
            assert!(!words.check_first.is_empty() && !words.observed.is_empty(), "{verdict}");
        }
    }
}

#[test]
fn only_what_waiting_can_mend_may_be_sent_again() {
    for verdict in Verdict::ALL {
        let word = verdict.retry(Scenario::ShortChat);
        let stands_still = matches!(word, RetryWord::Fix | RetryWord::Hand | RetryWord::Ask | RetryWord::Nothing);
        if verdict.api().is_some_and(|api| api.should_retry) {
            assert!(!stands_still, "{verdict} may be sent again, yet its word is {word}");
        }
    }
}

#[test]
fn an_answer_of_weirs_own_is_an_error_with_a_code() {
    for api in Verdict::ALL.iter().filter_map(|verdict| verdict.api()) {
        assert!((400..=599).contains(&api.status) && !api.kind.is_empty());
        assert!(api.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", api.code);
    }
}

#[test]
fn only_an_ok_is_ok() {
    for verdict in Verdict::ALL {
        assert_eq!(verdict.level() == Level::Ok, verdict == Verdict::Ok, "{verdict}");
    }
}

#[test]
fn r26_the_four_suspects_of_buffering_come_in_order_each_with_a_step() {
    let suspects =
        [(Lang::Zh, ["nginx", "网关", "公司代理", "浏览器扩展"]), (Lang::En, ["nginx", "gateway", "company proxy", "browser extension"])];
    for (lang, names) in suspects {
        let steps = Verdict::StreamBuffered.check_first(lang);
        assert_eq!(steps.len(), names.len());
        for (step, name) in steps.iter().zip(names) {
            assert!(step.starts_with(name) && step.chars().count() > name.chars().count() + 10, "{step}");
        }
    }
}

#[test]
fn r15_a_silent_stream_sends_nobody_to_change_the_model() {
    let words = Verdict::StreamSilent.words(Lang::Zh);
    assert_eq!(words.never, "不要直接判断模型不可用");
    for (step, about) in words.check_first.iter().zip(["响应头", "data 行", "代理缓冲", "客户端版本"]) {
        assert!(step.contains(about), "{step}");
    }
}

#[test]
fn r16_a_429_points_to_rate_quota_and_reset_and_forbids_hammering() {
    let words = Verdict::RateLimited.words(Lang::Zh);
    assert_eq!(words.never, "不要立刻高频重试");
    for about in ["每分钟请求数", "当日配额", "resetAt"] {
        assert!(words.check_first.iter().any(|step| step.contains(about)), "{about}");
    }
}

#[test]
fn r9_rate_concurrency_and_daily_quota_are_three_verdicts_with_three_codes() {
    let reasons = [Verdict::RateLimited, Verdict::ConcurrencySpent, Verdict::QuotaSpent];
    assert_eq!(reasons.map(Verdict::code), ["W-RATE-001", "W-RATE-004", "W-RATE-003"]);
    let codes = reasons.map(|verdict| verdict.api().map(|api| (api.status, api.code)));
    assert_eq!(codes, [Some((429, "rate_limit_exceeded")), Some((429, "concurrency_limit")), Some((429, "key_daily_quota_exceeded"))]);
}

#[test]
fn r60_every_verdict_has_an_owner_and_a_level() {
    for verdict in Verdict::ALL {
        assert!(!verdict.owner().label().is_empty() && !verdict.level().label().is_empty() && !verdict.class().label().is_empty());
    }
}

#[test]
fn r66_every_verdict_has_an_example_with_a_field_a_mistake_and_a_safe_step() {
    for verdict in Verdict::ALL {
        for lang in [Lang::Zh, Lang::En] {
            let example = verdict.words(lang).example;
            assert!([example.field, example.mistake, example.next].iter().all(|text| !text.is_empty()), "{verdict}");
            assert_ne!(example.mistake, example.next, "{verdict}");
        }
    }
}

#[test]
fn an_sdk_is_told_to_stop_where_waiting_a_little_mends_nothing() {
    use Verdict::{BalanceSpent, GroupModelDenied, KeyDisabled, KeyUnknown, ModelNotFound, OutcomeUnknown, QuotaSpent, SourceNotAllowed};
    for verdict in [KeyUnknown, KeyDisabled, SourceNotAllowed, BalanceSpent, GroupModelDenied, ModelNotFound, QuotaSpent, OutcomeUnknown] {
        assert_eq!(verdict.api().map(|api| api.should_retry), Some(false), "{verdict}");
    }
}

#[test]
fn what_may_be_unsent_is_retried_once_and_a_media_task_never_backs_off_on_its_own() {
    for verdict in Verdict::ALL {
        let word = verdict.retry(Scenario::MediaTask);
        assert!(!matches!(word, RetryWord::Backoff(_) | RetryWord::HintOnce | RetryWord::Slow), "{verdict}: {word}");
    }
    assert_eq!(Verdict::UpstreamConnectTimeout.retry(Scenario::MediaTask), RetryWord::UnsentOnce);
}

fn every_text() -> impl Iterator<Item = &'static str> {
    Verdict::ALL.iter().flat_map(|verdict| [Lang::Zh, Lang::En].map(|lang| verdict.words(lang))).flat_map(|words| {
        let example = &words.example;
        let slots = [words.title, words.cause, words.check, words.never, words.observed, example.field, example.mistake, example.next];
        slots.into_iter().chain(words.check_first.iter().copied())
    })
}
