//! A server in memory that gives the answers of a weir gateway by heart: records, tasks, and errors in the form that the catalogue says.

use std::{io, net::SocketAddr};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use weir_client::{
    Io,
    probe::{Reach, Reaching, Secured, Speak},
};
use weir_core::Verdict;

use super::{EPOCH, Wall, report};
use crate::{
    probe::{Examined, Order, Tools},
    report::Report,
};

/// The call that the record is about.
pub(super) const CALL: &str = "wr_01j2w8k3q4zp7m01j2w8k3q4zp";

/// What the server knows.
#[derive(Debug, Clone)]
pub(super) enum Canned {
    /// Every call is refused with this verdict.
    Refuses(Verdict),
    /// Streams break off with this verdict, in the gateway's own words.
    BreaksOff(Verdict),
    /// It has one record, of a call or a task.
    Keeps(Value),
}

/// A record in the form of `GET /v1/weir/calls/{id}`, with some fields changed.
pub(super) fn record(verdict: Verdict, changed: &Value) -> Canned {
    let mut record = json!({
        "object": "weir.call", "id": CALL, "state": "ended", "time": "2026-01-01T00:00:00Z", "path": "/v1/chat/completions",
        "task_type": "chat", "model": "gpt-4o-mini", "stream": true, "status": 200, "verdict": { "code": verdict.code() },
        "ended_by": "done", "charged": "yes", "attempts": [{}], "requests": [], "timing": { "total": 900 },
    });
    for (name, value) in changed.as_object().into_iter().flatten() {
        record[name] = value.clone();
    }
    Canned::Keeps(record)
}

impl Canned {
    pub(super) async fn report(self, order: Order) -> Report {
        let wall = Wall(tokio::time::Instant::now());
        let mut run = Examined::new(order, EPOCH, 0x1234_5678);
        run.run(&Tools { reach: &self, clock: &wall, watch: &|_| () }).await;
        report(&run)
    }

    fn answer(&self, asked: &str) -> String {
        let is_call = asked.starts_with("POST");
        let whole = |status: u16, body: &Value| {
            let body = body.to_string();
            let length = body.len();
            format!(
                "HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\nx-request-id: {CALL}\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        };
        match self {
            Self::Keeps(kept) => whole(200, kept),
            _ if asked.starts_with("GET /v1/models") => whole(200, &json!({ "data": [{ "id": "gpt-4o-mini" }] })),
            Self::Refuses(verdict) if is_call => {
                let api = verdict.api();
                let error = json!({ "message": "refused", "type": api.map(|api| api.kind), "code": api.map(|api| api.code), "verdict": verdict.code() });
                whole(api.map_or(500, |api| api.status), &json!({ "error": error }))
            }
            Self::BreaksOff(verdict) if is_call && asked.contains("\"stream\":true") => {
                let event = json!({ "id": "c", "choices": [{ "index": 0, "delta": { "content": "1 " }, "finish_reason": null }] });
                let error =
                    json!({ "error": { "message": "broke off", "code": verdict.api().map(|api| api.code), "verdict": verdict.code() } });
                let body = format!("data: {event}\n\ndata: {event}\n\ndata: {error}\n\n");
                let length = body.len();
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\nx-request-id: {CALL}\r\ncontent-length: {length}\r\n\r\n{body}"
                )
            }
            _ if is_call => whole(200, &json!({ "choices": [{ "message": { "content": "1 2 3" }, "finish_reason": "stop" }] })),
            _ => whole(404, &json!({ "error": { "message": "no such thing", "code": "not_found" } })),
        }
    }
}

async fn serve(canned: Canned, mut io: DuplexStream) {
    let mut asked = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&asked).into_owned();
        if text.starts_with("GET") && text.ends_with("\r\n\r\n") || text.starts_with("POST") && text.ends_with('}') {
            break;
        }
        if io.read_buf(&mut asked).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let _ = io.write_all(canned.answer(&String::from_utf8_lossy(&asked)).as_bytes()).await;
}

impl Reach for Canned {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> Reaching<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))]) })
    }

    fn connect(&self, _: SocketAddr) -> Reaching<'_, io::Result<Box<dyn Io>>> {
        let (near, far) = duplex(1 << 16);
        tokio::spawn(serve(self.clone(), far));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }

    fn secure<'a>(&'a self, io: Box<dyn Io>, _: &'a str, _: Speak) -> Reaching<'a, Secured> {
        Box::pin(async { Secured { seen: None, io: Ok(io) } })
    }
}
