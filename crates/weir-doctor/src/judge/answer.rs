//! What one answer, or its absence, means: read by its own words first, by its status last.

use std::time::Duration;

use weir_client::probe::{BodyEnd, Fault, TlsFault};
use weir_core::{Verdict, evidence::Confidence};
use weir_wire::{UpstreamClass, UpstreamError, Vendor, classify};

use super::Finding;
use crate::{
    report::{Bilingual, both},
    trace::{End, Shape, Trace, Whole},
};

/// What a whole answer that is no success means. `None`: it is one.
#[must_use]
pub fn of_answer(trace: &Trace, vendor: Vendor) -> Option<Finding> {
    if let End::Never(fault) = trace.end {
        return Some(of_fault(fault, trace.total));
    }
    let status = trace.status?;
    if status < 400 {
        return of_accepted(trace, status, vendor);
    }
    let empty = Whole::default();
    let whole = trace.whole().unwrap_or(&empty);
    if let Some(verdict) = whole.verdict {
        return Some(Finding::certain(verdict));
    }
    let is_json = whole.shape == Shape::Json;
    let named = named(trace, whole);
    // A page, or no words of an API at all, was written by something in front of it.
    if !is_json || (!whole.has_error_object && named.is_none() && matches!(status, 401 | 403 | 404)) {
        return Some(of_page(trace, status, whole));
    }
    let Some(error) = whole.error.as_ref() else { return Some(of_page(trace, status, whole)) };
    if is_hidden(status, error) {
        return Some(Finding::likely(Verdict::StatusHidden));
    }
    if let Some(verdict) = by_code(status, error, whole) {
        return Some(Finding::certain(verdict));
    }
    // Nobody signed it: no id of a request, no word of an API.
    if status == 429 && named.is_none() && !has_id(trace) {
        return Some(Finding::guess(Verdict::MiddleBoxThrottled));
    }
    let told = whole.reset_at_ms.map(weir_core::Timestamp);
    let class = classify::class(error, vendor);
    if class == UpstreamClass::Model && status == 404 && is_wrong_path(error) {
        return Some(Finding::likely(Verdict::NotTheApi));
    }
    let confidence = if named.is_some() { Confidence::Certain } else { Confidence::Likely };
    Some(Finding::new(class.verdict(status, told), confidence))
}

/// A success that is none: a page, or a phrase where an answer should be.
fn of_accepted(trace: &Trace, status: u16, vendor: Vendor) -> Option<Finding> {
    let whole = trace.whole()?;
    if (300..400).contains(&status) {
        return Some(Finding::likely(Verdict::NotTheApi).because(both!(
            "服务器要求跳转到别处(状态 {status}):多半是 http 要改成 https,或要先登录",
            "the server sends us elsewhere (status {status}): mostly from http to https, or to a login page"
        )));
    }
    match (whole.shape, &whole.error) {
        _ if whole.is_answer => None,
        (Shape::Html, _) => Some(Finding::likely(Verdict::NotTheApi).because(a_website())),
        (Shape::Empty, _) if status == 204 => None,
        (Shape::Empty, _) => Some(Finding::likely(Verdict::StatusHidden).because(both!("回答是空的", "the answer is empty"))),
        (_, Some(error)) if is_hidden(status, error) => Some(Finding::likely(Verdict::StatusHidden)),
        (_, Some(error)) => {
            let known = by_code(status, error, whole);
            Some(known.map_or_else(|| Finding::likely(classify::class(error, vendor).verdict(status, None)), Finding::certain))
        }
        (_, None) => Some(Finding::likely(Verdict::NotTheApi)),
    }
}

/// What something in front of the API said, by its status.
fn of_page(trace: &Trace, status: u16, whole: &Whole) -> Finding {
    let is_page = whole.shape == Shape::Html;
    match status {
        407 => Finding::certain(Verdict::ProxyLoginNeeded),
        402 => Finding::likely(Verdict::BalanceSpent),
        413 => Finding::likely(Verdict::RequestTooLong),
        429 => Finding::new(Verdict::MiddleBoxThrottled, if is_page { Confidence::Likely } else { Confidence::Guess }),
        401 | 403 if !is_page && whole.shape == Shape::Empty && has_id(trace) => Finding::likely(Verdict::KeyUnknown),
        401 | 403 | 404 | 405 | 400 | 410 => Finding::likely(Verdict::NotTheApi).because_of(is_page.then(a_website)),
        502 | 504 | 520..=527 | 530 => Finding::new(Verdict::ProxyCut, Confidence::Likely).because_of(cut_after(trace.total)),
        503 if is_page => Finding::new(Verdict::ProxyCut, Confidence::Guess).because_of(cut_after(trace.total)),
        503 | 529 => Finding::likely(Verdict::UpstreamOverloaded),
        408 => Finding::likely(Verdict::FirstByteTimeout),
        500..=599 => Finding::likely(Verdict::UpstreamError),
        _ => Finding::likely(Verdict::RequestRejected),
    }
}

/// Why there was no answer.
#[must_use]
pub fn of_fault(fault: Fault, after: Duration) -> Finding {
    match fault {
        Fault::NoAddress => Finding::certain(Verdict::DnsFailed),
        Fault::DnsTimeout => Finding::likely(Verdict::DnsFailed).because(both!(
            "6 秒内没有回答:域名可能没错,是解析服务器太慢或连不到",
            "nothing came back within 6 s: the name may be right, and the resolver slow or out of reach"
        )),
        Fault::Refused => Finding::certain(Verdict::ConnectFailed).because(both!(
            "主机在,但这个端口上没有程序在听:服务启动了吗,端口写对了吗",
            "the host is there and nothing listens on this port: is the server started, is the port right?"
        )),
        Fault::ConnectTimeout => Finding::certain(Verdict::ConnectFailed).because(both!(
            "5 秒内没有任何回应:多半是防火墙丢弃了连接,或主机没开",
            "nothing came back within 5 s: most likely a firewall drops the connection, or the host is off"
        )),
        Fault::Unreachable => Finding::certain(Verdict::ConnectFailed)
            .because(both!("没有通向它的路:看网络或 VPN 是否连着", "no way leads there: see that the network or VPN is up")),
        Fault::Unsent => Finding::likely(Verdict::ConnectFailed),
        Fault::Tls(why) => Finding::certain(Verdict::TlsFailed).because(tls_words(why)),
        Fault::TlsTimeout => Finding::likely(Verdict::TlsFailed).because(both!("TLS 握手超时", "the TLS handshake took too long")),
        Fault::ProxyRefused(407) => Finding::certain(Verdict::ProxyLoginNeeded),
        Fault::ProxyRefused(status) => Finding::likely(Verdict::ConnectFailed)
            .because(both!("代理拒绝建立隧道(状态 {status})", "the proxy refused the tunnel (status {status})")),
        Fault::ProxyLogin => Finding::certain(Verdict::ProxyLoginNeeded).because(both!(
            "SOCKS 代理要求登录,或不接受这个账号:写成 socks5://用户:密码@主机:端口",
            "the SOCKS proxy wants a login, or refused the one it got: write socks5://user:password@host:port"
        )),
        Fault::SocksRefused(reply) => Finding::likely(Verdict::ConnectFailed).because(socks_words(reply)),
        Fault::ProxyBroken => Finding::likely(Verdict::ConnectFailed).because(both!(
            "代理没有按它的协议回答:核对代理地址的 http:// 或 socks5:// 和端口",
            "the proxy did not answer in its protocol: look at the http:// or socks5:// and the port of its address"
        )),
        Fault::NotHttp => Finding::likely(Verdict::NotTheApi).because(both!("对方说的不是 HTTP", "what answered does not speak HTTP")),
        Fault::HeadTooLong => {
            Finding::likely(Verdict::UpstreamError).because(both!("响应头超过 64 KiB", "the response's head is longer than 64 KiB"))
        }
        Fault::SentThenReset | Fault::SentThenClosed => match round_hop(after) {
            Some(hop) => Finding::guess(Verdict::ProxyCut).because(hop),
            None => Finding::likely(Verdict::OutcomeUnknown),
        },
        Fault::Silent => Finding::likely(Verdict::FirstByteTimeout),
    }
}

/// What a whole body that broke off means.
#[must_use]
pub fn of_end(end: BodyEnd, after: Duration) -> Option<Finding> {
    match end {
        BodyEnd::Clean | BodyEnd::Closed => None,
        BodyEnd::Limit(_) => Some(Finding::likely(Verdict::FirstByteTimeout)),
        BodyEnd::BadEncoding => {
            Some(Finding::likely(Verdict::FramesMalformed).because(both!("压缩的内容解不开", "what was compressed cannot be read")))
        }
        _ => Some(match round_hop(after) {
            Some(hop) => Finding::guess(Verdict::ProxyCut).because(hop),
            None => Finding::likely(Verdict::OutcomeUnknown),
        }),
    }
}

/// What a SOCKS proxy says of the way behind it (RFC 1928).
fn socks_words(reply: u8) -> Bilingual {
    match reply {
        2 => both!("SOCKS 代理的规则不允许连这个接口", "the SOCKS proxy's rules do not allow this API"),
        3 | 4 => both!("SOCKS 代理到不了这个接口,或解析不了它的域名", "the SOCKS proxy cannot reach this API, or cannot resolve its name"),
        5 => both!("SOCKS 代理连接口被拒绝", "the API refused the SOCKS proxy's connection"),
        6 => both!("SOCKS 代理连接口超时", "the SOCKS proxy's connection to the API timed out"),
        _ => both!("SOCKS 代理没有打开隧道(回复 {reply})", "the SOCKS proxy did not open the tunnel (reply {reply})"),
    }
}

/// What is wrong with TLS, and what to do in this very case.
fn tls_words(why: TlsFault) -> Bilingual {
    match why {
        TlsFault::Expired => {
            both!("证书已过期:请地址的提供方换新证书", "the certificate has expired: whoever gave the address must renew it")
        }
        TlsFault::NotYetValid => both!(
            "证书还没到生效时间:先看本机的日期和时间对不对",
            "the certificate is not valid yet: look at this machine's date and time first"
        ),
        TlsFault::WrongName => both!(
            "证书不是给这个域名的:地址要用证书上的域名,不要用 IP 或别名",
            "the certificate is for another name: write the address with the name that it is for, not with an IP or an alias"
        ),
        TlsFault::SelfSigned => both!(
            "证书是自签名的:是你自己的服务器,就换成由根证书签发的,再用 `SSL_CERT_FILE` 指定那个根;不是,就不要连",
            "the certificate is self-signed: if the server is your own, give it one that a root signed and name that root with `SSL_CERT_FILE`; if not, do not connect"
        ),
        TlsFault::Untrusted => both!("签发者不受本机信任", "this machine does not trust the issuer"),
        TlsFault::Unfit => both!(
            "证书不能用作服务器证书,或已被吊销:请地址的提供方换一张",
            "the certificate is none for a server, or it was revoked: whoever gave the address must replace it"
        ),
        TlsFault::Handshake => {
            both!("握手失败:对方可能不说 TLS,试试 http://", "the handshake failed; perhaps the other side speaks no TLS, try http://")
        }
        TlsFault::NoRoots => both!(
            "本机没有可用的根证书:安装 ca-certificates,或用 `SSL_CERT_FILE` 指定",
            "this machine has no usable root certificates: install ca-certificates, or name a file with `SSL_CERT_FILE`"
        ),
    }
}

/// Who cuts at such a time by default, where the time is round: a guess, and told as one.
#[must_use]
pub fn round_hop(after: Duration) -> Option<Bilingual> {
    const HOPS: [(u64, &str, &str); 5] = [
        (30, "CloudFront 或网关的默认值", "the default of CloudFront and of some gateways"),
        (60, "nginx proxy_read_timeout 或 ALB 空闲超时的默认值", "the default of nginx proxy_read_timeout and of an ALB's idle timeout"),
        (100, "Cloudflare 的默认值", "the default of Cloudflare"),
        (120, "常见的反向代理设置", "a usual setting of reverse proxies"),
        (300, "常见的负载均衡设置", "a usual setting of load balancers"),
    ];
    let near = |seconds: u64| after.abs_diff(Duration::from_secs(seconds)) <= Duration::from_secs(1);
    HOPS.iter()
        .find(|(seconds, ..)| near(*seconds))
        .map(|(seconds, zh, en)| both!("正好在 {seconds} 秒断开,这是{zh}", "it was cut at {seconds} s, {en}"))
}

/// When something in front of the API gave up: who does so by default, or else the limit to look for.
fn cut_after(after: Duration) -> Option<Bilingual> {
    round_hop(after).or_else(|| {
        let seconds = after.as_secs();
        (seconds > 0).then(|| {
            both!(
                "{seconds} 秒后断开:找各跳里设成 {seconds} 秒的超时",
                "it was cut after {seconds} s: look for a time limit of {seconds} s at each hop"
            )
        })
    })
}

/// Whoever opens such an address sees pages.
fn a_website() -> Bilingual {
    both!("回答的是一个网页,不是接口", "what answered is a web page, not an API")
}

/// The machine word that the error bears.
fn named<'a>(trace: &'a Trace, whole: &'a Whole) -> Option<&'a str> {
    let error = trace.error().or(whole.error.as_ref())?;
    error.code.as_deref().or(error.kind.as_deref())
}

/// Whether somebody numbered the answer.
fn has_id(trace: &Trace) -> bool {
    ["x-request-id", "request-id", "x-amzn-requestid", "x-weir-call"].iter().any(|name| trace.header(name).is_some())
}

/// A phrase in place of a reason: no code, no type, and a status that says nothing.
fn is_hidden(status: u16, error: &UpstreamError) -> bool {
    const PHRASES: [&str; 9] =
        ["系统繁忙", "服务繁忙", "服务器繁忙", "请稍后", "稍后再试", "网络异常", "system busy", "service busy", "try again later"];
    let text = error.message.expose().to_lowercase();
    error.code.is_none() && error.kind.is_none() && matches!(status, 200 | 400 | 500) && PHRASES.iter().any(|phrase| text.contains(phrase))
}

/// What no status tells: codes with one meaning wherever they come from.
fn by_code(status: u16, error: &UpstreamError, whole: &Whole) -> Option<Verdict> {
    let word = |text: &Option<String>| text.as_deref().unwrap_or_default().to_ascii_lowercase();
    let (code, kind) = (word(&error.code), word(&error.kind));
    let is = |words: &[&str]| words.iter().any(|known| code == *known || kind == *known);
    if status == 407 {
        return Some(Verdict::ProxyLoginNeeded);
    }
    if let Some(verdict) = own_phase(&code) {
        return Some(verdict);
    }
    if status == 429 && whole.scope.as_deref() == Some("upstream") {
        return Some(Verdict::UpstreamThrottled);
    }
    let table: [(&[&str], Verdict); 10] = [
        (&["key_disabled", "key_expired", "api_key_disabled", "account_deactivated", "token_expired", "key_revoked"], Verdict::KeyDisabled),
        (&["ip_not_allowed", "ip_not_authorized", "unsupported_country_region_territory"], Verdict::SourceNotAllowed),
        (&["group_model_denied"], Verdict::GroupModelDenied),
        (&["key_daily_quota_exceeded"], Verdict::QuotaSpent),
        (&["concurrency_limit", "concurrency_limit_exceeded", "too_many_concurrent_requests"], Verdict::ConcurrencySpent),
        (&["slow_down"], Verdict::RampTooFast),
        (&["upstream_rate_limited"], Verdict::UpstreamThrottled),
        (&["no_upstream"], Verdict::NoUpstream),
        (&["price_unknown"], Verdict::PriceUnknown),
        (&["conflict", "too_early"], Verdict::UpstreamError),
    ];
    table.iter().find(|(words, _)| is(words)).map(|(_, verdict)| *verdict)
}

/// A gateway that names the phase in which its time ran out.
fn own_phase(code: &str) -> Option<Verdict> {
    let is_timeout = code.contains("timeout") || code.contains("timed_out");
    match code {
        "upstream_connect" => Some(Verdict::UpstreamConnectTimeout),
        "first_byte" => Some(Verdict::FirstByteTimeout),
        "idle" => Some(Verdict::IdleTimeout),
        "total" => Some(Verdict::TotalTimeout),
        _ if !is_timeout => None,
        _ if code.contains("connect") => Some(Verdict::UpstreamConnectTimeout),
        _ if code.contains("first_byte") => Some(Verdict::FirstByteTimeout),
        _ if code.contains("idle") => Some(Verdict::IdleTimeout),
        _ if code.contains("total") => Some(Verdict::TotalTimeout),
        _ => None,
    }
}

/// The path is at fault and not the model.
fn is_wrong_path(error: &UpstreamError) -> bool {
    let text = error.message.expose().to_lowercase();
    let word = error.code.as_deref().unwrap_or_default();
    if word.contains("model") || text.contains("model") || text.contains("模型") {
        return false;
    }
    word == "unknown_url"
        || ["invalid url", "not found", "no route", "unknown request url", "unknown path", "no such path"].iter().any(|s| text.contains(s))
}
