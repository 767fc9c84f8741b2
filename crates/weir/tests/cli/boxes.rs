//! Real middle boxes: nginx and HAProxy in front of something, as a child of the test, and never longer than it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, RawFd},
    process::{Child, Command, Stdio},
    thread,
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal, kill_process},
};

use crate::weir::Home;

/// A middle box that runs.
pub(crate) struct MiddleBox {
    child: Child,
    at: SocketAddr,
    _home: Home,
}

/// A box of this test that passes requests on and keeps each answer until it is whole. It answers one request on a connection, and its
/// threads end with the process of the test.
pub(crate) struct StoringBox(String);

impl StoringBox {
    #[expect(clippy::disallowed_methods, reason = "a server of the test's own, which ends with its process")]
    pub(crate) fn before(base_url: &str) -> Self {
        let upstream = base_url.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(&upstream).unwrap();
                thread::spawn(move || stored(near, far));
            }
        });
        Self(url)
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.0
    }
}

/// The request as it comes, asking the other side to close behind its answer; then the answer in one piece.
#[expect(clippy::disallowed_methods, reason = "both directions flow at once; it is joined below")]
fn stored(mut near: TcpStream, mut far: TcpStream) -> std::io::Result<()> {
    let (mut asks, mut tells) = (near.try_clone()?, far.try_clone()?);
    let passing = thread::spawn(move || {
        let mut piece = [0; 16 * 1024];
        let mut is_head = true;
        while let Ok(n @ 1..) = asks.read(&mut piece) {
            if std::mem::take(&mut is_head) {
                let text = String::from_utf8_lossy(&piece[..n]).replacen("\r\n", "\r\nconnection: close\r\n", 1);
                tells.write_all(text.as_bytes())?;
            } else {
                tells.write_all(&piece[..n])?;
            }
        }
        Ok::<_, std::io::Error>(())
    });
    let mut answer = Vec::new();
    far.read_to_end(&mut answer)?;
    near.write_all(&answer)?;
    near.shutdown(Shutdown::Both)?;
    let _ = passing.join();
    Ok(())
}

/// Whether `program` is on this machine. Where it is not, a test says so and ends; where everything must be tested it fails.
pub(crate) fn has(program: &str) -> bool {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .any(|folder| std::path::Path::new(folder).join(program).exists());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed: apt-get install {program}");
        eprintln!("SKIPPED: {program} is not installed; apt-get install {program}");
    }
    found
}

impl MiddleBox {
    /// nginx with one server whose `location /` has these lines besides its `proxy_pass`.
    pub(crate) fn nginx(upstream: &str, lines: &str) -> Self {
        Self::start("nginx", |at, _, folder| {
            let temporary: String =
                ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {folder}/{kind};\n")).concat();
            let upstream = upstream.trim_end_matches("/v1");
            format!(
                "daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log stderr warn;\nevents {{ worker_connections 64; }}\nhttp {{\naccess_log off;\n{temporary}server {{\nlisten {at};\nlocation / {{\nproxy_pass {upstream};\n{lines}\n}}\n}}\n}}\n"
            )
        })
    }

    /// HAProxy with one proxy that has these lines.
    pub(crate) fn haproxy(upstream: &str, lines: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").trim_end_matches("/v1");
        Self::start("haproxy", |_, fd, _| {
            format!(
                "global\nmaxconn 64\ndefaults\nmode http\ntimeout connect 5s\ntimeout client 60s\ntimeout server 60s\nlisten box\nbind fd@{fd}\n{lines}\nserver one {upstream}\n"
            )
        })
    }

    /// The socket is bound here and handed down, so that whoever connects is heard as soon as the box is ready, and no port is guessed.
    fn start(program: &str, config: impl Fn(SocketAddr, RawFd, &str) -> String) -> Self {
        let home = Home::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, fd) = (listener.local_addr().unwrap(), listener.as_raw_fd());
        fcntl_setfd(&listener, FdFlags::empty()).unwrap();
        let folder = home.path().to_str().unwrap().to_owned();
        let file = home.file("box.conf", &config(at, fd, &folder));
        let mut command = Command::new(program);
        match program {
            "nginx" => command.arg("-p").arg(&folder).arg("-c").arg(file).env("NGINX", format!("{fd};")),
            _ => command.arg("-db").arg("-f").arg(file),
        };
        command.env("PATH", "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin");
        let told = std::fs::File::create(home.path().join("told")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told).spawn().unwrap();
        Self { child, at, _home: home }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.at)
    }
}

impl Drop for MiddleBox {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
