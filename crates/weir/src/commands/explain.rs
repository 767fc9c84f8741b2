//! `weir explain`: a verdict in words, from the one catalogue.

use clap::Args;
use serde_json::{Value, json};
use weir_core::{Lang, Verdict, evidence::bare_never, verdict::Scenario};

use super::words;
use crate::{
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::{pairs, table},
};

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A code such as W-STREAM-009, an error's own word or a status; without it all codes are listed
    code: Option<String>,
}

impl Explain {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self.code.as_deref().map(words::verdict).transpose()? {
            Some(verdict) if shell.flags.json => shell.print_json(&view(verdict, shell.lang))?,
            Some(verdict) => shell.print_for_people(&page(verdict, shell.lang))?,
            None if shell.flags.json => {
                let all: Vec<Value> = Verdict::ALL.iter().map(|verdict| view(*verdict, shell.lang)).collect();
                shell.print_json(&json!({ "verdicts": all }))?;
            }
            None => shell.print(&list(shell))?,
        }
        Ok(Exit::Done)
    }
}

fn list(shell: &Shell) -> String {
    let row = |verdict: &Verdict| {
        let words = verdict.words(shell.lang);
        [verdict.code().to_owned(), words::level(shell.lang, verdict.level()).to_owned(), words.title.to_owned()]
    };
    let rows: Vec<_> = Verdict::ALL.iter().map(row).collect();
    table(shell.say(["结论码", "级别", "含义"], ["CODE", "LEVEL", "MEANING"]), &rows)
}

/// The page of one verdict: the same table that its page in the handbook has.
fn page(verdict: Verdict, lang: Lang) -> String {
    let words = verdict.words(lang);
    let say = |zh, en| crate::lang::pick(lang, zh, en);
    let colon = say(":", ": ");
    let mut rows = vec![
        (say("级别", "level"), words::level(lang, verdict.level()).to_owned()),
        (say("由谁处理", "who mends it"), words::owner(lang, verdict.owner())),
        (say("看到什么", "seen"), words.observed.to_owned()),
        (say("原因", "cause"), words.cause.to_owned()),
    ];
    for (i, step) in words.check_first.iter().enumerate() {
        rows.push((if i == 0 { say("先查", "check first") } else { "" }, format!("{}. {step}", i + 1)));
    }
    rows.push((say("不要", "do not"), bare_never(words.never).to_owned()));
    let first = verdict.retry(Scenario::ShortChat);
    if Scenario::ALL.into_iter().all(|scenario| verdict.retry(scenario) == first) {
        rows.push((say("能否重试", "retry"), words::retry(lang, first)));
    } else {
        for (i, scenario) in Scenario::ALL.into_iter().enumerate() {
            let name = if i == 0 { say("能否重试", "retry") } else { "" };
            rows.push((name, format!("{}{colon}{}", words::scenario(lang, scenario), words::retry(lang, verdict.retry(scenario)))));
        }
    }
    rows.push((say("证据", "evidence"), verdict.evidence().to_owned()));
    if let Some(api) = verdict.api() {
        rows.push((say("接口回答", "answered as"), format!("HTTP {}, error.code {}", api.status, api.code)));
    }
    if let Some(model) = verdict.scenario() {
        rows.push((say("如何重现", "produce it"), text!("模型名用 {model}", "ask for the model {model}").in_lang(lang).to_owned()));
    }
    format!("{} {}\n\n{}", verdict.code(), words.title, pairs(&rows))
}

fn view(verdict: Verdict, lang: Lang) -> Value {
    let words = verdict.words(lang);
    let retry: serde_json::Map<String, Value> =
        Scenario::ALL.into_iter().map(|scenario| (scenario.label().to_owned(), verdict.retry(scenario).to_string().into())).collect();
    let api =
        verdict.api().map(|api| json!({ "status": api.status, "code": api.code, "type": api.kind, "should_retry": api.should_retry }));
    json!({
        "code": verdict.code(),
        "class": verdict.class().label(),
        "level": verdict.level().label(),
        "owner": verdict.owner().label(),
        "title": words.title,
        "observed": words.observed,
        "cause": words.cause,
        "check": words.check,
        "check_first": words.check_first,
        "never": words.never,
        "example": { "field": words.example.field, "mistake": words.example.mistake, "next": words.example.next },
        "retry": retry,
        "evidence": verdict.evidence(),
        "api": api,
        "scenario": verdict.scenario(),
    })
}
