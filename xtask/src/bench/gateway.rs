//! The measured programs: nginx as a bare proxy and weir with every promise on, each alone on the first core.
#![expect(clippy::disallowed_methods, reason = "a chore that measures reads the clock")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Outcome;

/// The core of the measured gateway; the load and the fake upstream have the other.
const CORE: &str = "0";
pub(super) const CORE_OF_PEER: &str = "1";
/// A gateway answers its first call within this time, or it does not start.
const START: Duration = Duration::from_secs(10);
/// A gateway that was told to stop has ended within this time.
const STOP: Duration = Duration::from_secs(20);

/// The folder of the bench and the programs in it.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) folder: PathBuf,
    pub(super) weir: PathBuf,
    pub(super) nginx: PathBuf,
    pub(super) key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    Weir,
}

/// A gateway that answers.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    pub(super) port: u16,
    /// From its start to its first answer.
    pub(super) start: Duration,
}

impl Bench {
    /// Makes an empty store with an account that can pay and a key.
    pub(super) fn new(folder: PathBuf, weir: PathBuf) -> Outcome<Self> {
        let nginx = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"].iter().map(PathBuf::from).find(|path| path.is_file());
        let nginx = nginx.ok_or("nginx is not installed; on Debian: apt-get install nginx-light")?;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join("nginx"))?;
        let mut bench = Self { folder, weir, nginx, key: String::new() };
        bench.ask(&["account", "create", "bench"])?;
        bench.ask(&["account", "credit", "bench", "1000000"])?;
        let made = bench.ask(&["key", "create", "--account", "bench"])?;
        bench.key = made["key"].as_str().ok_or("weir made no key")?.to_owned();
        Ok(bench)
    }

    /// Runs a command of weir on the store.
    pub(super) fn ask(&self, words: &[&str]) -> Outcome<Value> {
        let asked = Command::new(&self.weir).args(words).arg("--json").arg("--data").arg(self.folder.join("data")).output()?;
        if !asked.status.success() {
            return Err(format!("weir {}: {}", words.join(" "), String::from_utf8_lossy(&asked.stderr)).into());
        }
        Ok(serde_json::from_slice(&asked.stdout)?)
    }

    /// Writes both configurations for an upstream.
    pub(super) fn configure(&self, upstream: u16) -> Outcome {
        fs::write(self.folder.join("key"), "sk-bench-000000000000000000000000")?;
        let key_file = self.folder.join("key");
        let weir = format!(
            "[log]\nfilter = \"warn\"\n\n[prices.models.\"bench*\"]\ninput = \"0.15\"\noutput = \"0.6\"\n\n[[upstream]]\nname = \"bench\"\n\
             base_url = \"http://127.0.0.1:{upstream}/v1\"\n\n[[upstream.channel]]\nname = \"one\"\nkey_file = \"{}\"\n",
            key_file.display()
        );
        fs::write(self.folder.join("weir.toml"), weir)?;
        Ok(())
    }

    fn configure_nginx(&self, upstream: u16, port: u16) -> Outcome<PathBuf> {
        let path = self.folder.join("nginx").join("nginx.conf");
        let folder = self.folder.join("nginx");
        let folder = folder.display();
        let conf = format!(
            "worker_processes 1;\ndaemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log error;\n\
             events {{ worker_connections 12000; }}\n\
             http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
             \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
             \x20 keepalive_requests 100000000;\n\
             \x20 upstream peer {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}\n\
             \x20 server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    location / {{\n      proxy_pass http://peer;\n      proxy_http_version 1.1;\n\
             \x20     proxy_set_header Connection \"\";\n      proxy_buffering off;\n      proxy_read_timeout 600s;\n    }}\n  }}\n}}\n"
        );
        fs::write(&path, conf)?;
        Ok(path)
    }

    /// Starts a gateway on the first core and waits for its first answer.
    pub(super) fn start(&self, kind: Kind, upstream: u16) -> Outcome<Running> {
        let port = free_port()?;
        let mut command = pinned(CORE);
        match kind {
            Kind::Nginx => {
                let conf = self.configure_nginx(upstream, port)?;
                command.arg(&self.nginx).arg("-p").arg(self.folder.join("nginx")).arg("-c").arg(conf);
            }
            Kind::Weir => {
                command.arg(&self.weir).arg("serve").arg("--config").arg(self.folder.join("weir.toml"));
                command.arg("--data").arg(self.folder.join("data")).arg("--listen").arg(format!("127.0.0.1:{port}"));
            }
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("gateway.log"))?;
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        while first_answer(port, &self.key).is_none() {
            if began.elapsed() > START || child.try_wait()?.is_some() {
                let _ = child.kill();
                return Err(format!("{kind:?} does not answer: see {}/gateway.log", self.folder.display()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Running { child, port, start: began.elapsed() })
    }
}

/// A command whose first argument is a program that runs on one core, with enough files for thousands of streams.
pub(super) fn pinned(core: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n $(ulimit -Hn); exec taskset -c \"$@\"", "sh", core]);
    command
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// One small call through the gateway; nothing if it does not listen yet.
fn first_answer(port: u16, key: &str) -> Option<()> {
    let body = r#"{"model":"bench","messages":[{"role":"user","content":"Hello"}],"max_tokens":16}"#;
    let mut io = TcpStream::connect(("127.0.0.1", port)).ok()?;
    io.set_read_timeout(Some(START)).ok()?;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench.test\r\nconnection: close\r\ncontent-type: application/json";
    write!(io, "{head}\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut status = [0; 12];
    io.read_exact(&mut status).ok()?;
    (&status == b"HTTP/1.1 200").then_some(())
}

impl Running {
    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }

    /// Time on a core so far, of all threads, in nanoseconds.
    pub(super) fn cpu(&self) -> Outcome<u64> {
        let mut all = 0;
        for task in fs::read_dir(self.proc("task"))? {
            let told = fs::read_to_string(task?.path().join("schedstat"))?;
            all += told.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(all)
    }

    /// Resident memory in bytes.
    pub(super) fn memory(&self) -> Outcome<u64> {
        let told = fs::read_to_string(self.proc("smaps_rollup"))?;
        let line = told.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss in smaps_rollup")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Tells the gateway to stop and waits until it has.
    pub(super) fn stop(mut self) -> Outcome {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > STOP {
                self.child.kill()?;
                return Err("a gateway did not stop when told to".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    /// A bench that failed leaves no gateway behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
