//! Forms with files, as audio and image requests send them. Files are hashed, not kept.

use serde_json::{Map, Value};

use crate::digest::Fnv;

/// Parts one form may have.
const PARTS_MAX: usize = 256;
/// Larger fields are files in disguise, and hashed.
const FIELD_MAX_BYTES: usize = 64 * 1024;

/// The boundary named by a content type, if it is a form.
pub(crate) fn boundary(content_type: &str) -> Option<&str> {
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return None;
    }
    content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary=")).map(|boundary| boundary.trim_matches('"'))
}

/// The fields as an object of strings, and a hash over the files, free of the boundary, which is drawn anew each time.
pub(crate) fn read(body: &[u8], boundary: &str) -> Option<(Value, u64)> {
    let mark = format!("--{boundary}");
    let mut fields = Map::new();
    let mut files = Fnv::new();
    let mut left = &body[find(body, mark.as_bytes())? + mark.len()..];
    for _ in 0..PARTS_MAX {
        if left.starts_with(b"--") {
            return Some((Value::Object(fields), files.end()));
        }
        let next = find(left, mark.as_bytes())?;
        let part = left[..next].strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
        left = &left[next + mark.len()..];
        let border = find(part, b"\r\n\r\n")?;
        let (head, content) = (String::from_utf8_lossy(&part[..border]), &part[border + 4..]);
        let name = quoted(&head, "name=\"").unwrap_or_default().to_owned();
        match std::str::from_utf8(content) {
            Ok(text) if quoted(&head, "filename=\"").is_none() && content.len() <= FIELD_MAX_BYTES => {
                fields.insert(name, Value::from(text));
            }
            _ => {
                files.eat(name.as_bytes());
                files.eat(content);
            }
        }
    }
    None
}

fn quoted<'a>(head: &'a str, key: &str) -> Option<&'a str> {
    // `filename="` ends in `name="`, so a match must stand alone.
    let at = head.match_indices(key).map(|(at, _)| at).find(|at| head[..*at].ends_with([' ', ';']))?;
    head[at + key.len()..].split('"').next()
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(boundary: &str, file: &str) -> Vec<u8> {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n{file}\r\n--{boundary}--\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn a_form_is_the_same_under_any_boundary() {
        let one = read(&form("aaa", "RIFF"), "aaa").unwrap();
        assert_eq!(one.0, serde_json::json!({"model": "whisper-1"}));
        assert_eq!(one, read(&form("bbb-2", "RIFF"), "bbb-2").unwrap());
        assert_ne!(one.1, read(&form("aaa", "RIFX"), "aaa").unwrap().1);
        assert_eq!(boundary("multipart/form-data; boundary=\"x y\""), Some("x y"));
        assert!(read(b"--a\r\nbroken", "a").is_none());
    }
}
