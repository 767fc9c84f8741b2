//! The result for people, in Chinese and English: what it is, how sure that is, what to do, what to ask.

use std::fmt::Write as _;

use weir_core::{
    Lang, Verdict,
    evidence::{Confidence, bare_never},
    verdict::Scenario,
};

use super::{
    Triage,
    view::{ROTATE_EN, ROTATE_ZH},
};
use crate::report::words;

/// Longest error text shown to people, in characters; the record has more of it.
const ERROR_CHARS: usize = 300;

fn pick<T>(lang: Lang, zh: T, en: T) -> T {
    if lang == Lang::Zh { zh } else { en }
}

impl Triage {
    /// The whole result, ready for a terminal; without a line break at the end.
    #[must_use]
    pub fn text(&self, lang: Lang) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        if self.held_a_secret {
            let _ = writeln!(out, "!! {}\n", pick(lang, ROTATE_ZH, ROTATE_EN));
        }
        self.verdict_lines(lang, &mut out);
        self.fact_lines(lang, &mut out);
        self.note_lines(lang, &mut out);
        self.question_lines(lang, &mut out);
        out.trim_end().to_owned()
    }

    fn verdict_lines(&self, lang: Lang, out: &mut String) {
        let words = self.verdict.words(lang);
        let sure = sure(lang, self.confidence);
        let code = self.verdict.code();
        if self.verdict == Verdict::EvidenceMissing {
            let title = if self.only_asks {
                pick(lang, "这是提问,没有说哪次调用出了故障", "this is a question; it tells of no call that went wrong")
            } else {
                pick(lang, "从这段文字还看不出是哪种故障", "this text does not yet tell which fault it is")
            };
            let _ = writeln!(out, "{code}  {title}\n");
            if let Some(why) = self.unreadable {
                row(out, lang, ("原因", "cause"), why.words(lang));
            }
            let asked = pick(
                lang,
                "用法、额度和价格请问提供接口的一方;真有调用出了问题,贴上报错原文或日志,或运行 `weir doctor <Base URL>`",
                "how it is used, its limits and prices are for whoever offers the API; if a call did go wrong, paste the error's own words or the log, or run `weir doctor <base URL>`",
            );
            let next = pick(
                lang,
                "贴上报错原文、日志,或 `curl -v` 的输出;能直接访问接口时,运行 `weir doctor <Base URL>`",
                "paste the error's own words, the log, or the output of `curl -v`; where you can reach the API, run `weir doctor <base URL>`",
            );
            row(out, lang, ("下一步", "next"), if self.only_asks { asked } else { next });
            out.push('\n');
            return;
        }
        let _ = writeln!(out, "{}\n", pick(lang, format!("{code}  {}({sure})", words.title), format!("{code}  {} ({sure})", words.title)));
        if words.cause != words.title {
            row(out, lang, ("原因", "cause"), words.cause);
        }
        if let Some(why) = self.why_a_guess(lang) {
            row(out, lang, ("为何是猜测", "why a guess"), why);
        }
        for (at, step) in words.check_first.iter().enumerate() {
            let label = if at == 0 { ("先查", "check first") } else { ("", "") };
            row(out, lang, label, &format!("{}. {step}", at + 1));
        }
        row(out, lang, ("不要", "do not"), bare_never(words.never));
        row(out, lang, ("重试", "retry"), &self.retry_words(lang));
        row(out, lang, ("由谁处理", "who mends it"), words::owner(self.verdict.owner()).in_lang(lang));
        if let Some(hop) = self.hop(lang) {
            row(out, lang, ("线索", "a clue"), &hop);
        }
        row(out, lang, ("详细说明", "more"), &format!("weir explain {code}"));
        out.push('\n');
    }

    /// What a guess rests on, and what would make it more.
    fn why_a_guess(&self, lang: Lang) -> Option<&'static str> {
        if self.confidence != Confidence::Guess {
            return None;
        }
        Some(match (self.verdict, self.facts.error_text.is_some()) {
            (Verdict::OutcomeUnknown, true) => pick(
                lang,
                "连接断了,文中没说断开前是否已收到数据:收到过就是中途中断(W-STREAM-005)",
                "the connection broke, and the text does not say whether anything had come: if so, it is a cut stream (W-STREAM-005)",
            ),
            (_, true) => pick(
                lang,
                "报错的话不够明确,同样的话也可能是别的故障;先核对下面的信息",
                "the error's words are not clear enough, another fault may say the same; check what is missing below first",
            ),
            (_, false) => pick(
                lang,
                "只有文字描述,没有程序的报错;有了报错原文或 request id 再下结论",
                "a description only, no program's error; conclude when you have the error's own words or a request id",
            ),
        })
    }

    /// How the use that the text is about may be retried.
    fn retry_words(&self, lang: Lang) -> String {
        let scenario = self.facts.policy_scenario();
        let word = self.verdict.retry(scenario);
        let text = retry(lang, &word.to_string());
        let name = match scenario {
            Scenario::ShortChat => ("短聊天", "short chat"),
            Scenario::Batch => ("批量脚本", "batch"),
            Scenario::MediaTask => ("生图和视频任务", "image and video tasks"),
            Scenario::SharedKey => ("共享 Key", "shared key"),
        };
        pick(lang, format!("{}:{text}", name.0), format!("{}: {text}", name.1))
    }

    /// Which hop usually gives up at that second.
    fn hop(&self, lang: Lang) -> Option<String> {
        let seconds =
            self.round_seconds.filter(|_| self.verdict.code().starts_with("W-TMO") || self.verdict.code().starts_with("W-STREAM"))?;
        let (zh, en) = match seconds {
            30 => (" CloudFront 和不少网关的默认值", "the default of CloudFront and of many gateways"),
            60 => (" nginx(proxy_read_timeout)和 AWS ALB 的默认值", "the default of nginx (proxy_read_timeout) and of AWS ALB"),
            100 => (" Cloudflare 的限值(错误 524)", "Cloudflare's limit (error 524)"),
            120 => ("部分 CDN 和云网关的限值", "the limit of some CDNs and cloud gateways"),
            _ => ("部分代理和函数计算平台的限值", "the limit of some proxies and function platforms"),
        };
        Some(pick(
            lang,
            format!("大约 {seconds} 秒时断开,这是{zh};据此只能猜是哪一跳"),
            format!("it ended at about {seconds} s, which is {en}; that is only a guess at the hop"),
        ))
    }

    fn fact_lines(&self, lang: Lang, out: &mut String) {
        let rows = self.shown_facts(lang);
        if rows.is_empty() && self.materials.is_empty() {
            return;
        }
        let read_as: Vec<&str> = self.materials.iter().map(|material| material.label(lang == Lang::Zh)).collect();
        let joint = pick(lang, "、", ", ");
        if !read_as.is_empty() {
            row(out, lang, ("读作", "read as"), &read_as.join(joint));
        }
        for (zh, en, value) in rows {
            row(out, lang, (zh, en), &value);
        }
        row(out, lang, ("证据编号", "evidence"), &self.evidence_id.to_string());
        out.push('\n');
        self.limit_lines(lang, out);
    }

    /// What was found in the text, in the order in which support reads it.
    fn shown_facts(&self, lang: Lang) -> Vec<(&'static str, &'static str, String)> {
        let facts = &self.facts;
        let mut rows = Vec::new();
        let mut add = |zh, en, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                rows.push((zh, en, value));
            }
        };
        let list = |ids: &[String]| Some(ids.join("  ")).filter(|ids| !ids.is_empty());
        add("请求 ID", "request id", list(&facts.request_ids));
        add("任务 ID", "task id", facts.task_id.clone());
        add("边缘 ID", "edge id", list(&facts.edge_ids));
        let zone = |when: &super::when::When| match &when.zone {
            Some(_) => when.text.clone(),
            None => format!("{} {}", when.text, pick(lang, "(时区未知)", "(zone unknown)")),
        };
        add("时间", "time", facts.time.as_ref().map(zone));
        add("模型", "model", facts.model.clone());
        add("stream", "stream", facts.stream.map(|stream| stream.to_string()));
        add("状态码", "status", facts.status.map(|status| status.to_string()));
        add("错误码", "error code", facts.error_code.clone());
        add("错误原文", "error text", facts.error_text.as_ref().map(|text| one_line(text)));
        add(
            "客户端",
            "client",
            facts.client.as_ref().map(|(name, version)| version.as_ref().map_or(name.clone(), |v| format!("{name} {v}"))),
        );
        add("SDK", "SDK", facts.sdk.clone().filter(|sdk| facts.client.as_ref().is_none_or(|(name, _)| !sdk.starts_with(name))));
        add("主机", "host", self.shown_host());
        add("接口", "path", facts.path.clone());
        add("代理", "proxy", facts.proxy.map(|how| proxy(lang, how)));
        add("脱敏 Key", "masked key", facts.key_masked.clone());
        add("重试次数", "retries", facts.retries.map(|count| count.to_string()));
        add("耗时", "took", facts.took_ms.map(|ms| format!("{ms} ms")));
        add("客户端超时", "client's timeout", facts.read_timeout_s.map(|seconds| format!("{seconds} s")));
        let with_unit = |told: &String| if told.bytes().all(|b| b.is_ascii_digit()) { format!("{told} s") } else { told.clone() };
        add("恢复时间", "may come back", facts.reset.as_ref().map(with_unit));
        add("流", "stream seen", facts.captured.as_ref().map(|seen| seen.sentence(lang == Lang::Zh)));
        add("扣费(文中)", "charged (it says)", facts.charged.map(|charged| charged_word(lang, charged)));
        rows
    }

    /// A 429 item by item: what is unknown is said to be.
    fn limit_lines(&self, lang: Lang, out: &mut String) {
        let Some(limits) = self.limits() else { return };
        let value = |text: &str| match text {
            "unknown" => pick(lang, "未知", "unknown").to_owned(),
            "exceeded" => pick(lang, "已超限", "exceeded").to_owned(),
            told => told.to_owned(),
        };
        row(out, lang, ("频率", "rate"), &value(&limits.rate));
        row(out, lang, ("每日配额", "daily quota"), &value(&limits.daily_quota));
        row(out, lang, ("resetAt", "resetAt"), &value(&limits.reset_at));
        row(out, lang, ("并发", "concurrency"), &value(&limits.concurrency));
        out.push('\n');
    }

    fn note_lines(&self, lang: Lang, out: &mut String) {
        for (at, (verdict, confidence)) in self.notes.iter().enumerate() {
            let label = if at == 0 { ("另外", "also seen") } else { ("", "") };
            row(
                out,
                lang,
                label,
                &pick(
                    lang,
                    format!("{} {}({})", verdict.code(), verdict.words(lang).title, sure(lang, *confidence)),
                    format!("{} {} ({})", verdict.code(), verdict.words(lang).title, sure(lang, *confidence)),
                ),
            );
        }
        if !self.notes.is_empty() {
            out.push('\n');
        }
    }

    fn question_lines(&self, lang: Lang, out: &mut String) {
        let question = self.question(lang);
        let head = if self.verdict == Verdict::Ok {
            pick(
                lang,
                "这段文字里没有看到故障。若问题仍在,可以复制下面这段去问:",
                "No fault is in this text. If the problem is still there, copy this to ask:",
            )
        } else {
            pick(lang, "还缺的信息,可以直接复制下面这段去问:", "Still missing; copy this to ask for all of it at once:")
        };
        if question.is_empty() {
            let _ = writeln!(
                out,
                "{}",
                pick(lang, "首轮排查的信息已齐,不需要再追问。", "Everything the first review needs is here; there is nothing more to ask.")
            );
        } else {
            let _ = writeln!(out, "{}\n{question}", head);
        }
    }
}

/// `label  value`, the labels in one column.
fn row(out: &mut String, lang: Lang, label: (&str, &str), value: &str) {
    const WIDTH: usize = 18;
    let label = pick(lang, label.0, label.1);
    let columns: usize = label.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    let _ = writeln!(out, "  {label}{}{value}", " ".repeat(WIDTH.saturating_sub(columns).max(1)));
}

fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= ERROR_CHARS {
        return line;
    }
    format!("{}…", line.chars().take(ERROR_CHARS).collect::<String>())
}

fn sure(lang: Lang, confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => pick(lang, "确定", "certain"),
        Confidence::Likely => pick(lang, "很可能", "likely"),
        Confidence::Guess => pick(lang, "可能", "a guess"),
    }
}

fn proxy(lang: Lang, how: &str) -> String {
    match how {
        "told" => pick(lang, "用了(文中提到)", "in use (the text says so)").to_owned(),
        how => pick(lang, format!("用了({how})"), format!("in use ({how})")),
    }
}

fn charged_word(lang: Lang, charged: weir_core::Charged) -> String {
    let (zh, en) = match charged {
        weir_core::Charged::Yes => ("是", "yes"),
        weir_core::Charged::No => ("否", "no"),
        _ => ("未知", "unknown"),
    };
    pick(lang, zh, en).to_owned()
}

/// A retry word in a sentence.
fn retry(lang: Lang, word: &str) -> String {
    let (zh, en) = match word {
        "fix" => ("改好之前不要重试", "no retry before it is mended"),
        "hint+1" => ("到提示的恢复时间之后重试一次", "once, after the time that was told"),
        "slow" => ("并发减半,暂停,再从断点继续", "halve the concurrency, pause, resume where it stopped"),
        "ask" => ("先查状态,不要重新提交", "ask for the state first, never submit again"),
        "unsent1" => ("确认没有送达才重试一次", "once, only if nothing was delivered"),
        "split" => ("给每个调用方单独的 Key,找出是谁", "give every caller a key of its own, find the caller"),
        "hand" => ("由人决定", "a person decides"),
        "by code" => ("按流里的错误码", "as the code inside the stream says"),
        "–" => ("无需重试", "nothing to retry"),
        bounded => {
            let times = bounded.trim_start_matches("bo");
            return pick(lang, format!("最多 {times} 次,间隔递增并带随机"), format!("at most {times} times, with growing random waits"));
        }
    };
    pick(lang, zh, en).to_owned()
}
