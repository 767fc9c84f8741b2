//! Where the readers of one answer are.

use std::task::{Context, Waker};

use crate::line::Line;

/// Readers of one answer at once, besides its first client: each costs a wake-up for each event.
const SEATS: usize = 4_096;

/// One reader's place.
#[derive(Default)]
pub(crate) struct Seat {
    /// Pieces that it has read.
    pub(crate) place: usize,
    pub(crate) waker: Option<Waker>,
    /// The call sent a heartbeat that it has not had.
    pub(crate) quiet: bool,
    /// Its connection.
    line: Option<Line>,
    taken: bool,
}

impl Seat {
    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// All readers of one answer but its first client.
#[derive(Default)]
pub(crate) struct Seats {
    seats: Vec<Seat>,
    free: Vec<usize>,
    /// The furthest that any who left had read.
    furthest: usize,
}

impl Seats {
    /// A seat at this place, for the reader on this connection; `None` if there are too many readers.
    pub(crate) fn take(&mut self, place: usize, line: Option<Line>) -> Option<usize> {
        let at = self.free.pop().unwrap_or(self.seats.len());
        if at >= SEATS {
            return None;
        }
        let seat = Seat { place, line, taken: true, ..Seat::default() };
        match self.seats.get_mut(at) {
            Some(old) => *old = seat,
            None => self.seats.push(seat),
        }
        Some(at)
    }

    pub(crate) fn leave(&mut self, at: usize) {
        if let Some(seat) = self.seats.get_mut(at) {
            self.furthest = self.furthest.max(seat.place);
            *seat = Seat::default();
            self.free.push(at);
        }
    }

    fn taken(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| seat.taken)
    }

    /// The connections of all who read.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Option<Line>> {
        self.taken().map(|seat| &seat.line)
    }

    pub(crate) fn any(&self) -> bool {
        self.seats.len() > self.free.len()
    }

    pub(crate) fn slowest(&self) -> Option<usize> {
        self.taken().map(|seat| seat.place).min()
    }

    pub(crate) fn furthest(&self) -> usize {
        self.taken().map(|seat| seat.place).fold(self.furthest, usize::max)
    }

    pub(crate) fn place(&self, at: usize) -> usize {
        self.seats.get(at).map_or(0, |seat| seat.place)
    }

    pub(crate) fn advance(&mut self, at: usize) {
        if let Some(seat) = self.seats.get_mut(at) {
            seat.place += 1;
        }
    }

    pub(crate) fn wait(&mut self, at: usize, cx: &Context<'_>) {
        if let Some(seat) = self.seats.get_mut(at) {
            seat.wait(cx);
        }
    }

    pub(crate) fn wake(&mut self) {
        self.taken().for_each(Seat::wake);
    }

    pub(crate) fn quiet(&mut self) {
        self.seats.iter_mut().for_each(|seat| seat.quiet = true);
    }

    pub(crate) fn take_quiet(&mut self, at: usize) -> bool {
        self.seats.get_mut(at).is_some_and(|seat| std::mem::take(&mut seat.quiet))
    }
}
