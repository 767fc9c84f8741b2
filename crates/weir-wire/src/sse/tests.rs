//! Laws of the event stream: the vectors of the web platform tests, and that chunking never matters.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

fn decode(chunks: &[&[u8]]) -> Vec<Decoded> {
    let mut decoder = Decoder::new(LIMIT);
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, |decoded| seen.push(decoded)).unwrap();
    }
    seen
}

fn events(stream: &[u8]) -> Vec<(String, String, String)> {
    let only = |decoded| if let Decoded::Event(e) = decoded { Some((e.kind, e.data, e.id)) } else { None };
    decode(&[stream]).into_iter().filter_map(only).collect()
}

fn data(stream: &[u8]) -> Vec<String> {
    events(stream).into_iter().map(|(_, data, _)| data).collect()
}

fn frames(chunks: &[&[u8]]) -> (Vec<Bytes>, Bytes) {
    let mut splitter = FrameSplitter::new(LIMIT);
    let mut out = Vec::new();
    for chunk in chunks {
        splitter.feed(Bytes::copy_from_slice(chunk), &mut out).unwrap();
    }
    (out, splitter.finish())
}

#[test]
fn the_web_platform_vectors_read_as_the_standard_says() {
    let long = "x".repeat(2048);
    let comments = format!("data:1\r:\0\n:\r\ndata:2\n:{long}\rdata:3\n:data:fail\r:{long}\ndata:4\n\n");
    let vectors: &[(&str, &str, &[&str])] = &[
        (
            "format-field-parsing",
            "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
            &["\0\n 2\n1\n3\n\n4"],
        ),
        ("format-newlines", "data:test\r\ndata\ndata:test\r\n\r", &["test\n\ntest"]),
        ("format-leading-space", "data:\ttest\rdata: \ndata:test\n\n", &["\ttest\n\ntest"]),
        ("format-comments", &comments, &["1\n2\n3\n4"]),
        ("format-field-data", "data:\n\ndata\ndata\n\ndata:test\n\n", &["", "\n", "test"]),
        ("format-field-unknown", "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n", &["test\n\ntest"]),
        ("format-data-before-final-empty-line", "retry:1000\ndata:test1\n\nid:test\ndata:test2", &["test1"]),
        ("format-bom", "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n", &["1", "3"]),
        ("format-bom-2", "\u{feff}\u{feff}data:1\n\ndata:2\n\ndata:3\n\n", &["2", "3"]),
        ("format-null-character", "data:\0\n\n\n\n", &["\0"]),
        ("format-field-event-empty", "event: \ndata:data\n\n", &["data"]),
    ];
    for (name, stream, expected) in vectors {
        assert_eq!(data(stream.as_bytes()), *expected, "{name}");
    }
}

#[test]
fn types_last_for_one_event_and_ids_until_the_next() {
    let stream = b"event:test\ndata:x\n\ndata:x\n\nid: 7\n\ndata:y\n\nid:a\0b\ndata:z\n\nid\ndata:end\n\n";
    let expected = [("test", "x", ""), ("message", "x", ""), ("message", "y", "7"), ("message", "z", "7"), ("message", "end", "")];
    let seen = events(stream);
    assert_eq!(seen.iter().map(|(k, d, i)| (k.as_str(), d.as_str(), i.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn a_retry_of_anything_but_digits_is_ignored() {
    let retries = decode(&[b"retry:3000\nretry:1000x\nretry\nretry: 5\nretry:-1\n\n"]);
    let millis = |ms| Decoded::Retry(std::time::Duration::from_millis(ms));
    assert_eq!(retries, [millis(3000), millis(5)]);
}

#[test]
fn bad_utf8_is_replaced_and_no_error() {
    assert_eq!(data(b"data:ok\xF0\x9F\n\n"), ["ok\u{FFFD}"]);
}

#[test]
fn what_lacks_its_blank_line_is_no_event_but_can_be_had() {
    for (stream, expected) in [("data: [DONE]", Some("[DONE]")), ("data: [DONE]\n", Some("[DONE]")), ("data: x\n\n", None), (": c", None)] {
        let mut decoder = Decoder::new(LIMIT);
        decoder.feed(stream.as_bytes(), |_| ()).unwrap();
        assert_eq!(decoder.finish().map(|event| event.data), expected.map(str::to_owned), "{stream}");
    }
}

#[test]
fn a_frame_is_whole_with_its_border() {
    type Raw = &'static [u8];
    let table: &[(Raw, &[Raw], Raw)] = &[
        (b"data: 1\n\ndata: 2\n\nda", &[b"data: 1\n\n", b"data: 2\n\n"], b"da"),
        (b"data: 1\r\n\r\ndata: 2\r\rdata: 3\n\r\n", &[b"data: 1\r\n\r\n", b"data: 2\r\r", b"data: 3\n\r\n"], b""),
        (b": ping\n\n: a\ndata: x\ndata: y\r\n\n", &[b": ping\n\n", b": a\ndata: x\ndata: y\r\n\n"], b""),
        (b"\n\n\ndata: 1\n\n", &[b"\n", b"\n", b"\n", b"data: 1\n\n"], b""),
        (b"\xEF\xBB\xBFdata: 1\n\n", &[b"\xEF\xBB\xBFdata: 1\n\n"], b""),
        (b"data: 1\r\n\r", &[b"data: 1\r\n\r"], b""),
    ];
    for (stream, expected, rest) in table {
        let (seen, left) = frames(&[stream]);
        assert_eq!(seen, *expected, "{:?}", String::from_utf8_lossy(stream));
        assert_eq!(left, *rest);
    }
}

#[test]
fn a_frame_goes_out_at_its_cr_and_the_lf_joins_the_next() {
    let mut splitter = FrameSplitter::new(LIMIT);
    let mut out = Vec::new();
    splitter.feed(Bytes::from_static(b"data: 1\r\n\r"), &mut out).unwrap();
    assert_eq!(out, [&b"data: 1\r\n\r"[..]]);
    splitter.feed(Bytes::from_static(b"\ndata: 2\r\n\r\n"), &mut out).unwrap();
    assert_eq!(out[1..], [&b"\ndata: 2\r\n\r\n"[..]]);
    assert_eq!(event_data(&out[1]).as_deref(), Some(&b"2"[..]));
    assert_eq!(splitter.pending(), 0);
}

#[test]
fn a_frame_inside_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    let mut out = Vec::new();
    FrameSplitter::new(LIMIT).feed(chunk.clone(), &mut out).unwrap();
    assert_eq!(out.iter().map(|frame| frame.as_ptr()).collect::<Vec<_>>(), [chunk.as_ptr(), chunk[9..].as_ptr()]);
}

#[test]
fn a_frame_over_its_limit_is_refused_after_the_frames_before_it() {
    for chunks in [&[&b"data: 1\n\ndata: 0123456789\n\n"[..]][..], &[b"data: 1\n\ndata: 0", b"12345", b"6789!"]] {
        let mut splitter = FrameSplitter::new(16);
        let mut out = Vec::new();
        let fed: Result<Vec<()>, _> = chunks.iter().map(|chunk| splitter.feed(Bytes::copy_from_slice(chunk), &mut out)).collect();
        assert_eq!(fed, Err(EventTooLong { limit_bytes: 16 }));
        assert_eq!(out, [&b"data: 1\n\n"[..]]);
    }
    assert!(Decoder::new(16).feed(b"data: 0123456789\ndata: 0123456789\n", |_| ()).is_err());
}

#[test]
fn parts_are_borrowed_unless_data_has_several_lines() {
    let one = FrameParts::of(b"event: response.failed\r\ndata:{\"a\":1}\r\n\r\n");
    assert_eq!(one.event, b"response.failed");
    assert!(matches!(one.data, Some(std::borrow::Cow::Borrowed(b"{\"a\":1}"))));
    assert_eq!(event_data(b"data: a\n: c\ndatax: no\ndata\ndata:b\n\n").as_deref(), Some(&b"a\n\nb"[..]));
    assert_eq!(event_data(b": comment\n\n"), None);
    assert_eq!(event_data(b"data:\n\n").as_deref(), Some(&b""[..]));
    assert_eq!(FrameParts::of(b"error: {\"code\":400}\n\n").error, Some(&b"{\"code\":400}"[..]));
}

/// Streams made of what streams are made of, so that borders, fields and comments meet often.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(&b"\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\n\n"[..]),
        Just(&b"data: "[..]),
        Just(&b"data"[..]),
        Just(&b"event:x"[..]),
        Just(&b":"[..]),
        Just(&b" "[..]),
        Just(&b"id:1"[..]),
        Just(&b"{\"a\":1}"[..]),
        Just(&b"\xEF\xBB\xBF"[..]),
        Just("密".as_bytes()),
        Just(&b"\xFF"[..]),
        Just(&b"\0"[..]),
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

fn cut<'a>(stream: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = at.iter().map(|index| index.index(stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn frames_and_the_rest_are_the_stream_byte_for_byte(stream in any_stream(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let (whole, rest) = frames(&cut(&stream, &at));
        prop_assert_eq!([whole.concat(), rest.to_vec()].concat(), stream);
    }

    #[test]
    fn chunking_never_changes_an_event(stream in any_stream(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let expected = decode(&[&stream]);
        prop_assert_eq!(&decode(&cut(&stream, &at)), &expected);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&decode(&bytes), &expected);
    }

    #[test]
    fn frames_hold_the_events_that_the_decoder_reads(stream in any_stream(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let (whole, _) = frames(&cut(&stream, &at));
        let read: Vec<String> = whole
            .iter()
            .enumerate()
            .filter_map(|(n, frame)| event_data(if n == 0 { without_bom(frame) } else { frame }))
            .map(|data| String::from_utf8_lossy(&data).into_owned())
            .collect();
        prop_assert_eq!(read, data(&stream));
    }

    #[test]
    fn every_frame_but_blank_lines_ends_at_its_first_blank_line(stream in any_stream()) {
        let (whole, _) = frames(&[&stream]);
        for frame in whole {
            prop_assert!(frame.ends_with(b"\n") || frame.ends_with(b"\r"));
            let (inner, _) = frames(&[&frame]);
            prop_assert_eq!(inner.len(), 1);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), limit in 0usize..64) {
        let mut out = Vec::new();
        let _ = FrameSplitter::new(limit).feed(Bytes::from(bytes.clone()), &mut out);
        let _ = Decoder::new(limit).feed(&bytes, |_| ());
        let _ = FrameParts::of(&bytes);
    }
}

#[test]
fn what_is_taken_out_of_a_stream_leaves_every_line_end_whole_wherever_its_chunks_end() {
    for ends in ["\r\n", "\n", "\r"] {
        let event = |data: &str| format!("data: {data}{ends}{ends}");
        let wanted = [event("a"), event("b"), event("[DONE]")].concat();
        let sent = [event("a"), event("usage"), event("usage"), event("b"), event("usage"), event("[DONE]")].concat();
        for size in 1..sent.len() {
            let (mut splitter, mut seam, mut frames, mut passed) = (FrameSplitter::new(100), Seam::default(), Vec::new(), Vec::new());
            for chunk in sent.as_bytes().chunks(size) {
                splitter.feed(Bytes::copy_from_slice(chunk), &mut frames).unwrap();
            }
            for frame in frames {
                if frame.windows(5).any(|word| word == b"usage") {
                    seam.take_out(&frame);
                } else {
                    passed.extend_from_slice(&seam.close(frame));
                }
            }
            passed.extend_from_slice(&splitter.finish());
            assert_eq!(String::from_utf8(passed).unwrap(), wanted, "{ends:?}, {size} bytes a chunk");
        }
    }
}
