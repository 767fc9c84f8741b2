//! The chores that run other programs: tests, simulated worlds and what CI runs. Each prints the command it runs.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Outcome, r#gen, tidy};

/// Seeds of the nightly run: a fault that strikes once in ten thousand schedules is found within some nights.
const NIGHTLY_SEEDS: u32 = 20_000;
/// Texts of one batch: half a minute.
const FUZZ_BATCH: u32 = 10_000;
/// Texts thrown at the redactor in the nightly run.
const NIGHTLY_TEXTS: u32 = 200_000;
/// `kill -9` at this many random instants in the nightly run.
const NIGHTLY_KILLS: u32 = 200;

/// Everything that must hold before a change lands, cheapest first; it stops at the first fault.
pub(crate) fn ci(root: &Path) -> Outcome {
    run(root, "cargo", &["fmt", "--all", "--check"])?;
    step("generated files");
    r#gen::check(root)?;
    step("tidy");
    tidy::run(root)?;
    deny(root)?;
    run(root, "cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    test(root)
}

/// Unit, property and simulation tests, doc tests, then unmodified clients against the binary.
pub(crate) fn test(root: &Path) -> Outcome {
    workspace(root, &[], &[])?;
    run(root, "cargo", &["test", "--workspace", "--doc", "--locked"])?;
    let Some(clients) = clients(root) else { return Ok(()) };
    // The build of the tests: it is there already, and checks what a release leaves out (overflow, assertions).
    run(root, "cargo", &["build", "--locked", "--package", "weir"])?;
    let weir = target(root).join("debug").join("weir");
    run(root, clients, &["--weir-bin", &weir.to_string_lossy()])
}

/// The worlds of the gateway on `seeds` seeds.
pub(crate) fn sim(root: &Path, seeds: u32) -> Outcome {
    workspace(root, &["--release", "--package", "weir-gateway", "world"], &[("SEEDS", seeds)])
}

/// Random texts for the redactor, batch after batch until the time is up. Every ordinary test run does a short one. Needs nothing but the
/// pinned toolchain.
#[expect(clippy::disallowed_methods, reason = "a chore that runs for some minutes reads the clock")]
pub(crate) fn fuzz(root: &Path, minutes: u32, seed: u32) -> Outcome {
    let start = Instant::now();
    let limit = Duration::from_secs(u64::from(minutes) * 60);
    let mut from = seed;
    loop {
        step(&format!("seeds {from} to {}", from.saturating_add(FUZZ_BATCH - 1)));
        let mut command = Command::new("cargo");
        command.args(["test", "--quiet", "--locked", "--release", "--package", "weir-core", "--lib", "thrown_together"]).current_dir(root);
        command.env("FUZZ_ROUNDS", FUZZ_BATCH.to_string()).env("FUZZ_SEED", from.to_string()).stderr(Stdio::inherit());
        let done = command.output()?;
        if !done.status.success() {
            eprint!("{}", String::from_utf8_lossy(&done.stdout));
            return Err("keep every key: the line with FUZZ_SEED= above names the text that gave one away; \
                 `cargo xtask fuzz --minutes 0 --seed N` repeats it"
                .into());
        }
        from = from.saturating_add(FUZZ_BATCH);
        if start.elapsed() >= limit || from == u32::MAX {
            break;
        }
    }
    println!("{} texts in {} s: no key got through, no second pass changed anything", from - seed, start.elapsed().as_secs());
    Ok(())
}

/// Prints a table for `docs/benchmarks.md`.
pub(crate) fn bench_redact(root: &Path) -> Outcome {
    run(root, "cargo", &["bench", "--quiet", "--locked", "--package", "weir-core", "--bench", "redact"])
}

/// Writes the pages of `docs/` that simulated calls and measurements produce. The tests that compare them write them instead when they are told to.
pub(crate) fn simulated_pages(root: &Path) -> Outcome {
    let packages = ["--package", "weir-gateway", "--package", "weir-wire", "--package", "weir-client"];
    workspace(root, &[&packages[..], &["what_the_docs_say"]].concat(), &[("WEIR_WRITE_DOCS", 1)])
}

/// All tests with many seeds and many kills; a number in the environment wins.
pub(crate) fn nightly(root: &Path) -> Outcome {
    let wanted = [("SEEDS", NIGHTLY_SEEDS), ("KILLS", NIGHTLY_KILLS), ("FUZZ_ROUNDS", NIGHTLY_TEXTS)];
    let unset: Vec<_> = wanted.into_iter().filter(|(name, _)| env::var_os(name).is_none()).collect();
    workspace(root, &["--release", "--workspace"], &unset)
}

/// Tests by nextest where it is installed, else by cargo. No `arguments`: the whole workspace.
fn workspace(root: &Path, arguments: &[&str], numbers: &[(&str, u32)]) -> Outcome {
    let mut all = if answers("cargo", &["nextest", "--version"]) { vec!["nextest", "run"] } else { vec!["test"] };
    all.push("--locked");
    all.extend(if arguments.is_empty() { &["--workspace"] } else { arguments });
    let mut command = Command::new("cargo");
    command.args(&all).current_dir(root);
    for (name, number) in numbers {
        step(&format!("{name}={number}"));
        command.env(name, number.to_string());
    }
    finish(command)
}

/// The program that runs the pinned clients, if this tree has it. It installs them itself, and skips in so many words what cannot be had.
fn clients(root: &Path) -> Option<PathBuf> {
    let start = root.join("tests").join("clients").join("run");
    let found = start.is_file().then_some(start);
    if found.is_none() {
        step("no client suites in tests/clients");
    }
    found
}

/// Licences, banned crates and sources. Advisories need a database from the network and are left to the nightly.
fn deny(root: &Path) -> Outcome {
    if !answers("cargo", &["deny", "--version"]) {
        step("skipped: cargo deny is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    run(root, "cargo", &["deny", "--locked", "check", "bans", "licenses", "sources"])
}

/// Where cargo builds, as cargo itself reads it.
pub(crate) fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// Whether a program is there and answers.
fn answers(program: &str, arguments: &[&str]) -> bool {
    let asked = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn run(root: &Path, program: impl Into<OsString>, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program.into());
    command.args(arguments).current_dir(root);
    finish(command)
}

fn finish(mut command: Command) -> Outcome {
    let program = command.get_program().to_string_lossy().into_owned();
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let line = format!("{program} {}", words.join(" "));
    step(line.trim_end());
    let status = command.status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line.trim_end()).into()) }
}

fn step(text: &str) {
    println!("==> {text}");
}
