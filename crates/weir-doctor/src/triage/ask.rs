//! What support still needs, and one question that asks for all of it at once.

use weir_core::{Lang, evidence::Scenario, verdict::Class};

use super::facts::Facts;

/// A field that the text does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The field of the evidence record.
    pub field: &'static str,
    pub zh: &'static str,
    pub en: &'static str,
}

const fn missing(field: &'static str, zh: &'static str, en: &'static str) -> Missing {
    Missing { field, zh, en }
}

const REQUEST_ID: Missing = missing("request.id", "请求 ID(响应头 x-request-id)", "the request id (response header x-request-id)");
const TIME: Missing = missing("request.time", "请求时间", "the time of the request");
const ZONE: Missing = missing("request.tz", "该时间的时区", "the time zone of that time");
const MODEL: Missing = missing("request.model", "模型名", "the model's name");
const STREAM: Missing = missing("request.stream", "是否流式(stream)", "whether it was streamed (stream)");
const STATUS: Missing = missing("status", "HTTP 状态码", "the HTTP status");
const ERROR: Missing = missing("error_text", "错误原文", "the error's own words");
const CLIENT: Missing = missing("client", "客户端或 SDK 及其版本", "the client or SDK and its version");
const HOST: Missing = missing("request.base_url_host", "Base URL 的主机名", "the host of the base URL");
const KEY: Missing = missing("key_masked", "脱敏后的 Key(只要前缀和末 4 位)", "the masked key (its prefix and last 4 characters only)");
const PROXY: Missing = missing("request.via_proxy", "是否经过代理", "whether it went through a proxy");
const RETRIES: Missing = missing("retry.count", "是否重试过、几次", "whether it was retried, and how often");
const CHARGED: Missing = missing("charge.state", "是否扣费", "whether it was charged");
const TASK: Missing = missing("task.id", "任务 ID", "the task's id");
const RANGE: Missing = missing("batch", "批量:并发数、从第几条到第几条", "for the batch: concurrency, and from which line to which");
const CALLER: Missing = missing("caller", "同一把 Key 还有谁在用", "who else uses the same key");
const LIMITS: Missing =
    missing("limits.reset_at", "429 里的恢复时间(resetAt 或 Retry-After)", "when the 429 said to come back (resetAt or Retry-After)");
const TOOK: Missing = missing("timing.total", "等了多久才失败(秒)", "how long it took until it failed (seconds)");
const TIMEOUT: Missing = missing("client.read_timeout_s", "客户端设的超时(秒)", "the timeout that the client has set (seconds)");
const END: Missing = missing("stream_obs.end_marker", "流里最后一行是什么类型(有没有 [DONE])", "whether the stream's last line was [DONE]");

/// What is missing, the most useful first. A call whose weir id is known needs little else: the record has it.
pub(super) fn missing_of(facts: &Facts, class: Class) -> Vec<Missing> {
    let has_record = facts.has_own_id();
    let mut wanted = Vec::new();
    let mut need = |is_missing: bool, field: Missing| {
        if is_missing {
            wanted.push(field);
        }
    };
    need(facts.request_ids.is_empty(), REQUEST_ID);
    if !has_record {
        need(facts.time.is_none(), TIME);
        need(facts.time.as_ref().is_some_and(|when| when.zone.is_none()), ZONE);
        need(facts.model.is_none(), MODEL);
        need(facts.stream.is_none(), STREAM);
        let answered = !matches!(class, Class::Network | Class::Local);
        need(answered && facts.status.is_none(), STATUS);
        need(facts.error_text.is_none() && facts.captured.is_none(), ERROR);
        need(facts.client.is_none(), CLIENT);
        need(facts.host.is_none(), HOST);
        need(facts.key_masked.is_none(), KEY);
        need(facts.retries.is_none(), RETRIES);
        need(facts.charged.is_none(), CHARGED);
    }
    need(facts.proxy.is_none(), PROXY);
    if has_record {
        return wanted;
    }
    let mut need = |is_missing: bool, field: Missing| {
        if is_missing {
            wanted.push(field);
        }
    };
    match class {
        Class::Rate => need(facts.reset.is_none(), LIMITS),
        Class::Timeout => {
            need(facts.took_ms.is_none(), TOOK);
            need(facts.read_timeout_s.is_none(), TIMEOUT);
        }
        Class::Stream => need(facts.captured.is_none(), END),
        _ => {}
    }
    match facts.scenario {
        Some(Scenario::MediaTask) => need(facts.task_id.is_none(), TASK),
        Some(Scenario::Batch) => need(true, RANGE),
        Some(Scenario::SharedKey) => need(true, CALLER),
        _ => {}
    }
    wanted
}

/// One question for everything, ready to send. Empty if nothing is missing.
pub(super) fn question(missing: &[Missing], only_asks: bool, lang: Lang) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let pick = |field: &Missing| if lang == Lang::Zh { field.zh } else { field.en };
    let numbered: Vec<String> = missing.iter().enumerate().map(|(at, field)| format!("{}. {}", at + 1, pick(field))).collect();
    let list = numbered.join("\n");
    let first = match (only_asks, lang) {
        (false, _) => "",
        (true, Lang::Zh) => "有没有哪一次调用出了问题?如果有,",
        (true, Lang::En) => "Did a call of yours go wrong? If so: ",
    };
    match lang {
        Lang::Zh => {
            format!("{first}请一次性补充下面这些信息,不知道的写“未知”:\n{list}\n请不要发送完整的 Key、请求头、提示词、回答、余额或账单。")
        }
        Lang::En => format!(
            "{first}Please send the following in one message; write \"unknown\" where you do not know:\n{list}\nPlease do not send whole keys, request headers, prompts, answers, balances or bills."
        ),
    }
}
