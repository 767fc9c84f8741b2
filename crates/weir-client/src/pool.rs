//! Idle connections of one upstream, the freshest first.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::wire::Wire;

/// Idle connections kept at most; more are closed.
const MAX_IDLE: usize = 1024;
/// Servers commonly close after 60 s or more; leaving earlier avoids sending into a closing door.
const MAX_IDLE_TIME: Duration = Duration::from_secs(45);

/// A bounded stack of idle connections.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<Vec<(Instant, Wire)>>,
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
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A connection that is still open, or none.
    pub(crate) async fn take(&self) -> Option<Wire> {
        loop {
            let (since, mut wire) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < MAX_IDLE_TIME && wire.is_ready().await {
                return Some(wire);
            }
        }
    }

    /// Gives a connection back whose answer was read to its end.
    pub(crate) fn put(&self, wire: Wire) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push((Instant::now(), wire));
        }
    }
}
