//! What tasks take of their keys' days: what they may cost while they run, and what they cost once that is known.

use weir_core::{Charged, Limits, TaskRecord, limit::Day};
use weir_store::TaskFilter;
use weir_wire::tasks::Adapter;

use super::{
    hard::{paused, upto},
    priced, secs,
};
use crate::{
    Settings,
    promises::{Bench, Read},
};

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

/// Whatever concerns a day: of the key, the account and the group.
async fn days(bench: &Bench) -> Vec<(String, String, u64)> {
    let limits = bench.get("/v1/weir/limits").await;
    let limits: serde_json::Value = serde_json::from_str(&limits.body).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let of_day = |limit: &serde_json::Value| (text(&limit["scope"]), text(&limit["kind"]), limit["remaining"].as_u64().unwrap());
    limits["limits"].as_array().unwrap().iter().map(of_day).filter(|(_, kind, _)| kind.starts_with("daily")).collect()
}

const REQUESTS: u64 = 9;

fn limited() -> Limits {
    Limits { daily_amount: Some(DAY), daily_requests: Some(REQUESTS), ..Limits::default() }
}

/// The group's day is limited, too.
fn grouped(settings: &mut Settings) {
    priced(settings);
    settings.group_limits.insert("staff".to_owned(), limited());
}

/// Limits on every holder that a key has.
fn everywhere() -> Bench {
    let bench = Bench::limited(false, limited(), grouped);
    let store = bench.gateway.books().store();
    let account = store.accounts().unwrap().remove(0).id;
    store.set_account_limits(&account, &limited()).unwrap();
    bench.gateway.books().reload().unwrap();
    bench
}

/// What the tasks in the store leave of each day: open ones count with what they hold, ended ones with what they cost.
fn left_by(tasks: &[TaskRecord]) -> Vec<(String, String, u64)> {
    let counts = |task: &&TaskRecord| task.charge.charged != Charged::No;
    let cost = |task: &TaskRecord| if task.charge.charged == Charged::Pending { task.charge.held } else { task.charge.amount };
    let amount: i64 = tasks.iter().filter(counts).map(|task| cost(task).0).sum();
    let (requests, amount) = (tasks.iter().filter(counts).count() as u64, amount.unsigned_abs());
    let holder = |scope: &str| {
        [("daily_requests", REQUESTS - requests), ("daily_amount", DAY - amount)]
            .map(|(kind, left)| (scope.to_owned(), kind.to_owned(), left))
    };
    ["key", "account", "group"].into_iter().flat_map(holder).collect()
}

#[test]
fn r36_killed_between_any_two_steps_a_restart_opens_no_day_and_closes_none() {
    for model in ["sim:task_slow=30s", "sim:task_failed,task_slow=30s"] {
        for polls in 0.. {
            let first = paused();
            let bench = first.block_on(async { everywhere() });
            let done = first.block_on(upto(polls, bench.submit(model)));
            let before = first.block_on(days(&bench));
            drop(first);
            paused().block_on(async {
                let bench = bench.killed(grouped);
                let tasks = || bench.gateway.books().store().tasks(&TaskFilter::default()).unwrap();
                let after = days(&bench).await;
                assert_eq!(after, left_by(&tasks()), "{model}, {polls} polls");
                if done {
                    assert_eq!(after, before, "{model}, {polls} polls");
                    // The day has no room for a second one, and says so.
                    let refused = bench.submit("sim:task_slow=31s").await;
                    assert_eq!(refused.status(), 429, "{model}: {}", refused.body);
                }
                bench.follow(secs(2 * 3_600)).await;
                assert!(tasks().iter().all(|task| !task.state.is_open()));
                assert_eq!(days(&bench).await, left_by(&tasks()), "{model}, {polls} polls");
            });
            if done {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_left_open_by_a_process_that_is_gone_counts_against_its_own_day_only() {
    let bench = everywhere();
    let day = Day::of(&jiff::tz::TimeZone::UTC, bench.gateway.clock.now());
    bench.submit("sim:task_slow=5s").await;
    let until = day.end.0 - bench.gateway.clock.now().0 + 1;
    bench.set_wall(until);
    let bench = bench.killed(grouped);
    assert_eq!(days(&bench).await, left_by(&[]));
    bench.follow(secs(3_600)).await;
    assert_eq!(days(&bench).await, left_by(&[]), "what it cost is yesterday's");
}
