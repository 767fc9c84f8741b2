//! Video jobs in memory, and in a file where one is wanted, in both common shapes.

use std::{collections::VecDeque, io, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use weir_core::Timestamp;

use crate::{
    ask::Ask,
    catalog::Term,
    digest::mix,
    jobs::{JobsFile, Kept},
    scenario::Scenario,
    text::json,
};

/// The oldest job is forgotten beyond this many.
const TASKS_MAX: usize = 10_000;
/// Jobs that one list shows.
const LIST_MAX: u64 = 100;

/// A lying job counts its looks below this before its end, and from it on after that.
const LIES: u64 = 1_000;

#[derive(Serialize, Deserialize)]
struct Task {
    id: String,
    seed: u64,
    /// As a JSON string.
    model: String,
    seconds: String,
    size: String,
    /// When it was taken.
    begun: Timestamp,
    takes: Duration,
    fails: bool,
    lies: bool,
    /// Looks that are still to find nothing.
    unseen: u64,
    /// Looks so far, once it is done.
    looks: u64,
    /// Gone for everybody; its id is not given out again.
    deleted: bool,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Running(u64),
    Succeeded,
    Failed,
}

/// The two shapes that a job is told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// OpenAI's `/v1/videos`.
    Videos,
    /// `/v1/video/generations` of the relay family.
    Generations,
}

impl Kept for Task {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Default)]
pub(crate) struct Tasks {
    tasks: VecDeque<Task>,
    made: u64,
    file: Option<JobsFile>,
}

impl Tasks {
    /// Those that the file keeps, and from now on all of them go there.
    pub(crate) fn kept(path: &Path) -> io::Result<Self> {
        let (file, tasks) = JobsFile::open(path)?;
        Ok(Self { tasks, made: 0, file: Some(file) })
    }

    /// Takes a job; equal requests make jobs of their own, so a duplicate shows. The first job of a request always has the same id.
    /// `epoch` is when the simulator began.
    pub(crate) fn create(&mut self, ask: &Ask, scenario: &Scenario, epoch: Timestamp, now: Timestamp, shape: Shape) -> String {
        let twins = self.tasks.iter().filter(|task| task.seed == ask.seed).count() as u64;
        // A measure and nothing else: what people paste by mistake is repeated nowhere.
        let measure = |name: &str, default: &str| {
            let told = ask.body.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            let tame = |text: &String| text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit() || b"x*:.".contains(&b));
            told.filter(tame).unwrap_or_else(|| default.to_owned())
        };
        let task = Task {
            // A simulator that begins anew gives no id out again.
            id: format!("video_{:016x}{twins:04x}", mix(ask.seed, epoch.since(Timestamp(0)).as_secs())),
            seed: ask.seed,
            model: json(&ask.model),
            seconds: json(&measure("seconds", "4")),
            size: json(&measure("size", "720x1280")),
            begun: now,
            takes: scenario.span(Term::TaskSlow).unwrap_or_default(),
            fails: scenario.has(Term::TaskFailed),
            lies: scenario.has(Term::TaskLying),
            unseen: scenario.count(Term::Task404ThenOk).unwrap_or(0),
            looks: 0,
            deleted: false,
        };
        if self.tasks.len() >= TASKS_MAX {
            self.tasks.pop_front();
        }
        self.made += 1;
        let body = task.show(State::Queued, shape);
        self.tasks.push_back(task);
        self.keep(self.tasks.len() - 1);
        body
    }

    /// Jobs ever taken.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    pub(crate) fn show(&mut self, id: &str, at: Timestamp, shape: Shape) -> Option<String> {
        let task = self.tasks.iter_mut().find(|task| task.id == id && !task.deleted)?;
        if task.unseen > 0 {
            task.unseen -= 1;
            return None;
        }
        let state = task.state(at);
        if !task.lies {
            return Some(task.show(state, shape));
        }
        task.looks += 1;
        // The first word after the end is true; nothing else is to be relied on.
        let ended = matches!(state, State::Succeeded | State::Failed);
        task.looks = if ended { task.looks.max(LIES) } else { task.looks % LIES };
        match (task.looks, task.looks % 4) {
            (LIES, _) => Some(task.show(state, shape)),
            (_, 1) => Some(task.show(State::Running(7), shape).replace(&task.model, r#""another-model""#)),
            (_, 2) => Some(task.show(if ended { State::Failed } else { State::Queued }, shape)),
            (_, 3) => None,
            _ => Some(task.show(State::Queued, shape).replace("queued", "mystery")),
        }
    }

    /// The seed of a finished job's video; `Some(None)` while there is none yet.
    pub(crate) fn content(&self, id: &str, at: Timestamp) -> Option<Option<u64>> {
        self.find(id).map(|task| (task.state(at) == State::Succeeded).then_some(task.seed))
    }

    pub(crate) fn delete(&mut self, id: &str) -> Option<String> {
        let at = self.tasks.iter().position(|task| task.id == id && !task.deleted)?;
        self.tasks[at].deleted = true;
        self.keep(at);
        Some(format!(r#"{{"id":{},"object":"video.deleted","deleted":true}}"#, json(id)))
    }

    /// The newest first.
    pub(crate) fn list(&self, at: Timestamp) -> String {
        let there: Vec<&Task> = self.tasks.iter().filter(|task| !task.deleted).collect();
        let shown: Vec<&Task> = there.iter().rev().copied().take(usize::try_from(LIST_MAX).unwrap_or(100)).collect();
        let id = |task: Option<&&Task>| task.map_or_else(|| "null".to_owned(), |task| json(&task.id));
        let data = shown.iter().map(|task| task.show(task.state(at), Shape::Videos)).collect::<Vec<_>>().join(",");
        let more = there.len() > shown.len();
        format!(r#"{{"object":"list","data":[{data}],"first_id":{},"last_id":{},"has_more":{more}}}"#, id(shown.first()), id(shown.last()))
    }

    /// A simulator whose disk is full goes on, and forgets with its process.
    fn keep(&mut self, at: usize) {
        if let Some(file) = &mut self.file
            && file.keep(&self.tasks[at], &self.tasks).is_err()
        {
            self.file = None;
        }
    }

    fn find(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id && !task.deleted)
    }
}

impl Task {
    fn state(&self, at: Timestamp) -> State {
        let gone = at.since(self.begun);
        if gone < self.takes {
            let percent = gone.as_millis() * 100 / self.takes.as_millis().max(1);
            return State::Running(u64::try_from(percent).unwrap_or(99));
        }
        if self.fails { State::Failed } else { State::Succeeded }
    }

    fn show(&self, state: State, shape: Shape) -> String {
        match shape {
            Shape::Videos => self.show_video(state),
            Shape::Generations => self.show_generation(state),
        }
    }

    fn show_video(&self, state: State) -> String {
        let (status, progress) = match state {
            State::Queued => ("queued", 0),
            State::Running(percent) => ("in_progress", percent),
            State::Succeeded => ("completed", 100),
            State::Failed => ("failed", 0),
        };
        let made = self.begun.0.div_euclid(1000);
        let completed = if state == State::Succeeded {
            (made + i64::try_from(self.takes.as_secs()).unwrap_or(0)).to_string()
        } else {
            "null".to_owned()
        };
        let expires = if state == State::Succeeded { (made + 86_400).to_string() } else { "null".to_owned() };
        let error =
            if state == State::Failed { r#"{"code":"generation_failed","message":"The video could not be made."}"# } else { "null" };
        format!(
            r#"{{"id":"{}","object":"video","model":{},"status":"{status}","progress":{progress},"created_at":{made},"completed_at":{completed},"expires_at":{expires},"prompt":null,"size":{},"seconds":{},"remixed_from_video_id":null,"error":{error}}}"#,
            self.id, self.model, self.size, self.seconds
        )
    }

    fn show_generation(&self, state: State) -> String {
        let id = &self.id;
        match state {
            State::Queued => format!(r#"{{"task_id":"{id}","status":"queued"}}"#),
            State::Running(_) => format!(r#"{{"task_id":"{id}","status":"in_progress"}}"#),
            State::Succeeded => {
                format!(
                    r#"{{"task_id":"{id}","status":"succeeded","url":"https://videos.invalid/{id}.mp4","format":"mp4","metadata":{{"duration":4,"fps":24,"width":720,"height":1280}}}}"#
                )
            }
            State::Failed => {
                format!(r#"{{"task_id":"{id}","status":"failed","error":{{"code":500,"message":"The video could not be made."}}}}"#)
            }
        }
    }
}
