//! Laws of retries: bounded, slower each time, obedient to what was told, and never twice where it may cost twice.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Scenario;

const NOW: Timestamp = Timestamp(1_795_334_400_000);
const HOUR: Duration = Duration::from_secs(3600);

fn standing(attempts: u8, elsewhere: bool) -> Standing {
    Standing { attempts, waited: Duration::ZERO, unanswered_before: false, elsewhere, remaining: HOUR, now: NOW, roll: 0 }
}

fn status(status: u16) -> Failure {
    let blame = if status == 429 { Blame::Rate } else { Blame::Upstream };
    Failure::Refused { status, blame, told: None }
}

fn told(ms: i64) -> Failure {
    Failure::Refused { status: 429, blame: Blame::Rate, told: Some(Timestamp(NOW.0 + ms)) }
}

/// The waits of one call that keeps failing as `seen` on its only channel.
fn waits(policy: &RetryPolicy, seen: Failure, mut roll: impl FnMut() -> u128) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut at = standing(1, false);
    loop {
        at.roll = roll();
        let RetryDecision::Retry { wait, .. } = decide(policy, seen, &at) else { return waits };
        waits.push(wait);
        (at.attempts, at.waited, at.now) = (at.attempts + 1, wait, at.now.after(wait));
    }
}

#[test]
fn each_failure_is_retried_as_its_scenario_says_or_not_at_all() {
    use RetryDecision::{Retry, Stop};
    let refused = |status, blame| Failure::Refused { status, blame, told: None };
    let retry = |elsewhere| Retry { wait: Duration::ZERO, elsewhere };
    let (useless, twice) = (Stop(StopReason::Useless), Stop(StopReason::MayCostTwice));
    // Failure, another fit channel, then what becomes of a chat and of a media task.
    let table = [
        (Failure::Unsent, false, retry(false), retry(false)),
        (Failure::Unsent, true, retry(true), retry(true)),
        (Failure::Unanswered, false, twice, twice),
        (Failure::Unanswered, true, retry(true), twice),
        (Failure::Final, true, useless, useless),
        (status(408), false, retry(false), useless),
        (status(409), false, retry(false), useless),
        (status(425), false, retry(false), useless),
        (status(429), true, retry(true), useless),
        (status(500), false, retry(false), useless),
        (status(503), true, retry(true), useless),
        (status(529), false, retry(false), useless),
        (status(501), true, useless, useless),
        (status(400), true, useless, useless),
        (status(413), true, useless, useless),
        (refused(429, Blame::DailyQuota), false, useless, useless),
        (refused(429, Blame::DailyQuota), true, retry(true), useless),
        (refused(429, Blame::Credential), false, useless, useless),
        (refused(429, Blame::Credential), true, retry(true), useless),
        (refused(503, Blame::Rights), false, useless, useless),
        (refused(503, Blame::Rights), true, retry(true), useless),
        (refused(500, Blame::Request), true, useless, useless),
    ];
    for (seen, elsewhere, chat, media) in table {
        let decide = |scenario| decide(&RetryPolicy::built_in(scenario), seen, &standing(1, elsewhere));
        assert_eq!((decide(Scenario::ShortChat), decide(Scenario::MediaTask)), (chat, media), "{seen:?} {elsewhere}");
        assert_eq!((decide(Scenario::Batch), decide(Scenario::SharedKey)), (chat, chat), "{seen:?} {elsewhere}");
    }
}

#[test]
fn what_was_left_unanswered_goes_elsewhere_once_and_only_where_the_policy_says_so() {
    let chat = RetryPolicy::built_in(Scenario::ShortChat);
    let twice = RetryDecision::Stop(StopReason::MayCostTwice);
    assert_eq!(decide(&chat, Failure::Unanswered, &Standing { unanswered_before: true, ..standing(2, true) }), twice);
    for high_cost in [HighCost::Never, HighCost::UnsentOnly] {
        assert_eq!(decide(&RetryPolicy { high_cost, ..chat.clone() }, Failure::Unanswered, &standing(1, true)), twice);
    }
    let careful = RetryPolicy { high_cost: HighCost::UnsentOnly, ..chat };
    assert_eq!(decide(&careful, status(503), &standing(1, true)), twice, "it named the status, but the exception is stronger");
}

#[test]
fn r33_a_chat_retries_twice_at_most_and_a_media_task_only_what_never_left() {
    let attempts = |scenario, seen| 1 + waits(&RetryPolicy::built_in(scenario), seen, || 0).len();
    assert_eq!([Failure::Unsent, status(503)].map(|seen| attempts(Scenario::ShortChat, seen)), [3, 3]);
    assert_eq!([Failure::Unsent, status(503)].map(|seen| attempts(Scenario::Batch, seen)), [5, 5]);
    assert_eq!([Failure::Unsent, status(503)].map(|seen| attempts(Scenario::MediaTask, seen)), [2, 1]);
}

#[test]
fn r31_a_told_wait_is_obeyed_with_at_most_a_tenth_on_top() {
    let batch = RetryPolicy::built_in(Scenario::Batch);
    for roll in 0..2_000 {
        let decision = decide(&batch, told(7_000), &Standing { roll, ..standing(1, false) });
        let RetryDecision::Retry { wait, .. } = decision else { panic!("{decision:?}") };
        assert!((7_000..=7_700).contains(&wait.as_millis()), "{wait:?}");
    }
}

#[test]
fn a_told_wait_beyond_the_patience_or_the_calls_time_is_the_clients_and_one_in_the_past_is_none() {
    let chat = RetryPolicy::built_in(Scenario::ShortChat);
    let stop = RetryDecision::Stop;
    assert_eq!(decide(&chat, told(2_001), &standing(1, false)), stop(StopReason::Patience));
    let hurry = Standing { remaining: Duration::from_millis(1_500), ..standing(1, false) };
    assert_eq!(decide(&chat, told(1_500), &hurry), stop(StopReason::Time));
    for past in [0, -5_000] {
        let decision = decide(&chat, told(past), &Standing { roll: 300, ..standing(1, false) });
        assert_eq!(decision, RetryDecision::Retry { wait: Duration::from_millis(300), elsewhere: false });
    }
    assert_eq!(decide(&chat, told(60_000), &standing(1, true)), RetryDecision::Retry { wait: Duration::ZERO, elsewhere: true });
}

#[test]
fn r32_without_a_hint_the_mean_wait_doubles_the_waits_differ_and_the_cap_is_kept() {
    const RUNS: u32 = 500;
    let policy = RetryPolicy { max_attempts: 8, ..RetryPolicy::built_in(Scenario::ShortChat) };
    let mut chance = 1_u128;
    let runs: Vec<_> = (0..RUNS)
        .map(|_| {
            waits(&policy, status(503), || {
                chance = chance.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(0x9E37_79B9_7F4A_7C15);
                chance >> 64
            })
        })
        .collect();
    let mean = |n: usize| runs.iter().map(|waits| waits[n]).sum::<Duration>() / RUNS;
    // 0.5, 1, 2, 4 and 8 s are the windows; the sixth and seventh are capped.
    for n in 0..4 {
        let growth = mean(n + 1).as_millis() * 100 / mean(n).as_millis();
        assert!((180..=240).contains(&growth), "wait {n} grows to {growth} %");
    }
    for n in 0..7 {
        let distinct: std::collections::BTreeSet<_> = runs.iter().map(|waits| waits[n]).collect();
        assert!(distinct.len() > 100, "wait {n} has {} values", distinct.len());
        assert!(runs.iter().all(|waits| waits[n] <= policy.backoff.cap));
    }
    assert!(mean(6) > policy.backoff.cap / 2);
}

#[test]
fn every_built_in_policy_is_whole_and_keeps_the_rules_of_its_scenario() {
    for scenario in Scenario::ALL {
        let policy = RetryPolicy::built_in(scenario);
        assert_eq!(&policy, Policies::default().of(scenario));
        assert!((1..=MAX_ATTEMPTS).contains(&policy.max_attempts), "{scenario:?}");
        assert!(policy.retry_statuses.iter().all(|status| !is_never_retried(*status)), "{scenario:?}");
        assert!(!policy.backoff.base.is_zero() && policy.backoff.base <= policy.backoff.cap, "{scenario:?}");
        assert_eq!(policy.charge, ChargeTerms::of(scenario));
        assert!(policy.patience < policy.upstream_timeout && !policy.proxy_timeout.is_zero() && !policy.client_timeout.is_zero());
    }
    assert_eq!(RetryPolicy::built_in(Scenario::MediaTask).high_cost, HighCost::UnsentOnly);
}

fn failures() -> impl Strategy<Value = Failure> {
    let blame =
        prop::sample::select(vec![Blame::Rate, Blame::Upstream, Blame::Request, Blame::Credential, Blame::Rights, Blame::DailyQuota]);
    let told = prop::option::of((-10_000_i64..100_000).prop_map(|ms| Timestamp(NOW.0 + ms)));
    prop_oneof![
        Just(Failure::Unsent),
        Just(Failure::Unanswered),
        Just(Failure::Final),
        (400_u16..600, blame, told).prop_map(|(status, blame, told)| Failure::Refused { status, blame, told }),
    ]
}

fn policies() -> impl Strategy<Value = RetryPolicy> {
    let spans = (1_u64..5_000, 0_u64..60_000, 0_u64..90_000);
    (1_u8..=MAX_ATTEMPTS, prop::sample::select(HighCost::ALL.to_vec()), spans, prop::collection::vec(100_u16..600, 0..200)).prop_map(
        |(max_attempts, high_cost, (base, more, patience), retry_statuses)| RetryPolicy {
            max_attempts,
            high_cost,
            retry_statuses,
            backoff: Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(base + more) },
            patience: Duration::from_millis(patience),
            ..RetryPolicy::built_in(Scenario::ShortChat)
        },
    )
}

proptest! {
    /// Whatever fails, in whatever order, on however many channels.
    #[test]
    fn r28_within_one_call_waits_never_shrink_attempts_are_bounded_and_told_instants_are_kept(
        policy in policies(),
        failures in prop::collection::vec((failures(), any::<bool>(), any::<u128>()), 1..20),
        remaining_ms in 0_u64..700_000,
    ) {
        let mut at = Standing { remaining: Duration::from_millis(remaining_ms), ..standing(1, false) };
        for (seen, elsewhere, roll) in failures {
            (at.elsewhere, at.roll) = (elsewhere, roll);
            let RetryDecision::Retry { wait, elsewhere: goes } = decide(&policy, seen, &at) else { break };
            prop_assert!(wait >= at.waited, "{:?} after {:?}", wait, at.waited);
            prop_assert!(at.attempts < policy.max_attempts);
            prop_assert!(wait < at.remaining);
            prop_assert_eq!(goes, elsewhere);
            match seen {
                Failure::Final => prop_assert!(false, "nothing mends it"),
                Failure::Unanswered => prop_assert!(goes && !at.unanswered_before && policy.high_cost == HighCost::FailoverOnce),
                Failure::Refused { blame: Blame::Credential | Blame::Rights | Blame::DailyQuota, .. } => prop_assert!(goes),
                Failure::Refused { status, .. } => {
                    prop_assert!(!is_never_retried(status) && policy.retry_statuses.contains(&status));
                    prop_assert!(policy.high_cost != HighCost::UnsentOnly);
                }
                Failure::Unsent => {}
            }
            if let (Some(told), false) = (seen.told(), goes) {
                prop_assert!(at.now.after(wait) >= told);
            }
            at.unanswered_before |= seen == Failure::Unanswered;
            (at.attempts, at.waited, at.now, at.remaining) = (at.attempts + 1, wait, at.now.after(wait), at.remaining.saturating_sub(wait));
        }
    }

    /// First attempts, retries and pauses in any order: the upstream is asked (1 + percent) as often as it was meant to be, and the floor.
    #[test]
    fn no_storm_gets_more_retries_than_its_share_and_the_floor(
        percent in 0_u32..=100,
        floor in 0_u32..=10,
        storm in prop::collection::vec((0_u8..10, 0_i64..3_000), 0..600),
    ) {
        let mut budget = RetryBudget::new(BudgetTerms { percent, floor }, NOW);
        let (mut now, mut firsts, mut retries) = (NOW, 0_u64, 0_u64);
        for (what, pause) in storm {
            now.0 += pause;
            if what < 4 {
                budget.deposit();
                firsts += 1;
            } else {
                retries += u64::from(budget.withdraw(now));
            }
            let passed = now.since(NOW).as_secs() / FLOOR_EVERY.as_secs();
            let most = firsts * u64::from(percent) / 100 + u64::from(floor) + if floor == 0 { 0 } else { passed };
            prop_assert!(retries <= most, "{retries} retries of {firsts} calls, {most} at most");
        }
    }

    #[test]
    fn a_clock_that_jumps_gives_no_retries_away(jumps in prop::collection::vec(-1_000_000_000_i64..10_000, 0..50)) {
        let mut budget = RetryBudget::new(BudgetTerms { percent: 20, floor: 3 }, NOW);
        let (mut now, mut got, mut forward) = (NOW, 0, 0);
        for jump in jumps {
            now.0 += jump;
            forward += jump.max(0);
            got += i64::from(budget.withdraw(now));
            prop_assert!(got <= 3 + forward / 10_000 + 1);
        }
    }
}

#[test]
fn an_idle_budget_fills_to_its_floor_and_a_calm_saves_no_storm() {
    let mut budget = RetryBudget::new(BudgetTerms::default(), NOW);
    let take = |budget: &mut RetryBudget, now| std::iter::repeat_with(|| budget.withdraw(now)).take_while(|got| *got).count();
    assert_eq!(take(&mut budget, NOW), 3);
    assert_eq!(take(&mut budget, NOW.after(FLOOR_EVERY - Duration::from_millis(1))), 0);
    assert_eq!(take(&mut budget, NOW.after(FLOOR_EVERY)), 1);
    assert_eq!(take(&mut budget, NOW.after(HOUR)), 3);
    for _ in 0..1_000_000 {
        budget.deposit();
    }
    assert_eq!(take(&mut budget, NOW.after(HOUR)), 100);
}

#[test]
fn what_a_failure_says_about_its_channel() {
    let refused = |status, blame| Failure::Refused { status, blame, told: None };
    let table = [
        (Failure::Unsent, Outcome::Failed { told: None }),
        (Failure::Unanswered, Outcome::Failed { told: None }),
        (Failure::Final, Outcome::Nothing),
        (status(503), Outcome::Failed { told: None }),
        (status(408), Outcome::Failed { told: None }),
        (status(409), Outcome::Nothing),
        (status(429), Outcome::Throttled { told: None }),
        (refused(429, Blame::DailyQuota), Outcome::ModelDenied),
        (Failure::Refused { status: 429, blame: Blame::DailyQuota, told: Some(NOW) }, Outcome::Throttled { told: Some(NOW) }),
        (refused(401, Blame::Credential), Outcome::Denied),
        (refused(503, Blame::Rights), Outcome::ModelDenied),
        (refused(400, Blame::Request), Outcome::Nothing),
    ];
    for (seen, outcome) in table {
        assert_eq!(Outcome::from(seen), outcome, "{seen:?}");
    }
}
