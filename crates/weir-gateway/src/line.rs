//! A client's connection, as far as others may ask about it: whether its client has left, and whether it took all that it was sent.
//!
//! A connection's own task learns of a close when it next runs. The same client's next request, on another connection, may be read before that:
//! who reads it asks the first one's socket itself.

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::outlet::Outlet;

#[derive(Default)]
struct Shared {
    /// `None` where there is no socket, or where it is about to be closed.
    socket: Mutex<Option<RawFd>>,
    /// The answer that left last.
    last: Mutex<Option<Outlet>>,
    /// The bytes of its last write.
    tail: AtomicUsize,
    /// What a write wanted to send that our kernel has not taken yet.
    unwritten: AtomicUsize,
    /// It broke, or is being closed.
    over: AtomicBool,
}

/// What is known not to have reached a client, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missed {
    /// Its kernel did not acknowledge them, or ours did not take them.
    pub(crate) unheard: usize,
    /// They lay unread when it closed: of what it was sent the last write, at the least.
    pub(crate) unread: usize,
    /// The connection is over: nothing of it is on its way any more.
    pub(crate) over: bool,
}

/// How far a connection is.
#[derive(PartialEq, Eq)]
enum End {
    Open,
    /// The client has closed its side.
    Closed,
    /// It broke: a kernel resets a connection that is closed while something lies there unread.
    Reset,
}

/// One client's connection.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Shared>);

impl Line {
    /// The line of this socket, whose owner says when it [`close`](Self::close)s.
    pub(crate) fn of(socket: &impl AsRawFd) -> Self {
        Self(Arc::new(Shared { socket: Mutex::new(Some(socket.as_raw_fd())), ..Shared::default() }))
    }

    /// From now on it carries this answer. Whoever asks for a next one has got the last.
    pub(crate) fn carry(&self, outlet: &Outlet) {
        *lock(&self.0.last) = Some(outlet.clone());
        self.0.tail.store(0, Ordering::Relaxed);
    }

    /// Of so many bytes that were to be written at once so many were.
    pub(crate) fn wrote(&self, taken: usize, bytes: usize) {
        self.0.unwritten.store(bytes.saturating_sub(taken), Ordering::Relaxed);
        if taken > 0 {
            self.0.tail.store(taken, Ordering::Relaxed);
        }
    }

    /// A write waits for the client, so hyper does not ask the call for more: its limits, and a stop, count all the same.
    pub(crate) fn run(&self, cx: &mut std::task::Context<'_>) {
        let last = lock(&self.0.last).clone();
        if let Some(last) = last {
            last.run(cx);
        }
    }

    /// The connection broke: its last answer may not have arrived.
    pub(crate) fn broke(&self) {
        self.0.over.store(true, Ordering::Release);
        let unheard = self.unheard();
        self.ended(Missed { unheard, unread: self.0.tail.load(Ordering::Relaxed), over: true });
    }

    /// The client closed its side. Whoever has got an answer has said so by then.
    pub(crate) fn hung_up(&self) {
        let unheard = self.unheard();
        if unheard > 0 {
            self.ended(Missed { unheard, unread: 0, over: true });
        }
    }

    /// What was to be sent and is not acknowledged, as far as the connection can be asked.
    fn unheard(&self) -> usize {
        self.asked(unacknowledged).unwrap_or(0).saturating_add(self.0.unwritten.load(Ordering::Relaxed))
    }

    fn ended(&self, missed: Missed) {
        let last = lock(&self.0.last).take();
        if let Some(last) = last {
            last.lose(missed);
        }
    }

    /// The socket is about to be closed: nobody looks at it any more.
    pub(crate) fn close(&self) {
        self.0.over.store(true, Ordering::Release);
        *lock(&self.0.socket) = None;
        *lock(&self.0.last) = None;
    }

    /// Whether the client has closed its side, or the connection broke.
    pub(crate) fn has_left(&self) -> bool {
        self.0.over.load(Ordering::Acquire) || self.asked(end_of).is_some_and(|end| end != End::Open)
    }

    /// What did not reach the client of this answer, if it is the last that left here and the connection can be asked.
    pub(crate) fn missed(&self, answer: &Outlet) -> Option<Missed> {
        let last = lock(&self.0.last).clone();
        last.filter(|last| last.carries(answer))?;
        let (end, unheard) = (self.asked(end_of)?, self.unheard());
        let unread = if end == End::Reset { self.0.tail.load(Ordering::Relaxed) } else { 0 };
        Some(Missed { unheard, unread, over: end != End::Open })
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Asks the socket, if there is one.
    #[expect(unsafe_code, reason = "a borrowed descriptor; the lock keeps it open, see `close`")]
    fn asked<T>(&self, ask: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> T) -> Option<T> {
        let socket = lock(&self.0.socket);
        // SAFETY: whoever owns the socket empties this place before it closes it, and cannot while the lock is held.
        socket.map(|socket| ask(unsafe { std::os::fd::BorrowedFd::borrow_raw(socket) }))
    }
}

fn lock<T>(place: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_of(socket: std::os::fd::BorrowedFd<'_>) -> End {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // Asked for or not, an error and the end of both ways are told; the end of one way must be asked for.
    #[cfg(target_os = "linux")]
    let end = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let end = PollFlags::HUP;
    let mut asked = [PollFd::from_borrowed_fd(socket, end)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut asked, Some(&at_once)).map(|_| asked[0].revents()) {
        Ok(seen) if seen.contains(PollFlags::ERR) => End::Reset,
        Ok(seen) if seen.intersects(end | PollFlags::HUP) => End::Closed,
        _ => End::Open,
    }
}

/// How many bytes were written that the other side's kernel has not said to have.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the kernel's counter has no safe form")]
fn unacknowledged(socket: std::os::fd::BorrowedFd<'_>) -> usize {
    /// `SIOCOUTQ` of linux/sockios.h.
    const SENT_AND_NOT_ACKNOWLEDGED: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: this request writes one `int`, and nothing else.
    let count = unsafe { rustix::ioctl::ioctl(socket, rustix::ioctl::Getter::<SENT_AND_NOT_ACKNOWLEDGED, std::ffi::c_int>::new()) };
    count.ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

/// Other systems do not say.
#[cfg(not(target_os = "linux"))]
fn unacknowledged(_: std::os::fd::BorrowedFd<'_>) -> usize {
    0
}
