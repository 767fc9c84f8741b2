//! What is said when a run has ended, or before it begins.

use std::path::Path;

use serde_json::{Value, json};
use weir_client::{
    batch::{Halt, Header, Snapshot, Survey},
    client::Memory,
};
use weir_core::{Price, Secret, Usage};

use super::{
    progress::{clock, grouped},
    record,
    start::units,
};
use crate::{
    commands::words::local_time_with_zone,
    fault::{Exit, Fault},
    lang::{Text, text},
    shell::Shell,
    table::pairs,
};

/// Output tokens that a row without a bound is counted for in a plan.
const UNBOUNDED: u64 = 4_096;

/// `--dry-run`: what is in the file and what it may cost.
pub(super) fn planned(shell: &Shell, survey: &Survey, price: Option<&Price>) -> Result<Exit, Fault> {
    let output = survey.output_tokens.saturating_add(survey.unbounded.saturating_mul(UNBOUNDED));
    let usage = Usage { input: survey.input_tokens, output, images: survey.images, seconds: survey.seconds, ..Usage::default() };
    let most = price.map(|price| price.of(&usage).map_or(i64::MAX, |amount| amount.0));
    let exit = if survey.bad > 0 { Exit::NotWell } else { Exit::Done };
    if shell.flags.json {
        shell.print_json(&json!({
            "rows": survey.rows, "bad": survey.bad, "input_tokens": survey.input_tokens, "output_tokens_most": output,
            "unbounded_rows": survey.unbounded, "images": survey.images, "seconds": survey.seconds, "cost_most": most.map(units),
        }))?;
        return Ok(exit);
    }
    let mut rows = vec![
        (shell.say("行数", "rows"), grouped(survey.rows)),
        (shell.say("不能用的行", "bad rows"), grouped(survey.bad)),
        (shell.say("输入 token(估计)", "input tokens, about"), grouped(survey.input_tokens)),
        (shell.say("输出 token 至多", "output tokens, at most"), grouped(output)),
    ];
    if survey.unbounded > 0 {
        let (each, count) = (grouped(UNBOUNDED), grouped(survey.unbounded));
        let note = text!("{count}(没有 max_tokens,各按 {each} 计)", "{count}, counted as {each} each");
        rows.push((shell.say("未设上限的行", "rows without a bound"), note.in_lang(shell.lang).to_owned()));
    }
    if survey.images + survey.seconds > 0 {
        rows.push((shell.say("图片 / 视频秒数", "images / seconds"), format!("{} / {}", survey.images, survey.seconds)));
    }
    if let Some(most) = most {
        rows.push((shell.say("费用至多", "cost, at most"), units(most)));
    }
    shell.print(&pairs(&rows))?;
    shell.tell(&text!("没有发出任何请求", "nothing was sent"));
    Ok(exit)
}

fn exit_of(last: &Snapshot) -> Exit {
    match &last.halt {
        Some(Halt::Interrupted) => Exit::Interrupted,
        Some(Halt::MaxCost) => Exit::Refused,
        Some(_) => Exit::Unknown,
        None if last.failed + last.bad > 0 => Exit::NotWell,
        None => Exit::Done,
    }
}

/// Why it stopped, and what to do.
fn halted(halt: &Halt, weir: &str, out: &Path) -> (Text, Text) {
    let out = out.display();
    let resume = text!("然后 `{weir} batch resume {out}`", "then `{weir} batch resume {out}`");
    let then = |zh: &str, en: &str| Text { zh: format!("{zh},{}", resume.zh), en: format!("{en}, {}", resume.en) };
    match halt {
        Halt::Interrupted => {
            (text!("已停下", "stopped as asked"), text!("`{weir} batch resume {out}` 接着跑", "`{weir} batch resume {out}` goes on"))
        }
        Halt::Denied { status } => (
            text!(
                "服务器以 {status} 拒绝了这把 key 或其余额,其余行没有发出",
                "the server refused the key or its balance with {status}; the other rows were not sent"
            ),
            then("换一把 key 或充值", "change the key or credit its account"),
        ),
        Halt::Told { until: Some(until) } => {
            let at = local_time_with_zone(*until);
            (
                text!("额度要到 {at} 才恢复,比 --max-wait 更久", "the limit opens at {at}, which is later than --max-wait allows"),
                then("到那时再来,或加大 --max-wait", "come back then, or allow a longer --max-wait"),
            )
        }
        Halt::Told { until: None } => (
            text!("当日额度已用完,服务器没说何时恢复", "the day's quota is used up, and the server did not say when it opens"),
            then("等额度恢复", "wait until it does"),
        ),
        Halt::MaxCost => {
            (text!("下一行可能超出 --max-cost", "the next row could cost more than --max-cost"), then("加大 --max-cost", "allow more"))
        }
        Halt::Disk(kind) => (text!("磁盘写不进去:{kind}", "the disk takes no more: {kind}"), then("腾出空间", "make room")),
        Halt::Failing { rows } => (
            text!(
                "连续 {rows} 行失败,没有一行成功,停下以免浪费",
                "{rows} rows failed one after the other and none succeeded, so it stopped"
            ),
            then("看看下面的原因,改好", "look at the reasons below and mend them"),
        ),
    }
}

/// What could not be promised, in words.
fn caveats(last: &Snapshot) -> Vec<Text> {
    let mut all = Vec::new();
    if last.unguaranteed > 0 {
        let count = grouped(last.unguaranteed);
        all.push(text!(
            "{count} 行发出后没有回答,服务器不记 Idempotency-Key,已再发一次:这些行可能被生成并计费两次",
            "{count} rows were sent, not answered, and sent again: this server does not remember Idempotency-Key, so these may have been made and charged twice"
        ));
    }
    if last.unknown > 0 {
        let count = grouped(last.unknown);
        all.push(text!(
            "{count} 个任务发出后不知结果,没有重新提交:在服务商那边查",
            "{count} jobs were sent and nobody knows what became of them; they were not submitted again: look at the provider's"
        ));
    }
    if last.tally.unkept > 0 {
        let count = grouped(last.tally.unkept);
        all.push(text!(
            "{count} 个回答没能写下;续跑时会按原来的名字再问",
            "{count} answers could not be written; a resume asks for them under their names"
        ));
    }
    all
}

/// The summary.
pub(super) fn told(shell: &Shell, out: &Path, header: &Header, last: &Snapshot, key: Option<&Secret>) -> Result<Exit, Fault> {
    let exit = exit_of(last);
    let evidence = record::written(shell, out, header, last, key)?;
    let per_minute = u64::try_from(u128::from(last.ok) * 60_000 / last.took().as_millis().max(1)).unwrap_or(u64::MAX);
    if shell.flags.json {
        shell.print_json(&json(last, out, &evidence))?;
    } else {
        let reasons: Vec<String> = last.tally.codes.iter().map(|(code, count)| format!("{code} {}", grouped(*count))).collect();
        let mut rows = vec![
            (shell.say("已答", "answered"), format!("{} / {}", grouped(last.ok), grouped(last.rows))),
            (shell.say("失败", "failed"), grouped(last.failed)),
            (shell.say("不能用的行", "bad rows"), grouped(last.bad)),
            (shell.say("未发", "not sent"), grouped(last.left())),
            (shell.say("请求", "calls"), format!("{} (429 {})", grouped(last.tally.calls), grouped(last.tally.refused))),
            (shell.say("用时", "took"), format!("{}  {}/min", clock(last.took()), grouped(per_minute))),
            (
                shell.say("token 输入 / 输出", "tokens in / out"),
                format!("{} / {}", grouped(last.tally.input_tokens), grouped(last.tally.output_tokens)),
            ),
        ];
        if header.terms.price.is_some() {
            rows.push((shell.say("花费", "spent"), units(last.spent)));
        }
        if !reasons.is_empty() {
            rows.push((shell.say("原因", "reasons"), reasons.join(", ")));
        }
        rows.push((shell.say("证据", "evidence"), record::path(out).display().to_string()));
        shell.print(&pairs(&rows))?;
    }
    for caveat in caveats(last) {
        let line = caveat.in_lang(shell.lang);
        crate::shell::tell(&format!("{} {line}", shell.say("注意:", "note:")));
    }
    if let Some(halt) = &last.halt {
        let (why, hint) = halted(halt, &shell.called, out);
        crate::shell::tell(&format!("{} {}\nhint: {}", shell.say("停下:", "stopped:"), why.in_lang(shell.lang), hint.in_lang(shell.lang)));
    } else if last.failed > 0 {
        let (weir, out) = (&shell.called, out.display());
        shell.tell(&text!(
            "hint: `{weir} batch resume {out} --only-failed` 只重跑失败的行",
            "hint: `{weir} batch resume {out} --only-failed` asks for the failed rows anew"
        ));
    }
    Ok(exit)
}

fn json(last: &Snapshot, out: &Path, evidence: &Value) -> Value {
    let stopped = last.halt.as_ref().map(|halt| match halt {
        Halt::Interrupted => "interrupted",
        Halt::Denied { .. } => "denied",
        Halt::Told { .. } => "told_to_wait",
        Halt::MaxCost => "max_cost",
        Halt::Disk(_) => "disk",
        Halt::Failing { .. } => "failing",
    });
    let until = if let Some(Halt::Told { until }) = &last.halt { until.map(|until| until.rfc3339()) } else { None };
    json!({
        "out": out, "rows": last.rows, "ok": last.ok, "failed": last.failed, "bad": last.bad, "left": last.left(), "unknown": last.unknown,
        "cursor": last.cursor, "calls": last.tally.calls, "refused": last.tally.refused, "retried": last.tally.retried,
        "input_tokens": last.tally.input_tokens, "output_tokens": last.tally.output_tokens, "spent": units(last.spent),
        "sent_again_unguaranteed": last.unguaranteed, "answers_not_kept": last.tally.unkept, "server_remembers_keys": match last.remembers {
            Memory::Remembers => Value::Bool(true),
            Memory::Forgets => Value::Bool(false),
            Memory::Unknown => Value::Null,
        },
        "codes": last.tally.codes, "took_ms": u64::try_from(last.took().as_millis()).unwrap_or(u64::MAX), "stopped": stopped, "opens_at": until,
        "evidence": evidence,
    })
}
