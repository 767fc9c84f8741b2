//! Sound and pictures: bytes of a plausible size, transcripts, tiny valid PNGs.

use super::{Event, Events, Mark, created};
use crate::{
    ask::{Answer, Ask},
    digest::{base64, crc32, mix},
    text::json,
};

/// One MPEG frame at 128 kbit/s and 44.1 kHz: 26 ms of sound.
const FRAME_BYTES: usize = 417;
/// What one request may make: about half an hour.
const FRAMES_MAX: usize = 70_000;
const IMAGES_MAX: u64 = 10;

/// The content type and the sound. A letter takes about 60 ms to say.
pub(crate) fn speech(ask: &Ask) -> (&'static str, Vec<u8>) {
    let frames = (ask.text("input").chars().count() * 60 / 26).clamp(4, FRAMES_MAX);
    match ask.text("response_format") {
        "wav" => ("audio/wav", wav(frames * FRAME_BYTES)),
        "pcm" => ("audio/pcm", vec![0; frames * FRAME_BYTES]),
        _ => ("audio/mpeg", mp3(frames)),
    }
}

fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0; FRAME_BYTES];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
    frame.repeat(frames)
}

fn wav(silence_bytes: usize) -> Vec<u8> {
    let size = u32::try_from(silence_bytes & !1).unwrap_or(u32::MAX - 64);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend_from_slice(&(size + 36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend_from_slice(&24_000u32.to_le_bytes());
    bytes.extend_from_slice(&48_000u32.to_le_bytes());
    bytes.extend_from_slice(b"\x02\0\x10\0data");
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.resize(bytes.len() + size as usize, 0);
    bytes
}

pub(crate) fn speech_events(ask: &Ask) -> Events {
    const FRAMES_PER_EVENT: usize = 8;
    let (_, sound) = speech(ask);
    let input = ask.prompt_tokens();
    let frames = (sound.len() / FRAME_BYTES) as u64;
    let pieces: Vec<Event> = sound
        .chunks(FRAME_BYTES * FRAMES_PER_EVENT)
        .map(|piece| {
            Event::named(Mark::Delta, "speech.audio.delta", format!(r#"{{"type":"speech.audio.delta","audio":"{}"}}"#, base64(piece)))
        })
        .collect();
    let done = format!(
        r#"{{"type":"speech.audio.done","usage":{{"input_tokens":{input},"output_tokens":{frames},"total_tokens":{}}}}}"#,
        input + frames
    );
    Box::new(pieces.into_iter().chain([Event::named(Mark::Finish, "speech.audio.done", done)]))
}

fn transcript_usage(answer: &Answer) -> String {
    let output = answer.words;
    format!(
        r#"{{"type":"tokens","input_tokens":14,"input_token_details":{{"text_tokens":0,"audio_tokens":14}},"output_tokens":{output},"total_tokens":{}}}"#,
        14 + output
    )
}

/// The content type and the transcript in the form that was asked for.
pub(crate) fn transcript(ask: &Ask, answer: &Answer) -> (&'static str, String) {
    let text = answer.prose(0).whole();
    match ask.text("response_format") {
        "text" => ("text/plain; charset=utf-8", format!("{text}\n")),
        "srt" => ("text/plain; charset=utf-8", format!("1\n00:00:00,000 --> 00:00:08,000\n{}\n\n", text.replace("\n\n", " "))),
        "vtt" => ("text/vtt; charset=utf-8", format!("WEBVTT\n\n00:00:00.000 --> 00:00:08.000\n{}\n\n", text.replace("\n\n", " "))),
        "verbose_json" => {
            let text = json(&text);
            let segment = format!(
                r#"{{"id":0,"seek":0,"start":0.0,"end":8.0,"text":{text},"tokens":[50364],"temperature":0.0,"avg_logprob":-0.2,"compression_ratio":1.1,"no_speech_prob":0.01}}"#
            );
            (
                "application/json",
                format!(
                    r#"{{"task":"transcribe","language":"english","duration":8.0,"text":{text},"segments":[{segment}],"usage":{{"type":"duration","seconds":8}}}}"#
                ),
            )
        }
        _ => ("application/json", format!(r#"{{"text":{},"usage":{}}}"#, json(&text), transcript_usage(answer))),
    }
}

pub(crate) fn transcript_events(answer: &Answer) -> Events {
    let prose = answer.prose(0);
    let done = format!(
        r#"{{"type":"transcript.text.done","text":{},"logprobs":null,"usage":{}}}"#,
        json(&prose.whole()),
        transcript_usage(answer)
    );
    let deltas = (0..answer.words).map(move |at| {
        Event::named(
            Mark::Delta,
            "transcript.text.delta",
            format!(r#"{{"type":"transcript.text.delta","delta":{}}}"#, json(&prose.piece(at))),
        )
    });
    Box::new(deltas.chain([Event::named(Mark::Finish, "transcript.text.done", done)]))
}

const IMAGE_USAGE: &str =
    r#"{"input_tokens":9,"input_tokens_details":{"text_tokens":9,"image_tokens":0},"output_tokens":272,"total_tokens":281}"#;

pub(crate) fn images(ask: &Ask) -> String {
    let count = ask.number("n").unwrap_or(1).clamp(1, IMAGES_MAX);
    let by_url = ask.text("response_format") == "url";
    let one = |index| {
        let seed = ask.seed.wrapping_add(index);
        if by_url {
            format!(r#"{{"url":"https://images.invalid/{seed:016x}.png"}}"#)
        } else {
            format!(r#"{{"b64_json":"{}"}}"#, base64(&png(seed)))
        }
    };
    let data = (0..count).map(one).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"created":{},"background":"opaque","data":[{data}],"output_format":"png","quality":"low","size":"1024x1024","usage":{IMAGE_USAGE}}}"#,
        created(ask.seed)
    )
}

pub(crate) fn image_events(ask: &Ask) -> Events {
    let (seed, made) = (ask.seed, created(ask.seed));
    let rest = format!(r#""created_at":{made},"size":"1024x1024","quality":"low","background":"opaque","output_format":"png""#);
    let partials = ask.number("partial_images").unwrap_or(0).min(3);
    let done = format!(r#"{{"type":"image_generation.completed","b64_json":"{}",{rest},"usage":{IMAGE_USAGE}}}"#, base64(&png(seed)));
    let partial = move |at: u64| {
        let picture = base64(&png(seed.wrapping_add(at + 1)));
        let data = format!(r#"{{"type":"image_generation.partial_image","b64_json":"{picture}",{rest},"partial_image_index":{at}}}"#);
        Event::named(Mark::Delta, "image_generation.partial_image", data)
    };
    Box::new((0..partials).map(partial).chain([Event::named(Mark::Finish, "image_generation.completed", done)]))
}

/// A PNG of one pixel whose colour derives from the seed.
pub(crate) fn png(seed: u64) -> Vec<u8> {
    let colour = mix(seed, 0).to_le_bytes();
    let row = [0, colour[0], colour[1], colour[2]];
    // zlib with one stored block and its Adler-32.
    let (a, b) = row.iter().fold((1u32, 0u32), |(a, b), byte| (a + u32::from(*byte), b + a + u32::from(*byte)));
    let mut pixels = vec![0x78, 0x01, 0x01, 4, 0, 0xfb, 0xff];
    pixels.extend_from_slice(&row);
    pixels.extend_from_slice(&(b << 16 | a).to_be_bytes());
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0][..]), (b"IDAT", &pixels), (b"IEND", &[])] {
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&crc32(crc32(0, kind), content).to_be_bytes());
    }
    bytes
}

/// The start of an MP4 and some content, about 64 KiB: enough to be downloaded and compared.
pub(crate) fn mp4(seed: u64) -> Vec<u8> {
    const CONTENT_BYTES: u32 = 64 * 1024;
    let mut bytes = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41".to_vec();
    bytes.extend_from_slice(&(CONTENT_BYTES + 8).to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    bytes.extend((0..u64::from(CONTENT_BYTES / 8)).flat_map(|at| mix(seed, at).to_le_bytes()));
    bytes
}
