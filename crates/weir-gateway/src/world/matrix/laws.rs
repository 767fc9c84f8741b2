//! What holds in every cell, whatever its fault is.

use weir_core::{Charged, Verdict};

use super::{
    super::{plan::PRICE, saw::Stream},
    cell::Cell,
};

type Law = Result<(), String>;

fn law(holds: bool, law: impl FnOnce() -> String) -> Law {
    if holds { Ok(()) } else { Err(law()) }
}

/// Checks all of them; the first that is broken is told in a sentence.
pub(super) fn hold(cell: &Cell) -> Law {
    let got = &cell.got;
    law(cell.books_balance, || "the books do not balance".to_owned())?;
    law(got.whole || cell.left, || format!("an answer just stopped: {}", cell.saw))?;
    let full = cell.error.as_ref().is_some_and(|error| error["verdict"] == Verdict::GatewayFull.code());
    law(cell.records.len() == usize::from(!full), || format!("one call has {} rows", cell.records.len()))?;
    if let Some(record) = cell.record() {
        let price = PRICE.of(&record.charge.usage).map_err(|error| error.to_string())?;
        law(record.charge.amount == price, || format!("it costs {}, its usage {}", record.charge.amount.0, price.0))?;
    }
    stream(cell)?;
    error(cell)?;
    attempts(cell)
}

/// No end marker behind an error, and nothing behind either.
fn stream(cell: &Cell) -> Law {
    if !cell.got.is_stream() {
        return Ok(());
    }
    let stream = Stream::of(&cell.got.body);
    law(stream.errors.len() + usize::from(stream.done) <= 1, || format!("{} errors, end marker {}", stream.errors.len(), stream.done))?;
    law(!stream.spoke_on, || "something came behind the end".to_owned())
}

/// What an error says of its call is what the books say.
fn error(cell: &Cell) -> Law {
    let got = &cell.got;
    let Some(error) = &cell.error else { return law(got.status < 400, || "an error without a body".to_owned()) };
    let text = |name: &str| error[name].as_str().unwrap_or_default();
    law(!text("code").is_empty() && !text("message").is_empty(), || format!("an error without code or message: {error}"))?;
    law(got.header("x-request-id") == Some(text("request_id")), || "the error has another request's id".to_owned())?;
    if let Some(record) = cell.record() {
        law(text("verdict") == record.verdict.code(), || {
            format!("the client was told {}, the row says {}", text("verdict"), record.verdict.code())
        })?;
        let charged = record.charge.charged == Charged::Yes;
        let said = &error["charged"];
        // Told while the call went on, when nobody knew.
        let early = record.told.is_some() && said == "pending";
        law(early || said.as_bool() == Some(charged), || format!("the client was told {said}, the row says {charged}"))?;
        law(!charged || got.status == 200, || "an error status, but charged".to_owned())?;
    }
    let wait = got.header("retry-after").map(|text| text.parse::<u64>().map(|s| s * 1000));
    let told = cell.told().map(|told| u64::try_from(told.as_millis()).unwrap());
    // A pause until a running call is asked for again is no limit that opens.
    if got.status >= 400 && got.header("x-weir-call").is_none() {
        law(wait.is_some() == told.is_some(), || format!("Retry-After is {wait:?} and resetAt {told:?} ms"))?;
    }
    if let (Some(Ok(wait)), Some(told)) = (wait, told) {
        law(wait.abs_diff(told) <= 1_000, || format!("Retry-After is {wait} ms, resetAt {told} ms away"))?;
    }
    let verdict = Verdict::from_code(text("verdict")).ok_or("an error without a verdict")?;
    let hopeless = matches!(
        verdict,
        Verdict::KeyUnknown
            | Verdict::KeyDisabled
            | Verdict::SourceNotAllowed
            | Verdict::GroupModelDenied
            | Verdict::BalanceSpent
            | Verdict::QuotaSpent
    );
    let stops = got.status < 400 || got.header("x-should-retry") == Some("false");
    law(!hopeless || stops, || format!("{} cannot be mended by waiting, but no SDK is told", verdict.code()))
}

/// The row lists every attempt, and the upstreams saw no more.
fn attempts(cell: &Cell) -> Law {
    let Some(record) = cell.record() else { return Ok(()) };
    for (at, attempt) in record.attempts.iter().enumerate() {
        law(usize::from(attempt.n) == at + 1, || format!("attempt {} is called {}", at + 1, attempt.n))?;
        law(attempt.status.is_none() || attempt.verdict.is_some() || at + 1 == record.attempts.len(), || {
            format!("attempt {} has no verdict", at + 1)
        })?;
    }
    let answered = record.attempts.iter().filter(|attempt| attempt.status.is_some()).count() as u64;
    law(answered <= cell.seen, || format!("{answered} attempts were answered, the upstreams saw {}", cell.seen))
}
