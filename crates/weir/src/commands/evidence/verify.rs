//! `weir evidence verify`: whether a text is a record, and whether it is ours. It may be the JSON, or the text that people paste.

mod pasted;

use std::path::PathBuf;

use serde_json::{Value, json};
use weir_core::{
    RequestId,
    evidence::{Evidence, MAX_EVIDENCE_BYTES, Source},
    redact::{Audience, Redactor},
};
use weir_store::StoredCall;

use super::made;
use crate::{
    commands::redact::read,
    fault::{Exit, Fault},
    lang::{Text, text},
    shell::Shell,
};

/// What a record is compared without: it is made anew each time it is shown.
const MADE_ANEW: [&str; 3] = ["created_at", "product", "redaction"];

/// What was found out about a text.
enum Found {
    /// Not a record: which field, and why.
    NotARecord { path: String, why: Text },
    /// A record with something in it that must not be there.
    HoldsASecret,
    /// The store has this call and makes the same record of it.
    Ours,
    /// A report or a form; what it states of a call that the store has is what the record says.
    Agrees(RequestId),
    /// The store has this call; these fields say something else.
    Edited(Vec<String>),
    /// A right record of a call that is not in this store.
    Unknown,
}

/// Reads, compares, tells.
pub(super) fn run(shell: &Shell, file: &PathBuf) -> Result<Exit, Fault> {
    let found = look(shell, &read(file)?)?;
    let (word, exit, told) = match &found {
        Found::NotARecord { path, why } => {
            let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
            let (zh, en) = (&why.zh, &why.en);
            ("not_a_record", Exit::NotWell, text!("不是证据记录。{at}{zh}", "no evidence record. {at}{en}"))
        }
        Found::HoldsASecret => (
            "holds_a_secret",
            Exit::Refused,
            text!("里面有疑似机密,请勿转发;先更换该密钥", "it holds what may be a secret: do not pass it on, and replace that secret"),
        ),
        Found::Ours => ("matches", Exit::Done, text!("格式正确,与我们的记录一致", "well formed, and it matches our record")),
        Found::Agrees(id) => (
            "matches",
            Exit::Done,
            text!(
                "它说的和我们对 {id} 的记录一致;完整的记录:`weir evidence show {id}`",
                "what it says agrees with our record of {id}; the whole record: `weir evidence show {id}`"
            ),
        ),
        Found::Edited(fields) => {
            let list = fields.join(", ");
            ("edited", Exit::NotWell, text!("格式正确,但与我们的记录不同:{list}", "well formed, but it differs from our record: {list}"))
        }
        Found::Unknown => (
            "unknown_id",
            Exit::Done,
            text!(
                "格式正确;这里没有这次调用的记录可以对照。在运行网关的那台机器上再核对",
                "well formed; there is no record of this call here to compare. Verify it on the machine that runs the gateway"
            ),
        ),
    };
    if shell.flags.json {
        let (path, fields) = match &found {
            Found::NotARecord { path, .. } => (Some(path.as_str()), [].as_slice()),
            Found::Edited(fields) => (None, fields.as_slice()),
            _ => (None, [].as_slice()),
        };
        shell.print_json(
            &json!({ "ok": exit == Exit::Done, "found": word, "why": told.in_lang(shell.lang), "path": path, "differs": fields }),
        )?;
    } else {
        shell.print(told.in_lang(shell.lang))?;
    }
    Ok(exit)
}

fn look(shell: &Shell, text: &str) -> Result<Found, Fault> {
    let wrong = |path: String, why| Ok(Found::NotARecord { path, why });
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return match pasted::look(shell, text)? {
            Some(found) => Ok(found),
            None => wrong(
                String::new(),
                text!(
                    "要的是 JSON 记录,或 `weir evidence show`、`weir doctor`、`weir triage` 打印的文字;别的日志和报错交给 `weir triage`",
                    "it takes the JSON record, or the text that `weir evidence show`, `weir doctor` or `weir triage` printed; give any other log to `weir triage`"
                ),
            ),
        };
    }
    if text.len() > MAX_EVIDENCE_BYTES * 2 {
        return wrong(String::new(), text!("超过 {MAX_EVIDENCE_BYTES} 字节", "it is longer than {MAX_EVIDENCE_BYTES} bytes"));
    }
    let evidence: Evidence = match serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text.trim())) {
        Ok(evidence) => evidence,
        Err(error) => {
            let engine = Redactor::new([]);
            // serde repeats what it did not expect; the engine has the last word on it.
            let safe = |text: &str| engine.redact(text, Audience::Public).into_string();
            let (path, why) = (safe(&error.path().to_string()), safe(&error.inner().to_string()));
            let told = in_words(&why);
            return wrong(if path == "." || why.starts_with("missing field") { String::new() } else { path }, told);
        }
    };
    if Redactor::new([]).scan(text, evidence.audience).is_err() {
        return Ok(Found::HoldsASecret);
    }
    let id = evidence.request.id.known().and_then(|id| id.as_str().parse::<RequestId>().ok());
    let dir = shell.data_dir()?;
    let call = match id {
        Some(id) if dir.is_dir() => shell.store()?.call(id)?,
        _ => None,
    };
    let Some(call) = call else { return Ok(Found::Unknown) };
    if evidence.source != Source::Gateway {
        return Ok(agreeing(&call, &as_json(&made(shell, &call, evidence.audience)?), &as_json(&evidence)));
    }
    let ours = made(shell, &call, evidence.audience)?;
    let mut differs = Vec::new();
    compare("", &as_json(&ours), &as_json(&evidence), &mut differs);
    differs.retain(|path| !MADE_ANEW.iter().any(|anew| path == anew || path.starts_with(&format!("{anew}."))));
    Ok(if differs.is_empty() { Found::Ours } else { Found::Edited(differs) })
}

/// A record that another pair of eyes made of a call of ours: only what both must see alike is compared.
fn agreeing(call: &StoredCall, ours: &Value, theirs: &Value) -> Found {
    let is_known = |value: &&Value| !value.is_null() && value.as_str() != Some("unknown");
    let at = |value: &Value, path: &str| value.pointer(path).filter(is_known).cloned();
    let differs: Vec<String> = SEEN_BY_ALL
        .iter()
        .filter(|path| at(ours, path).zip(at(theirs, path)).is_some_and(|(ours, theirs)| ours != theirs))
        .map(|path| path.trim_start_matches('/').replace('/', "."))
        .collect();
    if differs.is_empty() { Found::Agrees(call.record.id) } else { Found::Edited(differs) }
}

/// What the gateway and whoever called it see alike.
const SEEN_BY_ALL: [&str; 4] = ["/request/model", "/request/stream", "/request/path", "/status"];

/// Words by which a field shows that it holds what no record may.
const NEVER_KEPT: [&str; 12] =
    ["prompt", "message", "content", "completion", "answer", "header", "cookie", "authorization", "token", "password", "balance", "amount"];

/// What is wrong, in words that say what to do. serde's own list every field there is.
fn in_words(why: &str) -> Text {
    let name = why.split('`').nth(1).unwrap_or_default();
    if why.starts_with("unknown field") {
        let lower = name.to_ascii_lowercase();
        if NEVER_KEPT.iter().any(|word| lower.contains(word)) {
            return text!(
                "记录里不能有 `{name}`:提示词、回答、请求头、密钥和金额都不收集。删掉它,不要转发",
                "a record has no `{name}`: prompts, answers, headers, keys and sums are not collected. Take it out and do not pass it on"
            );
        }
        return text!(
            "没有 `{name}` 这个字段。`weir evidence template --json` 列出要填的字段",
            "there is no field `{name}`. `weir evidence template --json` lists the fields that are asked for"
        );
    }
    if why.starts_with("missing field") {
        return text!("缺少 `{name}`;不知道就写 \"unknown\"", "`{name}` is missing; write \"unknown\" if you do not know it");
    }
    if why.contains("untagged enum") {
        return text!(
            "值的写法不对;`weir evidence template` 里每一项都有例子,Key 只能写掩码",
            "it is not written as this field is; `weir evidence template` has an example of each, and of a key only its mask may be here"
        );
    }
    text!("值不对:{why}", "its value is wrong: {why}")
}

fn as_json(evidence: &Evidence) -> Value {
    serde_json::to_value(evidence).unwrap_or_default()
}

/// The paths at which two records differ. The texts differ by zone where the machine's zone does; the values are compared as they are.
fn compare(path: &str, ours: &Value, theirs: &Value, out: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&below, &a.get(key).cloned().unwrap_or_default(), &b.get(key).cloned().unwrap_or_default(), out);
            }
        }
        _ if ours == theirs || same_instant(ours, theirs) => {}
        _ => out.push(path.to_owned()),
    }
}

/// Two RFC 3339 texts of one instant in different zones.
fn same_instant(a: &Value, b: &Value) -> bool {
    let at = |value: &Value| value.as_str().and_then(weir_core::Timestamp::from_rfc3339);
    at(a).is_some() && at(a) == at(b)
}
