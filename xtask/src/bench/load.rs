//! The load as the bench sees it: runs of the peer, each ending in one line of JSON.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::gateways::{Owned, PEER_CORE, pinned};
use crate::Outcome;

/// Where load goes, and with which key.
pub(super) struct Load {
    root: PathBuf,
    address: String,
    key: Option<String>,
}

/// Answers in one run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Requests {
    pub(super) count: u64,
}

impl Requests {
    pub(super) fn per_second(self, seconds: u64) -> f64 {
        self.count as f64 / seconds as f64
    }
}

/// How long events took from the upstream's write to the client's read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Delays {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

impl Load {
    pub(super) fn new(root: &Path, address: String, key: Option<String>) -> Self {
        Self { root: root.to_owned(), address, key }
    }

    fn start(&self, mode: &str, numbers: &[u64]) -> Outcome<(Owned, String)> {
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut arguments = vec!["bench-peer", mode, &self.address, self.key.as_deref().unwrap_or("none")];
        arguments.extend(numbers.iter().map(String::as_str));
        let mut child = Owned(pinned(&self.root, PEER_CORE, "xtask", &arguments).spawn()?);
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        if line.is_empty() { Err(format!("the load {mode} failed").into()) } else { Ok((child, line)) }
    }

    /// Chat requests over `connections` kept-alive connections for some seconds.
    pub(super) fn requests(&self, connections: usize, seconds: u64) -> Outcome<Requests> {
        Ok(serde_json::from_str(&self.start("requests", &[connections as u64, seconds])?.1)?)
    }

    /// Streams side by side, each of `events` events with `pause` between two.
    pub(super) fn events(&self, streams: usize, events: u32, pause: Duration) -> Outcome<Delays> {
        let numbers = [streams as u64, events.into(), u64::try_from(pause.as_micros())?];
        Ok(serde_json::from_str(&self.start("events", &numbers)?.1)?)
    }

    /// Opens streams and keeps them open until the value is dropped.
    pub(super) fn hold(&self, streams: usize) -> Outcome<Owned> {
        Ok(self.start("hold", &[streams as u64])?.0)
    }
}
