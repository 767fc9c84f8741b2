//! Answers on the disk: they outlive the process, and nobody reads them without their caller's key.

use tokio::time::sleep;
use weir_core::How;
use weir_store::{ReplayTerms, Replays};

use super::{KEY, MARK, body};
use crate::{
    Settings,
    promises::{Bench, secs},
};

const CANARIES: [&str; 3] = ["violet lantern", "seventh quay", "order-12345678"];
const TEXT: &str = r#"{"model":"sim:echo","messages":[{"role":"user","content":"the violet lantern hums over the seventh quay"}]}"#;

fn on_disk(settings: &mut Settings) {
    settings.replay.disk_bytes = Some(1 << 20);
}

impl Bench {
    async fn on_disk(&self) {
        self.gateway.closer.idle().await;
        self.gateway.shelf.as_ref().unwrap().written().await;
    }

    fn replays(&self) -> usize {
        self.files().iter().filter(|(name, _)| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).count()
    }
}

#[tokio::test(start_paused = true)]
async fn d3_a_repeated_request_gets_its_answer_after_kill_9_when_answers_are_on_the_disk() {
    for (stream, first, again, how) in
        [(true, KEY, KEY, How::Key), (false, KEY, KEY, How::Key), (true, "", MARK, How::Retry), (false, "", MARK, How::Retry)]
    {
        let bench = Bench::new(on_disk);
        let text = body("sim:tokens=5", stream);
        let made = bench.post(first, &text).await;
        bench.on_disk().await;
        let bench = bench.killed(on_disk);
        if first == KEY {
            let other = bench.post(KEY, &body("sim:tokens=6", stream)).await;
            assert_eq!((other.status(), other.error()["code"].as_str()), (422, Some("idempotency_key_reused")));
        }
        for _ in 0..2 {
            let read = bench.post(again, &text).await;
            assert_eq!((read.status(), read.header("idempotent-replayed"), &read.body), (200, Some("true"), &made.body));
            assert_eq!(read.header("content-type"), made.header("content-type"));
            assert_eq!(bench.call(read.id()).requests.last().unwrap().how, how);
        }
        let unmarked = body("sim:tokens=5", stream);
        assert_eq!(bench.post("", &unmarked).await.header("x-weir-call"), None, "what arrived is no retry");
        assert_eq!((bench.upstream_calls(), bench.charges()), (2, 2));
        bench.audited();
    }
}

#[tokio::test(start_paused = true)]
async fn d3_who_had_left_gets_the_finished_answer_after_a_restart_without_a_mark() {
    let finish = |settings: &mut Settings| {
        on_disk(settings);
        settings.streams.client_gone = crate::ClientGone::Finish;
    };
    let bench = Bench::new(finish);
    let text = body("sim:tokens=10,first_byte=2s", true);
    bench.give_up("", &text, secs(1)).await;
    bench.on_disk().await;
    let bench = bench.killed(finish);
    let read = bench.post("", &text).await;
    assert_eq!((read.status(), read.header("idempotent-replayed")), (200, Some("true")));
    assert!(read.body.ends_with("data: [DONE]\n\n"));
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn d3_what_memory_gave_up_the_disk_still_has() {
    let bench = Bench::new(|settings| {
        on_disk(settings);
        settings.replay.bytes = 128 << 10;
    });
    let text = |n: u32| format!(r#"{{"model":"sim:tokens=30","stream":true,"messages":[{{"role":"user","content":"{n}"}}]}}"#);
    let key = |n: u32| format!("idempotency-key: disk-12345678-{n}\r\n");
    let mut bodies = Vec::new();
    for n in 0..40 {
        bodies.push(bench.post(&key(n), &text(n)).await.body);
        bench.on_disk().await;
    }
    for n in 0..40 {
        let read = bench.post(&key(n), &text(n)).await;
        assert_eq!((read.status(), read.header("idempotent-replayed")), (200, Some("true")), "{n}: {}", read.body);
        assert_eq!(read.body, bodies[n as usize]);
        assert!(bench.gateway.joins.bytes() <= 128 << 10);
    }
    assert_eq!((bench.upstream_calls(), bench.charges()), (40, 40));
}

#[tokio::test(start_paused = true)]
async fn r41_an_answer_on_the_disk_goes_when_its_time_is_over() {
    let bench = Bench::new(on_disk);
    bench.post(KEY, TEXT).await;
    bench.post("", TEXT).await;
    bench.on_disk().await;
    assert_eq!(bench.replays(), 2);
    sleep(secs(601)).await;
    let gone = bench.post(KEY, TEXT).await;
    assert_eq!(gone.error()["code"], "idempotency_replay_gone");
    let bench = bench.killed(on_disk);
    assert_eq!(bench.replays(), 0);
}

/// Everything that the machine holds is given to whoever tries: database, slots, pepper, files. What is missing is the caller's key.
#[tokio::test(start_paused = true)]
async fn r41_nobody_with_the_database_and_the_disk_reads_a_kept_answer_once_its_callers_key_is_gone() {
    let bench = Bench::new(on_disk);
    let made = bench.post(KEY, TEXT).await;
    assert!(CANARIES[..2].iter().all(|canary| made.body.contains(canary)), "{}", made.body);
    bench.on_disk().await;
    assert!(bench.gateway.books().flush().await);
    let files = bench.files();
    assert_eq!(bench.replays(), 1);
    for (name, bytes) in &files {
        for canary in CANARIES {
            assert!(memchr::memmem::find(bytes, canary.as_bytes()).is_none(), "{canary} is in {name}");
        }
    }
    let now = bench.gateway.clock.now();
    let (folder, own) = bench.thief();
    let found = Replays::open(&folder, ReplayTerms { bytes: 1 << 20, files: 10 }, now).unwrap();
    let (name, _) = files.iter().find(|(name, _)| name.len() == 32).unwrap();
    let name: [u8; 16] = std::array::from_fn(|at| u8::from_str_radix(&name[at * 2..at * 2 + 2], 16).unwrap());
    assert!(found.has(&name, false, now));
    // Whatever lies there is tried as a key: as it is, in hexadecimal, and in pieces of every length that a key or a hash has.
    let mut tried = 0;
    for (_, bytes) in files.iter().filter(|(_, bytes)| bytes.len() < 1 << 20) {
        let text = String::from_utf8_lossy(bytes);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').filter(|word| (8..200).contains(&word.len()));
        let pieces = bytes.chunks(32).chain(bytes.chunks(16)).filter(|piece| piece.iter().any(|byte| *byte != 0));
        let hex = pieces.map(|piece| piece.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        for word in words.map(str::to_owned).chain(hex) {
            if let Ok(key) = weir_core::ApiKey::parse(&word) {
                assert!(found.get(&name, &key, now).is_none(), "{word} opens it");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
    // The same try with the one thing that is not there succeeds: so it could have.
    let opened = found.get(&name, &own, now).unwrap();
    assert!(memchr::memmem::find(&opened.answer, CANARIES[0].as_bytes()).is_some());
}
