//! `weir doctor`: reads what was typed, hands it to the doctor, and shows what it found.

mod client;
mod key;
mod list;
mod order;
mod screen;

use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use weir_client::probe::Network;
use weir_core::{Audience, Secret};
use weir_doctor::{
    probe::{BURST_MAX, Examined, HOLD_MAX_S, Order, ProbeId, Progress, TOKENS_MAX, Tools},
    report::{Layout, Making, Report, is_safe, redactor, report_schema},
};

use super::{key::dice, nearby::running, serve::block_on};
use crate::{
    args::span,
    fault::{Exit, Fault},
    lang::text,
    shell::{Shell, WallClock},
};

/// Which API of the address is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ApiName {
    Chat,
    Responses,
    Messages,
}

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HttpName {
    #[value(name = "1.1")]
    One,
    #[value(name = "2")]
    Two,
}

/// What the person sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SymptomName {
    Spinner,
    Cut,
    #[value(name = "429")]
    RateLimit,
    Timeout,
    ChargedTwice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AudienceName {
    Support,
    Public,
}

/// What else the doctor examines.
#[derive(Debug, Subcommand)]
enum Other {
    /// Listen on this machine and tell what the real client sends and when it gives up
    #[command(
        after_help = "Example:\n  weir doctor client\n  weir doctor client --script slow --once 1\n\nThe models doctor-chat, doctor-long, … choose the script of one request; Ctrl-C ends it and prints the report."
    )]
    Client(client::Client),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Doctor {
    #[command(subcommand)]
    other: Option<Other>,
    /// The address to probe, up to /v1; else OPENAI_BASE_URL, else the running `weir up`
    base_url: Option<String>,
    /// The model to ask; without it a small one of the address's list
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Which API is probed
    #[arg(
        long,
        value_name = "chat|responses|messages",
        value_enum,
        default_value = "chat",
        hide_default_value = true,
        hide_possible_values = true
    )]
    api: ApiName,
    /// Speak this version of HTTP only, such as the one of your SDK
    #[arg(long, value_name = "1.1|2", value_enum, hide_possible_values = true)]
    http: Option<HttpName>,
    /// The environment variable that holds the key; else WEIR_KEY, OPENAI_API_KEY
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// Read the key from standard input
    #[arg(long, conflicts_with = "key_env")]
    key_stdin: bool,
    /// The key itself: it stays in process lists and the shell's history
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key_env", "key_stdin"], allow_hyphen_values = true, value_parser = secret)]
    key: Option<Secret>,
    /// What you see: the doctor says what to look at when all probes pass
    #[arg(long, value_name = "spinner|cut|429|timeout|charged-twice", value_enum, hide_possible_values = true)]
    symptom: Option<SymptomName>,
    /// A second address that goes around the suspect, such as the gateway without its proxy
    #[arg(long, value_name = "URL", conflicts_with = "via")]
    direct: Option<String>,
    /// A proxy to go through for comparison
    #[arg(long, value_name = "PROXY")]
    via: Option<String>,
    /// What a past request id came to; asks no model
    #[arg(long, value_name = "ID", conflicts_with = "task_id")]
    request_id: Option<String>,
    /// What a past task came to; asks no model
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    /// Only these probes, such as P3,P4
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = probe)]
    only: Vec<ProbeId>,
    /// Leave the third call out
    #[arg(long)]
    cheap: bool,
    /// Do not ask for the list of models
    #[arg(long)]
    no_models: bool,
    /// How long an answer is waited for, such as the client's own timeout: 2, 30s
    #[arg(long, value_name = "SPAN", value_parser = seconds)]
    timeout: Option<Duration>,
    /// How long the whole run may take; 30s, or what --timeout needs
    #[arg(long, value_name = "SPAN", value_parser = seconds)]
    budget: Option<Duration>,
    /// Output tokens of each call
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKENS_MAX)), default_value_t = 64)]
    max_tokens: u32,
    /// Ask one by one until a 429 comes, at most this often; costs the calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(BURST_MAX)))]
    probe_429: Option<u32>,
    /// Hold one long answer to see when it is cut, in seconds; costs the answer
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=i64::from(HOLD_MAX_S)))]
    hold: Option<u32>,
    /// Consent to what --probe-429 and --hold cost
    #[arg(long)]
    yes_spend: bool,
    /// Print the plan and its cost, and stop
    #[arg(long)]
    dry_run: bool,
    /// List the probes
    #[arg(long)]
    list: bool,
    /// Print the JSON Schema of the report
    #[arg(long)]
    schema: bool,
    /// Write the record to hand to support
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Write the whole report as one page that is safe to attach to a ticket
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// For whom the record is made
    #[arg(
        long,
        value_name = "support|public",
        value_enum,
        default_value = "support",
        hide_default_value = true,
        hide_possible_values = true
    )]
    audience: AudienceName,
    /// A warning fails the run too
    #[arg(long)]
    strict: bool,
    /// Print the verdict alone
    #[arg(long)]
    summary: bool,
    /// Print the time and size of every read of a stream too
    #[arg(long)]
    verbose: bool,
    /// Print plain marks only
    #[arg(long)]
    ascii: bool,
    /// Print no colours
    #[arg(long)]
    no_color: bool,
}

fn probe(text: &str) -> Result<ProbeId, String> {
    text.parse().map_err(|_| "it is P0 to P13; `weir doctor --list` shows them".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a value parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

/// Seconds, with or without a unit.
fn seconds(text: &str) -> Result<Duration, String> {
    let span = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(u64::from(seconds)),
        Err(_) => span(text)?,
    };
    if span.is_zero() { Err("it is longer than nothing".to_owned()) } else { Ok(span) }
}

impl Doctor {
    pub(crate) fn run(mut self, shell: &Shell) -> Result<Exit, Fault> {
        if let Some(Other::Client(client)) = self.other.take() {
            return client.run(shell);
        }
        if self.schema {
            shell.print_json(&report_schema())?;
            return Ok(Exit::Done);
        }
        if self.list {
            shell.print(&list::list(shell))?;
            return Ok(Exit::Done);
        }
        let order = self.order(shell, self.address(shell)?)?;
        for file in [&self.evidence, &self.html].into_iter().flatten() {
            may_be_written(file)?;
        }
        if self.dry_run {
            return list::dry_run(shell, &order);
        }
        if !self.yes_spend && (order.burst.is_some() || order.hold_s.is_some()) {
            let price = list::plan_line_of(&order, shell.lang);
            return Err(Fault::new(Exit::Refused, text!("这会产生费用,没有执行。{price}", "this costs money and was not done. {price}"))
                .with_hint(text!("同意就加 --yes-spend", "add --yes-spend to consent")));
        }
        self.examine(shell, order)
    }

    fn address(&self, shell: &Shell) -> Result<String, Fault> {
        let said = |url: &&str| !url.trim().is_empty();
        if let Some(url) = &self.base_url {
            // A variable that is not set leaves an empty word behind.
            return Some(url.as_str()).filter(said).map(str::to_owned).ok_or_else(|| {
                Fault::usage(
                    text!("写的地址是空的", "the address is empty"),
                    text!(
                        "如果来自变量,先看它设置了没有:`echo \"$OPENAI_BASE_URL\"`",
                        "if it came from a variable, see that it is set: `echo \"$OPENAI_BASE_URL\"`"
                    ),
                )
            });
        }
        if let Some(url) = shell.variable("OPENAI_BASE_URL").filter(said) {
            return Ok(url.to_owned());
        }
        running(shell).ok_or_else(|| {
            let weir = &shell.called;
            Fault::usage(
                text!("不知道诊断哪个地址", "there is no address to probe"),
                text!(
                    "写上客户端里填的 Base URL,例如 `{weir} doctor https://api.example.com/v1`",
                    "name the base URL that the client uses, such as `{weir} doctor https://api.example.com/v1`"
                ),
            )
        })
    }

    fn examine(&self, shell: &Shell, order: Order) -> Result<Exit, Fault> {
        let mut examined = Examined::new(order, shell.now(), random());
        let screen = screen::Screen::start(shell, self.layout(shell, io::stderr().is_terminal()));
        let teller = screen.as_ref().map(screen::Screen::teller);
        let watch = move |progress: Progress| {
            if let Some(teller) = &teller {
                let _ = teller.try_send(progress);
            }
        };
        block_on(async {
            let tools = Tools { reach: &Network, clock: &WallClock, watch: &watch };
            let interrupted = tokio::select! {
                () = examined.run(&tools) => false,
                _ = tokio::signal::ctrl_c() => true,
            };
            examined.seen.is_interrupted = interrupted;
            Ok(Exit::Done)
        })?;
        drop(watch);
        if let Some(screen) = screen {
            screen.end();
        }
        self.show(shell, &examined)
    }

    fn layout(&self, shell: &Shell, is_terminal: bool) -> Layout {
        Layout {
            is_summary: self.summary,
            is_verbose: self.verbose,
            ascii: self.ascii,
            colour: is_terminal && !self.no_color && shell.variable("NO_COLOR").is_none(),
        }
    }

    fn show(&self, shell: &Shell, examined: &Examined) -> Result<Exit, Fault> {
        let audience = if self.audience == AudienceName::Public { Audience::Public } else { Audience::Support };
        let making =
            Making { now: shell.now(), zone: TimeZone::system(), version: env!("CARGO_PKG_VERSION"), is_strict: self.strict, audience };
        let report = Report::of(examined, &making);
        let Some(evidence) = &report.evidence else { return Err(unsafe_report()) };
        let layout = self.layout(shell, io::stdout().is_terminal());
        // The last look: nothing leaves that the engine would still hide.
        let engine = redactor(examined);
        let json = serde_json::to_value(&report).map_err(|_| unsafe_report())?;
        let shown = if shell.flags.json { json.to_string() } else { report.text(shell.lang, layout) };
        let holds_key = examined.order.key.as_ref().is_some_and(|key| key.expose().len() > 8 && shown.contains(key.expose()));
        if holds_key || !is_safe(&json, &engine, Audience::Support) {
            return Err(unsafe_report());
        }
        // What was found out is told first: a file that cannot be written must not cost it.
        if shell.flags.json {
            shell.print(&shown)?
        } else {
            shell.print_for_people(&shown)?
        }
        if let Some(file) = &self.evidence {
            let record = serde_json::to_string(evidence).map_err(|_| unsafe_report())?;
            write(file, record + "\n")?;
        }
        if let Some(file) = &self.html {
            write(file, report.html(shell.lang, &engine, audience).map_err(|_| unsafe_report())?)?;
        }
        Ok(match report.exit_code {
            0 => Exit::Done,
            1 => Exit::NotWell,
            2 => Exit::Usage,
            4 => Exit::Refused,
            130 => Exit::Interrupted,
            _ => Exit::Unknown,
        })
    }
}

/// Looked at before anything is asked, which may cost: the folder of `file` is there.
fn may_be_written(file: &Path) -> Result<(), Fault> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = file.display();
    if folder.is_dir() && !file.is_dir() {
        return Ok(());
    }
    let folder = folder.display();
    Err(if file.is_dir() {
        Fault::usage(
            text!("写不了 {shown}:这是一个文件夹", "cannot write {shown}: it is a folder"),
            text!("在后面加上文件名,例如 report.html", "add the name of a file, such as report.html"),
        )
    } else {
        Fault::usage(
            text!("写不了 {shown}:没有 {folder} 这个文件夹", "cannot write {shown}: there is no folder {folder}"),
            text!("先建好它(`mkdir -p {folder}`),或换一个位置", "make it first (`mkdir -p {folder}`), or name another place"),
        )
    })
}

fn write(file: &Path, text: String) -> Result<(), Fault> {
    fs::write(file, text).map_err(|error| {
        let shown = file.display();
        Fault::new(Exit::Unknown, text!("写不了 {shown}:{error}", "cannot write {shown}: {error}"))
    })
}

/// Sixty-four random bits.
fn random() -> u64 {
    let dice = dice();
    u64::from_be_bytes([dice[0], dice[1], dice[2], dice[3], dice[4], dice[5], dice[6], dice[7]])
}

fn unsafe_report() -> Fault {
    Fault::new(Exit::Refused, text!("报告无法保证不含机密,没有输出", "the report cannot be proven free of secrets, so it was not printed"))
}
