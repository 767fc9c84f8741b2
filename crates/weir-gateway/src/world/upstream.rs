//! The upstream's end: the simulator behind in-memory pipes, and what it would have said to a client of its own.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncWriteExt, duplex},
    task::JoinSet,
};
use weir_client::{Dial, Dialing, Io, Target};
use weir_core::Route;
use weir_sim::{Sim, SimSettings};

use super::{
    client::{Exchange, Got},
    plan::{Asking, Fate},
};

/// Pipes instead of sockets; each is served by the simulator.
pub(super) struct Pipes {
    pub(super) sim: Sim,
    fates: Mutex<VecDeque<Fate>>,
    served: Arc<Mutex<JoinSet<()>>>,
    pipe_bytes: usize,
}

impl Pipes {
    pub(super) fn new(sim: Sim, fates: &[Fate], pipe_bytes: usize) -> Self {
        Self { sim, fates: Mutex::new(fates.iter().copied().collect()), served: Arc::default(), pipe_bytes }
    }
}

impl Dial for Pipes {
    fn dial<'a>(&'a self, _: &'a Target) -> Dialing<'a> {
        Box::pin(async move {
            let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Good);
            match fate {
                Fate::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
                Fate::Hangs => std::future::pending::<()>().await,
                Fate::Good | Fate::Dies => {}
            }
            let (near, far) = duplex(self.pipe_bytes);
            if fate == Fate::Good {
                let sim = self.sim.clone();
                self.served.lock().unwrap().spawn(async move { sim.serve_connection(far).await });
            }
            Ok(Box::new(near) as Box<dyn Io>)
        })
    }
}

/// The whole answer of an upstream that nobody disturbs.
pub(super) async fn straight(asking: &Asking) -> Got {
    let sim = Sim::new(SimSettings::default());
    let (mut near, far) = duplex(1 << 20);
    let ask = async {
        near.write_all(&request(asking)).await.unwrap();
        let mut exchange = Exchange::default();
        exchange.read_all(&mut near).await;
        exchange.got()
    };
    tokio::join!(sim.serve_connection(far), ask).1
}

fn request(asking: &Asking) -> Vec<u8> {
    if asking.route == Route::Models {
        return b"GET /v1/models HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n".to_vec();
    }
    let body = asking.body_upstream();
    let path = asking.route.path();
    format!("POST {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
