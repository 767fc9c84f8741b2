//! What tasks take of their keys' days: what they may cost while they run, and what they cost once that is known.

use weir_core::{Charged, Limits, limit::Day};

use weir_wire::tasks::Adapter;

use super::{priced, secs};
use crate::promises::{Bench, Read};

/// Room for one video of 8 s and a bit.
const DAY: u64 = 10_000;

fn bench() -> Bench {
    Bench::limited(false, Limits { daily_amount: Some(DAY), ..Limits::default() }, priced)
}

/// What is left of the day's amount, as the key's owner reads it.
async fn left(bench: &Bench) -> u64 {
    let limits = bench.get("/v1/weir/limits").await;
    let limits: serde_json::Value = serde_json::from_str(&limits.body).unwrap();
    let day = limits["limits"].as_array().unwrap().iter().find(|limit| limit["kind"] == "daily_amount").unwrap();
    day["remaining"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn d2_a_failed_task_gives_its_amount_back_to_the_day_without_a_restart() {
    let bench = bench();
    let read = bench.submit("sim:task_failed,task_slow=5s").await;
    assert_eq!((read.status(), left(&bench).await), (200, 2_000), "what it may cost is held");
    let refused = bench.submit("sim:task_slow=6s").await;
    assert_eq!(refused.error()["code"], "key_daily_quota_exceeded", "{}", refused.body);
    bench.follow(secs(30)).await;
    assert_eq!((bench.task(&read).charge.charged, left(&bench).await), (Charged::No, DAY));
    let again = bench.submit("sim:task_slow=7s").await;
    bench.follow(secs(30)).await;
    assert_eq!((again.status(), bench.task(&again).charge.charged, left(&bench).await), (200, Charged::Yes, 2_000));
}

#[tokio::test(start_paused = true)]
async fn d2_a_refused_submission_and_a_lost_one_that_nobody_finds_take_nothing_of_the_day() {
    for (model, lists) in [("sim:400", true), ("sim:task_lost_answer,task_slow=5s", false)] {
        let bench = Bench::limited(false, Limits { daily_amount: Some(DAY), ..Limits::default() }, |settings| {
            priced(settings);
            settings.upstreams[0].tasks = Adapter::of_name(if lists { "openai_videos" } else { "submit_poll" });
        });
        let read: Read = bench.submit(model).await;
        assert!(read.status() >= 400, "{model}: {}", read.body);
        bench.follow(secs(2 * 3_600)).await;
        assert_eq!((bench.task(&read).charge.charged, left(&bench).await), (Charged::No, DAY), "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_on_another_day_changes_nothing_of_that_day() {
    let bench = bench();
    let now = bench.gateway.clock.now();
    let day = Day::of(&jiff::tz::TimeZone::UTC, now);
    let until = std::time::Duration::from_millis(u64::try_from(day.end.0 - now.0).unwrap());
    bench.follow(until - secs(2)).await;
    let read = bench.submit("sim:task_failed,task_slow=5s").await;
    assert_eq!(left(&bench).await, 2_000);
    bench.follow(secs(3)).await;
    let other = bench.submit("sim:task_slow=500s").await;
    assert_eq!((other.status(), left(&bench).await), (200, 2_000));
    bench.follow(secs(60)).await;
    assert_eq!((bench.task(&read).charge.charged, left(&bench).await), (Charged::No, 2_000));
}
