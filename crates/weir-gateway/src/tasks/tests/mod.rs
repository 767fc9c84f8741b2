//! Laws of tasks on a whole gateway, in simulated time: one submission, one charge at most, and an end that is known without the client.

mod again;
mod content;
mod days;
mod hard;
mod pictures;
mod vendors;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::sleep;
use weir_core::{Amount, Charged, Price, TaskRecord, TaskShape, TaskState, Verdict};
use weir_wire::tasks::Adapter;

use crate::{
    Duplicates, Settings,
    promises::{Bench, Read},
};

/// What a second of video costs here.
const SECOND: u64 = 1_000;
const CREDIT: i64 = 1_000_000_000_000;

fn priced(settings: &mut Settings) {
    settings.prices.fallback = Some(Price { second: SECOND, ..Price::default() });
}

impl Bench {
    async fn submit(&self, model: &str) -> Read {
        self.submit_as("", &format!(r#"{{"model":"{model}","prompt":"a violet lantern","seconds":"8"}}"#)).await
    }

    async fn submit_as(&self, extra: &str, body: &str) -> Read {
        self.send("POST", "/v1/videos", extra, body).await
    }

    async fn get(&self, path: &str) -> Read {
        self.send("GET", path, "", "").await
    }

    /// Lets the gateway follow its tasks for so long, with nobody asking.
    async fn follow(&self, span: Duration) {
        tokio::select! {
            () = Arc::clone(&self.gateway).follow_tasks() => {}
            () = sleep(span) => {}
        }
    }

    fn task(&self, read: &Read) -> TaskRecord {
        let call = TaskRecord::call_of(TaskShape::Videos, read.header("x-weir-task-id").unwrap()).unwrap();
        self.gateway.books().store().task(call).unwrap().unwrap()
    }

    fn spent(&self, task: &TaskRecord) -> i64 {
        self.gateway.books().store().account(&task.account).unwrap().unwrap().settled.0
    }

    /// The laws of the ledger, and that nothing is held for what has ended.
    fn audit(&self, task: &TaskRecord) {
        let report = self.gateway.books().audit().unwrap();
        assert!(report.ok, "{:?}", report.laws.iter().filter(|law| !law.ok).collect::<Vec<_>>());
        let held = if task.state.is_open() { task.charge.held.0 } else { 0 };
        assert_eq!(self.gateway.books().balance(&task.account), Some(Amount(CREDIT - self.spent(task) - held)));
    }

    fn posts(&self) -> usize {
        self.sim.requests().iter().filter(|seen| seen.method == "POST").count()
    }

    fn audit_all(&self) {
        let report = self.gateway.books().audit().unwrap();
        assert!(report.ok, "{:?}", report.laws.iter().filter(|law| !law.ok).collect::<Vec<_>>());
    }
}

fn json(read: &Read) -> Value {
    serde_json::from_str(&read.body).unwrap()
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn r14_a_video_has_an_id_from_the_first_answer_on_and_is_charged_when_it_is_made() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:task_slow=40s").await;
    assert_eq!(read.status(), 200, "{}", read.body);
    let id = read.header("x-weir-task-id").unwrap().to_owned();
    let shown = json(&read);
    assert_eq!((shown["id"].as_str(), shown["object"].as_str(), shown["status"].as_str()), (Some(&*id), Some("video"), Some("queued")));
    let task = bench.task(&read);
    assert_eq!((task.charge.charged, task.charge.held), (Charged::Pending, Amount(8_000)));
    assert_eq!(bench.record(read.id()).charge.charged, Charged::Pending);
    bench.audit(&task);
    bench.follow(secs(20)).await;
    assert_eq!(json(&bench.get(&format!("/v1/videos/{id}")).await)["status"], "in_progress");
    bench.follow(secs(60)).await;
    let task = bench.task(&read);
    assert_eq!((task.state, task.charge.charged, task.charge.amount), (TaskState::Succeeded, Charged::Yes, Amount(8_000)));
    let record = bench.record(read.id());
    assert_eq!((record.verdict, record.charge.charged, record.charge.amount), (Verdict::Ok, Charged::Yes, Amount(8_000)));
    assert_eq!(json(&bench.get(&format!("/v1/videos/{id}")).await)["status"], "completed");
    let content = bench.get(&format!("/v1/videos/{id}/content")).await;
    assert_eq!((content.status(), content.header("content-type")), (200, Some("video/mp4")));
    assert_eq!((bench.sim.tasks(), bench.spent(&task)), (1, 8_000));
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn r14_whoever_asks_not_to_wait_gets_202_with_the_task_and_whoever_does_not_gets_the_apis_own_200() {
    for (path, shape, body) in [
        ("/v1/videos", TaskShape::Videos, r#"{"model":"sim:task_slow=5s","prompt":"a lantern","seconds":"8"}"#),
        ("/v1/video/generations", TaskShape::Generations, r#"{"model":"sim:task_slow=5s","prompt":"a lantern","duration":5}"#),
    ] {
        let bench = Bench::new(priced);
        for (prefer, status, applied) in [("", 200, None), ("prefer: wait=5, Respond-Async\r\n", 202, Some("respond-async"))] {
            let read = bench.send("POST", path, prefer, body).await;
            assert_eq!((read.status(), read.header("preference-applied")), (status, applied), "{path}: {}", read.body);
            let id = read.header("x-weir-task-id").unwrap();
            let shown = json(&read);
            assert!([&shown["id"], &shown["task_id"]].contains(&&Value::from(id)), "{path}: {shown}");
            assert_eq!(read.header("location").map(str::to_owned), applied.map(|_| format!("{path}/{id}")));
            // The body is the API's own either way: a client that knows only that reads it.
            let later = json(&bench.get(&format!("{path}/{id}")).await);
            assert_eq!((&later["id"], &later["object"], &later["model"]), (&shown["id"], &shown["object"], &shown["model"]), "{path}");
            let call = bench.record(read.id());
            assert_eq!((TaskRecord::id_of(shape, call.id), call.status), (id.to_owned(), status));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r36_a_lost_answer_is_looked_up_and_never_sent_again() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:task_lost_answer,task_slow=30s").await;
    let error = read.error();
    assert_eq!((read.status(), error["verdict"].as_str(), read.header("x-should-retry")), (502, Some("W-TMO-009"), Some("false")));
    assert_eq!(error["charged"], "pending");
    assert_eq!(bench.task(&read).state, TaskState::Unconfirmed);
    bench.follow(secs(20)).await;
    let task = bench.task(&read);
    assert!(task.state == TaskState::Running && task.upstream_id.is_some(), "{task:?}");
    bench.follow(secs(60)).await;
    let task = bench.task(&read);
    assert_eq!((task.state, bench.spent(&task), bench.sim.tasks()), (TaskState::Succeeded, 8_000, 1));
    assert_eq!(bench.record(read.id()).charge.charged, Charged::Yes);
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_costs_nothing_and_gives_back_what_it_held() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:task_failed,task_slow=5s").await;
    bench.follow(secs(30)).await;
    let task = bench.task(&read);
    assert_eq!((task.state, task.charge.charged, task.verdict()), (TaskState::Failed, Charged::No, Verdict::TaskFailedFree));
    let shown = json(&bench.get(&format!("/v1/videos/{}", task.id())).await);
    assert_eq!((shown["status"].as_str(), shown["error"]["code"].as_str()), (Some("failed"), Some("generation_failed")));
    assert_eq!(shown["error"]["message"], "The video could not be made.");
    assert!(!serde_json::to_string(&task).unwrap().contains("could not be made"), "a reason may quote what was asked for");
    assert_eq!((bench.spent(&task), bench.record(read.id()).charge.charged), (0, Charged::No));
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn d1_a_refused_submission_is_no_task_that_runs_and_names_its_status() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:400").await;
    assert_eq!(read.status(), 400, "{}", read.body);
    let task = bench.task(&read);
    assert_eq!((task.state, task.charge.charged, bench.sim.count()), (TaskState::Failed, Charged::No, 1));
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn d2_bytes_that_were_sent_without_an_answer_are_never_sent_again() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:reset_after_accept").await;
    assert_eq!((read.status(), read.error()["verdict"].as_str()), (502, Some("W-TMO-009")));
    assert_eq!((bench.sim.count(), bench.task(&read).state), (1, TaskState::Unconfirmed));
    bench.follow(secs(2 * 3_600)).await;
    // The upstream answers and never shows it: nobody made anything.
    let task = bench.task(&read);
    assert_eq!((task.state, task.charge.charged, bench.spent(&task)), (TaskState::Unknown, Charged::No, 0));
    assert_eq!(bench.sim.requests().iter().filter(|seen| seen.method == "POST").count(), 1);
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_lies_after_the_end_changes_nothing() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:task_lying,task_slow=60s").await;
    bench.follow(secs(300)).await;
    let task = bench.task(&read);
    assert_eq!((task.state, bench.spent(&task), bench.sim.tasks()), (TaskState::Succeeded, 8_000, 1));
    assert!(task.oddities.missing > 0 && task.oddities.silent > 0 && task.oddities.other_model > 0, "{:?}", task.oddities);
    for _ in 0..6 {
        sleep(secs(5)).await;
        assert_eq!(json(&bench.get(&format!("/v1/videos/{}", task.id())).await)["status"], "completed");
    }
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_not_found_for_a_while_does_not_end_its_task() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:task_404_then_ok=5").await;
    bench.follow(secs(120)).await;
    let task = bench.task(&read);
    assert_eq!((task.state, task.oddities.missing), (TaskState::Succeeded, 5));
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_killed_follows_its_tasks_when_it_comes_back() {
    let bench = Bench::new(priced);
    let read = bench.submit("sim:task_slow=30s").await;
    let bench = bench.killed(priced);
    let task = bench.task(&read);
    bench.audit(&task);
    bench.follow(secs(90)).await;
    let task = bench.task(&read);
    assert_eq!((task.state, bench.spent(&task), bench.sim.tasks()), (TaskState::Succeeded, 8_000, 1));
    let bench = bench.killed(priced);
    bench.follow(secs(90)).await;
    assert_eq!(bench.spent(&task), 8_000);
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn an_equal_submission_is_named_refused_or_joined_as_the_operator_says() {
    for (policy, status, made) in [(Duplicates::Warn, 200, 2), (Duplicates::Refuse, 409, 1), (Duplicates::Join, 200, 1)] {
        let bench = Bench::new(|settings| {
            priced(settings);
            settings.tasks.duplicates = policy;
        });
        let first = bench.submit("sim:task_slow=30s").await;
        let id = first.header("x-weir-task-id").unwrap();
        let second = bench.submit("sim:task_slow=30s").await;
        assert_eq!((second.status(), bench.sim.tasks()), (status, made), "{policy:?}");
        match policy {
            Duplicates::Warn => assert_eq!(second.header("x-weir-duplicate-of"), Some(id)),
            Duplicates::Refuse => {
                assert_eq!((second.error()["verdict"].as_str(), second.header("x-should-retry")), (Some("W-TASK-004"), Some("false")));
                assert!(second.body.contains(id));
            }
            Duplicates::Join => assert_eq!(json(&second)["id"], id),
        }
        // Later it is a new wish.
        sleep(secs(601)).await;
        assert_eq!(bench.submit("sim:task_slow=30s").await.header("x-weir-duplicate-of"), None);
        bench.audit_all();
    }
}

#[tokio::test(start_paused = true)]
async fn d2_a_submission_that_never_left_is_refused_and_holds_nothing() {
    let bench = Bench::new(priced);
    bench.refuse(u32::MAX);
    let read = bench.submit("sim:ok").await;
    assert_eq!((read.status(), read.error()["verdict"].as_str()), (504, Some("W-TMO-003")), "{}", read.body);
    let task = bench.task(&read);
    assert_eq!((task.state, task.charge.charged), (TaskState::Failed, Charged::No));
    bench.audit(&task);
    // Once more is safe, and enough.
    bench.refuse(1);
    let read = bench.submit("sim:ok").await;
    assert_eq!((read.status(), bench.record(read.id()).attempts.len(), bench.posts()), (200, 2, 1), "{}", read.body);
}

#[tokio::test(start_paused = true)]
async fn the_shape_that_is_submitted_and_asked_for_is_told_in_its_own_words() {
    let bench = Bench::new(priced);
    let body = r#"{"model":"sim:task_slow=10s","prompt":"a lantern","duration":5}"#;
    let read = bench.send("POST", "/v1/video/generations", "", body).await;
    let made = json(&read);
    let id = made["task_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("task_") && made["status"] == "queued", "{made}");
    let address = format!("/v1/video/generations/{id}");
    sleep(secs(3)).await;
    assert_eq!(json(&bench.get(&address).await)["status"], "in_progress");
    bench.follow(secs(40)).await;
    let ended = json(&bench.get(&address).await);
    assert!(ended["status"] == "succeeded" && ended["url"].as_str().unwrap().starts_with("https://"), "{ended}");
    let call = TaskRecord::call_of(TaskShape::Generations, &id).unwrap();
    let task = bench.gateway.books().store().task(call).unwrap().unwrap();
    assert!(!serde_json::to_string(&task).unwrap().contains("http"), "an address that opens a result is kept nowhere");
    // The upstream says four seconds; five were asked for and held.
    assert_eq!((bench.spent(&task), task.charge.held), (4_000, Amount(5_000)));
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_of_the_other_shape_serves_the_client_all_the_same() {
    let bench = Bench::new(|settings| {
        priced(settings);
        settings.upstreams[0].tasks = Adapter::of_name("submit_poll");
    });
    let read = bench.submit("sim:task_slow=10s").await;
    assert_eq!(json(&read)["object"], "video");
    bench.follow(secs(40)).await;
    let task = bench.task(&read);
    assert_eq!(task.state, TaskState::Succeeded);
    let content = bench.get(&format!("/v1/videos/{}/content", task.id())).await;
    assert_eq!((content.status(), content.header("location").is_some()), (302, true));
    bench.audit(&task);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_listed_deleted_and_shown_to_nobody_else() {
    let bench = Bench::new(priced);
    let mut ids = Vec::new();
    for n in 0..3 {
        let body = format!(r#"{{"model":"sim:ok","prompt":"lantern {n}"}}"#);
        ids.insert(0, bench.submit_as("", &body).await.header("x-weir-task-id").unwrap().to_owned());
    }
    let running = bench.send("DELETE", &format!("/v1/videos/{}", ids[0]), "", "").await;
    assert_eq!((running.status(), running.header("x-should-retry")), (409, Some("false")));
    bench.follow(secs(10)).await;
    let list = json(&bench.get("/v1/videos?limit=2").await);
    let listed =
        |list: &Value| list["data"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((listed(&list), &list["has_more"]), (ids[..2].to_vec(), &true.into()));
    let rest = json(&bench.get(&format!("/v1/videos?after={}", ids[1])).await);
    assert_eq!((listed(&rest), &rest["has_more"]), (ids[2..].to_vec(), &false.into()));
    let address = format!("/v1/videos/{}", ids[2]);
    assert_eq!(json(&bench.send("DELETE", &address, "", "").await)["deleted"], true);
    assert_eq!(bench.get(&address).await.status(), 404);
    assert_eq!(listed(&json(&bench.get("/v1/videos").await)), ids[..2].to_vec());
    for path in ["/v1/videos/video_01j2w8k3q4zp7m01j2w8k3q4zp", "/v1/videos/x", "/v1/videos/x/content", "/v1/video/generations/x"] {
        let missing = bench.get(path).await;
        assert_eq!((missing.status(), missing.error()["code"].as_str()), (404, Some("task_not_found")), "{path}");
    }
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn a_remix_is_a_task_of_its_own_made_of_one_that_succeeded() {
    let bench = Bench::new(priced);
    let first = bench.submit("sim:task_slow=5s").await;
    let address = format!("/v1/videos/{}/remix", bench.task(&first).id());
    let early = bench.send("POST", &address, "", r#"{"prompt":"at dawn"}"#).await;
    assert_eq!((early.status(), early.header("x-should-retry")), (409, Some("false")), "{}", early.body);
    bench.follow(secs(20)).await;
    let remix = bench.send("POST", &address, "", r#"{"prompt":"at dawn"}"#).await;
    assert_eq!((remix.status(), &json(&remix)["remixed_from_video_id"]), (200, &bench.task(&first).id().into()), "{}", remix.body);
    bench.follow(secs(20)).await;
    let task = bench.task(&remix);
    assert_eq!(
        (task.state, bench.spent(&task), bench.sim.tasks()),
        (TaskState::Succeeded, 12_000, 2),
        "the upstream says that the remix has four seconds"
    );
    assert_eq!(bench.send("POST", "/v1/videos/video_0/remix", "", "{}").await.status(), 404);
    bench.audit(&task);
}
