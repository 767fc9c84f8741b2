//! A client's connection, as far as others may ask about it: whether its client has left, and whether it took all that it was sent.
//!
//! A connection's own task learns of a close when it next runs. The same client's next request, on another connection, may be read before that:
//! who reads it asks the first one's socket itself.

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
};

use crate::outlet::Outlet;

#[derive(Default)]
struct Shared {
    /// `None` where there is no socket, or where it is about to be closed.
    socket: Mutex<Option<RawFd>>,
    /// The answer that left last.
    last: Mutex<Option<Outlet>>,
}

/// One client's connection.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Shared>);

impl Line {
    /// The line of this socket, whose owner says when it [`close`](Self::close)s.
    pub(crate) fn of(socket: &impl AsRawFd) -> Self {
        Self(Arc::new(Shared { socket: Mutex::new(Some(socket.as_raw_fd())), last: Mutex::default() }))
    }

    /// From now on it carries this answer. Whoever asks for a next one has got the last.
    pub(crate) fn carry(&self, outlet: &Outlet) {
        *lock(&self.0.last) = Some(outlet.clone());
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
        let unheard = self.asked(unacknowledged).unwrap_or(0);
        let last = lock(&self.0.last).take();
        if let Some(last) = last {
            last.lose(unheard);
        }
    }

    /// The client closed its side. Whoever has got an answer has said so by then.
    pub(crate) fn hung_up(&self) {
        if self.asked(unacknowledged).is_some_and(|bytes| bytes > 0) {
            self.broke();
        }
    }

    /// The socket is about to be closed: nobody looks at it any more.
    pub(crate) fn close(&self) {
        *lock(&self.0.socket) = None;
        *lock(&self.0.last) = None;
    }

    /// Whether the client has closed its side, or the connection broke.
    pub(crate) fn has_left(&self) -> bool {
        self.asked(hung_up).unwrap_or(false)
    }

    /// The bytes that the client has not acknowledged, if this was the last answer.
    pub(crate) fn unheard(&self, outlet: &Outlet) -> usize {
        let last = lock(&self.0.last).as_ref().is_some_and(|last| last.is(outlet));
        if last { self.asked(unacknowledged).unwrap_or(0) } else { 0 }
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

fn hung_up(socket: std::os::fd::BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // Asked for or not, an error and the end of both ways are told; the end of one way must be asked for.
    #[cfg(target_os = "linux")]
    let end = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let end = PollFlags::HUP;
    let mut asked = [PollFd::from_borrowed_fd(socket, end)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().intersects(end | PollFlags::HUP | PollFlags::ERR)
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
