//! How each kind of task upstream is spoken to: paths, where things stand in its answers, and what its words mean.

use bytes::Bytes;
use serde_json::{Map, Value};
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
    /// Header lines that a submission needs beside the client's.
    pub headers: &'static [(&'static str, &'static str)],
    /// The field of a submission in which its sender names the job; `look` finds the job by that name, too.
    pub own_name: Option<&'static str>,
    /// The newest jobs, for finding one whose answer was lost. With neither this nor `own_name` such a task ends unknown.
    pub list: Option<&'static str>,
    /// Where a list has its jobs, as a JSON pointer, and where a job says when it was taken.
    pub(super) jobs: &'static str,
    pub(super) created: &'static [&'static str],
    /// Whether a list says as much of a job as a look at it does; else what it says is no end.
    pub list_tells: bool,
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

/// What is said of no upstream.
const NONE: Adapter = Adapter {
    name: "",
    submit: "",
    look: "",
    headers: &[],
    own_name: None,
    list: None,
    jobs: "",
    created: &[],
    list_tells: false,
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
};

/// Kling's paths differ by what a video is made of.
const KLING: Adapter = Adapter {
    own_name: Some("external_task_id"),
    id: &["/data/task_id"],
    status: &["/data/task_status"],
    seconds: &["/data/task_result/videos/0/duration"],
    url: &["/data/task_result/videos/0/url"],
    fault_code: &["/code"],
    fault_text: &["/data/task_status_msg"],
    ..NONE
};

/// All of them.
pub const ADAPTERS: [Adapter; 7] = [
    Adapter {
        name: "openai_videos",
        submit: "/videos",
        look: "/videos/{id}",
        list: Some("/videos?limit=100&order=desc"),
        jobs: "/data",
        created: &["/created_at", "/created"],
        list_tells: true,
        content: Some("/videos/{id}/content"),
        deletes: true,
        remix: Some("/videos/{id}/remix"),
        id: &["/id"],
        status: &["/status"],
        progress: &["/progress"],
        seconds: &["/seconds"],
        model: &["/model"],
        fault_code: &["/error/code"],
        fault_text: &["/error/message"],
        ..NONE
    },
    // Relays that share this path list nothing and take no name of the client's: a job whose answer was lost cannot be asked for.
    Adapter {
        name: "submit_poll",
        submit: "/video/generations",
        look: "/video/generations/{id}",
        id: &["/task_id", "/id", "/data/task_id", "/output/task_id"],
        status: &["/status", "/data/status", "/task_status", "/data/task_status", "/output/task_status"],
        progress: &["/progress", "/data/progress"],
        seconds: &["/metadata/duration", "/duration", "/seconds", "/data/duration", "/usage/video_duration"],
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
        ..NONE
    },
    // Volcengine Ark: `GET /contents/generations/tasks` lists the jobs of the last seven days.
    Adapter {
        name: "ark",
        submit: "/contents/generations/tasks",
        look: "/contents/generations/tasks/{id}",
        list: Some("/contents/generations/tasks?page_num=1&page_size=100"),
        jobs: "/items",
        created: &["/created_at"],
        list_tells: true,
        id: &["/id"],
        status: &["/status"],
        seconds: &["/duration"],
        model: &["/model"],
        url: &["/content/video_url"],
        fault_code: &["/error/code"],
        fault_text: &["/error/message"],
        ..NONE
    },
    // DashScope: `GET /tasks/` lists the jobs of the last 24 hours, by state and time only.
    Adapter {
        name: "dashscope",
        submit: "/services/aigc/video-generation/video-synthesis",
        look: "/tasks/{id}",
        headers: &[("x-dashscope-async", "enable")],
        list: Some("/tasks/?page_no=1&page_size=50"),
        jobs: "/data",
        created: &["/gmt_create"],
        id: &["/output/task_id", "/task_id"],
        status: &["/output/task_status", "/status"],
        seconds: &["/usage/video_duration", "/usage/duration"],
        model: &["/model_name"],
        url: &["/output/video_url"],
        fault_code: &["/output/code"],
        fault_text: &["/output/message"],
        ..NONE
    },
    Adapter { name: "kling_text2video", submit: "/videos/text2video", look: "/videos/text2video/{id}", ..KLING },
    Adapter { name: "kling_image2video", submit: "/videos/image2video", look: "/videos/image2video/{id}", ..KLING },
    Adapter { name: "openai_images", ..NONE },
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

    /// Whether a job whose answer was lost can be asked for.
    #[must_use]
    pub fn finds_lost(&self) -> bool {
        self.list.is_some() || self.own_name.is_some()
    }

    /// A submission that says by which name its job can be asked for; unchanged where the upstream takes none, and where the client gave one.
    #[must_use]
    pub fn named(&self, body: &Bytes, name: &str) -> Bytes {
        let Some(field) = self.own_name else { return body.clone() };
        let object: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
        let (Some(object), Some(at)) = (object, body.iter().position(|byte| *byte == b'{')) else { return body.clone() };
        if object.contains_key(field) {
            return body.clone();
        }
        let comma = if object.is_empty() { "" } else { "," };
        let said = format!("{}:{}{comma}", Value::from(field), Value::from(name));
        [&body[..=at], said.as_bytes(), &body[at + 1..]].concat().into()
    }

    /// A path with the upstream's id in it; `None` if the id could change the path.
    #[must_use]
    pub fn path(pattern: &str, id: &str) -> Option<String> {
        let tame = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b)) && !id.contains("..");
        tame.then(|| pattern.replace("{id}", id))
    }
}
