//! Pictures, whole and as partial images, and forms with files.

use tokio::time::sleep;
use weir_core::{Amount, Charged, Price, Verdict};

use super::{hard::paused, json, secs};
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

#[tokio::test(start_paused = true)]
async fn r14_a_picture_that_nobody_waits_for_is_a_task_with_an_id() {
    let bench = Bench::new(pictures);
    let body = r#"{"model":"sim:task_slow=40s","prompt":"a violet lantern","n":2}"#;
    let ask = async || bench.send("POST", "/v1/images/generations", "prefer: respond-async\r\n", body).await;
    let read = ask().await;
    assert_eq!((read.status(), read.header("preference-applied")), (202, Some("respond-async")), "{}", read.body);
    let id = read.header("x-weir-task-id").unwrap().to_owned();
    assert_eq!((json(&read)["id"].as_str(), json(&read)["status"].as_str()), (Some(&*id), Some("queued")));
    let address = read.header("location").unwrap().to_owned();
    assert_eq!(json(&bench.get(&address).await)["weir"]["charged"], "pending");
    sleep(secs(60)).await;
    let ended = json(&bench.get(&address).await);
    assert_eq!((ended["status"].as_str(), ended["result"]["data"].as_array().map(Vec::len)), (Some("completed"), Some(2)), "{ended}");
    let record = bench.record(read.id());
    assert_eq!((record.status, record.charge.charged, record.charge.amount), (202, Charged::Yes, Amount(1_000)));
    assert_eq!(ask().await.header("x-weir-duplicate-of"), Some(&*id));
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_failed_or_was_lost_costs_nothing() {
    let bench = Bench::new(pictures);
    for (model, state) in [("sim:500", "failed"), ("sim:content_policy", "failed"), ("sim:reset_after_accept", "unknown")] {
        let address = ask(&bench, model).await;
        sleep(secs(5)).await;
        let ended = json(&bench.get(&address).await);
        assert_eq!((ended["weir"]["state"].as_str(), ended["weir"]["charged"].as_str()), (Some(state), Some("no")), "{ended}");
    }
    bench.audit_all();
}

/// Asks for a picture without waiting, and gives the address of its task.
async fn ask(bench: &Bench, model: &str) -> String {
    let body = format!(r#"{{"model":"{model}","prompt":"a violet lantern"}}"#);
    bench.send("POST", "/v1/images/generations", "prefer: respond-async\r\n", &body).await.header("location").unwrap().to_owned()
}

#[test]
fn a_picture_that_a_kill_took_away_costs_nothing() {
    let first = paused();
    let (bench, address) = first.block_on(async {
        let bench = Bench::new(pictures);
        let address = ask(&bench, "sim:task_slow=40s").await;
        (bench, address)
    });
    drop(first);
    paused().block_on(async {
        let bench = bench.killed(pictures);
        bench.follow(secs(2 * 3_600)).await;
        let ended = json(&bench.get(&address).await);
        assert_eq!((ended["weir"]["state"].as_str(), ended["weir"]["charged"].as_str()), (Some("unknown"), Some("no")), "{ended}");
        assert_eq!(bench.posts(), 1);
        bench.audit_all();
    });
}

/// Pictures are kept on the disk.
fn on_disk(settings: &mut Settings) {
    pictures(settings);
    settings.tasks.result_bytes = Some(8 << 20);
}

#[tokio::test(start_paused = true)]
async fn d5_a_picture_that_nobody_waited_for_outlives_a_kill_and_only_its_owners_key_opens_it() {
    let bench = Bench::new(on_disk);
    let address = ask(&bench, "sim:ok").await;
    sleep(secs(5)).await;
    let whole = bench.get(&address).await;
    assert!(whole.body.contains(PNG) && json(&whole)["error"].is_null(), "{}", whole.body);
    let (folder, key) = bench.thief();
    for (name, bytes) in bench.files() {
        assert!(!bytes.windows(PNG.len()).any(|window| window == PNG.as_bytes()), "{name} shows a picture");
        assert!(!bytes.windows(20).any(|window| window == &key.expose().as_bytes()[..20]), "{name} shows a key");
    }
    let kept = std::fs::read_dir(folder.join("results")).unwrap().count();
    assert_eq!(kept, 1);
    let bench = bench.killed(on_disk);
    assert_eq!(bench.get(&address).await.body, whole.body);
    // Somebody who has all files and another key.
    let other = weir_core::ApiKey::mint(&[9; 64]).0;
    let terms = weir_store::ReplayTerms { bytes: 8 << 20, files: 10 };
    let stolen = weir_store::Replays::results(&folder, terms, bench.gateway.clock.now()).unwrap();
    let name = std::fs::read_dir(folder.join("results")).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let name: [u8; 16] = std::array::from_fn(|at| u8::from_str_radix(&name[2 * at..2 * at + 2], 16).unwrap());
    assert!(stolen.get(&name, &key, bench.gateway.clock.now()).is_some());
    assert!(stolen.get(&name, &other, bench.gateway.clock.now()).is_none());
    drop(stolen);
    bench.set_wall(86_400_000);
    let late = json(&bench.get(&address).await);
    assert_eq!((late["status"].as_str(), late["error"]["code"].as_str()), (Some("completed"), Some("result_expired")), "{late}");
    assert!(late["result"].is_null());
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_was_kept_in_memory_only_says_that_it_is_lost_after_a_restart() {
    let bench = Bench::new(pictures);
    let address = ask(&bench, "sim:ok").await;
    sleep(secs(5)).await;
    assert!(bench.get(&address).await.body.contains(PNG));
    let bench = bench.killed(pictures);
    let lost = json(&bench.get(&address).await);
    assert_eq!((lost["status"].as_str(), lost["error"]["code"].as_str()), (Some("completed"), Some("result_lost")), "{lost}");
    assert_eq!((lost["weir"]["charged"].as_str(), lost["result"].is_null()), (Some("yes"), true), "it was made, and the rule is: complete");
    bench.audit_all();
}
