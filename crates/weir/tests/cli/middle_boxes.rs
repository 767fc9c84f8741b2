//! The doctor behind real middle boxes: it names what the box does to a stream, and with `--direct` it names the box.

use serde_json::Value;

use crate::{
    boxes::{MiddleBox, has},
    running::Running,
    weir::Home,
};

/// A dozen events in most of a second: long enough to tell a burst from a flow.
const MODEL: &str = "sim:tokens=16,interval=60ms";
const FLOWING: &str = "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off;";
/// What the upstream asks of nginx is not heard, as with a configuration that was copied from a page server.
const DEAF: &str = "proxy_ignore_headers X-Accel-Buffering; proxy_buffering on;";

struct Upstream {
    home: Home,
    running: Running,
}

impl Upstream {
    fn sim() -> Self {
        let home = Home::new();
        let running = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
        Self { home, running }
    }

    fn url(&self) -> &str {
        self.running.text("base_url")
    }

    fn key(&self) -> &str {
        self.running.ready["api_key"].as_str().unwrap_or("sk-12345678-a-key-of-no-one")
    }

    fn nginx(&self, lines: &str) -> MiddleBox {
        MiddleBox::nginx(self.url(), lines)
    }

    fn haproxy(&self, lines: &str) -> MiddleBox {
        MiddleBox::haproxy(self.url(), lines)
    }

    /// The report on what is behind a box, and the exit code that goes with it.
    fn examined(&self, through: &MiddleBox, model: &str, more: &[&str]) -> Value {
        let url = through.base_url();
        let arguments = [&["doctor", &url, "--model", model, "--json"], more].concat();
        let ran = self.home.run_with(&[("WEIR_KEY", self.key())], &arguments);
        let report = ran.json();
        assert_eq!(report["exit_code"], ran.exit, "{ran:?}");
        report
    }
}

fn codes(report: &Value) -> (&str, Vec<&str>) {
    let notes = report["notes"].as_array().unwrap().iter().map(|note| note["code"].as_str().unwrap()).collect();
    (report["primary"].as_str().unwrap(), notes)
}

#[test]
fn probe_all() {
    let sim = Upstream::sim();
    let stall = "sim:tokens=16,interval=60ms,stall=4s";
    for (name, lines, model) in [
        ("flowing", FLOWING.to_owned(), MODEL),
        ("deaf 1.0 64k", format!("{DEAF} proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"), MODEL),
        ("deaf 1.0 4k", DEAF.to_owned(), "sim:tokens=60,interval=30ms"),
        ("deaf 1.0 4k big", DEAF.to_owned(), "sim:tokens=40,interval=40ms,big=1"),
        ("gzip", format!("{DEAF} proxy_http_version 1.1; gzip on; gzip_types text/event-stream; gzip_proxied any;"), MODEL),
        ("gzip flowing", format!("{FLOWING} gzip on; gzip_types text/event-stream; gzip_proxied any;"), MODEL),
        ("read timeout", format!("{FLOWING} proxy_read_timeout 1s;"), "sim:first_byte=5s"),
        ("read timeout mid", format!("{FLOWING} proxy_read_timeout 1s;"), stall),
        ("headers", format!("{FLOWING} proxy_hide_header Cache-Control; add_header Cache-Control 'public, max-age=60';"), MODEL),
    ] {
        let through = sim.nginx(&lines);
        println!("nginx {name}: {:?}", codes(&sim.examined(&through, model, &[])));
    }
    for (name, lines, model) in [
        ("good", "option http-no-delay", MODEL),
        ("plain", "", MODEL),
        ("timeout", "timeout server 1s", "sim:first_byte=5s"),
        ("timeout mid", "timeout server 1s", stall),
        ("compression", "compression algo gzip\ncompression type text/event-stream", MODEL),
    ] {
        let through = sim.haproxy(lines);
        println!("haproxy {name}: {:?}", codes(&sim.examined(&through, model, &[])));
    }
}
