//! `cargo xtask bench`: weir with every promise on beside nginx as a bare proxy, one gateway at a time on one core, the load and
//! a fast upstream on the other. Figures are medians over rounds in turn; nothing here is asserted.

mod gateways;
mod load;
mod peer;

use std::{fmt::Write as _, path::Path, time::Duration};

use crate::Outcome;
use gateways::{Gateway, Kind, Upstream};
use load::Load;

pub(crate) use peer::run as peer;

/// What one round measured of one gateway.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    one: f64,
    many: f64,
    cpu_request_us: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_event_us: f64,
    stream_kib: f64,
    idle_mib: f64,
}

/// Connections of the parallel measures, and streams open at once for the memory measure.
const MANY: usize = 64;
const OPEN_STREAMS: usize = 2000;
/// Events of one measured stream and the pause between two.
const EVENTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn run(root: &Path, rounds: usize, seconds: u64) -> Outcome {
    gateways::build(root)?;
    let upstream = Upstream::start(root)?;
    let mut weir = Vec::new();
    let mut nginx = Vec::new();
    let mut direct = Vec::new();
    for round in 1..=rounds {
        eprintln!("> round {round} of {rounds}");
        direct.push(delays(&Load::new(root, upstream.address.clone(), None))?);
        nginx.push(measure(root, Kind::Nginx, &upstream, seconds)?);
        weir.push(measure(root, Kind::Weir, &upstream, seconds)?);
    }
    print!("{}", table(&weir, &nginx, &direct));
    Ok(())
}

fn measure(root: &Path, kind: Kind, upstream: &Upstream, seconds: u64) -> Outcome<Round> {
    let gateway = Gateway::start(root, kind, upstream)?;
    let load = Load::new(root, gateway.address.clone(), gateway.key.clone());
    load.requests(MANY, 1)?;
    let mut round = Round { idle_mib: gateway.rss_kib()? / 1024.0, ..Round::default() };
    round.one = load.requests(1, seconds)?.per_second(seconds);
    let before = gateway.cpu_us()?;
    let many = load.requests(MANY, seconds)?;
    round.many = many.per_second(seconds);
    round.cpu_request_us = (gateway.cpu_us()? - before) / many.count.max(1) as f64;
    let before = gateway.cpu_us()?;
    (round.p50_us, round.p99_us) = delays(&load)?;
    round.cpu_event_us = (gateway.cpu_us()? - before) / (MANY as f64 * f64::from(EVENTS));
    let before = gateway.rss_kib()?;
    let held = load.hold(OPEN_STREAMS)?;
    round.stream_kib = (gateway.rss_kib()? - before) / OPEN_STREAMS as f64;
    drop(held);
    gateway.check()?;
    Ok(round)
}

fn delays(load: &Load) -> Outcome<(f64, f64)> {
    let delays = load.events(MANY, EVENTS, PAUSE)?;
    Ok((delays.p50_us, delays.p99_us))
}

/// One measure of a round.
type Pick = fn(&Round) -> f64;

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn table(weir: &[Round], nginx: &[Round], direct: &[(f64, f64)]) -> String {
    let of = |rounds: &[Round], pick: Pick| median(rounds.iter().map(pick));
    let rows: [(&str, Pick); 8] = [
        ("requests per second, 1 connection", |r| r.one),
        ("requests per second, 64 connections", |r| r.many),
        ("CPU per request, µs", |r| r.cpu_request_us),
        ("event from upstream to client p50, µs", |r| r.p50_us),
        ("event from upstream to client p99, µs", |r| r.p99_us),
        ("CPU per event, µs", |r| r.cpu_event_us),
        ("memory per open stream (2,000), KiB", |r| r.stream_kib),
        ("memory after the warm-up, MiB", |r| r.idle_mib),
    ];
    let mut out = String::from("| measure | weir | nginx | weir ÷ nginx |\n| --- | ---: | ---: | ---: |\n");
    for (name, pick) in rows {
        let (ours, theirs) = (of(weir, pick), of(nginx, pick));
        // Writing into a string cannot fail.
        let _ = writeln!(out, "| {name} | {ours:.1} | {theirs:.1} | {:.2} |", ours / theirs);
    }
    let (p50, p99) = (median(direct.iter().map(|d| d.0)), median(direct.iter().map(|d| d.1)));
    let _ = writeln!(out, "\nWithout a gateway an event takes {p50:.0} µs (p50) and {p99:.0} µs (p99). Rounds: {}.", weir.len());
    out
}
