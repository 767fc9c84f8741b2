//! Idle connections of one upstream, the freshest first, as far as the upstream keeps what it promises.
//!
//! Some servers promise to keep a connection and close it a moment after the answer. A request that meets that moment is lost
//! with an unknown outcome and must not be sent again, so such a promise is only believed after it was seen to hold.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::wire::{Framing, Wire};

/// Idle connections kept at most behind answers of each framing; more are closed.
const MAX_IDLE: usize = 1024;
/// Servers commonly close after 60 s or more; leaving earlier avoids sending into a closing door.
const MAX_IDLE_TIME: Duration = Duration::from_secs(45);
/// A connection that is still open after this long was not closed with its answer: far longer than a server's last step takes.
const SETTLED: Duration = Duration::from_millis(50);
/// Whenever trust was in vain, the next connection has to rest this many times as long to regain it.
const SLOWER: u32 = 4;
/// A connection that closed sooner was closed because of its answer, or with its server; a later one merely grew old.
const EARLY: Duration = Duration::from_secs(1);

/// Connections that wait after answers of one framing, the oldest in front.
struct Shelf {
    idle: VecDeque<(Instant, Wire)>,
    /// The last one that was looked at after it had settled was still open.
    trusted: bool,
    settled: Duration,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { idle: VecDeque::new(), trusted: false, settled: SETTLED }
    }
}

impl Shelf {
    /// The next one to look at: the freshest of a trusted upstream; of any other the oldest, if it had time to settle.
    fn next(&mut self) -> Option<(Instant, Wire)> {
        if self.trusted {
            return self.idle.pop_back();
        }
        let settled = self.idle.front().is_some_and(|(since, _)| since.elapsed() >= self.settled);
        if settled { self.idle.pop_front() } else { None }
    }

    fn trust(&mut self, rested: Duration) {
        self.trusted = true;
        if rested >= EARLY {
            self.settled = SETTLED;
        }
    }

    fn mistrust(&mut self) {
        if std::mem::take(&mut self.trusted) {
            self.settled = (self.settled * SLOWER).min(EARLY);
        }
    }
}

/// A bounded stack of idle connections.
#[derive(Default)]
pub struct Pool {
    /// Apart, because a server may keep its promise after whole answers and break it after streams.
    after_whole: Mutex<Shelf>,
    after_stream: Mutex<Shelf>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle()).finish()
    }
}

impl Pool {
    /// How many connections wait.
    #[must_use]
    pub fn idle(&self) -> usize {
        [Framing::Whole, Framing::Stream].map(|framing| self.shelf(framing).idle.len()).iter().sum()
    }

    fn shelf(&self, framing: Framing) -> MutexGuard<'_, Shelf> {
        let shelf = match framing {
            Framing::Whole => &self.after_whole,
            Framing::Stream => &self.after_stream,
        };
        shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is still open and will be, as far as that can be known; or none.
    pub(crate) async fn take(&self) -> Option<Wire> {
        for framing in [Framing::Stream, Framing::Whole] {
            loop {
                let next = self.shelf(framing).next();
                let Some((since, mut wire)) = next else { break };
                let rested = since.elapsed();
                if rested >= MAX_IDLE_TIME {
                    continue;
                }
                if wire.is_ready().await {
                    self.shelf(framing).trust(rested);
                    return Some(wire);
                }
                if rested < EARLY {
                    self.mistrust(framing);
                }
            }
        }
        None
    }

    /// A connection was closed that its upstream had promised to keep.
    pub(crate) fn mistrust(&self, framing: Framing) {
        self.shelf(framing).mistrust();
    }

    /// Gives a connection back whose answer was read to its end.
    pub(crate) fn put(&self, wire: Wire) {
        let mut shelf = self.shelf(wire.framing());
        while shelf.idle.front().is_some_and(|(since, _)| since.elapsed() >= MAX_IDLE_TIME) {
            shelf.idle.pop_front();
        }
        if shelf.idle.len() < MAX_IDLE {
            shelf.idle.push_back((Instant::now(), wire));
        }
    }
}
