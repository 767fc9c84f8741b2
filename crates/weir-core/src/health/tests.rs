//! Laws of health: it opens on evidence, is probed gently, closes on success, believes what it is told, and forgets.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_795_334_400_000);
const MODEL: &str = "gpt-4o-mini";

fn at(ms: i64) -> Timestamp {
    Timestamp(NOW.0 + ms)
}

struct Case(Health);

impl Case {
    fn new() -> Self {
        Self(Health::default())
    }

    fn note(&mut self, outcome: Outcome, ms: i64) -> &mut Self {
        self.0.note(MODEL, outcome, at(ms), 0, &BreakerTerms::default());
        self
    }

    fn fails(&mut self, times: u32, ms: i64) -> &mut Self {
        for _ in 0..times {
            self.note(Outcome::Failed { told: None }, ms);
        }
        self
    }

    fn fitness(&self, ms: i64) -> Fitness {
        self.0.fitness(MODEL, at(ms))
    }
}

#[test]
fn five_failures_in_a_row_open_for_five_seconds_and_three_good_probes_close() {
    let mut case = Case::new();
    assert_eq!(case.fails(4, 0).fitness(0), Fitness::Fit);
    assert_eq!(case.fails(1, 10).fitness(10), Fitness::Unwell(at(5_010)));
    assert_eq!(case.fitness(5_009), Fitness::Unwell(at(5_010)));
    for _ in 0..3 {
        assert_eq!(case.fitness(5_010), Fitness::Probe);
        case.0.begin(MODEL, at(5_010));
        assert!(matches!(case.fitness(5_011), Fitness::Unwell(_)), "one probe at a time");
        case.note(Outcome::Good, 5_020);
    }
    assert_eq!(case.fitness(5_020), Fitness::Fit);
}

#[test]
fn a_failed_probe_opens_for_twice_as_long_up_to_a_minute() {
    let mut case = Case::new();
    case.fails(5, 0);
    let mut now = 0;
    for seconds in [5, 10, 20, 40, 60, 60] {
        let Fitness::Unwell(until) = case.fitness(now) else { panic!("it should be open at {now}") };
        assert_eq!(until.0 - NOW.0 - now, seconds * 1000);
        now = until.0 - NOW.0;
        case.0.begin(MODEL, at(now));
        case.fails(1, now);
    }
}

#[test]
fn half_of_many_must_fail_and_what_is_older_than_the_window_is_forgotten() {
    let mut case = Case::new();
    for n in 0..20 {
        case.fails(1, n * 100).note(Outcome::Good, n * 100).note(Outcome::Good, n * 100);
    }
    assert_eq!(case.fitness(2_000), Fitness::Fit, "a third fails");
    let mut case = Case::new();
    for n in 0..5 {
        assert_eq!(case.fitness(n * 100), Fitness::Fit);
        case.note(Outcome::Good, n * 100).fails(1, n * 100);
    }
    assert!(matches!(case.fitness(500), Fitness::Unwell(_)), "half fails");
    let mut case = Case::new();
    for n in 0..20 {
        case.fails(1, n * 4_000).note(Outcome::Good, n * 4_000);
    }
    assert_eq!(case.fitness(80_000), Fitness::Fit, "never five within ten seconds");
}

#[test]
fn a_probe_that_said_nothing_or_was_lost_makes_room_for_the_next() {
    let mut case = Case::new();
    case.fails(5, 0).0.begin(MODEL, at(6_000));
    assert!(matches!(case.fitness(6_001), Fitness::Unwell(_)));
    assert_eq!(case.note(Outcome::Nothing, 6_500).fitness(6_500), Fitness::Probe);
    case.0.begin(MODEL, at(7_000));
    assert_eq!(case.fitness(7_000 + 120_000), Fitness::Probe);
}

#[test]
fn a_told_instant_is_believed_to_the_millisecond_but_for_an_hour_at_most() {
    let told = |ms| Outcome::Throttled { told: Some(at(ms)) };
    let mut case = Case::new();
    case.note(told(7_000), 0);
    assert_eq!((case.fitness(6_999), case.fitness(7_000)), (Fitness::Told(at(7_000)), Fitness::Fit));
    case.note(told(20_000), 7_000).note(told(9_000), 7_001);
    assert_eq!(case.fitness(9_000), Fitness::Told(at(20_000)), "the later one holds");
    let mut case = Case::new();
    case.note(told(10 * 3_600_000), 0);
    assert_eq!(case.fitness(3_599_999), Fitness::Told(at(10 * 3_600_000)));
    assert_eq!(case.fitness(3_600_000), Fitness::Fit);
    assert_eq!(case.fitness(-1), Fitness::Fit, "a clock that was set back does not hold anybody for hours");
}

#[test]
fn a_429_without_a_hint_cools_a_second_then_twice_as_long_up_to_half_a_minute() {
    let mut case = Case::new();
    let mut now = 0;
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        case.note(Outcome::Throttled { told: None }, now);
        assert!(matches!(case.fitness(now), Fitness::Unwell(_)));
        assert_eq!(case.0.models[MODEL].cooled.unwrap().until, at(now + seconds * 1000));
        now += seconds * 1000;
    }
    assert_eq!(case.note(Outcome::Good, now).0.models[MODEL].cooled, None);
}

#[test]
fn a_credential_that_is_turned_away_rests_all_models_and_a_right_that_is_missing_only_its_own() {
    let mut case = Case::new();
    case.note(Outcome::ModelDenied, 0);
    assert_eq!((case.fitness(59_999), case.0.fitness("other", at(0))), (Fitness::Unwell(at(60_000)), Fitness::Fit));
    case.note(Outcome::Denied, 0);
    assert_eq!(case.0.fitness("other", at(59_999)), Fitness::Unwell(at(60_000)));
    assert_eq!(case.0.fitness("other", at(60_000)), Fitness::Fit);
    assert!(case.note(Outcome::Good, 1).0.denied.is_none(), "an answer proves that it is accepted");
}

#[test]
fn names_that_anybody_makes_up_neither_fill_the_memory_nor_speak_for_each_other() {
    let mut health = Health::default();
    let terms = BreakerTerms::default();
    for n in 0..3 * MAX_MODELS {
        health.note(&format!("made-up-{n}"), Outcome::Throttled { told: Some(at(60_000)) }, NOW, 0, &terms);
    }
    health.note(&"x".repeat(100_000), Outcome::Failed { told: None }, NOW, 0, &terms);
    assert_eq!(health.models.len(), MAX_MODELS);
    assert!(health.models.keys().all(|model| model.len() <= MODEL_BYTES));
    assert!(!matches!(health.fitness("an honest one", at(1)), Fitness::Told(_)), "nobody told it anything");
    health.note("later", Outcome::Good, at(3_600_000), 0, &terms);
    assert!(health.is_sound(), "what is over is forgotten");
}

proptest! {
    #[test]
    fn health_is_total_bounded_and_recovers(steps in prop::collection::vec((0_u8..7, -5_000_i64..30_000, any::<u128>()), 0..200)) {
        let (mut health, mut now) = (Health::default(), NOW);
        let terms = BreakerTerms::default();
        for (what, step, roll) in steps {
            now.0 += step;
            let outcome = match what {
                0 => Outcome::Good,
                1 => Outcome::Failed { told: None },
                2 => Outcome::Failed { told: Some(now.after(Duration::from_secs(90))) },
                3 => Outcome::Throttled { told: None },
                4 => Outcome::Denied,
                5 => Outcome::ModelDenied,
                _ => Outcome::Nothing,
            };
            health.begin(MODEL, now);
            health.note(MODEL, outcome, now, roll, &terms);
            if let Fitness::Unwell(until) = health.fitness(MODEL, now) {
                prop_assert!(until > now && until.since(now) <= Duration::from_secs(120), "unwell for {:?}", until.since(now));
            }
        }
        // Ten minutes later at most a probe stands between it and the next call.
        now.0 += 700_000;
        prop_assert!(matches!(health.fitness(MODEL, now), Fitness::Fit | Fitness::Probe));
    }
}
