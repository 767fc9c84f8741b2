//! What a key and a base URL look like before they are used. Nothing of the key is kept.

use weir_core::verdict::Lang;

/// What is wrong with the way a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFlaw {
    Space,
    Newline,
    Quote,
    FullWidth,
    Bearer,
    Mask,
    NotAscii,
}

impl KeyFlaw {
    /// What people call it.
    #[must_use]
    pub fn words(self, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::Space => ("有空格", "a space"),
            Self::Newline => ("有换行", "a line break"),
            Self::Quote => ("有引号", "a quote"),
            Self::FullWidth => ("有全角字符", "full-width characters"),
            Self::Bearer => ("多了 “Bearer ”", "the word \"Bearer\""),
            Self::Mask => ("是掩码,不是 Key 本身", "a mask in place of the key"),
            Self::NotAscii => ("有不能发送的字符", "characters that cannot be sent"),
        };
        if lang == Lang::Zh { zh } else { en }
    }
}

/// What is wrong with the way a base URL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlFlaw {
    NoScheme,
    DoubleVersion,
    Endpoint,
    Space,
    NoHost,
    Extra,
}

impl UrlFlaw {
    /// What people call it.
    #[must_use]
    pub fn words(self, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::NoScheme => ("缺少 http:// 或 https://", "it has no http:// or https://"),
            Self::DoubleVersion => ("/v1 重复了", "it has /v1 twice"),
            Self::Endpoint => ("后面多了接口路径", "it has an endpoint's path at its end"),
            Self::Space => ("有空格或换行", "it has a space or a line break"),
            Self::NoHost => ("没有主机名", "it has no host"),
            Self::Extra => ("带有用户名、参数或 #", "it carries a user, a query or a #"),
        };
        if lang == Lang::Zh { zh } else { en }
    }
}

/// Paths that clients add by themselves.
const ENDPOINTS: [&str; 6] = ["/chat/completions", "/completions", "/responses", "/messages", "/models", "/embeddings"];

/// What is wrong with a key, if anything.
#[must_use]
pub fn key_flaws(key: &str) -> Vec<KeyFlaw> {
    let mut flaws = Vec::new();
    let mut add = |is_so: bool, flaw| {
        if is_so {
            flaws.push(flaw);
        }
    };
    let bare = key.trim_matches(['"', '\'', ' ', '\n', '\r', '\t']);
    let is_bearer = bare.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
    let rest = if is_bearer { bare[7..].trim() } else { bare };
    add(is_bearer, KeyFlaw::Bearer);
    add(key.contains(['\n', '\r']), KeyFlaw::Newline);
    add(
        rest.contains([' ', '\t']) || key.trim_matches(['\n', '\r']).starts_with(' ') || key.trim_matches(['\n', '\r']).ends_with(' '),
        KeyFlaw::Space,
    );
    add(key.contains(['"', '\'', '`', '“', '”', '‘', '’']), KeyFlaw::Quote);
    add(key.chars().any(|c| matches!(c, '\u{3000}' | '\u{ff01}'..='\u{ff5e}')), KeyFlaw::FullWidth);
    add(rest.contains('…') || rest.contains("...") || rest.contains("***") || rest.contains("•••"), KeyFlaw::Mask);
    let known = |c: char| matches!(c, '“' | '”' | '‘' | '’' | '…' | '•' | '\u{3000}' | '\u{ff01}'..='\u{ff5e}' | '\n' | '\r' | '\t');
    add(key.chars().any(|c| !known(c) && (!c.is_ascii() || c.is_ascii_control())), KeyFlaw::NotAscii);
    flaws
}

/// What is wrong with a base URL, and a form that would do.
#[must_use]
pub fn url_flaw(url: &str) -> Option<(UrlFlaw, Option<String>)> {
    let trimmed = url.trim();
    let flaw = if url.chars().any(char::is_whitespace) {
        UrlFlaw::Space
    } else if !trimmed.starts_with("http://") && !trimmed.starts_with("https://") {
        UrlFlaw::NoScheme
    } else if trimmed.contains(['@', '?', '#']) {
        UrlFlaw::Extra
    } else if trimmed.split_once("://").is_none_or(|(_, rest)| rest.is_empty() || rest.starts_with(['/', ':'])) {
        UrlFlaw::NoHost
    } else if trimmed.contains("/v1/v1") {
        UrlFlaw::DoubleVersion
    } else if ENDPOINTS.iter().any(|end| trimmed.trim_end_matches('/').ends_with(end)) {
        UrlFlaw::Endpoint
    } else {
        return None;
    };
    Some((flaw, suggestion(url)))
}

/// The same address, written as it should be. `None` where there is no host to begin with.
fn suggestion(url: &str) -> Option<String> {
    let bare: String = url.chars().filter(|c| !c.is_whitespace()).collect();
    let (scheme, rest) = match bare.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some((_, rest)) => ("https", rest),
        // On this machine there is rarely TLS.
        None if ["localhost", "127.", "0.0.0.0", "[::1]"].iter().any(|host| bare.starts_with(host)) => ("http", bare.as_str()),
        None => ("https", bare.as_str()),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let mut rest = rest.trim_end_matches('/').to_owned();
    while let Some(end) = ENDPOINTS.iter().find(|end| rest.ends_with(**end)) {
        rest.truncate(rest.len() - end.len());
    }
    while rest.contains("/v1/v1") {
        rest = rest.replace("/v1/v1", "/v1");
    }
    let has_host = rest.split('/').next().is_some_and(|host| !host.is_empty() && !host.starts_with(':'));
    has_host.then(|| if rest.contains('/') { format!("{scheme}://{rest}") } else { format!("{scheme}://{rest}/v1") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_copied_badly_is_told_why() {
        use KeyFlaw as F;
        let table: [(&str, &[F]); 9] = [
            ("sk-12345678abcdEFGH", &[]),
            (" sk-12345678abcdEFGH", &[F::Space]),
            ("sk-12345678 abcdEFGH", &[F::Space]),
            ("sk-12345678abcdEFGH\n", &[F::Newline]),
            ("\"sk-12345678abcdEFGH\"", &[F::Quote]),
            ("Bearer sk-12345678abcdEFGH", &[F::Bearer]),
            ("sk-1234…5678", &[F::Mask]),
            ("sk-***5678", &[F::Mask]),
            ("ｓｋ－12345678", &[F::FullWidth]),
        ];
        for (key, flaws) in table {
            assert_eq!(key_flaws(key), flaws, "{key:?}");
        }
        assert_eq!(key_flaws("sk-密钥12345678"), [F::NotAscii]);
    }

    #[test]
    fn a_base_url_gets_a_form_that_would_do() {
        let table = [
            ("https://api.example.com/v1", None),
            ("http://127.0.0.1:8787/v1/", None),
            ("https://api.example.com/openai", None),
            ("api.example.com/v1", Some("https://api.example.com/v1")),
            ("localhost:8787", Some("http://localhost:8787/v1")),
            ("https://api.example.com/v1/v1", Some("https://api.example.com/v1")),
            ("https://api.example.com/v1/chat/completions", Some("https://api.example.com/v1")),
            ("https://api.example.com/v1/chat/completions/", Some("https://api.example.com/v1")),
            ("https://api.example.com /v1", Some("https://api.example.com/v1")),
            ("https://u:p@api.example.com/v1?key=1", Some("https://api.example.com/v1")),
            ("https:///v1", None),
        ];
        for (url, expected) in table {
            let flaw = url_flaw(url);
            assert_eq!(flaw.as_ref().and_then(|(_, better)| better.as_deref()), expected, "{url}");
            assert_eq!(flaw.is_some(), expected.is_some() || url == "https:///v1", "{url}");
        }
    }
}
