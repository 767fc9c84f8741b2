//! The paths that weir serves, and the API family each speaks.

use serde::{Deserialize, Serialize};

use crate::TaskShape;

/// One data-plane path, without ids and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    ChatCompletions,
    Completions,
    Responses,
    Messages,
    Embeddings,
    Moderations,
    Rerank,
    AudioSpeech,
    AudioTranscriptions,
    AudioTranslations,
    ImageGenerations,
    ImageEdits,
    /// Video jobs in OpenAI's shape; also `/v1/videos/{id}/remix`.
    Videos,
    /// Video jobs in the shape that is submitted, then asked for.
    VideoGenerations,
    /// The list, or one model of it.
    Models,
    /// A path that weir does not know; recorded, never forwarded.
    Unknown,
}

/// The form in which a family streams and reports errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `data: {chunk}` … `data: [DONE]`; errors as `data: {"error":{…}}`.
    Chat,
    /// The older text completions; streams and ends as chat does.
    Completions,
    /// Typed events that end with `response.completed|failed|incomplete`.
    Responses,
    /// Anthropic's events that end with `message_stop`; errors as `event: error`.
    Messages,
    /// Speech and transcripts: typed events that end with `speech.audio.done` or `transcript.text.done`.
    Audio,
    /// Pictures: typed events that end with `image_generation.completed` or `image_edit.completed`.
    Images,
    /// One answer, never a stream.
    Plain,
}

impl Route {
    pub const ALL: [Self; 16] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::Embeddings,
        Self::Moderations,
        Self::Rerank,
        Self::AudioSpeech,
        Self::AudioTranscriptions,
        Self::AudioTranslations,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::Videos,
        Self::VideoGenerations,
        Self::Models,
        Self::Unknown,
    ];

    /// The route of a path below `/v1`; `None` for paths that weir does not proxy.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        if path.strip_prefix("/v1/models/").is_some_and(|id| !id.is_empty() && !id.contains("..")) {
            return Some(Self::Models);
        }
        if path.strip_prefix("/v1/videos/").and_then(|rest| rest.strip_suffix("/remix")).is_some_and(|id| !id.contains('/')) {
            return Some(Self::Videos);
        }
        Self::ALL.into_iter().find(|route| route.path() == path && *route != Self::Unknown)
    }

    /// The path as records show it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Embeddings => "/v1/embeddings",
            Self::Moderations => "/v1/moderations",
            Self::Rerank => "/v1/rerank",
            Self::AudioSpeech => "/v1/audio/speech",
            Self::AudioTranscriptions => "/v1/audio/transcriptions",
            Self::AudioTranslations => "/v1/audio/translations",
            Self::ImageGenerations => "/v1/images/generations",
            Self::ImageEdits => "/v1/images/edits",
            Self::Videos => "/v1/videos",
            Self::VideoGenerations => "/v1/video/generations",
            Self::Models => "/v1/models",
            Self::Unknown => "unknown",
        }
    }

    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::ChatCompletions => Dialect::Chat,
            Self::Completions => Dialect::Completions,
            Self::Responses => Dialect::Responses,
            Self::Messages => Dialect::Messages,
            Self::AudioSpeech | Self::AudioTranscriptions => Dialect::Audio,
            Self::ImageGenerations | Self::ImageEdits => Dialect::Images,
            _ => Dialect::Plain,
        }
    }

    /// The kind of work, as evidence names it.
    #[must_use]
    pub fn task_type(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Messages => "chat",
            Self::Embeddings => "embedding",
            Self::Moderations => "moderation",
            Self::Rerank => "rerank",
            Self::AudioSpeech | Self::AudioTranscriptions | Self::AudioTranslations => "audio",
            Self::ImageGenerations | Self::ImageEdits => "image",
            Self::Videos | Self::VideoGenerations => "video",
            Self::Models | Self::Unknown => "other",
        }
    }

    /// Whether a POST to it may submit a task.
    #[must_use]
    pub fn may_be_a_task(self) -> bool {
        self.task().is_some() || matches!(self, Self::ImageGenerations | Self::ImageEdits)
    }

    /// The shape of the task that every POST to it submits.
    #[must_use]
    pub fn task(self) -> Option<TaskShape> {
        match self {
            Self::Videos => Some(TaskShape::Videos),
            Self::VideoGenerations => Some(TaskShape::Generations),
            _ => None,
        }
    }
}
