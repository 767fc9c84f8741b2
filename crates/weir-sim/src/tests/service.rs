//! What the simulator remembers and serves besides answers.

use super::*;
use crate::{Ended, catalog::CATALOG};

#[tokio::test(start_paused = true)]
async fn equal_requests_get_equal_bytes() {
    for model in ["sim:ok", "sim:tools=2,reasoning=3", "sim:fail_rate=0.5", "gpt-4o-mini"] {
        for stream in [false, true] {
            assert_eq!(ask(&sim(), model, stream).await, ask(&sim(), model, stream).await, "{model}");
        }
    }
    let with_usage = chat("sim:ok", true).replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    let through = exchange(&sim(), &post("/v1/chat/completions", &with_usage)).await.body_text();
    let mut stripped: String = through.replace(r#","usage":null"#, "");
    let usage_at = stripped.find(r#""choices":[],"#).and_then(|at| stripped[..at].rfind("data: ")).unwrap();
    stripped.replace_range(usage_at..stripped.len() - "data: [DONE]\n\n".len(), "");
    assert_eq!(stripped, ask(&sim(), "sim:ok", true).await.body_text(), "the usage chunk is all that a gateway's question adds");
}

#[tokio::test(start_paused = true)]
async fn r19_the_log_tells_requests_apart_without_content() {
    let sim = sim();
    ask(&sim, "sim:ok", false).await;
    ask(&sim, "sim:ok", true).await;
    let seen = sim.requests();
    assert_eq!(
        seen.iter().map(|s| (s.n, s.stream, s.ended)).collect::<Vec<_>>(),
        [(1, false, Ended::Completed), (2, true, Ended::Completed)]
    );
    assert_eq!(seen[0].prompt_hash, seen[1].prompt_hash);
    assert_ne!(seen[0].body_hash, seen[1].body_hash);
    assert_eq!((seen[1].events, seen[0].events), (27, 0));
    let page = exchange(&sim, &get("/sim/requests")).await;
    assert_eq!((&page.json()["count"], &page.json()["requests"][1]["stream"]), (&2.into(), &true.into()));
    assert!(!page.text().contains("Count from"), "no content");
    let cleared = exchange(&sim, b"DELETE /sim/requests HTTP/1.1\r\n\r\n").await;
    assert_eq!((cleared.status(), sim.count(), sim.requests().len()), (200, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_log_notes_retries_and_keys_and_stays_bounded() {
    let sim = Sim::new(SimSettings { requests_max: 3, ..SimSettings::default() });
    let body = chat("sim:ok", false);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer sk-planted\r\nIdempotency-Key: k\r\nX-Stainless-Retry-Count: 1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(&sim, &request.repeat(5).into_bytes()).await;
    let seen = sim.requests();
    assert_eq!((sim.count(), seen.len(), seen[0].n), (5, 3, 3));
    assert!(seen.iter().all(|s| s.idempotency_key && s.retry_count == Some(1) && s.ended == Ended::Completed));
    assert!(!format!("{seen:?}{sim:?}").contains("planted"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_stops_the_stream_at_once() {
    for model in ["sim:tokens=1000,interval=1s", "sim:stall_after=4", "sim:first_byte=1h"] {
        let sim = sim();
        let (mut client, server) = duplex(64 * 1024);
        let begun = Instant::now();
        let leave = async {
            client.write_all(&post("/v1/chat/completions", &chat(model, true))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            assert_eq!(sim.open(), 1);
            drop(client);
        };
        tokio::join!(sim.serve_connection(server), leave);
        let seen = sim.requests().pop().unwrap();
        assert_eq!((seen.ended, seen.generation_ms, sim.open()), (Ended::ClientGone, 3_500, 0), "{model}");
        assert_eq!(begun.elapsed(), Duration::from_millis(3_500), "{model}");
        assert_eq!(seen.events, if model.contains("first_byte") { 0 } else { 4 }, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept_and_requests_may_come_ahead() {
    let sim = sim();
    let two = [post("/v1/chat/completions", &chat("sim:ok", true)), post("/v1/chat/completions", &chat("sim:ok", false))].concat();
    let got = exchange(&sim, &two).await;
    assert_eq!((got.text().matches("HTTP/1.1 200 OK").count(), sim.count()), (2, 2));
    assert_eq!(got.ended_at, SimSettings::default().idle);
}

#[tokio::test(start_paused = true)]
async fn the_models_are_the_table() {
    let got = exchange(&sim(), &get("/v1/models")).await;
    for entry in CATALOG {
        let line = got.json()["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|model| model["id"] == entry.model())
            .cloned()
            .unwrap_or_else(|| panic!("{}", entry.name));
        assert_eq!((&line["description"], &line["description_zh"]), (&entry.en.into(), &entry.zh.into()));
    }
    assert_eq!(exchange(&sim(), &get("/v1/models/sim%3Acut_after%3D5")).await.json()["id"], "sim:cut_after=5");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_word_is_a_404_that_lists_near_names() {
    let got = ask(&sim(), "sim:cut_aftr=5", true).await;
    assert_eq!((got.status(), &got.json()["error"]["code"]), (404, &"model_not_found".into()));
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("`sim:cut_after`"));
    assert_eq!(exchange(&sim(), &get("/v1/nothing")).await.json()["error"]["code"], "unknown_url");
    assert_eq!(exchange(&sim(), &post("/v1/chat/completions", "{")).await.json()["error"]["code"], "invalid_json");
    let unread = exchange(&sim(), b"nonsense\r\n\r\n").await;
    assert_eq!((unread.status(), unread.header("connection").unwrap().as_str()), (400, "close"));
}

#[tokio::test(start_paused = true)]
async fn what_is_always_in_force_reaches_requests_without_a_body() {
    assert_eq!(exchange(&sim_with("sim:401"), &get("/v1/models")).await.status(), 401);
    assert_eq!(ask(&sim_with("sim:503"), "gpt-4o-mini", false).await.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn megabytes_of_picture_are_taken() {
    let body = format!(
        r#"{{"model":"sim:ok","messages":[{{"role":"user","content":[{{"type":"text","text":"what is this"}},{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}]}}]}}"#,
        "A".repeat(5 << 20)
    );
    let got = exchange(&sim(), &post("/v1/chat/completions", &body)).await;
    let tokens = got.json()["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(got.status() == 200 && (765..900).contains(&tokens), "{tokens}");
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_from_queued_to_done() {
    let sim = sim();
    let made = exchange(&sim, &post("/v1/videos", r#"{"model":"sim:task_slow=25m","prompt":"p","seconds":"8"}"#)).await.json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!((&made["status"], &made["seconds"]), (&"queued".into(), &"8".into()));
    let path = format!("/v1/videos/{id}");
    let running = exchange(&sim, &get(&path)).await.json();
    assert_eq!((&running["status"], &running["progress"]), (&"in_progress".into(), &40.into()), "600 s of idle passed");
    assert_eq!(exchange(&sim, &get(&format!("{path}/content"))).await.json()["error"]["code"], "not_ready");
    assert_eq!(exchange(&sim, &get(&path)).await.json()["status"], "completed");
    assert_eq!(exchange(&sim, &get(&format!("/v1/video/generations/{id}"))).await.json()["status"], "succeeded");
    let content = exchange(&sim, &get(&format!("{path}/content"))).await;
    assert_eq!((content.header("content-type").unwrap().as_str(), content.body().0.len()), ("video/mp4", 65_568));
    assert_eq!(exchange(&sim, &get("/v1/videos")).await.json()["data"][0]["id"], *id);
    assert_eq!(exchange(&sim, format!("DELETE {path} HTTP/1.1\r\n\r\n").as_bytes()).await.json()["deleted"], true);
    assert_eq!(exchange(&sim, &get(&path)).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn r36_a_lost_answer_leaves_a_job_behind() {
    let sim = sim();
    let lost = exchange(&sim, &post("/v1/videos", r#"{"model":"sim:task_lost_answer","prompt":"p"}"#)).await;
    assert_eq!((lost.text().as_str(), sim.tasks()), ("", 1));
    assert_eq!(exchange(&sim, &get("/v1/videos")).await.json()["data"].as_array().unwrap().len(), 1);
    let failed = exchange(&sim, &post("/v1/video/generations", r#"{"model":"sim:task_failed","prompt":"p"}"#)).await.json();
    assert_eq!(failed["status"], "queued");
    let path = format!("/v1/videos/{}", failed["task_id"].as_str().unwrap());
    assert_eq!(exchange(&sim, &get(&path)).await.json()["error"]["code"], "generation_failed");
}

#[tokio::test(start_paused = true)]
async fn a_job_may_be_missing_at_first_or_lie_about_everything_but_its_first_end() {
    let sim = sim();
    let made = async |model: &str| {
        let body = format!(r#"{{"model":"{model}","prompt":"p"}}"#);
        let made = exchange(&sim, &post("/v1/videos", &body)).await.json();
        format!("/v1/videos/{}", made["id"].as_str().unwrap())
    };
    let late = made("sim:task_404_then_ok=2").await;
    for status in [404, 404, 200, 200] {
        assert_eq!(exchange(&sim, &get(&late)).await.status(), status);
    }
    let liar = made("sim:task_lying,task_slow=2h").await;
    let mut before = Vec::new();
    for _ in 0..4 {
        before.push(exchange(&sim, &get(&liar)).await.text());
    }
    assert!(before.iter().all(|text| !text.contains("completed\"") || text.contains("\"completed_at\":null")), "{before:?}");
    assert!(before[0].contains("another-model") && before[1].contains("queued") && before[3].contains("mystery"), "{before:?}");
    tokio::time::sleep(std::time::Duration::from_secs(7_200)).await;
    let first = exchange(&sim, &get(&liar)).await.json();
    assert_eq!(first["status"], "completed");
    assert!(exchange(&sim, &get(&liar)).await.text().contains("in_progress"));
    assert_eq!(exchange(&sim, &get(&liar)).await.json()["status"], "failed");
}

#[tokio::test(start_paused = true)]
async fn two_equal_jobs_are_two_jobs() {
    let sim = sim();
    let body = r#"{"model":"sim:ok","prompt":"p"}"#;
    let (one, two) = (exchange(&sim, &post("/v1/videos", body)).await, exchange(&sim, &post("/v1/videos", body)).await);
    assert_ne!(one.json()["id"], two.json()["id"]);
    assert_eq!(one.json()["id"], exchange(&super::sim(), &post("/v1/videos", body)).await.json()["id"]);
}

/// Sockets only to prove the wiring: a real reset, and a stop that ends all.
#[tokio::test]
async fn a_cut_on_tcp_is_a_reset() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sim = sim();
    let client = async {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(&post("/v1/chat/completions", &chat("sim:reset_after_accept", true))).await.unwrap();
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(&post("/v1/chat/completions", &chat("sim:ok,close", true))).await.unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("0\r\n\r\n"));
        stop.send(()).unwrap();
    };
    let stopped = async { stopped.await.unwrap_or_default() };
    tokio::join!(sim.clone().serve(listener, stopped), client);
    assert_eq!(sim.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn r31_a_rate_is_enforced_and_its_hint_is_true() {
    let sim = sim_with("sim:rpm=120,429_ms");
    let burst = post("/v1/chat/completions", &chat("sim:tokens=2", false)).repeat(4);
    let statuses = |got: &Got| got.text().matches("HTTP/1.1 200").count();
    let first = exchange(&sim, &burst).await;
    assert_eq!((statuses(&first), first.text().matches("retry-after-ms: 500").count()), (2, 2), "two a second, and one each half second");
    assert_eq!(statuses(&exchange(&sim, &burst).await), 2, "ten minutes later there is room again, but no more than before");
    let listed = exchange(&sim, &get("/v1/models").repeat(9)).await;
    assert_eq!(listed.text().matches("HTTP/1.1 200").count(), 9, "lists are not counted");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_falls_ill_and_recovers_under_the_same_connection() {
    let sim = sim();
    let (mut client, server) = duplex(64 * 1024);
    let talk = async {
        let mut statuses = Vec::new();
        for always in ["sim:ok", "sim:503", "sim:429_hint=3s", "sim:ok"] {
            sim.set_always(Scenario::parse(always).unwrap());
            client.write_all(&post("/v1/chat/completions", &chat("sim:tokens=2", false))).await.unwrap();
            let mut head = vec![0; 12];
            client.read_exact(&mut head).await.unwrap();
            statuses.push(String::from_utf8(head).unwrap()[9..].to_owned());
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut rest = vec![0; 64 * 1024];
            let _ = client.read(&mut rest).await.unwrap();
        }
        drop(client);
        statuses
    };
    let ((), statuses) = tokio::join!(sim.serve_connection(server), talk);
    assert_eq!(statuses, ["200", "503", "429", "200"]);
}
