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
