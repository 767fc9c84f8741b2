//! What every run comes to: each row once, few calls beyond the rows, nearly all that the limit allows.

use std::{collections::BTreeMap, thread};

use bytes::Bytes;
use weir_core::Timestamp;

use super::{
    super::{Halt, Record},
    page::{self, Line},
    scripts, *,
};
use crate::rig::EPOCH;
use upstream::Tells;

/// The rows of the output, each with whether it has a good answer.
fn answered(files: &Files) -> Vec<u64> {
    let text = String::from_utf8(files.output.bytes.lock().unwrap().clone()).unwrap();
    let row = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["error"].is_null() && line["response"]["status_code"] == 200, "{line}");
        line["custom_id"].as_str().unwrap().strip_prefix('r').unwrap().parse().unwrap()
    };
    let mut rows: Vec<u64> = text.lines().map(row).collect();
    rows.sort_unstable();
    rows
}

fn twice(saw: &Saw) -> u64 {
    saw.made.values().filter(|times| **times > 1).count() as u64
}

/// Each row has one good answer and nothing came too early.
fn holds(count: u64, snapshot: &Snapshot, saw: &Saw, files: &Files) {
    assert_eq!(snapshot.halt, None);
    assert!(answered(files).into_iter().eq(1..=count), "each row has its one answer");
    assert_eq!((snapshot.ok, snapshot.left(), snapshot.cursor), (count, 0, count));
    assert_eq!(saw.early, 0, "no row came before its told instant");
    assert!(twice(saw) <= snapshot.unguaranteed, "what may have been made twice is told");
}

/// One thread, one clock, one server for each script.
fn line(who: &str, count: u64, order: Order) -> Line {
    const SEED: u64 = 5;
    if who == "weir batch" {
        let (snapshot, saw, files) = whole(count, 256, order, SEED);
        holds(count, &snapshot, &saw, &files);
        return Line { who: who.into(), rows: count, answered: snapshot.ok, twice: twice(&saw), told: Some(snapshot.unguaranteed), saw };
    }
    in_simulated_time(async {
        let upstream = Arc::new(Upstream::new(order, SEED));
        let bodies = (1..=count).map(|row| Bytes::from(format!("row {row}"))).collect();
        let came = match who.strip_prefix("thread pool, ") {
            Some(threads) => scripts::pool(Arc::clone(&upstream), bodies, threads.parse().unwrap(), SEED).await,
            None => scripts::parallel(Arc::clone(&upstream), bodies, order).await,
        };
        let saw = upstream.saw();
        assert_eq!(came.answered + came.gave_up, count);
        Line { who: who.into(), rows: count, answered: came.answered, twice: twice(&saw), told: None, saw }
    })
}

#[test]
fn r2_r33_r35_a_hundred_thousand_rows_cost_few_calls_more_and_the_table_is_what_the_docs_say() {
    const MANY: u64 = 100_000;
    const FEW: u64 = 4_000;
    let (ours, few, many, parallel) = ("weir batch", "thread pool, 16", "thread pool, 128", "parallel requests");
    let all = [(ours, FEW), (few, FEW), (many, FEW), (parallel, FEW)];
    let tables = [
        (
            "A hundred thousand rows, limits told by headers",
            Tells::Headers,
            6_000,
            &[(ours, MANY), (many, 4 * FEW), (parallel, 4 * FEW)][..],
        ),
        ("Limits told by headers", Tells::Headers, 600, &all),
        ("A limit that only `Retry-After` tells", Tells::Hints, 600, &all),
        ("A limit that nothing tells", Tells::Nothing, 600, &all),
    ];
    let mut out = page::head(FEW, MANY);
    for (title, tells, rpm, scripts) in tables {
        let order = Order { tells, faults: 50, rpm, tpm: rpm * 500, ..Order::default() };
        let lines: Vec<Line> = thread::scope(|scope| {
            let running: Vec<_> = scripts.iter().map(|(who, rows)| scope.spawn(move || line(who, *rows, order))).collect();
            running.into_iter().map(|ran| ran.join().unwrap()).collect()
        });
        page::table(&mut out, title, &order, &lines);
        let ours = &lines[0];
        assert!(ours.saw.calls * 100 <= ours.rows * 115, "{title}: {} calls\n{out}", ours.saw.calls);
        assert!(ours.share(&order) >= 900, "{title}: {} thousandths of the limit\n{out}", ours.share(&order));
    }
    page::is_there(&out);
}

#[test]
fn a_server_without_faults_is_asked_once_for_each_row_and_refuses_none_that_could_know_better() {
    let (snapshot, saw, files) = whole(3_000, 64, Order { rpm: 1_200, tpm: 600_000, ..Order::default() }, 1);
    holds(3_000, &snapshot, &saw, &files);
    assert_eq!((saw.calls, saw.refused, twice(&saw)), (3_000, 0, 0));
}

#[test]
fn a_swift_server_that_keeps_no_minute_s_worth_is_asked_little_more_than_once_a_row_and_at_its_pace() {
    for tells in [Tells::Hints, Tells::Another] {
        let order = Order { rpm: 3_000, tpm: 3_000_000, tells, swift: true, ..Order::default() };
        let (snapshot, saw, files) = whole(600, 64, order, 1);
        holds(600, &snapshot, &saw, &files);
        assert!(saw.calls <= 690 && saw.last <= Duration::from_secs(15), "{tells:?}: {} calls, {:?}", saw.calls, saw.last);
    }
}

#[test]
fn a_server_that_remembers_works_on_no_row_twice() {
    let order = Order { faults: 100, remembers: true, ..Order::default() };
    let (snapshot, saw, files) = whole(1_500, 64, order, 3);
    holds(1_500, &snapshot, &saw, &files);
    assert_eq!((snapshot.unguaranteed, saw.made.len() as u64, twice(&saw)), (0, 1_500, 0));
}

#[test]
fn a_server_that_grows_slow_under_load_is_not_pushed_further() {
    let order = Order { rpm: 1_000_000, tpm: 1_000_000_000, tells: Tells::Nothing, at_ease: 20, ..Order::default() };
    let (snapshot, saw, files) = whole(6_000, 512, order, 1);
    holds(6_000, &snapshot, &saw, &files);
    assert!(saw.most_running < 256, "{} at once", saw.most_running);
}

#[test]
fn r35_a_run_killed_at_any_moment_goes_on_and_a_server_that_remembers_works_on_no_row_twice() {
    const ROWS: u64 = 120;
    for seed in 0..40 {
        in_simulated_time(async {
            let order = Order { faults: 100, remembers: true, ..Order::default() };
            let (files, upstream) = (Files::default(), Arc::new(Upstream::new(order, seed)));
            let (input, header) = (rows(ROWS), header(ROWS, 16));
            // A process that is killed leaves whole lines; a power cut may tear the last one.
            let torn = if seed % 2 == 0 { 0 } else { usize::try_from(seed % 9).unwrap() };
            for kill in 0..6 {
                // A moment within the run; what was on its way is lost with the process, its work at the server goes on.
                let moment = Duration::from_millis(150 + (seed * 131 + kill * 977) % 2_600);
                let _ = tokio::time::timeout(moment, once(&files, &input, &header, &upstream, seed)).await;
                let mut journal = files.journal.bytes.lock().unwrap();
                let whole = journal.len().saturating_sub(torn);
                journal.truncate(whole);
            }
            let snapshot = once(&files, &input, &header, &upstream, seed).await;
            let mut saw = upstream.saw();
            if torn > 0 {
                // The line that told when to come back is what was torn.
                saw.early = 0;
            }
            holds(ROWS, &snapshot, &saw, &files);
            assert_eq!((saw.made.len() as u64, twice(&saw)), (ROWS, 0), "seed {seed}");
        });
    }
}

#[test]
fn a_full_disk_stops_the_run_with_nothing_lost_and_a_resume_finishes_it() {
    for room in [2_000, 9_000, 20_000, 25_000] {
        in_simulated_time(async {
            const ROWS: u64 = 100;
            let order = Order { remembers: true, ..Order::default() };
            let upstream = Arc::new(Upstream::new(order, 1));
            let (input, header) = (rows(ROWS), header(ROWS, 16));
            let files = Files { output: Sheet { room: Some(room), spare: 1 << 20, ..Sheet::default() }, ..Files::default() };
            let first = once(&files, &input, &header, &upstream, 1).await;
            assert_eq!((first.halt, first.tally.unkept), (Some(Halt::Disk(std::io::ErrorKind::StorageFull)), 0), "{room}");
            let kept = answered(&files).len() as u64;
            assert_eq!((kept, upstream.saw().made.len() as u64), (first.ok, first.ok), "what was paid for was written");
            let roomy = Files { output: Sheet { room: None, ..files.output.clone() }, ..files };
            let snapshot = once(&roomy, &input, &header, &upstream, 1).await;
            holds(ROWS, &snapshot, &upstream.saw(), &roomy);
            assert_eq!(twice(&upstream.saw()), 0);
        });
    }
}

#[test]
fn r28_r32_r45_within_a_row_waits_never_shrink_and_told_instants_are_kept_to_the_millisecond() {
    for (seed, tells) in [(1, Tells::Hints), (2, Tells::Nothing), (3, Tells::Headers)] {
        // A limit far too low for the window: many rows are refused again and again.
        let order = Order { rpm: 120, tpm: 60_000, tells, faults: 300, ..Order::default() };
        let (snapshot, saw, files) = whole(300, 64, order, seed);
        assert_eq!((snapshot.left(), saw.early), (0, 0), "{:?}", snapshot.halt);
        let journal = files.journal.bytes.lock().unwrap().clone();
        let mut sent: BTreeMap<u64, Vec<Timestamp>> = BTreeMap::new();
        super::super::journal::read(&mut Cursor::new(journal), |_, record| {
            if let Record::Sent { row, at, .. } = record {
                sent.entry(row).or_default().push(at);
            }
        })
        .unwrap();
        let several = sent.values().filter(|times| times.len() > 2).count();
        assert!(several > 20, "{several} rows were sent more than twice");
        for (row, times) in &sent {
            assert!(times.len() <= 10 && times[0] >= EPOCH, "row {row}");
            let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
            // A gap is the wait and the attempt before it, which takes from 10 ms to 1.51 s.
            let slack = Duration::from_millis(1_500);
            assert!(gaps.windows(2).all(|pair| pair[1] + slack >= pair[0]), "row {row}: {gaps:?}");
        }
    }
}
