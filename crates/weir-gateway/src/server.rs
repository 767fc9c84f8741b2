//! Connections: accepted within their number, read within their time, ended without cutting a call.

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, timeout},
};
use weir_core::{Route, Verdict};

use crate::{
    Gateway,
    accept::Arrival,
    call,
    edge::{Edge, Serving, bytes_of},
    outlet::Driven,
    own::{self, Own},
    refusal::Refusal,
};

/// A refused connection gets this long to take the reason.
const LAST_WORD: Duration = Duration::from_secs(1);

impl Gateway {
    /// Serves until `stop`, then drains: no new connection, running calls go on for `grace`, what is left is cut with words.
    /// Returns when the last call is sealed.
    #[expect(clippy::disallowed_methods, reason = "the accept loop is a shell: each connection is a task of its own")]
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()> + Send, grace: Duration) {
        let places = Arc::new(Semaphore::new(self.settings.limits.connections));
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((io, peer)) = accepted else {
                // Out of file descriptors, most likely: give running connections a moment to end.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let gateway = Arc::clone(&self);
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => drop(tokio::spawn(async move {
                    // An event that waits for the client's delayed ACK is 40 ms late.
                    let _ = io.set_nodelay(true);
                    gateway.serve_connection(io, Some(peer.ip())).await;
                    drop(place);
                })),
                Err(_) => drop(tokio::spawn(gateway.turn_away(io))),
            }
        }
        drop(listener);
        self.drain(grace).await;
    }

    /// Ends all calls: by themselves within `grace`, with a `draining` error after it.
    pub async fn drain(&self, grace: Duration) {
        self.closer.drain();
        if timeout(grace, self.closer.idle()).await.is_err() {
            self.closer.cut();
            self.closer.idle().await;
        }
        self.closer.disconnect();
        self.books.flush().await;
    }

    /// Says why there is no place, without becoming a place to wait in.
    async fn turn_away(self: Arc<Self>, mut io: TcpStream) {
        let refusal = Refusal::of(Verdict::GatewayFull);
        let _ = timeout(LAST_WORD, async {
            io.write_all(&bytes_of(&refusal, self.new_id())).await?;
            io.shutdown().await
        })
        .await;
    }

    /// Serves one client's connection to its end.
    pub async fn serve_connection<I>(self: Arc<Self>, io: I, peer: Option<IpAddr>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let serving = Serving::default();
        let io = TokioIo::new(Edge::new(io, serving.clone(), self.new_id()));
        let gateway = Arc::clone(&self);
        let service = service_fn(move |request| {
            serving.begin();
            let gateway = Arc::clone(&gateway);
            async move { Ok::<_, std::convert::Infallible>(gateway.request(request, peer).response().await) }
        });
        let limits = &self.settings.limits;
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header_read)
                .max_buf_size(limits.head_bytes.max(8192))
                .max_headers(128)
                .auto_date_header(self.tells_date)
                .serve_connection(io, service)
        );
        let mut draining = false;
        loop {
            let changed = self.closer.changed();
            if self.closer.is_disconnecting() {
                return;
            }
            if self.closer.is_draining() && !std::mem::replace(&mut draining, true) {
                connection.as_mut().graceful_shutdown();
            }
            tokio::select! {
                biased;
                // Whatever ended it, the client is gone and its calls know; there is nobody left to tell.
                _ended = connection.as_mut() => return,
                () = changed => {}
            }
        }
    }

    /// Pairs a request with the call that answers it.
    fn request(self: &Arc<Self>, request: Request<Incoming>, peer: Option<IpAddr>) -> Driven {
        let gateway = Arc::clone(self);
        let path = request.uri().path();
        if request.method() == http::Method::GET
            && let Some(own) = Own::of_path(path)
        {
            return Driven::new(self.closer.clone(), |outlet| Box::pin(own::answer(gateway, own, request, outlet)));
        }
        let route = Route::of_path(path).unwrap_or(Route::Unknown);
        let at = self.clock.now();
        let id = weir_core::RequestId::new(at, self.dice.roll());
        let (head, body) = request.into_parts();
        let arrival = Arrival { id, at, began: Instant::now(), route, head, body, peer };
        Driven::new(self.closer.clone(), |outlet| Box::pin(call::run(gateway, arrival, outlet)))
    }
}
