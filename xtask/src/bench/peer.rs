//! The other core of the bench: a fast fake upstream and the load, in one process, so that both read one clock.
//!
//! Orders come as lines on stdin, each is answered by one line of JSON on stdout:
//! `load PORT CONNECTIONS SECONDS`, `streams PORT COUNT SECONDS`, `open PORT COUNT`, `close`. The first line names the upstream's port.
#![expect(clippy::disallowed_methods, reason = "a load generator is a shell: it reads the clock and starts tasks")]

mod load;
mod upstream;

use std::{io::BufRead, time::Duration};

use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use self::{
    load::{Keep, Load, Watched},
    upstream::Upstream,
};
use crate::Outcome;

/// Orders that may wait; the bench sends the next one only after the answer.
const ORDERS: usize = 4;
/// All streams of one order are open and ended within this time, or something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves until stdin ends.
pub(crate) fn run(key: &str) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(key))
}

async fn serve(key: &str) -> Outcome {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", json!({ "upstream": listener.local_addr()?.port() }));
    let upstream = Upstream::default();
    tokio::spawn(upstream.clone().serve(listener));
    let (send, mut orders) = mpsc::channel(ORDERS);
    // Stdin has no readiness of its own: a thread reads it.
    std::thread::Builder::new().name("orders".into()).spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    let mut kept = JoinSet::new();
    while let Some(line) = orders.recv().await {
        let words: Vec<_> = line.split(' ').collect();
        let number = |place: usize| words.get(place).and_then(|word| word.parse::<u32>().ok()).unwrap_or_default();
        let load = Load::new(u16::try_from(number(1))?, key);
        let (count, span) = (number(2), Duration::from_secs(number(3).into()));
        let told = match words[0] {
            "load" => flood(load, count, span).await?,
            "streams" => streams(load, count, span, &upstream).await?,
            "open" => open(load, count, &mut kept).await?,
            "close" => close(&upstream, &mut kept).await?,
            other => return Err(format!("no such order: {other}").into()),
        };
        println!("{told}");
    }
    Ok(())
}

/// Requests one after another on each connection, as fast as they are answered.
async fn flood(load: Load, connections: u32, span: Duration) -> Outcome<Value> {
    let began = std::time::Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..connections {
        all.spawn(load.clone().ask_until(began + span));
    }
    let mut requests = 0;
    while let Some(asked) = all.join_next().await {
        requests += asked??;
    }
    Ok(json!({ "requests": requests, "seconds": began.elapsed().as_secs_f64() }))
}

/// Streams side by side whose events carry the time they were sent.
async fn streams(load: Load, count: u32, span: Duration, upstream: &Upstream) -> Outcome<Value> {
    upstream.speak_for(span);
    let mut all = JoinSet::new();
    for place in 0..count {
        all.spawn(load.clone().watch(upstream::BETWEEN * place / count));
    }
    let (mut delays, mut firsts) = (Vec::new(), Vec::new());
    while let Some(watched) = all.join_next().await {
        let Watched { first, mut later } = watched??;
        firsts.push(first);
        delays.append(&mut later);
    }
    let events = delays.len() + firsts.len();
    Ok(json!({ "requests": count, "events": events, "delay": spread(&mut delays), "first": spread(&mut firsts) }))
}

/// Streams that have had their first event and stay open.
async fn open(load: Load, count: u32, kept: &mut JoinSet<std::io::Result<()>>) -> Outcome<Value> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        opening.spawn(load.clone().open());
        // A listening socket's queue is short: some hundred at a time.
        if opening.len() >= 100 {
            keep(opening.join_next().await, kept)?;
        }
    }
    while let Some(opened) = opening.join_next().await {
        keep(Some(opened), kept)?;
    }
    Ok(json!({ "requests": count }))
}

fn keep(opened: Option<Result<std::io::Result<Keep>, tokio::task::JoinError>>, kept: &mut JoinSet<std::io::Result<()>>) -> Outcome {
    if let Some(opened) = opened {
        kept.spawn(opened??.end());
    }
    Ok(())
}

/// Ends the open streams as an upstream does, and waits until every client has seen it.
async fn close(upstream: &Upstream, kept: &mut JoinSet<std::io::Result<()>>) -> Outcome<Value> {
    upstream.end_quiet();
    let streams = kept.len();
    let ended = async {
        while let Some(ended) = kept.join_next().await {
            ended??;
        }
        Outcome::Ok(())
    };
    tokio::time::timeout(PATIENCE, ended).await??;
    Ok(json!({ "ended": streams }))
}

/// The middle and the 99th percentile in microseconds.
fn spread(nanos: &mut [u64]) -> Value {
    nanos.sort_unstable();
    let at = |hundredth: usize| nanos.get((nanos.len() * hundredth / 100).min(nanos.len().saturating_sub(1))).copied().unwrap_or_default();
    json!({ "p50": at(50) as f64 / 1000.0, "p99": at(99) as f64 / 1000.0 })
}
