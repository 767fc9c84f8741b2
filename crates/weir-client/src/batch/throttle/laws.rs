//! What the throttle never does, whatever a server says in whatever order.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_795_334_400_000);
const TOOK: Duration = Duration::from_millis(800);
const ANSWERED: Ended = Ended::Answered { took: TOOK, used: None };
const REFUSED_PLAINLY: Ended = Ended::Refused { told: None, firm: false };

fn free(ceiling: u32) -> Throttle {
    Throttle::new(Bounds { ceiling, requests: None, tokens: None }, NOW)
}

/// Sends as many as may run, and ends them all alike.
fn round(throttle: &mut Throttle, how: Ended, now: Timestamp) -> usize {
    let mut tickets = Vec::new();
    while throttle.admit(10, now) == Admission::Go {
        tickets.push(throttle.begin(10, now));
    }
    tickets.iter().for_each(|ticket| throttle.end(*ticket, how, &[], now));
    tickets.len()
}

#[test]
fn r35_a_burst_of_refusals_at_sixteen_halves_the_window_and_answers_bring_it_back() {
    let mut throttle = free(16);
    while throttle.window() < 16 {
        round(&mut throttle, ANSWERED, NOW);
    }
    assert_eq!(round(&mut throttle, REFUSED_PLAINLY, NOW), 16);
    assert_eq!(throttle.window(), 8, "one fall for all that was on its way together");
    round(&mut throttle, REFUSED_PLAINLY, NOW);
    assert_eq!(throttle.window(), 4);
    let rounds = std::iter::repeat_with(|| round(&mut throttle, ANSWERED, NOW)).take_while(|sent| *sent < 16).count();
    assert!((2..60).contains(&rounds), "{rounds} rounds until it has recovered");
}

#[test]
fn nothing_leaves_before_a_told_instant_and_everything_may_at_it() {
    let mut throttle = free(8);
    let told = NOW.after(Duration::from_secs(7));
    let ticket = throttle.begin(1, NOW);
    throttle.end(ticket, Ended::Refused { told: Some(told), firm: true }, &[], NOW);
    assert_eq!(throttle.admit(1, Timestamp(told.0 - 1)), Admission::At(told, Why::Told));
    assert_eq!(throttle.admit(1, told), Admission::Go);
}

#[test]
fn a_refusal_that_was_not_for_all_stops_only_its_own_request_unless_it_is_firm() {
    for firm in [false, true] {
        let mut throttle = free(8);
        let (first, later) = (throttle.begin(1, NOW), throttle.begin(1, NOW));
        throttle.end(first, Ended::Refused { told: Some(NOW.after(Duration::from_secs(60))), firm }, &[], NOW);
        assert!(throttle.paused_until(NOW).is_some());
        throttle.end(later, ANSWERED, &[], NOW);
        assert_eq!(throttle.paused_until(NOW).is_some(), firm);
    }
}

#[test]
fn limits_that_are_told_pace_the_run_and_a_day_s_limit_does_not() {
    let told = |counted, limit, remaining, seconds| Left { counted, limit, remaining, window: Some(Duration::from_secs(seconds)) };
    let mut throttle = free(64);
    let ticket = throttle.begin(100, NOW);
    let left = [told(Counted::Requests, 60, 1, 60), told(Counted::Tokens, 6_000, 5_000, 60), told(Counted::Requests, 1_000, 0, 86_400)];
    throttle.end(ticket, ANSWERED, &left, NOW);
    assert_eq!(throttle.rates(), (Some(60), Some(6_000)));
    assert_eq!(throttle.admit(100, NOW), Admission::Go);
    throttle.begin(100, NOW);
    assert_eq!(throttle.admit(100, NOW), Admission::At(NOW.after(Duration::from_secs(1)), Why::Requests));
    assert_eq!(throttle.admit(4_800, NOW), Admission::At(NOW.after(Duration::from_secs(1)), Why::Requests));
    assert_eq!(throttle.admit(5_900, NOW), Admission::At(NOW.after(Duration::from_millis(10_600)), Why::Tokens));
    let ticket = throttle.begin(1, NOW);
    throttle.end(ticket, ANSWERED, &[Left { counted: Counted::Running, limit: 2, remaining: 0, window: None }], NOW);
    assert_eq!(throttle.window(), 2);
}

#[test]
fn a_lower_limit_of_one_s_own_is_kept_below_the_server_s() {
    let mut throttle = Throttle::new(Bounds { ceiling: 8, requests: Some(60), tokens: None }, NOW);
    let ticket = throttle.begin(1, NOW);
    let left = [Left { counted: Counted::Requests, limit: 6_000, remaining: 5_999, window: Some(Duration::from_secs(60)) }];
    throttle.end(ticket, ANSWERED, &left, NOW);
    assert_eq!((throttle.rates().0, throttle.admit(1, NOW)), (Some(60), Admission::At(NOW.after(Duration::from_secs(1)), Why::Requests)));
}

proptest! {
    #[test]
    fn r33_never_more_than_the_ceiling_runs_never_less_than_one_may_and_no_told_instant_is_passed(
        ceiling in 1_u32..40,
        steps in prop::collection::vec((0_u8..6, 0_u64..3_000, 0_u64..20_000, any::<bool>()), 1..300),
    ) {
        let mut throttle = free(ceiling);
        let (mut now, mut out, mut firm_until) = (NOW, Vec::new(), NOW);
        for (what, pause, told, firm) in steps {
            now = now.after(Duration::from_millis(pause));
            if throttle.admit(1, now) == Admission::Go {
                prop_assert!(now >= firm_until, "a firm instant was passed");
                out.push(throttle.begin(1, now));
            }
            prop_assert!(throttle.running() <= ceiling && throttle.running() as usize == out.len());
            prop_assert!(throttle.window() >= 1 && throttle.window() <= ceiling);
            if what < 5 && !out.is_empty() {
                let ticket = out.remove(usize::from(what) % out.len());
                let told = now.after(Duration::from_millis(told));
                let how = match what {
                    0 => Ended::Refused { told: Some(told), firm },
                    1 => REFUSED_PLAINLY,
                    2 => Ended::Troubled { told: None },
                    3 => Ended::Beside,
                    _ => ANSWERED,
                };
                if what == 0 && firm {
                    firm_until = firm_until.max(told);
                }
                throttle.end(ticket, how, &[], now);
            }
        }
        // Whatever happened: when all have ended and every instant has come, one may leave.
        out.iter().for_each(|ticket| throttle.end(*ticket, Ended::Beside, &[], now));
        let later = now.after(Duration::from_secs(60));
        prop_assert_eq!(throttle.admit(1, later), Admission::Go);
    }
}
