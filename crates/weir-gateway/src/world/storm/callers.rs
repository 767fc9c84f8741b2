//! Clients, by how they take a failure. Written from what the SDKs do on the wire, without weir's own code: who measures must not share
//! the mistake.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    super::{
        chance::Chance,
        client::Got,
        rig::{Line, Rig, chat},
        upstream::Host,
    },
    CLIENTS, MODEL,
};

/// How a client takes a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// It takes no for an answer.
    Once,
    /// As the OpenAI SDKs do: two retries after 0.5 s and 1 s, less up to a quarter; told waits and `x-should-retry` are obeyed.
    Sdk,
    /// A loop that tries again at once, ten times.
    Hammer,
}

const SDK_RETRIES: u32 = 2;
const SDK_FIRST: Duration = Duration::from_millis(500);
const SDK_MOST: Duration = Duration::from_secs(8);
/// A told wait beyond this is not waited for: the SDK gives up.
const SDK_PATIENCE: Duration = Duration::from_secs(120);
const HAMMER_RETRIES: u32 = 10;

/// Where requests go.
#[derive(Clone)]
pub(super) enum Door {
    Weir(Arc<Rig>),
    Straight(Host),
}

/// What one call came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) answered: bool,
    /// From its first request to the answer, or to giving up.
    pub(super) took: Duration,
    pub(super) requests: u64,
}

impl Door {
    async fn ask(&self, n: u64, retry: u32) -> Got {
        let lines = format!("x-weir-caller: c{}\r\nx-stainless-retry-count: {retry}\r\n", n % CLIENTS);
        let request = |key| chat(MODEL, false, key, &lines, &format!("call {n}"));
        match self {
            Self::Weir(rig) => rig.line().ask(&request(&rig.key)).await,
            Self::Straight(host) => match Line::straight(host).await {
                Ok(mut line) => line.ask(&request("")).await,
                Err(_) => Got::default(),
            },
        }
    }
}

/// Makes one call, with whatever retries its client adds.
pub(super) async fn call(door: &Door, caller: Caller, n: u64, chance: &mut Chance) -> Outcome {
    let began = Instant::now();
    for retry in 0u32.. {
        let got = door.ask(n, retry).await;
        let answered = got.status == 200 && got.whole;
        let wait = if answered { None } else { caller.wait(&got, retry, chance) };
        let Some(wait) = wait else { return Outcome { answered, took: began.elapsed(), requests: u64::from(retry) + 1 } };
        sleep(wait).await;
    }
    unreachable!("every caller gives up")
}

impl Caller {
    /// How long it waits before its next try; `None` if it gives up.
    fn wait(self, got: &Got, retry: u32, chance: &mut Chance) -> Option<Duration> {
        match self {
            Self::Once => None,
            Self::Hammer => (retry < HAMMER_RETRIES).then_some(Duration::ZERO),
            Self::Sdk => {
                let listed = matches!(got.status, 0 | 408 | 409 | 429) || got.status >= 500;
                let retries = got.header("x-should-retry").map_or(listed, |told| told == "true");
                if !retries || retry >= SDK_RETRIES {
                    return None;
                }
                match told(got) {
                    Some(wait) => (wait <= SDK_PATIENCE).then_some(wait),
                    None => Some((SDK_FIRST * 2u32.pow(retry)).min(SDK_MOST) * u32::try_from(chance.between(750, 1_000)).unwrap() / 1_000),
                }
            }
        }
    }
}

/// The wait that an answer asks for, as the SDKs read it.
fn told(got: &Got) -> Option<Duration> {
    let number = |name| got.header(name)?.parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

#[test]
fn an_sdk_waits_as_it_is_told_and_stops_where_it_is_told() {
    let got = |status, head: &str| Got { status, head: format!("HTTP/1.1 {status} X\r\n{head}"), ..Got::default() };
    let wait = |got: &Got, retry| Caller::Sdk.wait(got, retry, &mut Chance::new(1));
    assert_eq!(wait(&got(429, "retry-after: 7\r\n"), 0), Some(Duration::from_secs(7)));
    assert_eq!(wait(&got(429, "retry-after-ms: 700\r\nretry-after: 1\r\n"), 1), Some(Duration::from_millis(700)));
    assert_eq!(wait(&got(429, "retry-after: 121\r\n"), 0), None);
    assert_eq!(wait(&got(429, "x-should-retry: false\r\n"), 0), None);
    assert_eq!(wait(&got(400, ""), 0), None);
    assert_eq!(wait(&got(503, ""), 2), None);
    for (retry, most) in [(0, 500), (1, 1_000)] {
        let span = wait(&got(503, ""), retry).unwrap().as_millis();
        assert!((most * 3 / 4..=most).contains(&span), "{span}");
    }
}
