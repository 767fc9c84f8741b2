//! What a submission asks for, as far as it is paid for or told apart by it.

use serde_json::Value;
use weir_core::task::TaskAsk;

use crate::RequestFault;

/// The longest video that is believed, in seconds: ten minutes.
const SECONDS: u64 = 600;
/// The most results of one submission.
const COUNT: u64 = 10;

/// Reads a JSON body that [`crate::request::peek`] has accepted.
///
/// # Errors
/// When the length or the number of results is no number, or more than anybody makes.
pub fn ask(body: &[u8]) -> Result<TaskAsk, RequestFault> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let named = |name: &str| {
        // Some vendors put it a level deeper.
        let value = if body[name].is_null() { &body["parameters"][name] } else { &body[name] };
        value.as_str().map(str::to_owned).or_else(|| value.is_number().then(|| value.to_string()))
    };
    ask_of_form(named)
}

/// The same from the fields of a form.
///
/// # Errors
/// As [`ask`].
pub fn ask_of_form(named: impl Fn(&str) -> Option<String>) -> Result<TaskAsk, RequestFault> {
    let number = |param: &'static str, most: u64| match named(param).as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(number) if (1..=most).contains(&number) => Ok(u32::try_from(number).ok()),
            _ => Err(RequestFault { message: format!("`{param}` must be a whole number from 1 to {most}."), param: Some(param) }),
        },
    };
    let seconds = match number("seconds", SECONDS)? {
        Some(seconds) => Some(seconds),
        None => number("duration", SECONDS)?,
    };
    let size = named("size").filter(|size| size.len() <= 16 && size.bytes().all(|b| b.is_ascii_digit() || b"x*:".contains(&b)));
    Ok(TaskAsk { seconds, count: number("n", COUNT)?.unwrap_or(1), size })
}
