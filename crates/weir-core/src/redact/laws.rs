//! The laws of redaction: the corpus, random secrets in many places and encodings, idempotence, linear time by count.

use proptest::prelude::*;
use serde::Deserialize;

use super::canary;
use super::engine::{Audience, Redactor};
use super::normalise::{Shadow, walk_bound};
use crate::secret::Secret;

const CORPUS: &str = include_str!("../../tests/fixtures/redaction-corpus.jsonl");
/// Shapes that were written down without looking at the rules: files, tools, languages, chats; and what must survive.
const ADVERSARIAL: &str = include_str!("../../tests/fixtures/redaction-adversarial.jsonl");
/// A second such list, written before its author had read the first.
const UNSEEN: &str = include_str!("../../tests/fixtures/redaction-unseen.jsonl");
/// Two more: one written before its author had read a rule, one after it had mended what the first showed. The keys of eighty vendors,
/// protocols, encodings, people.
const SEALED: &str = include_str!("../../tests/fixtures/redaction-sealed.jsonl");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: String,
    must_not_contain: Vec<String>,
    must_contain: Vec<String>,
    why: String,
}

fn corpus() -> Vec<Line> {
    CORPUS
        .lines()
        .chain(ADVERSARIAL.lines())
        .chain(UNSEEN.lines())
        .chain(SEALED.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn r41_the_corpus_leaks_nothing_and_loses_no_near_miss() {
    let redactor = Redactor::default();
    let mut faults = Vec::new();
    for line in corpus() {
        let support = redactor.redact(&line.text, Audience::Support);
        let public = redactor.redact(&line.text, Audience::Public);
        for text in [support.as_str(), public.as_str()] {
            faults.extend(
                line.must_not_contain.iter().filter(|s| text.contains(*s)).map(|s| format!("leaks {s:?}: {text:?} ({})", line.why)),
            );
        }
        let lost = line.must_contain.iter().filter(|s| !support.as_str().contains(*s));
        faults.extend(lost.map(|s| format!("loses {s:?}: {support:?} ({})", line.why)));
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn r41_the_corpus_is_broad_and_a_quarter_of_it_must_survive() {
    let lines = corpus();
    let near = lines.iter().filter(|l| l.why == "near miss").count();
    assert!(lines.len() >= 200 && near * 4 >= lines.len(), "{} lines, {near} near misses", lines.len());
    assert!(lines.iter().all(|l| !l.why.is_empty() && (!l.must_contain.is_empty() || !l.must_not_contain.is_empty())));
}

#[test]
fn r41_a_second_pass_changes_nothing() {
    let redactor = Redactor::default();
    for line in corpus() {
        for audience in [Audience::Support, Audience::Public] {
            let once = redactor.redact(&line.text, audience);
            let twice = redactor.redact(once.as_str(), audience);
            assert_eq!(once.as_str(), twice.as_str());
            assert!(twice.replaced().is_empty());
            assert_eq!(redactor.scan(once.as_str(), audience), Ok(()));
        }
    }
}

#[test]
fn r41_a_redactor_that_knows_nothing_lets_a_canary_through() {
    // The proof is blind if its search finds nothing when redaction is off.
    let secret = Secret::new("plantedcanaryvalue0815");
    let text = format!("a note that says {} in passing", secret.expose());
    let forms = canary::forms(&secret);
    assert!(!canary::find(text.as_bytes(), &forms).is_empty());
    let off = Redactor::default().redact(&text, Audience::Support);
    assert!(!canary::find(off.as_str().as_bytes(), &forms).is_empty());
    let on = Redactor::new([secret]).redact(&text, Audience::Support);
    assert!(canary::find(on.as_str().as_bytes(), &forms).is_empty());
}

#[test]
fn r41_a_message_loses_its_credentials_and_keeps_what_was_typed_besides() {
    assert_eq!(
        Redactor::default()
            .without_credentials("cannot reach http://lin:p4ss12345678@10.0.0.7:8787/v1 with sk-12345678aBcDeFgH: see lin@example.com"),
        "cannot reach http://[REDACTED:url]@10.0.0.7:8787/v1 with [REDACTED:key]: see lin@example.com"
    );
}

#[test]
fn a_longer_secret_leaves_no_tail_behind_a_shorter_one() {
    let redactor = Redactor::new(["abcdef123", "def123XYZ789", "abcdef123XYZ789-long-tail"].map(Secret::new));
    for text in ["abcdef123XYZ789", "abcdef123XYZ789-long-tail", "abcdef123 def123XYZ789"] {
        let seen = redactor.redact(text, Audience::Support);
        assert!(!seen.as_str().contains("XYZ") && !seen.as_str().contains("tail"), "{seen}");
    }
}

/// Texts that make a careless reader go over the same bytes again and again.
const TIRING: [&str; 24] = [
    "authorization: x ",
    "api_key=",
    "api_key=\"",
    "\"key\":\"",
    "{\"content\":[{",
    "[[[[[[[[",
    "((((((((",
    "{{{{{{{{",
    "sk-",
    "sk-a",
    "eyJ.",
    "-----BEGIN PRIVATE KEY-----",
    "password password ",
    "密码:",
    "余额从",
    "https://u:",
    "a@a.",
    "%25",
    "\\\\u005c",
    "&amp;#38;",
    "Cookie: a=",
    "name: key\nvalue: ",
    "token='''",
    "messages=[{'role': 'user', 'content': \"",
];

#[test]
fn r41_work_grows_as_the_text_does() {
    for piece in TIRING {
        // Bytes walked by hand in search of where values end; the searches by pattern are linear by their engine.
        let walked = |times: usize| {
            let text = piece.repeat(times);
            let shadow = Shadow::of(&text);
            let mut found = Vec::new();
            super::names::find(&shadow, Audience::Support, &mut found);
            shadow.walked()
        };
        for times in [2_000, 8_000, 40_000] {
            let (bytes, bound) = (piece.len() * times, walk_bound(piece.len() * times));
            assert!(walked(times) <= bound, "{piece:?}: {} bytes walked in a text of {bytes}, {bound} are in proportion", walked(times));
        }
    }
}

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub(super) const TEMPLATES: [&str; 40] = [
    "§",
    "key § end",
    "Authorization: Bearer §",
    "authorization: §",
    "x-api-key: §\r\nhost: api.example.com",
    "curl -H 'Authorization: Bearer §' https://api.example.com/v1/models",
    "curl -H \"x-api-key: §\" -d '{\"model\":\"m\"}'",
    "https://api.example.com/v1?key=§&alt=sse",
    "https://user:§@api.example.com/v1",
    "postgres://weir:§@db.example.com/weir",
    "export OPENAI_API_KEY=§",
    "OPENAI_API_KEY='§' python app.py",
    "{\"api_key\":\"§\",\"id\":1}",
    "{\"error\":{\"message\":\"Incorrect API key provided: §.\"}}",
    "{'error': {'message': 'bad key §'}}",
    "\"{\\\"apiKey\\\":\\\"§\\\"}\"",
    "密钥§无效",
    "密钥：§，请检查",
    "我的key是§谢谢",
    "token=§ model=gpt-4o",
    "[2025-07-14] ERROR auth(§) failed",
    "Bearer §",
    "Cookie: session=§; theme=dark",
    "Set-Cookie: sid=§; HttpOnly",
    "{\"name\":\"Authorization\",\"value\":\"Bearer §\"}",
    "[(b'authorization', b'Bearer §')]",
    "map[Authorization:[Bearer §]]",
    "<token>§</token>",
    "api_key: §\nmodel: m",
    "client = OpenAI(api_key=\"§\")",
    "new OpenAI({ apiKey: '§' })",
    "os.environ[\"KEY\"] = \"§\"",
    "--api-key § --model m",
    "secret=§",
    "password: §",
    "(§)",
    "§,§;§",
    "data: {\"error\":\"§\"}\n\n",
    "File \"a.py\", line 1\n  key='§'",
    "\u{1b}[31m§\u{1b}[0m",
];

pub(super) const NAMED: [&str; 44] = [
    "OPENAI_API_KEY=§",
    "export API_TOKEN='§'",
    "api_key: §\nmodel: gpt-4o",
    "apiKey: \"§\",",
    "{\"apiKey\":\"§\",\"model\":\"gpt-4o\"}",
    "{'api_key': '§', 'timeout': 60}",
    "{\\\"api_key\\\":\\\"§\\\"}",
    "client = OpenAI(api_key='§')",
    "Authorization: Bearer §",
    "'authorization': 'Bearer §'",
    "Authorization:[Bearer §]",
    "Header{\"Authorization\":[]string{\"Bearer §\"}}",
    "headers=[Authorization:Bearer §, Accept:*/*]",
    "x-api-key: §",
    "curl -H 'api-key: §' https://api.example.com",
    "curl -u bot:§ https://api.example.com",
    "https://api.example.com/v1?api_key=§&model=gpt-4o",
    "https://bot:§@git.example.com/a.git",
    "jdbc:mysql://db.example.com/app?user=a&password=§",
    "postgres://app:§@db.example.com/app",
    "Server=db;User Id=sa;Password=§;Encrypt=true",
    "password = \"§\"",
    "Password: §",
    "密码:§",
    "密钥是§",
    "我的密钥：§，麻烦看看",
    "令牌:§",
    "$env:API_KEY = \"§\"",
    "setx API_KEY §",
    "docker run -e API_KEY=§ image",
    "\"Env\":[\"API_KEY=§\",\"LANG=C\"]",
    "- name: API_KEY\n  value: §",
    "<apiKey>§</apiKey>",
    "<add key=\"ApiKey\" value=\"§\" />",
    "--api-key §",
    "--api-key=§ --model m",
    "client_secret=§&grant_type=x",
    "Cookie: sid=§; theme=dark",
    "Set-Cookie: session=§; Path=/",
    "{\"name\":\"authorization\",\"value\":\"Bearer §\"}",
    "Incorrect API key provided: §.",
    "{APIKey:§ Timeout:60s}",
    "Options(apiKey=§, timeout=PT60S)",
    "machine api.example.com login bot password §",
];

/// No window of eight characters of `secret` is in `text`.
pub(super) fn no_window(text: &str, secret: &str) -> bool {
    !secret.as_bytes().windows(8).any(|w| text.as_bytes().windows(8).any(|t| t == w))
}

fn encodings(secret: &str) -> Vec<String> {
    canary::whole_forms(secret).into_iter().map(|f| String::from_utf8(f).unwrap()).collect()
}

/// Disguises beside those of [`encodings`]: what people and tools do to a text without meaning to hide anything.
pub(super) fn disguises(secret: &str) -> Vec<(&'static str, String)> {
    let each = |f: &dyn Fn(char) -> String| secret.chars().map(f).collect::<String>();
    let half = secret.len() / 2;
    vec![
        ("escaped as JSON may", each(&|c| format!("\\u{:04x}", u32::from(c)))),
        ("entities in tens", each(&|c| format!("&#{};", u32::from(c)))),
        ("entities in hex", each(&|c| format!("&#x{:X};", u32::from(c)))),
        ("percent everywhere", each(&|c| format!("%{:02X}", u32::from(c)))),
        ("zero-width between", each(&|c| format!("{c}\u{200b}"))),
        ("word joiners between", each(&|c| format!("{c}\u{2060}"))),
        ("full-width", each(&|c| char::from_u32(u32::from(c) + 0xFEE0).map_or(String::new(), String::from))),
        ("coloured in the middle", format!("{}\u{1b}[0m\u{1b}[1m{}", &secret[..half], &secret[half..])),
    ]
}

/// What is left of a text when its disguises are taken off.
pub(super) fn undisguised(text: &str) -> String {
    Shadow::of(text).text().to_owned()
}

pub(super) fn random_key() -> impl Strategy<Value = String> {
    let body = proptest::collection::vec(proptest::sample::select(ALPHABET), 32..64).prop_map(|b| String::from_utf8(b).unwrap());
    let start = proptest::sample::select(vec!["sk-", "sk-proj-", "sk-ant-api03-", "gsk_", "xai-", "hf_", "nvapi-", "AIza", "ghp_"]);
    (start, body).prop_map(|(start, body)| format!("{start}{body}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn r41_no_window_of_a_registered_secret_survives(secret in "[A-Za-z0-9/+\"\\\\ =&%-]{12,60}") {
        prop_assume!(secret.trim() == secret);
        let redactor = Redactor::new([Secret::new(secret.clone())]);
        for template in TEMPLATES {
            for form in encodings(&secret) {
                let seen = redactor.redact(&template.replace('§', &form), Audience::Support);
                prop_assert!(no_window(seen.as_str(), &form), "{template} {form} {seen}");
            }
        }
    }

    #[test]
    fn r41_no_window_of_an_unknown_vendor_key_survives(key in random_key()) {
        let redactor = Redactor::default();
        // Bare digits of base64 begin in the middle of the first character; a real text has what stands before.
        let forms: Vec<String> = encodings(&key).into_iter().filter(|f| f.contains(&key[..3]) || f.contains(['%', '\\']) || f.starts_with("736b") || f.starts_with(key.get(..4).unwrap())).collect();
        for template in TEMPLATES {
            for form in &forms {
                let seen = redactor.redact(&template.replace('§', form), Audience::Support);
                prop_assert!(no_window(seen.as_str(), form), "{template} {form} {seen}");
                let again = redactor.redact(seen.as_str(), Audience::Support);
                prop_assert_eq!(again.as_str(), seen.as_str());
            }
        }
    }

    #[test]
    fn r41_no_window_of_a_disguised_key_survives(key in random_key()) {
        let redactor = Redactor::default();
        for template in TEMPLATES {
            for (how, form) in disguises(&key) {
                let seen = redactor.redact(&template.replace('§', &form), Audience::Public);
                prop_assert!(no_window(&undisguised(seen.as_str()), &key), "{how}: {template} {seen}");
            }
        }
    }

    // A secret without a vendor's shape is known by the name before it, whatever the file or the language.
    #[test]
    fn r41_a_named_secret_without_a_shape_is_hidden(body in "[A-Za-z0-9]{20,48}", digits in 10u32..99) {
        let secret = format!("{}{digits}{}", &body[..10], &body[10..]);
        let redactor = Redactor::default();
        for template in NAMED {
            let bare = template.replace('§', &secret);
            for text in [bare.clone(), format!("2025-07-14 ERROR {bare}\n"), format!("报错如下:\n{bare}")] {
                let seen = redactor.redact(&text, Audience::Support);
                prop_assert!(no_window(seen.as_str(), &secret), "{text} -> {seen}");
                let again = redactor.redact(seen.as_str(), Audience::Support);
                prop_assert_eq!(again.as_str(), seen.as_str());
            }
        }
    }

    #[test]
    fn r41_token_counts_models_and_ids_survive(prompt in 0u32..200_000, answer in 0u32..200_000, ray in "[0-9a-f]{16}", build in 100_000u32..999_999) {
        let sum = prompt + answer;
        let text = format!(
            "model=deepseek-r1-{build} ep-2025{build}-abcde usage prompt_tokens={prompt} completion_tokens={answer} total_tokens={sum} max_tokens={answer} cf-ray: {ray}-HKG cgt-2025{build}-x1y2z chatcmpl-{ray} retry-after: 20 status=429 took {answer} ms"
        );
        let seen = Redactor::default().redact(&text, Audience::Public);
        prop_assert_eq!(seen.as_str(), text);
    }

    #[test]
    fn r41_ids_are_unchanged_beside_a_secret(key in random_key(), raw: u128) {
        let id = crate::RequestId::from_bytes(raw.to_be_bytes()).to_string();
        let text = format!("request {id} failed: key {key} rejected, task task-{raw:032x}, commit {raw:032x}0badcafe");
        let seen = Redactor::default().redact(&text, Audience::Public);
        prop_assert_eq!(seen.as_str(), text.replace(&key, "[REDACTED:key]"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_panics_and_a_second_pass_changes_nothing(text in "\\PC{0,80}|([\"'{}\\[\\]():=,&%\\\\\u{1b} @./-]|key|token|prompt|content|Bearer |Cookie|sk-|eyJ|-----BEGIN|密码|余额|a1B2c3D4|://|%41|\\\\u0041|&#65;|[0-9]{1,6}|\\n){0,40}") {
        let redactor = Redactor::new([Secret::new("a1B2c3D4a1B2")]);
        for audience in [Audience::Support, Audience::Public] {
            let once = redactor.redact(&text, audience);
            let twice = redactor.redact(once.as_str(), audience);
            prop_assert_eq!(twice.as_str(), once.as_str());
            prop_assert_eq!(redactor.scan(once.as_str(), audience), Ok(()));
        }
    }
}
