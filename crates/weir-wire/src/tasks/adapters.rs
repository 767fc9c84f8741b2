//! How each kind of task upstream is spoken to: paths, where things stand in its answers, and what its words mean.

use weir_core::{TaskShape, TaskState};

/// One way of speaking to a task upstream. Paths stand below the upstream's base; `{id}` is the upstream's own id.
#[derive(Debug, PartialEq, Eq)]
pub struct Adapter {
    /// As the configuration and the rows name it.
    pub name: &'static str,
    /// Empty: where the client sent it.
    pub submit: &'static str,
    /// Empty: the answer to the submission is the result, and there is nothing to look at.
    pub look: &'static str,
    /// The newest jobs, for finding one whose answer was lost. `None`: it has no list, and such a task stays unconfirmed.
    pub list: Option<&'static str>,
    /// The result itself; `None` where the answer holds its address instead.
    pub content: Option<&'static str>,
    /// Whether a job can be deleted, by `DELETE` of `look`.
    pub deletes: bool,
    /// A new job made of an old one.
    pub remix: Option<&'static str>,
    /// Where an answer holds the following, as JSON pointers; the first that is there counts.
    pub(super) id: &'static [&'static str],
    pub(super) status: &'static [&'static str],
    pub(super) progress: &'static [&'static str],
    pub(super) seconds: &'static [&'static str],
    pub(super) images: &'static [&'static str],
    pub(super) model: &'static [&'static str],
    pub(super) url: &'static [&'static str],
    pub(super) fault_code: &'static [&'static str],
    pub(super) fault_text: &'static [&'static str],
}

/// All of them.
pub const ADAPTERS: [Adapter; 3] = [
    Adapter {
        name: "openai_videos",
        submit: "/videos",
        look: "/videos/{id}",
        list: Some("/videos?limit=100&order=desc"),
        content: Some("/videos/{id}/content"),
        deletes: true,
        remix: Some("/videos/{id}/remix"),
        id: &["/id"],
        status: &["/status"],
        progress: &["/progress"],
        seconds: &["/seconds"],
        images: &[],
        model: &["/model"],
        url: &[],
        fault_code: &["/error/code"],
        fault_text: &["/error/message"],
    },
    Adapter {
        name: "submit_poll",
        submit: "/video/generations",
        look: "/video/generations/{id}",
        // The relays that share this path list nothing and take no name of the client's. Some vendors' own paths do (Kling's `external_task_id`,
        // Ark's list of jobs); each would be an adapter of its own, and most of its table is this one.
        list: None,
        content: None,
        deletes: false,
        remix: None,
        id: &["/task_id", "/id", "/data/task_id", "/output/task_id"],
        status: &["/status", "/data/status", "/task_status", "/data/task_status", "/output/task_status"],
        progress: &["/progress", "/data/progress"],
        seconds: &["/metadata/duration", "/duration", "/seconds", "/data/duration", "/usage/video_duration"],
        images: &[],
        model: &["/model", "/data/model"],
        url: &[
            "/url",
            "/video_url",
            "/data/url",
            "/data/video_url",
            "/output/video_url",
            "/content/video_url",
            "/data/task_result/videos/0/url",
        ],
        fault_code: &["/error/code", "/data/error/code", "/output/code"],
        fault_text: &["/error/message", "/fail_reason", "/data/fail_reason", "/data/task_status_msg", "/output/message"],
    },
    Adapter {
        name: "openai_images",
        submit: "",
        look: "",
        list: None,
        content: None,
        deletes: false,
        remix: None,
        id: &[],
        status: &[],
        progress: &[],
        seconds: &[],
        images: &[],
        model: &[],
        url: &[],
        fault_code: &[],
        fault_text: &[],
    },
];

/// What upstreams call the states, in lowercase.
const WORDS: [(&str, TaskState); 26] = [
    ("queued", TaskState::Submitted),
    ("pending", TaskState::Submitted),
    ("submitted", TaskState::Submitted),
    ("created", TaskState::Submitted),
    ("not_start", TaskState::Submitted),
    ("waiting", TaskState::Submitted),
    ("in_queue", TaskState::Submitted),
    ("preparing", TaskState::Submitted),
    ("in_progress", TaskState::Running),
    ("running", TaskState::Running),
    ("processing", TaskState::Running),
    ("generating", TaskState::Running),
    ("started", TaskState::Running),
    ("completed", TaskState::Succeeded),
    ("succeeded", TaskState::Succeeded),
    ("succeed", TaskState::Succeeded),
    ("success", TaskState::Succeeded),
    ("done", TaskState::Succeeded),
    ("failed", TaskState::Failed),
    ("fail", TaskState::Failed),
    ("failure", TaskState::Failed),
    ("error", TaskState::Failed),
    ("rejected", TaskState::Failed),
    ("cancelled", TaskState::Cancelled),
    ("canceled", TaskState::Cancelled),
    ("expired", TaskState::Failed),
];

/// What a word of an upstream means; `None` for words that say nothing, `unknown` among them.
pub(super) fn state_of(word: &str) -> Option<TaskState> {
    WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, state)| *state)
}

impl Adapter {
    #[must_use]
    pub fn of_name(name: &str) -> Option<&'static Self> {
        const ALL: &[Adapter] = &ADAPTERS;
        ALL.iter().find(|adapter| adapter.name == name)
    }

    /// The one that speaks as the client does, for upstreams of which nothing else is written.
    #[must_use]
    pub fn of_shape(shape: TaskShape) -> &'static str {
        match shape {
            TaskShape::Videos => "openai_videos",
            TaskShape::Generations => "submit_poll",
            TaskShape::Images => "openai_images",
        }
    }

    /// A path with the upstream's id in it; `None` if the id could change the path.
    #[must_use]
    pub fn path(pattern: &str, id: &str) -> Option<String> {
        let tame = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b)) && !id.contains("..");
        tame.then(|| pattern.replace("{id}", id))
    }
}
