//! Who submits jobs: what each client wants, when it leaves, how it asks for the same again, and what it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::chance::Chance;
use crate::promises::{Bench, Read};

/// What the upstream does with a job.
const WORDS: &[&str] = &[
    "ok",
    "task_slow=5s",
    "task_slow=40s",
    "task_slow=110s",
    "task_failed,task_slow=20s",
    "task_lying,task_slow=30s",
    "task_404_then_ok=4,task_slow=9s",
    "task_lost_answer,task_slow=30s",
    "task_lost_answer,task_failed,task_slow=30s",
    "first_byte=8s,task_slow=10s",
    "reset_after_accept",
    "400",
    "503",
    "429",
    "500",
    "502",
];
/// What it does with a picture.
const PICTURES: &[&str] = &["ok", "task_slow=20s", "first_byte=8s", "reset_after_accept", "503", "content_policy"];

/// How a client says that it asks for the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// By its `Idempotency-Key`, whatever it was told.
    Key,
    /// As SDKs do: where there was no answer, or one that may be asked for again.
    Retry,
    /// Not at all, where it had left.
    None,
}

/// Asking again.
#[derive(Debug, Clone, Copy)]
struct Again {
    mark: Mark,
    times: u32,
    apart: Duration,
}

/// One client's job.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    n: usize,
    starts: Duration,
    model: String,
    /// A picture that it does not wait for; else a video.
    picture: bool,
    /// Leaves this long after it asked, without waiting for an answer.
    leaves: Option<Duration>,
    /// How long its SDK says that it waits, in seconds.
    announces: Option<u32>,
    again: Option<Again>,
    /// Asks for its state this often, so far apart.
    looks: u32,
    apart: Duration,
    deletes: bool,
}

fn ms(chance: &mut Chance, least: u64, most: u64) -> Duration {
    Duration::from_millis(chance.between(least, most))
}

impl Errand {
    pub(super) fn draw(n: usize, chance: &mut Chance) -> Self {
        let picture = chance.one_in(4);
        let mark = *chance.pick(&[Mark::Key, Mark::Key, Mark::Retry, Mark::None]);
        Self {
            n,
            starts: ms(chance, 0, 40_000),
            model: format!("sim:{}", chance.pick(if picture { PICTURES } else { WORDS })),
            picture,
            leaves: chance.one_in(4).then(|| ms(chance, 0, 9_000)),
            announces: chance.one_in(4).then(|| *chance.pick(&[1, 5, 600])),
            again: chance.one_in(2).then(|| Again {
                mark,
                times: u32::try_from(chance.between(1, 3)).unwrap(),
                apart: ms(chance, 0, 12_000),
            }),
            looks: u32::try_from(chance.between(0, 6)).unwrap(),
            apart: ms(chance, 300, 30_000),
            deletes: chance.one_in(3),
        }
    }

    fn path(&self) -> &'static str {
        if self.picture { "/v1/images/generations" } else { "/v1/videos" }
    }

    /// Does all that it wants to in one life of the gateway. What it was told stands in `told`.
    pub(super) async fn run(&self, bench: &Bench, began: Instant, since: Instant, told: &std::cell::RefCell<Told>) {
        let starts = began + self.starts;
        let cut_off = starts < since && !told.borrow().answered.contains(&self.n);
        let knows_how = self.again.is_some_and(|again| again.mark != Mark::None);
        if starts >= since {
            sleep_until(starts).await;
            self.submit(bench, told, self.leaves, false).await;
        } else if cut_off && knows_how {
            self.submit(bench, told, None, true).await;
        }
        for _ in 0..self.again.map_or(0, |again| again.times) {
            let Some(again) = self.again.filter(|again| told.borrow().asks_again(self.n, again.mark)) else { break };
            sleep(again.apart).await;
            self.submit(bench, told, None, true).await;
        }
        for _ in 0..self.looks {
            sleep(self.apart).await;
            let Some(id) = told.borrow().ids.get(&self.n).cloned() else { return };
            let read = bench.send("GET", &format!("{}/{id}", self.path()), "", "").await;
            told.borrow_mut().heard(self.n, &read);
        }
        let id = told.borrow().ids.get(&self.n).cloned().filter(|_| self.deletes && !self.picture);
        if let Some(id) = id {
            let read = bench.send("DELETE", &format!("/v1/videos/{id}"), "", "").await;
            if read.status() == 200 {
                told.borrow_mut().ids.remove(&self.n);
            }
        }
    }

    async fn submit(&self, bench: &Bench, told: &std::cell::RefCell<Told>, leaves: Option<Duration>, again: bool) {
        let Self { n, model, .. } = self;
        let mut lines = String::new();
        if self.picture {
            lines.push_str("prefer: respond-async\r\n");
        }
        if let Some(seconds) = self.announces {
            lines.push_str(&format!("x-stainless-read-timeout: {seconds}\r\n"));
        }
        match self.again.map(|again| again.mark) {
            Some(Mark::Key) => lines.push_str(&format!("idempotency-key: \"errand-{n}-12345678\"\r\n")),
            Some(Mark::Retry) if again => lines.push_str("x-stainless-retry-count: 1\r\n"),
            _ => {}
        }
        let body = format!(r#"{{"model":"{model}","prompt":"a violet lantern, number {n}","seconds":"8"}}"#);
        told.borrow_mut().answered.remove(n);
        let asked = bench.send("POST", self.path(), &lines, &body);
        let read = match leaves {
            Some(patience) => timeout(patience, asked).await.ok(),
            None => Some(asked.await),
        };
        told.borrow_mut().submitted(*n, read.as_ref());
    }
}

/// What clients know.
#[derive(Debug, Default)]
pub(super) struct Told {
    ids: BTreeMap<usize, String>,
    /// All of them that each was told of.
    pub(super) all: BTreeMap<usize, BTreeSet<String>>,
    /// Whose last submission was answered, or left for good by its client; the others were cut off by a kill.
    answered: BTreeSet<usize>,
    /// Whose last submission had no answer, or one that its SDK takes for a reason to ask again.
    unsatisfied: BTreeMap<usize, bool>,
    /// Ends that were told.
    ends: BTreeMap<usize, String>,
    pub(super) lies: Vec<String>,
}

impl Told {
    fn asks_again(&self, n: usize, mark: Mark) -> bool {
        match mark {
            Mark::Key => true,
            Mark::Retry => self.unsatisfied.contains_key(&n),
            // Only that it had left tells an unmarked request from a new wish.
            Mark::None => self.unsatisfied.get(&n) == Some(&true),
        }
    }

    /// Takes an answer to a submission; `None`: its client left before there was one.
    fn submitted(&mut self, n: usize, read: Option<&Read>) {
        self.answered.insert(n);
        self.unsatisfied.remove(&n);
        let Some(read) = read else {
            self.unsatisfied.insert(n, true);
            return;
        };
        let (status, may) = (read.status(), read.header("x-should-retry") != Some("false"));
        if may && (status >= 500 || matches!(status, 408 | 409 | 429)) {
            self.unsatisfied.insert(n, false);
        }
        // What was refused is no task that its client would ask for.
        let Some(id) = read.header("x-weir-task-id").filter(|_| status < 300 || status == 502 && !may) else { return };
        self.ids.insert(n, id.to_owned());
        self.all.entry(n).or_default().insert(id.to_owned());
    }

    /// A known task is there, and an end that was told once does not change.
    fn heard(&mut self, n: usize, read: &Read) {
        if read.status() != 200 {
            self.lies.push(format!("errand {n}: its task is {}: {}", read.status(), read.body));
            return;
        }
        let shown: serde_json::Value = serde_json::from_str(&read.body).unwrap();
        let status = shown["status"].as_str().unwrap_or_default().to_owned();
        let earlier =
            if matches!(&*status, "completed" | "failed") { self.ends.insert(n, status.clone()) } else { self.ends.get(&n).cloned() };
        if earlier.is_some_and(|earlier| earlier != status) {
            self.lies.push(format!("errand {n}: its task had ended and is {status} now"));
        }
    }
}
