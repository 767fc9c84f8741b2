//! Which program called: its own words in a header, the paths of its library in a traceback, its name in prose.

use super::{
    exchange::Exchange,
    pattern::{all, first, pattern},
};

type Client = Option<(String, Option<String>)>;

pattern!(AGENT, r"(?i)user-agent['\x22]?\s*[:=]\s*['\x22]?([A-Za-z][\w.@/-]*(?:[ /][\w./-]+)?)");
pattern!(
    NAMED,
    r"(?i)\b(Cherry ?Studio|NextChat|ChatGPT-Next-Web|LobeChat|Chatbox|Open ?WebUI|Dify|FastGPT|SillyTavern|Cursor|Cline|Roo ?Code|Claude Code|opencode|Continue|n8n|OpenCat|BotGem|AnythingLLM|LibreChat|ChatBox|Kilo ?Code|Codex|Aider|Raycast|Obsidian|Coze|RAGFlow|MaxKB|Bob)(?:\s*(?:v|版本|version)?\s*(\d+(?:\.\d+){1,3}))?"
);
pattern!(NAMED_ZH, r"(沉浸式翻译|酷狸猫|思源笔记|欧路词典)(?:\s*v?(\d+(?:\.\d+){1,3}))?");
pattern!(
    LIBRARY,
    r"(?i)\b((?:openai|anthropic|litellm|langchain[-_]\w+|httpx|requests|aiohttp|axios|okhttp|undici|reqwest|go-openai|spring-ai|langchain4j|llama[-_]index|dashscope|zhipuai|ai-sdk)(?:-(?:python|node|java|go))?)(?:==|[ /@]v?|-)(\d+\.\d+(?:\.\d+)?)"
);
pattern!(
    STACK,
    r#"site-packages[/\\](openai|anthropic|litellm|langchain_openai|httpx|requests|aiohttp|dashscope|zhipuai)[/\\]|node_modules[/\\](?:@)?(openai|anthropic-ai|langchain|ai-sdk|axios|undici)|\b(openai|anthropic|litellm)\.(?:\w+Error|error\.)|\bat (com\.openai|com\.theokanning|dev\.langchain4j|okhttp3|org\.springframework\.ai)\.|github\.com/(sashabaranov/go-openai|openai/openai-go)"#
);

/// The client's name with its version, and the library it calls with.
pub(super) fn of(text: &str, main: Option<&Exchange>) -> (Client, Option<String>) {
    let asked = main.and_then(|exchange| exchange.asked_header("user-agent"));
    let agent = asked.or_else(|| first(&AGENT, text)).and_then(of_agent);
    let named = || split(NAMED.as_ref()?, text).or_else(|| split(NAMED_ZH.as_ref()?, text));
    let library = || split(LIBRARY.as_ref()?, text);
    let sdk = library().map(|(name, version)| version.map_or(name.clone(), |version| format!("{name} {version}"))).or_else(|| stack(text));
    // A browser's words name no program of ours; what the person says does.
    let agent = agent
        .filter(|(name, _)| name != "Mozilla")
        .or_else(|| asked.filter(|a| a.starts_with("Mozilla")).map(|_| ("browser".to_owned(), None)));
    let client = match agent {
        Some(agent) if agent.0 == "browser" => named().or(Some(agent)),
        Some(agent) => Some(agent),
        None => named().or_else(library).or_else(|| stack(text).map(|name| (name, None))).or_else(|| curl(text)),
    };
    (client, sdk)
}

/// `OpenAI/Python 1.52.0`, `curl/8.5.0`, `axios/1.6.0`.
fn of_agent(agent: &str) -> Client {
    let mut words = agent.split_whitespace();
    let head = words.next()?;
    let (name, version) = head.split_once('/').map_or((head, None), |(name, version)| (name, Some(version)));
    match (version, words.next()) {
        (Some(language), Some(number)) if number.starts_with(|c: char| c.is_ascii_digit()) => {
            Some((format!("{name}/{language}"), Some(number.to_owned())))
        }
        (version, _) => Some((name.to_owned(), version.map(str::to_owned))),
    }
}

fn split(pattern: &regex::Regex, text: &str) -> Client {
    let found = pattern.captures(text)?;
    let version = found.get(2).map(|version| version.as_str().to_owned());
    Some((found.get(1)?.as_str().to_owned(), version))
}

/// Libraries that carry bytes for others.
const CARRIERS: [&str; 6] = ["httpx", "requests", "aiohttp", "axios", "undici", "okhttp3"];

fn stack(text: &str) -> Option<String> {
    let named = all(&STACK, text, 400);
    // A library of the API says more than the one that carries its bytes.
    let carries = |name: &&&str| !CARRIERS.contains(*name);
    let name = *named.iter().find(carries).or(named.first())?;
    Some(
        match name {
            "openai" if text.contains("node_modules") => "openai-node",
            "openai" => "openai-python",
            "anthropic" => "anthropic-python",
            "anthropic-ai" => "anthropic-node",
            "com.openai" | "com.theokanning" => "openai-java",
            "sashabaranov/go-openai" => "go-openai",
            other => other,
        }
        .to_owned(),
    )
}

fn curl(text: &str) -> Client {
    let named = |words: &[&str], name: &str| words.iter().any(|word| text.contains(word)).then(|| (name.to_owned(), None));
    named(&["curl: (", "curl "], "curl").or_else(|| named(&["node:internal", "(node:_"], "node"))
}
