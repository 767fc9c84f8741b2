//! How a page is written: words of the program, numbers, and texts that were redacted and escaped. There is no other way in.

use std::fmt::Write;

use weir_core::{
    Audience, Lang, Redactor, Verdict,
    redact::Leak,
    verdict::{RetryWord, Scenario, Words},
};

use super::{Bilingual, Check, Status, TimelinePoint, chart, words};

/// A page in the making. Nothing enters it but words of the program, numbers, and texts that were redacted and escaped.
pub(super) struct Page<'a> {
    out: String,
    /// What a second look found.
    leak: Option<Leak>,
    redactor: &'a Redactor,
    audience: Audience,
}

impl<'a> Page<'a> {
    pub(super) fn new(redactor: &'a Redactor, audience: Audience) -> Self {
        Self { out: String::new(), leak: None, redactor, audience }
    }

    /// The page, or what a second look found in it.
    pub(super) fn done(self) -> Result<String, Leak> {
        self.leak.map_or(Ok(self.out), Err)
    }

    /// A path made of numbers.
    pub(super) fn path(&mut self, points: &[TimelinePoint], axis_ms: u32) {
        self.out.push_str(&chart::path(points, axis_ms));
    }
    pub(super) fn raw(&mut self, text: &'static str) {
        self.out.push_str(text);
    }

    pub(super) fn number(&mut self, number: u64) {
        let _ = write!(self.out, "{number}");
    }

    pub(super) fn text(&mut self, text: &str) {
        let safe = self.redactor.redact(text, self.audience);
        self.leak = self.leak.take().or_else(|| self.redactor.scan(safe.as_str(), self.audience).err());
        for c in safe.as_str().chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                c if c.is_control() && c != '\n' => self.out.push(' '),
                c => self.out.push(c),
            }
        }
    }

    pub(super) fn pair(&mut self, text: &Bilingual) {
        if text.zh == text.en {
            return self.text(&text.en);
        }
        self.raw("<span class=\"zh\" lang=\"zh\">");
        self.marked(&text.zh);
        self.raw("</span><span class=\"en\" lang=\"en\">");
        self.marked(&text.en);
        self.raw("</span>");
    }

    /// Text in which `code` stands between backticks.
    fn marked(&mut self, words: &str) {
        for (i, part) in words.split('`').enumerate() {
            let is_code = i % 2 == 1;
            if is_code {
                self.raw("<code>");
            }
            self.text(part);
            if is_code {
                self.raw("</code>");
            }
        }
    }

    /// Words of the program in both languages; `code` stands between backticks.
    pub(super) fn both(&mut self, zh: &'static str, en: &'static str) {
        for (open, words) in [("<span class=\"zh\" lang=\"zh\">", zh), ("<span class=\"en\" lang=\"en\">", en)] {
            self.raw(open);
            self.marked(words);
            self.raw("</span>");
        }
    }

    pub(super) fn title(&mut self, zh: &'static str, en: &'static str) {
        self.raw("<h3>");
        self.both(zh, en);
        self.raw("</h3>");
    }

    pub(super) fn status(&mut self, status: Status) {
        self.both(words::status(status, Lang::Zh), words::status(status, Lang::En));
    }

    pub(super) fn of(&mut self, verdict: Verdict, part: fn(&'static Words) -> &'static str) {
        self.both(part(verdict.words(Lang::Zh)), part(verdict.words(Lang::En)));
    }

    pub(super) fn steps_of(&mut self, verdict: Verdict) {
        self.raw("<ol>");
        for (zh, en) in verdict.check_first(Lang::Zh).iter().zip(verdict.check_first(Lang::En)) {
            self.raw("<li>");
            self.both(zh, en);
            self.raw("</li>");
        }
        self.raw("</ol>");
    }

    /// How each kind of use retries; kinds with the same words share a row.
    pub(super) fn retries(&mut self, verdict: Verdict) {
        let kinds = [
            (Scenario::ShortChat, "短聊天", "short chat"),
            (Scenario::Batch, "批量脚本", "batch"),
            (Scenario::MediaTask, "图片和视频", "images and videos"),
            (Scenario::SharedKey, "共享 key", "a shared key"),
        ];
        let first = verdict.retry(Scenario::ShortChat);
        if Scenario::ALL.into_iter().all(|scenario| verdict.retry(scenario) == first) {
            return self.retry(first);
        }
        self.raw("<dl>");
        for (scenario, zh, en) in kinds {
            self.raw("<dt>");
            self.both(zh, en);
            self.raw("</dt><dd>");
            self.retry(verdict.retry(scenario));
            self.raw("</dd>");
        }
        self.raw("</dl>");
    }

    pub(super) fn retry(&mut self, word: RetryWord) {
        self.pair(&words::retry(word));
    }

    /// A probe's place and share in the run, the wait for its first byte lighter, and its time in words.
    pub(super) fn waterfall(&mut self, check: &Check, all: u64) {
        let (before, own) = (u64::from(check.began_ms), u64::from(check.duration_ms));
        let wait = u64::from(check.observed.first_byte_ms.unwrap_or(0)).min(own);
        let share = |ms: u64| ms * 1000 / all.max(1);
        self.raw("<svg viewBox=\"0 0 1000 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"rail\" width=\"1000\" height=\"12\"/>");
        for (class, from, span) in [
            ("<rect class=\"part early\" height=\"12\" x=\"", before, wait),
            ("<rect class=\"part\" height=\"12\" x=\"", before + wait, own - wait),
        ] {
            self.raw(class);
            self.number(share(from).min(994));
            self.raw("\" width=\"");
            self.number(share(span).max(if span == own { 6 } else { 0 }));
            self.raw("\"/>");
        }
        self.raw("</svg><span class=\"time\">");
        let time = std::time::Duration::from_millis(own);
        self.pair(&Bilingual::new(words::span(time, Lang::Zh), words::span(time, Lang::En)));
        self.raw("</span>");
    }
}
