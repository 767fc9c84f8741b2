//! Answers and faults as a client sees them, over in-memory pipes with paused time.

mod families;
mod faults;
mod service;

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};

use crate::{Scenario, Sim, SimSettings};

/// Everything that one connection got: each read with its time.
#[derive(Debug, Clone, PartialEq)]
struct Got {
    reads: Vec<(Duration, Vec<u8>)>,
    ended_at: Duration,
}

fn sim() -> Sim {
    Sim::new(SimSettings::default())
}

fn sim_with(always: &str) -> Sim {
    Sim::new(SimSettings { always: Scenario::parse(always).unwrap(), ..SimSettings::default() })
}

fn chat(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Count from 1 to 20"}}],"stream":{stream}}}"#)
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n").into_bytes()
}

/// Sends the bytes on a fresh connection and reads until the simulator closes it (it does, when the idle limit passes).
async fn exchange(sim: &Sim, bytes: &[u8]) -> Got {
    let (mut client, server) = duplex(8 << 20);
    let begun = Instant::now();
    let ask = async {
        client.write_all(bytes).await.unwrap();
        let (mut reads, mut buffer) = (Vec::new(), vec![0; 8 << 20]);
        loop {
            match client.read(&mut buffer).await.unwrap() {
                0 => return Got { reads, ended_at: begun.elapsed() },
                count => reads.push((begun.elapsed(), buffer[..count].to_vec())),
            }
        }
    };
    tokio::join!(sim.serve_connection(server), ask).1
}

async fn ask(sim: &Sim, model: &str, stream: bool) -> Got {
    exchange(sim, &post("/v1/chat/completions", &chat(model, stream))).await
}

impl Got {
    fn bytes(&self) -> Vec<u8> {
        self.reads.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn head(&self) -> String {
        self.text().split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    fn status(&self) -> u16 {
        self.head().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<String> {
        self.head().lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }

    /// The body without its framing, and whether the framing was complete.
    fn body(&self) -> (Vec<u8>, bool) {
        let bytes = self.bytes();
        let Some(border) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return (Vec::new(), false) };
        let mut left = &bytes[border + 4..];
        if let Some(length) = self.header("content-length") {
            return (left.to_vec(), left.len() == length.parse::<usize>().unwrap());
        }
        if self.header("transfer-encoding").is_none() {
            return (left.to_vec(), true);
        }
        let mut body = Vec::new();
        loop {
            let Some(end) = left.windows(2).position(|two| two == b"\r\n") else { return (body, false) };
            let Ok(size) = usize::from_str_radix(std::str::from_utf8(&left[..end]).unwrap(), 16) else { return (body, false) };
            left = &left[end + 2..];
            if size == 0 {
                return (body, left == b"\r\n");
            }
            if left.len() < size + 2 {
                body.extend_from_slice(left);
                return (body, false);
            }
            body.extend_from_slice(&left[..size]);
            left = &left[size + 2..];
        }
    }

    fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body().0).into_owned()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body().0).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn complete(&self) -> bool {
        self.body().1
    }

    fn data_lines(&self) -> usize {
        self.body_text().lines().filter(|line| line.starts_with("data:")).count()
    }
}
