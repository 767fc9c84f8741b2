//! Which channel is asked: by weight, by health, within the budget.

use weir_core::{BudgetTerms, Verdict};

use super::pair::{A, A_FIRST, B, Pair, rest};

const EVEN: [u32; 2] = [1, 1];

/// So many chats, one after the other.
async fn chats(pair: &Pair, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(pair.chat("m", true, "").await.status());
    }
    statuses
}

#[tokio::test(start_paused = true)]
async fn channels_are_asked_by_their_weight() {
    let pair = Pair::new([3, 1], |_| {});
    assert!(chats(&pair, 400).await.iter().all(|status| *status == 200));
    assert_eq!(pair.seen(A) + pair.seen(B), 400);
    assert!((270..=330).contains(&pair.seen(A)), "{} of 400", pair.seen(A));
}

#[tokio::test(start_paused = true)]
async fn a_failing_channel_is_left_alone_probed_gently_and_trusted_again() {
    let pair = Pair::new(EVEN, |_| {});
    pair.set(A, "503");
    assert!(chats(&pair, 40).await.iter().all(|status| *status == 200), "every call is answered by the other");
    assert_eq!(pair.seen(A), 5, "then its breaker opens");
    rest(7_000).await;
    assert!(chats(&pair, 40).await.iter().all(|status| *status == 200));
    assert_eq!(pair.seen(A), 6, "one probe, and it is open for twice as long");
    rest(13_000).await;
    // Slow enough that calls overlap: only one of them may be the probe.
    pair.set(A, "first_byte=2s");
    let calls = async { tokio::join!(chats(&pair, 3), chats(&pair, 3), chats(&pair, 3), chats(&pair, 3)) };
    let watch = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        pair.open(A)
    };
    let ((..), probes) = tokio::join!(calls, watch);
    assert!(probes <= 1, "{probes} probes at once");
    pair.set(A, "ok");
    chats(&pair, 20).await;
    let before = pair.seen(A);
    chats(&pair, 100).await;
    assert!(pair.seen(A) - before > 30, "it has its share again: {}", pair.seen(A) - before);
}

#[tokio::test(start_paused = true)]
async fn where_every_channel_is_unwell_one_is_asked_all_the_same() {
    let pair = Pair::new([1, 0], |_| {});
    pair.set(A, "500");
    for status in chats(&pair, 20).await {
        assert_eq!(status, 502, "each call gets the upstream's own answer");
    }
    let seen = pair.seen(A);
    pair.set(A, "ok");
    assert_eq!(chats(&pair, 1).await, [200]);
    assert!(seen >= 20);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_turned_away_rests_while_another_channel_serves_its_calls() {
    let pair = Pair::new(A_FIRST, |_| {});
    pair.set(A, "401");
    assert_eq!(chats(&pair, 3).await, [200, 200, 200]);
    assert_eq!((pair.seen(A), pair.seen(B)), (1, 3));
    rest(60_000).await;
    assert_eq!(chats(&pair, 1).await, [200]);
    assert_eq!(pair.seen(A), 2);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_channel_is_left_out_until_it_said_it_would_open() {
    let pair = Pair::new(A_FIRST, |_| {});
    pair.set(A, "429_hint=7s");
    assert_eq!(chats(&pair, 5).await, [200; 5]);
    assert_eq!((pair.seen(A), pair.seen(B)), (1, 5));
    rest(6_999).await;
    chats(&pair, 3).await;
    assert_eq!(pair.seen(A), 1);
    rest(1).await;
    chats(&pair, 1).await;
    assert_eq!(pair.seen(A), 2);
    pair.set(B, "429_hint=3s");
    let (read, record) = pair.asked("m", true, "").await;
    assert_eq!((read.status(), record.attempts.len(), record.verdict), (429, 1, Verdict::UpstreamThrottled));
    let (read, record) = pair.asked("m", true, "").await;
    assert_eq!((read.status(), read.header("retry-after"), record.attempts.len()), (429, Some("3"), 0), "the first that opens");
}

/// However everything fails, each upstream is asked as often as it was meant to be, a fifth more, and the floor.
#[tokio::test(start_paused = true)]
async fn the_budget_bounds_what_failing_upstreams_are_asked() {
    for words in ["503", "429", "500,first_byte=100ms", "429_ms=5ms"] {
        for weights in [[1, 0], EVEN] {
            let pair = Pair::new(weights, |_| {});
            pair.set(A, words);
            pair.set(B, words);
            let began = pair.now();
            assert!(chats(&pair, 120).await.iter().all(|status| *status >= 429), "{words}");
            let seconds = pair.now().since(began).as_secs();
            let ups = if weights == EVEN { 2 } else { 1 };
            let firsts = pair.records().iter().filter(|record| !record.attempts.is_empty()).count() as u64;
            let asked = pair.seen(A) + pair.seen(B);
            let most = firsts * 120 / 100 + ups * (3 + seconds / 10 + 1);
            assert!(asked <= most, "{words} {weights:?}: {asked} requests of {firsts} calls in {seconds} s");
            assert!(asked > firsts, "{words}: some were retried");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_there_is_no_retry_but_what_never_left_finds_its_other_channel() {
    let broke = |settings: &mut crate::Settings| settings.budget = BudgetTerms { percent: 0, floor: 0 };
    let pair = Pair::new(A_FIRST, broke);
    pair.set(A, "503");
    assert_eq!(chats(&pair, 2).await, [503, 503]);
    assert_eq!((pair.seen(A), pair.seen(B)), (2, 0));
    let pair = Pair::new(A_FIRST, broke);
    pair.set(A, "refuses");
    assert_eq!(chats(&pair, 20).await, [200; 20]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_dies_under_load_costs_no_client_more_than_its_started_stream() {
    let pair = Pair::new(EVEN, |_| {});
    chats(&pair, 200).await;
    let load = async {
        let many: Vec<_> = (0..4).map(|_| chats(&pair, 50)).collect();
        let mut all = Vec::new();
        for one in many {
            all.extend(one.await);
        }
        all
    };
    let die = async {
        tokio::task::yield_now().await;
        pair.set(A, "reset_after_accept");
    };
    let (statuses, ()) = tokio::join!(load, die);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_models_of_all_upstreams_are_listed_and_one_that_is_down_hides_none_of_the_others() {
    let ids = |text: &str| {
        let list: serde_json::Value = serde_json::from_str(text).unwrap();
        let ids: Vec<String> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect();
        ids
    };
    let pair = Pair::new(EVEN, |_| {});
    let both = pair.models().await;
    assert_eq!((both.status(), pair.seen(A), pair.seen(B)), (200, 1, 1));
    assert!(ids(&both.body).contains(&"gpt-4o-mini".to_owned()));
    for words in ["refuses", "hangs", "mute", "503"] {
        pair.set(A, words);
        let one = pair.models().await;
        assert_eq!((one.status(), ids(&one.body)), (200, ids(&both.body)), "{words}");
        let record = pair.record(&one);
        assert!(record.timing.total <= 5_000 && record.attempts.len() == 2, "{words}: {record:?}");
    }
    pair.set(B, "refuses");
    assert_eq!(pair.models().await.status(), 503);
}
