//! What every run comes to: each row once, few calls beyond the rows, nearly all that the limit allows.

use super::*;
use upstream::Tells;

/// Answers in the output, by row.
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

#[test]
fn peek() {
    for tells in [Tells::Headers, Tells::Hints, Tells::Nothing] {
        for faults in [0, 50] {
            let order = Order { tells, faults, ..Order::default() };
            let (snapshot, saw, files) = whole(20_000, 256, order, 1);
            let took = saw.last.as_secs_f64();
            let allowed = 6000.0 + took * 100.0;
            println!(
                "{tells:?} faults {faults}: {took:.0} s, calls {} per row {:.3}, refused {}, share {:.3}, most {} early {} unguaranteed {} lines {} {:?}",
                saw.calls,
                saw.calls as f64 / 20000.0,
                saw.refused,
                20000.0 / allowed,
                saw.most_running,
                saw.early,
                snapshot.unguaranteed,
                answered(&files).len(),
                snapshot.halt
            );
        }
    }
}
