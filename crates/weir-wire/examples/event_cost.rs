//! Prints what one event of a chat stream costs to split and to watch: `cargo run --release -p weir-wire --example event_cost`.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use weir_core::Dialect;
use weir_wire::{Eof, FrameSplitter, StreamWatch};

/// Events in the stream, its role, finish and usage among them.
const EVENTS: usize = 200;
const ROUNDS: usize = 2_000;

fn main() {
    let stream = stream();
    for chunk_bytes in [stream.len(), 16 * 1024, 1400, 300] {
        let chunks: Vec<Bytes> =
            (0..stream.len()).step_by(chunk_bytes).map(|at| stream.slice(at..stream.len().min(at + chunk_bytes))).collect();
        let split = time(|| split(&chunks).len());
        let frames = self::split(&chunks);
        let watch = time(|| {
            let mut watch = StreamWatch::new(Dialect::Chat);
            for frame in &frames {
                std::hint::black_box(watch.see(frame));
            }
            std::hint::black_box(watch.end(Eof::Clean));
            frames.len()
        });
        println!(
            "chunks of {chunk_bytes:>6} bytes: split {split:>6.1} ns, watch {watch:>6.1} ns per event of {} bytes",
            stream.len() / EVENTS
        );
    }
}

fn split(chunks: &[Bytes]) -> Vec<Bytes> {
    let (mut splitter, mut frames) = (FrameSplitter::new(1 << 24), Vec::with_capacity(EVENTS + 1));
    for chunk in chunks {
        assert!(splitter.feed(chunk.clone(), &mut frames).is_ok());
    }
    frames
}

/// Nanoseconds per event, the best of five runs.
#[expect(clippy::disallowed_methods, reason = "a measurement is what a clock is for")]
fn time(mut work: impl FnMut() -> usize) -> f64 {
    let run = |work: &mut dyn FnMut() -> usize| {
        let begun = Instant::now();
        let events: usize = (0..ROUNDS).map(|_| work()).sum();
        begun.elapsed().as_secs_f64() * 1e9 / events as f64
    };
    (0..5).map(|_| run(&mut work)).fold(f64::INFINITY, f64::min)
}

fn stream() -> Bytes {
    let head = r#"{"id":"chatcmpl-BzK3hTq9mWxYc2VnRd7LsPf4","object":"chat.completion.chunk","created":1795334400,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_34a54ae93c","#;
    let mut stream = BytesMut::new();
    let mut event = |tail: &str| stream.extend_from_slice(format!("data: {head}{tail}\n\n").as_bytes());
    event(r#""choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}"#);
    for n in 0..EVENTS - 4 {
        let word = [" the", " gateway", ".\\n", "流", " \\\"ok\\\""][n % 5];
        event(&format!(r#""choices":[{{"index":0,"delta":{{"content":"{word}"}},"logprobs":null,"finish_reason":null}}]}}"#));
    }
    event(r#""choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#);
    event(
        r#""choices":[],"usage":{"prompt_tokens":19,"completion_tokens":196,"total_tokens":215,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0}}}"#,
    );
    stream.extend_from_slice(b"data: [DONE]\n\n");
    stream.freeze()
}
