//! Reads a list of models, picks a sensible one, and finds the nearest name to a wrong one.

use serde_json::Value;

use crate::report::{Bilingual, both};

/// Names that are looked at; the longest known list has under a thousand.
const MODELS_MAX: usize = 5_000;
/// Words in names of models that do not chat, or cost much.
const NOT_CHAT: [&str; 30] = [
    "image",
    "dall-e",
    "sora",
    "video",
    "veo",
    "tts",
    "whisper",
    "audio",
    "speech",
    "transcribe",
    "embed",
    "bge-",
    "rerank",
    "moderation",
    "realtime",
    "ocr",
    "guard",
    "flux",
    "stable-diffusion",
    "midjourney",
    "kling",
    "suno",
    "wan2",
    "seedream",
    "seedance",
    "imagen",
    "search",
    "computer-use",
    "babbage",
    "davinci",
];
/// Words in names of small and cheap models, the likelier first.
const SMALL: [&str; 12] =
    ["mini", "flash", "haiku", "nano", "lite", "small", "turbo", "-8b", "-7b", "deepseek-chat", "qwen-plus", "instruct"];
/// Words of models that think long before they answer.
const THINKING: [&str; 7] = ["o1", "o3", "o4", "reason", "thinking", "-r1", "qwq"];

/// The names of a list in OpenAI's, Anthropic's or a bare form. `None`: it is no list.
#[must_use]
pub(crate) fn names(body: &[u8]) -> Option<Vec<String>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let items = ["data", "models"].iter().find_map(|name| value.get(name)?.as_array()).or_else(|| value.as_array())?;
    let name = |item: &Value| {
        ["id", "name", "model"].iter().find_map(|field| item.get(field)?.as_str()).or_else(|| item.as_str()).map(str::to_owned)
    };
    Some(items.iter().take(MODELS_MAX).filter_map(name).filter(|name| is_tame(name)).collect())
}

/// As records may hold it.
pub(crate) fn is_tame(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:@/=,-+".contains(&byte))
}

/// Whether a model makes pictures, sound or vectors, so that a chat would be refused or dear.
#[must_use]
pub(crate) fn is_media(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !lower.starts_with("sim:") && NOT_CHAT.iter().take(24).any(|word| lower.contains(word))
}

/// A model to ask where nobody named one, and why this.
#[must_use]
pub(crate) fn pick(names: &[String]) -> Option<(String, Bilingual)> {
    let chats: Vec<&String> = names
        .iter()
        .filter(|name| {
            let lower = name.to_ascii_lowercase();
            !NOT_CHAT.iter().any(|word| lower.contains(word)) && !lower.starts_with("sim:")
        })
        .collect();
    let quick = |name: &&&String| !THINKING.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let small = SMALL.iter().find_map(|word| chats.iter().filter(quick).find(|name| name.to_ascii_lowercase().contains(word)));
    if let Some(name) = small {
        return Some(((*name).clone(), both!("列表中较小的对话模型", "a small chat model of the list")));
    }
    let any = chats.iter().find(quick).or(chats.first())?;
    Some(((*any).clone(), both!("列表中的第一个对话模型", "the first chat model of the list")))
}

/// Longest name of a model, as in the evidence record.
const NAME_CHARS: usize = 128;

/// The name in the list that a slip may have meant.
#[must_use]
pub(crate) fn nearest(names: &[String], wanted: &str) -> Option<String> {
    // The distance of two long texts would be dear, and no name is so long.
    let wanted: String = wanted.chars().take(NAME_CHARS).collect::<String>().to_ascii_lowercase();
    let near = |name: &&String| {
        let name = name.to_ascii_lowercase();
        // What holds the other is nearer than any that only resembles it.
        if name.contains(&wanted) || wanted.contains(&name) { 1 } else { strsim::levenshtein(&wanted, &name) }
    };
    // A list may hold anything; what a report repeats of it must look like a name.
    let best = names.iter().filter(|name| name.len() <= NAME_CHARS && crate::report::is_public(name)).min_by_key(near)?;
    (near(&best) <= (wanted.len() / 3).clamp(2, 8)).then(|| best.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_model_is_picked_that_chats_and_costs_little() {
        for (names, picked) in [
            (&["dall-e-3", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small"][..], Some("gpt-4o-mini")),
            (&["sora-2", "gemini-2.5-flash-image", "gemini-2.5-flash"], Some("gemini-2.5-flash")),
            (&["o3-mini", "gpt-4o"], Some("gpt-4o")),
            (&["claude-opus-4-1", "claude-haiku-4-5"], Some("claude-haiku-4-5")),
            (&["my-model"], Some("my-model")),
            (&["whisper-1", "bge-m3", "tts-1"], None),
            (&[], None),
        ] {
            assert_eq!(pick(&list(names)).map(|(name, _)| name).as_deref(), picked, "{names:?}");
        }
    }

    #[test]
    fn every_usual_form_of_a_list_is_read() {
        for body in [r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#, r#"{"models":[{"name":"a"},{"name":"b"}]}"#, r#"["a","b"]"#] {
            assert_eq!(names(body.as_bytes()), Some(list(&["a", "b"])), "{body}");
        }
        assert_eq!(names(b"<html>"), None);
        assert_eq!(names(b"{\"error\":{}}"), None);
    }

    #[test]
    fn the_nearest_name_is_near_or_none() {
        let names = list(&["gpt-4o-mini", "gpt-4o", "deepseek-chat"]);
        assert_eq!(nearest(&names, "gpt4o-mini").as_deref(), Some("gpt-4o-mini"));
        assert_eq!(nearest(&names, "deepseek-chatt").as_deref(), Some("deepseek-chat"));
        assert_eq!(nearest(&names, "llama-3.3-70b"), None);
    }

    #[test]
    fn media_models_are_known_by_their_names() {
        assert!(["sora-2", "dall-e-3", "text-embedding-3-small", "gpt-image-1"].iter().all(|name| is_media(name)));
        assert!(!["gpt-4o-mini", "claude-sonnet-4-5", "sim:ok", "gpt-4o-search-preview"].iter().any(|name| is_media(name)));
    }
}
