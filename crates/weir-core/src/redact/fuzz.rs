//! Texts that nobody wrote: pieces of files, logs and chats thrown together, with a planted key in one of them. Whatever comes, nothing
//! panics, the key is gone, a second pass changes nothing, and pieces of any size give no more away than the whole.
//!
//! `cargo xtask fuzz --minutes M --seed S` runs it for longer; a failure names the seed that repeats it.

use std::env;

use super::engine::{Audience, Redactor};
use super::stream::RedactStream;

/// Rounds of an ordinary test run.
const ROUNDS: u64 = 400;

const PIECES: [&str; 64] = [
    "\n",
    " ",
    "\t",
    "\r\n",
    "\"",
    "'",
    "`",
    "\\\"",
    "\\n",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ":",
    "=",
    ", ",
    ";",
    "&",
    "?",
    "%20",
    "&quot;",
    "\\u0022",
    "\u{200b}",
    "\u{1b}[31m",
    "Authorization: Bearer ",
    "api_key=",
    "\"apiKey\":\"",
    "密钥：",
    "我的key是",
    "token ",
    "password: ",
    "x-api-key: ",
    "https://api.example.com/v1?key=",
    "curl -H '",
    "Cookie: sid=",
    "data: {\"choices\":[{\"delta\":{\"content\":\"",
    "\"messages\":[{\"role\":\"user\",\"content\":\"",
    "prompt=",
    "余额 12.5 元",
    "balance: 3.7",
    "lin@example.com",
    "13812345678",
    "10.0.0.7",
    "request id: 20250423020142736330894dLoIRrS6",
    "wr_01j2w8k3q4zp7m01j2w8k3q4zp",
    "model=gpt-4o-mini",
    "max_tokens=4096",
    "HTTP/1.1 429 Too Many Requests",
    "Traceback (most recent call last):",
    "openai.RateLimitError: Error code: 429 - {'error': {'message': '",
    "map[",
    "&{",
    "<key>",
    "</key>",
    "-----BEGIN PRIVATE KEY-----\n",
    "eyJhbGciOiJIUzI1NiJ9.",
    "sk-",
    "AKIA",
    "[REDACTED:key]",
    "用户名admin",
    "。",
    "，",
];

const STARTS: [&str; 8] = ["sk-", "sk-proj-", "sk-ant-api03-", "gsk_", "xai-", "hf_", "AIza", "ghp_"];

/// A generator of its own, so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn key(&mut self) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let start = STARTS[self.roll(STARTS.len())];
        let body: String = (0..32 + self.roll(24)).map(|_| char::from(LETTERS[self.roll(LETTERS.len())])).collect();
        format!("{start}12345678{body}")
    }

    fn pieces(&mut self, most: usize) -> String {
        let mut text = String::new();
        for _ in 0..self.roll(most) {
            match self.roll(12) {
                0 => text.extend(char::from_u32(u32::try_from(self.roll(0xD7FF)).unwrap())),
                1 => text.push_str(&self.roll(1_000_000).to_string()),
                _ => text.push_str(PIECES[self.roll(PIECES.len())]),
            }
        }
        text
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long to run is told by whoever runs the tests")]
    let told = env::var(name);
    told.ok().and_then(|digits| digits.parse().ok()).unwrap_or(otherwise)
}

fn windows(text: &str, key: &str) -> bool {
    key.as_bytes().windows(12).any(|window| text.as_bytes().windows(12).any(|seen| seen == window))
}

#[test]
fn r41_whatever_is_thrown_together_gives_no_key_away() {
    let first = number("FUZZ_SEED", 1);
    for seed in first..first + number("FUZZ_ROUNDS", ROUNDS) {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let key = dice.key();
        // A letter or digit right before a key makes it another word, so a border stands there.
        let text = format!("{}\n{key}\n{}", dice.pieces(30), dice.pieces(30));
        let redactor = Redactor::default();
        for audience in [Audience::Support, Audience::Public] {
            let once = redactor.redact(&text, audience);
            assert!(!windows(once.as_str(), &key), "FUZZ_SEED={seed}: {text:?} -> {once}");
            let twice = redactor.redact(once.as_str(), audience);
            assert_eq!(twice.as_str(), once.as_str(), "FUZZ_SEED={seed}: a second pass changed {text:?}");
            assert_eq!(redactor.scan(once.as_str(), audience), Ok(()), "FUZZ_SEED={seed}: {text:?}");
        }
        let mut stream = RedactStream::new(&redactor, Audience::Support);
        let mut seen = String::new();
        let size = 1 + dice.roll(40);
        for piece in text.as_bytes().chunks(size) {
            seen.push_str(stream.push(piece).as_str());
        }
        seen.push_str(stream.finish().as_str());
        assert!(!windows(&seen, &key), "FUZZ_SEED={seed}: in pieces of {size}: {text:?} -> {seen}");
    }
}
