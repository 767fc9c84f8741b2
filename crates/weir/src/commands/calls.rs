//! `weir calls`: find calls and read their records.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weir_core::{Amount, AttemptRecord, Charged, How, LimitFacts, RequestId, StreamEnd, Timestamp, Told};
use weir_gateway::call_view;
use weir_store::{CallFilter, CallState, JoinedRequest, Store, StoreError, StoredCall};

use super::{key, words};
use crate::{
    args::span,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::{pairs, table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Calls {
    /// List calls, newest first
    #[command(after_help = "Example:\n  weir calls list --key 0k3m9qtp --since 1h --verdict W-RATE-003")]
    List(List),
    /// Show one call: what happened, when, who ended it, what it cost
    #[command(after_help = "Example:\n  weir calls show wr_01j2w8k3q4zp7m01j2w8k3q4zp")]
    Show {
        /// A request id, `wr_…`
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    chosen: Chosen,
    /// Print how many there are instead
    #[arg(long)]
    count: bool,
}

/// Which calls.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// Only calls of the key with this id
    #[arg(long, value_name = "KID")]
    key: Option<String>,
    /// Only calls of this account
    #[arg(long)]
    account: Option<String>,
    /// Only calls of the last 30s, 15m, 1h, 7d …
    #[arg(long, value_name = "DURATION", value_parser = span)]
    since: Option<Duration>,
    /// Only calls with this verdict
    #[arg(long, value_name = "CODE")]
    verdict: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = CallFilter::DEFAULT_LIMIT, value_parser = clap::value_parser!(u32).range(1..=i64::from(CallFilter::MAX_LIMIT)))]
    limit: u32,
}

impl Chosen {
    /// As the store is asked.
    pub(crate) fn filter(self, shell: &Shell, store: &Store) -> Result<CallFilter, Fault> {
        let account = match self.account {
            Some(name) => Some(store.account(&name)?.ok_or(StoreError::NoSuchAccount(name))?.id),
            None => None,
        };
        let before = |span: Duration| Timestamp(shell.now().0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)));
        Ok(CallFilter {
            kid: self.key.as_deref().map(key::kid).transpose()?,
            account,
            since: self.since.map(before),
            verdict: self.verdict.as_deref().map(words::verdict).transpose()?,
            limit: self.limit,
        })
    }
}

impl Calls {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self {
            Self::List(list) => list.run(shell)?,
            Self::Show { id } => show(shell, &id)?,
        }
        Ok(Exit::Done)
    }
}

impl List {
    fn run(self, shell: &Shell) -> Result<(), Fault> {
        let store = shell.store()?;
        let filter = self.chosen.filter(shell, &store)?;
        if self.count {
            let count = store.count(&filter)?;
            return if shell.flags.json { shell.print_json(&json!({ "count": count })) } else { shell.print(&count.to_string()) };
        }
        let calls = store.calls(&filter)?;
        if shell.flags.json {
            let views: Vec<Value> = calls.iter().map(call_view).collect();
            return shell.print_json(&json!({ "calls": views }));
        }
        if calls.is_empty() {
            shell.tell(&text!("没有符合的调用", "no such calls"));
            return Ok(());
        }
        shell.print(&listed(shell, &calls))
    }
}

fn listed(shell: &Shell, calls: &[StoredCall]) -> String {
    let row = |call: &StoredCall| {
        let record = &call.record;
        let stream = record.observed.as_ref().filter(|_| record.stream);
        [
            words::local_time(record.at),
            record.id.to_string(),
            record.verdict.code().to_owned(),
            if call.state == CallState::Running { "…".to_owned() } else { record.status.to_string() },
            if record.model.is_empty() { "–".to_owned() } else { record.model.clone() },
            stream.map_or_else(|| "–".to_owned(), |seen| seen.events.to_string()),
            record.timing.total.to_string(),
            words::charged(shell.lang, record.charge.charged).to_owned(),
            record.verdict.words(shell.lang).title.to_owned(),
        ]
    };
    let rows: Vec<_> = calls.iter().map(row).collect();
    let zone = words::zone(calls[0].record.at);
    let time = shell.say(format!("时间 {zone}"), format!("TIME {zone}"));
    let zh = [&*time, "请求 ID", "结论码", "状态", "模型", "事件", "毫秒", "扣费", "结论"];
    let en = [&*time, "REQUEST", "VERDICT", "STATUS", "MODEL", "EVENTS", "MS", "CHARGED", "WHAT HAPPENED"];
    table(shell.say(zh, en), &rows)
}

/// The call of a typed id.
pub(crate) fn find(shell: &Shell, typed: &str) -> Result<StoredCall, Fault> {
    let id: RequestId = typed.parse().map_err(|_| {
        Fault::usage(
            text!("这不是请求 ID", "this is not a request id"),
            text!(
                "它以 wr_ 开头,在响应头 x-request-id 和错误的 request_id 里",
                "it begins with wr_, and is in the header x-request-id and in an error's request_id"
            ),
        )
    })?;
    shell.store()?.call(id)?.ok_or_else(|| {
        Fault::new(Exit::Unknown, text!("没有这次调用的记录", "there is no record of this call"))
            .with_hint(text!("核对数据目录(--data)和 ID 是否完整", "check the data directory (--data) and that the id is whole"))
    })
}

fn show(shell: &Shell, typed: &str) -> Result<(), Fault> {
    let call = find(shell, typed)?;
    if shell.flags.json {
        return shell.print_json(&call_view(&call));
    }
    shell.print(&page(shell, &call))
}

fn page(shell: &Shell, call: &StoredCall) -> String {
    let record = &call.record;
    let words = record.verdict.words(shell.lang);
    let none = || words::none(shell.lang).to_owned();
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(none);
    let status = if call.state == CallState::Running { shell.say("进行中", "running").to_owned() } else { record.status.to_string() };
    let stream = if record.stream { "true" } else { "false" };
    let mut rows = vec![
        (shell.say("请求 ID", "request"), record.id.to_string()),
        (shell.say("时间", "time"), words::local_time_with_zone(record.at)),
        (shell.say("接口", "route"), format!("{}  stream {stream}", record.route.path())),
        (shell.say("场景", "scenario"), record.scenario.label().to_owned()),
        (shell.say("模型", "model"), if record.model.is_empty() { none() } else { record.model.clone() }),
        (shell.say("Key", "key"), record.kid.as_ref().map_or_else(none, weir_core::KeyId::mask)),
        (shell.say("账号", "account"), or_none(&record.account)),
        (shell.say("状态", "status"), status),
        (shell.say("由谁结束", "ended by"), words::side(shell.lang, record.ended_by).to_owned()),
        (shell.say("错误原文", "error text"), or_none(&record.error_text)),
        (shell.say("用时", "timing"), timing(shell, call)),
    ];
    if let Some(seen) = &record.observed {
        rows.push((shell.say("流", "stream"), stream_line(shell, seen)));
    }
    if let Some(limit) = &record.limit {
        rows.push((shell.say("限额", "limit"), limit_line(shell, limit)));
    }
    if let Some(told) = record.told {
        rows.push((shell.say("先行答复", "told first"), told_line(shell, told)));
    }
    for request in &call.requests {
        rows.push((shell.say("同一调用", "again"), request_line(shell, request)));
    }
    if let Some(earlier) = record.suspected_retry_of {
        rows.push((shell.say("疑似重试自", "maybe retries"), earlier.to_string()));
    }
    for attempt in &record.attempts {
        rows.push((shell.say("尝试", "attempt"), attempt_line(shell, attempt)));
    }
    if let Some(task) = &call.task {
        rows.push((shell.say("任务", "task"), format!("{}  {}  {}", task.id(), task.state.label(), task.verdict().code())));
    }
    rows.push((shell.say("扣费", "charged"), charge_line(shell, call)));
    rows.push((shell.say("先查", "check first"), words.check.to_owned()));
    rows.push((shell.say("不要", "do not"), words.never.to_owned()));
    format!("[{}] {}\n\n{}", record.verdict.code(), words.title, pairs(&rows))
}

/// What the first client was told while its call went on.
fn told_line(shell: &Shell, told: Told) -> String {
    let Told { status, at_ms } = told;
    shell.say(
        format!("{status}  +{at_ms} ms  SDK 声明的等待时间已到,调用继续"),
        format!("{status}  +{at_ms} ms  the time that its SDK had announced was over; the call went on"),
    )
}

/// A request that joined the call or got its replay: when, why it belongs to it, what it got.
fn request_line(shell: &Shell, request: &JoinedRequest) -> String {
    let how = match request.how {
        How::Key => shell.say("同一幂等键", "same Idempotency-Key"),
        How::Retry => shell.say("SDK 标明是重试", "marked as a retry by its SDK"),
        How::Returned => shell.say("客户端离开后又回来", "its client had left and came back"),
        How::Assumed => shell.say("按设置视为重试", "taken for a retry, as configured"),
        How::Resume => shell.say("续读", "resumed"),
    };
    let status = if request.status == 0 { "…".to_owned() } else { request.status.to_string() };
    let (id, at, events) = (request.id, words::local_time(request.at), request.events);
    shell.say(
        format!("{at}  {id}  {how}  {status}  {events} 条事件  不另扣费"),
        format!("{at}  {id}  {how}  {status}  {events} events  no new charge"),
    )
}

fn limit_line(shell: &Shell, limit: &LimitFacts) -> String {
    let (scope, kind, most) = (limit.scope.label(), limit.kind.label(), limit.limit);
    let reset = limit.reset_at.map(|at| format!("  resetAt {}", words::local_time_with_zone(at))).unwrap_or_default();
    let early = match limit.early {
        0 => String::new(),
        n => shell.say(format!("  提前重试 {n} 次"), format!("  early retries {n}")),
    };
    format!("{scope} {kind} {most}{reset}{early}")
}

/// What one attempt met: when, after which wait, on which channel, how far it came, and the upstream's own id.
fn attempt_line(shell: &Shell, attempt: &AttemptRecord) -> String {
    let status = attempt.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
    let code = attempt.verdict.map_or("", |verdict| verdict.code());
    let (n, channel, ms, at) = (attempt.n, &attempt.channel, attempt.ms, attempt.at_ms);
    let waited = match attempt.wait_ms {
        0 => String::new(),
        wait => shell.say(format!("(等了 {wait} ms)"), format!(" (waited {wait} ms)")),
    };
    let phase = words::phase(shell.lang, attempt.phase);
    let id = attempt.upstream_id.as_deref().unwrap_or("");
    format!("{n}  {channel}  +{at} ms{waited}  {ms} ms  {phase}  {status}  {code}  {id}").trim_end().to_owned()
}

fn timing(shell: &Shell, call: &StoredCall) -> String {
    let timing = &call.record.timing;
    let parts = [
        (shell.say("排队", "queued"), timing.queued),
        (shell.say("连接", "connect"), timing.connect),
        (shell.say("首字节", "first byte"), timing.ttfb),
        (shell.say("首事件", "first event"), timing.first_event),
        (shell.say("末事件", "last event"), timing.last_event),
        (shell.say("最长间隔", "longest gap"), timing.gap_max),
        (shell.say("总计", "total"), Some(timing.total)),
    ];
    let shown: Vec<String> = parts.iter().filter_map(|(name, ms)| ms.map(|ms| format!("{name} {ms} ms"))).collect();
    shown.join("  ")
}

fn stream_line(shell: &Shell, seen: &weir_core::StreamFacts) -> String {
    let (zh, en) = match seen.end {
        StreamEnd::Done => ("有结束标记", "its own end marker"),
        StreamEnd::EofNoDone => ("缺结束标记", "no end marker"),
        StreamEnd::EofNoFinish => ("没有完成就结束", "ended without a finish"),
        StreamEnd::UpstreamError => ("上游报错", "the upstream sent an error"),
        StreamEnd::UpstreamCut => ("上游连接断开", "the upstream's connection broke"),
        StreamEnd::IdleTimeout => ("间隔超时", "idle timeout"),
        StreamEnd::TotalTimeout => ("总时长超时", "total timeout"),
        StreamEnd::ClientGone => ("客户端离开", "the client left"),
        StreamEnd::Oversize => ("单个事件过大", "an event was too long"),
        StreamEnd::Draining => ("网关停机", "the gateway was stopped"),
        StreamEnd::None => ("没有流出内容", "nothing was streamed"),
    };
    let (events, bytes) = (seen.events, seen.bytes);
    shell.say(format!("{events} 条事件,{bytes} 字节,{zh}"), format!("{events} events, {bytes} bytes, {en}"))
}

fn charge_line(shell: &Shell, call: &StoredCall) -> String {
    let charge = &call.record.charge;
    if charge.charged == Charged::No && charge.held == Amount::default() {
        // Nothing was ever held: no rule was applied, and none is named.
        return words::charged(shell.lang, charge.charged).to_owned();
    }
    let rule = serde_json::to_value(charge.rule).ok().and_then(|rule| rule.as_str().map(str::to_owned)).unwrap_or_default();
    let state = words::charged(shell.lang, charge.charged);
    let (amount, held) = (words::amount(charge.amount), words::amount(charge.held));
    let (input, output) = (charge.usage.input, charge.usage.output);
    let ledger = call.ledger.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(" ");
    let line = shell.say(
        format!("{state}  金额 {amount}(预留 {held})  依据 {rule}  输入 {input} 输出 {output} token  {ledger}"),
        format!("{state}  amount {amount} (held {held})  rule {rule}  {input} input and {output} output tokens  {ledger}"),
    );
    line.trim_end().to_owned()
}
