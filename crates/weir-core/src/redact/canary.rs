//! Canaries: a planted secret in every form in which it could surface, and the search for them in any sink.

use std::fmt::Write;

use crate::secret::Secret;

/// One form of a canary was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Byte offset in the haystack.
    pub at: usize,
    /// Which of the forms, by its place in the list.
    pub form: usize,
}

/// The secret as it is, percent-encoded (also twice), JSON-escaped, in base64 (three alignments, both alphabets), in hex, and its first
/// eight characters after the public prefix and, in a key of weir's own, after the public id. Sorted, longest first; no form is shorter than six bytes.
#[must_use]
pub fn forms(secret: &Secret) -> Vec<Vec<u8>> {
    let text = secret.expose();
    let prefix = super::registered::public_length(text);
    let mut forms = whole_forms(text);
    forms.push(text.get(prefix..).unwrap_or_default().chars().take(8).collect::<String>().into_bytes());
    tidy(forms)
}

pub(super) fn whole_forms(text: &str) -> Vec<Vec<u8>> {
    let raw = text.as_bytes();
    let escaped = json_escaped(text);
    let mut forms = vec![
        raw.to_vec(),
        percent(raw, is_unreserved, true),
        percent(raw, is_unreserved, false),
        percent(&percent(raw, is_unreserved, true), is_unreserved, true),
        percent(raw, |_| false, true),
        percent(raw, |_| false, false),
        json_escaped(&escaped).into_bytes(),
        escaped.into_bytes(),
        text.replace('/', "\\/").into_bytes(),
        unicode_escaped(text),
        hex(raw, true),
        hex(raw, false),
    ];
    for alphabet in [STANDARD, URL_SAFE] {
        forms.extend((0..3).map(|skip| base64_inside(raw, skip, alphabet)));
    }
    forms
}

pub(super) fn tidy(mut forms: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    forms.retain(|f| f.len() >= super::MIN_SECRET_CHARS);
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    forms
}

/// Every place where one of `forms` stands in `haystack`, at most 1,000 of them, in order. One pass, whatever the number of forms:
/// sinks are megabytes long and a canary has twenty forms.
#[must_use]
pub fn find(haystack: &[u8], forms: &[Vec<u8>]) -> Vec<Hit> {
    const MAX_HITS: usize = 1000;
    let pair = |first: u8, second: u8| usize::from(first) << 8 | usize::from(second);
    let mut begins = vec![false; 1 << 16];
    for form in forms.iter().filter(|form| form.len() > 1) {
        begins[pair(form[0], form[1])] = true;
    }
    let mut hits = Vec::new();
    let mut before = 0;
    for (end, byte) in haystack.iter().enumerate() {
        if end > 0 && begins[pair(before, *byte)] {
            let at = end - 1;
            let found = forms.iter().enumerate().filter(|(_, form)| form.len() > 1 && haystack[at..].starts_with(form));
            hits.extend(found.map(|(form, _)| Hit { at, form }).take(MAX_HITS - hits.len()));
            if hits.len() == MAX_HITS {
                break;
            }
        }
        before = *byte;
    }
    hits
}

/// Where `needle` stands in `haystack`, overlaps included. Jumps from one rare byte to the next.
pub(super) fn places<'a>(haystack: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = *needle.first()?;
        while from + needle.len() <= haystack.len() {
            let window = &haystack[from..=haystack.len() - needle.len()];
            let at = from + window.iter().position(|b| *b == first)?;
            from = at + 1;
            if haystack[at..].starts_with(needle) {
                return Some(at);
            }
        }
        None
    })
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn percent(raw: &[u8], keep: impl Fn(u8) -> bool, upper: bool) -> Vec<u8> {
    let mut out = String::new();
    for &b in raw {
        // Writing to a String cannot fail.
        let _ = match (keep(b), upper) {
            (true, _) => write!(out, "{}", char::from(b)),
            (false, true) => write!(out, "%{b:02X}"),
            (false, false) => write!(out, "%{b:02x}"),
        };
    }
    out.into_bytes()
}

fn json_escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn unicode_escaped(text: &str) -> Vec<u8> {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        let _ = write!(out, "\\u{unit:04x}");
    }
    out.into_bytes()
}

fn hex(raw: &[u8], upper: bool) -> Vec<u8> {
    let mut out = String::new();
    for b in raw {
        let _ = if upper { write!(out, "{b:02X}") } else { write!(out, "{b:02x}") };
    }
    out.into_bytes()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The base64 digits that any text must contain in which `raw` starts `skip` bytes into a group of three.
fn base64_inside(raw: &[u8], skip: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; skip];
    padded.extend_from_slice(raw);
    let digits: Vec<u8> = padded
        .chunks(3)
        .flat_map(|group| {
            let bits = group.iter().fold(0u32, |sum, b| sum << 8 | u32::from(*b)) << (8 * (3 - group.len()));
            [18, 12, 6, 0].map(|shift| alphabet[(bits >> shift & 63) as usize])
        })
        .collect();
    // Digits that also depend on the neighbours before and behind are left out.
    let first = (skip * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    digits.get(first..last).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_secret_is_found_in_every_form() {
        let secret = Secret::new("sk-canary/Q7w\"x+Zz-0123456789");
        let forms = forms(&secret);
        for sink in [
            "raw sk-canary/Q7w\"x+Zz-0123456789",
            "sk-canary%2FQ7w%22x%2BZz-0123456789",
            "sk-canary%2fQ7w%22x%2bZz-0123456789",
            r#"{"k":"sk-canary/Q7w\"x+Zz-0123456789"}"#,
            "c2stY2FuYXJ5L1E3dyJ4K1p6LTAxMjM0NTY3ODk=",
            "eHNrLWNhbmFyeS9RN3cieCtaei0wMTIzNDU2Nzg5",
            "736b2d63616e6172792f513777",
            "first eight: canary/Q only",
        ] {
            let expected = usize::from(!sink.starts_with("736b"));
            assert!(find(sink.as_bytes(), &forms).len() >= expected, "{sink}");
        }
        assert!(find(b"nothing of the kind, sk-other, canary", &forms).is_empty());
        assert!(forms.windows(2).all(|w| w[0].len() >= w[1].len()), "longest first");
    }
}
