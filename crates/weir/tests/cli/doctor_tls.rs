//! `weir doctor` before real TLS: a listener on this machine whose certificate is right, or wrong in each of the ways that people meet.

use std::{net::SocketAddr, sync::Arc};

use serde_json::Value;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Builder,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    certificates::{For, Identity, Life},
    running::Running,
    weir::{Home, Ran},
};

const KEY: &str = "sk-planted12345678planted12345678abcd";

/// TLS in front of `upstream`, until the process of the test ends.
#[expect(clippy::disallowed_methods, reason = "a server of the test's own, which ends with its process")]
fn listener(config: Arc<ServerConfig>, upstream: &str) -> SocketAddr {
    let upstream = upstream.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    bound.set_nonblocking(true).unwrap();
    let at = bound.local_addr().unwrap();
    std::thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let listener = TcpListener::from_std(bound).unwrap();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (acceptor, upstream) = (TlsAcceptor::from(Arc::clone(&config)), upstream.clone());
                tokio::spawn(async move {
                    let mut near = acceptor.accept(near).await?;
                    let mut far = TcpStream::connect(upstream).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
    });
    at
}

/// A simulator, and an authority that the doctor is told to trust.
struct Bench {
    home: Home,
    sim: Running,
    trusted: Identity,
    roots: String,
}

impl Bench {
    fn new() -> Self {
        let home = Home::new();
        let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
        let trusted = Identity::authority("trusted");
        let roots = home.file("roots.pem", &trusted.pem()).to_str().unwrap().to_owned();
        Self { home, sim, trusted, roots }
    }

    fn serves(&self, server: &Identity) -> String {
        format!("https://{}/v1", listener(server.server(), self.sim.text("base_url")))
    }

    fn examined(&self, url: &str, more: &[&str]) -> Ran {
        let variables = [("WEIR_KEY", KEY), ("SSL_CERT_FILE", self.roots.as_str())];
        self.home.run_with(&variables, &[&["doctor", url, "--model", "sim:ok"], more].concat())
    }
}

#[test]
fn a_certificate_that_is_wrong_is_told_by_what_is_wrong_with_it_and_nothing_is_sent() {
    let bench = Bench::new();
    let stranger = Identity::authority("stranger");
    let cases: [(Identity, [&str; 2]); 6] = [
        (bench.trusted.signs(For::ThisMachine, Life::Over), ["expired on 2020-06-01", "2020-06-01 过期"]),
        (bench.trusted.signs(For::ThisMachine, Life::ToCome), ["not valid yet", "还没到生效时间"]),
        (bench.trusted.signs(For::Another, Life::Now), ["for another name", "不是给这个域名的"]),
        (Identity::self_signed(), ["self-signed", "自签名"]),
        // As `openssl req -x509` makes it.
        (Identity::authority("homemade"), ["self-signed", "自签名"]),
        (stranger.signs(For::ThisMachine, Life::Now), ["does not trust the issuer", "签发者不受本机信任"]),
    ];
    for (server, words) in cases {
        let url = bench.serves(&server);
        for (lang, word) in ["en", "zh"].into_iter().zip(words) {
            let ran = bench.examined(&url, &["--lang", lang]);
            let verdict = ran.out.lines().find(|line| line.starts_with("W-")).unwrap_or_default();
            assert!(ran.exit == 1 && verdict.starts_with("W-NET-003") && ran.out.contains(word), "{word}: {ran:?}");
        }
        let report = bench.examined(&url, &["--json"]).json();
        assert_eq!((report["primary"].as_str(), report["exit_code"].as_i64()), (Some("W-NET-003"), Some(1)), "{report}");
        assert_eq!(report["budget"]["used_requests"], Value::from(0), "no key went to a server that nobody vouches for: {report}");
    }
}

#[test]
fn a_certificate_of_an_authority_that_this_machine_was_told_to_trust_is_no_fault() {
    let bench = Bench::new();
    let url = bench.serves(&bench.trusted.signs(For::ThisMachine, Life::Now));
    let report = bench.examined(&url, &["--json"]).done().json();
    assert_eq!(report["primary"], "W-OK-001", "{report}");
    let connection = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "P2").unwrap();
    assert!(connection["seen"]["en"].as_str().unwrap().contains("private CA"), "{connection}");
}

#[test]
fn a_port_that_speaks_no_tls_is_told_as_that() {
    let bench = Bench::new();
    let url = bench.sim.text("base_url").replacen("http:", "https:", 1);
    let ran = bench.examined(&url, &["--lang", "en"]);
    assert!(ran.exit == 1 && ran.out.contains("W-NET-003") && ran.out.contains("try http://"), "{ran:?}");
}
