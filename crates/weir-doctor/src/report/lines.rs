//! What each probe saw, as one line for people. Sizes, times and codes; never text that came from outside, unless it is tame.

use std::time::Duration;

use weir_client::probe::{BodyEnd, Fault, Issuer, Limit, TlsSeen};
use weir_core::{Charged, Lang, TaskState};

use super::{Bilingual, both, words};
use crate::{
    judge::seen::{Burst, Lookup, Models, Opening, OtherWay, Record, Seen},
    probe::{Examined, ProbeId},
    trace::{Body, End, Measures, Shape, Trace},
};

/// Two texts, made by one function of the language.
fn each(text: impl Fn(Lang) -> String) -> Bilingual {
    Bilingual { zh: text(Lang::Zh), en: text(Lang::En) }
}

fn pick(lang: Lang, zh: &'static str, en: &'static str) -> &'static str {
    if lang == Lang::Zh { zh } else { en }
}

/// The line of one probe.
#[must_use]
pub(super) fn line(run: &Examined, probe: ProbeId) -> Bilingual {
    let seen = &run.seen;
    match probe {
        ProbeId::P0 => local(seen),
        ProbeId::P1 => seen.opened.as_ref().map(name),
        ProbeId::P2 => seen.opened.as_ref().map(|opening| connection(opening, run)),
        ProbeId::P3 => seen.models.as_ref().map(|found| models(found, run)),
        ProbeId::P4 => seen.control.as_ref().map(control),
        ProbeId::P5 => seen.stream.as_ref().map(stream),
        ProbeId::P6 => seen.gzip.as_ref().map(gzip),
        ProbeId::P7 => seen.other_way.as_ref().map(other_way),
        ProbeId::P8 => Some(seen.record.as_ref().map_or_else(|| both!("网关还没有写下记录", "the gateway has no record yet"), record)),
        ProbeId::P9 => seen.lookup.as_ref().map(lookup),
        ProbeId::P10 => None,
        ProbeId::P11 => seen.burst.as_ref().map(burst),
        ProbeId::P12 => seen.hold.as_ref().map(stream),
        ProbeId::P13 => seen.echo.as_ref().map(stream),
    }
    .unwrap_or_else(|| both!("没有结果", "no result"))
}

fn local(seen: &Seen) -> Option<Bilingual> {
    let local = &seen.local;
    Some(each(|lang| {
        let mut parts = Vec::new();
        let flaws: Vec<&str> = local.key.iter().map(|flaw| flaw.words(lang)).collect();
        match (flaws.is_empty(), local.url) {
            (true, None) if local.has_key => parts.push(pick(lang, "地址与 Key 格式正确", "URL and key look right").to_owned()),
            (true, None) => parts.push(pick(lang, "地址格式正确;没有 Key", "the URL looks right; there is no key").to_owned()),
            (_, url) => {
                if let Some(flaw) = url {
                    parts.push(format!("{}{}", pick(lang, "地址:", "URL: "), flaw.words(lang)));
                }
                if !flaws.is_empty() {
                    parts.push(format!("{}{}", pick(lang, "Key 里:", "the key holds "), flaws.join(pick(lang, "、", ", "))));
                }
            }
        }
        if let Some(name) = &local.proxy_from {
            let how = if local.proxy_is_foreign {
                pick(lang, "这种代理走不了,走直连:", "not a proxy that can be gone through, went straight: ")
            } else {
                pick(lang, "使用代理:", "proxy in use: ")
            };
            parts.push(format!("{how}{name}"));
        }
        parts.join(pick(lang, ";", "; "))
    }))
}

fn name(opening: &Opening) -> Bilingual {
    let Some(took) = opening.phases.dns else {
        return match opening.fault {
            Some(Fault::DnsTimeout) => both!("6 秒内没有得到地址", "no address within 6 s"),
            _ => both!("没有找到地址", "no address was found"),
        };
    };
    if opening.is_address {
        return both!("IP 地址,不用解析", "an IP address, no name to look up");
    }
    let count = opening.addresses;
    each(|lang| {
        let took = words::span(took, lang);
        if lang == Lang::Zh {
            format!("dns {took},{count} 个地址")
        } else {
            format!("dns {took}, {count} address{}", if count == 1 { "" } else { "es" })
        }
    })
}

fn connection(opening: &Opening, run: &Examined) -> Bilingual {
    if let Some(fault) = opening.fault {
        return self::fault(fault);
    }
    each(|lang| {
        let took = |span: Option<Duration>| words::span(span.unwrap_or_default(), lang);
        let mut parts = vec![format!("{} {}", pick(lang, "连接", "connect"), took(opening.phases.connect))];
        if opening.phases.proxy.is_some() {
            parts.push(format!("{} {}", pick(lang, "代理隧道", "proxy tunnel"), took(opening.phases.proxy)));
        }
        match opening.tls {
            Some(tls) => parts.push(format!("tls {} ({})", took(opening.phases.tls), certificate(tls, run, lang))),
            None => parts.push(pick(lang, "没有 TLS(明文 http)", "no TLS (plain http)").to_owned()),
        }
        parts.join(pick(lang, ",", ", "))
    })
}

fn certificate(tls: TlsSeen, run: &Examined, lang: Lang) -> String {
    let issuer = match tls.issuer {
        Issuer::Public => pick(lang, "公共 CA", "public CA"),
        Issuer::Private => pick(lang, "私有 CA", "private CA"),
        Issuer::Untrusted => pick(lang, "不受信任", "not trusted"),
    };
    let mut parts = vec![issuer.to_owned()];
    parts.extend(tls.alpn.map(|version| version.label().to_owned()));
    let days = tls.not_after.map(|end| end.saturating_sub(run.began.0.div_euclid(1000)) / 86_400);
    if let Some(days) = days.filter(|days| *days < 15) {
        parts.push(if lang == Lang::Zh { format!("证书还有 {days} 天到期") } else { format!("expires in {days} days") });
    }
    parts.join(pick(lang, ",", ", "))
}

fn fault(fault: Fault) -> Bilingual {
    let (zh, en) = match fault {
        Fault::NoAddress => ("没有找到地址", "no address was found"),
        Fault::DnsTimeout => ("域名解析超时", "the name was not resolved in time"),
        Fault::Refused => ("连接被拒绝", "the connection was refused"),
        Fault::ConnectTimeout => ("5 秒内没有连上", "no connection within 5 s"),
        Fault::Unreachable => ("连不到对方", "the other side cannot be reached"),
        Fault::Tls(why) => return words::tls(why),
        Fault::TlsTimeout => ("TLS 握手超时", "the TLS handshake took too long"),
        Fault::ProxyRefused(407) => ("代理要求登录(407)", "the proxy wants a login (407)"),
        Fault::ProxyRefused(_) => ("代理拒绝建立隧道", "the proxy refused the tunnel"),
        Fault::ProxyLogin => ("SOCKS 代理要求登录,或不接受这个账号", "the SOCKS proxy wants a login, or refused the one it got"),
        Fault::SocksRefused(_) => ("SOCKS 代理没有连到接口", "the SOCKS proxy did not reach the API"),
        Fault::ProxyBroken => ("代理没有正常回答", "the proxy did not answer properly"),
        Fault::Unsent => ("还没发出请求,连接就断了", "the connection closed before the request left"),
        Fault::SentThenReset => ("请求已发出,连接被重置,没有回答", "the request was sent and the connection reset, without an answer"),
        Fault::SentThenClosed => ("请求已发出,连接被关闭,没有回答", "the request was sent and the connection closed, without an answer"),
        Fault::NotHttp => ("对方说的不是 HTTP", "what answered does not speak HTTP"),
        Fault::HeadTooLong => ("响应头太长", "the response's head is too long"),
        Fault::Silent => ("没有任何回答", "no answer at all"),
    };
    Bilingual::new(zh, en)
}

fn models(found: &Models, run: &Examined) -> Bilingual {
    let trace = &found.trace;
    if let End::Never(fault) = trace.end {
        return after(&self::fault(fault), trace.total);
    }
    each(|lang| {
        let status = trace.status.unwrap_or_default();
        let mut parts = vec![status.to_string()];
        match (found.is_listed, found.count) {
            _ if status >= 400 => parts.extend(error_word(trace)),
            (Some(true), _) => parts.push(pick(lang, "模型在列表中", "model listed").to_owned()),
            (Some(false), count) => {
                let name = run.model.as_deref().filter(|name| crate::probe::is_tame_model(name)).unwrap_or("?");
                parts.push(if lang == Lang::Zh {
                    format!("列出 {count} 个模型,没有 {name}")
                } else {
                    format!("{count} models, {name} is not among them")
                });
            }
            (None, 0) => parts.push(pick(lang, "没有模型列表", "no list of models").to_owned()),
            (None, count) => parts.push(if lang == Lang::Zh { format!("列出 {count} 个模型") } else { format!("{count} models") }),
        }
        // A second or two is the rounding of `Date` and the way there.
        if let Some(skew) = trace.skew_s.filter(|skew| skew.abs() > 2) {
            parts.push(format!("{} {} {}", pick(lang, "时钟相差", "clock off by"), skew.abs(), pick(lang, "秒", "s")));
        }
        parts.join(pick(lang, ",", ", "))
    })
}

/// The error's own word, where it is a tame one.
fn error_word(trace: &Trace) -> Option<String> {
    let error = trace.error()?;
    error.code.clone().or_else(|| error.kind.clone()).filter(|word| word.len() <= 48 && super::look::is_public(word))
}

fn after(text: &Bilingual, span: Duration) -> Bilingual {
    let (zh, en) = (words::span(span, Lang::Zh), words::span(span, Lang::En));
    Bilingual { zh: format!("{}({zh}后)", text.zh), en: format!("{} (after {en})", text.en) }
}

fn control(trace: &Trace) -> Bilingual {
    if let End::Never(fault) = trace.end {
        return after(&self::fault(fault), trace.total);
    }
    each(|lang| {
        let status = trace.status.unwrap_or_default();
        let took = words::span(trace.total, lang);
        let mut text = match lang {
            Lang::Zh => format!("{status},{took}"),
            Lang::En => format!("{status} in {took}"),
        };
        let shape = trace.whole().map(|whole| whole.shape);
        let word = error_word(trace);
        if let Some(word) = word {
            text.push_str(&format!(" {word}"));
        } else if shape == Some(Shape::Html) {
            text.push_str(pick(lang, ",是一个网页", ", a web page"));
        } else if shape == Some(Shape::Empty) {
            text.push_str(pick(lang, ",内容为空", ", empty"));
        }
        if let End::Body(end) = trace.end {
            text.push_str(&ended(end, lang).map_or_else(String::new, |words| format!("{}{words}", pick(lang, ",", ", "))));
        }
        text + pick(lang, "(stream=false)", " (stream=false)")
    })
}

/// How a body ended, where that is worth a word.
fn ended(end: BodyEnd, lang: Lang) -> Option<&'static str> {
    let (zh, en) = match end {
        BodyEnd::Clean | BodyEnd::Closed => return None,
        BodyEnd::Reset => ("连接被重置", "connection reset"),
        BodyEnd::ChunkUnfinished => ("缺少结束块就断开", "cut before its last chunk"),
        BodyEnd::Short => ("比 Content-Length 短", "shorter than its Content-Length"),
        BodyEnd::StreamReset(_) => ("HTTP/2 流被重置", "HTTP/2 stream reset"),
        BodyEnd::GoAway => ("HTTP/2 连接被关闭", "HTTP/2 connection given up"),
        BodyEnd::BadEncoding => ("压缩内容解不开", "compressed in a way that cannot be read"),
        BodyEnd::Limit(Limit::FirstByte | Limit::Gap) => ("之后再没有数据", "then silence"),
        BodyEnd::Limit(Limit::Total) => ("仍未结束,不再等待", "not over yet, waited no longer"),
        BodyEnd::Limit(Limit::Bytes) => ("太长,不再读", "too long to read on"),
    };
    Some(pick(lang, zh, en))
}

/// `42 data lines from 0.8 s to 6.1 s, 39 groups, [DONE]`.
fn stream(trace: &Trace) -> Bilingual {
    if let End::Never(fault) = trace.end {
        return after(&self::fault(fault), trace.total);
    }
    let Body::Stream(body) = &trace.body else { return no_stream(trace) };
    let measures = Measures::of(trace);
    each(|lang| {
        let lines = body.data_lines;
        let Some(measures) = &measures else {
            let silent = if lang == Lang::Zh { "200,但没有一行 data".to_owned() } else { "200, and not one data line".to_owned() };
            let how = if let End::Body(end) = trace.end { ended(end, lang) } else { None };
            return how.map_or(silent.clone(), |how| format!("{silent}{}{how}", pick(lang, ",", ", ")));
        };
        let mut parts = vec![arrived(lines, measures, lang)];
        if measures.clusters.len() > 1 {
            parts.push(format!("{} {}", measures.clusters.len(), pick(lang, "组", "groups")));
        }
        parts.push(mark(trace, lang));
        if let (End::Body(end), false) = (trace.end, body.is_done && matches!(trace.end, End::Body(BodyEnd::Limit(_)))) {
            parts.extend(ended(end, lang).map(str::to_owned));
        }
        parts.join(pick(lang, ",", ", "))
    })
}

fn arrived(lines: u32, measures: &Measures, lang: Lang) -> String {
    let (first, last) = (words::span(measures.first, lang), words::span(measures.last, lang));
    let span = words::span(measures.span(), lang);
    match (measures.clusters.len() <= 1, lang) {
        (true, Lang::Zh) if measures.span().as_millis() == 0 => format!("{lines} 行 data 在第 {first}一次到达"),
        (true, Lang::En) if measures.span().as_millis() == 0 => format!("{lines} data lines, all at once at {first}"),
        (true, Lang::Zh) => format!("{lines} 行 data 在第 {first}的 {span}内一次到达"),
        (true, Lang::En) => format!("{lines} data lines, all within {span} at {first}"),
        (false, Lang::Zh) => format!("{lines} 行 data,{first}–{last}陆续到达"),
        (false, Lang::En) => format!("{lines} data lines from {first} to {last}"),
    }
}

fn mark(trace: &Trace, lang: Lang) -> String {
    let Some(body) = trace.stream() else { return String::new() };
    if body.error.is_some() {
        return match error_word(trace) {
            Some(word) => format!("{} {word}", pick(lang, "流内错误", "an error inside:")),
            None => pick(lang, "流内有错误", "an error inside").to_owned(),
        };
    }
    let reason = body.finish_reason.as_deref();
    match (body.is_done, reason) {
        (true, Some("stop") | None) => pick(lang, "有 [DONE]", "[DONE]").to_owned(),
        (true, Some(reason)) => format!("finish_reason {reason}, [DONE]"),
        (false, Some(reason)) => format!("finish_reason {reason}{}", pick(lang, ",没有 [DONE]", ", no [DONE]")),
        (false, None) => pick(lang, "没有结束标记", "no end marker").to_owned(),
    }
}

/// The stream request got something else.
fn no_stream(trace: &Trace) -> Bilingual {
    let status = trace.status.unwrap_or_default();
    each(|lang| {
        let kind = trace.header("content-type").and_then(|kind| kind.split(';').next()).map(str::trim);
        let kind = kind.filter(|kind| kind.len() <= 40 && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/+.-".contains(&byte)));
        let what = match (trace.whole().map(|whole| whole.shape), error_word(trace)) {
            (_, Some(word)) => word,
            (Some(Shape::Json), _) => pick(lang, "一个完整的 JSON,不是流", "one JSON document, no stream").to_owned(),
            (Some(Shape::Html), _) => pick(lang, "一个网页,不是流", "a web page, no stream").to_owned(),
            (Some(Shape::Empty) | None, _) => pick(lang, "没有一行 data", "not one data line").to_owned(),
            (Some(Shape::Text), _) => pick(lang, "一段文字,不是流", "a text, no stream").to_owned(),
        };
        let kind = kind.map_or_else(String::new, |kind| format!(" ({kind})"));
        format!("{status}{}{what}{kind}", pick(lang, ",", ", "))
    })
}

fn gzip(trace: &Trace) -> Bilingual {
    let line = stream(trace);
    let encoding = trace.header("content-encoding").filter(|encoding| ["gzip", "br", "deflate"].contains(encoding));
    match encoding {
        Some(encoding) => Bilingual { zh: format!("{}({encoding})", line.zh), en: format!("{} ({encoding})", line.en) },
        None => line,
    }
}

fn other_way(other: &OtherWay) -> Bilingual {
    let line = stream(&other.trace);
    let hop = &other.hop;
    let (zh, en) = (line.zh, line.en);
    if other.is_direct { both!("绕开 {hop}:{zh}", "around {hop}: {en}") } else { both!("经过 {hop}:{zh}", "through {hop}: {en}") }
}

fn record(record: &Record) -> Bilingual {
    each(|lang| {
        let mut parts = Vec::new();
        match record.attempts.saturating_sub(1) {
            0 => parts.push(pick(lang, "没有重试", "no retry").to_owned()),
            more => parts.push(format!("{} {more}", pick(lang, "网关重试", "retries by the gateway:"))),
        }
        parts.push(format!("{}{}", pick(lang, "是否扣费:", "charged "), charged(record.charged, lang)));
        if let Some(verdict) = record.verdict.filter(|verdict| *verdict != weir_core::Verdict::Ok) {
            parts.push(verdict.code().to_owned());
        }
        let id = &record.id;
        format!("{id}{}{}", pick(lang, ":", ": "), parts.join(pick(lang, ",", ", ")))
    })
}

/// What is known of a charge, in a word.
pub(super) fn charged(charged: Option<Charged>, lang: Lang) -> &'static str {
    match charged {
        Some(Charged::Yes) => pick(lang, "是", "yes"),
        Some(Charged::No) => pick(lang, "否", "no"),
        Some(Charged::Pending) => pick(lang, "结算中", "pending"),
        Some(Charged::Refunded) => pick(lang, "已退", "refunded"),
        Some(Charged::Unknown) | None => pick(lang, "未知", "unknown"),
    }
}

fn lookup(lookup: &Lookup) -> Bilingual {
    match lookup {
        Lookup::Call(found) => record(found),
        Lookup::Task(task) => each(|lang| {
            let state = match task.state {
                TaskState::Submitted => pick(lang, "排队中", "queued"),
                TaskState::Running => pick(lang, "进行中", "running"),
                TaskState::Succeeded => pick(lang, "已完成", "succeeded"),
                TaskState::Failed => pick(lang, "失败", "failed"),
                TaskState::Cancelled => pick(lang, "已取消", "cancelled"),
                TaskState::Unconfirmed | TaskState::Unknown => pick(lang, "状态未知", "state unknown"),
            };
            let paid = charged(task.charged, lang);
            let id = if crate::probe::is_tame_model(&task.id) { task.id.as_str() } else { "?" };
            if lang == Lang::Zh {
                format!("任务 {id}:{state},是否扣费:{paid}")
            } else {
                format!("task {id}: {state}, charged {paid}")
            }
        }),
        Lookup::NotFound { trace, .. } | Lookup::NoTask { trace, .. } => match (trace.end, trace.status) {
            (End::Never(fault), _) => self::fault(fault),
            (_, Some(status)) => both!("{status}:查不到", "{status}: not found"),
            _ => both!("查不到", "not found"),
        },
        Lookup::NoRecords { .. } => both!("对方不是 weir 网关,没有记录可查", "the server is no weir gateway and keeps no records"),
    }
}

fn burst(burst: &Burst) -> Bilingual {
    let sent = burst.sent;
    match &burst.refused {
        None => both!("{sent} 次请求全部成功,没有遇到 429", "{sent} calls, all answered, no 429"),
        Some(trace) => {
            let line = control(trace);
            let (zh, en) = (line.zh, line.en);
            both!("第 {sent} 次:{zh}", "call {sent}: {en}")
        }
    }
}
