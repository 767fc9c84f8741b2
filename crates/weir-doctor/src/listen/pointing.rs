//! How to point the usual clients at the doctor's address: the settings by their names.

use std::fmt::Write;

use weir_core::Lang;

use super::script::Script;
use crate::report::both;

/// How to point clients at `base_url`, which ends in `/v1`.
#[must_use]
pub fn how_to(base_url: &str, default: Script, lang: Lang) -> String {
    let root = base_url.trim_end_matches("/v1");
    let port = root.rsplit(':').next().unwrap_or_default();
    let scripts = Script::ALL.iter().fold(String::new(), |mut text, script| {
        let mark = if *script == default { "*" } else { " " };
        let _ = writeln!(text, "  {mark} {:<15}{}", script.model(), script.meaning(lang));
        text
    });
    let said = both!(
        "客户端诊断在 {base_url} 等待,停止并看报告:Ctrl-C

把客户端的 Base URL 改成它,Key 随便填一个(不会被保存),再像平时一样发一句话:
  OpenAI SDK        OPENAI_BASE_URL={base_url} OPENAI_API_KEY=test,或 base_url=\"{base_url}\"(Node 写 baseURL)
  LangChain         ChatOpenAI(base_url=\"{base_url}\", api_key=\"test\")
  Vercel AI SDK     createOpenAICompatible({{ name: \"doctor\", baseURL: \"{base_url}\" }})
  Anthropic SDK     ANTHROPIC_BASE_URL={root} ANTHROPIC_API_KEY=test
  Open WebUI        管理员设置 → 外部连接 → OpenAI API → +,URL 填 {base_url};Open WebUI 在 Docker 里时见下
  Cherry Studio     设置 → 模型服务 → 添加(OpenAI)→ API 地址填 {root}
  其他应用          找名为 Base URL、API Host、API 地址或代理地址的设置;填 {base_url},若它自己补 /v1 就填 {root}
  浏览器            打开 {root}/ 直接在这个浏览器里测
  curl              curl -N {base_url}/chat/completions --json '{{\"model\":\"doctor-chat\",\"stream\":true,\"messages\":[]}}'
客户端在容器里时,它看不到这里的 127.0.0.1:用 --listen 0.0.0.0:{port} 重新运行,地址用 http://host.docker.internal:{port}/v1

模型名决定怎样应答(带 * 的用于其他任何模型名):
{scripts}",
        "the client probe waits at {base_url}; to stop and read the report: Ctrl-C

Make it your client's base URL, with any key (none is kept), and send a message as usual:
  OpenAI SDKs       OPENAI_BASE_URL={base_url} OPENAI_API_KEY=test, or base_url=\"{base_url}\" (Node: baseURL)
  LangChain         ChatOpenAI(base_url=\"{base_url}\", api_key=\"test\")
  Vercel AI SDK     createOpenAICompatible({{ name: \"doctor\", baseURL: \"{base_url}\" }})
  Anthropic SDKs    ANTHROPIC_BASE_URL={root} ANTHROPIC_API_KEY=test
  Open WebUI        Admin Settings → Connections → OpenAI → +, URL {base_url}; if it runs in Docker, see below
  Cherry Studio     Settings → Model Provider → Add (OpenAI) → API Host {root}
  other apps        look for a setting called Base URL, API Host or API Proxy: {base_url}, or {root} if the app adds /v1 itself
  a browser         open {root}/ to test this browser itself
  curl              curl -N {base_url}/chat/completions --json '{{\"model\":\"doctor-chat\",\"stream\":true,\"messages\":[]}}'
A client in a container cannot see this 127.0.0.1: run again with --listen 0.0.0.0:{port} and use http://host.docker.internal:{port}/v1

The model's name decides how it is answered (the one with * holds for any other name):
{scripts}"
    );
    said.in_lang(lang).to_owned()
}
