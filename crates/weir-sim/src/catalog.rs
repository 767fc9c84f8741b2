//! Every word that a scenario may be made of, in one table: parsing, `GET /v1/models` and the handbook read it.

use weir_core::Verdict;

/// What a word needs behind its `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Nothing may follow.
    None,
    /// A whole number; the default stands for a word without `=`.
    Count { default: Option<u64>, max: u64 },
    /// A span such as `20ms`, `7s`, `2m`, at most one day.
    Duration { default_ms: Option<u64> },
    /// One of these words; the first is the default.
    Choice(&'static [&'static str]),
    /// A share between 0 and 1.
    Share,
}

/// Which part of an answer a word bends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What a good answer contains. Not a fault: `fail_rate` leaves it alone.
    Answer,
    /// When bytes come.
    Time,
    /// Which events of a stream come, and how they are written. Answers that are not streams stay good.
    Stream,
    /// HTTP and TCP below the events.
    Http,
    /// An error instead of an answer.
    Refusal,
    /// Image and video jobs.
    Task,
    /// When the other words strike.
    Chance,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub term: Term,
    /// As written behind `sim:`.
    pub name: &'static str,
    pub group: Group,
    pub argument: Argument,
    /// An argument that shows the word at work; empty where none is needed.
    pub example: &'static str,
    /// One line for people, Chinese and English.
    pub zh: &'static str,
    pub en: &'static str,
    /// What a client or doctor in front of it should conclude.
    pub verdicts: &'static [Verdict],
}

impl Entry {
    /// The model name that asks for this word alone, such as `sim:cut_after=5`.
    #[must_use]
    pub fn model(&self) -> String {
        if self.example.is_empty() { format!("sim:{}", self.name) } else { format!("sim:{}={}", self.name, self.example) }
    }

    /// Whether the words of chance decide if it strikes.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self.group, Group::Answer | Group::Chance)
    }
}

const COUNT: Argument = Argument::Count { default: None, max: 1_000_000 };
const SPAN: Argument = Argument::Duration { default_ms: None };
const NOTHING: Argument = Argument::None;

const fn count(default: u64, max: u64) -> Argument {
    Argument::Count { default: Some(default), max }
}

const fn span(default_ms: u64) -> Argument {
    Argument::Duration { default_ms: Some(default_ms) }
}

macro_rules! catalogue {
    ($($term:ident $name:literal $group:ident ($argument:expr) $example:literal [$($verdict:ident)*] $zh:literal $en:literal;)*) => {
        /// One word of a scenario.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Term { $($term),* }

        /// The table, in the order in which people read it.
        pub static CATALOG: &[Entry] = &[$(Entry {
            term: Term::$term,
            name: $name,
            group: Group::$group,
            argument: $argument,
            example: $example,
            zh: $zh,
            en: $en,
            verdicts: &[$(Verdict::$verdict),*],
        }),*];

        impl Term {
            /// The word's line in the table.
            #[must_use]
            pub fn entry(self) -> &'static Entry {
                &CATALOG[self as usize]
            }
        }
    };
}

catalogue! {
    Ok "ok" Answer (NOTHING) "" [Ok] "正常回答" "a good answer";
    Tokens "tokens" Answer (COUNT) "200" [Ok] "回答有 N 个词" "an answer of N tokens";
    Reasoning "reasoning" Answer (count(16, 1_000_000)) "16" [Ok] "先输出 N 段推理" "N pieces of reasoning come first";
    Tools "tools" Answer (count(1, 64)) "2" [Ok] "以 N 个工具调用作答,参数分段到达" "N tool calls, their arguments in pieces";
    NoUsage "no_usage" Answer (NOTHING) "" [Ok] "回答不带 usage" "no usage in the answer";
    Refusal "refusal" Answer (NOTHING) "" [ContentRefused] "模型以 refusal 拒答" "the model refuses in its answer";
    Finish "finish" Answer (Argument::Choice(&["length", "content_filter", "stop"])) "length" [EndedByLimit] "以指定 finish_reason 结束" "ends with this finish_reason";
    Big "big" Answer (count(64, 16_384)) "64" [Ok] "每个事件约 N KiB" "events of about N KiB";
    Obfuscation "obfuscation" Answer (NOTHING) "" [Ok] "数据块带 obfuscation 填充" "chunks carry obfuscation padding";
    Echo "echo" Answer (NOTHING) "" [Ok] "回答就是提示词" "the answer repeats the prompt";
    FailRate "fail_rate" Chance (Argument::Share) "0.05" [UpstreamError UpstreamOverloaded RateLimitedNoHint StreamCut OutcomeUnknown] "按请求体固定抽中此比例出错" "this share of bodies fails, always the same ones";

    Flaky "flaky" Chance (Argument::Share) "0.05" [UpstreamError UpstreamOverloaded RateLimitedNoHint StreamCut OutcomeUnknown] "此比例的请求出错,重试时重新抽签" "this share of requests fails, a retry draws anew";
    Rpm "rpm" Chance (Argument::Count { default: None, max: 1_000_000 }) "60" [RateLimited RateLimitedNoHint] "每分钟超过 N 个请求才出错,提示为真" "requests beyond N a minute fail; a hint tells the truth";

    Interval "interval" Answer (SPAN) "20ms" [Ok] "相邻事件之间的间隔" "time between two events";
    Jitter "jitter" Answer (NOTHING) "" [Ok] "间隔在一半到一倍半之间变化" "intervals vary by half, the same way each time";
    FirstByte "first_byte" Time (SPAN) "40s" [FirstByteTimeout ClientLeft] "首字节前等待" "waits before the first byte";
    SlowHeaders "slow_headers" Time (SPAN) "5s" [FirstByteTimeout] "状态行之后、其余响应头之前等待" "waits between the status line and the other headers";
    Stall "stall" Time (span(3_600_000)) "30s" [StreamStalled IdleTimeout] "流中途停顿后继续" "a stream goes silent, then goes on";
    StallAfter "stall_after" Time (count(3, 1_000_000)) "3" [StreamStalled IdleTimeout] "第 N 个事件后停顿(默认一小时)" "the silence comes after N events, an hour unless `stall` says";
    Heartbeat "heartbeat" Time (SPAN) "1s" [Ok] "等待期间发送注释心跳" "comment lines while it waits";
    Buffered "buffered" Time (NOTHING) "" [StreamBuffered] "全部事件攒到最后一次发出" "all events in one burst at the end";
    Blocks "blocks" Time (count(4096, 1 << 20)) "4096" [PartlyBuffered] "攒满 N 字节才发出" "bytes leave in blocks of N";
    OneLate "one_late" Time (NOTHING) "" [PartlyBuffered] "每个事件晚到一个" "each event comes when the next one is due";

    CutAfter "cut_after" Stream (count(5, 1_000_000)) "5" [StreamCut] "第 N 个事件后重置连接" "TCP reset after N events";
    CutFinAfter "cut_fin_after" Stream (count(5, 1_000_000)) "5" [StreamCut] "第 N 个事件后关闭,缺末块" "closes after N events without the last chunk";
    CutCleanAfter "cut_clean_after" Stream (count(5, 1_000_000)) "5" [EndMarkerMissing] "第 N 个事件后体面结束" "ends cleanly after N events";
    NoDone "no_done" Stream (NOTHING) "" [EndMarkerMissing] "无 finish_reason 也无结束标记,正常关闭" "clean end without finish_reason and end marker";
    NoFinish "no_finish" Stream (NOTHING) "" [Ok] "有结束标记,无 finish_reason" "an end marker, but no finish_reason";
    FinishNoDone "finish_no_done" Stream (NOTHING) "" [Ok] "有 finish_reason,无结束标记" "a finish_reason, but no end marker";
    UnterminatedDone "unterminated_done" Stream (NOTHING) "" [Ok] "结束标记后没有空行" "no blank line behind the end marker";
    NoData "no_data" Stream (span(0)) "" [StreamSilent] "200 与流式响应头,没有一行 data" "200 and stream headers, not one data line";
    ErrorFirst "error_first" Stream (NOTHING) "" [ErrorInStream] "200 的第一个事件就是错误" "the first event of a 200 is an error";
    ErrorAfter "error_after" Stream (count(5, 1_000_000)) "5" [ErrorInStream] "第 N 个事件后来一个错误事件" "an error event after N events";
    ErrorFlat "error_flat" Stream (NOTHING) "" [ErrorInStream] "中途的错误事件没有 error 外层" "a mid-stream error without the `error` wrapper";
    ErrorWithChoices "error_with_choices" Stream (NOTHING) "" [ErrorInStream] "中途的错误事件还带 choices" "a mid-stream error that also has choices";
    ErrorField "error_field" Stream (NOTHING) "" [ErrorInStream] "中途以 error: 字段而非 data: 报错" "a mid-stream error in an `error:` field, then the end marker";
    BadJson "bad_json" Stream (NOTHING) "" [FramesMalformed] "有一个事件的 JSON 不完整" "the JSON of one event is broken";
    GluedLines "glued_lines" Stream (NOTHING) "" [FramesMalformed] "两个 JSON 粘在一行 data 里" "two JSON objects in one data line";
    NoPrefix "no_prefix" Stream (NOTHING) "" [FramesMalformed] "各行缺少 data: 前缀" "lines without `data:`";
    NoBlankLines "no_blank_lines" Stream (NOTHING) "" [FramesMalformed] "事件之间没有空行" "no blank lines between events";
    EmptyData "empty_data" Stream (NOTHING) "" [Ok] "夹有一个空 data 事件" "one event with empty data";
    NamedPing "named_ping" Stream (NOTHING) "" [Ok] "夹有没有 data 的 event: ping" "an `event: ping` without data";
    RetryLine "retry_line" Stream (NOTHING) "" [Ok] "夹有单独的 retry: 行" "a lone `retry:` line";
    Ids "ids" Stream (NOTHING) "" [Ok] "每个事件带 id 行" "every event has an `id:` line";
    Comments "comments" Stream (count(1, 1_000_000)) "2" [Ok] "每 N 个事件前一行注释" "a comment before every Nth event";
    Crlf "crlf" Stream (NOTHING) "" [Ok] "以 CR LF 换行" "lines end with CR LF";
    Cr "cr" Stream (NOTHING) "" [Ok] "以 CR 换行" "lines end with CR";
    Bom "bom" Stream (NOTHING) "" [Ok] "流以 BOM 开头" "the stream starts with a BOM";
    Glued "glued" Stream (count(4, 1_000_000)) "4" [Ok] "N 个事件一次写出" "N events in one write";
    Split "split" Stream (count(7, 1 << 20)) "7" [Ok] "每次只写 N 字节" "N bytes per write";
    JsonForStream "json_for_stream" Stream (NOTHING) "" [NotAStream] "要流却给完整 JSON" "a whole JSON answer to stream=true";
    HtmlForStream "html_for_stream" Stream (NOTHING) "" [NotAStream] "要流却给 HTML 页面" "an HTML page to stream=true";
    WrongType "wrong_type" Stream (Argument::Choice(&["json", "html", "plain"])) "json" [NotAStream] "流的 Content-Type 不对" "a stream under the wrong content type";
    NoAntiBufferHeaders "no_anti_buffer_headers" Stream (NOTHING) "" [AntiBufferingLost] "流不带防缓冲响应头" "a stream without anti-buffering headers";
    Gzip "gzip" Stream (NOTHING) "" [AntiBufferingLost] "未要求也压缩事件流" "a compressed stream, asked for or not";
    GzipBuffered "gzip_buffered" Stream (NOTHING) "" [GzipBuffered] "客户端接受 gzip 时压缩并攒到最后" "compressed and held back when the client accepts gzip";

    CutBytes "cut_bytes" Http (count(100, 1 << 30)) "100" [StreamCut] "响应体 N 字节后断开" "closes after N bytes of the body";
    ShortBody "short_body" Http (NOTHING) "" [OutcomeUnknown] "Content-Length 大于实际内容" "a Content-Length larger than the body";
    BadChunk "bad_chunk" Http (NOTHING) "" [StreamCut] "分块长度不是数字" "a chunk size that is no number";
    HugeHeader "huge_header" Http (count(64, 1024)) "64" [UpstreamError] "一个 N KiB 的响应头" "a response header of N KiB";
    Close "close" Http (NOTHING) "" [Ok] "答完即关,带 Connection: close" "Connection: close, then closes";
    Http10 "http10" Http (NOTHING) "" [Ok] "以 HTTP/1.0 作答,关闭即结束" "answers in HTTP/1.0, the end is the close";
    ResetBeforeAccept "reset_before_accept" Http (NOTHING) "" [ConnectFailed] "不收请求就重置连接" "resets the connection before it takes the request";
    ResetAfterAccept "reset_after_accept" Http (NOTHING) "" [OutcomeUnknown] "收下请求后不答即重置" "takes the request, then resets without a byte";
    DateSkew "date_skew" Http (SPAN) "5m" [ClockWrong] "Date 响应头快这么多" "a Date header this far ahead";

    S400 "400" Refusal (NOTHING) "" [RequestRejected] "参数不被接受" "a parameter is rejected";
    ContextLength "context_length" Refusal (NOTHING) "" [RequestTooLong] "400:超出上下文长度" "400: context length exceeded";
    ContentPolicy "content_policy" Refusal (NOTHING) "" [ContentRefused] "400:内容策略拦截" "400: content policy";
    S401 "401" Refusal (NOTHING) "" [KeyUnknown] "Key 无效" "the key is not known";
    S401Disabled "401_disabled" Refusal (NOTHING) "" [KeyDisabled] "Key 已停用" "the key is disabled";
    S402 "402" Refusal (NOTHING) "" [BalanceSpent] "余额不足" "no balance";
    S403 "403" Refusal (NOTHING) "" [SourceNotAllowed] "地区不支持" "the region is not supported";
    S403Group "403_group" Refusal (NOTHING) "" [GroupModelDenied] "分组无此模型" "the key's group lacks the model";
    S403Ip "403_ip" Refusal (NOTHING) "" [SourceNotAllowed] "来源 IP 不允许" "the source address is not allowed";
    S404 "404" Refusal (NOTHING) "" [ModelNotFound] "模型不存在" "no such model";
    S404Html "404_html" Refusal (NOTHING) "" [NotTheApi] "404 网页,不是 API" "a 404 page, not the API";
    S407 "407" Refusal (NOTHING) "" [ProxyLoginNeeded] "代理需要登录" "a proxy wants a login";
    S408 "408" Refusal (NOTHING) "" [UpstreamError] "请求超时" "request timeout";
    S409 "409" Refusal (NOTHING) "" [UpstreamError] "资源被占用" "a lock conflict";
    S413 "413" Refusal (NOTHING) "" [RequestTooLong] "请求体过大" "the body is too large";
    S422 "422" Refusal (NOTHING) "" [RequestRejected] "无法处理的参数" "an unprocessable parameter";
    S425 "425" Refusal (NOTHING) "" [UpstreamError] "过早的请求" "too early";
    S429 "429" Refusal (NOTHING) "" [RateLimitedNoHint] "频率超限,无提示" "rate limit, no hint";
    S429Hint "429_hint" Refusal (span(7_000)) "7s" [RateLimited] "频率超限,Retry-After 给秒数" "rate limit, Retry-After in seconds";
    S429Ms "429_ms" Refusal (span(700)) "700ms" [RateLimited] "频率超限,retry-after-ms 给毫秒" "rate limit, retry-after-ms";
    S429Date "429_date" Refusal (span(7_000)) "7s" [RateLimited] "频率超限,Retry-After 给日期" "rate limit, Retry-After as a date";
    S429Body "429_body" Refusal (span(7_000)) "7s" [RateLimited] "频率超限,正文给 resetAt" "rate limit, resetAt in the body";
    S429Daily "429_daily" Refusal (NOTHING) "" [QuotaSpent] "当日配额用完" "the daily quota is spent";
    S429Balance "429_balance" Refusal (NOTHING) "" [BalanceSpent] "以 429 报余额不足" "no balance, said with 429";
    S429Concurrency "429_concurrency" Refusal (NOTHING) "" [ConcurrencySpent] "并发超限" "too many at once";
    S429Upstream "429_upstream" Refusal (NOTHING) "" [UpstreamThrottled] "上游通道被限流" "the upstream behind it is throttled";
    S429Html "429_html" Refusal (NOTHING) "" [MiddleBoxThrottled] "中间设备的 429 网页" "a middle box's 429 page";
    S429FirstEvent "429_first_event" Refusal (NOTHING) "" [UpstreamThrottled ErrorInStream] "429 藏在 200 的第一个事件里" "a 429 hidden in the first event of a 200";
    SlowDown "slow_down" Refusal (NOTHING) "" [RampTooFast] "放量过快" "ramped too fast";
    S500 "500" Refusal (NOTHING) "" [UpstreamError] "上游出错" "an upstream error";
    S502 "502" Refusal (NOTHING) "" [UpstreamError] "上游坏回答" "a bad gateway";
    S502Html "502_html" Refusal (NOTHING) "" [ProxyCut] "代理的 502 网页" "a proxy's 502 page";
    S503 "503" Refusal (NOTHING) "" [UpstreamOverloaded] "上游过载" "overloaded";
    S503NoUpstream "503_no_upstream" Refusal (NOTHING) "" [NoUpstream] "无可用渠道" "no usable upstream";
    S504 "504" Refusal (Argument::Choice(&["first_byte", "connect", "idle", "total"])) "first_byte" [FirstByteTimeout UpstreamConnectTimeout IdleTimeout TotalTimeout] "网关超时并说明阶段" "a gateway timeout that names its phase";
    S529 "529" Refusal (NOTHING) "" [UpstreamOverloaded] "上游过载(529)" "overloaded, said with 529";
    Status "status" Refusal (Argument::Count { default: None, max: 599 }) "418" [UpstreamError] "任意状态码" "any status";
    Proxy504Html "proxy_504_html" Refusal (NOTHING) "" [ProxyCut] "代理的 504 网页" "a proxy's 504 page";
    EchoError "echo_error" Refusal (Argument::Choice(&["400", "401", "500", "event"])) "400" [RequestRejected KeyUnknown UpstreamError ErrorInStream] "错误原文引用提示词、凭据和邮箱" "an error that quotes the prompt, the credential and an e-mail";
    HiddenBusy "hidden_busy" Refusal (Argument::Choice(&["500", "200"])) "200" [StatusHidden] "只说“系统繁忙”,没有状态码" "only says busy and hides the real status";

    TaskSlow "task_slow" Task (span(120_000)) "30s" [TaskRunning LongTaskSync] "任务耗时;同步生图则一直等" "a job takes this long; a synchronous image call waits for it";
    TaskFailed "task_failed" Task (NOTHING) "" [TaskFailedFree] "任务最终失败" "a job fails in the end";
    TaskLostAnswer "task_lost_answer" Task (NOTHING) "" [OutcomeUnknown TaskUnknown] "任务已建立,回答丢失" "a job is taken, its answer is lost";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_word_has_one_line_in_both_languages_and_a_verdict() {
        let mut names = BTreeSet::new();
        for (at, entry) in CATALOG.iter().enumerate() {
            assert_eq!(entry.term as usize, at, "{}", entry.name);
            assert!(names.insert(entry.name), "{} twice", entry.name);
            assert!(!entry.name.ends_with("_once"), "{}", entry.name);
            for (text, limit) in [(entry.zh, 30), (entry.en, 70)] {
                assert!(!text.is_empty() && text.chars().count() <= limit && !text.contains('\n'), "{}", entry.name);
            }
            assert!(!entry.zh.is_ascii() && entry.en.is_ascii(), "{}", entry.name);
            assert!(!entry.verdicts.is_empty(), "{}", entry.name);
        }
    }
}
