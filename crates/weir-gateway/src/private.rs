//! What a request holds that only its sender may read. Upstreams like to quote a prompt in their errors; a record must not.

use std::{collections::HashMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text that stands in request and error alike is quoted from the request if it has this many bytes: three English words or
/// six Chinese characters. Less is taken for chance.
const RUN_BYTES: usize = 16;
/// Shorter strings of the request count if they stand in the error whole; below this they are ordinary words.
const WORD_BYTES: usize = 6;
/// What lies between two quoted pieces belongs to them: an escape, an ellipsis.
const GAP_BYTES: usize = 8;
const MARKER: &str = "[REDACTED:content]";

/// Fields whose text is a choice and no content.
const CHOICES: [&str; 18] = [
    "detail",
    "effort",
    "format",
    "id",
    "include",
    "model",
    "object",
    "quality",
    "response_format",
    "role",
    "service_tier",
    "size",
    "summary",
    "tool_choice",
    "truncation",
    "type",
    "verbosity",
    "voice",
];

/// The content of one request. Has no Debug: it is the prompt.
#[derive(Clone, Copy)]
pub(crate) struct Private<'a> {
    body: &'a [u8],
}

impl<'a> Private<'a> {
    pub(crate) fn of(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// `text` without what it quotes of the request. Linear in the length of both.
    pub(crate) fn hidden_in(self, text: &str) -> String {
        let mut quoted = Quoted::new(text);
        let mut json = serde_json::Deserializer::from_slice(self.body);
        if (Strings { quoted: &mut quoted, choice: false }).deserialize(&mut json).is_err() {
            // A form, or a body that weir did not understand: all of it is content.
            quoted.compare(&String::from_utf8_lossy(self.body));
        }
        quoted.hidden()
    }
}

/// Which bytes of a text are quoted.
struct Quoted<'t> {
    text: &'t str,
    /// Every window of [`RUN_BYTES`] bytes and where it stands.
    windows: HashMap<u128, Vec<usize>>,
    /// One bit for each hash of a window: most of a long prompt is dismissed here.
    gate: Box<[u64; 1024]>,
    marks: Vec<bool>,
}

fn hash(window: u128) -> (usize, u64) {
    let folded = (window as u64 ^ (window >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    ((folded >> 6) as usize, 1 << (folded & 63))
}

/// Each window of `bytes` as a number, with the place where it begins.
fn windows(bytes: &[u8]) -> impl Iterator<Item = (usize, u128)> + '_ {
    let mut window = 0u128;
    bytes.iter().enumerate().filter_map(move |(at, byte)| {
        window = window << 8 | u128::from(*byte);
        (at + 1 >= RUN_BYTES).then(|| (at + 1 - RUN_BYTES, window))
    })
}

impl<'t> Quoted<'t> {
    fn new(text: &'t str) -> Self {
        let mut found: HashMap<u128, Vec<usize>> = HashMap::new();
        let mut gate = Box::new([0; 1024]);
        for (at, window) in windows(text.as_bytes()) {
            let (word, bit) = hash(window);
            gate[word] |= bit;
            found.entry(window).or_default().push(at);
        }
        Self { text, windows: found, gate, marks: vec![false; text.len()] }
    }

    /// Marks what `content` and the text share.
    fn compare(&mut self, content: &str) {
        for (_, window) in windows(content.as_bytes()) {
            let (word, bit) = hash(window);
            if self.gate[word] & bit != 0
                // Taken out: a place is marked once, so that a prompt which repeats itself costs nothing more.
                && let Some(places) = self.windows.remove(&window)
            {
                for at in places {
                    self.marks[at..at + RUN_BYTES].fill(true);
                }
            }
        }
        let word = content.trim();
        if (WORD_BYTES..RUN_BYTES).contains(&word.len()) {
            for (at, _) in self.text.match_indices(word) {
                self.marks[at..at + word.len()].fill(true);
            }
        }
    }

    fn hidden(self) -> String {
        let Self { text, marks, .. } = self;
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        while let Some(start) = marks[from..].iter().position(|marked| *marked).map(|n| from + n) {
            let mut end = start;
            while let Some(next) = marks[end..].iter().take(GAP_BYTES + 1).position(|marked| *marked) {
                end += next + 1;
            }
            // A window may begin or end inside a character.
            out.push_str(&text[from..text.floor_char_boundary(start).max(from)]);
            out.push_str(MARKER);
            from = text.ceil_char_boundary(end);
        }
        out.push_str(&text[from..]);
        out
    }
}

/// Visits every string of a JSON value but those under names of choices.
struct Strings<'q, 't> {
    quoted: &'q mut Quoted<'t>,
    choice: bool,
}

impl<'de> DeserializeSeed<'de> for Strings<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if !self.choice {
            self.quoted.compare(text);
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Strings { quoted: self.quoted, choice: self.choice })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            if CHOICES.contains(&name.as_str()) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                fields.next_value_seed(Strings { quoted: self.quoted, choice: false })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(content: &str, text: &str) -> String {
        let body = serde_json::json!({ "model": "gpt-4o-mini-2024-07-18", "messages": [{ "role": "assistant", "content": content }] });
        Private::of(body.to_string().as_bytes()).hidden_in(text)
    }

    #[test]
    fn what_an_error_quotes_of_a_prompt_is_hidden_and_its_own_words_stay() {
        let prompt = "the violet lantern hums over the seventh quay, 海上灯塔编号七十三在夜里熄灭";
        for (text, kept) in [
            (format!("Invalid value: '{prompt}'. Try again."), "Invalid value: '[REDACTED:content]'. Try again."),
            ("Your input \"violet lantern hums over\"... is flagged".to_owned(), "Your input \"[REDACTED:content]\"... is flagged"),
            ("输入“灯塔编号七十三在夜里”违规".to_owned(), "输入“[REDACTED:content]”违规"),
            ("The lantern model is overloaded".to_owned(), "The lantern model is overloaded"),
            ("model gpt-4o-mini-2024-07-18 has no role assistant".to_owned(), "model gpt-4o-mini-2024-07-18 has no role assistant"),
        ] {
            assert_eq!(hidden(prompt, &text), kept);
        }
        assert_eq!(hidden("hunter2!", "bad word: hunter2!"), "bad word: [REDACTED:content]");
        assert_eq!(hidden("hi", "this is hidden"), "this is hidden");
    }

    #[test]
    fn escapes_in_a_quotation_do_not_save_the_pieces_between_them() {
        let text = r"bad: 'first line of the prompt\n\nsecond line of the prompt' end";
        assert_eq!(hidden("first line of the prompt\n\nsecond line of the prompt", text), "bad: '[REDACTED:content]' end");
    }

    #[test]
    fn a_form_is_content_as_a_whole() {
        let form = b"--b\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\nthe violet lantern hums over the quay\r\n--b--";
        assert_eq!(Private::of(form).hidden_in("said: the violet lantern hums over"), "said: [REDACTED:content]");
        assert_eq!(Private::of(b"").hidden_in("as it is"), "as it is");
    }
}
