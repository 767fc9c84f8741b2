//! Connections: accepted within their number, read within their time, ended without cutting a call.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, timeout},
};
use weir_client::Gather;
use weir_core::{Route, Side, Verdict};

use crate::{
    Gateway,
    accept::Arrival,
    call,
    edge::Edge,
    line::Line,
    next_head::NextHead,
    outlet::Driven,
    own::{self, Own},
    refusal::Refusal,
    tasks::{self, TaskPath},
};

/// How often answers are dropped whose time is over, where no call does it.
const EXPIRE: Duration = Duration::from_secs(5);

/// After the last call a connection gets this long to take what was said: long enough for a slow reader, short enough for whoever
/// waits for the process to end.
const FLUSH: Duration = Duration::from_secs(5);

impl Gateway {
    /// Serves until `stop`, then drains: no new connection, running calls go on for `grace`, what is left is cut with words.
    /// Returns when the last call is sealed.
    #[expect(clippy::disallowed_methods, reason = "the accept loop is a shell: each connection is a task of its own")]
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()> + Send, grace: Duration) {
        let places = Arc::new(Semaphore::new(self.settings.limits.connections));
        let follower = tokio::spawn(Arc::clone(&self).follow_tasks());
        let mut stop = std::pin::pin!(stop);
        let mut old = tokio::time::interval(EXPIRE);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
                _ = old.tick() => {
                    self.joins.expire();
                    if let Some(shelf) = &self.shelf {
                        shelf.expire(self.clock.now());
                    }
                    self.results.expire(self.clock.now());
                    continue;
                }
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
                    let line = Line::of(&io);
                    gateway.serve_line(Gather(io), line, Some(peer.ip())).await;
                    drop(place);
                })),
                Err(_) => drop(tokio::spawn(gateway.turn_away(io))),
            }
        }
        drop(listener);
        self.drain(grace).await;
        let _ = follower.await;
        // A connection that has ended gives its place back.
        let all = u32::try_from(self.settings.limits.connections).unwrap_or(u32::MAX);
        let _ = timeout(FLUSH, places.acquire_many(all)).await;
    }

    /// Ends all calls: by themselves within `grace`, with a `draining` error after it.
    pub async fn drain(&self, grace: Duration) {
        self.closer.drain();
        if timeout(grace, self.closer.idle()).await.is_err() {
            self.closer.cut();
            self.closer.idle().await;
        }
        // A request that was on its way already is told so, instead of being cut with its connection.
        self.closer.cut();
        self.closer.disconnect();
        self.books.flush().await;
        if let Some(shelf) = &self.shelf {
            shelf.written().await;
        }
    }

    /// Says why there is no place, without becoming a place to wait in.
    async fn turn_away(self: Arc<Self>, io: TcpStream) {
        let line = Line::of(&io);
        let mut edge = Edge::new(io, self.new_id(), line);
        edge.refuse(&Refusal::of(Verdict::GatewayFull)).await;
        edge.close().await;
    }

    /// Serves one client's connection to its end. Of one that is no socket nobody can ask whether all that was sent arrived.
    pub async fn serve_connection<I>(self: Arc<Self>, io: I, peer: Option<IpAddr>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_line(io, Line::default(), peer).await;
    }

    /// The same with a line that may be asked.
    pub(crate) async fn serve_line<I>(self: Arc<Self>, io: I, line: Line, peer: Option<IpAddr>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let edge = Edge::new(io, self.new_id(), line.clone());
        let timer = NextHead::new(edge.taken(), self.settings.limits.header_read);
        let io = TokioIo::new(edge);
        let gateway = Arc::clone(&self);
        let service = service_fn(move |request| {
            let gateway = Arc::clone(&gateway);
            let line = line.clone();
            async move { Ok::<_, std::convert::Infallible>(gateway.answer(request, peer, &line).await) }
        });
        let limits = &self.settings.limits;
        let mut connection = http1::Builder::new()
            .timer(timer)
            .header_read_timeout(limits.header_read)
            .max_buf_size(limits.head_bytes.max(8192))
            .auto_date_header(self.tells_date)
            .serve_connection(io, service);
        let mut draining = false;
        let ended = loop {
            let changed = self.closer.changed();
            if self.closer.is_disconnecting() {
                // Every call is sealed, but the end of an answer may still be on its way to a slow reader.
                match timeout(FLUSH, &mut connection).await {
                    Ok(ended) => break ended,
                    Err(_) => return,
                }
            }
            if self.closer.is_draining() && !std::mem::replace(&mut draining, true) {
                Pin::new(&mut connection).graceful_shutdown();
            }
            tokio::select! {
                biased;
                ended = &mut connection => break ended,
                () = changed => {}
            }
        };
        let parts = connection.into_parts();
        let mut edge = parts.io.into_inner();
        if let Err(error) = ended
            && !edge.has_refused()
            && let Some(refusal) = unanswered(&error, parts.read_buf.is_empty())
        {
            edge.refuse(&refusal).await;
        }
        edge.close().await;
    }

    /// Answers a request with the call that it becomes.
    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Option<IpAddr>, line: &Line) -> Response<Driven> {
        // hyper reads a chunked body even where a Content-Length contradicts it, and hides the contradiction. What follows such a body may be
        // a request that a proxy in front took for a part of it: it is not read.
        let framed_twice = request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut response = self.request(request, peer).on(line).response().await;
        if framed_twice {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Pairs a request with the call that answers it.
    fn request(self: &Arc<Self>, request: Request<Incoming>, peer: Option<IpAddr>) -> Driven {
        let gateway = Arc::clone(self);
        let path = request.uri().path();
        if let Some(own) = TaskPath::of(request.method(), path) {
            return Driven::new(self.closer.clone(), None, |outlet| Box::pin(tasks::answer(gateway, own, request, peer, outlet)));
        }
        let own = Own::of_path(path, request.uri().query()).filter(|_| request.method() == http::Method::GET);
        let numbered = own::numbered(&request, own.as_ref());
        if let Some(own) = own {
            return Driven::new(self.closer.clone(), numbered, |outlet| Box::pin(own::answer(gateway, own, request, peer, outlet)));
        }
        let route = Route::of_path(path).unwrap_or(Route::Unknown);
        let at = self.clock.now();
        let id = weir_core::RequestId::new(at, self.dice.roll());
        let (head, body) = request.into_parts();
        let arrival = Box::new(Arrival { id, at, began: Instant::now(), route, head, body, peer });
        Driven::new(self.closer.clone(), numbered, |outlet| Box::pin(call::run(gateway, arrival, outlet)))
    }
}

/// What a client must hear when hyper gave its connection up without a word: a head that came too slowly, or a protocol that is not HTTP/1.
/// A connection that waited in silence for a next request (`idle`) is closed in silence: a late 408 could be taken for that request's answer.
fn unanswered(error: &hyper::Error, idle: bool) -> Option<Refusal> {
    if error.is_timeout() {
        return (!idle).then(|| Refusal::of(Verdict::RequestTooSlow).by(Side::Client));
    }
    let unreadable = error.is_parse() || error.is_parse_version_h2();
    unreadable.then(|| Refusal::of(Verdict::RequestRejected).saying("this port speaks HTTP/1.1"))
}
