//! A run through a SOCKS proxy in this process: the probes go the way that the client goes, and what is wrong with it is told.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};
use weir_client::{
    Io,
    probe::{Reach, Reaching, Secured, Speak},
};
use weir_core::{Lang, Verdict, evidence::ViaProxy};
use weir_sim::{Sim, SimSettings};

use super::{EPOCH, Wall, codes::agrees, order, report};
use crate::{
    probe::{Examined, Order, Proxies, Tools},
    report::{Layout, Report},
};

/// A proxy with a simulator behind it.
#[derive(Clone)]
struct Socks {
    sim: Sim,
    /// What it wants of those who come, as user and password.
    login: Option<(&'static str, &'static str)>,
    /// What it replies to the request for a tunnel; 0 opens it.
    reply: u8,
    /// The places that it was asked for.
    places: Arc<Mutex<Vec<String>>>,
}

impl Socks {
    fn new() -> Self {
        Self { sim: Sim::new(SimSettings::default()), login: None, reply: 0, places: Arc::default() }
    }

    async fn report(&self, address: &str) -> Report {
        let proxies = Proxies::of(&[("ALL_PROXY".to_owned(), address.to_owned())]);
        let mut run = Examined::new(Order { proxies, ..order("sim:tokens=30,interval=30ms") }, EPOCH, 7);
        let wall = Wall(tokio::time::Instant::now());
        run.run(&Tools { reach: self, clock: &wall, watch: &|_| () }).await;
        let report = report(&run);
        agrees(&report, address);
        report
    }

    async fn serve(self, mut io: DuplexStream) -> io::Result<()> {
        let (_, count) = (io.read_u8().await?, io.read_u8().await?);
        let mut methods = vec![0; usize::from(count)];
        io.read_exact(&mut methods).await?;
        if let Some((user, password)) = self.login {
            if !methods.contains(&2) {
                return io.write_all(&[5, 0xFF]).await;
            }
            io.write_all(&[5, 2]).await?;
            io.read_u8().await?;
            let told = (field(&mut io).await?, field(&mut io).await?);
            let is_right = told == (user.to_owned(), password.to_owned());
            io.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Ok(());
            }
        } else {
            io.write_all(&[5, 0]).await?;
        }
        let mut head = [0; 4];
        io.read_exact(&mut head).await?;
        let host = if head[3] == 3 {
            field(&mut io).await?
        } else {
            let mut address = [0; 4];
            io.read_exact(&mut address).await?;
            std::net::Ipv4Addr::from(address).to_string()
        };
        let port = io.read_u16().await?;
        self.places.lock().unwrap().push(format!("{host}:{port}"));
        io.write_all(&[5, self.reply, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        if self.reply == 0 {
            let (mut to_sim, at_sim) = duplex(1 << 16);
            let sim = self.sim.clone();
            tokio::spawn(async move { sim.serve_connection(at_sim).await });
            let _ = copy_bidirectional(&mut io, &mut to_sim).await;
        }
        Ok(())
    }
}

async fn field(io: &mut DuplexStream) -> io::Result<String> {
    let mut text = vec![0; usize::from(io.read_u8().await?)];
    io.read_exact(&mut text).await?;
    Ok(String::from_utf8(text).unwrap())
}

impl Reach for Socks {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Reaching<'a, io::Result<Vec<SocketAddr>>> {
        let last = if host == "proxy.test" { 9 } else { 1 };
        Box::pin(async move { Ok(vec![SocketAddr::from(([192, 0, 2, last], port))]) })
    }

    fn connect(&self, address: SocketAddr) -> Reaching<'_, io::Result<Box<dyn Io>>> {
        assert_eq!(address.to_string(), "192.0.2.9:1080", "nothing goes around the proxy");
        let (near, far) = duplex(1 << 16);
        tokio::spawn(self.clone().serve(far));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
    }

    fn secure<'a>(&'a self, io: Box<dyn Io>, _: &'a str, _: Speak) -> Reaching<'a, Secured> {
        Box::pin(async { Secured { seen: None, io: Ok(io) } })
    }
}

#[tokio::test(start_paused = true)]
async fn r13_the_probes_go_through_a_socks_proxy_as_the_client_does() {
    for (address, place) in [("socks5://proxy.test", "192.0.2.1:80"), ("socks5h://proxy.test:1080", "api.example.com:80")] {
        let socks = Socks::new();
        let report = socks.report(address).await;
        assert_eq!((report.primary, report.exit_code), (Verdict::LocalProxyOn, 0), "{}", report.text(Lang::En, Layout::default()));
        assert_eq!(report.evidence.as_ref().unwrap().request.via_proxy, ViaProxy::Yes);
        let places = socks.places.lock().unwrap();
        assert!(places.len() >= 4 && places.iter().all(|told| told == place), "{places:?}");
        assert!(report.text(Lang::Zh, Layout::default()).contains("代理隧道"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_socks_proxy_with_a_login_is_gone_through_with_it_and_named_without() {
    let socks = Socks { login: Some(("user", "p@ss12345678")), ..Socks::new() };
    assert_eq!(socks.report("socks5h://user:p%40ss12345678@proxy.test").await.primary, Verdict::LocalProxyOn);
    for address in ["socks5h://proxy.test", "socks5h://user:wrong12345678@proxy.test"] {
        let report = socks.report(address).await;
        assert_eq!((report.primary, report.exit_code), (Verdict::ProxyLoginNeeded, 1), "{address}");
        let all = format!("{}{}", serde_json::to_string(&report).unwrap(), report.text(Lang::En, Layout::default()));
        assert!(all.contains("socks5://user:password@host:port") && !all.contains("12345678@"), "{all}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_socks_proxy_that_cannot_reach_the_api_is_told_with_its_reason() {
    for (reply, word) in [(2, "rules"), (4, "cannot resolve its name"), (5, "refused"), (1, "reply 1")] {
        let report = Socks { reply, ..Socks::new() }.report("socks5h://proxy.test").await;
        let text = report.text(Lang::En, Layout::default());
        assert_eq!(report.primary, Verdict::ConnectFailed, "{text}");
        assert!(text.contains(word), "{text}");
    }
}
