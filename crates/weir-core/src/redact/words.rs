//! What a name says about its value. Names are read by segments (snake, kebab, dots and camel), so `apiKey`,
//! `X-API-Key` and `OPENAI_API_KEY` are one thing, and `max_tokens`, `monkey` and `author` are another.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::engine::Kind;

/// How sure a name makes us that its value is private.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Whatever the value is.
    Strong(Kind),
    /// `token`: after `=` or in JSON whatever it is, in prose if it is dense.
    Token,
    /// `key`: only if the value is dense.
    Key,
    /// A prompt or an answer, known by its name alone.
    Content,
    /// A prompt or an answer when quoted as in JSON.
    QuotedContent,
    /// Money.
    Amount,
    /// Something that names a person.
    Person(Kind),
    /// Which upstream was used; hidden from the public.
    Routing,
}

/// Longer names are no names.
pub(super) const MAX_NAME_BYTES: usize = 128;

type Words = LazyLock<HashSet<&'static str>>;

fn words(text: &'static str) -> HashSet<&'static str> {
    text.split(' ').filter(|w| !w.is_empty()).collect()
}

/// A name that ends so tells about a secret instead of holding it.
static HARMLESS_TAILS: Words = LazyLock::new(|| {
    words(
        "id ids type types name names count counts limit limits usage expires expiry expired expiration expire ttl length len size \
     status state format prefix policy mode method version fp fingerprint masked mask group path file provider enabled required \
     valid invalid error errors code kind field fields header headers scheme per rate remaining reset at budget env source hint \
     min max window quota tokens details in algorithm alg index hits misses note warning missing seconds ms day days minute url \
     uri endpoint module class manager service filter wrapper exception failed failure check checks validation tier level scope \
     scopes owner alias position total bias schema template list event events item items",
    )
});
static HARMLESS_KEYS: Words = LazyLock::new(|| {
    words(
        "primary foreign cache idempotency partition sort public group sub row unique index candidate shard routing map dict object \
     message dedup dedupe i18n translation hot short config param query header field lock composite natural surrogate json missing \
     duplicate unknown invalid error no any each every another which limit rate bucket hash range this wrong same hidden pub \
     shared scan event trace up down tab enter escape press safety",
    )
});
static SECRET_KEYS: Words = LazyLock::new(|| {
    words(
        "api access secret private app account master encryption signing auth service client admin user upstream subscription session \
     license storage deploy ssh gpg aes rsa hmac webhook openai anthropic azure gemini google deepseek moonshot kimi qwen \
     dashscope zhipu relay provider claude grok mistral groq openrouter volc ark minimax siliconflow gateway server crypt \
     decryption functions host proxy system sts vault sas integration",
    )
});
static HARMLESS_TOKENS: Words = LazyLock::new(|| {
    words(
        "max per next page continuation stop eos bos pad first last end special input output completion prompt reasoning cached total \
     new each one unk mask sep cls unexpected syntax a every min audio image text sync start cost price to nft",
    )
});
static SECRET_TOKENS: Words = LazyLock::new(|| {
    words(
        "access auth refresh api bearer session security csrf xsrf bot device push admin user personal oauth app jwt sts github gitlab \
     hf id service account client management master secret vault slack npm root deploy webhook registry auth0 gateway upstream \
     private x",
    )
});
/// One word from two, as people write them without a border.
const JOINED: &str = "apikey apitoken secretkey accesskey accesstoken privatekey appsecret clientsecret password passwd authtoken authkey \
     sessiontoken refreshtoken passphrase appkey secretaccesskey sessionkey accountkey masterkey signingkey encryptionkey \
     sharedaccesskey bearertoken userpassword dbpassword adminpassword apisecret licensekey webhooksecret sharedaccesssignature \
     signkey";

/// Whether a Han word claims its value. Longest match wins in the caller's pattern.
pub(super) fn claim_of_han(word: &str) -> Option<Claim> {
    let claim = match word {
        "密钥" | "秘钥" | "私钥" | "密匙" => Claim::Strong(Kind::Key),
        "密码" | "口令" | "令牌" | "验证码" | "凭证" | "凭据" => Claim::Strong(Kind::Auth),
        "提示词" | "提示语" | "用户输入" | "用户提问" | "输入内容" | "对话内容" | "聊天内容" | "聊天记录" | "回答内容" | "模型输出"
        | "模型回答" | "系统提示" | "提问内容" | "请求内容" | "返回内容" => Claim::Content,
        "姓名" | "生日" | "出生日期" | "联系人" | "微信号" | "微信" | "收货地址" | "家庭住址" | "住址" | "护照号" | "护照"
        | "身份证号码" | "身份证号" | "身份证" | "银行卡号" | "银行卡" | "卡号" | "QQ号" | "用户名" | "身分證字號" | "身分證"
        | "身分证" | "车牌号" | "车牌" => Claim::Person(Kind::Id),
        "手机号码" | "手机号" | "手机" | "电话号码" | "电话" | "联系电话" | "联系方式" => Claim::Person(Kind::Phone),
        _ => return None,
    };
    Some(claim)
}

/// What `name` claims, if anything.
pub(super) fn claim_of(name: &str) -> Option<Claim> {
    let spaced = spaced(name);
    let mut segs: Vec<&str> = spaced.split(' ').filter(|s| !s.is_empty()).collect();
    // `key1`, `PASSWORD_2`: a number at the end changes nothing.
    while segs.len() > 1 && segs.last().is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit())) {
        segs.pop();
    }
    let last = segs.last()?.trim_end_matches(|c: char| c.is_ascii_digit());
    let before = segs.len().checked_sub(2).map(|i| segs[i]);
    content(&segs, last, before).or_else(|| personal(&segs, last, before)).or_else(|| credential(&segs, last, before))
}

fn credential(segs: &[&str], last: &str, before: Option<&str>) -> Option<Claim> {
    let has = |word: &str| segs.contains(&word);
    if has("cookie") || has("cookies") {
        return Some(Claim::Strong(Kind::Cookie));
    }
    if last == "authorization" {
        return Some(Claim::Strong(Kind::Auth));
    }
    if last == "id" && (has("access") && has("key") || before == Some("secret")) {
        return Some(Claim::Strong(Kind::Key));
    }
    if HARMLESS_TAILS.contains(last) {
        return match (before, last) {
            (Some("webhook" | "hook"), "url") | (Some("signed" | "presigned"), "url") => Some(Claim::Strong(Kind::Url)),
            _ => None,
        };
    }
    if JOINED.split(' ').any(|j| last.ends_with(j)) || last.len() > 6 && last.ends_with("secret") {
        return Some(Claim::Strong(if last.contains("key") { Kind::Key } else { Kind::Auth }));
    }
    match last {
        "password" | "passwd" | "pwd" | "passphrase" | "passcode" | "pw" | "secret" | "secrets" | "credential" | "credentials" | "jwt"
        | "otp" | "totp" | "bearer" | "csrf" | "xsrf" | "psk" | "requirepass" | "masterauth" | "sessionid" | "jsessionid" | "phpsessid" => {
            Some(Claim::Strong(Kind::Auth))
        }
        "signature" | "sig" | "hmac" | "dsn" => Some(Claim::Strong(Kind::Url)),
        "pass" | "sid" | "creds" if segs.len() > 1 => Some(Claim::Strong(Kind::Auth)),
        "keys" if before.is_some_and(|b| matches!(b, "api" | "secret" | "access" | "private")) => Some(Claim::Strong(Kind::Key)),
        "key" | "apikeys" => match before {
            Some(b) if HARMLESS_KEYS.contains(b) => None,
            Some(b) if SECRET_KEYS.contains(b) => Some(Claim::Strong(Kind::Key)),
            _ => Some(Claim::Key),
        },
        "token" => match before {
            Some(b) if HARMLESS_TOKENS.contains(b) => None,
            Some(b) if SECRET_TOKENS.contains(b) => Some(Claim::Strong(Kind::Auth)),
            _ => Some(Claim::Token),
        },
        // `csrftoken`, `usertoken`.
        joined if joined.len() > 5 && joined.ends_with("token") => Some(Claim::Token),
        "auth" | "session" => Some(Claim::Token),
        "connectionstring" | "connstr" => Some(Claim::Strong(Kind::Url)),
        "string" if before == Some("connection") => Some(Claim::Strong(Kind::Url)),
        "webhook" => Some(Claim::Strong(Kind::Url)),
        "cred" | "nonce" if has("auth") => Some(Claim::Strong(Kind::Auth)),
        _ => None,
    }
}

fn content(segs: &[&str], last: &str, before: Option<&str>) -> Option<Claim> {
    let claim = match last {
        "prompt" | "prompts" if before != Some("revised") || segs.len() == 2 => Claim::Content,
        "messages" if segs.len() == 1 || matches!(before, Some("chat" | "input" | "request" | "body" | "conversation")) => Claim::Content,
        "input" | "output" | "text" | "content"
            if matches!(before, Some("user" | "prompt" | "completion" | "model" | "reasoning" | "message" | "assistant" | "system")) =>
        {
            Claim::Content
        }
        "message" if matches!(before, Some("user" | "system" | "assistant")) => Claim::Content,
        "message" if segs.len() == 1 => return None,
        "completion" if segs.len() == 1 => Claim::Content,
        "text" if matches!(before, Some("input" | "output" | "full" | "generated")) => Claim::Content,
        "transcript" | "conversation" | "history" | "contents" | "documents" | "question" | "answer" | "arguments" | "thinking"
        | "instructions" | "instruction" | "inputs" | "passages" | "lyrics" | "reply" | "caption"
            if segs.len() == 1 || before == Some("tool") || before == Some("chat") || before == Some("function") =>
        {
            Claim::QuotedContent
        }
        "input" | "output" | "content" | "text" | "query" | "parts" | "system" | "suffix" | "delta" | "reasoning" | "refusal"
        | "outputs" | "generated"
            if segs.len() == 1 =>
        {
            Claim::QuotedContent
        }
        "json" if matches!(before, Some("b64" | "partial")) => Claim::Content,
        "base64" | "embedding" | "embeddings" if segs.len() <= 2 => Claim::QuotedContent,
        "response" if segs.len() == 1 => Claim::QuotedContent,
        "data" if matches!(before, Some("file" | "image" | "audio" | "post" | "inline")) => Claim::QuotedContent,
        "url" if before == Some("image") => Claim::QuotedContent,
        "query" if before == Some("user") => Claim::Content,
        "think" | "conversations" if segs.len() == 1 => Claim::QuotedContent,
        "dialog" | "dialogue" | "utterance" => Claim::QuotedContent,
        _ => return None,
    };
    Some(claim)
}

fn personal(segs: &[&str], last: &str, before: Option<&str>) -> Option<Claim> {
    let claim = match (before, last) {
        (_, "balance" | "topup" | "recharge" | "wallet" | "deposit" | "payment" | "prepaid") => Claim::Amount,
        (Some("balance" | "payment" | "paid" | "topup" | "up" | "recharge" | "invoice" | "refund" | "order"), "amount") => Claim::Amount,
        (Some("top"), "up") => Claim::Amount,
        (Some("remain" | "remaining" | "available" | "user" | "used"), "credit" | "credits") => Claim::Amount,
        (Some("remain" | "user" | "used"), "quota") => Claim::Amount,
        (Some("total"), "granted" | "available") => Claim::Amount,
        (_, "amount") if segs.len() == 1 => Claim::Amount,
        (_, "phone" | "mobile" | "telephone" | "tel" | "cellphone" | "phonenumber") => Claim::Person(Kind::Phone),
        (Some("phone" | "mobile"), "number" | "no") => Claim::Person(Kind::Phone),
        (_, "email" | "mail") => Claim::Person(Kind::Email),
        (
            _,
            "ssn" | "passport" | "idcard" | "cvv" | "cvc" | "iban" | "wechat" | "weixin" | "wxid" | "birthday" | "birthdate" | "dob" | "qq"
            | "imei" | "imsi" | "iccid" | "aadhaar" | "hkid" | "nric" | "cpf" | "cnpj" | "openid" | "unionid" | "latitude" | "longitude"
            | "username" | "realname" | "fullname" | "cardnumber" | "cardno",
        ) => Claim::Person(Kind::Id),
        (Some("id" | "identity" | "bank" | "credit"), "card") | (Some("card"), "number" | "no") | (Some("passport"), "number" | "no") => {
            Claim::Person(Kind::Id)
        }
        (Some("real" | "full" | "first" | "last" | "user" | "display" | "customer" | "contact"), "name") => Claim::Person(Kind::Id),
        (Some("open" | "union"), "id") => Claim::Person(Kind::Id),
        (Some("birth"), "date") | (_, "birth") => Claim::Person(Kind::Id),
        (Some("home" | "street" | "billing" | "shipping" | "postal"), "address") => Claim::Person(Kind::Id),
        (Some("openai"), "organization" | "project") => Claim::Strong(Kind::Id),
        (_, "weight" | "weights") if segs.len() <= 2 => Claim::Routing,
        (_, "upstream" | "channel") => Claim::Routing,
        (Some("channel" | "upstream"), "id" | "name" | "label") => Claim::Routing,
        (Some("upstream" | "backend" | "internal"), "host" | "url" | "addr" | "address" | "server" | "endpoint") => {
            Claim::Strong(Kind::Host)
        }
        _ => return None,
    };
    Some(claim)
}

/// `xApiKey`, `X-API-Key`, `x.api_key` → `x api key`.
fn spaced(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = String::with_capacity(name.len() + 8);
    for (i, &b) in bytes.iter().enumerate() {
        if !b.is_ascii_alphanumeric() {
            out.push(' ');
            continue;
        }
        let after_small = i > 0 && (bytes[i - 1].is_ascii_lowercase() || bytes[i - 1].is_ascii_digit());
        let ends_capitals = i > 0
            && bytes[i - 1].is_ascii_uppercase()
            && bytes.get(i + 1).is_some_and(u8::is_ascii_lowercase)
            && bytes.get(i + 1..) != Some(b"s");
        if b.is_ascii_uppercase() && (after_small || ends_capitals) {
            out.push(' ');
        }
        out.push(char::from(b.to_ascii_lowercase()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_segments() {
        for name in [
            "apiKey",
            "X-API-Key",
            "OPENAI_API_KEY",
            "api.key",
            "xGoogApiKey",
            "openaiApiKey",
            "APIKey",
            "apikey",
            "azureOpenAIKey1",
            "AccountKey",
            "aws_access_key_id",
            "OPENAI_API_KEY_2",
        ] {
            assert!(matches!(claim_of(name), Some(Claim::Strong(Kind::Key) | Claim::Key)), "{name}: {:?}", claim_of(name));
        }
        for name in [
            "password",
            "DB_PASSWORD",
            "client_secret",
            "clientSecret",
            "refreshToken",
            "Proxy-Authorization",
            "secrets",
            "dbPassword",
            "user.password",
            "id_token",
            "bearer",
        ] {
            assert_eq!(claim_of(name), Some(Claim::Strong(Kind::Auth)), "{name}");
        }
    }

    #[test]
    fn names_that_only_look_private_claim_nothing() {
        for name in [
            "max_tokens",
            "completion_tokens",
            "token_limit",
            "token_count",
            "primary_key",
            "key_id",
            "key_fp",
            "key_masked",
            "key_group",
            "author",
            "authority",
            "monkey",
            "keyboard",
            "tokens",
            "token_type",
            "tokenizer",
            "Idempotency-Key",
            "idempotencyKey",
            "prompt_tokens",
            "input_tokens",
            "content_filter",
            "Content-Type",
            "contentType",
            "secretary",
            "cache_key",
            "message",
            "error_text",
            "authenticated",
            "next_page_token",
            "promptTokens",
            "prompt_cache_key_hits",
            "keys",
            "finish_reason",
            "api_key_id",
            "passed",
            "compass",
            "x-ratelimit-remaining-requests",
        ] {
            assert_eq!(claim_of(name), None, "{name}");
        }
    }
}
