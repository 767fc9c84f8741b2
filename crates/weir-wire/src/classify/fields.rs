//! The fields of an error's object: which tell what happened, which are machine words, and where the message stands.

use serde_json::Value;

use super::{
    codes::{Codes, spelled},
    loose,
    read::{DEPTH, EVIDENCE_BYTES, MESSAGE_CHARS, NAMES},
};

/// Fields whose values are machine words.
const CODED: [&str; 26] = [
    "__type",
    "blockreason",
    "code",
    "err_code",
    "errcode",
    "error",
    "error_code",
    "error_type",
    "errorcode",
    "errorname",
    "errortype",
    "exception",
    "http_code",
    "kind",
    "name",
    "provider_code",
    "quotaid",
    "reason",
    "result_code",
    "ret_code",
    "retcode",
    "status",
    "status_code",
    "status_name",
    "statuscode",
    "type",
];

/// Fields that tell what happened. Others may echo a prompt.
const TELLING: [&str; 57] = [
    "__type",
    "block_reason",
    "blockreason",
    "cause",
    "code",
    "desc",
    "description",
    "detail",
    "err",
    "err_code",
    "err_msg",
    "errmsg",
    "error",
    "error_code",
    "error_description",
    "error_info",
    "error_message",
    "error_msg",
    "error_name",
    "error_reason",
    "error_text",
    "error_type",
    "errorcode",
    "errordescription",
    "errormessage",
    "errormsg",
    "errors",
    "errortype",
    "exception",
    "explanation",
    "fail_reason",
    "failreason",
    "failure_reason",
    "fault",
    "faultstring",
    "http_code",
    "info",
    "kind",
    "message",
    "message_cn",
    "msg",
    "provider_code",
    "quotaid",
    "quotametric",
    "raw",
    "reason",
    "result_msg",
    "resultmsg",
    "ret_msg",
    "retmsg",
    "status",
    "status_code",
    "status_message",
    "status_msg",
    "task_status_msg",
    "title",
    "type",
];

/// Fields by which an object is known for a job with a state of its own.
const TASK_IDS: [&str; 3] = ["job_id", "task_id", "taskid"];

/// Fields that may repeat what was asked.
const ECHOES: [&str; 7] = ["content", "input", "messages", "output", "prompt", "query", "text"];

/// Where a message stands, the likelier first.
const MESSAGE_PATHS: [&[&str]; 17] = [
    &["error", "message"],
    &["message"],
    &["msg"],
    &["err"],
    &["error_msg"],
    &["error_message"],
    &["detail"],
    &["header", "message"],
    &["response", "error", "message"],
    &["base_resp", "status_msg"],
    &["error", "msg"],
    &["error", "error_msg"],
    &["errors", "0", "message"],
    &["detail", "0", "msg"],
    &["error_description"],
    &["title"],
    &["error"],
];

/// A quote as every vendor would write it, so that rules need one: a quote inside a field is `'`, the quotes around it are `"`.
pub(super) fn plain(c: char) -> char {
    match c {
        '`' | '´' | '‘' | '’' | '「' | '」' | '『' | '』' => '\'',
        '“' | '”' => '"',
        '\u{a0}' | '\u{3000}' => ' ',
        c => c,
    }
}

/// Takes the first of a list, and reads JSON that was written into a string.
pub(super) fn unwrap(value: &Value, depth: usize) -> Value {
    match value {
        Value::Array(items) if depth > 0 && items.first().is_some_and(Value::is_object) => unwrap(&items[0], depth - 1),
        Value::String(text) if depth > 0 && text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).map_or_else(|_| value.clone(), |inner| unwrap(&inner, depth - 1))
        }
        _ => value.clone(),
    }
}

/// Adds the telling fields of `value`, which stands under `name`, each in quotes on a line of its own, and its machine words.
pub(super) fn gather(value: &Value, name: &str, depth: usize, evidence: &mut String, codes: &mut Codes) {
    if depth == 0 || evidence.len() > EVIDENCE_BYTES {
        return;
    }
    let lower = name.to_ascii_lowercase();
    let is_telling = || TELLING.contains(&lower.as_str());
    // One family of gateways tells the upstream's status as the parameter.
    if lower == "param" && value.as_str().is_some_and(|text| text.len() == 3 && text.parse::<u16>().is_ok()) {
        codes.push(value.as_str().unwrap_or_default());
    }
    // A job of its own has a state of its own, which is no status of the answer.
    if let ("task_status" | "task_state", Some(state)) = (lower.as_str(), value.as_str()) {
        codes.push(&format!("task:{state}"));
    }
    if CODED.contains(&lower.as_str()) {
        match value {
            // What was only spelled out has no quotes: rules about a whole field must not take it for one.
            Value::String(text) => {
                codes.push(text);
                if let Some(words) = spelled(text) {
                    evidence.push_str(&format!("({words})\n"));
                }
            }
            Value::Number(number) => codes.push(&number.to_string()),
            _ => {}
        }
    }
    match value {
        Value::Object(fields) => {
            if fields.keys().any(|name| TASK_IDS.contains(&name.to_ascii_lowercase().as_str())) {
                let state = fields.get("status").or_else(|| fields.get("state")).and_then(Value::as_str);
                state.into_iter().for_each(|state| codes.push(&format!("task:{state}")));
            }
            for (name, field) in fields {
                gather(field, name, depth - 1, evidence, codes);
            }
        }
        Value::Array(items) => {
            for item in items {
                gather(item, name, depth - 1, evidence, codes);
            }
        }
        Value::String(text) if is_telling() => match unwrap(value, DEPTH) {
            Value::String(_) => {
                evidence.push('"');
                evidence.extend(
                    text.chars().take(MESSAGE_CHARS * 4).flat_map(char::to_lowercase).map(|c| if c == '"' { '\'' } else { plain(c) }),
                );
                evidence.push_str("\"\n");
                // An error of another program, quoted in this one's words.
                if let Some((_, inner)) = loose::first_object(text, &NAMES) {
                    gather(&inner, name, depth.saturating_sub(4), evidence, codes);
                }
            }
            inner => gather(&inner, name, depth - 1, evidence, codes),
        },
        // Bare, for the codes of vendors that write them as strings are known by their quotes.
        Value::Number(number) if is_telling() => evidence.push_str(&format!("{number}\n")),
        _ => {}
    }
}

/// The sentences of an object that names none of its fields as others do. A prompt that it echoes stands under one of `ECHOES`.
pub(super) fn untold(value: &Value, evidence: &mut String) {
    let Value::Object(fields) = value else { return };
    for (_, text) in fields.iter().filter(|(name, _)| !ECHOES.contains(&name.to_ascii_lowercase().as_str())) {
        if let Some(text) = text.as_str() {
            evidence.push('"');
            evidence.extend(text.chars().take(MESSAGE_CHARS).flat_map(char::to_lowercase).map(plain));
            evidence.push_str("\"\n");
        }
    }
}

pub(super) fn message_of(value: &Value) -> String {
    let at = |path: &&[&str]| {
        let found = path.iter().try_fold(value, |value, step| match value {
            Value::Array(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)),
            _ => value.get(step),
        });
        found.and_then(Value::as_str).filter(|text| !text.trim().is_empty())
    };
    let Some(text) = MESSAGE_PATHS.iter().find_map(at).or_else(|| value.as_str()) else { return String::new() };
    match unwrap(&Value::String(text.to_owned()), DEPTH) {
        Value::String(text) => text,
        inner => match message_of(&inner) {
            found if found.is_empty() => text.to_owned(),
            found => found,
        },
    }
}
