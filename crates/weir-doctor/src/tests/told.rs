//! What a person reads who sees the doctor for the first time: each line is true by itself, and says what that person can use.

use weir_core::{Lang, Verdict};

use super::{Bench, codes::agrees, order};
use crate::{
    probe::{Order, ProbeId},
    report::{Check, Layout, Report, Status},
};

async fn of(order: Order) -> Report {
    let report = Bench::new().report(order).await;
    agrees(&report, "told");
    report
}

fn check(report: &Report, id: ProbeId) -> &Check {
    report.checks.iter().find(|check| check.id == id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_probes_side_by_side_keep_their_own_times() {
    // The control answers after 9 s; the stream was asked beside it after 6 s, and answers after 9 s of its own.
    let report = of(order("sim:first_byte=9s,tokens=10,interval=1ms")).await;
    let (control, stream) = (check(&report, ProbeId::P4), check(&report, ProbeId::P5));
    assert_eq!((control.began_ms, control.duration_ms / 1000), (0, 9), "{control:?}");
    assert_eq!((stream.began_ms / 1000, stream.duration_ms / 1000), (6, 9), "{stream:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_was_answered_with_nothing_is_not_called_ok() {
    let silent = of(order("sim:first_byte=60s")).await;
    assert_eq!((silent.primary, check(&silent, ProbeId::P5).status), (Verdict::FirstByteTimeout, Status::Unknown));
    let well = of(order("sim:ok")).await;
    assert!(well.checks.iter().all(|check| check.status == Status::Ok), "{:?}", well.checks);
}

#[tokio::test(start_paused = true)]
async fn whoever_forgot_the_key_is_told_where_it_goes() {
    let report = of(Order { key: None, ..order("sim:401") }).await;
    assert_eq!(report.primary, Verdict::KeyUnknown);
    for lang in [Lang::Zh, Lang::En] {
        let text = report.text(lang, Layout::default());
        assert!(text.contains("WEIR_KEY") && text.contains("--key-stdin"), "{text}");
    }
    let wrong = of(order("sim:401")).await.text(Lang::En, Layout::default());
    assert!(!wrong.contains("no key was given"), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_broke_says_when_and_behind_how_many_lines() {
    let report = of(order("sim:interval=500ms,cut_after=5")).await;
    let detail = report.checks.iter().find(|check| check.code == Some(Verdict::StreamCut)).unwrap().detail.clone().unwrap();
    assert!(detail.en.contains("behind 5 data lines") && detail.en.contains(" s after the request"), "{detail:?}");
    assert!(report.notes.iter().all(|note| note.code != Verdict::EvidenceMissing), "nobody asks whether it was buffered, too");
}
