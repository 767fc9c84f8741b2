//! The sockets: connections within their number, requests within their size, all of it within its time.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
    time::sleep,
};

use super::{
    flow::{Flow, Watched},
    record::Shared,
    reply::{self, Place},
    script::Script,
    seen::Seen,
};

/// Clients that may be connected at once; a browser opens six.
const CONNECTIONS: usize = 64;
/// After so many requests the server has seen enough and ends.
pub const REQUESTS_MAX: u32 = 2_000;
/// The longest that it listens.
pub const LIMIT_MAX: Duration = Duration::from_secs(600);
/// A head must come within this time; a connection that is kept open may be quiet as long.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
const HEAD_BYTES: usize = 64 << 10;

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What a request gets whose model names no script.
    pub script: Script,
    /// How long `long` and `quiet` are silent.
    pub silence: Duration,
    /// It ends after this time; at most [`LIMIT_MAX`].
    pub limit: Duration,
    /// It ends after so many calls; at most [`REQUESTS_MAX`] requests of any kind.
    pub calls: Option<u32>,
    /// Seconds since 1970, for the answers' `created`.
    pub created: i64,
}

/// Serves until `stop`, the time or the number of calls, and gives what it saw. `tell` hears of each request when it has ended.
pub async fn serve(listener: TcpListener, settings: Settings, stop: impl Future<Output = ()>, mut tell: impl FnMut(&Seen)) -> Vec<Seen> {
    let (shared, mut ended) = Shared::new(settings);
    let mut stop = std::pin::pin!(stop);
    let mut limit = std::pin::pin!(sleep(settings.limit.min(LIMIT_MAX)));
    let mut connections = JoinSet::new();
    let mut number = 0;
    let mut seen: Vec<Seen> = Vec::new();
    let mut keep = |one: Seen, seen: &mut Vec<Seen>| {
        tell(&one);
        seen.push(one);
        let calls = seen.iter().filter(|one| one.is_call()).count();
        seen.len() < REQUESTS_MAX as usize && settings.calls.is_none_or(|most| calls < most as usize)
    };
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut limit => break,
            Some(one) = ended.recv() => if !keep(one, &mut seen) { break },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((io, _)) => {
                    // An event that waits for a delayed ACK is 40 ms late.
                    let _ = io.set_nodelay(true);
                    number += 1;
                    connections.spawn(connection(Arc::clone(&shared), io, number));
                }
                // Out of file descriptors, most likely: a moment for running connections to end.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
    shared.stopping.store(true, Relaxed);
    connections.shutdown().await;
    drop(shared);
    while let Some(one) = ended.recv().await {
        keep(one, &mut seen);
    }
    seen.sort_by_key(|one| one.n);
    seen
}

/// One client's connection, to its end.
pub(super) async fn connection(shared: Arc<Shared>, io: impl AsyncRead + AsyncWrite + Unpin, number: u32) {
    let flow = Arc::new(Flow::new());
    let io = TokioIo::new(Watched { io, flow: Arc::clone(&flow) });
    let nth = AtomicU32::new(0);
    let service = service_fn(|request: http::Request<Incoming>| {
        let place = Place { shared: Arc::clone(&shared), flow: Arc::clone(&flow), connection: number, nth: nth.fetch_add(1, Relaxed) + 1 };
        reply::answer(place, request)
    });
    // How it ended is in the records of its requests.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .max_headers(128)
        .serve_connection(io, service)
        .await;
}
