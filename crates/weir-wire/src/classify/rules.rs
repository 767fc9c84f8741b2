//! The ordered rules that sort an error, as data. The first hit wins, then the status decides.

use std::sync::LazyLock;

use regex::Regex;

use super::{UpstreamClass, UpstreamError, Vendor};

/// One rule: all of its conditions must hold. Patterns see lower-case text; `.` matches a line end.
struct Rule {
    class: UpstreamClass,
    /// Statuses that the rule is about; empty for any.
    statuses: &'static [u16],
    vendor: Option<Vendor>,
    /// Words, or nothing to go by the status alone.
    words: &'static str,
}

const fn any(class: UpstreamClass, words: &'static str) -> Rule {
    Rule { class, statuses: &[], vendor: None, words }
}

const fn when(statuses: &'static [u16], class: UpstreamClass, words: &'static str) -> Rule {
    Rule { class, statuses, vendor: None, words }
}

const fn of(vendor: Vendor, statuses: &'static [u16], class: UpstreamClass, words: &'static str) -> Rule {
    Rule { class, statuses, vendor: Some(vendor), words }
}

/// Order matters: what a filter, a length or a long quota says is surer than the common words "limit" and "quota".
const RULES: &[Rule] = {
    use UpstreamClass as C;
    &[
        any(
            C::StreamCut,
            r"incomplete chunked read|err_incomplete_chunked|terminated \(cause|other side closed|unexpected eof|internal_error; received from peer",
        ),
        // What clients say of a transport that broke under an accepted answer.
        when(
            &[0, 200],
            C::StreamCut,
            r"incompleteread|incomplete message|premature close|econnreset|connection reset|peer closed|err_http2_protocol_error|chunkedencodingerror|connection (was )?closed (before|unexpectedly)|err_connection_(reset|closed)|response ended prematurely|socket hang up",
        ),
        any(
            C::ContentFilter,
            r#"content_filter|content[ _]filtering|responsibleaipolicy|content management policy|safety system|moderation|high risk|不安全或敏感|敏感内容|敏感词|sensitive_words|datainspection|data_inspection|inappropriate content|content policy|usage polic(y|ies)|request blocked|content_policy_violation|sensitivecontent|new_sensitive|prompt_blocked|prohibited_content|invalid_prompt|bio_policy|"safety"|"1301"|内容审核|内容安全"#,
        ),
        any(
            C::ContextLength,
            r#"maximum context length|context_length_exceeded|context (length|window|size) (is |was )?(exceeded|limit)|exceeds? (the )?(model'?s? )?(maximum |max )?(available )?(context|input)( (length|window|size|limit))|request too large|request entity too large|payload too large|request_too_large|exceed_context_size|available context size|input token length too long|exceeded model token limit|prompt (is )?too long|input is too long|input length exceeds|input too long|too many (input|total) tokens|prompt 超长|range of input length|string too long|string_above_max_length|input token count .{0,60}exceeds the maximum|inputs?`? tokens \+ `?max_new_tokens|reduce the length of the (messages|input|prompt)|larger than the maximum (context|model)|超过.{0,12}(上下文|最大(输入)?长度)|(上下文|输入)(内容)?(过长|超长|超出)|"1261""#,
        ),
        of(
            Vendor::DashScope,
            &[429],
            C::RateLimit,
            r"allocated quota exceeded|allocationquota|ratequota|requests rate limit exceeded|insufficient_quota|exceeded your current (quota|requests)",
        ),
        any(C::RateLimit, r"throttling\.(allocationquota|ratequota|burstrate)"),
        any(C::Group, r"limit: 0, model"),
        any(
            C::DailyQuota,
            r#"free-models-per-day|perday|\(tpd\)|tpd rate limit|\(rpd\)|\brpd\b|\btpd\b|per day|per 86400 ?s|byday|retry after 86400|daily (request|token|usage|rate|message)s? ?(limit|quota|cap)?|今日调用次数|今日.{0,8}(用完|用尽|上限|限额)|(当日|每日|日)(调用|请求|使用)?(额度|配额|限额|次数|上限)|"1304"|"1308"|"1310"|使用上限|free_quota_exceeded|>= 1d|monthly_request_count|monthly (request|usage|quota|limit)|weekly (usage |rate )?limit|daily[_ -]?(quota|limit)|entitlement_daily"#,
        ),
        of(Vendor::Gemini, &[429], C::RateLimit, r"resource_exhausted|exceeded your current quota"),
        // Google's envelope through a relay; a quota per day was found above.
        when(&[429], C::RateLimit, r"ai\.google\.dev/gemini-api/docs/rate-limits|perminute"),
        any(
            C::Auth,
            r#"unsupported_country|user location is not supported|no such user|incorrect api key|invalid[ _]?api[- _]?key|api[_ ]key[_ ](not[_ ]valid|invalid)|api key (not found|expired|is invalid|is missing)|invalidapikey|invalid x-api-key|invalid_authentication|invalid (authentication|token|bearer)|token_invalidated|token_expired|account_deactivated|authentication fails|authentication_error|authenticationerror|invalid subscription key|login fail|api key or ak/sk|authorized_error|unauthenticated|missing bearer|未收到 authentication|api ?key (无效|错误|不正确|已过期)|无效的(令牌|api)|channel:invalid_key|"100[0-5]""#,
        ),
        any(
            C::Balance,
            r#"insufficient[_ ](account[_ ])?balance|balance is (insufficient|not enough)|not enough (balance|credits?|quota)|insufficient[_ ](quota|credits?|funds)|insufficient_user_quota|exceeded_current_quota|exceeded your current quota|arrearage|accountoverdue|overdue|good standing|欠费|余额不足|"1113"|"1309"|套餐已到期|no resource package|paid balance|requires more credits|prompt tokens limit exceeded|credit balance is too low|credits? (limit|exhausted|depleted)|(used|exhausted) all (of )?(your |the )?(available )?credits|out of credits|included credits|spend[_ ]limit|spending limit|usage_limit_exceeded|billing_(hard_limit|not_active)|billing hard limit|check your billing|账户余额|预扣费|pre_consume_token_quota|额度不足|额度已?(用尽|用完|耗尽)|quota is not enough|budget|inference limit|setlimitexceeded|credit_balance|payment required"#,
        ),
        any(
            C::Group,
            r#"无可用渠道|no available channel|channel:no_available_key|无权(访问|使用)|no access to (any )?model|分组 .*已被弃用|does not have access to (the )?model|not allowed to (access|use) (the )?model|have access to the model with the specified|organization must be verified to use|access_denied"|model\.accessdenied|modelnotopen|model_not_allowed|not have permission to (access|use) (the )?model"#,
        ),
        any(
            C::Model,
            r#"model_not_found|does not exist|deploymentnotfound|model not exist|模型不存在|不存在的模型|"1211"|model .{0,80}not found|modelnotfound|not[ _]found[ _]the[ _]model|invalid[ _]model|unknown model|model_decommissioned|has been (decommissioned|deprecated|retired)|no endpoints found|unsupported_model|model_not_supported|(model|models/)[^"]{0,80}(is )?not (supported|available|deployed)|"model: |不支持(的)?模型|不支持该模型|invalidendpointormodel"#,
        ),
        any(
            C::Overloaded,
            r#"overload|负载已饱和|负载过高|high demand|high traffic|capacity exceeded|at capacity|no capacity|访问量过大|queue_exceeded|too busy|server (is )?busy|服务(器)?(繁忙|忙)|系统繁忙|loading model|unavailable_error|model is (currently )?loading|"1305"|"1312""#,
        ),
        when(&[408, 504, 522, 524], C::Timeout, ""),
        any(
            C::Timeout,
            r"gateway time-?out|error code: 524|a timeout occurred|upstream request timeout|deadline[ _]exceeded|deadline expired|request timed out|(read|operation|upstream|response|connection|request)[ _]?time(d )?[ _]?out|timed out (while|waiting|after)|timeout awaiting|response_time_exceeded|请求超时|响应超时",
        ),
        when(
            &[0, 200, 400, 402, 403, 408, 409, 420, 425, 429, 500, 502, 503, 529],
            C::RateLimit,
            r"rate.?limit|rate_limited|too many (requests|tokens|concurrent)|too_many_requests|slow_down|throttl|requestlimitexceeded|concurrency limit|请求数限制|并发(数)?(过高|超限|超过)|频率(过高|超限)|请求(过于|太)频繁|触发限流|限流|resource has been exhausted|try again in|retry after \d|provider returned error|reached .{0,24}(rpm|tpm|qps)|qps request limit",
        ),
    ]
};

/// `Limit 6000, … Requested 10338`: more than the whole limit can never succeed, whatever the error is called.
static ASKED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?s)limit[: ]+~?([\d,]+).*?requested[: ]+~?([\d,]+)").ok());

/// Compiled once, on the first error of the process.
static COMPILED: LazyLock<Vec<(&Rule, Option<Regex>)>> =
    LazyLock::new(|| RULES.iter().map(|rule| (rule, Regex::new(&format!("(?s){}", rule.words)).ok())).collect());

/// Sorts an error of `vendor`.
#[must_use]
pub fn class(error: &UpstreamError, vendor: Vendor) -> UpstreamClass {
    let (status, text) = (error.effective_status(), error.evidence());
    for (rule, words) in COMPILED.iter() {
        let is_about = (rule.statuses.is_empty() || rule.statuses.contains(&status)) && rule.vendor.is_none_or(|v| v == vendor);
        if is_about && words.as_ref().is_some_and(|words| words.is_match(text)) {
            return rule.class;
        }
        if rule.class == UpstreamClass::ContextLength && asks_more_than_the_limit(text) {
            return UpstreamClass::ContextLength;
        }
    }
    by_status(status)
}

fn by_status(status: u16) -> UpstreamClass {
    match status {
        401 | 403 => UpstreamClass::Auth,
        402 => UpstreamClass::Balance,
        404 => UpstreamClass::Model,
        413 => UpstreamClass::ContextLength,
        429 => UpstreamClass::RateLimit,
        503 | 529 => UpstreamClass::Overloaded,
        400..=499 => UpstreamClass::BadRequest,
        _ => UpstreamClass::Upstream,
    }
}

fn asks_more_than_the_limit(text: &str) -> bool {
    let number = |digits: &str| digits.replace(',', "").parse::<u64>().ok();
    let found = ASKED.as_ref().and_then(|asked| asked.captures(text));
    found.and_then(|found| Some(number(&found[2])? > number(&found[1])?)).unwrap_or(false)
}

#[cfg(test)]
pub(super) fn every_pattern_compiles() -> bool {
    ASKED.is_some() && COMPILED.iter().all(|(_, words)| words.is_some())
}
