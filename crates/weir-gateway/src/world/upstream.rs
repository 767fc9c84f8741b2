//! The upstream's end: the simulator behind in-memory pipes, and what it would have said to a client of its own.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinSet,
};
use weir_client::{Dial, Dialing, Io, Target};
use weir_core::Route;
use weir_sim::{Sim, SimSettings};

use super::{
    client::{Exchange, Got},
    plan::{Asking, Fate},
};

/// Pipes instead of sockets, to one host or to several.
pub(super) struct Pipes {
    hosts: Vec<(String, Host)>,
    pipe_bytes: usize,
}

impl Pipes {
    pub(super) fn new(hosts: Vec<(String, Host)>, pipe_bytes: usize) -> Self {
        Self { hosts, pipe_bytes }
    }
}

impl Dial for Pipes {
    fn dial<'a>(&'a self, target: &'a Target) -> Dialing<'a> {
        Box::pin(async move {
            let (_, host) = self.hosts.iter().find(|(name, _)| *name == target.host).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(host.connect(self.pipe_bytes).await?) as Box<dyn Io>)
        })
    }
}

/// One upstream: its simulator, and what becomes of the connections to it. Clones are the same host.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) sim: Sim,
    state: Arc<Mutex<State>>,
    frozen: Arc<watch::Sender<bool>>,
}

struct State {
    /// What becomes of the next connections, in order.
    next: VecDeque<Fate>,
    /// What becomes of those after them.
    lasting: Fate,
    served: JoinSet<()>,
}

impl Host {
    pub(super) fn new(sim: Sim, fates: &[Fate]) -> Self {
        let state = State { next: fates.iter().copied().collect(), lasting: Fate::Good, served: JoinSet::new() };
        Self { sim, state: Arc::new(Mutex::new(state)), frozen: Arc::new(watch::channel(false).0) }
    }

    /// A connection, as a client sees one.
    pub(super) async fn connect(&self, pipe_bytes: usize) -> io::Result<DuplexStream> {
        let fate = {
            let mut state = self.state.lock().unwrap();
            state.next.pop_front().unwrap_or(state.lasting)
        };
        match fate {
            Fate::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            Fate::Hangs => std::future::pending::<()>().await,
            Fate::Good | Fate::Dies => {}
        }
        let (near, far) = duplex(pipe_bytes);
        if fate == Fate::Good {
            let (sim, frozen) = (self.sim.clone(), self.frozen.subscribe());
            self.state.lock().unwrap().served.spawn(async move { thawed(frozen, sim.serve_connection(far)).await });
        }
        Ok(near)
    }

    /// The next new connections meet these fates, all after them the last.
    pub(super) fn meet(&self, next: &[Fate], lasting: Fate) {
        let mut state = self.state.lock().unwrap();
        state.next = next.iter().copied().collect();
        state.lasting = lasting;
    }

    /// Cuts every connection that stands.
    pub(super) fn cut(&self) {
        self.state.lock().unwrap().served.abort_all();
    }

    /// Holds every connection still, or lets it go on: a machine that hangs, and comes back.
    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

/// Runs `work` whenever its host is not frozen.
async fn thawed(mut frozen: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            // The host is gone with its world.
            changed = frozen.wait_for(|frozen| *frozen) => if changed.is_err() { return },
            () = &mut work => return,
        }
        if frozen.wait_for(|frozen| !*frozen).await.is_err() {
            return;
        }
    }
}

/// The whole answer of an upstream that nobody disturbs, and what it calls the request's body.
pub(super) async fn straight(asking: &Asking) -> (Got, String) {
    let sim = Sim::new(SimSettings::default());
    let (mut near, far) = duplex(1 << 20);
    let ask = async {
        near.write_all(&request(asking)).await.unwrap();
        let mut exchange = Exchange::default();
        exchange.read_all(&mut near).await;
        exchange.got()
    };
    let got = tokio::join!(sim.serve_connection(far), ask).1;
    (got, sim.requests().pop().map(|seen| seen.body_hash).unwrap_or_default())
}

fn request(asking: &Asking) -> Vec<u8> {
    if asking.route == Route::Models {
        return b"GET /v1/models HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n".to_vec();
    }
    let body = asking.body_upstream();
    let path = asking.route.path();
    format!(
        "POST {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
