//! Laws of limits under whatever comes: calls at once, ends in any order, a wall that is set.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const BEGIN: Timestamp = Timestamp(1_795_334_400_000);

fn ask(output: u64) -> Ask<'static> {
    Ask { caller: "a", input: 10, output, unbounded: false, amount: 5 }
}

fn now_at(ms: i64) -> Now {
    Now { steady: BEGIN.0 + ms, wall: BEGIN.after(std::time::Duration::from_millis(ms.unsigned_abs())) }
}

fn gate(limits: &Limits) -> Gate {
    Gate::new(limits, now_at(0), |_| Spent::default())
}

/// What happens to one gate.
#[derive(Debug, Clone)]
enum Step {
    Arrive {
        caller: u8,
        output: u64,
    },
    /// The oldest, or another running call ends, with so many of a hundred of what it held.
    End {
        which: usize,
        used_percent: u64,
        asked: bool,
        charged: bool,
    },
    Pass(i64),
    SetWall(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let arrive = (0_u8..3, 1_u64..40).prop_map(|(caller, output)| Step::Arrive { caller, output });
    let end = (any::<usize>(), 0_u64..=100, any::<bool>(), any::<bool>()).prop_map(|(which, used_percent, asked, charged)| Step::End {
        which,
        used_percent,
        asked: asked || charged,
        charged,
    });
    let pass = prop_oneof![0_i64..50, 500_i64..70_000, Just(20_000_000_i64)].prop_map(Step::Pass);
    let set = prop_oneof![-90_000_000_i64..90_000_000].prop_map(Step::SetWall);
    proptest::collection::vec(prop_oneof![6 => arrive, 4 => end, 3 => pass, 1 => set], 1..1_200)
}

fn limits() -> impl Strategy<Value = Limits> {
    let some = |least: u64, most: u64| proptest::option::of(least..most);
    (some(1, 30), some(50, 900), some(1, 8), some(1, 60), some(50, 2_000), some(5, 300), any::<bool>()).prop_map(
        |(rpm, tpm, concurrency, daily_requests, daily_tokens, daily_amount, shanghai)| Limits {
            rpm,
            tpm,
            concurrency,
            daily_requests,
            daily_tokens,
            daily_amount,
            zone: shanghai.then(|| "Asia/Shanghai".to_owned()),
        },
    )
}

/// One call that runs.
#[derive(Debug)]
struct Runs {
    caller: String,
    held: Held,
    day: Day,
    /// Its place among all that were admitted.
    place: usize,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: no more calls at once than allowed, none too many within any minute or any day, and what
    /// a day has used is what its calls used, to the unit.
    #[test]
    fn no_limit_is_ever_exceeded_and_no_quota_leaks(limits in limits(), steps in steps()) {
        let (mut wall, mut own) = (BEGIN.0, 0_i64);
        let mut steady = Steady::new(BEGIN, 0);
        let mut gate = gate(&limits);
        let (mut running, mut minute): (Vec<Runs>, Vec<(i64, u64, u64)>) = (Vec::new(), Vec::new());
        let mut days: HashMap<Timestamp, Spent> = HashMap::new();
        for step in steps {
            let now = steady.read(Timestamp(wall), own);
            gate.advance(&limits, now);
            match step {
                Step::Pass(ms) => { wall += ms; own += ms; }
                Step::SetWall(by) => wall += by,
                Step::Arrive { caller, output } => {
                    let ask = Ask { caller: NAMES[usize::from(caller)], ..ask(output) };
                    gate.callers.arrives(ask.caller, now.steady);
                    if let Err(blocked) = gate.fits(&limits, &ask, now) {
                        if let Opens::At(at) = blocked.opens { gate.callers.refused(ask.caller, now.steady, Some(at)); gate.expect(at); }
                        continue;
                    }
                    let held = gate.take(&limits, &ask, now);
                    let day = gate.book().day();
                    let spent = days.entry(day.start).or_default();
                    *spent = Spent { requests: spent.requests + 1, tokens: spent.tokens + held.tokens, amount: spent.amount + held.amount };
                    running.push(Runs { caller: ask.caller.to_owned(), held, day, place: minute.len() });
                    minute.push((now.steady, 1, held.tokens));
                    let recent = minute.iter().filter(|(at, ..)| *at > now.steady - MINUTE_MS);
                    let (requests, tokens) = recent.fold((0, 0), |(r, t), (_, a, b)| (r + a, t + b));
                    prop_assert!(limits.rpm.is_none_or(|most| requests <= most), "{} requests in a minute", requests);
                    prop_assert!(limits.tpm.is_none_or(|most| tokens <= most), "{} tokens in a minute", tokens);
                    prop_assert!(limits.concurrency.is_none_or(|most| running.len() as u64 <= most));
                    let spent = days[&day.start];
                    prop_assert!(limits.daily_requests.is_none_or(|most| spent.requests <= most));
                    prop_assert!(limits.daily_tokens.is_none_or(|most| spent.tokens <= most));
                    prop_assert!(limits.daily_amount.is_none_or(|most| spent.amount <= most));
                }
                Step::End { which, used_percent, asked, charged } if !running.is_empty() => {
                    let Runs { caller, held, day, place } = running.swap_remove(which % running.len());
                    let used = Used { asked, charged, tokens: held.tokens * used_percent / 100, amount: held.amount * used_percent / 100 };
                    gate.end(&caller, &held, &used, now);
                    let counts = u64::from(charged);
                    let spent = days.get_mut(&day.start).unwrap();
                    *spent = Spent {
                        requests: spent.requests - 1 + counts,
                        tokens: spent.tokens - held.tokens + used.tokens * counts,
                        amount: spent.amount - held.amount + used.amount * counts,
                    };
                    (minute[place].1, minute[place].2) = (u64::from(asked), used.tokens);
                }
                Step::End { .. } => {}
            }
            let day = gate.book().day();
            prop_assert_eq!(gate.book().used(), days.get(&day.start).copied().unwrap_or_default(), "the day's book");
            prop_assert_eq!(gate.running(), running.len() as u64);
        }
    }

    /// A call that is refused and comes exactly when it was told gets in; a millisecond earlier it does not.
    #[test]
    fn who_waits_until_the_told_time_gets_in_and_not_a_millisecond_before(limits in limits(), pauses in proptest::collection::vec(0_i64..9_000, 1..200)) {
        let limits = Limits { concurrency: None, ..limits };
        let mut gate = gate(&limits);
        let mut ms = 0;
        for pause in pauses {
            ms += pause;
            let now = now_at(ms);
            gate.advance(&limits, now);
            let Err(blocked) = gate.fits(&limits, &ask(20), now) else { gate.take(&limits, &ask(20), now); continue };
            let opens = match blocked.opens {
                Opens::At(at) => at,
                Opens::Tomorrow(end) => now.steady_at(end),
                Opens::Never => { prop_assert!([limits.tpm, limits.daily_tokens, limits.daily_amount].into_iter().flatten().any(|limit| limit < 30)); continue }
                Opens::Turn => unreachable!("there is no concurrency limit"),
            };
            for (at, fits) in [(opens - 1, false), (opens, true)] {
                let (mut then, now) = (gate.clone(), now_at(at - BEGIN.0));
                then.advance(&limits, now);
                prop_assert_eq!(then.fits(&limits, &ask(20), now).is_ok(), fits, "at {} ms, told {} ms", at - BEGIN.0, opens - BEGIN.0);
            }
        }
    }
}

#[test]
fn a_refused_call_that_comes_when_told_waits_for_its_place_instead_of_being_refused_again() {
    let limits = Limits { concurrency: Some(1), ..Limits::default() };
    let mut gate = gate(&limits);
    let held = gate.take(&limits, &ask(1), now_at(0));
    let Err(Blocked { opens: Opens::At(at), .. }) = gate.fits(&limits, &ask(1), now_at(5)) else { panic!("it is full") };
    gate.expect(at);
    let told = at - BEGIN.0;
    assert!(matches!(gate.fits(&limits, &ask(1), now_at(told - 1)), Err(Blocked { opens: Opens::At(_), .. })));
    assert!(matches!(gate.fits(&limits, &ask(1), now_at(told)), Err(Blocked { opens: Opens::Turn, .. })));
    gate.came();
    assert!(matches!(gate.fits(&limits, &ask(1), now_at(told)), Err(Blocked { opens: Opens::At(_), .. })), "one turn for one refusal");
    gate.end("a", &held, &Used { asked: true, charged: true, tokens: 1, amount: 0 }, now_at(told + 9));
    assert_eq!(gate.fits(&limits, &ask(1), now_at(told + 9)), Ok(()));
}

#[test]
fn those_refused_for_concurrency_are_told_to_come_one_after_the_other() {
    let limits = Limits { concurrency: Some(2), ..Limits::default() };
    let mut gate = gate(&limits);
    gate.take(&limits, &ask(1), now_at(0));
    gate.take(&limits, &ask(1), now_at(0));
    let told: Vec<i64> = (0..6)
        .map(|_| {
            let Err(Blocked { opens: Opens::At(at), .. }) = gate.fits(&limits, &ask(1), now_at(0)) else { panic!("it is full") };
            gate.expect(at);
            at - BEGIN.0
        })
        .collect();
    assert_eq!(told, [1_000, 1_000, 2_000, 2_000, 3_000, 3_000]);
}

#[test]
fn a_call_larger_than_the_whole_limit_never_fits_and_one_without_a_bound_is_cut_to_what_is_left() {
    let limits = Limits { tpm: Some(100), daily_tokens: Some(60), ..Limits::default() };
    let mut gate = gate(&limits);
    let blocked = gate.fits(&limits, &ask(200), now_at(0)).unwrap_err();
    assert_eq!(blocked.opens, Opens::Never);
    let mut open = Ask { unbounded: true, ..ask(4_096) };
    open.output = gate.output_for(&limits, &open);
    assert_eq!(open.output, 15, "a quarter of a minute's tokens, less the input");
    assert_eq!(gate.fits(&limits, &open, now_at(0)), Ok(()));
    let held = gate.take(&limits, &open, now_at(0));
    gate.end("a", &held, &Used { asked: true, charged: true, tokens: 70, amount: 5 }, now_at(10));
    assert_eq!(gate.book().used().tokens, 70, "more than was held is carried");
    assert!(gate.fits(&limits, &ask(1), now_at(60_020)).is_err(), "and blocks the rest of the day");
}

#[test]
fn a_call_that_asked_no_upstream_leaves_no_trace() {
    let limits = Limits { rpm: Some(1), tpm: Some(90), daily_requests: Some(1), ..Limits::default() };
    let mut gate = gate(&limits);
    let held = gate.take(&limits, &ask(20), now_at(0));
    gate.end("a", &held, &Used { asked: false, charged: false, tokens: 0, amount: 0 }, now_at(1));
    assert_eq!(gate.fits(&limits, &ask(20), now_at(1)), Ok(()));
    assert_eq!(gate.standings(&limits, now_at(1)).map(|standing| standing.remaining).collect::<Vec<_>>(), [1, 90, 1]);
}

#[test]
fn what_another_process_admitted_limits_this_one() {
    let limits = Limits { rpm: Some(2), ..Limits::default() };
    let mut gate = gate(&limits);
    gate.recall(BEGIN.0 - 59_000, 30);
    gate.recall(BEGIN.0 - 30_000, 30);
    let blocked = gate.fits(&limits, &ask(1), now_at(0)).unwrap_err();
    assert_eq!(blocked.opens, Opens::At(BEGIN.0 + 1_000));
}
