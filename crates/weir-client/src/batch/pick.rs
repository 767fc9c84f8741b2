//! Which row comes next: one whose job is to be looked at, one that waited, or the next of the input.

use std::{
    io::{self, BufRead},
    time::Duration,
};

use weir_core::Timestamp;

use super::{
    Row,
    conductor::Conductor,
    input::{Lines, Read},
    job::{Due, Job, key},
    journal::{FailedHow, Record},
    output::Reason,
    standing::RowState,
};
use crate::client::Memory;

/// Rows that wait for a retry or a job's end, for each request that may run, before no new row is taken.
const WAITING_EACH: usize = 4;
const WAITING: usize = 64;
/// A retry that the budget does not allow yet is looked at again after this.
const BUDGET_LOOK: Duration = Duration::from_secs(1);

impl Conductor {
    /// The next job: one that waited for admission, one whose time has come, or the next row of the input.
    pub(super) fn pick<R: BufRead>(&mut self, input: &mut Lines<R>, now: Timestamp) -> io::Result<Option<Job>> {
        if self.looks.peek().is_some_and(|due| due.at <= now) {
            return Ok(self.looks.pop().map(|due| due.job));
        }
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        if self.due.peek().is_some_and(|due| due.at <= now)
            && let Some(Due { job, .. }) = self.due.pop()
        {
            if job.attempts == 0 || self.may_retry(now) {
                return Ok(Some(job));
            }
            let look = if self.earned > 0 { now } else { now.after(BUDGET_LOOK) };
            self.later(job, look.max(now.after(Duration::from_millis(50))));
            return if self.due.peek().is_some_and(|due| due.at <= now) { self.pick(input, now) } else { self.fresh(input, now) };
        }
        self.fresh(input, now)
    }

    /// Rows that may wait for their next attempt before no new one is taken.
    fn most_waiting(&self) -> usize {
        usize::try_from(self.throttle.window()).unwrap_or(WAITING).saturating_mul(WAITING_EACH).max(WAITING)
    }

    /// Whether the budget allows a retry. Where it is used up and nothing else is left to do, one a second goes all the same, and two
    /// more for each that was answered.
    fn may_retry(&mut self, now: Timestamp) -> bool {
        if self.budget.withdraw(now) {
            return true;
        }
        let nothing_else = self.input_ended || self.due.len() >= self.most_waiting();
        if nothing_else && self.earned > 0 {
            self.earned -= 1;
            return true;
        }
        let trickles = nothing_else && now.since(self.trickled_at) >= BUDGET_LOOK;
        if trickles {
            self.trickled_at = now;
        }
        trickles
    }

    /// The next row of the input that is not done.
    fn fresh<R: BufRead>(&mut self, input: &mut Lines<R>, now: Timestamp) -> io::Result<Option<Job>> {
        let jobs = self.book.standings.tasks.len();
        let too_many = self.due.len() >= self.most_waiting() || jobs >= usize::try_from(self.throttle.window()).unwrap_or(1);
        while !self.input_ended && !too_many && self.halt.is_none() {
            let standings = &self.book.standings;
            let Some(read) = input.next(|row| !standings.of(row).is_final())? else {
                self.input_ended = true;
                break;
            };
            let kept = match read {
                Read::Blank { number } => {
                    self.book.note(&Record::Failed { row: number, end: self.book.standings.end, status: 0, how: FailedHow::Blank });
                    Ok(())
                }
                Read::Bad { number, why, custom_id } => {
                    self.tally.fail(why.code());
                    self.book.bad(number, custom_id.as_deref(), Reason { code: why.code(), message: format!("line {number}: {why}") })
                }
                Read::Row(row) => match self.begin(row, now) {
                    Some(job) => return Ok(Some(job)),
                    None => Ok(()),
                },
            };
            if let Err(error) = kept {
                self.disk_failed(&error);
            }
        }
        Ok(None)
    }

    /// A row of the input becomes a job, by what the journal says of it. `None`: it waits, or has its line already.
    fn begin(&mut self, row: Row, now: Timestamp) -> Option<Job> {
        let (number, state) = (row.number, self.book.standings.of(row.number));
        let tokens = row.tokens(self.judge.usual_output());
        let mut job = Job::new(row, key(&self.header.run, number, self.book.standings.round(number)), tokens);
        job.first_sent = self.book.standings.sent_at.get(&number).copied();
        match state {
            RowState::Task => {
                if let Some(id) = self.book.standings.tasks.get(&number).cloned()
                    && job.follow(&id)
                {
                    self.later(job, now);
                    return None;
                }
            }
            RowState::Sent => {
                job.unanswered = true;
                if job.row.is_media() && self.line.memory() != Memory::Remembers {
                    self.search(job, now);
                    return None;
                }
            }
            _ => self.budget.deposit(),
        }
        let told = self.book.standings.told.get(&number).copied();
        if let Some(told) = told.filter(|told| *told > now) {
            self.later(job, told);
            return None;
        }
        Some(job)
    }
}
