//! The scripts that people use today, in the same simulated time against the same server.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::upstream::{INPUT, OUTPUT, Order, Upstream};
use crate::{Ask, Said, batch::Line, client::Dice, rig::Seeded};

/// What a script came to.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Came {
    pub(super) answered: u64,
    pub(super) gave_up: u64,
}

fn asked(body: &Bytes) -> Ask {
    Ask::post("/chat/completions", body.clone())
}

/// A pool of threads, each with a blocking OpenAI client: two retries of 408, 409, 429 and 5xx and of broken connections, after 0.5 s and 1 s less up
/// to a quarter, or as `Retry-After` says if that is at most 120 s. What fails then is an exception: most scripts log it and go on.
pub(super) async fn pool(upstream: Arc<Upstream>, bodies: Vec<Bytes>, threads: usize, seed: u64) -> Came {
    let rows = Arc::new(Mutex::new(VecDeque::from(bodies)));
    let dice = Arc::new(Seeded::new(seed));
    let mut all = JoinSet::new();
    for _ in 0..threads {
        let (rows, upstream, dice) = (Arc::clone(&rows), Arc::clone(&upstream), Arc::clone(&dice));
        all.spawn(async move {
            let mut came = Came::default();
            loop {
                let next = rows.lock().unwrap().pop_front();
                let Some(body) = next else { return came };
                if sdk(&upstream, &body, &dice).await { came.answered += 1 } else { came.gave_up += 1 }
            }
        });
    }
    let ended = all.join_all().await;
    ended.iter().fold(Came::default(), |sum, came| Came { answered: sum.answered + came.answered, gave_up: sum.gave_up + came.gave_up })
}

async fn sdk(upstream: &Upstream, body: &Bytes, dice: &Seeded) -> bool {
    for retry in 0..3_u32 {
        let said = upstream.ask(&asked(body)).await;
        let status = said.as_ref().map_or(0, |said| said.status);
        if status == 200 {
            return true;
        }
        if retry == 2 || !matches!(status, 0 | 408 | 409 | 429 | 500..) {
            return false;
        }
        let told = said.ok().and_then(|said| said.header("retry-after")?.parse().ok()).filter(|seconds| (1..=120).contains(seconds));
        let backoff = Duration::from_millis(500 * u64::from(2_u32.pow(retry)));
        let less = backoff.as_millis() * (dice.roll() % 250) / 1_000;
        sleep(told.map_or(backoff - Duration::from_millis(u64::try_from(less).unwrap()), Duration::from_secs)).await;
    }
    false
}

/// How the widely copied parallel-request script of OpenAI's cookbook describes itself: it keeps below the requests and tokens a minute that
/// it is told, retries every error up to five attempts by putting the request behind the others, and pauses all for 15 s after an error whose message
/// says "rate limit". It looks at no header.
pub(super) async fn parallel(upstream: Arc<Upstream>, bodies: Vec<Bytes>, order: Order) -> Came {
    const ATTEMPTS: u32 = 5;
    const PAUSE: Duration = Duration::from_secs(15);
    // One millisecond there; five change nothing at a hundred requests a second.
    const LOOP: Duration = Duration::from_millis(5);
    let mut fresh = VecDeque::from(bodies);
    let again: Arc<Mutex<VecDeque<(Bytes, u32)>>> = Arc::default();
    let refused_at: Arc<Mutex<Option<Instant>>> = Arc::default();
    let came: Arc<Mutex<Came>> = Arc::default();
    let (mut requests, mut tokens) = (order.rpm as f64, order.tpm as f64);
    let (mut looked, mut next) = (Instant::now(), None);
    let mut running = JoinSet::new();
    loop {
        if next.is_none() {
            let retried = again.lock().unwrap().pop_front();
            next = retried.or_else(|| Some((fresh.pop_front()?, ATTEMPTS)));
        }
        let passed = looked.elapsed().as_secs_f64();
        looked = Instant::now();
        requests = (requests + order.rpm as f64 * passed / 60.0).min(order.rpm as f64);
        tokens = (tokens + order.tpm as f64 * passed / 60.0).min(order.tpm as f64);
        let cost = (INPUT + OUTPUT) as f64;
        if requests >= 1.0
            && tokens >= cost
            && let Some((body, left)) = next.take()
        {
            (requests, tokens) = (requests - 1.0, tokens - cost);
            let (upstream, again) = (Arc::clone(&upstream), Arc::clone(&again));
            let (refused_at, came) = (Arc::clone(&refused_at), Arc::clone(&came));
            running.spawn(async move {
                let said = upstream.ask(&asked(&body)).await.ok();
                if said.as_ref().is_some_and(|said| said.status == 200) {
                    came.lock().unwrap().answered += 1;
                    return;
                }
                if said.as_ref().is_some_and(says_rate_limit) {
                    *refused_at.lock().unwrap() = Some(Instant::now());
                }
                if left > 1 { again.lock().unwrap().push_back((body, left - 1)) } else { came.lock().unwrap().gave_up += 1 }
            });
        }
        while running.try_join_next().is_some() {}
        if running.is_empty() && next.is_none() && fresh.is_empty() && again.lock().unwrap().is_empty() {
            break;
        }
        sleep(LOOP).await;
        let since = refused_at.lock().unwrap().map(|at| at.elapsed());
        if let Some(rest) = since.and_then(|since| PAUSE.checked_sub(since)) {
            sleep(rest).await;
        }
    }
    *came.lock().unwrap()
}

fn says_rate_limit(said: &Said) -> bool {
    String::from_utf8_lossy(&said.body).to_lowercase().contains("rate limit")
}
