//! The laws of the same call again, on a whole gateway in simulated time: one upstream call, one charge, the same answer.

mod back;
mod bounds;
mod crossed;
mod disk;
mod keys;
mod lost;
mod patience;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, DuplexStream},
    task::JoinSet,
    time::sleep,
};
use weir_core::{How, RequestId};
use weir_store::StoredCall;

use crate::promises::{Bench, Read, secs};

const CHAT: &str = "/v1/chat/completions";
const KEY: &str = "idempotency-key: \"order-12345678\"\r\n";
const MARK: &str = "x-stainless-retry-count: 1\r\n";

fn body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

impl Bench {
    async fn post(&self, extra: &str, body: &str) -> Read {
        self.send("POST", CHAT, extra, body).await
    }

    fn call(&self, id: RequestId) -> StoredCall {
        self.gateway.books().call(id).unwrap().unwrap()
    }

    fn calls(&self) -> Vec<StoredCall> {
        self.gateway.books().store().calls(&weir_store::CallFilter::default()).unwrap()
    }

    fn charges(&self) -> usize {
        self.calls().iter().map(|call| call.ledger.len()).sum()
    }

    fn upstream_calls(&self) -> usize {
        self.sim.requests().len()
    }

    fn audited(&self) {
        let report = self.gateway.books().audit().unwrap();
        assert!(report.ok, "{report:?}");
    }

    /// Asks, reads until `enough` says so of the body so far, and hangs up.
    async fn leave(&self, extra: &str, body: &str, enough: impl Fn(&str) -> bool) -> String {
        let (mut near, connection) = self.open("POST", CHAT, extra, "application/json", body);
        let read = async {
            let mut bytes = Vec::new();
            while !enough(&String::from_utf8_lossy(&bytes)) && near.read_buf(&mut bytes).await.unwrap() > 0 {}
            drop(near);
            String::from_utf8(bytes).unwrap()
        };
        tokio::join!(read, connection).0
    }

    /// Asks and gives up after a while without having read.
    async fn give_up(&self, extra: &str, body: &str, after: Duration) {
        let (near, connection): (DuplexStream, _) = self.open("POST", CHAT, extra, "application/json", body);
        let wait = async {
            sleep(after).await;
            drop(near);
        };
        tokio::join!(wait, connection);
    }
}

/// The chunks that a client got whole before it left.
fn whole_chunks(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n")
        && let Some(chunk) = usize::from_str_radix(size, 16).ok().and_then(|size| rest.get(..size + 2))
    {
        whole.push_str(&chunk[..chunk.len() - 2]);
        text = &rest[chunk.len()..];
    }
    whole
}

fn events(text: &str) -> usize {
    text.matches("data: ").count()
}

#[tokio::test(start_paused = true)]
async fn r18_a_thousand_requests_with_one_key_are_one_upstream_call_one_charge_and_a_thousand_equal_answers() {
    for stream in [true, false] {
        let bench = Arc::new(Bench::new(|_| {}));
        let body = body("sim:tokens=30,interval=50ms,first_byte=2s", stream);
        let mut asked = JoinSet::new();
        for n in 0..1_000_u64 {
            let (bench, body) = (Arc::clone(&bench), body.clone());
            asked.spawn(async move {
                sleep(Duration::from_millis(n * 3)).await;
                bench.post(KEY, &body).await
            });
        }
        let answers = asked.join_all().await;
        let first = &answers.iter().find(|read| read.header("x-weir-call").is_none()).unwrap();
        assert_eq!((first.status(), bench.upstream_calls(), bench.charges(), bench.calls().len()), (200, 1, 1, 1), "stream={stream}");
        assert!(first.body.contains(if stream { "data: [DONE]" } else { "\"usage\"" }), "{}", first.body);
        assert!(answers.iter().all(|read| read.body == first.body && read.status() == 200));
        let call = first.id().to_string();
        let joined: Vec<_> = answers.iter().filter(|read| read.header("x-weir-call") == Some(&*call)).collect();
        assert_eq!(joined.len(), 999);
        let stored = bench.call(joined[500].id());
        assert_eq!((stored.record.id, stored.requests.len()), (first.id(), 999));
        assert!(stored.requests.iter().all(|request| request.how == How::Key && request.status == 200));
        bench.audited();
    }
}

/// On two threads, in real time: whatever the interleaving of joining, leaving and ending, nobody waits for ever and everybody reads the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d3_readers_on_several_threads_read_the_same_and_nobody_waits_for_ever() {
    let bench = Arc::new(Bench::new(|settings| settings.streams.linger = secs(1)));
    for round in 0..30_u64 {
        let stream = round % 3 > 0;
        let text = format!(r#"{{"model":"sim:tokens=40","stream":{stream},"messages":[{{"role":"user","content":"{round}"}}]}}"#);
        let key = format!("idempotency-key: threads-12345678-{round}\r\n");
        let mut asked = JoinSet::new();
        for n in 0..24_usize {
            let (bench, text, key) = (Arc::clone(&bench), text.clone(), key.clone());
            asked.spawn(async move {
                if n % 4 == 3 {
                    bench.leave(&key, &text, |heard| events(heard) > n).await;
                    return None;
                }
                Some(bench.post(&key, &text).await)
            });
        }
        let answers: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        let other = answers.iter().find(|read| read.status() != 200 || read.body != answers[0].body);
        let ends = |read: &Read| format!("{} {} bytes …{}", read.head, read.body.len(), &read.body[read.body.len().saturating_sub(300)..]);
        assert!(other.is_none(), "round {round}: {}\n{}", ends(&answers[0]), other.map(ends).unwrap_or_default());
    }
    bench.gateway.closer.idle().await;
    assert!(bench.gateway.books().flush().await);
    assert_eq!((bench.upstream_calls(), bench.charges()), (30, 30));
    bench.audited();
}
