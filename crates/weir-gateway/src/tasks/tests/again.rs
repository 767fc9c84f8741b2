//! The same submission again: by its key, by its SDK's mark, by a client that had left. One job, one task, one charge.

use tokio::time::sleep;
use weir_core::{Charged, TaskState};
use weir_store::TaskFilter;
use weir_wire::tasks::Adapter;

use super::{hard::paused, json, priced, secs};
use crate::{Duplicates, Settings, promises::Bench};

const KEY: &str = "idempotency-key: \"order-12345678\"\r\n";
const MARK: &str = "x-stainless-retry-count: 1\r\n";
/// Without and with a list of jobs at the upstream.
const UPSTREAMS: [&str; 2] = ["openai_videos", "submit_poll"];

fn body(model: &str) -> String {
    format!(r#"{{"model":"{model}","prompt":"a violet lantern","seconds":"8"}}"#)
}

fn spoken_to_as(name: &'static str) -> impl FnOnce(&mut Settings) {
    move |settings| {
        priced(settings);
        settings.upstreams[0].tasks = Adapter::of_name(name);
    }
}

impl Bench {
    fn rows(&self) -> usize {
        self.gateway.books().store().tasks(&TaskFilter::default()).unwrap().len()
    }

    /// Submits and leaves before there is an answer; the call goes on.
    async fn submit_and_leave(&self, extra: &str, body: &str) {
        let (near, connection) = self.open("POST", "/v1/videos", extra, "application/json", body);
        let leaves = async {
            sleep(secs(1)).await;
            drop(near);
        };
        tokio::join!(leaves, connection);
    }
}

#[tokio::test(start_paused = true)]
async fn r36_a_submission_that_is_sent_again_under_its_key_is_one_job_and_one_charge() {
    for adapter in UPSTREAMS {
        for model in ["sim:task_slow=30s", "sim:task_lost_answer,task_slow=30s", "sim:reset_after_accept"] {
            let bench = Bench::new(spoken_to_as(adapter));
            let first = bench.submit_as(KEY, &body(model)).await;
            for wait in [0, 1, 60, 900, 7_200] {
                sleep(secs(wait)).await;
                let again = bench.submit_as(KEY, &body(model)).await;
                assert_eq!(
                    again.header("x-weir-task-id"),
                    first.header("x-weir-task-id"),
                    "{adapter} {model} after {wait} s: {}",
                    again.body
                );
                assert_eq!(again.header("idempotent-replayed"), Some("true"), "{adapter} {model} after {wait} s");
                assert_ne!(again.id(), first.id());
                bench.follow(secs(1)).await;
            }
            assert_eq!((bench.posts(), bench.rows()), (1, 1), "{adapter} {model}");
            bench.audit_all();
            let other = bench.submit_as(KEY, &body("sim:task_slow=9s")).await;
            assert_eq!((other.status(), other.error()["code"].as_str()), (422, Some("idempotency_key_reused")), "{adapter} {model}");
            assert_eq!(bench.posts(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r36_a_key_names_its_task_also_where_memory_had_no_room_for_the_answer() {
    let bench = Bench::new(|settings| {
        priced(settings);
        settings.replay.bytes = 0;
    });
    let first = bench.submit_as(KEY, &body("sim:task_slow=30s")).await;
    let again = bench.submit_as(KEY, &body("sim:task_slow=30s")).await;
    assert_eq!((again.status(), again.header("x-weir-task-id")), (200, first.header("x-weir-task-id")), "{}", again.body);
    assert_eq!((bench.posts(), bench.rows()), (1, 1));
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn r36_an_sdk_that_gives_up_and_submits_again_is_given_its_first_task() {
    for adapter in UPSTREAMS {
        for model in ["sim:first_byte=5s,task_slow=30s", "sim:first_byte=5s,task_lost_answer,task_slow=30s"] {
            // An answer that came before the client left is no reason to take an unmarked request for a repeated one.
            let all = if model.contains("lost") { &[KEY, MARK][..] } else { &[KEY, MARK, ""] };
            for how in all.iter().copied() {
                let bench = Bench::new(spoken_to_as(adapter));
                let body = body(model);
                bench.submit_and_leave(if how == KEY { KEY } else { "" }, &body).await;
                let again = bench.submit_as(how, &body).await;
                assert!(again.header("x-weir-call").is_some(), "{adapter} {model} {how:?}: {}", again.body);
                assert_eq!((bench.posts(), bench.rows()), (1, 1), "{adapter} {model} {how:?}");
                // Its answer may be lost a second time.
                let late = bench.submit_as(if how == KEY { KEY } else { MARK }, &body).await;
                assert_eq!(late.header("x-weir-call"), again.header("x-weir-call"), "{adapter} {model} {how:?}");
                bench.follow(secs(7_200)).await;
                assert_eq!((bench.posts(), bench.rows()), (1, 1), "{adapter} {model} {how:?}");
                bench.audit_all();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_was_refused_frees_its_key_and_its_body() {
    for policy in [Duplicates::Warn, Duplicates::Refuse, Duplicates::Join] {
        for how in [KEY, MARK] {
            let bench = Bench::new(|settings| {
                priced(settings);
                settings.tasks.duplicates = policy;
            });
            let model = body("sim:503_once,task_slow=30s");
            let first = bench.submit_as(if how == KEY { KEY } else { "" }, &model).await;
            assert_eq!(first.status(), 503, "{}", first.body);
            let again = bench.submit_as(how, &model).await;
            assert_eq!((again.status(), again.header("x-weir-duplicate-of")), (200, None), "{policy:?} {how:?}: {}", again.body);
            let task = bench.task(&again);
            assert_eq!((task.state, task.charge.charged, bench.sim.tasks()), (TaskState::Submitted, Charged::Pending, 1));
            // From here on it is a submission like any other.
            let third = bench.submit_as(how, &model).await;
            assert_eq!((third.header("x-weir-task-id"), bench.sim.tasks()), (again.header("x-weir-task-id"), 1), "{policy:?} {how:?}");
            bench.audit_all();
        }
    }
}

#[test]
fn r36_after_a_kill_a_key_and_a_mark_still_name_the_task_that_was_submitted() {
    for adapter in UPSTREAMS {
        for (how, model) in [(KEY, "sim:task_slow=30s"), (MARK, "sim:task_slow=30s"), (KEY, "sim:task_lost_answer,task_slow=30s")] {
            let first = paused();
            let (bench, id) = first.block_on(async {
                let bench = Bench::new(spoken_to_as(adapter));
                let read = bench.submit_as(if how == KEY { KEY } else { "" }, &body(model)).await;
                let id = read.header("x-weir-task-id").unwrap().to_owned();
                (bench, id)
            });
            drop(first);
            paused().block_on(async {
                let bench = bench.killed(spoken_to_as(adapter));
                let again = bench.submit_as(how, &body(model)).await;
                assert_eq!(
                    (again.status(), again.header("x-weir-task-id")),
                    (200, Some(&*id)),
                    "{adapter} {how:?} {model}: {}",
                    again.body
                );
                assert_eq!((json(&again)["id"].as_str(), again.header("idempotent-replayed")), (Some(&*id), Some("true")));
                bench.follow(secs(7_200)).await;
                assert_eq!((bench.posts(), bench.rows()), (1, 1), "{adapter} {how:?} {model}");
                bench.audit_all();
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_is_known_again_whatever_its_boundary_and_a_remix_by_what_it_is_made_of() {
    let bench = Bench::new(priced);
    let form = |boundary: &str| {
        let field = |name: &str, value: &str| format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        [field("model", "sim:task_slow=5s"), field("prompt", "a lantern"), format!("--{boundary}--\r\n")].concat()
    };
    let send = async |extra: &str, boundary: &str| {
        let kind = format!("multipart/form-data; boundary={boundary}");
        bench.send_as("POST", "/v1/videos", extra, &kind, &form(boundary)).await
    };
    let first = send("", "b12345678").await;
    let id = first.header("x-weir-task-id").unwrap().to_owned();
    assert_eq!(send("", "c87654321").await.header("x-weir-duplicate-of"), Some(&*id));
    let retried = send(MARK, "d12345678").await;
    assert!(retried.header("x-weir-call").is_some() && bench.sim.tasks() == 2, "{}", retried.body);
    bench.follow(secs(30)).await;
    let other = bench.submit("sim:task_slow=6s").await.header("x-weir-task-id").unwrap().to_owned();
    bench.follow(secs(30)).await;
    for of in [&id, &other] {
        let path = format!("/v1/videos/{of}/remix");
        let remix = bench.send("POST", &path, KEY.replace("order", of).as_str(), r#"{"prompt":"a red one"}"#).await;
        assert_eq!(
            (remix.status(), remix.header("x-weir-duplicate-of"), remix.header("idempotent-replayed")),
            (200, None, None),
            "{}",
            remix.body
        );
        let again = bench.send("POST", &path, KEY.replace("order", of).as_str(), r#"{"prompt":"a red one"}"#).await;
        assert_eq!(again.header("x-weir-task-id"), remix.header("x-weir-task-id"));
    }
    for of in [&id, &other] {
        let remix = bench.send("POST", &format!("/v1/videos/{of}/remix"), "", r#"{"prompt":"blue"}"#).await;
        assert_eq!((remix.status(), remix.header("x-weir-duplicate-of")), (200, None), "they are made of different videos");
    }
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_nobody_waits_for_is_made_once_for_each_key() {
    let bench = Bench::new(|settings| settings.prices.fallback = Some(weir_core::Price { image: 500, ..weir_core::Price::default() }));
    let lines = format!("prefer: respond-async\r\n{KEY}");
    for model in ["sim:task_slow=40s", "sim:reset_after_accept"] {
        let (body, lines) = (body(model), lines.replace("order", if model.contains("slow") { "slow" } else { "lost" }));
        let ask = async || bench.send("POST", "/v1/images/generations", &lines, &body).await;
        let posts = bench.posts();
        let first = ask().await;
        for wait in [0, 20, 60, 900, 7_200] {
            sleep(secs(wait)).await;
            let again = ask().await;
            assert_eq!((again.status(), again.header("x-weir-task-id")), (202, first.header("x-weir-task-id")), "{model} after {wait} s");
        }
        assert_eq!(bench.posts(), posts + 1, "{model}");
    }
    bench.audit_all();
}
