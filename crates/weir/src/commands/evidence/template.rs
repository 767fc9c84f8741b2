//! The form that asks for what support needs (R53): the fields of group A, and what a scenario adds. Nothing private is asked for.

use clap::ValueEnum;
use serde_json::json;
use weir_core::{Lang, verdict::Scenario};

use crate::{
    commands::words,
    fault::{Exit, Fault},
    lang::pick,
    shell::Shell,
};

/// The scenarios by their letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Short chat
    #[value(name = "S", alias = "short_chat")]
    S,
    /// Batch
    #[value(name = "B", alias = "batch")]
    B,
    /// Image and video tasks
    #[value(name = "V", alias = "media_task")]
    V,
    /// Shared key
    #[value(name = "K", alias = "shared_key")]
    K,
}

impl Kind {
    fn scenario(self) -> Scenario {
        match self {
            Self::S => Scenario::ShortChat,
            Self::B => Scenario::Batch,
            Self::V => Scenario::MediaTask,
            Self::K => Scenario::SharedKey,
        }
    }
}

/// A field of the record, what a person is asked, and what an answer looks like.
type Field = (&'static str, &'static str, &'static str, &'static str);

const ALWAYS: [Field; 16] = [
    ("request.id", "请求 ID", "request id", "wr_…, x-request-id"),
    ("account", "账号编号", "account id", "acc_…"),
    ("key_masked", "脱敏 key", "masked key", "sk-wr-0k3m9qtp-…"),
    ("client", "客户端和版本", "client and version", "openai-python 2.8.0"),
    ("request.time", "请求时间和时区", "time of the request, with zone", "2026-07-14 10:30:41 +08:00"),
    ("request.base_url_host", "Base URL 的主机名", "host of the base URL", "api.example.com"),
    ("request.path", "接口", "path", "/v1/chat/completions"),
    ("request.model", "模型名", "model", "gpt-4o-mini"),
    ("request.stream", "stream", "stream", "true / false"),
    ("request.via_proxy", "是否经过代理", "through a proxy", "yes / no / unknown"),
    ("status", "状态码", "status", "429"),
    ("error_code", "错误码", "error code", "rate_limit_exceeded"),
    ("error_text", "错误原文", "error text", "Rate limit reached for …"),
    ("retry.retried", "是否重试过", "retried", "yes / no"),
    ("retry.count", "重试次数", "number of retries", "2"),
    ("charge.state", "是否扣费", "charged", "yes / no / pending / unknown"),
];

/// What a scenario adds.
fn added(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::S => &[("limits.reset_at", "提示的恢复时间 resetAt", "resetAt as told", "2026-07-14T11:00:00+08:00")],
        Kind::B => &[
            ("batch.script", "脚本文件名", "name of the script", "run.py"),
            ("batch.concurrency", "并发", "concurrency", "16"),
            ("batch.from", "从第几条", "from line", "1"),
            ("batch.to", "到第几条", "to line", "5000"),
            ("batch.ok", "成功条数", "lines that succeeded", "4200"),
            ("batch.failed", "失败条数", "lines that failed", "12"),
        ],
        Kind::V => &[
            ("task.id", "任务 ID", "task id", "video_…"),
            ("task.submitted_at", "提交时间", "submitted at", "2026-07-14 10:30:41 +08:00"),
            ("task.state", "任务状态", "state of the task", "queued / running / succeeded / failed / unknown"),
            ("task.charged", "任务是否扣费", "task charged", "yes / no / pending / unknown"),
        ],
        Kind::K => &[
            ("caller.label", "调用方名称", "name of the caller", "report-bot"),
            ("caller.group", "分组", "group", "staff"),
            ("caller.daily_quota", "每日额度", "daily quota", "10000"),
        ],
    }
}

/// Prints the form.
pub(super) fn print(shell: &Shell, kind: Kind) -> Result<Exit, Fault> {
    let scenario = kind.scenario();
    let fields: Vec<&Field> = ALWAYS.iter().chain(added(kind)).collect();
    if shell.flags.json {
        let asked: Vec<_> = fields
            .iter()
            .map(|(path, zh, en, example)| json!({ "path": path, "label": pick(shell.lang, zh, en), "example": example }))
            .collect();
        shell.print_json(&json!({ "schema": "weir.evidence.template/1", "scenario": scenario.label(), "fields": asked }))?;
    } else {
        shell.print(&form(shell.lang, scenario, &fields))?;
    }
    Ok(Exit::Done)
}

fn form(lang: Lang, scenario: Scenario, fields: &[&Field]) -> String {
    let name = words::scenario(lang, scenario);
    let mut text = pick(
        lang,
        format!("排查信息:{name}\n不知道的写“未知”。不要填完整 key、请求头、提示词、回答、余额或邮箱手机。\n\n"),
        format!(
            "what support needs: {name}\nwrite \"unknown\" where you do not know. no whole key, header, prompt, answer, balance, e-mail or phone.\n\n"
        ),
    );
    for (_, zh, en, example) in fields {
        text.push_str(&pick(lang, format!("{zh}(例 {example}):\n"), format!("{en} (such as {example}): \n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r39_no_form_asks_for_a_whole_key_a_header_or_a_prompt() {
        for kind in [Kind::S, Kind::B, Kind::V, Kind::K] {
            for (path, zh, en, example) in ALWAYS.iter().chain(added(kind)) {
                for word in ["header", "prompt", "messages", "authorization", "请求头", "提示词", "balance", "余额"] {
                    assert!(![*path, *zh, *en, *example].iter().any(|text| text.to_lowercase().contains(word)), "{path}");
                }
            }
        }
    }
}
