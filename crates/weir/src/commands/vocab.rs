//! `weir vocab`: every word that weir uses, read from where it is defined, so that pages and tools can check themselves against it.

use clap::{Args, CommandFactory};
use serde_json::{Value, json};
use weir_core::{Lang, Route, Verdict, verdict::Scenario};
use weir_sim::catalog::CATALOG;

use super::words;
use crate::{
    args::Arguments,
    config::{load::schema, shape::Shape},
    fault::{Exit, Fault},
    shell::Shell,
};

#[derive(Debug, Args)]
pub(crate) struct Vocab {}

impl Vocab {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let vocabulary = vocabulary();
        if shell.flags.json {
            shell.print_json(&vocabulary)?;
        } else {
            let mut text = String::new();
            for (section, words) in vocabulary.as_object().into_iter().flatten().filter(|(_, words)| words.is_array()) {
                text.push_str(&format!("{section}\n"));
                for word in words.as_array().into_iter().flatten() {
                    text.push_str(&format!("  {}\n", line(word, shell.lang)));
                }
            }
            shell.print(&text)?;
        }
        Ok(Exit::Done)
    }
}

/// A word and what it means, in one line.
fn line(word: &Value, lang: Lang) -> String {
    let name = ["code", "name", "model"].iter().find_map(|key| word.get(key)).unwrap_or(word);
    let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
    let meaning = word.get(crate::lang::pick(lang, "zh", "en")).and_then(Value::as_str);
    meaning.map_or_else(|| name.clone(), |meaning| format!("{name}  {meaning}"))
}

fn vocabulary() -> Value {
    let verdicts: Vec<Value> = Verdict::ALL
        .iter()
        .map(|verdict| {
            let title = |lang| verdict.words(lang).title;
            json!({
                "code": verdict.code(), "class": verdict.class().label(), "level": verdict.level().label(),
                "owner": verdict.owner().label(), "zh": title(Lang::Zh), "en": title(Lang::En),
            })
        })
        .collect();
    let scenarios: Vec<Value> = Scenario::ALL
        .into_iter()
        .map(|one| json!({ "name": one.label(), "zh": words::scenario(Lang::Zh, one), "en": words::scenario(Lang::En, one) }))
        .collect();
    let exits: Vec<Value> = Exit::ALL.iter().map(|(exit, zh, en)| json!({ "code": *exit as u8, "zh": zh, "en": en })).collect();
    let routes: Vec<&str> = Route::ALL.into_iter().filter(|route| *route != Route::Unknown).map(Route::path).collect();
    let simulated: Vec<Value> = CATALOG.iter().map(|entry| json!({ "model": entry.model(), "zh": entry.zh, "en": entry.en })).collect();
    let mut commands = Vec::new();
    collect(&Arguments::command(), "", &mut commands);
    json!({
        "schema": "weir.vocab/1",
        "verdicts": verdicts,
        "scenarios": scenarios,
        "exit_codes": exits,
        "routes": routes,
        "simulated": simulated,
        "config_keys": Shape::new(schema()).paths(),
        "commands": commands,
    })
}

/// Every command with its flags.
fn collect(command: &clap::Command, above: &str, out: &mut Vec<Value>) {
    let name = format!("{above}{}", command.get_name());
    let flags: Vec<String> = command.get_arguments().filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")).collect();
    let about = command.get_about().map(ToString::to_string);
    out.push(json!({ "name": name, "flags": flags, "en": about }));
    for below in command.get_subcommands() {
        collect(below, &format!("{name} "), out);
    }
}
