//! A simulated server on in-memory connections, its clock and seeded dice: what the tests of this crate ask.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::{io::duplex, task::JoinSet, time::Instant};
use weir_core::{Clock, Secret, Timestamp};
use weir_sim::{Sim, SimSettings};

use crate::{Client, Dial, Dialing, Dice, Io, Surroundings, Target};

/// 2026-11-22, a Sunday.
pub(crate) const EPOCH: Timestamp = Timestamp(1_795_334_400_000);

/// Wall time that runs as the paused clock does.
pub(crate) struct SimulatedClock(Instant);

impl SimulatedClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        EPOCH.after(self.0.elapsed())
    }
}

/// Chance with a seed.
pub(crate) struct Seeded(AtomicU64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Dice for Seeded {
    fn roll(&self) -> u128 {
        let mut mixed = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u128::from(mixed ^ (mixed >> 31))
    }
}

/// Connections to a simulator in this process.
pub(crate) struct Near {
    pub(crate) sim: Sim,
    served: Mutex<JoinSet<()>>,
}

impl Near {
    pub(crate) fn new() -> Arc<Self> {
        let sim = Sim::new(SimSettings { epoch: EPOCH, ..SimSettings::default() });
        Arc::new(Self { sim, served: Mutex::default() })
    }
}

impl Dial for Near {
    fn dial<'a>(&'a self, _: &'a Target) -> Dialing<'a> {
        let (near, far) = duplex(64 << 10);
        let sim = self.sim.clone();
        self.served.lock().unwrap().spawn(async move { sim.serve_connection(far).await });
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }
}

/// A client of a simulator of its own, with a key that is plainly invented.
pub(crate) fn client(near: &Arc<Near>, seed: u64) -> Client {
    let dial: Arc<dyn Dial> = Arc::clone(near) as Arc<dyn Dial>;
    let surroundings = Surroundings { dial, clock: Arc::new(SimulatedClock::new()), dice: Arc::new(Seeded::new(seed)) };
    let target = Target::parse("http://sim.test/v1").unwrap();
    Client::new(target, Some(&Secret::new("sk-12345678")), surroundings).unwrap()
}
