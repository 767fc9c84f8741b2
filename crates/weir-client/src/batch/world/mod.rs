//! Whole runs in simulated time against a made-up server, and beside them the scripts that people use today.

mod delays;
mod laws;
mod page;
mod scripts;
mod upstream;

use std::{
    io::{BufReader, Cursor},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use weir_core::Clock;

use super::{
    Lines, Setup, Snapshot, Standings, Stop,
    disk::memory::Sheet,
    journal::{self, Header},
    run,
};
use crate::rig::{Seeded, SimulatedClock};
use upstream::{Order, Saw, Upstream};

/// A paused clock on one thread.
fn in_simulated_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(work)
}

/// A file of chats, each different.
fn rows(count: u64) -> String {
    let row = |n: u64| {
        // Three hundred letters are seventy-five tokens; the rest is the frame.
        format!(
            "{{\"custom_id\":\"r{n}\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{{\"model\":\"m\",\"max_tokens\":{},\"messages\":[{{\"role\":\"user\",\"content\":\"{n:0300}\"}}]}}}}\n",
            upstream::OUTPUT
        )
    };
    (1..=count).map(row).collect()
}

fn header(count: u64, concurrency: u32) -> Header {
    let plain = journal::tests::header(count);
    Header { terms: super::Terms { concurrency, ..plain.terms.clone() }, ..plain }
}

/// The files of a run.
#[derive(Clone, Default)]
struct Files {
    journal: Sheet,
    output: Sheet,
}

/// One run of the program, from what its files say to its end.
async fn once(files: &Files, input: &str, header: &Header, upstream: &Arc<Upstream>, seed: u64) -> Snapshot {
    once_at(files, input, header, Arc::clone(upstream) as Arc<dyn super::Line>, seed).await
}

/// The same at any server.
async fn once_at(files: &Files, input: &str, header: &Header, line: Arc<dyn super::Line>, seed: u64) -> Snapshot {
    let (_keep, stop) = watch::channel(Stop::No);
    let mut files = files.clone();
    let standings = if files.journal.bytes.lock().unwrap().is_empty() {
        super::Disk::append(&mut files.journal, header.line().unwrap().as_bytes()).unwrap();
        Standings::new(header.lines)
    } else {
        resumed(&mut files)
    };
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new());
    let setup = Setup {
        line,
        clock,
        dice: Arc::new(Seeded::new(seed)),
        header: header.clone(),
        standings,
        journal: Box::new(files.journal),
        output: Box::new(files.output),
        hidden: None,
    };
    run(setup, Lines::new(BufReader::new(Cursor::new(input.as_bytes()))), stop, |_| {}).await.unwrap()
}

/// What a new start makes of the files that a killed run left.
fn resumed(files: &mut Files) -> Standings {
    let journal = files.journal.bytes.lock().unwrap().clone();
    let output = files.output.bytes.lock().unwrap().clone();
    let mut found = super::found(&mut Cursor::new(&journal)).unwrap();
    files.journal.bytes.lock().unwrap().truncate(usize::try_from(found.journal_len).unwrap());
    let (records, end) = found.adopt(&mut Cursor::new(&output), output.len() as u64).unwrap();
    files.output.bytes.lock().unwrap().truncate(usize::try_from(end).unwrap());
    for record in records {
        super::Disk::append(&mut files.journal, record.line().as_bytes()).unwrap();
    }
    found.standings
}

/// A run from its beginning to its end, and what the server saw of it.
fn whole(count: u64, concurrency: u32, order: Order, seed: u64) -> (Snapshot, Saw, Files) {
    in_simulated_time(async {
        let (files, upstream) = (Files::default(), Arc::new(Upstream::new(order, seed)));
        let snapshot = once(&files, &rows(count), &header(count, concurrency), &upstream, seed).await;
        (snapshot, upstream.saw(), files)
    })
}
