//! How long the redactor takes for 5 MiB of each kind of text that people paste: `cargo xtask bench-redact`.

use std::{hint::black_box, time::Instant};

use weir_core::redact::{Audience, Redactor};

/// As much as `weir triage` reads.
const BYTES: usize = 5 << 20;
const ROUNDS: u32 = 3;

const LOG: &str =
    "2025-07-14T10:30:41.123+08:00 INFO call wr_01j2w8k3q4zp7m01j2w8k3q4zp model=gpt-4o-mini status=200 prompt_tokens=1234 total_ms=812\n";
const SECRETS: &str = "2025-07-14 10:30:41 DEBUG POST https://api.example.com/v1/chat/completions Authorization: Bearer sk-12345678aBcDeFgHiJkLmNoPqRsTuVwX body={\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hello there\"}]}\n";
const STREAM: &str = "data: {\"id\":\"chatcmpl-9x8y7z\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"你好\"},\"finish_reason\":null}]}\n\n";
const CHAT: &str =
    "我的密钥：sk-12345678aBcDeFgHiJkLmNoPqRsTuVwX，邮箱 lin@example.com，余额从 12.5 变成 11.8，请帮我看看为什么一直超时。\n";
const TIRING: &str = "Cookie: a=";

fn main() {
    let redactor = Redactor::default();
    println!("| 5 MiB of | ms | MiB/s |\n| --- | --- | --- |");
    for (name, piece) in [
        ("a gateway's log", LOG),
        ("a log full of secrets", SECRETS),
        ("an event stream", STREAM),
        ("chat", CHAT),
        ("the most tiring text known", TIRING),
    ] {
        let text = piece.repeat(BYTES / piece.len());
        let best = (0..ROUNDS).map(|_| took(&redactor, &text)).min().unwrap_or_default();
        println!("| {name} | {best} | {:.0} |", 5_000.0 / f64::from(u32::try_from(best.max(1)).unwrap_or(u32::MAX)));
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn took(redactor: &Redactor, text: &str) -> u128 {
    let start = Instant::now();
    black_box(redactor.redact(black_box(text), Audience::Support));
    start.elapsed().as_millis()
}
