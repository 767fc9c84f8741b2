//! The laws of a text that comes in pieces: wherever its borders lie, it reads as the whole does, and no key gets through between them.

use proptest::prelude::*;

use super::engine::{Audience, Redactor};
use super::laws::{NAMED, TEMPLATES, disguises, no_window, random_key, undisguised};
use super::stream::RedactStream;

/// A text in pieces of these sizes, one after another and from the front again; and how much of it came before its end was known.
fn in_pieces(redactor: &Redactor, audience: Audience, text: &str, sizes: &[usize]) -> (String, usize) {
    let mut stream = RedactStream::new(redactor, audience);
    let (mut seen, mut rest) = (String::new(), text.as_bytes());
    for size in sizes.iter().cycle() {
        let (piece, behind) = rest.split_at((*size).min(rest.len()));
        seen.push_str(stream.push(piece).as_str());
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    let early = seen.len();
    seen.push_str(stream.finish().as_str());
    (seen, early)
}

/// Longer than a stream holds back, so that it lets parts go while others are still to come.
const LONG_BYTES: usize = 160 * 1024;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn r41_a_text_in_pieces_reads_as_the_whole_whatever_its_templates_encodings_and_borders(
        keys in proptest::collection::vec(random_key(), 3),
        picks in proptest::collection::vec((0usize..TEMPLATES.len() + NAMED.len(), 0usize..64, 0usize..3), 400),
        sizes in proptest::collection::vec(prop_oneof![1usize..64, 1usize..9_000, 60_000usize..70_000], 1..6),
        audience in prop_oneof![Just(Audience::Support), Just(Audience::Public)],
    ) {
        let redactor = Redactor::default();
        let forms: Vec<Vec<String>> = keys.iter().map(|key| disguises(key).into_iter().map(|(_, form)| form).chain([key.clone()]).collect()).collect();
        let all: Vec<&str> = TEMPLATES.into_iter().chain(NAMED).collect();
        let mut text = String::new();
        for (template, form, key) in picks.iter().cycle() {
            let forms = &forms[*key];
            text.push_str(&all[*template].replace('§', &forms[form % forms.len()]));
            text.push_str("\n2025-07-14T10:30:41Z INFO request wr_01j2w8k3q4zp7m0123456789ab done in 12 ms\n请求完成，一切正常\n");
            if text.len() > LONG_BYTES {
                break;
            }
        }
        let whole = redactor.redact(&text, audience);
        let (seen, early) = in_pieces(&redactor, audience, &text, &sizes);
        prop_assert!(early > LONG_BYTES / 4, "{early} bytes came before the end, so no border was tried");
        for key in &keys {
            prop_assert!(no_window(&undisguised(&seen), key), "a window of {key} in pieces of {sizes:?}");
        }
        let whole = whole.as_str();
        let differs = seen.bytes().zip(whole.bytes()).position(|(a, b)| a != b).unwrap_or(seen.len().min(whole.len()));
        let around = |text: &str| text[text.floor_char_boundary(differs.saturating_sub(120))..text.floor_char_boundary(text.len().min(differs + 120))].to_owned();
        prop_assert!(seen == whole, "pieces of {sizes:?}: {:?} is {:?} as a whole", around(&seen), around(whole));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn r41_a_secret_across_the_borders_of_pieces_is_caught(key in random_key(), size in 1usize..40_000, before in 60_000usize..70_000) {
        let redactor = Redactor::default();
        let line = "2025-07-14T10:30:41Z INFO request wr_01j2w8k3q4zp7m0123456789ab done in 12 ms\n";
        let mut text = line.repeat(before / line.len());
        text.push_str(&format!("Authorization: Bearer {key}\n"));
        text.push_str(&line.repeat(300));
        let (seen, _) = in_pieces(&redactor, Audience::Support, &text, &[size]);
        let wanted = text.replace(&key, "[REDACTED:key]");
        let differs = seen.bytes().zip(wanted.bytes()).position(|(a, b)| a != b).unwrap_or(seen.len().min(wanted.len()));
        let around = differs.saturating_sub(80)..seen.len().min(differs + 80);
        prop_assert!(seen == wanted, "{} bytes, wanted {}: {:?}", seen.len(), wanted.len(), &seen[around]);
    }
}
