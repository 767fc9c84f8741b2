//! The chores that run other programs: tests, simulated worlds and what CI runs. Each prints the command it runs.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Outcome, r#gen, tidy};

/// Seeds of the nightly run: a fault that strikes once in ten thousand schedules is found within some nights.
const NIGHTLY_SEEDS: u32 = 20_000;
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
    let clients = clients(root)?;
    workspace(root, &[], &[])?;
    run(root, "cargo", &["test", "--workspace", "--doc", "--locked"])?;
    let Some(clients) = clients else { return Ok(()) };
    // The build of the tests: it is there already, and checks what a release leaves out (overflow, assertions).
    run(root, "cargo", &["build", "--locked", "--package", "weir"])?;
    let weir = target(root).join("debug").join("weir");
    run(root, clients, &["--weir-bin", &weir.to_string_lossy()])
}

/// The worlds of the gateway on `seeds` seeds.
pub(crate) fn sim(root: &Path, seeds: u32) -> Outcome {
    workspace(root, &["--release", "--package", "weir-gateway", "world"], &[("SEEDS", seeds)])
}

/// Random texts for the redactor. Every ordinary test run does a short one.
pub(crate) fn fuzz(root: &Path, rounds: u32, seed: u32) -> Outcome {
    workspace(root, &["--release", "--package", "weir-core", "thrown_together"], &[("FUZZ_ROUNDS", rounds), ("FUZZ_SEED", seed)])
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

/// Installs the pinned clients, if this tree has them; the path of the program that runs them.
fn clients(root: &Path) -> Outcome<Option<PathBuf>> {
    let folder = root.join("tests").join("clients");
    let (setup, start) = (folder.join("setup"), folder.join("run"));
    if !setup.is_file() || !start.is_file() {
        step("no client suites in tests/clients");
        return Ok(None);
    }
    run(root, setup, &[])?;
    Ok(Some(start))
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
