//! The closed words of a report, in both languages.

use std::time::Duration;

use weir_client::probe::TlsFault;
use weir_core::{Owner, RetryWord, evidence::Confidence, verdict::Lang};

use super::{Bilingual, Status, both};

/// Who mends it.
#[must_use]
pub fn owner(owner: Owner) -> Bilingual {
    let (zh, en) = match owner {
        Owner::User => ("你(调用方)", "you, the caller"),
        Owner::Network => ("网络或代理的管理者", "whoever runs the network or proxy"),
        Owner::Gateway => ("网关的管理者", "whoever runs the gateway"),
        Owner::Upstream => ("上游服务商", "the upstream provider"),
        Owner::Support => ("客服", "support"),
    };
    Bilingual::new(zh, en)
}

/// What may be done about it without a person.
#[must_use]
pub fn retry(word: RetryWord) -> Bilingual {
    let (zh, en) = match word {
        RetryWord::Fix => ("改好之前不要重试", "no retry before it is mended"),
        RetryWord::HintOnce => ("到 resetAt 或 Retry-After 之后重试一次", "once, after resetAt or Retry-After"),
        RetryWord::Backoff(times) => {
            return both!("最多重试 {times} 次,间隔递增并带随机", "at most {times} retries, with growing random waits");
        }
        RetryWord::Slow => ("并发减半,暂停,再从游标继续", "halve the concurrency, pause, resume from the cursor"),
        RetryWord::Ask => ("先查状态,不要重新提交", "ask for the state first, never submit again"),
        RetryWord::UnsentOnce => ("确认没有送达才重试一次", "once, only if nothing was delivered"),
        RetryWord::Split => ("给每个调用方单独的 key,找出是谁", "give every caller a key of its own, find the caller"),
        RetryWord::Hand => ("由人决定", "a person decides"),
        RetryWord::ByCode => ("按流里的错误码", "as the code inside the stream says"),
        RetryWord::Nothing => ("无需处理", "nothing to do"),
    };
    Bilingual::new(zh, en)
}

/// How sure a finding is.
#[must_use]
pub fn confidence(sure: Confidence, lang: Lang) -> &'static str {
    match (sure, lang) {
        (Confidence::Certain, Lang::Zh) => "确定",
        (Confidence::Likely, Lang::Zh) => "很可能",
        (Confidence::Guess, Lang::Zh) => "可能",
        (Confidence::Certain, Lang::En) => "certain",
        (Confidence::Likely, Lang::En) => "likely",
        (Confidence::Guess, Lang::En) => "guess",
    }
}

/// How a probe stands, for a column.
#[must_use]
pub fn status(status: Status, lang: Lang) -> &'static str {
    match (status, lang) {
        (Status::Ok, Lang::Zh) => "通过",
        (Status::Info, Lang::Zh) => "提示",
        (Status::Warn, Lang::Zh) => "注意",
        (Status::Unknown, Lang::Zh) => "未知",
        (Status::Fail, Lang::Zh) => "失败",
        (Status::Ok, Lang::En) => "ok",
        (Status::Info, Lang::En) => "info",
        (Status::Warn, Lang::En) => "warn",
        (Status::Unknown, Lang::En) => "?",
        (Status::Fail, Lang::En) => "FAIL",
    }
}

/// Why TLS did not come to stand, in a word.
#[must_use]
pub fn tls(why: TlsFault) -> Bilingual {
    let (zh, en) = match why {
        TlsFault::Expired => ("证书已过期", "the certificate has expired"),
        TlsFault::NotYetValid => ("证书还没生效", "the certificate is not valid yet"),
        TlsFault::WrongName => ("证书不是给这个域名的", "the certificate is for another name"),
        TlsFault::SelfSigned => ("证书是自签名的", "the certificate is self-signed"),
        TlsFault::Untrusted => ("证书的签发者不受信任", "the certificate's issuer is not trusted"),
        TlsFault::Unfit => ("证书不能用作服务器证书", "the certificate is none for a server"),
        TlsFault::Handshake => ("TLS 握手失败", "the TLS handshake failed"),
        TlsFault::NoRoots => ("本机没有根证书", "this machine has no root certificates"),
    };
    Bilingual::new(zh, en)
}

/// `3 ms`, `0.8 s`, `41 s`.
#[must_use]
pub fn span(span: Duration, lang: Lang) -> String {
    let ms = span.as_millis();
    let unit = |zh, en| if lang == Lang::Zh { zh } else { en };
    match ms {
        0..200 => format!("{ms} {}", unit("毫秒", "ms")),
        200..10_000 => format!("{}.{} {}", ms / 1000, ms % 1000 / 100, unit("秒", "s")),
        _ => format!("{} {}", (ms + 500) / 1000, unit("秒", "s")),
    }
}

/// A stable word for a sentence of the catalogue: its first English words, without what says "don't".
#[must_use]
pub fn slug(sentence: &str) -> String {
    const LONGEST: usize = 48;
    let bare = sentence.strip_prefix("don't ").or_else(|| sentence.strip_prefix("do not ")).unwrap_or(sentence);
    let mut slug = String::new();
    for word in bare.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if slug.len() + word.len() >= LONGEST {
            break;
        }
        if !slug.is_empty() {
            slug.push('_');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    slug
}

#[cfg(test)]
mod tests {
    use weir_core::Verdict;

    use super::*;

    #[test]
    fn every_sentence_of_the_catalogue_has_a_word_of_its_own() {
        for verdict in Verdict::ALL {
            let words = verdict.words(Lang::En);
            let slugs: Vec<String> = words.check_first.iter().map(|step| slug(step)).collect();
            let mut unique = slugs.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), slugs.len(), "{verdict}: {slugs:?}");
            assert!(slugs.iter().chain([&slug(words.never)]).all(|slug| slug.len() > 3), "{verdict}");
        }
    }

    #[test]
    fn a_time_is_told_as_people_tell_it() {
        for (ms, en) in [(3, "3 ms"), (842, "0.8 s"), (5_950, "5.9 s"), (40_600, "41 s")] {
            assert_eq!(span(Duration::from_millis(ms), Lang::En), en);
        }
    }
}
