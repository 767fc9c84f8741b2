//! `cargo xtask bench`: weir with every promise on beside nginx as a bare proxy, one at a time, round after round.

mod gateway;
mod peer;
mod table;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use clap::Args;
use serde_json::Value;

use self::{
    gateway::{Bench, CORE_OF_PEER, Kind, Running, pinned},
    table::{Measure, Table, Way},
};
use crate::{Outcome, chores};

pub(crate) use peer::run as peer;

/// Connections of the busy load, and streams that speak side by side.
const MANY: u32 = 64;
/// Streams that are open at once when memory is read.
const OPEN: u32 = 2_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often each gateway is measured, in turn
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each load runs, in seconds
    #[arg(long, default_value_t = 3)]
    seconds: u32,
}

/// Measures and prints one table.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Outcome {
    build(root, &["--profile", "dist", "--package", "weir"])?;
    build(root, &["--release", "--package", "xtask"])?;
    let target = chores::target(&root.canonicalize()?);
    let bench = Bench::new(target.join("bench"), target.join("dist").join("weir"))?;
    let mut peer = Peer::start(&target.join("release").join("xtask"), &bench.key)?;
    bench.configure(peer.upstream)?;
    let mut table = Table::default();
    let mut calls = 0;
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        direct(&mut peer, &mut table, arguments.seconds)?;
        for (kind, way) in [(Kind::Nginx, Way::Nginx), (Kind::Weir, Way::Weir)] {
            let running = bench.start(kind, peer.upstream)?;
            let made = measure(&running, &mut peer, &mut table, way, arguments.seconds)?;
            running.stop()?;
            if kind == Kind::Weir {
                calls += made;
                check(&bench, calls)?;
            }
        }
    }
    println!("{}", table.markdown());
    println!("{calls} calls went through weir; each has its record, and the audit holds.");
    Ok(())
}

fn build(root: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("cargo");
    let status = command.args(["build", "--quiet", "--locked"]).args(arguments).current_dir(root).status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo build {}: {status}", arguments.join(" ")).into()) }
}

/// The load straight on the upstream: what the machine itself adds.
fn direct(peer: &mut Peer, table: &mut Table, seconds: u32) -> Outcome {
    let port = peer.upstream;
    for (connections, measure) in [(1, Measure::RateOfOne), (MANY, Measure::RateOfMany)] {
        table.add(measure, Way::Direct, rate(&peer.ask(&format!("load {port} {connections} {seconds}"))?)?);
    }
    delays(&peer.ask(&format!("streams {port} {MANY} {seconds}"))?, table, Way::Direct)
}

/// All figures of one gateway; how many calls it was asked.
fn measure(running: &Running, peer: &mut Peer, table: &mut Table, way: Way, seconds: u32) -> Outcome<u64> {
    let port = running.port;
    // The first answer was a call too.
    let mut calls = 1;
    table.add(Measure::Start, way, running.start.as_secs_f64() * 1000.0);
    let idle = running.memory()?;
    table.add(Measure::MemoryIdle, way, idle as f64 / f64::from(1 << 20));
    calls += count(&peer.ask(&format!("open {port} {OPEN}"))?, "requests")?;
    table.add(Measure::MemoryPerStream, way, (running.memory()?.saturating_sub(idle)) as f64 / 1024.0 / f64::from(OPEN));
    peer.ask("close")?;
    for (connections, measure) in [(1, Measure::RateOfOne), (MANY, Measure::RateOfMany)] {
        let before = running.cpu()?;
        let told = peer.ask(&format!("load {port} {connections} {seconds}"))?;
        calls += count(&told, "requests")?;
        table.add(measure, way, rate(&told)?);
        if connections == MANY {
            table.add(Measure::CpuPerRequest, way, (running.cpu()? - before) as f64 / 1000.0 / number(&told, "requests")?);
        }
    }
    let before = running.cpu()?;
    let told = peer.ask(&format!("streams {port} {MANY} {seconds}"))?;
    table.add(Measure::CpuPerEvent, way, (running.cpu()? - before) as f64 / 1000.0 / number(&told, "events")?);
    calls += count(&told, "requests")?;
    delays(&told, table, way)?;
    Ok(calls)
}

fn delays(told: &Value, table: &mut Table, way: Way) -> Outcome {
    table.add(Measure::DelayMiddle, way, number(&told["delay"], "p50")?);
    table.add(Measure::DelayTail, way, number(&told["delay"], "p99")?);
    table.add(Measure::FirstMiddle, way, number(&told["first"], "p50")?);
    table.add(Measure::FirstTail, way, number(&told["first"], "p99")?);
    Ok(())
}

fn rate(told: &Value) -> Outcome<f64> {
    Ok(number(told, "requests")? / number(told, "seconds")?)
}

fn number(told: &Value, name: &str) -> Outcome<f64> {
    told[name].as_f64().ok_or_else(|| format!("the peer did not tell {name}: {told}").into())
}

fn count(told: &Value, name: &str) -> Outcome<u64> {
    told[name].as_u64().ok_or_else(|| format!("the peer did not tell {name}: {told}").into())
}

/// Speed that breaks a promise does not count: every call has its record, and the laws hold.
fn check(bench: &Bench, calls: u64) -> Outcome {
    let audit = bench.ask(&["audit"])?;
    if audit["ok"] != true {
        return Err(format!("the audit found a broken law: {audit}").into());
    }
    let recorded = bench.ask(&["calls", "list", "--count"])?["count"].as_u64();
    if recorded == Some(calls) { Ok(()) } else { Err(format!("{calls} calls were made, {recorded:?} are recorded").into()) }
}

/// The fake upstream and the load on their core.
#[derive(Debug)]
struct Peer {
    child: Child,
    orders: ChildStdin,
    told: BufReader<ChildStdout>,
    upstream: u16,
}

impl Peer {
    fn start(program: &Path, key: &str) -> Outcome<Self> {
        let mut command = pinned(CORE_OF_PEER);
        command.arg(program).args(["bench-peer", key]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(orders), Some(told)) = (child.stdin.take(), child.stdout.take()) else { return Err("the peer has no pipes".into()) };
        let mut peer = Self { child, orders, told: BufReader::new(told), upstream: 0 };
        peer.upstream = u16::try_from(count(&peer.read()?, "upstream")?)?;
        Ok(peer)
    }

    fn ask(&mut self, order: &str) -> Outcome<Value> {
        writeln!(self.orders, "{order}")?;
        self.read().map_err(|error| format!("{order}: {error}").into())
    }

    fn read(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
