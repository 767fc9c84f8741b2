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

fn every_text() -> impl Iterator<Item = &'static str> {
    Verdict::ALL.iter().flat_map(|verdict| [Lang::Zh, Lang::En].map(|lang| verdict.words(lang))).flat_map(|words| {
        let example = &words.example;
        let slots = [words.title, words.cause, words.check, words.never, words.observed, example.field, example.mistake, example.next];
        slots.into_iter().chain(words.check_first.iter().copied())
    })
}
