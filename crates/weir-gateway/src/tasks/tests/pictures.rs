//! Pictures, whole and as partial images, and forms with files.

use weir_core::{Amount, Price, Verdict};

use super::json;
use crate::{Settings, promises::Bench};

const PNG: &str = "iVBOR";

fn pictures(settings: &mut Settings) {
    settings.prices.fallback = Some(Price { image: 500, ..Price::default() });
}

#[tokio::test(start_paused = true)]
async fn a_picture_is_answered_as_it_came_and_charged_by_the_number_that_came() {
    let bench = Bench::new(pictures);
    let body = r#"{"model":"sim:ok","prompt":"a violet lantern","n":3}"#;
    let read = bench.send("POST", "/v1/images/generations", "", body).await;
    assert_eq!((read.status(), json(&read)["data"].as_array().unwrap().len()), (200, 3));
    let charge = bench.record(read.id()).charge;
    assert_eq!((charge.held, charge.amount, charge.usage.images), (Amount(1_500), Amount(1_500), 3));
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn partial_pictures_pass_as_events_and_a_cut_before_the_picture_costs_none() {
    let bench = Bench::new(pictures);
    let ask = async |model: &str| {
        let body = format!(r#"{{"model":"{model}","prompt":"a violet lantern","stream":true,"partial_images":2}}"#);
        bench.send("POST", "/v1/images/generations", "", &body).await
    };
    let whole = ask("sim:ok").await;
    assert_eq!(whole.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(
        (whole.body.matches("partial_image\"").count(), whole.body.matches("image_generation.completed\"").count()),
        (2, 1),
        "{}",
        whole.body
    );
    assert!(whole.body.contains(PNG) && !whole.body.contains("[DONE]"));
    let record = bench.record(whole.id());
    assert_eq!((record.verdict, record.charge.amount), (Verdict::Ok, Amount(500)));
    let cut = ask("sim:cut_after=1").await;
    let error = cut.error();
    assert_eq!((error["verdict"].as_str(), bench.record(cut.id()).charge.amount), (Some("W-STREAM-005"), Amount(0)), "{}", cut.body);
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_a_form_with_a_file_and_passes_byte_for_byte() {
    let bench = Bench::new(pictures);
    let field = |name: &str, value: &str| format!("--b12345678\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let file =
        "--b12345678\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\nPNG\r\n";
    let body =
        [field("model", "sim:ok"), field("prompt", "a violet lantern"), field("n", "2"), file.to_owned(), "--b12345678--\r\n".to_owned()]
            .concat();
    let read = bench.send_as("POST", "/v1/images/edits", "", "multipart/form-data; boundary=b12345678", &body).await;
    assert_eq!(read.status(), 200, "{}", read.body);
    let charge = bench.record(read.id()).charge;
    assert_eq!((charge.held, charge.amount), (Amount(1_000), Amount(1_000)));
    let video =
        [field("model", "sim:ok"), field("prompt", "a lantern"), field("seconds", "4"), file.to_owned(), "--b12345678--\r\n".to_owned()]
            .concat();
    let read = bench.send_as("POST", "/v1/videos", "", "multipart/form-data; boundary=b12345678", &video).await;
    assert_eq!((read.status(), bench.task(&read).ask.seconds), (200, Some(4)), "{}", read.body);
    assert_eq!(bench.sim.requests().iter().map(|seen| seen.body_bytes).collect::<Vec<_>>(), [body.len() as u64, video.len() as u64]);
    bench.audit_all();
}
