//! One page to attach to a ticket: nothing is loaded, nothing runs, everything in it has passed the redactor.

use weir_core::{
    Audience, Lang, Redactor, Verdict,
    evidence::{self, Confidence, Evidence, VerdictWords, bare_never},
    redact::Leak,
};

use super::{Bilingual, Check, Report, Status, chart, look::shown, page::Page, words};

const STYLE: &str = include_str!("page.css");

impl Report {
    /// The page, in both languages; `lang` is the one that is shown first.
    ///
    /// # Errors
    /// When a second look at what stands in it still finds what may be a secret.
    pub fn html(&self, lang: Lang, redactor: &Redactor, audience: Audience) -> Result<String, Leak> {
        let mut page = Page::new(redactor, audience);
        self.page_head(&mut page, lang);
        self.verdict_card(&mut page);
        self.lanes(&mut page);
        self.steps(&mut page);
        self.rest(&mut page);
        self.ticket(&mut page);
        page.raw("<footer>");
        page.both(
            "这份文件不加载任何外部内容,也不运行脚本;Key、提示词和回答不在其中。",
            "This file loads nothing from outside and runs no script; keys, prompts and answers are not in it.",
        );
        page.raw("</footer></main></body></html>\n");
        page.done()
    }

    fn page_head(&self, page: &mut Page<'_>, lang: Lang) {
        let (code, checked) = match lang {
            Lang::Zh => ("zh", ["checked", ""]),
            Lang::En => ("en", ["", "checked"]),
        };
        page.raw("<!doctype html><html lang=\"");
        page.raw(code);
        page.raw("\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">");
        page.raw(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>weir doctor ",
        );
        page.raw(self.primary.code());
        page.raw("</title><style>");
        page.raw(STYLE);
        page.raw("</style></head><body>");
        for (id, checked) in ["zh", "en"].into_iter().zip(checked) {
            page.raw("<input class=\"pick\" type=\"radio\" name=\"lang\" id=\"");
            page.raw(id);
            page.raw("\" ");
            page.raw(checked);
            page.raw(">");
        }
        page.raw("<div class=\"bar\"><h1>weir doctor ");
        page.text(&self.weir);
        page.raw("</h1><span class=\"switch\"><label for=\"zh\">中文</label><label for=\"en\">English</label></span></div><p class=\"target\"><b>");
        page.text(&self.target.base_url_host);
        page.raw("</b> · ");
        page.both("模型 ", "model ");
        page.text(&self.target.model);
        page.raw(" · key ");
        page.text(&self.target.key_masked);
        page.raw(" (");
        page.text(&self.target.key_from);
        page.raw(") · ");
        page.raw("<span class=\"whole\">");
        page.text(&self.generated_at.replacen('T', " ", 1));
        page.raw("</span></p><main>");
    }

    fn verdict_card(&self, page: &mut Page<'_>) {
        let (verdict, check) = (self.primary, self.primary_check());
        page.raw("<section class=\"verdict ");
        page.raw(tone(self.overall));
        page.raw("\"><div class=\"chips\"><span class=\"chip\">");
        page.status(self.overall);
        page.raw("</span><span class=\"code\">");
        page.raw(verdict.code());
        page.raw("</span><span>");
        let sure = check.and_then(|check| check.confidence).unwrap_or(Confidence::Likely);
        let (zh, en) = match sure {
            Confidence::Certain => ("确定", "certain"),
            Confidence::Likely => ("很可能", "likely"),
            Confidence::Guess => ("可能", "a guess"),
        };
        page.both(zh, en);
        page.raw("</span>");
        if !self.complete {
            page.raw("<span>");
            page.both("没有做完,以下是已经看到的", "it did not finish; this is what it saw");
            page.raw("</span>");
        }
        page.raw("</div><h2>");
        page.of(verdict, |words| words.title);
        page.raw("</h2><p>");
        page.of(verdict, |words| if words.cause == words.title { "" } else { words.cause });
        page.raw("</p>");
        if let Some(said) = self.error_text() {
            page.title("错误原文", "It said");
            page.raw("<p class=\"said\">");
            page.text(said);
            page.raw("</p>");
        }
        if let Some(detail) = check.and_then(|check| check.detail.as_ref()) {
            page.raw("<p>");
            page.pair(detail);
            page.raw("</p>");
        }
        self.what_to_do(page);
        page.raw("</section>");
    }

    /// What to look at, what not to do, who mends it, whether to try again.
    fn what_to_do(&self, page: &mut Page<'_>) {
        let verdict = self.primary;
        page.raw("<div class=\"do\"><div>");
        // Where nothing is broken there is nothing to mend, and a next step instead of a suspect.
        let is_fault = self.overall > Status::Ok;
        if is_fault {
            page.title("先查", "Check first");
        } else {
            page.title("接下来", "Next");
        }
        page.steps_of(verdict);
        page.raw("</div><div>");
        page.title("不要", "Do not");
        page.raw("<p class=\"never\">");
        page.of(verdict, |words| bare_never(words.never));
        page.raw("</p>");
        if is_fault {
            page.raw("<br>");
            page.title("由谁处理", "Who mends it");
            page.raw("<p>");
            page.pair(&words::owner(verdict.owner()));
            page.raw("</p></div><div>");
            page.title("能否重试", "May it be tried again");
            page.retries(verdict);
        }
        page.raw("</div></div>");
    }

    /// The streams, one under the other on one time axis.
    fn lanes(&self, page: &mut Page<'_>) {
        let streams: Vec<&Check> = self.checks.iter().filter(|check| !check.timeline.is_empty()).collect();
        let until = |check: &&Check| {
            let last = check.timeline.last().map_or(0, |point| point.at_ms);
            last.max(check.observed.total_ms.unwrap_or(0))
        };
        // Less than that shows how fast the machine is, and nothing of the way.
        let Some(longest) = streams.iter().map(until).max().filter(|longest| *longest >= chart::SHOWN_MS) else { return };
        let axis = chart::axis_ms(longest);
        page.raw("<section><h2>");
        page.both("数据什么时候到", "When the data came");
        page.raw("</h2><p class=\"legend\">");
        page.both(
            "每一竖是一次到达,越高同时到的事件越多。竖线散开是逐条到达;全挤在末尾,是途中有一层攒着再放。灰底是第一个事件之前的等待。",
            "Each stroke is an arrival; the higher, the more events came at once. Spread strokes flowed; all of them at the end were held back on the way. Grey is the wait for the first event.",
        );
        page.raw("</p>");
        for check in streams {
            lane(page, check, axis);
        }
        page.raw("<div class=\"axis\"><span>0 s</span><span>");
        page.text(&chart::axis_label(axis / 2));
        page.raw("</span><span>");
        page.text(&chart::axis_label(axis));
        page.raw("</span></div></section>");
    }

    /// Every probe with its place in the run.
    fn steps(&self, page: &mut Page<'_>) {
        page.raw("<section><h2>");
        page.both("逐步检查", "Step by step");
        page.raw("</h2><p class=\"legend\">");
        page.both(
            "横条是这一步在整次诊断里的时间,浅色是等第一个字节。",
            "The bar is the time of a step within the run; the light part is the wait for the first byte.",
        );
        page.raw("</p><table class=\"steps\">");
        let all = self.checks.iter().map(|check| u64::from(check.began_ms) + u64::from(check.duration_ms)).max().unwrap_or_default();
        for check in &self.checks {
            page.raw("<tr class=\"");
            page.raw(tone(check.status));
            page.raw("\"><td><span class=\"chip\">");
            page.status(check.status);
            page.raw("</span></td><td>");
            page.text(&check.id.to_string());
            page.raw(" ");
            page.pair(&check.id.label());
            page.raw("</td><td>");
            page.pair(&check.seen);
            if let Some(code) = check.code {
                page.raw(" <span class=\"code\">");
                page.raw(code.code());
                page.raw("</span>");
            }
            page.raw("</td><td>");
            page.waterfall(check, all);
            page.raw("</td></tr>");
        }
        page.raw("</table></section>");
    }

    /// What to look at, what else was found, what to try next.
    fn rest(&self, page: &mut Page<'_>) {
        if !self.look_at.is_empty() {
            page.raw("<section><h2>");
            page.both("这类问题要看的字段", "What to look at for this kind of fault");
            page.raw("</h2><dl>");
            for field in self.look_at.iter().flat_map(|group| &group.fields) {
                page.raw("<dt>");
                page.pair(&field.label);
                page.raw("</dt><dd>");
                page.pair(&Bilingual::new(shown(&field.value, Lang::Zh), shown(&field.value, Lang::En)));
                page.raw("</dd>");
            }
            page.raw("</dl></section>");
        }
        if self.notes.is_empty() && self.hints.is_empty() {
            return;
        }
        page.raw("<section><h2>");
        page.both("另外", "Also");
        page.raw("</h2><table>");
        for note in &self.notes {
            page.raw("<tr><td class=\"code\">");
            page.raw(note.code.code());
            page.raw("</td><td>");
            page.pair(&note.summary);
            if let Some(detail) = &note.detail {
                page.raw("<br>");
                page.pair(detail);
            }
            page.raw("</td></tr>");
        }
        for hint in &self.hints {
            page.raw("<tr><td>→</td><td>");
            page.pair(hint);
            page.raw("</td></tr>");
        }
        page.raw("</table></section>");
    }

    /// The record as text, to select with one click.
    fn ticket(&self, page: &mut Page<'_>) {
        let Some(evidence) = &self.evidence else { return };
        page.raw("<section><h2>");
        page.both("贴进工单的文字", "To paste into a ticket");
        page.raw("</h2><p class=\"legend\">");
        page.both("点一下就全部选中,再复制。", "One click selects all of it; then copy.");
        page.raw("</p>");
        for (lang, class) in [(Lang::Zh, "<pre class=\"zh\" lang=\"zh\">"), (Lang::En, "<pre class=\"en\" lang=\"en\">")] {
            page.raw(class);
            page.text(&record_text(evidence, self.primary, lang));
            page.raw("</pre>");
        }
        page.raw("</section>");
    }
}

fn record_text(record: &Evidence, verdict: Verdict, lang: Lang) -> String {
    let words = verdict.words(lang);
    let lang = match lang {
        Lang::Zh => evidence::Lang::Zh,
        Lang::En => evidence::Lang::En,
    };
    record.render_text(lang, &VerdictWords { title: words.title, check: words.check, never: words.never })
}

/// One stream.
fn lane(page: &mut Page<'_>, check: &Check, axis: u32) {
    page.raw("<div class=\"lane ");
    page.raw(tone(check.status));
    page.raw("\"><div class=\"name\"><b>");
    page.text(&check.id.to_string());
    page.raw(" ");
    page.pair(&check.id.label());
    page.raw("</b><span class=\"seen\">");
    page.pair(&check.seen);
    page.raw("</span></div><svg viewBox=\"0 0 1000 40\" preserveAspectRatio=\"none\" role=\"img\"><title>");
    page.text(&check.seen.en);
    page.raw("</title><rect class=\"wait\" height=\"40\" width=\"");
    let first = check.timeline.iter().find(|point| point.events > 0).map_or(0, |point| point.at_ms);
    page.number(u64::from(first) * 1000 / u64::from(axis.max(1)));
    page.raw("\"/><path d=\"");
    page.path(&check.timeline, axis);
    page.raw("\"/></svg></div>");
}

fn tone(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Info => "info",
        Status::Warn => "warn",
        Status::Unknown => "unknown",
        Status::Fail => "fail",
    }
}

#[cfg(test)]
mod tests;
