//! Image and video jobs: submitted once, then looked at. What was sent and not answered is looked for, never submitted again.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::Method;
use tokio::time::{Instant, sleep};
use weir_core::{Route, Scenario, TaskState, Timestamp, task::TaskAsk};
use weir_wire::tasks::{self, Adapter};

use super::{Ask, CallError, Client, Said};

/// The first and the longest wait between two looks.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const LAST_LOOK: Duration = Duration::from_secs(30);

/// How far a job is, as its server says.
#[derive(Debug, Clone)]
pub struct Job {
    /// `None`: the answer is not about a job, it is the result itself.
    pub state: Option<TaskState>,
    /// The answer, as it came.
    pub said: Said,
}

impl Job {
    /// Whether it may still change.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.is_some_and(TaskState::is_open)
    }
}

/// A job that its server has taken.
#[derive(Debug, Clone)]
pub struct Submitted {
    pub id: String,
    /// Where it is looked at, below the base URL.
    pub path: String,
    pub job: Job,
}

/// Why there is no job, or no end of it.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("submit the job: {0}")]
    NotTaken(CallError),
    /// It was sent, no answer came, and the server's list does not tell which of its jobs it is. Submitting it again could make it twice.
    #[error("learn what became of the job: it was sent, no answer came, and no list tells it apart")]
    Unknown,
    #[error("look at the job: {0}")]
    Look(#[from] CallError),
    #[error("see the end of the job within {0:?}")]
    StillOpen(Duration),
}

/// The adapter that speaks as the path does.
fn adapter(route: Route) -> Option<&'static Adapter> {
    match route {
        Route::Videos => Adapter::of_name("openai_videos"),
        Route::VideoGenerations => Adapter::of_name("submit_poll"),
        Route::ImageGenerations => Adapter::of_name("openai_images"),
        _ => None,
    }
}

/// Where the job of this id is looked at.
#[must_use]
pub(crate) fn look_path(route: Route, id: &str) -> Option<String> {
    let pattern = match route {
        Route::ImageGenerations => "/images/generations/{id}",
        _ => adapter(route)?.look,
    };
    Adapter::path(pattern, id)
}

/// What an answer to a submission or a look says: the job's id, and how far it is.
#[must_use]
pub(crate) fn read(route: Route, model: &str, said: &Said) -> (Option<String>, Option<TaskState>) {
    // weir tells pictures that nobody waits for as it tells videos.
    let speaks = if route == Route::ImageGenerations { Adapter::of_name("openai_videos") } else { adapter(route) };
    let Some(job) = speaks.and_then(|adapter| adapter.job(&said.body, model)) else { return (None, None) };
    let is_result = route == Route::ImageGenerations && said.header("preference-applied").is_none() && job.told.is_none();
    let of_weir = weir_state(&said.body);
    (job.id.filter(|_| !is_result), of_weir.or(job.told.map(|told| told.state)))
}

/// weir's own word for the state, which knows more than the families' do.
fn weir_state(body: &[u8]) -> Option<TaskState> {
    #[derive(serde::Deserialize)]
    struct Shown {
        weir: Own,
    }
    #[derive(serde::Deserialize)]
    struct Own {
        state: TaskState,
    }
    serde_json::from_slice::<Shown>(body).ok().map(|shown| shown.weir.state)
}

impl Client {
    /// Submits a job, once. If its answer is lost, the job is asked for by its idempotency key where the server remembers those, else looked
    /// for in the server's list among jobs whose ids are not `known`.
    ///
    /// # Errors
    /// See [`JobError`]. After [`JobError::Unknown`] nobody may submit it again.
    pub async fn submit(&self, ask: &Ask, known: &BTreeSet<String>) -> Result<Submitted, JobError> {
        let ask = ask.clone().of(Scenario::MediaTask);
        let (route, at) = (ask.route(), self.surroundings.clock.now());
        let model = weir_wire::request::peek(route, None, &ask.body).map(|peek| peek.model).unwrap_or_default();
        match self.call(&ask).await {
            Ok(said) => {
                let (id, state) = read(route, &model, &said);
                let path = id.as_deref().and_then(|id| look_path(route, id)).unwrap_or_default();
                Ok(Submitted { id: id.unwrap_or_default(), path, job: Job { state, said } })
            }
            Err(CallError::OutcomeUnknown { .. }) => self.find(route, &model, &ask.body, at, known).await,
            Err(error) => Err(JobError::NotTaken(error)),
        }
    }

    /// Looks for a job that was submitted at `at` and whose answer was lost. Taken is only what no other job can be meant by.
    ///
    /// # Errors
    /// [`JobError::Unknown`] where the server has no list, or the list does not tell.
    pub async fn find(
        &self,
        route: Route,
        model: &str,
        body: &Bytes,
        at: Timestamp,
        known: &BTreeSet<String>,
    ) -> Result<Submitted, JobError> {
        let (Some(adapter), Ok(asked)) = (adapter(route), tasks::ask(body)) else { return Err(JobError::Unknown) };
        let list = adapter.list.ok_or(JobError::Unknown)?;
        let said = self.call(&Ask { method: Method::GET, ..Ask::get(list) }).await?;
        let id = only(adapter, &said.body, model, &asked, at, known).ok_or(JobError::Unknown)?;
        let path = look_path(route, &id).ok_or(JobError::Unknown)?;
        let job = self.look(route, &path, model).await?;
        Ok(Submitted { id, path, job })
    }

    /// How far a job is.
    ///
    /// # Errors
    /// As [`Client::call`]; looking changes nothing and may be repeated.
    pub async fn look(&self, route: Route, path: &str, model: &str) -> Result<Job, CallError> {
        let said = self.call(&Ask::get(path)).await?;
        let (_, state) = read(route, model, &said);
        Ok(Job { state, said })
    }

    /// Looks until the job has ended, ever more rarely.
    ///
    /// # Errors
    /// [`JobError::StillOpen`] after `patience`: the job goes on, and may be waited for again.
    pub async fn wait(&self, route: Route, submitted: &Submitted, patience: Duration) -> Result<Job, JobError> {
        let (began, mut pause) = (Instant::now(), FIRST_LOOK);
        let mut job = submitted.job.clone();
        while job.is_open() {
            if began.elapsed() + pause > patience {
                return Err(JobError::StillOpen(patience));
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LAST_LOOK);
            job = self.look(route, &submitted.path, "").await?;
        }
        Ok(job)
    }
}

/// The wait before a job is looked at for the `n`th time, the first being 0.
#[must_use]
pub(crate) fn look_wait(n: u32) -> Duration {
    let grown = FIRST_LOOK.as_millis().saturating_mul(3_u128.saturating_pow(n.min(16))) / 2_u128.saturating_pow(n.min(16));
    Duration::from_millis(u64::try_from(grown).unwrap_or(u64::MAX)).min(LAST_LOOK)
}

/// The one job of a list that nothing speaks against; `None` where there are several or none.
pub(crate) fn only(
    adapter: &Adapter,
    list: &[u8],
    model: &str,
    asked: &TaskAsk,
    at: Timestamp,
    known: &BTreeSet<String>,
) -> Option<String> {
    let jobs = adapter.jobs(list)?;
    let mut fitting =
        jobs.into_iter().map(|(listed, _)| listed).filter(|listed| !known.contains(&listed.id) && listed.may_be(at, model, asked));
    let first = fitting.next()?;
    fitting.next().is_none().then_some(first.id)
}
