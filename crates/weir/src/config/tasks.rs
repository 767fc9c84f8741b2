//! `[tasks]`: how image and video jobs are kept, and how an upstream is spoken to about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{TaskTerms, task::AtDeadline};
use weir_wire::tasks::Adapter;

use super::{ReplayStore, Size, Span};

/// How image and video jobs are followed, and what becomes of one that is submitted twice.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tasks {
    /// A job that equals one of the same key, within ten minutes and without an `Idempotency-Key`.
    pub(crate) duplicates: Duplicates,
    /// The first wait between two looks at a job; each wait is half as long again.
    pub(crate) first_look: Span,
    /// No wait between two looks is longer.
    pub(crate) last_look: Span,
    /// How long after its submission a job is given up.
    pub(crate) deadline: Span,
    /// How long a job whose answer was lost is looked for at an upstream that does not show it.
    pub(crate) unconfirmed: Span,
    /// What becomes of the charge of a job that nobody could tell the end of.
    pub(crate) at_deadline: Deadline,
    /// Where pictures are kept for a day that their client did not want to wait for: `disk`, where only the key of who asked for one opens it, or `memory`.
    pub(crate) results: ReplayStore,
    /// All of them on the disk together; the oldest go first.
    pub(crate) results_bytes: Size,
}

impl Default for Tasks {
    fn default() -> Self {
        let terms = TaskTerms::default();
        Self {
            duplicates: Duplicates::Warn,
            first_look: Span(terms.first_look),
            last_look: Span(terms.last_look),
            deadline: Span(terms.deadline),
            unconfirmed: Span(terms.unconfirmed),
            at_deadline: Deadline::Release,
            // What was paid for must outlive a restart; nobody else can read it.
            results: ReplayStore::Disk,
            results_bytes: Size(1 << 30),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Duplicates {
    /// It is submitted, and a header names the earlier one.
    #[default]
    Warn,
    /// It is refused with 409.
    Refuse,
    /// It is answered with the earlier one.
    Join,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deadline {
    /// It is given back.
    #[default]
    Release,
    /// What was asked for is charged.
    Charge,
}

/// How an upstream is spoken to about video jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TaskAdapter {
    /// OpenAI's `/v1/videos`.
    OpenaiVideos,
    /// `/v1/video/generations`: submit, then ask. A job whose answer was lost cannot be asked for.
    SubmitPoll,
    /// Volcengine Ark's `/contents/generations/tasks`; a lost job is found in its list.
    Ark,
    /// DashScope's `/services/aigc/video-generation/video-synthesis` and `/tasks`; a lost job is found in its list.
    Dashscope,
    /// Kling's `/videos/text2video`; a lost job is asked for by the name that weir gave to it.
    #[serde(rename = "kling_text2video")]
    KlingText,
    /// The same for `/videos/image2video`.
    #[serde(rename = "kling_image2video")]
    KlingImage,
}

impl TaskAdapter {
    pub(crate) fn adapter(self) -> Option<&'static Adapter> {
        Adapter::of_name(match self {
            Self::OpenaiVideos => "openai_videos",
            Self::SubmitPoll => "submit_poll",
            Self::Ark => "ark",
            Self::Dashscope => "dashscope",
            Self::KlingText => "kling_text2video",
            Self::KlingImage => "kling_image2video",
        })
    }
}

impl Tasks {
    pub(crate) fn gateway(&self) -> weir_gateway::Tasks {
        weir_gateway::Tasks {
            terms: TaskTerms {
                first_look: self.first_look.0,
                last_look: self.last_look.0,
                deadline: self.deadline.0,
                unconfirmed: self.unconfirmed.0,
                at_deadline: match self.at_deadline {
                    Deadline::Release => AtDeadline::Release,
                    Deadline::Charge => AtDeadline::Charge,
                },
            },
            duplicates: match self.duplicates {
                Duplicates::Warn => weir_gateway::Duplicates::Warn,
                Duplicates::Refuse => weir_gateway::Duplicates::Refuse,
                Duplicates::Join => weir_gateway::Duplicates::Join,
            },
            result_bytes: (self.results == ReplayStore::Disk).then_some(self.results_bytes.0),
        }
    }
}
