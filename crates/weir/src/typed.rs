//! What is wrong with a command line, for people: clap's own words in English, ours in Chinese. Whatever was typed is redacted first, for
//! people paste keys where options belong.

use std::{env, error::Error as _};

use clap::{
    Error, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use weir_core::{Lang, Redactor};

use crate::{
    lang::{LangChoice, text},
    shell::tell,
};

/// Tells what could not be read.
pub(crate) fn tell_mistake(told: &Error) {
    let engine = Redactor::default();
    let lang = wanted(env::args_os().map(|word| word.to_string_lossy().into_owned()));
    if let Some(text) = (lang == Lang::Zh).then(|| in_chinese(told)).flatten() {
        return tell(&engine.without_credentials(&text));
    }
    let text = told.render().to_string();
    let safe = engine.without_credentials(&text);
    if safe != text {
        // The usual place for a key elsewhere is behind the address.
        tell(safe.trim_end());
        let hint = text!(
            "Key 不要写在命令行上,它会留在 shell 历史里:放进环境变量 WEIR_KEY,或用 --key-stdin",
            "a key on the command line stays in the shell's history: put it into the variable WEIR_KEY, or pipe it to --key-stdin"
        );
        tell(&format!("hint: {}", hint.in_lang(lang)));
    } else {
        // With its colours, where there is a terminal.
        let _ = told.print();
    }
}

/// The language that was asked for on a line that cannot be read as a whole.
fn wanted(mut words: impl Iterator<Item = String>) -> Lang {
    let mut choice = None;
    while let Some(word) = words.next() {
        if word == "--lang" {
            choice = words.next();
        } else if let Some(value) = word.strip_prefix("--lang=") {
            choice = Some(value.to_owned());
        }
    }
    choice.and_then(|name| LangChoice::from_str(&name, true).ok()).unwrap_or_default().resolve()
}

/// `None`: a mistake that has no sentence here.
fn in_chinese(told: &Error) -> Option<String> {
    let word = |kind| match told.get(kind)? {
        ContextValue::String(one) => Some(one.clone()),
        ContextValue::Strings(all) if !all.is_empty() => Some(all.join("、")),
        _ => None,
    };
    let argument = || word(ContextKind::InvalidArg);
    let value = || word(ContextKind::InvalidValue).filter(|value| !value.is_empty());
    let near = |kind| word(kind).map(|near| format!("是不是 {near}?"));
    let (why, hint) = match told.kind() {
        ErrorKind::UnknownArgument => (format!("没有 {} 这个参数", argument()?), near(ContextKind::SuggestedArg)),
        ErrorKind::InvalidSubcommand => {
            (format!("没有 {} 这个命令", word(ContextKind::InvalidSubcommand)?), near(ContextKind::SuggestedSubcommand))
        }
        ErrorKind::MissingRequiredArgument => (format!("缺少 {}", argument()?), None),
        ErrorKind::ArgumentConflict => (format!("{} 不能和 {} 一起用", argument()?, word(ContextKind::PriorArg)?), None),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let why = value().map_or_else(|| "后面要写一个值".to_owned(), |value| format!("不能写 {value}"));
            let known = word(ContextKind::ValidValue).map(|known| format!("可以写:{known}"));
            (format!("{} {why}", argument()?), known.or_else(|| told.source().map(ToString::to_string)))
        }
        _ => return None,
    };
    let lines =
        [Some(format!("error: {why}")), hint.map(|hint| format!("hint: {hint}")), Some("hint: 加 --help 看全部用法和例子".to_owned())];
    Some(lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Arguments;

    fn chinese(line: &str) -> String {
        in_chinese(&Arguments::try_parse_from(line.split(' ')).unwrap_err()).unwrap()
    }

    #[test]
    fn every_usual_mistake_has_a_chinese_sentence_and_a_next_step() {
        for (line, words) in [
            ("weir doctor http://a/v1 --modle x", "没有 --modle 这个参数\nhint: 是不是 --model?"),
            ("weir docter", "没有 docter 这个命令\nhint: 是不是 doctor?"),
            ("weir doctor http://a/v1 --symptom hang", "不能写 hang\nhint: 可以写:spinner、cut"),
            ("weir doctor http://a/v1 --timeout abc", "不能写 abc\nhint: "),
            ("weir doctor http://a/v1 --model", "后面要写一个值"),
            ("weir doctor http://a/v1 --direct http://b/v1 --via http://c:1", "不能和"),
            ("weir account create", "缺少 "),
        ] {
            let text = chinese(line);
            assert!(text.starts_with("error: ") && text.contains(words) && text.contains("--help"), "{line}: {text}");
        }
    }

    #[test]
    fn the_language_is_found_on_a_line_that_cannot_be_read() {
        let of = |line: &str| wanted(line.split(' ').map(str::to_owned));
        assert_eq!(of("weir docter --lang zh"), Lang::Zh);
        assert_eq!(of("weir --lang=zh --what"), Lang::Zh);
        assert_eq!(of("weir --lang zh docter --lang en"), Lang::En);
    }
}
