//! Objects as people and programs paste them: JSON cut in the middle, Python's and JavaScript's way to print, JSON inside a string,
//! with words before and behind. Never fails; what cannot be read is left out. One pass, bounded in depth and size.

use serde_json::{Map, Value};

/// Deeper objects are left out.
const DEPTH: usize = 16;
/// How many places of a text are tried as the beginning of an object.
const STARTS: usize = 12;

/// The first object in `text` that has one of `names` for a key, and where it begins.
pub(super) fn first_object(text: &str, names: &[&str]) -> Option<(usize, Value)> {
    let escaped = text.contains("{\\\"") || text.contains("{\\n") || text.contains("{\\r");
    let starts = text.char_indices().filter(|(_, c)| *c == '{').map(|(at, _)| at);
    for at in starts.take(STARTS) {
        let tail = &text[at..];
        let plain = if escaped && tail[1..].trim_start().starts_with('\\') { Some(unescaped(tail)) } else { None };
        let mut reader = Reader { text: plain.as_deref().unwrap_or(tail).as_bytes(), at: 0 };
        if let Value::Object(fields) = reader.value(DEPTH)
            && fields.keys().any(|key| names.contains(&key.to_ascii_lowercase().as_str()))
        {
            return Some((at, Value::Object(fields)));
        }
    }
    None
}

/// One level of `\"` and `\\` taken away.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'r' | 't') => out.push(' '),
                Some(next) => out.push(next),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        self.blank();
        match self.peek() {
            Some(b'{') if depth > 0 => self.object(depth),
            Some(b'[' | b'(') if depth > 0 => self.list(depth),
            Some(b'"' | b'\'' | b'`') => Value::String(self.string()),
            Some(_) => self.bare(),
            None => Value::Null,
        }
    }

    /// `key: value` pairs up to `}`, or as far as the text goes.
    fn object(&mut self, depth: usize) -> Value {
        let mut fields = Map::new();
        self.at += 1;
        loop {
            self.blank();
            match self.peek() {
                None => break,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b',' | b';') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => {}
            }
            let from = self.at;
            let key = match self.peek() {
                Some(b'"' | b'\'') => self.string(),
                _ => self.word(b":=,}"),
            };
            self.blank();
            if matches!(self.peek(), Some(b':' | b'=')) {
                self.at += 1;
                let value = self.value(depth - 1);
                fields.entry(key).or_insert(value);
            } else if self.at == from {
                self.at += 1;
            }
        }
        Value::Object(fields)
    }

    fn list(&mut self, depth: usize) -> Value {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.blank();
            match self.peek() {
                None => break,
                Some(b']' | b')') => {
                    self.at += 1;
                    break;
                }
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                Some(_) => {
                    let from = self.at;
                    items.push(self.value(depth - 1));
                    self.at = self.at.max(from + 1);
                }
            }
        }
        Value::Array(items)
    }

    /// A string in any quotes, with the escapes of JSON and Python; an end that is missing is the end of the text.
    fn string(&mut self) -> String {
        let quote = self.text[self.at];
        self.at += 1;
        let mut out = Vec::new();
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b'\\' => self.escape(&mut out),
                b if b == quote => break,
                b => out.push(b),
            }
        }
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn escape(&mut self, out: &mut Vec<u8>) {
        let Some(b) = self.peek() else { return };
        self.at += 1;
        match b {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4).and_then(|four| std::str::from_utf8(four).ok());
                if let Some(unit) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
                    self.at += 4;
                    let c = char::from_u32(unit).unwrap_or(' ');
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            other => out.push(other),
        }
    }

    /// Up to one of `ends` or the end of the line.
    fn word(&mut self, ends: &[u8]) -> String {
        let from = self.at;
        while self.peek().is_some_and(|b| !ends.contains(&b) && b != b'\n') {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[from..self.at]).trim().to_owned()
    }

    /// A number, a name of a language for nothing, or a bare word; `b'…'` and `u'…'` are strings.
    fn bare(&mut self) -> Value {
        let prefix = matches!(self.peek(), Some(b'b' | b'u' | b'r' | b'f')) && matches!(self.text.get(self.at + 1), Some(b'"' | b'\''));
        if prefix {
            self.at += 1;
            return Value::String(self.string());
        }
        let word = self.word(b",}])");
        match word.as_str() {
            "null" | "None" | "nil" | "undefined" | "" => Value::Null,
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            _ => word.parse::<i64>().map_or_else(|_| Value::String(word.clone()), Value::from),
        }
    }
}
