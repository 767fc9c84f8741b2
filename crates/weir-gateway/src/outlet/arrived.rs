//! Whether those who read an answer are there, and whether it arrived.
//!
//! What a kernel acknowledged its client need not have read: a client that gives up at the very moment at which its answer comes closes with the
//! answer unread, and its kernel says so with a reset. A proper close says that everything was read.

use std::time::Duration;

use tokio::time::Instant;

use super::{Outlet, Standing, gap::ACKNOWLEDGED};
use crate::line::{Line, Missed};

/// What follows a stream's last event: the empty chunk. A client need not wait for it.
const END_BYTES: usize = b"0\r\n\r\n".len();
/// Nobody who runs leaves an answer unread for longer. Whoever resets a connection later is a proxy that drops what was idle.
const UNREAD: Duration = Duration::from_secs(5);

impl Outlet {
    /// The connection broke that this answer left by.
    pub(crate) fn lose(&self, missed: Missed) {
        let (source, ended_at) = {
            let gap = self.gap();
            (gap.source.clone(), gap.ended_at)
        };
        source.as_ref().unwrap_or(self).miss(missed, ended_at);
    }

    /// Whoever read it left before it had the last piece.
    pub(crate) fn missed(&self) {
        self.gap().lost();
    }

    /// Remembers it as lost if that follows from what a client, whose answer ended then, did not get.
    fn miss(&self, missed: Missed, ended_at: Option<Instant>) {
        let mut gap = self.gap();
        let unread = if ended_at.is_none_or(|at| at.elapsed() < UNREAD) { missed.unread } else { 0 };
        // SDKs hang up when they have read the end marker, and leave what comes behind it.
        let lost = if gap.is_whole() { missed.unheard.max(missed.unread) > 0 } else { missed.unheard.max(unread) > END_BYTES };
        if lost {
            gap.lost();
        }
    }

    /// What is sent here is another call's answer.
    pub(crate) fn repeat(&self, source: &Self) {
        self.gap().source = Some(source.clone());
    }

    /// Whether it is this answer that is sent here.
    pub(crate) fn carries(&self, answer: &Self) -> bool {
        self.is(answer) || self.gap().source.as_ref().is_some_and(|source| source.is(answer))
    }

    /// Whether an equal request should [`look`](Self::look) first. `latest`: no equal call is younger.
    pub(crate) fn is_doubtful(&self, latest: &Self) -> bool {
        let gap = self.gap();
        gap.is_doubtful() && (self.is(latest) || gap.is_settled())
    }

    /// Whether the client whose request this answers has left already, though its task may not know that yet.
    pub(crate) fn is_absent(&self) -> bool {
        let line = {
            let gap = self.gap();
            if !gap.attended() {
                return true;
            }
            gap.line.clone()
        };
        line.is_some_and(|line| line.has_left())
    }

    /// Looks whether those who read are still there, or got all that they were sent.
    pub(crate) fn look(&self) {
        let (running, lines) = {
            let gap = self.gap();
            (gap.outcome.is_none(), gap.lines())
        };
        if !running {
            return self.look_back();
        }
        let Some(asked) = lines.filter(|lines| lines.iter().all(Line::has_left)) else { return };
        let mut gap = self.gap();
        // Nobody came meanwhile.
        let same = |now: &[Line]| now.len() == asked.len() && now.iter().zip(&asked).all(|(now, asked)| now.is(asked));
        gap.hung_up |= gap.lines().is_some_and(|now| same(&now));
    }

    /// The same when the call is over.
    fn look_back(&self) {
        let (lines, ended_at, acknowledged) = {
            let gap = self.gap();
            let acknowledged = gap.closed_at.is_some_and(|at| at.elapsed() >= ACKNOWLEDGED);
            ([gap.line.clone(), gap.latest.clone()], gap.ended_at, acknowledged)
        };
        for line in lines.into_iter().flatten() {
            // What nobody has acknowledged yet may be on its way, unless the connection is over.
            let missed = line.missed(self).filter(|missed| acknowledged || missed.over);
            missed.into_iter().for_each(|missed| self.miss(missed, ended_at));
        }
    }

    /// How the answer stands for others.
    pub(crate) fn standing(&self) -> Standing {
        let gap = self.gap();
        Standing { outcome: gap.outcome, kept: gap.is_open(), left: (!gap.attended() || gap.hung_up) && (!gap.delivered || gap.is_lost()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::joins::Joins;

    const EVENTS: usize = 400;

    /// An answer that left by a line of its own, in these writes.
    fn left_by(joins: &Joins, whole: bool, writes: &[usize]) -> (Outlet, Line) {
        let (outlet, line) = (Outlet(Arc::default()), Line::default());
        joins.keep(&outlet);
        line.carry(&outlet);
        if let (true, Some(kept)) = (whole, &mut outlet.gap().kept) {
            assert!(kept.push_whole(&Bytes::from_static(b"{}")));
        }
        writes.iter().for_each(|bytes| line.wrote(*bytes, *bytes));
        outlet.gap().end();
        (outlet, line)
    }

    #[tokio::test(start_paused = true)]
    async fn d3_a_stream_is_lost_if_more_than_what_follows_its_end_marker_was_not_read() {
        let joins = Joins::new(crate::Replay::default());
        let reset: fn(&Line) = Line::broke;
        let closed: fn(&Line) = Line::hung_up;
        let unwritten: fn(&Line) = |line| line.wrote(0, END_BYTES + 14);
        let unwritten_end: fn(&Line) = |line| line.wrote(0, END_BYTES);
        let all: fn(&Line) = |_| {};
        for (whole, writes, rest, over, lost) in [
            // The end marker and what follows it were written at once: something of both lay unread.
            (false, &[EVENTS, EVENTS][..], all, reset, true),
            (false, &[EVENTS, END_BYTES], all, reset, false),
            (false, &[EVENTS], all, closed, false),
            (false, &[EVENTS, END_BYTES], unwritten, reset, true),
            (false, &[EVENTS], unwritten, closed, true),
            (false, &[EVENTS], unwritten_end, closed, false),
            (false, &[END_BYTES], unwritten_end, reset, false),
            (true, &[EVENTS], all, reset, true),
            (true, &[EVENTS], all, closed, false),
            (true, &[], unwritten_end, reset, true),
        ] {
            let (outlet, line) = left_by(&joins, whole, writes);
            rest(&line);
            over(&line);
            assert_eq!(outlet.gap().is_lost(), lost, "whole={whole} {writes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn d3_a_late_reset_takes_back_no_stream_that_was_acknowledged() {
        let joins = Joins::new(crate::Replay::default());
        for (whole, late_s, unwritten, lost) in [(false, 4, 0, true), (false, 6, 0, false), (false, 6, EVENTS, true), (true, 6, 0, true)] {
            let (outlet, line) = left_by(&joins, whole, &[EVENTS]);
            advance(Duration::from_secs(late_s)).await;
            line.wrote(0, unwritten);
            line.broke();
            assert_eq!(outlet.gap().is_lost(), lost, "whole={whole} after {late_s} s");
            sleep(Duration::from_secs(60)).await;
            assert!(!outlet.gap().is_lost(), "nobody retries by himself after that");
        }
    }

    #[test]
    fn d3_what_is_lost_of_a_repeated_answer_is_lost_of_the_call_that_made_it() {
        let joins = Joins::new(crate::Replay::default());
        let (made, _) = left_by(&joins, false, &[EVENTS]);
        let (repeated, line) = left_by(&joins, false, &[EVENTS]);
        repeated.repeat(&made);
        assert!(repeated.carries(&made) && repeated.carries(&repeated) && !made.carries(&repeated));
        line.broke();
        assert_eq!((made.gap().is_lost(), repeated.gap().is_lost()), (true, false));
    }
}
