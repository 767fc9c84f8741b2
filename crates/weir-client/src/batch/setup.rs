//! What a run needs of the world: a server to ask, disks to write on, a clock, dice, and somebody who may stop it.

use std::{future::Future, pin::Pin, sync::Arc};

use weir_core::{Clock, Secret};

use super::{disk::Disk, journal::Header, standing::Standings};
use crate::{
    Ask, Client, Said,
    client::{Dice, Lost, Memory},
};

/// The future of an attempt.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Said, Lost>> + Send + 'a>>;

/// Where attempts go. A [`Client`] in service, a made-up server in tests.
pub trait Line: Send + Sync + 'static {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Asking<'a>;
    /// Whether the server remembers idempotency keys.
    fn memory(&self) -> Memory;
}

impl Line for Client {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Asking<'a> {
        Box::pin(self.attempt(ask))
    }

    fn memory(&self) -> Memory {
        Client::memory(self)
    }
}

/// How urgently a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    #[default]
    No,
    /// Take no more rows; what runs may finish.
    Soon,
    /// At once.
    Now,
}

/// Everything that a run needs.
pub struct Setup {
    pub line: Arc<dyn Line>,
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
    pub header: Header,
    pub standings: Standings,
    pub journal: Box<dyn Disk>,
    pub output: Box<dyn Disk>,
    /// The key, which no line of the output may hold.
    pub hidden: Option<Secret>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("header", &self.header).finish_non_exhaustive()
    }
}
