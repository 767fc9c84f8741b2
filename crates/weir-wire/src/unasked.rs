//! What a chunk says only because weir asked for usage in the client's place: taken out as text, so that all else stays as it came.

use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr2, memmem};

use crate::sse::without_bom;

/// The member as compact writers end a chunk with it.
const TAIL: &[u8] = br#","usage":null}"#;

/// A chat or completions chunk without its top-level `"usage":null`, which upstreams put into every chunk but the last when
/// usage was asked for. Every other byte stays. The same frame, not a copy, where there is no such member; also where the event
/// has several `data` lines or is no JSON object.
#[must_use]
pub fn without_null_usage(frame: &Bytes) -> Bytes {
    let found = data_line(frame).and_then(|line| {
        let member = null_usage(&frame[line.clone()])?;
        Some(line.start + member.start..line.start + member.end)
    });
    match found {
        None => frame.clone(),
        Some(member) => [&frame[..member.start], &frame[member.end..]].concat().into(),
    }
}

/// Where the value of the only `data` line stands in a frame.
fn data_line(frame: &[u8]) -> Option<Range<usize>> {
    let mut start = frame.len() - without_bom(frame).len();
    let mut found = None;
    while start < frame.len() {
        let end = memchr2(b'\n', b'\r', &frame[start..]).map_or(frame.len(), |length| start + length);
        if frame[start..end].starts_with(b"data:") {
            if found.is_some() {
                return None;
            }
            found = Some(start + b"data:".len()..end);
        }
        start = end + 1;
    }
    found
}

/// Where the member stands in an object, with the one comma that goes with it.
fn null_usage(json: &[u8]) -> Option<Range<usize>> {
    // A brace that ends the text closes the object, so what stands right before it is a member of it and no part of a string.
    let object = json.trim_ascii();
    let start = json.len() - json.trim_ascii_start().len();
    if !object.starts_with(b"{") {
        return None;
    }
    if object.ends_with(TAIL) {
        let end = start + object.len() - 1;
        return Some(end + 1 - TAIL.len()..end);
    }
    // Most upstreams that do not put it last never write it at all.
    memmem::find(object, br#""usage""#)?;
    let member = scan(object)?;
    Some(start + member.start..start + member.end)
}

/// Looks through the names of an object, whose first byte is its brace.
fn scan(object: &[u8]) -> Option<Range<usize>> {
    // Before each name: the comma behind the member before it, or the opening brace.
    let mut before = 0;
    loop {
        let name_at = skip_space(object, before + 1);
        let name_end = skip_string(object, name_at)?;
        let colon = skip_space(object, name_end);
        if object.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_space(object, colon + 1);
        let value_end = skip_value(object, value)?;
        let after = skip_space(object, value_end);
        if &object[name_at..name_end] == br#""usage""# && &object[value..value_end] == b"null" {
            return Some(match (before, object.get(after)) {
                (0, Some(b',')) => name_at..skip_space(object, after + 1),
                (0, _) => name_at..value_end,
                _ => before..value_end,
            });
        }
        if object.get(after) != Some(&b',') {
            return None;
        }
        before = after;
    }
}

fn skip_space(json: &[u8], from: usize) -> usize {
    let rest = json.get(from..).unwrap_or_default();
    from + rest.len() - rest.trim_ascii_start().len()
}

/// The end of the string that begins at `from`.
fn skip_string(json: &[u8], from: usize) -> Option<usize> {
    if json.get(from) != Some(&b'"') {
        return None;
    }
    let mut at = from + 1;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The end of the value that begins at `from`.
fn skip_value(json: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut depth) = (from, 0u32);
    loop {
        match json.get(at)? {
            b'"' => {
                at = skip_string(json, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return (at > from).then(|| json[..at].trim_ascii_end().len()),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::{Map, Value, json};

    use super::*;

    fn stripped(frame: &str) -> String {
        let frame = Bytes::copy_from_slice(frame.as_bytes());
        String::from_utf8(without_null_usage(&frame).to_vec()).unwrap()
    }

    #[test]
    fn only_a_null_usage_at_the_top_is_taken_with_its_comma() {
        let table = [
            ("data: {\"id\":\"a\",\"usage\":null}\n\n", "data: {\"id\":\"a\"}\n\n"),
            ("data:{\"usage\":null,\"id\":\"a\"}\r\n\r\n", "data:{\"id\":\"a\"}\r\n\r\n"),
            ("\u{feff}data: {\"id\":1,\"usage\":null,\"x\":2}\n\n", "\u{feff}data: {\"id\":1,\"x\":2}\n\n"),
            ("data: {\"id\": 1, \"usage\": null, \"x\": \"\\\"\"}\n\n", "data: {\"id\": 1, \"x\": \"\\\"\"}\n\n"),
            ("data: {\"usage\": null, \"x\": 2}\n\n", "data: {\"x\": 2}\n\n"),
            ("data: {\"usage\":null}\n\n", "data: {}\n\n"),
            (": c\nevent: e\ndata: {\"a\":[],\"usage\":null} \nid: 1\n\n", ": c\nevent: e\ndata: {\"a\":[]} \nid: 1\n\n"),
            ("data: {\"a\":{\"usage\":null},\"usage\":null}\n\n", "data: {\"a\":{\"usage\":null}}\n\n"),
        ];
        for (before, after) in table {
            assert_eq!(stripped(before), after);
        }
    }

    #[test]
    fn nothing_else_that_reads_like_it_is_touched() {
        let table = [
            "data: {\"id\":\"a\",\"usage\":{\"total_tokens\":1}}\n\n",
            "data: {\"a\":{\"b\":1,\"usage\":null}}\n\n",
            "data: {\"a\":[{\"usage\":null}]}\n\n",
            "data: {\"a\":\"x,\\\"usage\\\":null}\"}\n\n",
            "data: {\"a\":\",\\\"usage\\\":null\",\"b\":\"usage\"}\n\n",
            "data: {\"a\":\"\\\\\",\"b\":\"\\\"usage\\\":null\"}\n\n",
            "data: {\"a\":\"usage\",\"null\":null}\n\n",
            "data: {\"usages\":null,\"x\":\"usage\"}\n\n",
            "data: {\"a\":1,\"usage\":\"null\"}\n\n",
            "data: {\"a\":1,\n\ndata: \"usage\":null}\n\n",
            "data: {\"a\":1,\ndata: \"usage\":null}\n\n",
            "data: [1,\"usage\",null]\n\n",
            "data: [DONE]\n\n",
            ": ,\"usage\":null}\n\n",
            "data: {\"usage\"\n\n",
            "data: {\"usage\":\n\n",
            "data: {\"usage\":null\n\n",
            "data: {\"a\":\"\\\n\n",
            "data: {\"a\"}\"usage\"]\n\n",
            "data:\n\n",
            "\n",
            "",
        ];
        for frame in table {
            assert_eq!(stripped(frame), frame);
        }
    }

    fn word() -> impl Strategy<Value = String> {
        let tricky = ["usage", ",\"usage\":null", "\"usage\":null}", ",\\\"usage\\\":null}", "\\", "\"", "}", "{", "null", "好", "a b"];
        prop_oneof![prop::sample::select(tricky.map(str::to_owned).to_vec()), ".{0,6}"]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            word().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((word(), inner), 0..4).prop_map(|members| Value::Object(Map::from_iter(members))),
            ]
        })
    }

    /// An object as text, its members in this order, with or without spaces.
    fn written(members: &[(String, Value)], spaced: bool) -> String {
        let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
        let member = |(name, value): &(String, Value)| format!("{}{colon}{value}", json!(name));
        format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(comma))
    }

    proptest! {
        #[test]
        fn the_rest_is_what_an_upstream_that_was_not_asked_would_have_written(
            members in vec((word(), value()), 0..6), at in 0usize..7, spaced: bool, crlf: bool
        ) {
            let members: Vec<_> = members.into_iter().filter(|(name, _)| name != "usage").collect();
            let mut asked = members.clone();
            asked.insert(at.min(members.len()), ("usage".to_owned(), json!(null)));
            let end = if crlf { "\r\n\r\n" } else { "\n\n" };
            let frame = |members| format!("data: {}{end}", written(members, spaced));
            prop_assert_eq!(stripped(&frame(&asked)), frame(&members));
            prop_assert_eq!(stripped(&frame(&members)), frame(&members));
        }

        #[test]
        fn whatever_comes_at_most_one_span_is_missing(frame in "(data: ?)?[\\[\\]{}\", :\\\\nusagel\n]{0,40}(,\"usage\":null\\})?\n\n") {
            let rest = stripped(&frame);
            let head = frame.bytes().zip(rest.bytes()).take_while(|(a, b)| a == b).count();
            let tail = frame.bytes().rev().zip(rest.bytes().rev()).take_while(|(a, b)| a == b).count();
            prop_assert!(head + tail >= rest.len());
            prop_assert!(rest == frame || frame.contains("\"usage\""));
        }
    }
}
