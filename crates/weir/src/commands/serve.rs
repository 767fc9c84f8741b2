//! `weir serve`: the gateway in front of real upstreams; and what every serving command needs: a runtime, a port, a way to stop.

use std::{future::Future, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use clap::Args;
use rand::Rng;
use serde_json::json;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use weir_client::{Dial, Net};
use weir_core::Clock;
use weir_gateway::{Dice, Gateway, Settings};
use weir_store::{Books, BooksSettings, ReplayTerms, Replays, Store};

use super::sim::base_url;
use crate::{
    args::listen,
    config::{Config, settings::settings},
    fault::{Exit, Fault},
    lang::text,
    logs,
    shell::{Shell, WallClock},
};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where it listens; else server.listen of the configuration
    #[arg(long, value_name = "IP:PORT", value_parser = listen)]
    listen: Option<SocketAddr>,
}

/// Real chance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealDice;

impl Dice for RealDice {
    fn roll(&self) -> u128 {
        rand::rng().random()
    }
}

impl Serve {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let config = shell.load()?.config;
        if config.upstream.is_empty() {
            return Err(Fault::usage(
                text!("配置里没有上游", "the configuration has no upstream"),
                text!("加一段 [[upstream]],或用 `weir up` 先试模拟上游", "add [[upstream]], or try the simulated one with `weir up`"),
            ));
        }
        logs::start(shell, config.log.format, config.log.filter.as_deref().unwrap_or("info"))?;
        let settings = settings(&config, &shell.variables)?;
        let at = self.listen.or_else(|| config.server.listen.parse().ok()).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8787)));
        let dir = shell.data_dir()?;
        block_on(async {
            let signals = Signals::take()?;
            let listener = bind(at).await?;
            let gateway = open(Store::open(&dir)?, &dir, settings, &config)?;
            let url = base_url(&listener)?;
            if shell.flags.json {
                shell.print_json(&json!({ "event": "ready", "base_url": url }))?;
            }
            tracing::info!(listen = %url, upstreams = config.upstream.len(), "serving");
            let grace = config.server.grace.0;
            signals.stop(|stop| serve(gateway, listener, stop, grace)).await
        })
    }
}

/// Results of tasks that are kept at most; their bytes are bounded, too.
const RESULTS: usize = 100_000;

/// Opens the books and puts a gateway on them.
pub(crate) fn open(store: Store, dir: &Path, settings: Settings, config: &Config) -> Result<Arc<Gateway>, Fault> {
    let books_settings = BooksSettings { slots: config.limits.calls, ..BooksSettings::default() };
    let (books, found) = Books::open(store, &books_settings, Arc::new(WallClock))?;
    books.retain(config.retention.store());
    let ended = found.recorded + found.settled + found.released;
    if ended + found.damaged > 0 {
        tracing::warn!(
            recorded = found.recorded,
            settled = found.settled,
            released = found.released,
            damaged = found.damaged,
            data = %dir.display(),
            "ended the calls that the last run left open"
        );
    }
    let tls = settings.upstreams.iter().any(|upstream| upstream.target.tls);
    let dial: Arc<dyn Dial> =
        if tls {
            let net = Net::with_tls();
            Arc::new(net.map_err(|error| {
                Fault::new(Exit::Unknown, text!("系统证书不可用:{error}", "cannot use the system's certificates: {error}"))
            })?)
        } else {
            Arc::new(Net::plain())
        };
    let terms = settings.replay.disk_bytes.map(|bytes| ReplayTerms { bytes, files: settings.replay.calls });
    let replays = terms.map(|terms| Replays::open(dir, terms, WallClock.now())).transpose()?;
    let terms = settings.tasks.result_bytes.map(|bytes| ReplayTerms { bytes, files: RESULTS });
    let results = terms.map(|terms| Replays::results(dir, terms, WallClock.now())).transpose()?;
    let gateway = Gateway::new(settings, books, Arc::new(WallClock), Arc::new(RealDice), dial);
    Ok(Arc::new(gateway.with_replays(replays).with_results(results)))
}

/// Serves until told to stop, drains, and closes the books.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
    grace: Duration,
) -> Result<Exit, Fault> {
    Arc::clone(&gateway).serve(listener, stop, grace).await;
    match gateway.into_books() {
        Some(books) => books.close(),
        None => tracing::warn!("stopped before the last call was recorded; the next start ends it"),
    }
    Ok(Exit::Done)
}

/// Runs a serving command to its end.
pub(crate) fn block_on(work: impl Future<Output = Result<Exit, Fault>>) -> Result<Exit, Fault> {
    // On one core a second thread for the same work only adds ways between them.
    let alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if alone { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Fault::new(Exit::Unknown, text!("启动不了:{error}", "cannot start: {error}")))?;
    let done = runtime.block_on(work);
    // Whatever still runs was given its time.
    runtime.shutdown_background();
    done
}

/// A listening socket; a taken port says what to do.
pub(crate) async fn bind(at: SocketAddr) -> Result<TcpListener, Fault> {
    TcpListener::bind(at).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let (ip, port) = (at.ip(), at.port());
            Fault::usage(
                text!("{at} 已被占用,可能是另一个 weir 在运行", "{at} is taken, perhaps by another weir"),
                text!(
                    "停掉它(`ss -ltnp 'sport = :{port}'` 能看到是谁),或换端口:--listen {ip}:0",
                    "stop it (`ss -ltnp 'sport = :{port}'` says who), or take a free port: --listen {ip}:0"
                ),
            )
        }
        _ => Fault::usage(
            text!("不能监听 {at}:{error}", "cannot listen on {at}: {error}"),
            text!("例如 --listen 127.0.0.1:8787", "such as --listen 127.0.0.1:8787"),
        ),
    })
}

/// SIGTERM and SIGINT. Taken before a command says that it is ready: whoever reads that may signal at once.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both signals from now on.
    pub(crate) fn take() -> Result<Self, Fault> {
        let take =
            |kind| signal(kind).map_err(|error| Fault::new(Exit::Unknown, text!("收不到信号:{error}", "cannot receive signals: {error}")));
        Ok(Self { terminate: take(SignalKind::terminate())?, interrupt: take(SignalKind::interrupt())? })
    }

    /// The next of either.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Runs `work` with a future that ends at the first signal. A second one ends at once.
    pub(crate) async fn stop<F: Future<Output = Result<Exit, Fault>>>(mut self, work: impl FnOnce(Stop) -> F) -> Result<Exit, Fault> {
        let (tell, told) = oneshot::channel();
        let mut work = Box::pin(work(Stop(told)));
        tokio::select! {
            done = &mut work => return done,
            () = self.next() => {}
        }
        let _ = tell.send(());
        tokio::select! {
            done = &mut work => done,
            () = self.next() => Ok(Exit::Interrupted),
        }
    }
}

/// Ready when the process was told to stop.
#[derive(Debug)]
pub(crate) struct Stop(oneshot::Receiver<()>);

impl Future for Stop {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
