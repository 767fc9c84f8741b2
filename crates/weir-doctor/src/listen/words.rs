//! The words: a line for each request, and the report, in both languages.

use std::fmt::Write;

use weir_core::{
    Lang,
    evidence::{Confidence, bare_never},
};

use super::{
    habit::{Again, Habit},
    judge::{Fact, Finding, Judgement},
    script::Script,
    seen::{Ended, KeyPlace, Seen},
};
use crate::report::{Bilingual, both};

/// The width of the names in front of values, in cells.
const NAME_CELLS: usize = 14;

/// One request in one line.
#[must_use]
pub fn line(seen: &Seen, lang: Lang) -> String {
    let mut parts = vec![format!("#{}", seen.n), who(seen.client.name.as_deref(), seen.client.version.as_deref(), seen.browser, lang)];
    parts.push(if let Some(odd) = seen.odd_path { odd_words(odd == "twice", lang) } else { format!("{} {}", seen.method, seen.path) });
    if let Some(script) = seen.script {
        parts.push(match seen.stream {
            Some(flag) => format!("stream={flag}"),
            None => say(lang, "没有 stream", "no stream flag").to_owned(),
        });
        parts.push(format!("[{}]", script.label()));
        if seen.is_retry() {
            parts.push(retry_words(seen, lang));
        }
    }
    parts.push(outcome(seen, lang));
    parts.join(say(lang, " · ", " · "))
}

fn retry_words(seen: &Seen, lang: Lang) -> String {
    let (n, early) = (seen.attempt, seen.is_early());
    let text = match seen.waited_ms.map(seconds) {
        Some(waited) if early => {
            let told = seconds(seen.told_wait_ms.unwrap_or_default());
            both!("第 {n} 次,只等了 {waited},应等 {told}", "try {n}, after {waited} instead of {told}")
        }
        Some(waited) => both!("第 {n} 次,等了 {waited}", "try {n}, after {waited}"),
        None => both!("第 {n} 次", "try {n}"),
    };
    text.in_lang(lang).to_owned()
}

/// What a request came to.
fn outcome(seen: &Seen, lang: Lang) -> String {
    let (took, silent, events) = (seconds(seen.took_ms), seconds(seen.silent_ms), seen.events);
    let status = seen.status.unwrap_or_default();
    let text = match seen.ended {
        Ended::Refused if seen.odd_path.is_some() => return format!("{status}"),
        Ended::Refused => match seen.script {
            Some(Script::RateLimited) => both!("得到 {status} 和等待时间", "got {status} and the wait"),
            _ => both!("得到 {status}", "got {status}"),
        },
        Ended::Cut => both!("{events} 个事件后被脚本切断", "cut by the script after {events} events"),
        Ended::Left if seen.status.is_none() || (seen.events == 0 && seen.heartbeats == 0) => {
            both!("一直没有字节,{took} 后客户端离开", "not a byte; the client left after {took}")
        }
        Ended::Left => both!(
            "{events} 个事件后客户端离开,共 {took},离开前静默 {silent}",
            "the client left after {events} events and {took}, the last {silent} in silence"
        ),
        Ended::Stopped => both!("诊断先停了,{events} 个事件", "the probe was stopped first, {events} events"),
        Ended::AtMarker => both!("{events} 个事件,{took},见到结束标记就离开", "{events} events in {took}, left at the end marker"),
        Ended::Whole if seen.stream == Some(true) && seen.is_call() => {
            both!("{events} 个事件,{took},读到连接结束", "{events} events in {took}, stayed to the end of the body")
        }
        Ended::Whole if seen.is_call() => both!("{took} 后得到完整回答", "got the whole answer after {took}"),
        Ended::Whole => both!("得到 {status}", "got {status}"),
    };
    let mut text = text.in_lang(lang).to_owned();
    if seen.not_read_ms >= super::habit::NOT_READING_MS {
        let stalled = seconds(seen.not_read_ms);
        text.push_str(both!(",其中 {stalled} 没有读取", ", and for {stalled} it did not read").in_lang(lang));
    }
    text
}

/// The report at the end.
#[must_use]
pub fn report(judgement: &Judgement, patience_s: u64, lang: Lang) -> String {
    let mut text = String::new();
    for habit in &judgement.habits {
        text.push_str(&habit_lines(habit, lang));
        text.push('\n');
    }
    let primary = &judgement.primary;
    let words = primary.verdict.words(lang);
    let _ = writeln!(text, "{}  {}  {}", primary.verdict.code(), words.title, sure(primary.sure, lang));
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {}{value}", padded(name));
    };
    row(say(lang, "看到", "seen"), fact(&primary.fact, patience_s).in_lang(lang));
    if primary.verdict == weir_core::Verdict::Ok {
        // The catalogue sends whoever is well to this very probe.
        let next = say(
            lang,
            "客户端没有问题:把 Base URL 改回原来的地址,再用 `weir doctor 地址` 测那一边",
            "the client behaves: set its base URL back, and examine the other side with `weir doctor BASE_URL`",
        );
        row(say(lang, "接下来", "next"), next);
    } else {
        for (i, step) in words.check_first.iter().enumerate() {
            row(if i == 0 { say(lang, "先查", "check first") } else { "" }, &format!("{} {step}", i + 1));
        }
    }
    row(say(lang, "不要", "do not"), bare_never(words.never));
    for (i, note) in judgement.notes.iter().enumerate() {
        let note = format!("{}  {}", note.verdict.code(), fact(&note.fact, patience_s).in_lang(lang));
        row(if i == 0 { say(lang, "另有", "also") } else { "" }, &note);
    }
    row(say(lang, "更多", "more"), &format!("weir explain {}", primary.verdict.code()));
    text
}

/// What one client did, in rows.
fn habit_lines(habit: &Habit, lang: Lang) -> String {
    let mut text = format!("{}\n", who(habit.name.as_deref(), habit.version.as_deref(), habit.browser, lang));
    let mut row = |zh: &str, en: &str, value: &str| {
        let _ = writeln!(text, "  {}{value}", padded(say(lang, zh, en)));
    };
    let list = |numbers: &[u32]| {
        let shown: Vec<_> = numbers.iter().take(8).map(|n| format!("#{n}")).collect();
        format!("{}{}", shown.join(" "), if numbers.len() > 8 { " …" } else { "" })
    };
    row("请求", "requests", &format!("{}  {}", habit.paths.join(" "), list(&habit.requests)));
    if habit.calls > 0 {
        let (streamed, calls) = (habit.streamed, habit.calls);
        let text = match streamed {
            0 => both!("没有要求流式(共 {calls} 次)", "not asked for (in {calls} calls)"),
            n if n == calls => both!("stream=true(共 {calls} 次)", "stream=true (in {calls} calls)"),
            _ => both!("{calls} 次里有 {streamed} 次 stream=true", "stream=true in {streamed} of {calls} calls"),
        };
        row("流式", "streaming", text.in_lang(lang));
        row("读超时", "read timeout", &patience_words(habit, lang));
        row("读取", "reading", &reading_words(habit, lang));
        row("重试", "retries", &again_words(habit, lang));
    }
    row("连接", "connection", &connection_words(habit, lang));
    text
}

fn patience_words(habit: &Habit, lang: Lang) -> String {
    let mut parts = Vec::new();
    if let Some(announced) = habit.announced_timeout_s {
        parts.push(both!("自报 {announced} s", "announces {announced} s"));
    }
    if let Some(at) = &habit.gave_up {
        let (time, n) = (seconds(at.ms), at.request);
        parts.push(both!("静默 {time} 后放弃(#{n})", "gave up after {time} of silence (#{n})"));
    }
    if let Some(at) = &habit.left_despite_heartbeats {
        let (time, n) = (seconds(at.ms), at.request);
        parts.push(both!("有心跳仍在 {time} 后离开(#{n})", "left after {time} although heartbeats came (#{n})"));
    }
    if parts.is_empty() {
        return say(
            lang,
            "没有自报,也没有因静默离开(模型 doctor-slow 可测)",
            "not announced, never gave up (the model doctor-slow measures it)",
        )
        .to_owned();
    }
    joined(&parts, lang)
}

fn reading_words(habit: &Habit, lang: Lang) -> String {
    let mut parts = vec![match &habit.not_reading {
        Some(at) => {
            let (time, n) = (seconds(at.ms), at.request);
            both!("停读过 {time}(#{n})", "stopped reading for {time} (#{n})")
        }
        None => both!("一直在读", "steady"),
    }];
    match (habit.left_at_marker, habit.stayed_to_end) {
        (0, 0) => {}
        (0, _) => parts.push(both!("读到连接结束", "reads on to the end of the body")),
        (_, 0) => parts.push(both!("见到结束标记就离开", "leaves at the end marker")),
        _ => parts.push(both!("有时见到结束标记就离开", "sometimes leaves at the end marker")),
    }
    if let Some(at) = &habit.left_midway {
        let (time, n) = (seconds(at.ms), at.request);
        parts.push(both!("数据还在来就离开了({time},#{n})", "left while events were coming ({time}, #{n})"));
    }
    joined(&parts, lang)
}

fn again_words(habit: &Habit, lang: Lang) -> String {
    let after = [
        (&habit.after_429, both!("429 后", "after the 429")),
        (&habit.after_503, both!("503 后", "after the 503")),
        (&habit.after_cut, both!("中断后", "after the cut")),
        (&habit.after_giving_up, both!("自己放弃后", "after giving up")),
        (&habit.after_no_done, both!("没有结束标记时", "without end marker")),
    ];
    let parts: Vec<_> = after.iter().filter_map(|(again, what)| Some(one_again(again.as_ref()?, what))).collect();
    if parts.is_empty() {
        return say(
            lang,
            "没有试到(模型 doctor-cut、doctor-429、doctor-503 可测)",
            "not tested (the models doctor-cut, doctor-429, doctor-503 do)",
        )
        .to_owned();
    }
    joined(&parts, lang)
}

fn one_again(again: &Again, what: &Bilingual) -> Bilingual {
    let (zh, en) = (&what.zh, &what.en);
    if again.tries == 0 {
        return both!("{zh}不重试", "{en} none");
    }
    let waits: Vec<_> = again.waits_ms.iter().take(4).map(|ms| seconds(*ms)).collect();
    let waits = waits.join(", ");
    let obeyed = match (again.told, again.early) {
        (false, _) => Bilingual::default(),
        (true, 0) => Bilingual::new(",照告知的时间", ", as told"),
        (true, _) => Bilingual::new(",早于告知的时间", ", earlier than told"),
    };
    let (obeyed_zh, obeyed_en) = (obeyed.zh, obeyed.en);
    both!("{zh}等 {waits} 再试{obeyed_zh}", "{en} again in {waits}{obeyed_en}")
}

fn connection_words(habit: &Habit, lang: Lang) -> String {
    let http = habit.http.join(", ");
    let mut parts = vec![both!("{http}", "{http}")];
    parts.extend(
        habit
            .keeps_connections
            .map(|keeps| if keeps { both!("保持连接", "kept open") } else { both!("每次新建连接", "a new one each time") }),
    );
    let codings = habit.accept_encoding.join(", ");
    parts.push(if codings.is_empty() {
        both!("不接受压缩", "accepts no compression")
    } else {
        both!("接受 {codings}", "accepts {codings}")
    });
    parts.push(match habit.key {
        KeyPlace::None => both!("没有带 key", "no key"),
        KeyPlace::Bearer => both!("key 在 Authorization: Bearer", "key in Authorization: Bearer"),
        KeyPlace::XApiKey => both!("key 在 x-api-key", "key in x-api-key"),
        KeyPlace::ApiKey => both!("key 在 api-key", "key in api-key"),
        KeyPlace::Other => both!("Authorization 不是 Bearer", "Authorization without Bearer"),
    });
    if habit.idempotency_key {
        parts.push(both!("带 Idempotency-Key", "sends Idempotency-Key"));
    }
    joined(&parts, lang)
}

/// What shows a finding, in a sentence.
pub(super) fn fact(fact: &Fact, patience_s: u64) -> Bilingual {
    match *fact {
        Fact::NothingCame => both!(
            "没有请求到达:客户端没有用这个地址,或被本机代理拦走",
            "no request came: the client does not use this address, or a local proxy takes it"
        ),
        Fact::NoCall => both!("只查了模型列表,还没有发消息", "it only asked for the models; no message was sent yet"),
        Fact::OddPath { twice } => Bilingual::new(odd_words(twice, Lang::Zh), odd_words(twice, Lang::En)),
        Fact::Early { times } => {
            both!("429 告知了等待时间,仍提前重试(次数:{times})", "the 429 told a wait; retries before its end: {times}")
        }
        Fact::NotStreaming { calls } => both!("{calls} 次请求都没有 stream=true", "none of {calls} calls had stream=true"),
        Fact::ShortAnnounced { seconds } => {
            both!(
                "自报读超时 {seconds} s,模型可能要 {patience_s} s 才出第一个字",
                "it announces a read timeout of {seconds} s; a model may take {patience_s} s to its first word"
            )
        }
        Fact::ShortMeasured { ms } => {
            let time = seconds(ms);
            both!(
                "静默 {time} 就放弃,模型可能要 {patience_s} s 才出第一个字",
                "it gave up after {time} of silence; a model may take {patience_s} s to its first word"
            )
        }
        Fact::LeftDespiteHeartbeats { ms } => {
            let time = seconds(ms);
            both!(
                "有心跳仍在 {time} 后离开:它限制的是总时长或事件间隔",
                "it left after {time} although heartbeats came: it limits the whole time, or counts only events"
            )
        }
        Fact::RetriedAfterGivingUp { tries, marked } => {
            let mark = mark_words(marked);
            let (zh, en) = (mark.zh, mark.en);
            both!("自己放弃后又发同样的请求(次数:{tries}),{zh}", "after giving up it sent the same request again {en}; retries: {tries}")
        }
        Fact::RetriedAfterCut { tries, marked } => {
            let mark = mark_words(marked);
            let (zh, en) = (mark.zh, mark.en);
            both!("中断后又发同样的请求(次数:{tries}),{zh}", "after the cut it sent the same request again {en}; retries: {tries}")
        }
        Fact::NotReading { ms } => {
            let time = seconds(ms);
            both!("数据已到,客户端 {time} 没有读", "it did not read for {time} although there was something to read")
        }
        Fact::LeftMidway { ms } => {
            let time = seconds(ms);
            both!(
                "数据还在来,{time} 时客户端断开(若不是有人按了停止)",
                "it left after {time} while events were coming, unless somebody pressed stop"
            )
        }
        Fact::AllWell { calls } => {
            both!("{calls} 次请求都要求流式、读到结束、没有提前离开", "all {calls} calls asked to stream, read to the end and left in time")
        }
    }
}

fn mark_words(marked: bool) -> Bilingual {
    if marked {
        both!("带重试标记或幂等键", "with a retry mark or an idempotency key")
    } else {
        both!("没有任何标记", "without any mark")
    }
}

fn odd_words(twice: bool, lang: Lang) -> String {
    let text = if twice {
        both!(
            "路径里有两次 /v1:客户端会自己补 /v1,Base URL 里去掉它",
            "/v1 is twice in the path: the client adds it itself, so leave it out of the base URL"
        )
    } else {
        both!("路径里没有 /v1:Base URL 要以 /v1 结尾", "the path has no /v1: the base URL must end in /v1")
    };
    text.in_lang(lang).to_owned()
}

fn who(name: Option<&str>, version: Option<&str>, browser: bool, lang: Lang) -> String {
    let name = name.unwrap_or_else(|| say(lang, "没有报名字的客户端", "a client without a name"));
    let version = version.map_or_else(String::new, |version| format!(" {version}"));
    let browser = if browser { say(lang, "(浏览器网页)", " (a page in a browser)") } else { "" };
    format!("{name}{version}{browser}")
}

fn sure(confidence: Confidence, lang: Lang) -> &'static str {
    match confidence {
        Confidence::Certain => say(lang, "确定", "certain"),
        Confidence::Likely => say(lang, "很可能", "likely"),
        Confidence::Guess => say(lang, "可能", "a guess"),
    }
}

fn joined(parts: &[Bilingual], lang: Lang) -> String {
    parts.iter().map(|part| part.in_lang(lang)).collect::<Vec<_>>().join(say(lang, ";", "; "))
}

/// A name and the space behind it; a Han character is two cells wide.
fn padded(name: &str) -> String {
    let cells: usize = name.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    format!("{name}{}", " ".repeat(NAME_CELLS.saturating_sub(cells)))
}

/// `0.52 s`, `12.3 s`, `130 s`.
fn seconds(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        10_000..100_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} s", ms / 1000),
    }
}

fn say<'a>(lang: Lang, zh: &'a str, en: &'a str) -> &'a str {
    match lang {
        Lang::Zh => zh,
        Lang::En => en,
    }
}

impl Finding {
    /// What shows it, in both languages; `patience_s` is what it was measured by.
    #[must_use]
    pub fn words(&self, patience_s: u64) -> Bilingual {
        fact(&self.fact, patience_s)
    }
}
