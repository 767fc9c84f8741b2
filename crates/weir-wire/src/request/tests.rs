//! Laws of peeking: what a request asks for, what is refused and how, and that a splice changes nothing else.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_core::Route;

use super::*;

fn chat(body: &str) -> Result<Peek, RequestFault> {
    peek(Route::ChatCompletions, Some("application/json"), &Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn a_request_tells_what_it_asks_for() {
    let peek = chat(
        r#"{"model":"gpt-4o","stream":true,"n":2,"max_tokens":10,"max_completion_tokens":20,"stream_options":{"include_usage":true}}"#,
    )
    .unwrap();
    assert_eq!(peek.model, "gpt-4o");
    assert_eq!((peek.stream, peek.asked_usage, peek.choices, peek.max_output), (true, true, 2, Some(20)));
    let plain = chat(" {\n\"model\" : \"m\\u0031\" , \"stream\": null, \"n\": null, \"max_tokens\": -1 } \n").unwrap();
    assert_eq!((plain.model.as_str(), plain.stream, plain.asked_usage, plain.choices, plain.max_output), ("m1", false, false, 1, None));
    let speech = br#"{"model":"tts","input":"hi","voice":"a","stream_format":"sse"}"#;
    assert!(super::peek(Route::AudioSpeech, None, &Bytes::from_static(speech)).unwrap().stream);
    assert_eq!(super::peek(Route::Models, None, &Bytes::new()).unwrap().model, "");
}

#[test]
fn a_faulty_request_is_refused_by_name() {
    let table: &[(&str, Option<&str>)] = &[
        ("", None),
        ("[]", None),
        ("\"model\"", None),
        ("null", None),
        ("{\"model\":\"m\"", None),
        ("{\"model\":\"m\"} x", None),
        ("{\"model\":\"m\"}{}", None),
        ("{\"model\":\"m\",}", None),
        ("{'model':'m'}", None),
        ("{\"model\":\"m\",\"temperature\":NaN}", None),
        ("{\"model\":\"m\",\"top_p\":Infinity}", None),
        ("{\"model\":\"m\",\"model\":\"n\"}", None),
        ("{\"model\":\"m\",\"mod\\u0065l\":\"n\"}", None),
        ("{\"model\":\"m\",\"messages\":[],\"messages\":[]}", None),
        ("{\"model\":\"m\",\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}", Some("stream_options")),
        ("\u{feff}{\"model\":\"m\"}", None),
        ("{}", Some("model")),
        ("{\"model\":null}", Some("model")),
        ("{\"model\":3}", Some("model")),
        ("{\"model\":[\"m\"]}", Some("model")),
        ("{\"model\":\"\"}", Some("model")),
        ("{\"model\":\"a\\nb\"}", Some("model")),
        ("{\"model\":\"a\\u0000\"}", Some("model")),
        ("{\"model\":\"m\",\"stream\":\"yes\"}", Some("stream")),
        ("{\"model\":\"m\",\"stream\":1}", Some("stream")),
        ("{\"model\":\"m\",\"stream_options\":true}", Some("stream_options")),
        ("{\"model\":\"m\",\"stream_options\":[]}", Some("stream_options")),
        ("{\"model\":\"m\",\"stream_options\":{\"include_usage\":\"yes\"}}", Some("stream_options")),
        ("{\"model\":\"m\",\"max_tokens\":\"10\"}", Some("max_tokens")),
        ("{\"model\":\"m\",\"max_tokens\":-5}", Some("max_tokens")),
        ("{\"model\":\"m\",\"max_completion_tokens\":1.5}", Some("max_completion_tokens")),
        ("{\"model\":\"m\",\"max_output_tokens\":{}}", Some("max_output_tokens")),
        ("{\"model\":\"m\",\"n\":0}", Some("n")),
        ("{\"model\":\"m\",\"n\":129}", Some("n")),
        ("{\"model\":\"m\",\"best_of\":\"2\"}", Some("best_of")),
    ];
    for (body, param) in table {
        let fault = chat(body).expect_err(body);
        assert_eq!(fault.param, *param, "{body}: {fault}");
        assert!(fault.message.ends_with('.'), "{fault}");
    }
    assert!(chat(&format!("{{\"model\":\"{}\"}}", "m".repeat(257))).is_err());
    assert!(chat(&format!("{{\"model\":\"{}\"}}", "m".repeat(256))).is_ok());
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let fault = peek(Route::ChatCompletions, None, &Bytes::from_static(b"{\"model\":\"m\xff\"}")).unwrap_err();
    assert_eq!(fault.message, "The request body is not UTF-8 (byte 11).");
}

#[test]
fn a_depth_bomb_is_refused_and_overflows_nothing() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let bomb = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for field in ["messages", "model", "stream", "stream_options"] {
            let body = format!("{{\"model\":\"m\",\"{field}\":{bomb}}}");
            assert!(chat(&body.replace("\"model\":\"m\",\"model\"", "\"model\"")).is_err(), "{field}");
        }
        assert!(chat(&format!("{{\"model\":\"m\",\"stream_options\":{{\"a\":{bomb}}}}}")).is_err());
    }
    assert!(chat(&format!("{{\"model\":\"m\",\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100))).is_ok());
}

#[test]
fn a_body_with_too_many_fields_is_refused() {
    let fields: Vec<String> = (0..300).map(|n| format!("\"f{n}\":1")).collect();
    assert!(chat(&format!("{{\"model\":\"m\",{}}}", fields.join(","))).is_err());
}

#[test]
fn a_fault_quotes_nothing_of_the_request() {
    for body in
        ["{\"model\":\"m\",\"canary", "{\"model\":\"m\",\"stream\":\"canary\"}", "{\"canary\":1,\"canary\":2}", "{\"model\":\"m\"}canary"]
    {
        let fault = chat(body).unwrap_err();
        assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
    }
}

#[test]
fn usage_is_asked_for_by_a_splice_that_keeps_every_other_byte() {
    let table = [
        (r#"{"model":"m","stream":true}"#, r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#),
        (r#" { "model":"m","stream":true }"#, r#" {"stream_options":{"include_usage":true}, "model":"m","stream":true }"#),
        (r#"{"stream":true,"stream_options":null,"model":"m"}"#, r#"{"stream":true,"stream_options":{"include_usage":true},"model":"m"}"#),
        (
            r#"{"model":"m","stream":true,"stream_options": {} }"#,
            r#"{"model":"m","stream":true,"stream_options": {"include_usage":true} }"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{ "include_obfuscation":false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true, "include_obfuscation":false}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage" : false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage" : true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":null,"x":1}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (r#"{"model":"m","stream":false}"#, r#"{"model":"m","stream":false}"#),
        (r#"{"model":"m","\u0073tream":true}"#, r#"{"stream_options":{"include_usage":true},"model":"m","\u0073tream":true}"#),
    ];
    for (before, after) in table {
        let body = Bytes::from_static(before.as_bytes());
        let peek = chat(before).unwrap();
        assert_eq!(with_include_usage(&body, &peek), after.as_bytes(), "{before}");
    }
}

#[test]
fn only_chats_and_completions_are_asked_for_usage() {
    let body = Bytes::from_static(br#"{"model":"m","stream":true}"#);
    for route in [Route::Responses, Route::Messages, Route::AudioSpeech] {
        let peek = peek(route, None, &body).unwrap();
        assert_eq!(with_include_usage(&body, &peek), body, "{route:?}");
    }
    assert_ne!(with_include_usage(&body, &peek(Route::Completions, None, &body).unwrap()), body);
}

#[test]
fn input_is_estimated_by_the_stated_rule() {
    let size = |body: &str| chat(&format!(r#"{{"model":"m",{body}}}"#)).unwrap().input_tokens;
    let image = "A".repeat(400_000);
    assert_eq!(size(r#""x":"abcdefgh""#), 2);
    assert_eq!(size(r#""x":"漢字""#), 2);
    assert_eq!(size(r#""x":[1,2,-3,4.5]"#), 4);
    assert_eq!(size(r#""x":[true,null]"#), 0);
    for medium in [
        format!(r#""messages":[{{"image_url":{{"url":"data:image/png;base64,{image}"}}}}]"#),
        format!(r#""messages":[{{"source":{{"type":"base64","data":"{image}"}}}}]"#),
        format!(r#""messages":[{{"input_audio":{{"data":"{image}"}}}}]"#),
        r#""messages":[{"image_url":{"url":"https://example.com/very/long/path.png"}}]"#.to_owned(),
        r#""input":[{"type":"input_image","image_url":"https://example.com/a.png"}]"#.to_owned(),
    ] {
        let tokens = size(&medium);
        assert!((1024..1040).contains(&tokens), "{tokens}");
    }
    let prose = "word ".repeat(1000);
    assert!(size(&format!(r#""messages":[{{"data":"{prose}"}}]"#)) > 1200, "text under a medium's name is text");
}

#[test]
fn a_form_tells_its_model_and_whether_it_streams() {
    let form = Peek::of_form(Some("whisper-1"), Some("true"), Some("3"), 2048).unwrap();
    assert_eq!((form.model.as_str(), form.stream, form.choices, form.input_tokens), ("whisper-1", true, 3, 2));
    assert_eq!(Peek::of_form(Some("m"), None, Some("0"), 0).unwrap_err().param, Some("n"));
    assert!(!Peek::of_form(Some("m"), None, None, 0).unwrap().stream);
    for (model, stream, param) in [(None, None, "model"), (Some(" "), None, "model"), (Some("m"), Some("yes"), "stream")] {
        assert_eq!(Peek::of_form(model, stream, None, 0).unwrap_err().param, Some(param));
    }
}

#[test]
fn json_is_read_whatever_its_content_type_and_a_form_is_not() {
    let body = Bytes::from_static(br#"{"model":"m"}"#);
    assert!(peek(Route::ChatCompletions, Some("application/x-www-form-urlencoded"), &body).is_ok());
    assert!(peek(Route::ChatCompletions, Some("Multipart/Form-Data; boundary=x"), &body).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z{\"]{1,6}", inner, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_spliced_request_differs_only_in_asking_for_usage(
        extra in any_json(),
        options in prop::option::of(prop_oneof![Just(json!(null)), Just(json!({})), Just(json!({"include_usage": null})), Just(json!({"a": {"include_usage": 1}})), Just(json!({"include_usage": false, "b": "}"}))]),
        pretty: bool,
    ) {
        let mut request = json!({"model": "m", "stream": true, "aaa": extra.clone(), "zzz": extra});
        if let Some(options) = &options {
            request["stream_options"] = options.clone();
        }
        let text = if pretty { serde_json::to_vec_pretty(&request) } else { serde_json::to_vec(&request) }.unwrap();
        let body = Bytes::from(text);
        let peeked = peek(Route::ChatCompletions, None, &body).unwrap();
        let spliced: Value = serde_json::from_slice(&with_include_usage(&body, &peeked)).unwrap();
        let mut expected = request;
        if !expected["stream_options"].is_object() {
            expected["stream_options"] = json!({});
        }
        expected["stream_options"]["include_usage"] = json!(true);
        prop_assert_eq!(&spliced, &expected);
        let again = Bytes::from(serde_json::to_vec(&spliced).unwrap());
        prop_assert!(peek(Route::ChatCompletions, None, &again).unwrap().asked_usage);
    }

    #[test]
    fn no_bytes_make_a_peek_panic(body in prop::collection::vec(any::<u8>(), 0..200), json in r#"[{}\[\]",:a-z0-9\\ ]{0,80}"#) {
        let _ = peek(Route::ChatCompletions, None, &Bytes::from(body));
        let _ = peek(Route::ChatCompletions, None, &Bytes::from(format!("{{\"model\":\"m\",{json}}}")));
    }
}

proptest! {
    #[test]
    fn d3_the_order_of_fields_and_white_space_change_nothing_of_what_a_body_means(
        mut fields in proptest::collection::btree_map("[a-z]{1,6}", -1_000i64..1_000, 1..8),
        user in "[a-z]{0,8}",
        shift in 0usize..8,
    ) {
        fields.remove("user");
        let mut written: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\" :\t{{\"x\":{value}, \"b\":null}}")).collect();
        let straight = format!("{{{}}}", written.join(","));
        let count = written.len();
        written.rotate_left(shift % count);
        written.push(format!("\"user\":\"{user}\""));
        let turned = format!(" {{ {} }}\n", written.join(" ,\n"));
        prop_assert_eq!(canonical(straight.as_bytes()).unwrap(), canonical(turned.as_bytes()).unwrap());
        let other = straight.replacen("null", "0", 1);
        prop_assert_ne!(canonical(straight.as_bytes()).unwrap(), canonical(other.as_bytes()).unwrap());
    }
}

#[test]
fn d3_equal_forms_are_equal_whatever_their_boundary() {
    let form = |boundary: &str, model: &str| {
        format!("--{boundary}\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--{boundary}--\r\n")
    };
    let (one, two, other) = (form("AaB03x", "whisper"), form("zz9", "whisper"), form("zz9", "tts"));
    let pieces = |kind: &str, body: &str| without_boundary(kind, body.as_bytes()).concat();
    assert_eq!(pieces("multipart/form-data; boundary=AaB03x", &one), pieces("multipart/form-data; charset=utf-8; boundary=\"zz9\"", &two));
    assert_ne!(pieces("multipart/form-data; boundary=zz9", &two), pieces("multipart/form-data; boundary=zz9", &other));
    assert_eq!(without_boundary("multipart/form-data", b"abc"), [b"abc"]);
}
