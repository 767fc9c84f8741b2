//! A record that comes back as text, compared with what this store makes of the same call.

use weir_core::{
    RequestId,
    evidence::{self, Evidence, EvidenceId, Pasted, PastedKind, VerdictWords},
    redact::{Audience, Redactor},
};
use weir_store::StoredCall;

use super::{super::made, Found, as_json};
use crate::{fault::Fault, lang::text, shell::Shell};

/// The longest text that is read, in bytes: a record with its report and the mail around it.
const TEXT_BYTES: usize = 128 * 1024;

/// `None`: it is no text of weir's.
pub(super) fn look(shell: &Shell, text: &str) -> Result<Option<Found>, Fault> {
    if text.len() > TEXT_BYTES {
        return Ok(None);
    }
    let Some(pasted) = Pasted::read(text) else { return Ok(None) };
    if Redactor::new([]).redact(text, Audience::Support).held_a_secret() {
        return Ok(Some(Found::HoldsASecret));
    }
    if pasted.kind == PastedKind::Form && pasted.stated.is_empty() && pasted.requests.is_empty() {
        return Ok(Some(Found::NotARecord {
            path: String::new(),
            why: text!(
                "这张表还没有填:至少填请求 ID,或者时间、模型和状态码",
                "the form is not filled in: at least the request id, or the time, model and status"
            ),
        }));
    }
    let Some(call) = known(shell, &pasted.requests)? else { return Ok(Some(Found::Unknown)) };
    // A block under another id was made by other eyes, such as the doctor's: what both see is compared.
    let is_ours = pasted.kind == PastedKind::Block && pasted.bears(EvidenceId::of_call(call.record.id));
    let differs = if is_ours { of_block(shell, &call, &pasted)? } else { of_facts(shell, &call, &pasted)? };
    Ok(Some(match (differs.is_empty(), is_ours) {
        (false, _) => Found::Edited(differs),
        (true, true) => Found::Ours,
        (true, false) => Found::Agrees(call.record.id),
    }))
}

/// The first call that is named and in the store.
fn known(shell: &Shell, ids: &[RequestId]) -> Result<Option<StoredCall>, Fault> {
    if ids.is_empty() || !shell.data_dir()?.is_dir() {
        return Ok(None);
    }
    let store = shell.store()?;
    for id in ids {
        if let Some(call) = store.call(*id)? {
            return Ok(Some(call));
        }
    }
    Ok(None)
}

/// The text may be for either audience and in either language.
fn of_block(shell: &Shell, call: &StoredCall, pasted: &Pasted) -> Result<Vec<String>, Fault> {
    let mut ours = Vec::new();
    for audience in [Audience::Support, Audience::Public] {
        let evidence = made(shell, call, audience)?;
        ours.extend([evidence::Lang::Zh, evidence::Lang::En].map(|lang| rendered(&evidence, call, lang)));
    }
    Ok(pasted.differs(&ours).into_iter().map(str::to_owned).collect())
}

fn rendered(evidence: &Evidence, call: &StoredCall, lang: evidence::Lang) -> String {
    let words = call.record.verdict.words(if lang == evidence::Lang::Zh { weir_core::Lang::Zh } else { weir_core::Lang::En });
    evidence.render_text(lang, &VerdictWords { title: words.title, check: words.check, never: words.never })
}

/// What a report or a form says of the call, as far as the record says it too.
fn of_facts(shell: &Shell, call: &StoredCall, pasted: &Pasted) -> Result<Vec<String>, Fault> {
    let ours = as_json(&made(shell, call, Audience::Support)?);
    let differs = pasted.stated.iter().filter(|(path, value)| {
        let known = ours.pointer(&format!("/{}", path.replace('.', "/")));
        known.is_some_and(|known| known.as_str().map_or_else(|| known.to_string(), str::to_owned) != *value)
    });
    Ok(differs.map(|(path, _)| (*path).to_owned()).collect())
}
