//! The run itself: takes rows, sends what may be sent, notes what became of it. One task decides everything; attempts run beside it.

use std::{
    collections::BinaryHeap,
    io::{self, BufRead},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};
use weir_core::{BudgetTerms, RetryBudget, Scenario, Timestamp};

use super::{
    book::Book,
    input::Lines,
    job::{Due, Job, Step},
    journal::{Header, Mark, Record},
    judge::Judge,
    output::Writer,
    setup::{Line, Setup, Stop},
    snapshot::{Halt, Snapshot, Tally},
    spend::Spend,
    standing::RowState,
    throttle::{Admission, Bounds, Throttle, Ticket, Why},
};
use crate::{
    Ask, Said,
    client::{Dice, Lost, Memory},
};

/// Of a batch, so many of a hundred calls may be retries: a server is asked 1.12 times for each row, the floor, and at
/// the end once a second at most.
const RETRIES: BudgetTerms = BudgetTerms { percent: 12, floor: 10 };
/// How long rows that run may take to finish when a run is stopped.
const GRACE: Duration = Duration::from_secs(30);
/// How often the journal notes how the run stands.
const MARK_EVERY: Duration = Duration::from_secs(2);
/// How often whoever watches is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// An attempt that ended.
pub(super) struct End {
    pub(super) job: Job,
    pub(super) ticket: Option<Ticket>,
    pub(super) took: Duration,
    pub(super) outcome: Result<Said, Lost>,
}

/// The state of a run. What an attempt's end means is in `judge`.
pub(super) struct Conductor {
    pub(super) line: Arc<dyn Line>,
    pub(super) dice: Arc<dyn Dice>,
    pub(super) header: Header,
    pub(super) book: Book,
    pub(super) throttle: Throttle,
    pub(super) budget: RetryBudget,
    pub(super) trickled_at: Timestamp,
    /// Retries beyond the budget that answered retries have earned.
    pub(super) earned: u32,
    pub(super) spend: Spend,
    pub(super) judge: Judge,
    pub(super) tally: Tally,
    pub(super) halt: Option<Halt>,
    /// Rows that wait for their next attempt, and jobs that are to be looked at.
    pub(super) due: BinaryHeap<Due>,
    pub(super) looks: BinaryHeap<Due>,
    orders: u64,
    /// Picked, and not admitted yet.
    pub(super) held: Option<Job>,
    pub(super) input_ended: bool,
    waits: Option<(Timestamp, Why)>,
    running: JoinSet<End>,
    /// The run's own clock: the wall's time when it began, and what passed since. It never jumps.
    began: (Timestamp, Instant),
    marked_at: Timestamp,
    told_at: Timestamp,
}

/// Runs a batch until each row has its line, or something ends it. Dropping the future leaves what a kill leaves.
///
/// # Errors
/// The input cannot be read. A full disk is no error but an end of its own.
pub async fn run<R: BufRead>(
    setup: Setup,
    mut input: Lines<R>,
    mut stop: watch::Receiver<Stop>,
    mut tell: impl FnMut(&Snapshot),
) -> io::Result<Snapshot> {
    let mut run = Conductor::new(setup);
    // Costs nothing, and tells whether the server remembers names before any row's fate depends on it.
    let _ = run.line.ask(&Ask::get("/weir/limits")).await;
    let (mut stopped_at, mut may_be_stopped) = (None, true);
    loop {
        let now = run.now();
        if run.halt.is_none() {
            run.fill(&mut input, now)?;
        } else {
            run.let_go();
        }
        run.keep(now);
        if run.is_over() {
            break;
        }
        let wake = run.wake(now, stopped_at);
        tokio::select! {
            biased;
            changed = stop.changed(), if may_be_stopped => {
                may_be_stopped = changed.is_ok();
                if may_be_stopped {
                    run.halt.get_or_insert(Halt::Interrupted);
                    stopped_at.get_or_insert(now);
                }
                if *stop.borrow() == Stop::Now {
                    break;
                }
            }
            Some(end) = run.running.join_next(), if !run.running.is_empty() => run.take(end),
            () = sleep(wake) => {}
        }
        while let Some(end) = run.running.try_join_next() {
            run.take(end);
        }
        let now = run.now();
        if stopped_at.is_some_and(|at| now.since(at) >= GRACE) {
            break;
        }
        if now.since(run.told_at) >= TELL_EVERY {
            run.told_at = now;
            tell(&run.snapshot(now));
        }
    }
    Ok(run.finish(&mut tell))
}

impl Conductor {
    fn new(setup: Setup) -> Self {
        let now = setup.clock.now();
        let terms = &setup.header.terms;
        let bounds = Bounds { ceiling: terms.concurrency, requests: terms.rpm, tokens: terms.tpm };
        let writer = Writer { run: setup.header.run.clone(), hidden: setup.hidden };
        let spent = setup.standings.spent;
        Self {
            line: setup.line,
            dice: setup.dice,
            throttle: Throttle::new(bounds, now),
            budget: RetryBudget::new(RETRIES, now),
            trickled_at: now,
            earned: 0,
            spend: Spend::new(terms.price, terms.max_cost, spent),
            judge: Judge::new(Duration::from_secs(terms.max_wait_s)),
            tally: Tally::default(),
            halt: None,
            due: BinaryHeap::new(),
            looks: BinaryHeap::new(),
            orders: 0,
            held: None,
            input_ended: false,
            waits: None,
            running: JoinSet::new(),
            began: (now, Instant::now()),
            marked_at: now,
            told_at: now,
            book: Book::new(setup.journal, setup.output, writer, setup.standings, now),
            header: setup.header,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.began.0.after(self.began.1.elapsed())
    }

    /// Sends all that may be sent now.
    fn fill<R: BufRead>(&mut self, input: &mut Lines<R>, now: Timestamp) -> io::Result<()> {
        let mut leaving = Vec::new();
        self.waits = None;
        while self.halt.is_none() {
            let Some(mut job) = self.pick(input, now)? else { break };
            if job.is_question() {
                leaving.push((job, None));
                continue;
            }
            match self.throttle.admit(job.tokens, now) {
                Admission::Go => {}
                Admission::At(at, why) => {
                    self.waits = Some((at, why));
                    self.held = Some(job);
                    break;
                }
                Admission::Full => {
                    self.held = Some(job);
                    break;
                }
            }
            if !self.spend.hold(&mut job) {
                if self.running.is_empty() && leaving.is_empty() {
                    self.halt = Some(Halt::MaxCost);
                }
                self.held = Some(job);
                break;
            }
            let ticket = self.throttle.begin(job.tokens, now);
            self.tally.calls += 1;
            job.attempts = job.attempts.saturating_add(1);
            job.first_sent.get_or_insert(now);
            // However long it really waited: the next wait is no shorter.
            job.waited = job.waited.max(job.ended.map_or(Duration::ZERO, |ended| now.since(ended)));
            let again = job.unanswered && self.line.memory() != Memory::Remembers;
            self.book.note(&Record::Sent { row: job.row.number, at: now, again });
            leaving.push((job, Some(ticket)));
        }
        self.send(leaving, now)
    }

    /// Notes first, then sends: what the journal does not know must not have left.
    fn send(&mut self, leaving: Vec<(Job, Option<Ticket>)>, now: Timestamp) -> io::Result<()> {
        let makes_something = leaving.iter().any(|(job, _)| job.row.is_media() && !job.is_question());
        let noted = if makes_something { self.book.sync(now) } else { self.book.flush() };
        if let Err(error) = noted {
            self.disk_failed(&error);
            return Ok(());
        }
        for (job, ticket) in leaving {
            let line = Arc::clone(&self.line);
            self.running.spawn(async move {
                let (ask, began) = (job.ask(), Instant::now());
                let outcome = line.ask(&ask).await;
                End { job, ticket, took: began.elapsed(), outcome }
            });
        }
        Ok(())
    }

    pub(super) fn later(&mut self, job: Job, at: Timestamp) {
        self.orders += 1;
        let heap = if job.step == Step::Send { &mut self.due } else { &mut self.looks };
        heap.push(Due { at, order: self.orders, job });
    }

    fn take(&mut self, end: Result<End, tokio::task::JoinError>) {
        // An attempt that panicked is a broken invariant of ours; its row stays sent, and a resume asks for it.
        let Ok(end) = end else { return };
        if let Err(error) = self.ended(end) {
            self.disk_failed(&error);
        }
    }

    pub(super) fn disk_failed(&mut self, error: &io::Error) {
        self.tally.unkept += 1;
        self.halt.get_or_insert(Halt::Disk(error.kind()));
    }

    /// Writes what has to be written now and then.
    fn keep(&mut self, now: Timestamp) {
        if self.book.is_full {
            self.halt.get_or_insert(Halt::Disk(io::ErrorKind::StorageFull));
        }
        if now.since(self.marked_at) >= MARK_EVERY {
            self.marked_at = now;
            self.mark(now);
        }
        if let Err(error) = self.book.flush().and_then(|()| self.book.sync_if_due(now)) {
            self.halt.get_or_insert(Halt::Disk(error.kind()));
        }
    }

    fn mark(&mut self, now: Timestamp) {
        let mark = Mark {
            at: now,
            running: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            window: self.throttle.window(),
            calls: self.tally.calls,
            refused: self.tally.refused,
            paused_until: self.throttle.paused_until(now),
        };
        self.book.note(&Record::Mark(mark));
    }

    /// When it stops, rows that wait are left as the journal says that they are.
    fn let_go(&mut self) {
        (self.held, self.waits) = (None, None);
        self.due.clear();
        self.looks.clear();
    }

    fn is_over(&self) -> bool {
        let nothing_waits = self.held.is_none() && self.due.is_empty() && self.looks.is_empty();
        self.running.is_empty() && nothing_waits && (self.input_ended || self.halt.is_some())
    }

    /// How long nothing happens unless an attempt ends.
    fn wake(&self, now: Timestamp, stopped_at: Option<Timestamp>) -> Duration {
        let next = [
            self.waits.map(|(at, _)| at),
            // What is held goes first, so nothing else can go before it.
            self.due.peek().filter(|_| self.held.is_none()).map(|due| due.at.max(Timestamp(now.0.saturating_add(1)))),
            self.looks.peek().map(|due| due.at),
            stopped_at.map(|at| at.after(GRACE)),
            Some(now.after(MARK_EVERY)),
        ];
        next.into_iter().flatten().min().map_or(MARK_EVERY, |at| at.since(now))
    }

    pub(super) fn snapshot(&self, now: Timestamp) -> Snapshot {
        let standings = &self.book.standings;
        let (rpm, tpm) = self.throttle.rates();
        Snapshot {
            now,
            began: self.began.0,
            rows: self.header.rows,
            ok: standings.count(RowState::Answered),
            failed: standings.count(RowState::Failed) + standings.count(RowState::FailedSilent) + standings.count(RowState::Unknown),
            bad: standings.count(RowState::Bad),
            unknown: standings.count(RowState::Unknown),
            unanswered: standings.unknown(),
            cursor: standings.cursor(),
            running: self.running.len() as u64,
            waiting: self.due.len() as u64 + u64::from(self.held.is_some()),
            jobs: standings.tasks.len() as u64,
            window: self.throttle.window(),
            rpm,
            tpm,
            spent: self.spend.spent(),
            unguaranteed: standings.unguaranteed,
            remembers: self.line.memory(),
            paused: self.throttle.paused_until(now).map(|until| (until, Why::Told)).or(self.waits.filter(|(at, _)| *at > now)),
            halt: self.halt.clone(),
            tally: self.tally.clone(),
        }
    }

    fn finish(mut self, tell: &mut impl FnMut(&Snapshot)) -> Snapshot {
        let now = self.now();
        self.mark(now);
        if let Err(error) = self.book.sync(now) {
            self.halt.get_or_insert(Halt::Disk(error.kind()));
        }
        let last = self.snapshot(now);
        tell(&last);
        last
    }

    /// The policy of a row.
    pub(super) fn scenario(job: &Job) -> Scenario {
        if job.row.is_media() { Scenario::MediaTask } else { Scenario::Batch }
    }
}
