//! What is kept of one task: typed facts, no prompt, no picture, no address of a result.

use serde::{Deserialize, Serialize};

use crate::{Amount, ChargeFacts, ChargeRule, Charged, KeyId, Price, RequestId, Timestamp, Usage, Verdict};

/// How far a task is. Its last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Its row is written; the upstream was not asked yet, or has taken it and not begun.
    Submitted,
    /// It was sent and no answer came: it is looked up, never sent again.
    Unconfirmed,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    /// The deadline passed and nobody could say what became of it.
    Unknown,
}

impl TaskState {
    pub const ALL: [Self; 7] =
        [Self::Submitted, Self::Unconfirmed, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Unknown];

    /// Whether it may still change.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Submitted | Self::Unconfirmed | Self::Running)
    }

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Unconfirmed => "unconfirmed",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// The API that a task was submitted by, and is told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskShape {
    /// OpenAI's `/v1/videos`.
    Videos,
    /// `/v1/video/generations`: submit, then ask.
    Generations,
    /// Pictures that their client did not want to wait for.
    Images,
}

impl TaskShape {
    /// What the ids of its tasks begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Videos => "video_",
            Self::Generations => "task_",
            Self::Images => "image_",
        }
    }
}

/// What a submission asks for, as far as it is paid for or told apart by it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskAsk {
    /// Seconds of video, if it names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Videos or images; 1 unless it names a number.
    pub count: u32,
    /// As `1280x720`, at most 16 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

/// Seconds held for a video that names none: the longest that OpenAI makes.
const UNASKED_MOST: u64 = 12;
/// Seconds charged for a video when neither the request nor the upstream names them: OpenAI's default.
const UNASKED: u64 = 4;

impl TaskAsk {
    /// The most that the task may use: what is held for it.
    #[must_use]
    pub fn most(&self) -> Usage {
        let count = u64::from(self.count.max(1));
        Usage { seconds: self.seconds.map_or(UNASKED_MOST, u64::from).saturating_mul(count), images: count, ..Usage::default() }
    }

    /// What it used where the upstream does not say.
    pub(super) fn usual(&self) -> Usage {
        let count = u64::from(self.count.max(1));
        Usage { seconds: self.seconds.map_or(UNASKED, u64::from).saturating_mul(count), images: count, ..Usage::default() }
    }
}

/// Why a task failed, as its upstream says. Only the code is kept: a text may quote what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFault {
    /// ≤ 64 characters of `[\w.-]`.
    pub code: String,
    /// ≤ 512 characters.
    pub text: String,
}

/// How often the upstream said what cannot be: ignored, and kept as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Oddities {
    /// It did not know its own id.
    pub missing: u32,
    /// It did not answer, or with nothing that says how far the task is.
    pub silent: u32,
    /// It named another model.
    pub other_model: u32,
    /// It said something else after the end.
    pub regressed: u32,
}

/// Everything that is kept of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The call that submitted it. The task's own id has the same digits.
    pub call: RequestId,
    pub kid: KeyId,
    pub account: String,
    pub shape: TaskShape,
    /// How its upstream is spoken to: the name of an adapter.
    pub adapter: String,
    /// `upstream/channel`.
    pub channel: String,
    /// The model as asked for, screened, ≤ 128 characters.
    pub model: String,
    pub ask: TaskAsk,
    pub state: TaskState,
    /// The upstream's own id, ≤ 128 characters of `[\w.:-]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_id: Option<String>,
    pub submitted: Timestamp,
    /// When it is given up, whatever its upstream says.
    pub deadline: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// When it is looked at next, and how often it was.
    pub next_look: Timestamp,
    pub looks: u32,
    /// When it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<Timestamp>,
    /// In percent.
    #[serde(default)]
    pub progress: u8,
    /// The price when it was submitted; a later one does not concern it.
    pub price: Price,
    pub charge: ChargeFacts,
    /// The code of why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    #[serde(default)]
    pub oddities: Oddities,
    /// The task of which this one repeats the request, within minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<RequestId>,
    /// Its owner deleted it: it is shown no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// The task whose video it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_of: Option<RequestId>,
}

impl TaskRecord {
    /// weir's own name for it.
    #[must_use]
    pub fn id(&self) -> String {
        Self::id_of(self.shape, self.call)
    }

    /// The name of the task that a call submitted.
    #[must_use]
    pub fn id_of(shape: TaskShape, call: RequestId) -> String {
        let call = call.to_string();
        format!("{}{}", shape.prefix(), call.trim_start_matches("wr_"))
    }

    /// The call that submitted the task of this name.
    #[must_use]
    pub fn call_of(shape: TaskShape, id: &str) -> Option<RequestId> {
        format!("wr_{}", id.strip_prefix(shape.prefix())?).parse().ok()
    }

    /// Whether its upstream refused it, or never heard of it: whoever submits it again repeats nothing.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.state == TaskState::Failed && self.upstream_id.is_none()
    }

    /// The charge of a task that is submitted: held until it ends.
    #[must_use]
    pub fn held(amount: Amount) -> ChargeFacts {
        ChargeFacts { charged: Charged::Pending, rule: ChargeRule::Task, held: amount, ..ChargeFacts::default() }
    }

    /// What support concludes from it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.state, self.charge.charged) {
            (TaskState::Unconfirmed, _) => Verdict::OutcomeUnknown,
            (TaskState::Submitted | TaskState::Running, _) => Verdict::TaskRunning,
            (TaskState::Unknown, _) => Verdict::TaskUnknown,
            (TaskState::Succeeded, _) => Verdict::Ok,
            (TaskState::Failed | TaskState::Cancelled, Charged::Yes) => Verdict::TaskFailedCharged,
            (TaskState::Failed | TaskState::Cancelled, _) => Verdict::TaskFailedFree,
        }
    }
}
