//! All findings of one run, layer by layer.

use weir_client::probe::{Fault, Issuer, TlsFault};
use weir_core::{Level, Timestamp, Verdict};

use super::{
    Finding, Found, Judgement, Seen,
    answer::{of_answer, of_end, of_fault},
    arrival::Arriving,
    choose,
    past::{of_lookup, of_own_record},
    seen::{Burst, Models, OtherWay, Symptom},
    stream::{self, Judged},
};
use crate::{
    probe::ProbeId,
    report::{Bilingual, both},
    trace::{Body, End, Shape, Trace},
};

/// A clock that is off by more makes instants wrong, in seconds.
const SKEW_S: i64 = 30;

/// What a run comes to.
#[must_use]
pub fn judge(seen: &Seen) -> Judgement {
    let mut found = local(seen);
    found.extend(network(seen));
    found.extend(skew(seen));
    if let Some(models) = &seen.models {
        found.extend(of_models(seen, models).map(|finding| finding.at(ProbeId::P3)));
    }
    found.extend(control(seen).map(|finding| finding.at(ProbeId::P4)));
    streams(seen, &mut found);
    if let Some(record) = &seen.record {
        found.extend(of_own_record(record, seen.other_share_pct).into_iter().map(|finding| finding.at(ProbeId::P8)));
    }
    if let Some(lookup) = &seen.lookup {
        found.extend(of_lookup(lookup).into_iter().map(|finding| finding.at(ProbeId::P9)));
    }
    found.extend(seen.burst.as_ref().and_then(|burst| of_burst(seen, burst)).map(|finding| finding.at(ProbeId::P11)));
    if let Some(hold) = &seen.hold {
        let judged = stream::judge(hold, None, seen.vendor, &seen.bounds);
        found.extend(judged.findings.into_iter().filter(|f| f.verdict != Verdict::StreamBuffered).map(|finding| finding.at(ProbeId::P12)));
    }
    found.extend(verdict_of_all(seen, &found));
    choose(found)
}

fn local(seen: &Seen) -> Vec<Found> {
    let mut found = Vec::new();
    if !seen.local.key.is_empty() {
        let words = |lang, comma: &str| seen.local.key.iter().map(|flaw| flaw.words(lang)).collect::<Vec<_>>().join(comma);
        let (zh, en) = (words(weir_core::Lang::Zh, "、"), words(weir_core::Lang::En, ", "));
        found.push(Finding::certain(Verdict::KeyMalformed).because(both!("Key {zh}", "the key holds {en}")).at(ProbeId::P0));
    }
    if let Some(flaw) = seen.local.url {
        let (zh, en) = (flaw.words(weir_core::Lang::Zh), flaw.words(weir_core::Lang::En));
        let detail = match &seen.local.suggestion {
            Some(better) => both!("{zh};建议写成 {better}", "{en}; write {better}"),
            None => both!("{zh}", "{en}"),
        };
        found.push(Finding::certain(Verdict::BaseUrlMalformed).because(detail).at(ProbeId::P0));
    }
    if let Some(name) = &seen.local.proxy_from {
        let detail = if seen.local.proxy_is_foreign {
            both!(
                "{name} 指定的代理诊断走不了(能走 http、https、socks5、socks5h),走的是直连,和客户端的路可能不同",
                "the doctor cannot go through the proxy that {name} names (it can through http, https, socks5, socks5h); it went straight, which may not be your client's way"
            )
        } else {
            both!("由 {name} 指定", "named by {name}")
        };
        found.push(Finding::certain(Verdict::LocalProxyOn).because(detail).at(ProbeId::P0));
    }
    found
}

fn network(seen: &Seen) -> Vec<Found> {
    let Some(opening) = &seen.opened else { return Vec::new() };
    if let Some(fault) = opening.fault {
        let mut finding = of_fault(fault, opening.took);
        if let (Fault::Tls(TlsFault::Expired), Some(end)) = (fault, opening.tls.and_then(|tls| tls.not_after)) {
            let end: String = Timestamp(end.saturating_mul(1000)).rfc3339().chars().take(10).collect();
            finding = finding.because(both!(
                "证书已在 {end} 过期:请地址的提供方换新证书",
                "the certificate expired on {end}: whoever gave the address must renew it"
            ));
        }
        let proxy = seen.local.proxy_from.as_ref().filter(|_| !seen.local.proxy_is_foreign && opening.phases.connect.is_none());
        if let Some(name) = proxy.filter(|_| finding.verdict == Verdict::ConnectFailed) {
            finding = finding.because(both!(
                "连不上的是 {name} 指定的代理,还没到接口:看代理程序是否在运行,不用代理就取消 {name}",
                "it is the proxy named by {name} that does not answer, not the API: see that it runs, or unset {name}"
            ));
        }
        let probe = if finding.verdict == Verdict::DnsFailed { ProbeId::P1 } else { ProbeId::P2 };
        return vec![finding.at(probe)];
    }
    let is_private = opening.tls.is_some_and(|tls| tls.issuer == Issuer::Private);
    if !is_private || seen.is_private_host {
        return Vec::new();
    }
    let works = seen.control.as_ref().is_some_and(|trace| of_answer(trace, seen.vendor).is_none()) && seen.stream.is_some();
    let finding = Finding::likely(Verdict::TlsFailed).because(both!(
        "证书由本机信任的私有机构签发:中间有人解密(公司代理或杀毒软件)",
        "a private authority that this machine trusts signed the certificate: somebody on the way decrypts (a company proxy or a virus scanner)"
    ));
    // Where everything works through it, it is worth knowing and no fault.
    vec![if works { finding.as_note() } else { finding }.at(ProbeId::P2)]
}

fn skew(seen: &Seen) -> Option<Found> {
    let models = seen.models.as_ref().map(|models| (&models.trace, ProbeId::P3));
    let control = seen.control.as_ref().map(|trace| (trace, ProbeId::P4));
    let (off, probe) =
        models.into_iter().chain(control).find_map(|(trace, probe)| Some((trace.skew_s.filter(|off| off.abs() > SKEW_S)?, probe)))?;
    let (size, ahead_zh, ahead_en) = (off.abs(), if off > 0 { "慢" } else { "快" }, if off > 0 { "behind" } else { "ahead of" });
    Some(
        Finding::likely(Verdict::ClockWrong)
            .because(both!("本机比服务器{ahead_zh} {size} 秒", "this machine is {size} s {ahead_en} the server"))
            .at(probe),
    )
}

fn of_models(seen: &Seen, models: &Models) -> Option<Finding> {
    let trace = &models.trace;
    let answered = seen.control.is_some();
    match trace.end {
        End::Never(fault) => {
            let finding = of_fault(fault, trace.total);
            return Some(match finding.verdict {
                // Nothing is lost when a question goes unanswered: what matters is whether the way works, and the control tells that.
                Verdict::OutcomeUnknown | Verdict::FirstByteTimeout if answered => return None,
                Verdict::OutcomeUnknown => Finding::likely(Verdict::ConnectFailed)
                    .because(both!("连接建立后没有回答就被断开", "the connection stood and was cut before any answer")),
                _ => finding,
            });
        }
        End::Body(_) => {}
    }
    let finding = of_answer(trace, seen.vendor)?;
    // Nobody can be asked, and what answered is a page: it is the address that is wrong, not the model that is missing.
    if seen.no_model && finding.verdict == Verdict::NotTheApi && trace.whole().is_some_and(|whole| whole.shape == Shape::Html) {
        return Some(finding.because_of(other_address(seen)));
    }
    if matches!(trace.status, Some(404 | 405 | 501)) || (answered && finding.verdict == Verdict::NotTheApi) {
        let works = seen.control.as_ref().is_none_or(|trace| of_answer(trace, seen.vendor).is_none());
        return works.then(|| Finding::likely(Verdict::CheckUnsupported).as_note());
    }
    // The control decides where it was asked; a list that is refused says less.
    let is_keyless = finding.verdict == Verdict::KeyUnknown && !seen.local.has_key;
    let finding = finding.because_of(is_keyless.then(no_key));
    if answered { None } else { Some(finding) }
}

fn control(seen: &Seen) -> Option<Finding> {
    let trace = seen.control.as_ref()?;
    let finding = of_answer(trace, seen.vendor).or_else(|| match trace.end {
        End::Body(end) => of_end(end, trace.total),
        End::Never(_) => None,
    });
    let Some(finding) = finding else { return of_control_finish(seen, trace) };
    if finding.verdict == Verdict::ModelNotFound {
        let nearest = seen.models.as_ref().and_then(|models| models.nearest.clone());
        return Some(finding.because_of(nearest.map(|name| both!("列表里最接近的是 {name}", "the nearest name in the list is {name}"))));
    }
    if finding.verdict == Verdict::NotTheApi {
        return Some(finding.because_of(other_address(seen)));
    }
    if finding.verdict == Verdict::KeyUnknown && !seen.local.has_key {
        return Some(finding.because(no_key()));
    }
    if finding.verdict != Verdict::FirstByteTimeout || trace.status.is_some_and(|status| status >= 400) {
        return Some(finding);
    }
    let delivered = seen.stream.as_ref().and_then(Trace::stream).is_some_and(|stream| stream.content_events > 0);
    let seconds = seen.bounds.first_byte_s();
    Some(if delivered {
        Finding::likely(Verdict::LongTaskSync).because(both!(
            "stream=false 等了 {seconds} 秒没有结果,stream=true 能陆续输出:用流式或任务接口",
            "stream=false had no answer after {seconds} s while stream=true delivers: use streaming or the task API"
        ))
    } else if seen.bounds.is_own {
        Finding::likely(Verdict::ClientLeft).because(both!(
            "--timeout {seconds} 秒内没有回答,是这边先放弃的",
            "no answer within --timeout {seconds} s; this side gave up first"
        ))
    } else {
        finding.because(both!("{seconds} 秒内没有第一个字节", "no first byte within {seconds} s"))
    })
}

/// What somebody types who forgot the key.
fn no_key() -> Bilingual {
    both!(
        "这次没有带 Key:放进环境变量 WEIR_KEY 或 OPENAI_API_KEY(或用 --key-stdin),再测一次",
        "no key was given: put it into the variable WEIR_KEY or OPENAI_API_KEY (or pipe it to --key-stdin) and run again"
    )
}

/// Where else the API may be.
fn other_address(seen: &Seen) -> Option<Bilingual> {
    let said = seen.control.as_ref().and_then(Trace::error);
    if said.is_some_and(|error| error.message.expose().contains("HTTPS port")) {
        return Some(both!("这个端口说的是 https:把地址改成 https://", "this port speaks https: write the address with https://"));
    }
    if let Some(better) = &seen.local.with_version {
        return Some(both!("地址里没有 /v1,试试 {better}", "the address has no /v1; try {better}"));
    }
    let lists = seen.models.as_ref().is_some_and(|models| models.count > 0);
    (lists && seen.local.asks_chat).then(|| {
        both!(
            "模型列表有回答,对话接口没有:可能是另一种接口,试试 --api responses 或 --api messages",
            "the list of models answers and the chat endpoint does not: it may speak another API, try --api responses or --api messages"
        )
    })
}

/// A control that was answered and still says something.
fn of_control_finish(seen: &Seen, trace: &Trace) -> Option<Finding> {
    let whole = trace.whole()?;
    let reason = whole.finish_reason.as_deref()?;
    match reason {
        "content_filter" => Some(Finding::certain(Verdict::EndedByLimit)),
        "length" | "max_tokens" if !whole.has_text => {
            let limit = seen.bounds.max_tokens;
            Some(Finding::likely(Verdict::EvidenceMissing).as_note().because(both!(
                "模型没有输出可见内容就用完了 {limit} 个 token(推理模型常见):加 --max-tokens 256 再试",
                "the model spent its {limit} tokens without a visible word, as reasoning models do: try again with --max-tokens 256"
            )))
        }
        _ => None,
    }
}

fn streams(seen: &Seen, found: &mut Vec<Found>) {
    let Some(trace) = &seen.stream else { return };
    let control = seen.control.as_ref().filter(|control| of_answer(control, seen.vendor).is_none());
    let mut plain = stream::judge(trace, control, seen.vendor, &seen.bounds);
    weigh(seen, &mut plain);
    // After a control that timed out the stream only tells whether streaming helps.
    let control_failed = seen.control.is_some() && control.is_none();
    let findings = plain.findings.iter().filter(|finding| !control_failed || finding.verdict.class() == weir_core::Class::Rate);
    found.extend(findings.cloned().map(|finding| finding.at(ProbeId::P5)));
    let mut gzip_is_bad = false;
    if let Some(gzip_trace) = &seen.gzip {
        let gzip = stream::judge(gzip_trace, control, seen.vendor, &seen.bounds);
        let findings = stream::compare_gzip(&plain, &gzip, gzip_trace);
        gzip_is_bad = findings.iter().any(|finding| !finding.is_note && finding.verdict.level() == Level::Fail);
        found.extend(findings.into_iter().map(|finding| finding.at(ProbeId::P6)));
    }
    if let Some(other) = &seen.other_way {
        found.extend(of_other_way(seen, other, !plain.flows() || gzip_is_bad).map(|finding| finding.at(ProbeId::P7)));
    }
    if seen.echo.as_ref().is_some_and(|echo| echo_is_stored(seen, echo)) {
        found.retain(|known| known.finding.verdict != Verdict::StreamBuffered);
        found.push(
            Finding::certain(Verdict::StreamBuffered)
                .because(both!(
                    "网关自己的计时回声也在最后一次到达:与模型无关",
                    "the gateway's own timed echo came at once at the end too: no model is to blame"
                ))
                .at(ProbeId::P13),
        );
    }
}

/// What the gateway knows of the same stream makes a suspicion certain, or takes it back.
fn weigh(seen: &Seen, plain: &mut Judged) {
    if plain.arriving != Some(Arriving::Buffered) {
        return;
    }
    let echo_flows = seen.echo.as_ref().is_some_and(|echo| !echo_is_stored(seen, echo) && echo.stream().is_some_and(|echo| echo.is_done));
    let total = plain.measures.as_ref().map(|measures| measures.total).unwrap_or_default();
    let in_a_burst =
        seen.record.as_ref().and_then(|record| stream::gateway_passed_in_a_burst(record.first_event_ms, record.last_event_ms, total));
    for finding in &mut plain.findings {
        if finding.verdict != Verdict::StreamBuffered {
            continue;
        }
        match in_a_burst {
            Some(false) => {
                finding.confidence = weir_core::evidence::Confidence::Certain;
                finding.detail = Some(both!(
                    "网关的记录显示事件是陆续发出的,被网关之后的某一跳攒住了",
                    "the gateway's record shows that it passed the events on one by one: a hop behind the gateway held them"
                ));
            }
            Some(true) | None if in_a_burst == Some(true) || echo_flows => {
                *finding = Finding::likely(Verdict::StreamBuffered).because(both!(
                    "网关收到时就已经攒在一起:缓冲在网关与模型之间,不在你这边",
                    "it reached the gateway in one piece: what buffers stands between the gateway and the model, not on your side"
                ));
            }
            _ => {}
        }
    }
}

/// The gateway writes its echo event by event and names the time of each: no slow model explains that all of it came at once.
fn echo_is_stored(seen: &Seen, echo: &Trace) -> bool {
    let judged = stream::judge(echo, None, seen.vendor, &seen.bounds);
    match judged.arriving {
        Some(Arriving::Buffered) => true,
        Some(Arriving::Unclear) => judged.measures.is_some_and(|measures| measures.clusters.len() <= 2),
        _ => false,
    }
}

fn of_other_way(seen: &Seen, other: &OtherWay, main_is_bad: bool) -> Option<Finding> {
    let control = seen.control.as_ref();
    let judged = stream::judge(&other.trace, control, seen.vendor, &seen.bounds);
    let hop = &other.hop;
    match (other.is_direct, main_is_bad, judged.flows()) {
        // Around the hop it is good, through it it is not.
        (true, true, true) => Some(
            Finding::likely(Verdict::HopBreaksStream)
                .because(both!("绕开 {hop} 就正常:问题在这一层", "around {hop} it is good: that hop breaks it")),
        ),
        (false, false, false) => Some(Finding::likely(Verdict::HopBreaksStream).because(both!(
            "直连正常,经过 {hop} 就不正常:问题在这一层",
            "without {hop} it is good, through it it is not: that hop breaks it"
        ))),
        (true, true, false) => judged.findings.into_iter().find(|finding| !finding.is_note).map(|finding| {
            finding.as_note().because(both!("绕开 {hop} 也一样:不是这一层造成的", "around {hop} it is the same: that hop is not the cause"))
        }),
        _ => None,
    }
}

fn of_burst(seen: &Seen, burst: &Burst) -> Option<Finding> {
    let sent = burst.sent;
    let refused = burst.refused.as_ref()?;
    let finding = of_answer(refused, seen.vendor)?;
    Some(finding.because(both!("第 {sent} 次请求时出现", "it came at call {sent}")))
}

/// What remains when no layer is broken.
fn verdict_of_all(seen: &Seen, found: &[Found]) -> Option<Found> {
    let worst = found.iter().filter(|found| !found.finding.is_note).map(|found| found.finding.verdict.level()).max();
    if worst.is_some_and(|level| level >= Level::Unknown) {
        return None;
    }
    // A control that was refused in a word of its own needs no stream.
    if seen.control.as_ref().is_some_and(|trace| of_answer(trace, seen.vendor).is_some()) {
        return None;
    }
    if let Some(why) = missing(seen) {
        let asked = if seen.no_model && seen.models.is_some() { ProbeId::P3 } else { ProbeId::P0 };
        return Some(why.at(asked));
    }
    Some(match seen.symptom {
        Some(Symptom::Spinner) => Finding::likely(Verdict::ClientSpinner).at(ProbeId::P5),
        _ if seen.lookup.is_some() && seen.control.is_none() => return None,
        _ => Finding::likely(Verdict::Ok).at(ProbeId::P5),
    })
}

/// What a verdict would need and is not there.
fn missing(seen: &Seen) -> Option<Finding> {
    let unknown = || Finding::likely(Verdict::EvidenceMissing);
    if seen.lookup.is_some() {
        return None;
    }
    if seen.no_model {
        return Some(unknown().because(both!("不知道测哪个模型:用 --model 指明", "no model to ask: name one with --model")));
    }
    if seen.is_interrupted {
        // What was not asked may be the broken part.
        return Some(
            unknown().because(both!("没有做完就被停下:再完整地测一次", "it was stopped before it was done: run once more in full")),
        );
    }
    let both_ran = seen.control.is_some() && seen.stream.is_some();
    if seen.out_of_budget && !both_ran {
        return Some(unknown().because(both!("时间用完了:用 --budget 放宽", "the time was used up: allow more with --budget")));
    }
    if seen.control.is_none() || seen.stream.is_none() {
        return Some(unknown().because(both!(
            "对照请求和流式请求没有都做完,不能下结论:不加 --only 完整地再测一次",
            "the control and the stream were not both finished, so nothing can be concluded: run once more in full, without --only"
        )));
    }
    let silent = seen.stream.as_ref().is_some_and(|trace| matches!(trace.body, Body::None));
    silent.then(unknown)
}
