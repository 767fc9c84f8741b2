//! The shell: accepts connections and plays replies on them.

use std::future::Future;

use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    answer,
    connection::Connection,
    http1::{self, Unread},
    reply::{Ending, Framing, Reply, Step},
    seen::{Ended, Tally},
    sim::{Noted, Sim},
    wire::{Gone, Wire},
};

/// Pause after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl Sim {
    /// Serves until `stop`; answers still running are then dropped.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < self.settings().connections_max => {
                        // Events are small and must leave at once.
                        let _ = stream.set_nodelay(true);
                        let sim = self.clone();
                        connections.spawn(async move { sim.serve_connection(stream).await });
                    }
                    Ok((stream, _)) => stream.reset(),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        connections.shutdown().await;
    }

    /// Serves one connection until either side ends it. A client that closes its sending side has left. Dropping the future cuts the connection.
    pub async fn serve_connection<C: Connection>(&self, io: C) {
        if !self.accepts_connection() {
            return io.reset();
        }
        let mut wire = Wire::new(io);
        loop {
            let request = match http1::read(&mut wire, self.settings().idle, self.settings().body_max_bytes).await {
                Ok(request) => request,
                Err(Unread::Closed) => return,
                Err(Unread::Refuse(status)) => {
                    let mut reply = answer::not_served(status, None, "bad_request", "The request could not be read.");
                    reply.close = true;
                    let mut tally = Tally::default();
                    let _ = play(&mut wire, &mut reply, &mut tally).await;
                    return wire.close().await;
                }
            };
            let (mut reply, noted) = self.reply(&request);
            drop(request);
            let mut open = Open { sim: self, noted, tally: Tally::default(), ended: Ended::ClientGone };
            let played = play(&mut wire, &mut reply, &mut open.tally).await;
            open.ended = match played {
                Ok(None) => Ended::Completed,
                Ok(Some(_)) => Ended::Fault,
                Err(Gone) => Ended::ClientGone,
            };
            drop(open);
            match played {
                Ok(None) if !reply.ends_connection() => {}
                Ok(None | Some(Ending::Cut | Ending::BadChunk)) => return wire.close().await,
                Ok(Some(Ending::Reset)) => return wire.reset(),
                Err(Gone) => return,
            }
        }
    }
}

/// A noted request; its end is noted too, even when the connection's future is dropped.
struct Open<'a> {
    sim: &'a Sim,
    noted: Option<Noted>,
    tally: Tally,
    ended: Ended,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(noted) = &self.noted {
            self.sim.end(noted, self.tally, self.ended);
        }
    }
}

/// Plays a reply; `None` is a complete one.
async fn play<C: Connection>(wire: &mut Wire<C>, reply: &mut Reply, tally: &mut Tally) -> Result<Option<Ending>, Gone> {
    let before = wire.written;
    let played = play_steps(wire, reply, tally).await;
    tally.written_bytes = wire.written - before;
    played
}

async fn play_steps<C: Connection>(wire: &mut Wire<C>, reply: &mut Reply, tally: &mut Tally) -> Result<Option<Ending>, Gone> {
    wire.wait(reply.first_byte).await?;
    if reply.head.status == 0 {
        return Ok(Some(Ending::Reset));
    }
    let (line, mut rest) = reply.head_bytes();
    tally.status = reply.head.status;
    if reply.slow_headers.is_zero() {
        rest.splice(..0, line);
    } else {
        wire.write(&line).await?;
        wire.wait(reply.slow_headers).await?;
    }
    // A whole answer leaves with its head; a stream's head leaves at once.
    if !matches!(reply.framing, Framing::Length(_)) {
        wire.write(&rest).await?;
        rest.clear();
    }
    let mut out = rest;
    for step in reply.steps.by_ref() {
        match step {
            Step::Wait(span) => {
                send(wire, &mut out).await?;
                if span.is_zero() {
                    tokio::task::yield_now().await;
                }
                wire.wait(span).await?;
            }
            Step::Body { bytes, events } => {
                frame(&mut out, &bytes, reply.framing);
                send(wire, &mut out).await?;
                tally.events += events;
            }
            Step::End(ending) => {
                if ending == Ending::BadChunk {
                    out.extend_from_slice(b"zz\r\n");
                }
                send(wire, &mut out).await?;
                return Ok(Some(ending));
            }
        }
    }
    if reply.framing == Framing::Chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    send(wire, &mut out).await?;
    Ok(None)
}

fn frame(out: &mut Vec<u8>, bytes: &[u8], framing: Framing) {
    if bytes.is_empty() {
        // An empty chunk would be the last one.
        return;
    }
    if framing == Framing::Chunked {
        out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(bytes);
    }
}

async fn send<C: Connection>(wire: &mut Wire<C>, out: &mut Vec<u8>) -> Result<(), Gone> {
    if out.is_empty() {
        return Ok(());
    }
    wire.write(out).await?;
    out.clear();
    Ok(())
}
