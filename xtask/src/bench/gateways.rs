//! The programs under measure: started pinned to one core, stopped by their id.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::Outcome;

/// The gateway's core, and the one of load and upstream.
const GATEWAY_CORE: &str = "0";
pub(super) const PEER_CORE: &str = "1";
/// Ticks of /proc/PID/stat per second; fixed on Linux for programs.
const TICKS: f64 = 100.0;
/// Ten seconds in all until a gateway must listen.
const START_TRIES: u32 = 2000;
const START_STEP: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Weir,
    Nginx,
}

/// A child that ends with its value.
pub(super) struct Owned(pub(super) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The fast upstream.
pub(super) struct Upstream {
    pub(super) address: String,
    _child: Owned,
}

pub(super) struct Gateway {
    pub(super) address: String,
    pub(super) key: Option<String>,
    data: Option<(PathBuf, PathBuf)>,
    child: Owned,
}

fn folder(root: &Path) -> PathBuf {
    root.join("target").join("bench")
}

/// Builds what is measured as it is shipped, and the peer with it.
pub(super) fn build(root: &Path) -> Outcome {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        return Err("nginx is not installed; on Debian: apt-get install nginx-light".into());
    }
    for package in ["weir", "xtask"] {
        let built = Command::new("cargo").args(["build", "--profile", "dist", "--locked", "-p", package]).current_dir(root).status()?;
        if !built.success() {
            return Err(format!("{package} does not build").into());
        }
    }
    fs::create_dir_all(folder(root))?;
    Ok(())
}

/// A program of the dist build, pinned to a core, with enough files for thousands of streams.
pub(super) fn pinned(root: &Path, core: &str, program: &str, arguments: &[&str]) -> Command {
    let binary = root.join("target").join("dist").join(program);
    let binary = if program == "nginx" { PathBuf::from("nginx") } else { binary };
    let mut command = Command::new("sh");
    command.arg("-c").arg("ulimit -n 65536; exec taskset -c \"$@\"").arg("sh").arg(core).arg(binary).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

impl Upstream {
    pub(super) fn start(root: &Path) -> Outcome<Self> {
        let mut child = pinned(root, PEER_CORE, "xtask", &["bench-peer", "upstream"]).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { address: line.trim().to_owned(), _child: Owned(child) })
    }
}

impl Gateway {
    pub(super) fn start(root: &Path, kind: Kind, upstream: &Upstream) -> Outcome<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let gateway = match kind {
            Kind::Nginx => nginx(root, address, upstream)?,
            Kind::Weir => weir(root, address, upstream)?,
        };
        for _ in 0..START_TRIES {
            if std::net::TcpStream::connect(&gateway.address).is_ok() {
                return Ok(gateway);
            }
            std::thread::sleep(START_STEP);
        }
        Err(format!("{kind:?} does not listen").into())
    }

    pub(super) fn rss_kib(&self) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?)
    }

    /// CPU used so far, user and system.
    pub(super) fn cpu_us(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no stat")?.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS * 1e6)
    }

    /// After a run every law must hold on weir's store.
    pub(super) fn check(&self) -> Outcome {
        let Some((binary, data)) = &self.data else { return Ok(()) };
        let audit = Command::new(binary).args(["audit", "--json", "--data"]).arg(data).output()?;
        if audit.status.success() { Ok(()) } else { Err(format!("weir audit: {}", String::from_utf8_lossy(&audit.stdout)).into()) }
    }
}

fn nginx(root: &Path, address: String, upstream: &Upstream) -> Outcome<Gateway> {
    let folder = folder(root);
    let conf = folder.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; worker_rlimit_nofile 65536; pid {pid}; error_log /dev/null crit;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; client_body_temp_path {tmp}; proxy_temp_path {tmp}; fastcgi_temp_path {tmp}; uwsgi_temp_path {tmp}; scgi_temp_path {tmp};\n\
         keepalive_requests 100000000; client_body_buffer_size 64k;\n\
         upstream up {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}\n\
         server {{ listen {address} backlog=4096; location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }} }} }}\n",
        pid = folder.join("nginx.pid").display(),
        tmp = folder.join("tmp").display(),
        upstream = upstream.address,
    );
    fs::write(&conf, text)?;
    let child = pinned(root, GATEWAY_CORE, "nginx", &["-c", &conf.to_string_lossy(), "-p", &folder.to_string_lossy()]).spawn()?;
    Ok(Gateway { address, key: None, data: None, child: Owned(child) })
}

fn weir(root: &Path, address: String, upstream: &Upstream) -> Outcome<Gateway> {
    let folder = folder(root);
    let data = folder.join("data");
    let _ = fs::remove_dir_all(&data);
    let conf = folder.join("weir.toml");
    let text = format!(
        "data = \"{}\"\n[server]\nlisten = \"{address}\"\n[[upstream]]\nname = \"peer\"\nbase_url = \"http://{}/v1\"\n[[upstream.channel]]\nname = \"main\"\nno_key = true\n\
         [prices.models.\"*\"]\ninput = \"0.15\"\noutput = \"0.60\"\n",
        data.display(),
        upstream.address,
    );
    fs::write(&conf, text)?;
    let binary = root.join("target").join("dist").join("weir");
    let ask = |arguments: &[&str]| -> Outcome<serde_json::Value> {
        let output = Command::new(&binary).args(arguments).args(["--json", "--config"]).arg(&conf).output()?;
        if !output.status.success() {
            return Err(format!("weir {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    ask(&["account", "create", "bench"])?;
    ask(&["account", "credit", "bench", "1000000"])?;
    let key = ask(&["key", "create", "--account", "bench"])?["key"].as_str().ok_or("no key")?.to_owned();
    let child = pinned(root, GATEWAY_CORE, "weir", &["serve", "--config", &conf.to_string_lossy()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Gateway { address, key: Some(key), data: Some((binary, data)), child: Owned(child) })
}
