//! One cell: one call through the real gateway, in a world of its own.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use weir_core::{ApiKey, CallRecord, Scenario, Timestamp};

use super::{
    super::{
        client::{FROZEN, Got},
        rig::{Order, Rig, in_simulated_time},
        saw,
    },
    faults::{Fault, Meanwhile, Presented, Scene},
};

/// Who makes the call that is looked at.
pub(super) const CALLER: &str = "cell";
/// How long after another call the next one comes.
const SOON: Duration = Duration::from_secs(1);
/// Any: the same for every cell, so that a cell does not depend on its neighbours.
const SEED: u64 = 17;

/// What one call came to.
pub(super) struct Cell {
    pub(super) got: Got,
    /// Its client went before the end.
    pub(super) left: bool,
    pub(super) took: Duration,
    /// When the answer had come.
    pub(super) at: Timestamp,
    pub(super) records: Vec<CallRecord>,
    /// Requests that all upstreams together saw, and connections that they were asked for.
    pub(super) seen: u64,
    pub(super) books_balance: bool,
    pub(super) error: Option<Value>,
    pub(super) saw: String,
}

impl Cell {
    /// Its row in the books; a gateway without room makes none.
    pub(super) fn record(&self) -> Option<&CallRecord> {
        self.records.first()
    }

    /// How long the client was told to wait, from the moment it was told.
    pub(super) fn told(&self) -> Option<Duration> {
        let at = Timestamp::from_rfc3339(self.error.as_ref()?["resetAt"].as_str()?)?;
        Some(at.since(self.at))
    }
}

pub(super) fn run(fault: &Fault, stream: bool, scenario: Scenario) -> Cell {
    in_simulated_time(cell(&fault.scene, stream, scenario))
}

async fn cell(scene: &Scene, stream: bool, scenario: Scenario) -> Cell {
    let mut order = Order::new(SEED, scene.upstreams);
    if !scene.always.is_empty() {
        order.upstreams[0] = weir_sim::Scenario::parse(scene.always).unwrap();
    }
    (scene.order)(&mut order);
    let credit = order.credit;
    let rig = Rig::new(order);
    rig.hosts[0].meet(scene.fates.0, scene.fates.1);
    let mut others = JoinSet::new();
    if let Meanwhile::Others { calls, model, caller } = scene.meanwhile {
        for _ in 0..calls {
            let (mut line, request) = (rig.line(), request(scene, &rig, caller, model, true));
            others.spawn(async move { line.ask(&request).await });
            sleep(SOON).await;
        }
    }
    let lines = if scenario == Scenario::Batch { "x-weir-scenario: batch\r\n" } else { "" };
    let asked = with_lines(request(scene, &rig, CALLER, &scene.model, stream), lines);
    let began = Instant::now();
    let patience = if let Meanwhile::Leaves(after) = scene.meanwhile { after } else { FROZEN };
    let mut line = rig.line();
    let drains = async {
        if let Meanwhile::Drains(after) = scene.meanwhile {
            sleep(after).await;
            rig.gateway.drain(Duration::ZERO).await;
        }
    };
    let (got, ()) = tokio::join!(line.ask_for(&asked, patience), drains);
    let (took, at) = (began.elapsed(), rig.now());
    drop(line);
    others.join_all().await;
    let records: Vec<_> = rig.records().await.into_iter().map(|stored| stored.record).collect();
    let (audit, account) = rig.audit();
    let charged: i64 = records.iter().map(|record| record.charge.amount.0).sum();
    // A client that left without a head was alone.
    let id = got.header("x-request-id").map(str::to_owned);
    let records = records.into_iter().filter(|record| id.as_ref().is_none_or(|id| *id == record.id.to_string())).collect();
    let left = matches!(scene.meanwhile, Meanwhile::Leaves(_)) && !got.whole;
    Cell {
        error: saw::error(&got),
        saw: saw::words(&got, left),
        seen: rig.hosts.iter().map(|host| host.sim.count()).sum(),
        books_balance: audit.ok && account.balance.0 == credit.0 - charged,
        left,
        took,
        at,
        records,
        got,
    }
}

fn request(scene: &Scene, rig: &Rig, caller: &str, model: &str, stream: bool) -> Vec<u8> {
    let ask = &scene.ask;
    let key = match ask.key {
        Presented::Own => rig.key.clone(),
        Presented::Unknown => ApiKey::mint(&[7; 64]).0.expose().to_owned(),
        Presented::None => String::new(),
    };
    let key = if key.is_empty() { key } else { format!("authorization: Bearer {key}\r\n") };
    let plain = format!(r#"{{"model":"{model}","stream":{stream},"max_tokens":900,"messages":[{{"role":"user","content":"hello"}}]}}"#);
    let body = ask.body.map_or(plain, str::to_owned);
    format!(
        "{} {} HTTP/1.1\r\nhost: weir\r\n{key}x-weir-caller: {caller}\r\n{}content-type: {}\r\ncontent-length: {}\r\n\r\n{body}",
        ask.method.unwrap_or("POST"),
        ask.path.unwrap_or("/v1/chat/completions"),
        ask.lines,
        ask.content_type.unwrap_or("application/json"),
        body.len()
    )
    .into_bytes()
}

/// The request with more lines in its head.
fn with_lines(request: Vec<u8>, lines: &str) -> Vec<u8> {
    let text = String::from_utf8(request).unwrap();
    text.replacen("host: weir\r\n", &format!("host: weir\r\n{lines}"), 1).into_bytes()
}
