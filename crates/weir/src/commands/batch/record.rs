//! The evidence record of a run: what support needs to know of a batch, through the same engine as every other record.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use rand::Rng;
use serde_json::Value;
use weir_client::{
    batch::{Halt, Header, Snapshot},
    client::Memory,
};
use weir_core::{
    ApiKey, CallRecord, ChargeFacts, Charged, RequestId, Route, Secret, Side, Timing, Verdict,
    evidence::{BatchFacts, Evidence, EvidenceContext, Label, Level, MAX_EVIDENCE_BYTES, Scenario, Source, Surface},
    mask_foreign,
    redact::{Audience, Redactor},
};

use crate::{
    commands::evidence::PRODUCT,
    config::settings::target,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
};

/// Where the record of a run is.
pub(super) fn path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".evidence.json");
    PathBuf::from(name)
}

fn refused() -> Fault {
    Fault::new(
        Exit::Refused,
        text!("这条记录无法保证不含机密,没有写下", "the record cannot be proven free of secrets, so it was not written"),
    )
}

/// What the run as a whole came to.
fn verdict(last: &Snapshot) -> (Verdict, u16, Level) {
    match &last.halt {
        Some(Halt::Interrupted) => (Verdict::ClientLeft, 0, Level::Info),
        Some(Halt::Denied { status: 402 | 429 }) => (Verdict::BalanceSpent, 402, Level::Fail),
        Some(Halt::Denied { status }) => (Verdict::KeyUnknown, *status, Level::Fail),
        Some(Halt::Told { until: Some(_) }) => (Verdict::RateLimited, 429, Level::Fail),
        Some(Halt::Told { until: None }) => (Verdict::QuotaSpent, 429, Level::Fail),
        Some(Halt::MaxCost) => (Verdict::Ok, 0, Level::Info),
        Some(Halt::Disk(_)) => (Verdict::Ok, 0, Level::Fail),
        Some(Halt::Failing { .. }) => (Verdict::UpstreamError, 0, Level::Fail),
        None if last.unknown > 0 => (Verdict::OutcomeUnknown, 0, Level::Warn),
        None if last.failed > 0 => (Verdict::UpstreamError, 0, Level::Warn),
        None => (Verdict::Ok, 200, Level::Ok),
    }
}

/// Only weir charges as it says; what another server charged is not known here.
fn charged(last: &Snapshot) -> Charged {
    match (last.remembers, last.ok) {
        (Memory::Remembers, 0) => Charged::No,
        (Memory::Remembers, _) => Charged::Yes,
        _ => Charged::Unknown,
    }
}

/// Writes the record beside the output and gives it back.
pub(super) fn written(shell: &Shell, out: &Path, header: &Header, last: &Snapshot, key: Option<&Secret>) -> Result<Value, Fault> {
    let engine = Redactor::new(key.filter(|key| key.expose().len() >= 8).cloned());
    let (verdict, status, level) = verdict(last);
    let script = Path::new(&header.input).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let batch =
        Label::new(&script, &engine, Audience::Support).or_else(|| Label::new("batch.jsonl", &engine, Audience::Support)).map(|script| {
            BatchFacts {
                script,
                concurrency: header.terms.concurrency,
                from: 1,
                to: header.lines,
                ok: last.ok,
                failed: last.failed + last.bad,
                cursor: last.cursor,
            }
        });
    let record = CallRecord {
        id: RequestId::new(header.started, rand::rng().random()),
        at: header.started,
        route: Route::Unknown,
        verdict,
        status,
        ended_by: if last.halt == Some(Halt::Interrupted) { Side::Client } else { Side::Done },
        charge: ChargeFacts { charged: charged(last), ..ChargeFacts::default() },
        kid: key.and_then(|key| ApiKey::parse(key.expose()).ok()?.kid()),
        account: None,
        group: None,
        model: String::new(),
        stream: false,
        scenario: weir_core::Scenario::Batch,
        client: weir_core::ClientFacts { name: Some("weir".into()), version: Some(env!("CARGO_PKG_VERSION").into()), ..Default::default() },
        suspected_retry_of: None,
        error_code: last.tally.codes.iter().max_by_key(|(_, count)| **count).map(|(code, _)| code.clone()),
        error_text: None,
        limit: None,
        told: None,
        attempts: Vec::new(),
        timing: Timing { total: u32::try_from(last.took().as_millis()).unwrap_or(u32::MAX), ..Timing::default() },
        observed: None,
    };
    let host = target(&header.base_url)?.authority();
    let mask = key.map(mask_foreign);
    let context = EvidenceContext {
        level,
        batch,
        charge_count: (charged(last) == Charged::Yes).then(|| u16::try_from(last.ok).unwrap_or(u16::MAX)),
        scenario: Some(Scenario::Batch),
        surface: Some(Surface::Cli),
        base_url_host: Some(&host),
        key_masked: mask.as_deref().filter(|_| record.kid.is_none()),
        ..EvidenceContext::new(&engine, PRODUCT, Source::Batch, shell.now(), TimeZone::system())
    };
    let evidence = Evidence::of(&record, &context, Audience::Support).ok_or_else(refused)?;
    let text = serde_json::to_string(&evidence).map_err(|_| refused())?;
    if engine.scan(&text, Audience::Support).is_err() || text.len() > MAX_EVIDENCE_BYTES {
        return Err(refused());
    }
    // A run whose answers are safe is not spoilt by a record that a full disk refuses.
    let _ = std::fs::write(path(out), format!("{text}\n"));
    serde_json::from_str(&text).map_err(|_| refused())
}
