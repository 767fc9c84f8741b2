//! Whole runs in paused time against the simulator over in-memory connections: an hour's silence costs nothing.
#![expect(clippy::disallowed_methods, reason = "the servers of a test are tasks of their own")]

mod alarms;
mod canned;
mod codes;
mod every;
mod links;
mod paths;
mod rows;
mod socks;
mod told;
mod traces;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use jiff::tz::TimeZone;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use weir_client::{
    Io,
    probe::{HttpVersion, Issuer, Reach, Reaching, Secured, Speak, TlsFault, TlsSeen},
};
use weir_core::{Audience, Clock, Secret, Timestamp};
use weir_sim::{Sim, SimSettings};

use crate::{
    probe::{Examined, Order, Progress, Tools},
    report::{Making, Report},
};

pub(crate) const KEY: &str = "sk-planted12345678planted12345678abcd";
const EPOCH: Timestamp = Timestamp(1_767_225_600_000);

/// The wall clock of paused time.
#[derive(Debug, Clone)]
pub(crate) struct Wall(tokio::time::Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        EPOCH.after(self.0.elapsed())
    }
}

/// What stands between the doctor and the simulator.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    wall: Wall,
    /// Names that resolve to nothing.
    pub(crate) no_address: bool,
    pub(crate) refused: bool,
    pub(crate) tls: Option<Result<Issuer, TlsFault>>,
    /// Connections lead to a forwarding proxy.
    pub(crate) is_proxied: bool,
    /// What `edge.example.com` leads to, and a proxy of that name.
    pub(crate) edge: Option<Sim>,
    pub(crate) dialled: Arc<AtomicU32>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(SimSettings::default())
    }

    pub(crate) fn with(settings: SimSettings) -> Self {
        Self {
            sim: Sim::new(settings),
            wall: Wall(tokio::time::Instant::now()),
            no_address: false,
            refused: false,
            tls: None,
            is_proxied: false,
            edge: None,
            dialled: Arc::default(),
        }
    }

    /// A run, and what it told on the way.
    pub(crate) async fn run(&self, order: Order) -> (Examined, Vec<Progress>) {
        let told = Mutex::new(Vec::new());
        let watch = |progress: Progress| told.lock().unwrap().push(progress);
        let mut examined = Examined::new(order, self.wall.now(), 0x1234_5678);
        let tools = Tools { reach: self, clock: &self.wall, watch: &watch };
        examined.run(&tools).await;
        (examined, told.into_inner().unwrap())
    }

    /// The report of a run of one model.
    pub(crate) async fn report(&self, order: Order) -> Report {
        let (examined, _) = self.run(order).await;
        report(&examined)
    }
}

/// An order for one model of the simulator.
pub(crate) fn order(model: &str) -> Order {
    let mut order = Order::new("http://api.example.com/v1", Some(Secret::new(KEY)));
    order.model = Some(model.to_owned());
    order.key_from = "WEIR_KEY".to_owned();
    order
}

pub(crate) fn making() -> Making {
    Making { now: EPOCH, zone: TimeZone::UTC, version: "0.1.0", is_strict: false, audience: Audience::Support }
}

pub(crate) fn report(examined: &Examined) -> Report {
    Report::of(examined, &making())
}

/// A proxy that wants whole addresses and forwards one exchange.
async fn forward(mut near: DuplexStream, mut far: DuplexStream) {
    let mut asked = Vec::new();
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        if near.read_buf(&mut asked).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8(asked).unwrap();
    assert!(text.contains(" http://api.example.com/v1/"), "a proxy is told the whole address: {text}");
    let _ = far.write_all(text.replacen("http://api.example.com", "", 1).as_bytes()).await;
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

impl Reach for Bench {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Reaching<'a, io::Result<Vec<SocketAddr>>> {
        let none = self.no_address;
        Box::pin(async move {
            if none {
                Err(io::Error::other("no such name"))
            } else {
                Ok(vec![SocketAddr::from(([192, 0, 2, if host.starts_with("edge") { 2 } else { 1 }], port))])
            }
        })
    }

    fn connect(&self, address: SocketAddr) -> Reaching<'_, io::Result<Box<dyn Io>>> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        if self.refused {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let (near, far) = duplex(1 << 16);
        let is_edge = address.ip().to_string().ends_with(".2");
        let sim = self.edge.clone().filter(|_| is_edge).unwrap_or_else(|| self.sim.clone());
        if self.is_proxied || address.port() == 3128 {
            let (to_sim, at_sim) = duplex(1 << 16);
            tokio::spawn(async move { sim.serve_connection(at_sim).await });
            tokio::spawn(forward(far, to_sim));
        } else {
            tokio::spawn(async move { sim.serve_connection(far).await });
        }
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }

    fn secure<'a>(&'a self, io: Box<dyn Io>, _: &'a str, _: Speak) -> Reaching<'a, Secured> {
        let told = self.tls.unwrap_or(Ok(Issuer::Public));
        Box::pin(async move {
            let seen = |issuer| Some(TlsSeen { issuer, not_after: None, alpn: Some(HttpVersion::Http11) });
            match told {
                Ok(issuer) => Secured { seen: seen(issuer), io: Ok(io) },
                Err(fault) => Secured { seen: seen(Issuer::Untrusted), io: Err(fault) },
            }
        })
    }
}
