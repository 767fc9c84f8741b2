//! An upstream's answer about a job, read by its adapter's table. Whatever it says in a form that nobody knows is taken for nothing said.

use serde_json::Value;
use weir_core::{
    Timestamp,
    task::{Listed, TaskFault, TaskState, Told},
};

use super::adapters::{Adapter, state_of};

/// Longest id, code and text that are kept of an upstream.
const ID_CHARS: usize = 128;
const CODE_CHARS: usize = 64;
const TEXT_CHARS: usize = 512;
/// From here on a time is told in milliseconds: as seconds it would be in the year 5138.
const MILLIS: i64 = 100_000_000_000;
/// Jobs of a list that are looked at.
const LISTED: usize = 200;

/// One job as an upstream tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: Option<String>,
    /// `None` where it says nothing of the state.
    pub told: Option<Told>,
    /// Where the result can be fetched: a secret of the one who asked, to be kept nowhere.
    pub url: Option<String>,
}

/// An error in the place of a job: the upstream took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// A code as rows may hold it.
fn tame(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || "_.-".contains(*c)).take(CODE_CHARS).collect()
}

fn first<'v>(value: &'v Value, places: &[&str]) -> Option<&'v Value> {
    places.iter().filter_map(|place| value.pointer(place)).find(|found| !found.is_null())
}

fn text(value: &Value, places: &[&str]) -> Option<String> {
    let found = first(value, places)?;
    found.as_str().map(str::to_owned).or_else(|| found.is_number().then(|| found.to_string())).filter(|text| !text.is_empty())
}

/// A number, written as one or as text; fractions are rounded up.
fn number(value: &Value, places: &[&str]) -> Option<u64> {
    let text = text(value, places)?;
    let text = text.trim().trim_end_matches(['s', '%']);
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let more = u64::from(rest.bytes().any(|b| b != b'0'));
    whole.parse::<u64>().ok().and_then(|whole| whole.checked_add(more))
}

impl Adapter {
    /// Reads what is told of one job. `model` is what was asked for.
    #[must_use]
    pub fn job(&self, body: &[u8], model: &str) -> Option<Job> {
        let value: Value = serde_json::from_slice(body).ok().filter(Value::is_object)?;
        Some(self.job_of(&value, model))
    }

    fn job_of(&self, value: &Value, model: &str) -> Job {
        let id = text(value, self.id).filter(|id| id.len() <= ID_CHARS && Self::path("{id}", id).is_some());
        Job { id, told: self.told(value, model), url: text(value, self.url).filter(|url| url.starts_with("http")) }
    }

    fn told(&self, value: &Value, model: &str) -> Option<Told> {
        let state = state_of(text(value, self.status)?.trim())?;
        let cut = |text: String, chars: usize| text.chars().filter(|c| !c.is_control()).take(chars).collect::<String>();
        let fault = matches!(state, TaskState::Failed | TaskState::Cancelled).then(|| TaskFault {
            code: text(value, self.fault_code).map_or_else(String::new, |code| tame(&code)),
            text: cut(text(value, self.fault_text).unwrap_or_default(), TEXT_CHARS),
        });
        Some(Told {
            state,
            progress: number(value, self.progress).map(|percent| u8::try_from(percent.min(100)).unwrap_or(100)),
            seconds: number(value, self.seconds),
            images: number(value, self.images),
            same_model: text(value, self.model).is_none_or(|named| named == model),
            fault,
        })
    }

    /// Whether a 2xx is an error all the same: it says so, and names no job.
    #[must_use]
    pub fn refused(&self, body: &[u8]) -> Option<Refused> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let names_a_job = text(&value, self.id).is_some();
        let code = value.pointer("/code").or_else(|| value.pointer("/base_resp/status_code"));
        let has_failed = code.is_some_and(|code| !matches!(code.to_string().trim_matches('"'), "0" | "200" | "success" | "null" | ""));
        let is_error = value.get("error").is_some_and(|error| !error.is_null()) || has_failed;
        (is_error && !names_a_job).then_some(Refused)
    }

    /// The jobs of a list, each with what is told of it; `None` if it is no list.
    #[must_use]
    pub fn jobs(&self, body: &[u8]) -> Option<Vec<(Listed, Value)>> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let jobs = value.pointer(self.jobs).filter(|_| !self.jobs.is_empty())?.as_array()?;
        let listed = jobs.iter().take(LISTED).filter_map(|job| {
            let id = self.job_of(job, "").id?;
            let created = number(job, self.created).and_then(|at| i64::try_from(at).ok());
            let listed = Listed {
                id,
                model: text(job, self.model),
                created: created.map(|at| Timestamp(if at < MILLIS { at.saturating_mul(1000) } else { at })),
                seconds: number(job, self.seconds),
                size: text(job, &["/size"]),
            };
            Some((listed, job.clone()))
        });
        Some(listed.collect())
    }

    /// What is told of a listed job. Where the list says less than the job itself, only that it is there.
    #[must_use]
    pub fn told_of(&self, job: &Value, model: &str) -> Option<Told> {
        if self.list_tells {
            return self.told(job, model);
        }
        Some(Told { state: TaskState::Submitted, progress: None, seconds: None, images: None, same_model: true, fault: None })
    }
}
