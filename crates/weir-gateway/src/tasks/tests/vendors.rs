//! Upstreams that speak as their vendors do, and lose the answer to a submission: the job is found where it can be asked for, and never made twice.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use weir_client::{Dial, Dialing, Io, Target};
use weir_core::{Amount, Charged, TaskRecord, TaskShape, TaskState};
use weir_store::TaskFilter;
use weir_wire::tasks::Adapter;

use super::{json, priced, secs};
use crate::{Settings, promises::Bench};

/// The wall's second in which simulated time begins.
const BEGAN: i64 = 1_767_225_600;

/// One vendor: takes every job, never says so, and has made it when it is asked for it.
#[derive(Clone)]
struct Vendor {
    adapter: &'static str,
    /// Head and body of each submission.
    taken: Arc<Mutex<Vec<(String, String)>>>,
}

impl Vendor {
    fn id(n: usize) -> String {
        format!("job-{n}")
    }

    /// The answer to a question for `path`, below the base; `None` where there is nothing.
    fn told(&self, path: &str) -> Option<String> {
        let taken = self.taken.lock().unwrap();
        let asked = path.rsplit('/').next().unwrap_or_default();
        let job = |n: usize| match self.adapter {
            "ark" => format!(r#"{{"id":"{}","model":"m","status":"succeeded","duration":8,"created_at":{BEGAN}}}"#, Self::id(n)),
            "dashscope" => {
                format!(r#"{{"output":{{"task_id":"{}","task_status":"SUCCEEDED"}},"usage":{{"video_duration":5}}}}"#, Self::id(n))
            }
            _ => {
                let video = r#"{"url":"https://videos.invalid/1.mp4","duration":"5"}"#;
                format!(
                    r#"{{"code":0,"data":{{"task_id":"{}","task_status":"succeed","task_result":{{"videos":[{video}]}}}}}}"#,
                    Self::id(n)
                )
            }
        };
        if let Some(n) = (0..taken.len()).find(|n| asked == Self::id(*n)) {
            return Some(job(n));
        }
        match (self.adapter, path) {
            ("ark", "/contents/generations/tasks?page_num=1&page_size=100") => {
                let all: Vec<_> = (0..taken.len()).map(job).collect();
                Some(format!(r#"{{"total":{},"items":[{}]}}"#, all.len(), all.join(",")))
            }
            ("dashscope", "/tasks/?page_no=1&page_size=50") => {
                let entry = |n| {
                    let at = BEGAN * 1000;
                    format!(r#"{{"task_id":"{}","model_name":"m","status":"SUCCEEDED","gmt_create":{at}}}"#, Self::id(n))
                };
                let all: Vec<_> = (0..taken.len()).map(entry).collect();
                Some(format!(r#"{{"data":[{}]}}"#, all.join(",")))
            }
            ("kling_text2video", _) => {
                let name = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["external_task_id"] == asked;
                taken.iter().position(|(_, body)| name(body)).map(job)
            }
            _ => None,
        }
    }

    async fn serve(self, mut io: DuplexStream) {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = io.read_u8().await else { return };
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let lower = head.to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            io.read_exact(&mut body).await.unwrap();
            if head.starts_with("POST") {
                self.taken.lock().unwrap().push((lower, String::from_utf8(body).unwrap()));
                return;
            }
            let path = head.split(' ').nth(1).unwrap().strip_prefix("/v1").unwrap();
            let (status, body) = self.told(path).map_or((404, r#"{"code":1203}"#.to_owned()), |body| (200, body));
            let answer = format!("HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            io.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

impl Dial for Vendor {
    #[expect(clippy::disallowed_methods, reason = "the far end of a pipe is a task of its own")]
    fn dial<'a>(&'a self, _: &'a Target) -> Dialing<'a> {
        let (near, far) = duplex(16 << 10);
        drop(tokio::spawn(self.clone().serve(far)));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }
}

fn before(adapter: &'static str) -> (Bench, Vendor) {
    let vendor = Vendor { adapter, taken: Arc::default() };
    let spoken = |settings: &mut Settings| {
        priced(settings);
        settings.upstreams[0].tasks = Adapter::of_name(adapter);
    };
    (Bench::new(spoken).before(Arc::new(vendor.clone())), vendor)
}

/// A job in the vendor's own words, as its client sends it.
async fn submit(bench: &Bench, prompt: &str) -> TaskRecord {
    let body = format!(r#"{{"model":"m","input":{{"prompt":"{prompt}"}},"parameters":{{"duration":8}}}}"#);
    let read = bench.send("POST", "/v1/video/generations", "", &body).await;
    assert_eq!((read.status(), read.error()["verdict"].as_str()), (502, Some("W-TMO-009")), "{}", read.body);
    row(bench, read.header("x-weir-task-id").unwrap())
}

fn row(bench: &Bench, id: &str) -> TaskRecord {
    let call = TaskRecord::call_of(TaskShape::Generations, id).unwrap();
    bench.gateway.books().store().task(call).unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn r36_a_job_whose_answer_was_lost_is_found_at_each_vendor_that_can_be_asked() {
    for (adapter, path, seconds) in [
        ("ark", "/v1/contents/generations/tasks", 8_i64),
        ("dashscope", "/v1/services/aigc/video-generation/video-synthesis", 5),
        ("kling_text2video", "/v1/videos/text2video", 5),
    ] {
        let (bench, vendor) = before(adapter);
        let task = submit(&bench, "a violet lantern").await;
        assert_eq!((task.state, task.charge.held), (TaskState::Unconfirmed, Amount(8_000)), "{adapter}");
        bench.follow(secs(600)).await;
        let task = row(&bench, &task.id());
        // What was made is what the job itself says; a list may not.
        assert_eq!(
            (task.state, bench.spent(&task), task.charge.usage.seconds),
            (TaskState::Succeeded, 1_000 * seconds, seconds.unsigned_abs()),
            "{adapter}: {task:?}"
        );
        bench.audit(&task);
        let taken = vendor.taken.lock().unwrap();
        assert_eq!(taken.len(), 1, "{adapter}");
        assert!(taken[0].0.starts_with(&format!("post {path} http")), "{adapter}: {}", taken[0].0);
        assert_eq!(taken[0].0.contains("x-dashscope-async: enable\r\n"), adapter == "dashscope");
    }
}

#[tokio::test(start_paused = true)]
async fn r36_jobs_that_bear_a_name_are_told_apart_though_all_else_is_equal() {
    let (bench, vendor) = before("kling_text2video");
    let tasks = [submit(&bench, "a violet lantern").await, submit(&bench, "a violet lantern").await, submit(&bench, "another").await];
    bench.follow(secs(600)).await;
    for (n, task) in tasks.iter().enumerate() {
        let task = row(&bench, &task.id());
        assert_eq!((task.state, task.upstream_id), (TaskState::Succeeded, Some(Vendor::id(n))));
    }
    assert_eq!((vendor.taken.lock().unwrap().len(), bench.spent(&tasks[0])), (3, 15_000));
    bench.audit_all();
}

#[tokio::test(start_paused = true)]
async fn r36_where_nobody_can_be_asked_the_task_says_what_is_known_what_is_held_and_until_when() {
    let (bench, vendor) = before("submit_poll");
    let task = submit(&bench, "a violet lantern").await;
    let address = format!("/v1/video/generations/{}", task.id());
    bench.follow(secs(60)).await;
    let shown = json(&bench.get(&address).await);
    let told = &shown["weir"];
    assert_eq!(
        (told["state"].as_str(), told["charged"].as_str(), told["findable"].as_bool()),
        (Some("unconfirmed"), Some("pending"), Some(false))
    );
    assert_eq!((told["held"].as_i64(), told["amount"].as_i64()), (Some(8_000), Some(0)), "{shown}");
    let until = told["until"].as_str().unwrap().to_owned();
    assert_eq!(until, task.submitted.after(secs(3_600)).rfc3339());
    bench.follow(secs(3_600)).await;
    let shown = json(&bench.get(&address).await);
    let told = &shown["weir"];
    assert_eq!((told["state"].as_str(), told["charged"].as_str(), told["until"].as_str()), (Some("unknown"), Some("no"), None), "{shown}");
    let task = row(&bench, &task.id());
    assert_eq!((task.charge.charged, bench.spent(&task), vendor.taken.lock().unwrap().len()), (Charged::No, 0, 1));
    assert_eq!(bench.gateway.books().store().tasks(&TaskFilter::default()).unwrap().len(), 1);
    bench.audit(&task);
}
