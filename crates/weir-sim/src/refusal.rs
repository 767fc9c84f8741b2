//! Errors instead of answers, as the vendors and the boxes between send them.

use std::time::Duration;

use weir_core::Timestamp;

use crate::{
    ask::{Ask, Family},
    catalog::Term,
    reply::{Head, Reply},
    scenario::Scenario,
    text::json,
};

/// An error in the family's own form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) kind: &'a str,
    pub(crate) code: Option<&'a str>,
    pub(crate) param: Option<&'a str>,
    pub(crate) message: &'a str,
    /// More members of the error object, each with a comma in front.
    pub(crate) extra: &'a str,
}

impl<'a> Failure<'a> {
    pub(crate) const fn new(kind: &'a str, code: Option<&'a str>, message: &'a str) -> Self {
        Self { kind, code, param: None, message, extra: "" }
    }

    pub(crate) fn body(&self, family: Option<Family>) -> String {
        let message = json(self.message);
        if family == Some(Family::Messages) {
            return format!(
                r#"{{"type":"error","error":{{"type":"{}","message":{message}{}}},"request_id":"req_011sim"}}"#,
                anthropic_kind(self.kind),
                self.extra
            );
        }
        let quoted = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), json);
        format!(
            r#"{{"error":{{"message":{message},"type":"{}","param":{},"code":{}{}}}}}"#,
            self.kind,
            quoted(self.param),
            quoted(self.code),
            self.extra
        )
    }
}

fn anthropic_kind(kind: &str) -> &str {
    match kind {
        "requests" | "tokens" | "rate_limit_error" | "insufficient_quota" => "rate_limit_error",
        "server_error" | "upstream_error" => "api_error",
        other => other,
    }
}

/// What goes wrong inside streams, and with plain 5xx.
pub(crate) const SERVER_ERROR: Failure<'static> =
    Failure::new("server_error", Some("server_error"), "The server had an error while processing your request. Sorry about that!");
pub(crate) const RATE_LIMIT: Failure<'static> = Failure::new(
    "requests",
    Some("rate_limit_exceeded"),
    "Rate limit reached for this model on requests per min (RPM): Limit 3, Used 3, Requested 1.",
);

/// Every refusal that is a status and one fixed error object.
fn fixed(term: Term) -> Option<(u16, Failure<'static>)> {
    of_the_request(term).or_else(|| of_the_rate(term)).or_else(|| of_the_moment(term))
}

/// The request, its key or its account is at fault; sending it again helps nobody.
fn of_the_request(term: Term) -> Option<(u16, Failure<'static>)> {
    let invalid = "invalid_request_error";
    let new = Failure::new;
    Some(match term {
        Term::S400 => (
            400,
            Failure {
                param: Some("temperature"),
                ..new(invalid, Some("invalid_value"), "Invalid 'temperature': decimal above maximum value. Expected a value <= 2.")
            },
        ),
        Term::ContextLength => (
            400,
            Failure {
                param: Some("messages"),
                ..new(
                    invalid,
                    Some("context_length_exceeded"),
                    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages.",
                )
            },
        ),
        Term::ContentPolicy => (
            400,
            new(invalid, Some("content_filter"), "The response was filtered due to the prompt triggering the content management policy."),
        ),
        Term::S401 => {
            (401, new(invalid, Some("invalid_api_key"), "Incorrect API key provided. You can find your API key in your account settings."))
        }
        Term::S401Disabled => (401, new(invalid, Some("key_disabled"), "This API key has been disabled.")),
        Term::S402 => (402, new("insufficient_balance", Some("insufficient_balance"), "Insufficient Balance")),
        Term::S403 => {
            (403, new("request_forbidden", Some("unsupported_country_region_territory"), "Country, region, or territory not supported"))
        }
        Term::S403Group => (403, new(invalid, Some("group_model_denied"), "该令牌所在分组无权访问此模型")),
        Term::S403Ip => (403, new(invalid, Some("ip_not_allowed"), "Your IP address is not in the allowed list of this key.")),
        Term::S404 => (404, new(invalid, Some("model_not_found"), "The model does not exist or you do not have access to it.")),
        _ => return None,
    })
}

/// Too much, too fast, or both.
fn of_the_rate(term: Term) -> Option<(u16, Failure<'static>)> {
    let new = Failure::new;
    Some(match term {
        Term::S429 => (429, RATE_LIMIT),
        Term::S429Daily => (
            429,
            new(
                "requests",
                Some("key_daily_quota_exceeded"),
                "The daily quota of this key is used up: requests per day (RPD): Limit 200, Used 200, Requested 1.",
            ),
        ),
        Term::S429Balance => (
            429,
            new(
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
        ),
        Term::S429Concurrency => (429, new("requests", Some("concurrency_limit"), "Too many concurrent requests: limit 5. 并发数过高")),
        Term::S429Upstream => (
            429,
            Failure {
                extra: r#","source":"upstream""#,
                ..new("upstream_error", Some("rate_limit_exceeded"), "当前分组上游负载已饱和，请稍后再试")
            },
        ),
        Term::SlowDown => (
            429,
            new(
                "requests",
                Some("slow_down"),
                "Slow down: the request rate rose too fast. Return to the earlier rate and ramp up gradually.",
            ),
        ),
        _ => return None,
    })
}

/// The rest: sizes, conflicts, and servers in trouble.
fn of_the_moment(term: Term) -> Option<(u16, Failure<'static>)> {
    let invalid = "invalid_request_error";
    let new = Failure::new;
    Some(match term {
        Term::S408 => (408, new(invalid, Some("request_timeout"), "The request timed out.")),
        Term::S409 => (409, new(invalid, Some("conflict"), "The resource is locked by another request. Try again.")),
        Term::S413 => (413, new(invalid, Some("request_too_large"), "Request body too large.")),
        Term::S422 => (
            422,
            Failure {
                param: Some("messages"),
                ..new(invalid, Some("unprocessable"), "The request was well-formed but could not be processed.")
            },
        ),
        Term::S425 => (425, new(invalid, Some("too_early"), "Too early. Try again.")),
        Term::S500 => (500, SERVER_ERROR),
        Term::S502 => (502, new("upstream_error", Some("bad_response_status_code"), "bad response from the upstream")),
        Term::S503 => {
            (503, new("server_error", Some("server_is_overloaded"), "The engine is currently overloaded, please try again later."))
        }
        Term::S503NoUpstream => (503, new("one_api_error", Some("no_upstream"), "当前分组 default 下对于该模型无可用渠道")),
        Term::S529 => (529, new("overloaded_error", Some("overloaded"), "Overloaded")),
        _ => return None,
    })
}

/// The refusal that a scenario asks for, if any.
pub(crate) fn refuse(scenario: &Scenario, ask: &Ask, family: Option<Family>, now: Timestamp) -> Option<Reply> {
    scenario.terms().find_map(|term| {
        if let Some((status, failure)) = fixed(term) {
            return Some(Reply::json(status, failure.body(family)));
        }
        match term {
            Term::S429Hint | Term::S429Ms | Term::S429Date | Term::S429Body => Some(hinted(term, scenario.span(term)?, family, now)),
            Term::S429FirstEvent if !ask.stream => Some(Reply::json(429, RATE_LIMIT.body(family))),
            Term::S504 => Some(gateway_timeout(scenario.choice(term)?, family)),
            Term::Status => {
                let status = u16::try_from(scenario.count(term)?).ok().filter(|status| *status >= 200)?;
                Some(Reply::json(status, Failure { code: None, ..SERVER_ERROR }.body(family)))
            }
            Term::HiddenBusy => {
                let status = if scenario.choice(term) == Some("200") { 200 } else { 500 };
                Some(Reply::json(status, r#"{"success":false,"message":"系统繁忙，请稍后再试"}"#))
            }
            _ => page(term),
        }
    })
}

fn hinted(term: Term, wait: Duration, family: Option<Family>, now: Timestamp) -> Reply {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let opens = now.after(wait);
    let extra = if term == Term::S429Body { format!(r#","resetAt":"{}""#, opens.rfc3339()) } else { String::new() };
    let mut reply = Reply::json(429, Failure { extra: &extra, ..RATE_LIMIT }.body(family));
    match term {
        Term::S429Hint => reply.head.headers.push(("retry-after", seconds.to_string())),
        Term::S429Ms => reply.head.headers.push(("retry-after-ms", wait.as_millis().to_string())),
        Term::S429Date => reply.head.headers.push(("retry-after", http_date(opens))),
        _ => {}
    }
    reply
}

/// As `Retry-After` and `Date` have it; rounded up to the second, so that obeying it is never too early.
pub(crate) fn http_date(at: Timestamp) -> String {
    let seconds = at.0.saturating_add(999).div_euclid(1000);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn gateway_timeout(phase: &str, family: Option<Family>) -> Reply {
    let code = format!("upstream_timeout_{phase}");
    let message = format!("the upstream did not answer within the gateway's {phase} limit");
    Reply::json(504, Failure::new("upstream_error", Some(&code), &message).body(family))
}

fn page(term: Term) -> Option<Reply> {
    let nginx = |status: u16, title: &str| {
        let body = format!(
            "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Reply::whole(Head::new(status, "text/html").with("server", "nginx"), body)
    };
    Some(match term {
        Term::S404Html => nginx(404, "Not Found"),
        Term::S407 => {
            let mut reply = nginx(407, "Proxy Authentication Required");
            reply.head.headers.push(("proxy-authenticate", "Basic realm=\"proxy\"".to_owned()));
            reply
        }
        Term::S429Html => {
            let body = "<!DOCTYPE html><html><head><title>Access denied | 429: Too Many Requests</title></head><body><h1>Error 1015</h1><p>You are being rate limited.</p></body></html>";
            Reply::whole(
                Head::new(429, "text/html; charset=UTF-8").with("server", "cloudflare").with("cf-ray", "8f00000000000000-SIM"),
                body,
            )
        }
        Term::S502Html => nginx(502, "Bad Gateway"),
        Term::Proxy504Html => nginx(504, "Gateway Time-out"),
        _ => return None,
    })
}

/// A page where a stream was due.
pub(crate) fn login_page() -> Reply {
    let body =
        "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form action=\"/login\"><input name=\"user\"></form></body></html>";
    Reply::whole(Head::new(200, "text/html; charset=utf-8"), body)
}
