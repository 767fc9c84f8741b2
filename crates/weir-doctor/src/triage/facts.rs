//! What a text tells about the call: each a small typed fact, found in text that was redacted before.

use std::sync::LazyLock;

use weir_core::{Charged, Timestamp, Verdict, evidence::Scenario, verdict::Class};

use super::{
    exchange::Exchange,
    pattern::{all, count, first, is_in, pattern},
    stream::Captured,
    when::{self, When},
};

/// More ids of a kind are not kept.
const IDS: usize = 5;
/// More retries are not counted.
const RETRIES: usize = 99;

/// Everything found. What is `None` was not in the text.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    pub(super) time: Option<When>,
    pub(super) status: Option<u16>,
    pub(super) error_code: Option<String>,
    pub(super) error_text: Option<String>,
    pub(super) model: Option<String>,
    pub(super) stream: Option<bool>,
    pub(super) client: Option<(String, Option<String>)>,
    pub(super) sdk: Option<String>,
    pub(super) host: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    /// How a proxy showed itself.
    pub(super) proxy: Option<&'static str>,
    pub(super) request_ids: Vec<String>,
    pub(super) edge_ids: Vec<String>,
    pub(super) task_id: Option<String>,
    pub(super) retries: Option<u32>,
    pub(super) read_timeout_s: Option<u32>,
    pub(super) took_ms: Option<u64>,
    pub(super) key_masked: Option<String>,
    /// What the person says about a charge.
    pub(super) charged: Option<Charged>,
    pub(super) scenario: Option<Scenario>,
    /// When the answer said to come back.
    pub(super) reset: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) captured: Option<Captured>,
}

const MODEL: &str = r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{1,80}";

static MODEL_TEXT: LazyLock<String> = LazyLock::new(|| {
    format!(
        r#"(?i)\\?"model\\?"\s*:\s*\\?"({MODEL})\\?"|\bmodel(?:_name|_id)?\s*[=:]\s*['"`]?({MODEL})|模型(?:名称?|名字)?\s*[:：=是为用]*\s*['"`]?({MODEL})"#
    )
});
static MODEL_NAMED: super::pattern::Pattern = LazyLock::new(|| regex::Regex::new(&MODEL_TEXT).ok());
pattern!(
    MODEL_KNOWN,
    r"(?i)(?:^|[^A-Za-z0-9_/.-])((?:openai/|anthropic/|google/|deepseek-ai/|qwen/|meta-llama/|pro/)?(?:gpt-[345o][A-Za-z0-9_.-]*|chatgpt-[A-Za-z0-9_.-]+|o[134](?:-mini|-preview|-pro)?|claude-[A-Za-z0-9_.-]+|gemini-[A-Za-z0-9_.-]+|deepseek-[A-Za-z0-9_.-]+|qwen[A-Za-z0-9_.-]+|glm-[A-Za-z0-9_.-]+|kimi-[A-Za-z0-9_.-]+|moonshot-v1-\w+|doubao-[A-Za-z0-9_.-]+|hunyuan-[A-Za-z0-9_.-]+|ernie-[A-Za-z0-9_.-]+|llama-?\d[A-Za-z0-9_.:-]*|mi(?:stral|xtral)-[A-Za-z0-9_.-]+|grok-[A-Za-z0-9_.-]+|sora-\d[A-Za-z0-9_.-]*|dall-e-\d|text-embedding-[A-Za-z0-9_.-]+|whisper-\d|wan\d[A-Za-z0-9_.-]+|kling-[A-Za-z0-9_.-]+|flux[A-Za-z0-9_.-]+|minimax-[A-Za-z0-9_.-]+|sim:[\w:=,.-]+))"
);
pattern!(
    STREAM_SAID,
    r#"(?i)\\?"stream\\?"\s*:\s*(true|false)|\bstream(?:ing)?\s*[=:]\s*['"]?(true|false|1|0|on|off)\b|(非流式|不流式|关闭流式|关了流式|流式|streaming|event-stream)"#
);
pattern!(CODE, r#"(?i)['"]?(?:error[_.]?)?code['"]?\s*[:=]\s*['"]?([A-Za-z][A-Za-z0-9_.:-]{2,63})"#);
pattern!(
    HOST,
    r"(?i)(?:https?|wss?)://([A-Za-z0-9.-]+(?::\d{2,5})?)|\b(?:host|base_?url|upstream)\s*[:=]\s*['\x22]?([a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?)"
);
pattern!(
    PATH,
    r"(?i)((?:/[A-Za-z0-9_-]+){0,3}/(?:chat/completions|completions|responses|messages|embeddings|images/\w+|videos?(?:/generations)?|audio/\w+|models|rerank|moderations))\b"
);
pattern!(WEIR_ID, r"\b(wr_[0-9a-hjkmnp-tv-z]{26})\b");
pattern!(
    REQUEST_ID,
    r#"(?i)\b(req[_-][A-Za-z0-9_-]{8,64})\b|(?:x-)?request[-_ ]?id['"]?\s*[:=]?\s*['"(]?([A-Za-z0-9_-]{10,72})|请求 ?id\s*[:：]?\s*([A-Za-z0-9_-]{10,72})|\b(chatcmpl-[A-Za-z0-9_-]{8,64}|gen-[A-Za-z0-9_-]{10,64}|msg_[A-Za-z0-9_]{10,64})\b|trace[-_ ]?id['"]?\s*[:=]\s*['"]?([A-Za-z0-9_-]{10,72})"#
);
pattern!(
    EDGE_ID,
    r"(?i)cf-ray:?\s*['\x22]?([0-9a-f]{16}(?:-[A-Z]{3})?)|ray id:?\s*(?:<[^>]*>)?\s*([0-9a-f]{16})|x-amz(?:n-requestid|-cf-id):\s*([A-Za-z0-9_=+/-]{16,80})"
);
pattern!(
    TASK_ID,
    r#"(?i)\b((?:task|video|job|cgt|imgtask)[_-][A-Za-z0-9_-]*\d[A-Za-z0-9_-]{4,64})|(?:task|job)[_ ]?id['"]?\s*[:=]\s*['"]?([A-Za-z0-9_-]{6,64})|任务\s*(?:id|编号|号)?\s*(?:是|为)?\s*[:：]?\s*([A-Za-z0-9][A-Za-z0-9_-]{7,64})"#
);
pattern!(
    RETRY_LINE,
    r"(?i)retrying (?:request|in|after|\()|will retry|retry attempt|attempt #?\d+ (?:failed|of)|重试第|第 ?\d+ ?次重试|retry #\d"
);
pattern!(
    RETRY_COUNT,
    r"(?i)x-stainless-retry-count:\s*(\d{1,2})|retried (\d{1,2}) times|重试了? ?(\d{1,2}) ?次|试了 ?(\d{1,2}) ?次|after (\d{1,2}) (?:retries|attempts)|max_retries[=: ]+(\d{1,2})|(\d{1,2}) ?次重试|reached max retries: (\d{1,2})|点了? ?(\d{1,2}) ?次|(?:clicked|tried|sent|submitted)(?: \w+){0,2} (\d{1,2}) times"
);
pattern!(
    READ_TIMEOUT,
    r"(?i)x-stainless-read-timeout:\s*(\d{1,5})|read timeout=?\s*(\d{1,5})|(?:request_?)?timeout\s*[=:]\s*(\d{1,5})(?:\.\d+)?\b|超时(?:时间|设置|设)?(?:设|为|是|了|成)*\s*[:：]?\s*(\d{1,5}) ?(?:秒|s\b)|--max-time (\d{1,5})|-m (\d{1,4}) "
);
pattern!(
    TOOK_S,
    r"(?i)(?:took|elapsed|request_time|\brt|time_total|timed out after|after waiting|waited)[=: ]+(\d{1,5}(?:\.\d{1,6})?) ?(?:s|sec|seconds|secs)?\b|(?:等了?|耗时|用时|大?约|大概|第|过了?|到) ?(\d{1,4}(?:\.\d+)?) ?秒|(\d{1,4}(?:\.\d+)?) ?秒(?:后|左右|就|整|时)"
);
pattern!(
    TOOK_MS,
    r"(?i)(?:took|after|elapsed|duration|latency|use_time)[=:\x22 ]+(\d{1,8}) ?(?:ms|milliseconds?)\b|(?:duration|latency|took|elapsed|total)_ms[\x22']?\s*[=:]\s*(\d{1,8})| (?:\d+|-1)(?:/(?:\d+|-1)){3}/\+?(\d{1,8}) \d{3} \+?\d+ "
);
pattern!(KEY_MASK, r"(sk-wr-[0-9a-z]{8}-…|(?:sk|gsk|xai|hf|AIza)[A-Za-z0-9_-]{0,12}(?:…|\.\.\.|\*{3,})[A-Za-z0-9_]{0,4})");
pattern!(
    RESET,
    r#"(?i)reset_?at['"]?\s*[:= ]\s*['"]?['"]?([\dT:+. Z-]{10,35})|retry-after(?:-ms)?:\s*([\w:, ]{1,40})|try again (?:in|after) ([\d.]+ ?(?:ms|s|m|h|seconds?|minutes?|hours?)[\dhms.]*)|retry after (\d+ ?(?:ms|s|seconds?)?)|在 ?([\d -]{10}[ T][\d:]{5,8}) ?重置|wait (\d+ (?:seconds|minutes|hours))"#
);
pattern!(
    PROXY_ENV,
    r"(?i)uses proxy env variable|https?_proxy\s*[=:]|all_proxy\s*[=:]|proxyconnect|tunnel connection|CONNECT tunnel|HTTP Proxy|proxies="
);
pattern!(
    PROXY_SAID,
    r"(?i)\b(?:clash|v2ray|shadowsocks|surge|vpn|zscaler|squid|mitmproxy|charles)\b|梯子|走(?:了)?代理|开(?:了|着)代理|经过(?:公司)?代理|公司代理|加速器"
);
pattern!(
    CHARGED_TWICE,
    r"(?i)(?:charged|billed) (?:twice|two times|multiple|\d+ times|again)|double[- ]?(?:charg|bill)|(?:重复|多次|两次|二次|又)扣(?:费|款|钱)|扣(?:了|费)(?:两|2|二|三|3|几|多)次|扣(?:了)?(?:两|2|三|3)次(?:费|钱|款)"
);
pattern!(
    CHARGED_SAID,
    r"(?i)\b(?:was|were|been|got|still|already) (?:charged|billed)\b|charged[\x22']?\s*[:=]\s*[\x22']?(?:true|yes)|扣费了|扣了(?:费|钱|款|\d)|(?:已|被|还|也)扣(?:费|款|了)|余额(?:少了|下降|减少|变少)|(?:积分|余额|额度|点数|钱)(?:也|都|还|却|已经?|照样)?(?:被)?扣|扣了我?(?:积分|额度|点数)|credits? (?:were|was|are|got|have been) (?:taken|deducted|used)|\bon (?:the|my) (?:bill|invoice)"
);
pattern!(
    NOT_CHARGED,
    r"(?i)not (?:been )?charged|no charge|charged[\x22']?\s*[:=]\s*[\x22']?(?:false|no)\b|没有?扣(?:费|款)|未扣(?:费|款)"
);
pattern!(
    MEDIA,
    r"(?i)/v1/(?:images|videos?)\b|\b(?:sora|dall-e|kling|wan2|flux|midjourney|text-to-video)\b|生图|生成(?:图片|视频)|文生图|文生视频|视频任务|绘图|出图|image (?:generation|request|task|job)|video (?:generation|request|task|job)|generat\w+ (?:an? )?(?:image|picture|video)"
);
pattern!(BATCH, r"(?i)\bbatch\b|\.jsonl\b|批量|跑脚本|脚本|并发 ?\d+|concurrency[= ]\d+|ThreadPoolExecutor|asyncio\.gather|多线程");
pattern!(
    SHARED,
    r"(?i)shared key|share(?:d)? (?:the|this|one|a) key|同一(?:把|个) ?key|共用|共享 ?key|几个人用|同事也在用|团队(?:共用|共享)"
);

pattern!(
    STATUS_SAID,
    r"(?i)状态码\s*(?:是|为)?\s*[:：]?\s*([1-5]\d\d)\b|\bstatus(?:[ _-]?code)?\s*(?:is|of|=|:)?\s*([1-5]\d\d)\b|(?:报|返回|提示|出现|saying|says|error|returns?|got|get|getting|see|seeing|with|HTTP(?:/[\d.]+)?)(?: a| an)? ?([45]\d\d)\b|\b([45]\d\d)(?: error| Too Many| Unauthorized| Forbidden| Bad Gateway| Gateway| Internal| Service| Not Found|错误| 报错)"
);

impl Facts {
    /// Facts of the whole text, those of its exchanges first.
    pub(super) fn of(text: &str, exchanges: &[Exchange], main: Option<&Exchange>) -> Self {
        let mut facts = Self::default();
        if let Some(exchange) = main.or(exchanges.last()) {
            facts.of_exchange(exchange);
        }
        facts.status = facts.status.or_else(|| first(&STATUS_SAID, text).and_then(|digits| digits.parse().ok()));
        let own = |value: &str| value.trim_end_matches(['.', ',', ':', ')', '/', '-']).to_owned();
        let own_id = first(&WEIR_ID, text).and_then(when::of_id);
        facts.time = facts.time.take().or(own_id).or_else(|| when::first(text));
        facts.model = facts.model.take().or_else(|| model(text));
        facts.stream = facts.stream.or_else(|| stream(text));
        let (client, sdk) = super::client::of(text, main);
        facts.client = client;
        facts.sdk = sdk;
        facts.host = facts.host.take().or_else(|| host(text));
        facts.path = facts.path.take().or_else(|| first(&PATH, text).map(own));
        facts.proxy = facts.proxy.or_else(|| proxy(text));
        facts.request_ids = ids(text);
        facts.edge_ids = unique(all(&EDGE_ID, text, 40));
        facts.task_id = first(&TASK_ID, text).map(own);
        facts.retries = retries(text);
        facts.read_timeout_s = first(&READ_TIMEOUT, text).and_then(|digits| digits.parse().ok()).map(in_seconds);
        facts.took_ms = facts.took_ms.or_else(|| took(text));
        facts.key_masked = first(&KEY_MASK, text).map(str::to_owned);
        facts.charged = charged(text);
        facts.scenario = Some(scenario(text));
        let sentence = |told: &str| told.trim().trim_end_matches(['.', ',', ';']).to_owned();
        facts.reset = facts.reset.take().or_else(|| first(&RESET, text).map(sentence));
        facts
    }

    fn of_exchange(&mut self, exchange: &Exchange) {
        self.status = Some(exchange.status).filter(|status| *status > 0);
        self.method.clone_from(&exchange.method);
        self.path = exchange.path.as_deref().map(|path| path.split('?').next().unwrap_or(path).to_owned());
        self.host.clone_from(&exchange.host);
        self.headers.clone_from(&exchange.headers);
        self.reset = exchange.header("retry-after").map(str::to_owned);
        self.time = when::first(&exchange.said).or_else(|| exchange.header("date").and_then(when::first));
        if exchange.header("via").is_some() {
            self.proxy = Some("Via");
        }
        self.took_ms = first(&TOOK_MS, &exchange.said).and_then(|digits| digits.parse().ok());
    }

    /// The person was charged more than once, as they say.
    pub(super) fn says_charged_twice(text: &str) -> bool {
        is_in(&CHARGED_TWICE, text)
    }
}

/// `error.code` or the like, a word and not the status.
pub(super) fn code(text: &str) -> Option<String> {
    let word = |word: &&&str| !["error", "none", "null", "status", "errno", "undefined"].contains(&word.to_ascii_lowercase().as_str());
    all(&CODE, text, 20).iter().find(word).map(|word| word.trim_end_matches(['.', ':']).to_owned())
}

fn model(text: &str) -> Option<String> {
    let fits = |name: &&&str| {
        let lower = name.to_ascii_lowercase();
        let is_word = ["not", "name", "is", "the", "and", "for", "group", "error", "info", "test", "user", "none", "null", "id"];
        !is_word.contains(&lower.as_str())
            && (lower.contains(|c: char| c.is_ascii_digit()) || lower.contains(['-', '/', ':']) || lower.len() > 6)
    };
    let named = all(&MODEL_NAMED, text, 40);
    let known = |name: &&&str| is_in(&MODEL_KNOWN, name);
    let found = named.iter().find(known).copied().or_else(|| first(&MODEL_KNOWN, text)).or_else(|| named.iter().find(fits).copied());
    found.map(|name| name.trim_end_matches(['.', ',', ':', '-', '/']).to_owned())
}

fn stream(text: &str) -> Option<bool> {
    let said = all(&STREAM_SAID, text, 20);
    let told = |word: &&&str| !word.contains('流') && !word.to_ascii_lowercase().starts_with("streaming") && !word.contains("event");
    let word = said.iter().find(told).or_else(|| said.iter().find(|word| !word.contains("event"))).or(said.first())?;
    Some(!matches!(word.to_ascii_lowercase().as_str(), "false" | "0" | "off" | "非流式" | "不流式" | "关闭流式" | "关了流式"))
}

fn host(text: &str) -> Option<String> {
    const NOT_AN_API: [&str; 12] = [
        "platform.openai.com",
        "docs.",
        "help.",
        "github.com",
        "developers.",
        "go.microsoft.com",
        "console.",
        "aka.ms",
        "ai.google.dev",
        "errors.pydantic.dev",
        "127.0.0.1:7890",
        "developer.mozilla.org",
    ];
    let hosts = all(&HOST, text, 60);
    let is_api = |host: &&&str| !NOT_AN_API.iter().any(|other| host.starts_with(other)) && host.contains(['.', ':']);
    hosts.iter().find(is_api).map(|host| host.to_ascii_lowercase())
}

fn proxy(text: &str) -> Option<&'static str> {
    if is_in(&PROXY_ENV, text) {
        Some("HTTPS_PROXY")
    } else if is_in(&PROXY_SAID, text) {
        Some("told")
    } else {
        None
    }
}

/// weir's own ids first: they open the record.
fn ids(text: &str) -> Vec<String> {
    let mut found = all(&WEIR_ID, text, 40);
    found.extend(all(&REQUEST_ID, text, 40));
    unique(found)
}

fn unique(found: Vec<&str>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for id in found {
        let id = id.trim_end_matches(['.', '-', '_']);
        if kept.len() < IDS && id.len() >= 6 && id.contains(|c: char| c.is_ascii_digit()) && !kept.iter().any(|known| known.contains(id)) {
            kept.push(id.to_owned());
        }
    }
    kept
}

pattern!(RETRIED_SAID, r"(?:重试|试|点|提交)了?([两二三四五六七八九十])[次遍]");

fn retries(text: &str) -> Option<u32> {
    if let Some(numeral) = first(&RETRIED_SAID, text).and_then(|numeral| numeral.chars().next()) {
        const NUMERALS: &str = "零一二三四五六七八九十";
        let count = if numeral == '两' { Some(2) } else { NUMERALS.chars().position(|known| known == numeral) };
        return count.and_then(|count| u32::try_from(count).ok());
    }
    if let Some(count) = first(&RETRY_COUNT, text).and_then(|digits| digits.parse().ok()) {
        return Some(count);
    }
    let lines = count(&RETRY_LINE, text, RETRIES);
    u32::try_from(lines).ok().filter(|lines| *lines > 0)
}

/// A timeout as programs write it: nobody waits for hours, so a number that large counts milliseconds.
fn in_seconds(told: u32) -> u32 {
    const HOURS: u32 = 10_000;
    if told >= HOURS { told / 1_000 } else { told }
}

fn took(text: &str) -> Option<u64> {
    let seconds = |text: &str| -> Option<u64> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let millis: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis)
    };
    first(&TOOK_MS, text).and_then(|digits| digits.parse().ok()).or_else(|| first(&TOOK_S, text).and_then(seconds))
}

fn charged(text: &str) -> Option<Charged> {
    if is_in(&NOT_CHARGED, text) {
        Some(Charged::No)
    } else if is_in(&CHARGED_TWICE, text) || is_in(&CHARGED_SAID, text) {
        Some(Charged::Yes)
    } else {
        None
    }
}

fn scenario(text: &str) -> Scenario {
    if is_in(&MEDIA, text) {
        Scenario::MediaTask
    } else if is_in(&SHARED, text) {
        Scenario::SharedKey
    } else if is_in(&BATCH, text) {
        Scenario::Batch
    } else {
        Scenario::ShortChat
    }
}

pattern!(STACK, r"(?s)^(.*?)\s+(?:goroutine \d+ \[|at (?:async )?[\w.$<>]+ ?\(|\{?\s*status: undefined|\{?\s*errno: -?\d)");

/// An error's words without the stack behind them, and without the fields of an SDK's object that hold nothing.
fn without_noise(message: &str) -> String {
    let message = message.trim();
    first(&STACK, message).map(str::trim).filter(|words| !words.is_empty()).unwrap_or(message).to_owned()
}

/// A time in milliseconds since the epoch, if the text says the zone.
pub(super) fn instant(when: Option<&When>) -> Option<Timestamp> {
    when.and_then(|when| when.at)
}

impl Facts {
    /// What the judged error says wins over what was only found somewhere in the text.
    pub(super) fn told(&mut self, error: Option<&super::judge::Told>) {
        if let Some(told) = error {
            self.status = self.status.filter(|status| *status >= 400).or(told.status).or(self.status);
            self.error_code = told.code.clone();
            self.error_code = self.error_code.take().filter(|code| code != "undefined");
            self.error_text = Some(without_noise(&told.message)).filter(|text| !text.is_empty());
        }
    }

    /// What is so wherever this is the verdict.
    pub(super) fn of_verdict(&mut self, verdict: Verdict) {
        if verdict.class() == Class::Task {
            self.scenario = Some(Scenario::MediaTask);
        }
        self.charged = self.charged.or(match verdict {
            Verdict::TaskFailedCharged | Verdict::RetriesCharged | Verdict::ProducedNotDelivered => Some(Charged::Yes),
            Verdict::TaskFailedFree | Verdict::NothingCharged => Some(Charged::No),
            _ => None,
        });
    }

    /// It has an id that weir gave.
    pub(super) fn has_own_id(&self) -> bool {
        self.request_ids.iter().any(|id| id.starts_with("wr_"))
    }

    /// The letter's word.
    pub(super) fn scenario_label(&self) -> &'static str {
        self.policy_scenario().label()
    }

    pub(super) fn policy_scenario(&self) -> weir_core::verdict::Scenario {
        use weir_core::verdict::Scenario as Policy;
        match self.scenario {
            Some(Scenario::MediaTask) => Policy::MediaTask,
            Some(Scenario::Batch) => Policy::Batch,
            Some(Scenario::SharedKey) => Policy::SharedKey,
            _ => Policy::ShortChat,
        }
    }
}
