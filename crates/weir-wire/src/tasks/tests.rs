//! Laws of tasks on the wire: what upstreams say is read in every form they say it in, and what nobody understands says nothing.

use weir_core::TaskState;

use super::*;

fn job(adapter: &str, body: &str) -> Job {
    Adapter::of_name(adapter).unwrap().job(body.as_bytes(), "m").unwrap()
}

#[test]
fn openais_videos_are_read() {
    let body = r#"{"id":"video_1","object":"video","model":"m","status":"in_progress","progress":41,"seconds":"8","size":"1280x720","error":null}"#;
    let read = job("openai_videos", body);
    let told = read.told.unwrap();
    assert_eq!((read.id.as_deref(), told.state, told.progress, told.seconds), (Some("video_1"), TaskState::Running, Some(41), Some(8)));
    let failed = job("openai_videos", r#"{"id":"video_1","status":"failed","error":{"code":"moderation_blocked","message":"no"}}"#);
    let fault = failed.told.unwrap().fault.unwrap();
    assert_eq!((fault.code.as_str(), fault.text.as_str()), ("moderation_blocked", "no"));
}

#[test]
fn the_forms_of_submit_and_poll_are_read() {
    let table = [
        (r#"{"task_id":"a1","status":"queued"}"#, "a1", TaskState::Submitted, None, None),
        (
            r#"{"task_id":"a1","status":"succeeded","url":"https://x/1.mp4","metadata":{"duration":4.2}}"#,
            "a1",
            TaskState::Succeeded,
            Some(5),
            Some("https://x/1.mp4"),
        ),
        (r#"{"code":"success","data":{"task_id":"a2","status":"IN_PROGRESS","progress":"30%"}}"#, "a2", TaskState::Running, None, None),
        (
            r#"{"code":0,"data":{"task_id":"a3","task_status":"succeed","task_result":{"videos":[{"url":"https://x/3.mp4"}]}}}"#,
            "a3",
            TaskState::Succeeded,
            None,
            Some("https://x/3.mp4"),
        ),
        (
            r#"{"output":{"task_id":"a4","task_status":"FAILED","code":"DataInspectionFailed","message":"no"}}"#,
            "a4",
            TaskState::Failed,
            None,
            None,
        ),
        (r#"{"id":"a5","status":"cancelled"}"#, "a5", TaskState::Cancelled, None, None),
    ];
    for (body, id, state, seconds, url) in table {
        let read = job("submit_poll", body);
        let told = read.told.unwrap();
        assert_eq!((read.id.as_deref(), told.state, told.seconds, read.url.as_deref()), (Some(id), state, seconds, url), "{body}");
    }
}

#[test]
fn a_word_that_nobody_knows_says_nothing_and_an_id_that_could_change_a_path_is_none() {
    assert_eq!(job("openai_videos", r#"{"id":"video_1","status":"unknown"}"#).told, None);
    assert_eq!(job("openai_videos", r#"{"id":"video_1","status":7}"#).told, None);
    for id in ["../keys", "a/b", "a?b", "", "a b", "..", "a%2fb"] {
        assert_eq!(job("openai_videos", &serde_json::json!({ "id": id, "status": "queued" }).to_string()).id, None, "{id:?}");
        assert_eq!(Adapter::path("/videos/{id}", id), None, "{id:?}");
    }
    assert_eq!(Adapter::path("/videos/{id}/content", "video_1").as_deref(), Some("/videos/video_1/content"));
}

#[test]
fn an_error_in_the_place_of_a_job_is_a_refusal_and_a_job_with_an_error_is_a_job() {
    let adapter = Adapter::of_name("submit_poll").unwrap();
    for body in [r#"{"error":{"message":"no"}}"#, r#"{"code":1102,"message":"no balance"}"#, r#"{"base_resp":{"status_code":1004}}"#] {
        assert!(adapter.refused(body.as_bytes()).is_some(), "{body}");
    }
    for body in
        [r#"{"task_id":"a","error":{"message":"x"}}"#, r#"{"code":0,"data":{"task_id":"a"}}"#, r#"{"code":"success"}"#, "{}", "<html>"]
    {
        assert!(adapter.refused(body.as_bytes()).is_none(), "{body}");
    }
}

#[test]
fn a_list_of_jobs_is_read_and_anything_else_is_no_list() {
    let adapter = Adapter::of_name("openai_videos").unwrap();
    let body =
        r#"{"object":"list","data":[{"id":"video_1","model":"m","created_at":1800000000,"seconds":"4","status":"queued"},{"id":"a/b"}]}"#;
    let jobs = adapter.jobs(body.as_bytes()).unwrap();
    assert_eq!((jobs.len(), jobs[0].0.created.map(|at| at.0), jobs[0].0.seconds), (1, Some(1_800_000_000_000), Some(4)));
    assert_eq!(adapter.told_of(&jobs[0].1, "other").map(|told| told.same_model), Some(false));
    assert!(adapter.jobs(br#"{"error":{}}"#).is_none() && adapter.jobs(b"[]").is_none());
}

#[test]
fn a_submission_is_read_for_its_length_number_and_size() {
    let asked = |body: &str| ask(body.as_bytes());
    let eight = asked(r#"{"prompt":"x","seconds":"8","size":"1280x720"}"#).unwrap();
    assert_eq!((eight.seconds, eight.count, eight.size.as_deref()), (Some(8), 1, Some("1280x720")));
    assert_eq!(asked(r#"{"duration":5,"n":2}"#).map(|ask| (ask.seconds, ask.count)), Ok((Some(5), 2)));
    assert_eq!(asked(r#"{"prompt":"x"}"#).map(|ask| ask.seconds), Ok(None));
    for (body, param) in
        [(r#"{"seconds":"0"}"#, "seconds"), (r#"{"duration":"1e9"}"#, "duration"), (r#"{"n":11}"#, "n"), (r#"{"seconds":-4}"#, "seconds")]
    {
        assert_eq!(asked(body).unwrap_err().param, Some(param), "{body}");
    }
}

#[test]
fn each_vendors_answers_are_read_by_its_own_table() {
    let table = [
        ("ark", r#"{"id":"cgt-2026","model":"m"}"#, Some("cgt-2026"), None, None),
        (
            "ark",
            r#"{"id":"cgt-2026","model":"m","status":"succeeded","content":{"video_url":"https://x/1.mp4"},"duration":5,"created_at":1767225600}"#,
            Some("cgt-2026"),
            Some(TaskState::Succeeded),
            Some(5),
        ),
        (
            "dashscope",
            r#"{"request_id":"r","output":{"task_id":"8a-1","task_status":"PENDING"}}"#,
            Some("8a-1"),
            Some(TaskState::Submitted),
            None,
        ),
        (
            "dashscope",
            r#"{"request_id":"r","output":{"task_id":"8a-1","task_status":"SUCCEEDED","video_url":"https://x/1.mp4"},"usage":{"video_duration":5}}"#,
            Some("8a-1"),
            Some(TaskState::Succeeded),
            Some(5),
        ),
        ("dashscope", r#"{"output":{"task_id":"8a-1","task_status":"UNKNOWN"}}"#, Some("8a-1"), None, None),
        (
            "kling_text2video",
            r#"{"code":0,"data":{"task_id":"8674","task_status":"succeed","task_result":{"videos":[{"url":"https://x/1.mp4","duration":"5.1"}]}}}"#,
            Some("8674"),
            Some(TaskState::Succeeded),
            Some(6),
        ),
        ("kling_image2video", r#"{"code":1203,"message":"no such task"}"#, None, None, None),
    ];
    for (adapter, body, id, state, seconds) in table {
        let read = job(adapter, body);
        let told = read.told.as_ref();
        assert_eq!(
            (read.id.as_deref(), told.map(|told| told.state), told.and_then(|told| told.seconds)),
            (id, state, seconds),
            "{adapter}: {body}"
        );
        assert_eq!(read.url.is_some(), state == Some(TaskState::Succeeded), "{adapter}: {body}");
    }
}

#[test]
fn a_vendors_list_is_read_whatever_it_calls_its_jobs_and_its_times() {
    let ark = Adapter::of_name("ark").unwrap();
    let body = r#"{"total":1,"items":[{"id":"cgt-1","model":"m","status":"running","created_at":1767225600,"updated_at":1767225700}]}"#;
    let jobs = ark.jobs(body.as_bytes()).unwrap();
    assert_eq!((jobs[0].0.id.as_str(), jobs[0].0.created.map(|at| at.0)), ("cgt-1", Some(1_767_225_600_000)));
    assert_eq!(ark.told_of(&jobs[0].1, "m").map(|told| told.state), Some(TaskState::Running));
    let dashscope = Adapter::of_name("dashscope").unwrap();
    let body = r#"{"total":1,"data":[{"task_id":"8a-1","model_name":"m","status":"SUCCEEDED","gmt_create":1767225600123}],"page_no":1}"#;
    let jobs = dashscope.jobs(body.as_bytes()).unwrap();
    assert_eq!((jobs[0].0.model.as_deref(), jobs[0].0.created.map(|at| at.0)), (Some("m"), Some(1_767_225_600_123)));
    // It does not say how long the video is: what is charged comes from the job itself.
    assert_eq!(dashscope.told_of(&jobs[0].1, "m").map(|told| (told.state, told.seconds)), Some((TaskState::Submitted, None)));
    assert!(ark.jobs(br#"{"data":[]}"#).is_none() && Adapter::of_name("submit_poll").unwrap().jobs(br#"{"data":[]}"#).is_none());
}

#[test]
fn a_submission_is_named_where_the_upstream_takes_a_name_and_its_client_gave_none() {
    let kling = Adapter::of_name("kling_text2video").unwrap();
    let named = |body: &str| String::from_utf8(kling.named(&bytes::Bytes::copy_from_slice(body.as_bytes()), "task_1").to_vec()).unwrap();
    assert_eq!(named(r#" {"prompt":"x","seed":1.0}"#), r#" {"external_task_id":"task_1","prompt":"x","seed":1.0}"#, "nothing else changes");
    assert_eq!(named("{}"), r#"{"external_task_id":"task_1"}"#);
    for same in [r#"{"external_task_id":"mine"}"#, r#"{"external_task_id":null}"#, "[]", "--b\r\n"] {
        assert_eq!(named(same), same);
    }
    let other = Adapter::of_name("submit_poll").unwrap();
    assert_eq!(&other.named(&bytes::Bytes::from_static(b"{}"), "task_1")[..], b"{}");
    for adapter in &ADAPTERS {
        let wanted = !matches!(adapter.name, "submit_poll" | "openai_images");
        assert_eq!(adapter.finds_lost(), wanted, "{}", adapter.name);
    }
}

#[test]
fn a_length_that_stands_a_level_deeper_is_read_too() {
    let asked = ask(br#"{"model":"m","input":{"prompt":"x"},"parameters":{"duration":10,"size":"1280*720"}}"#).unwrap();
    assert_eq!((asked.seconds, asked.size.as_deref()), (Some(10), Some("1280*720")));
}
