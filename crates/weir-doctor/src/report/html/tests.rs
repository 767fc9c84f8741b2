//! The page is whole, in both languages, and holds nothing that must not leave.

use weir_core::{evidence::EvidenceId, verdict::Scenario};

use super::*;
use crate::{
    probe::ProbeId,
    report::{Budget, Observed, SchemaName, Target, TimelinePoint},
};

const KEY: &str = "sk-proj-12345678abcdefgh12345678abcdefgh";

/// A report whose every foreign text is what a stranger would plant: a key, markup, a private address.
fn planted(text: &str) -> Report {
    let both = || Bilingual::new(format!("中 {text}"), format!("en {text}"));
    let point = |at_ms| TimelinePoint { at_ms, bytes: 40, events: 1 };
    let check = Check {
        id: ProbeId::P5,
        name: "stream".to_owned(),
        status: Status::Fail,
        code: Some(Verdict::StreamBuffered),
        confidence: Some(Confidence::Likely),
        detail: Some(both()),
        summary: both(),
        seen: both(),
        observed: Observed { first_byte_ms: Some(900), total_ms: Some(1_000), ..Observed::default() },
        check_first: Vec::new(),
        do_not: Vec::new(),
        never: Vec::new(),
        retry: None,
        owner: None,
        remediation: Vec::new(),
        links: Vec::new(),
        began_ms: 0,
        duration_ms: 1_000,
        timeline: vec![point(900), point(950)],
    };
    Report {
        schema: SchemaName::V1,
        complete: false,
        generated_at: text.to_owned(),
        weir: text.to_owned(),
        target: Target {
            base_url_host: text.to_owned(),
            model: text.to_owned(),
            model_why: None,
            key_masked: text.to_owned(),
            key_from: text.to_owned(),
        },
        budget: Budget { requests: 3, max_output_tokens: 192, seconds: 120, used_requests: 3 },
        overall: Status::Fail,
        exit_code: 1,
        primary: Verdict::StreamBuffered,
        checks: vec![check],
        notes: Vec::new(),
        look_at: Vec::new(),
        hints: vec![both()],
        skipped: Vec::new(),
        evidence_id: EvidenceId::from_dice(1),
        evidence: None,
    }
}

fn page(text: &str) -> String {
    planted(text).html(Lang::Zh, &Redactor::new([]), Audience::Public).unwrap()
}

#[test]
fn nothing_private_stands_in_the_page_whatever_was_in_the_report() {
    let page = page(&format!("it said: Incorrect API key {KEY}, mail someone@example.com"));
    for private in [KEY, &KEY[8..16], "someone@"] {
        assert!(!page.contains(private), "{private}");
    }
}

#[test]
fn where_all_is_well_there_is_a_next_step_and_nothing_to_mend() {
    let mut report = planted("plain");
    (report.primary, report.overall) = (Verdict::Ok, Status::Ok);
    let page = report.html(Lang::En, &Redactor::new([]), Audience::Support).unwrap();
    assert!(page.contains(">Next<") && !page.contains("Check first<") && !page.contains("Who mends it"), "{page}");
}

#[test]
fn a_command_in_a_sentence_stands_out() {
    let page = page("run `weir doctor` <b>");
    assert!(page.contains("run <code>weir doctor</code> &lt;b&gt;"), "{page}");
}

#[test]
fn a_stranger_can_put_no_markup_into_the_page() {
    let page = page("<script>alert(1)</script><img src=x onerror='1'>&\"");
    assert!(!page.contains("<script") && !page.contains("<img") && page.contains("&lt;script&gt;alert(1)"), "{page}");
}

#[test]
fn probes_that_overlap_stand_beside_each_other() {
    let mut report = planted("plain");
    let bars = |began_ms, duration_ms| Check { began_ms, duration_ms, observed: Observed::default(), ..report.checks[0].clone() };
    let (slow, beside) = (bars(0, 20_000), bars(6_000, 10_000));
    report.checks = vec![slow, beside];
    let page = report.html(Lang::En, &Redactor::new([]), Audience::Support).unwrap();
    for bar in ["x=\"0\" width=\"1000\"", "x=\"300\" width=\"500\""] {
        assert!(page.contains(bar), "{bar}: {page}");
    }
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = page("plain");
    for loads in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "onload"] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn every_verdict_has_a_page_in_both_languages_with_all_five_answers() {
    for verdict in Verdict::ALL {
        let mut report = planted("plain");
        report.primary = verdict;
        report.checks[0].code = Some(verdict);
        let page = report.html(Lang::En, &Redactor::new([]), Audience::Support).unwrap();
        let bare = |text: &str| {
            text.replace('`', "")
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;")
        };
        let flat = page.replace("<code>", "").replace("</code>", "");
        for lang in [Lang::Zh, Lang::En] {
            let words = verdict.words(lang);
            for said in [words.title, words.cause, bare_never(words.never)].into_iter().chain(words.check_first.iter().copied()) {
                assert!(flat.contains(&bare(said)), "{verdict:?} {said}");
            }
            assert!(flat.contains(&bare(words::owner(verdict.owner()).in_lang(lang))));
            assert!(flat.contains(&bare(words::retry(verdict.retry(Scenario::ShortChat)).in_lang(lang))));
        }
    }
}
