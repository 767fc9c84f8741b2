//! `weir doctor --list` and `--dry-run`: which probes there are, which would run, and what they cost.

use serde_json::json;
use weir_core::Lang;
use weir_doctor::{
    probe::{Cost, Order, ProbeId, cost, plan},
    report::plan_line,
};

use crate::{
    fault::{Exit, Fault},
    shell::Shell,
    table::table,
};

/// Every probe, what it measures, and what it costs.
pub(super) fn list(shell: &Shell) -> String {
    let row = |id: &ProbeId| {
        let (zh, en, cost_zh, cost_en) = about(*id);
        [id.to_string(), id.label().in_lang(shell.lang).to_owned(), shell.say(zh, en).to_owned(), shell.say(cost_zh, cost_en).to_owned()]
    };
    let rows: Vec<_> = ProbeId::ALL.iter().map(row).collect();
    table(shell.say(["编号", "名称", "看什么", "费用"], ["ID", "NAME", "WHAT IT LOOKS AT", "COST"]), &rows)
}

fn about(id: ProbeId) -> (&'static str, &'static str, &'static str, &'static str) {
    let free = ("不收费", "nothing");
    let call = ("一次短请求", "one short call");
    let (zh, en, (cost_zh, cost_en)) = match id {
        ProbeId::P0 => ("Key 与地址的写法、代理变量", "how key and URL are written, proxy variables", free),
        ProbeId::P1 => ("域名解析", "the name's addresses", free),
        ProbeId::P2 => ("连接、TLS、证书由谁签发", "connection, TLS, who signed the certificate", free),
        ProbeId::P3 => ("模型列表、鉴权、时钟", "list of models, key, clock", free),
        ProbeId::P4 => ("对照:同一请求 stream=false", "the control: the same call with stream=false", call),
        ProbeId::P5 => ("同一请求 stream=true,不压缩", "the same call with stream=true, nothing compressed", call),
        ProbeId::P6 => ("同上,但像浏览器那样接受压缩", "the same, accepting compression as browsers do", call),
        ProbeId::P7 => ("换一条路再测:--direct 或 --via", "the same on another way: --direct or --via", call),
        ProbeId::P8 => ("weir 网关对这次请求的记录", "what a weir gateway recorded of these calls", free),
        ProbeId::P9 => ("过去的请求或任务:--request-id、--task-id", "a past request or task: --request-id, --task-id", free),
        ProbeId::P10 => ("真实客户端发了什么:weir doctor client", "what the real client sends: weir doctor client", free),
        ProbeId::P11 => ("逐个请求直到 429:--probe-429 N", "calls until the first 429: --probe-429 N", ("N 次请求", "N calls")),
        ProbeId::P12 => ("长回答在第几秒断开:--hold 秒数", "when a long answer is cut: --hold S", ("一次长回答", "one long answer")),
        ProbeId::P13 => ("weir 网关自己的计时流,不经过模型", "a weir gateway's own timed stream, no model", free),
    };
    (zh, en, cost_zh, cost_en)
}

pub(super) fn plan_line_of(order: &Order, lang: Lang) -> String {
    let Cost { requests, max_output_tokens, seconds } = cost(order, &plan(order));
    plan_line(requests, max_output_tokens, seconds, lang).trim_end().to_owned()
}

pub(super) fn dry_run(shell: &Shell, order: &Order) -> Result<Exit, Fault> {
    let probes = plan(order);
    if shell.flags.json {
        let cost = cost(order, &probes);
        shell.print_json(&json!({ "schema": "weir.doctor.plan/1", "probes": probes, "requests": cost.requests,
            "max_output_tokens": cost.max_output_tokens, "seconds": cost.seconds }))?;
        return Ok(Exit::Done);
    }
    let names: Vec<String> = probes.iter().map(|id| format!("{id} {}", id.label().in_lang(shell.lang))).collect();
    let names = names.join(shell.say("、", ", "));
    let line = plan_line_of(order, shell.lang);
    shell.print(&shell.say(format!("{line}\n探测:{names}"), format!("{line}\nprobes: {names}")))?;
    Ok(Exit::Done)
}
