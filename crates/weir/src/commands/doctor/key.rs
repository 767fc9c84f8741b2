//! Where the doctor's key comes from: a variable, standard input, a prompt that does not echo, or, with a warning, the command line.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use weir_core::Secret;

use super::Doctor;
use crate::{
    commands::nearby,
    fault::Fault,
    lang::text,
    shell::{Shell, tell},
};

/// The longest key that is read, in bytes.
const KEY_BYTES: u64 = 4096;

/// A key and where it came from.
pub(super) struct Found {
    pub(super) key: Option<Secret>,
    pub(super) from: String,
}

impl Found {
    fn of(text: String, from: &str) -> Self {
        let key = (!text.is_empty()).then(|| Secret::new(text));
        Self { from: if key.is_some() { from.to_owned() } else { "none".to_owned() }, key }
    }
}

/// Looks for the key that goes to `url`.
pub(super) fn find(doctor: &Doctor, shell: &Shell, url: &str) -> Result<Found, Fault> {
    if let Some(key) = &doctor.key {
        tell(shell.say(
            "warning: 命令行里的 key 会留在进程列表和 shell 历史里;改用环境变量 WEIR_KEY 或 --key-stdin",
            "warning: a key on the command line stays in process lists and the shell's history; use WEIR_KEY or --key-stdin",
        ));
        return Ok(Found::of(key.expose().to_owned(), "--key"));
    }
    if doctor.key_stdin {
        let mut text = String::new();
        io::stdin().lock().take(KEY_BYTES).read_to_string(&mut text)?;
        // A pipe ends its line; anything else that is wrong with the key is for the doctor to tell.
        let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        return Ok(Found::of(text.to_owned(), "stdin"));
    }
    if let Some(name) = &doctor.key_env {
        // A key in place of the name must not be repeated.
        if name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Fault::usage(
                text!("--key-env 后面要写环境变量的名字,不是 key 本身", "--key-env takes the name of a variable, not the key itself"),
                text!("例如 `--key-env OPENAI_API_KEY`", "such as `--key-env OPENAI_API_KEY`"),
            ));
        }
        let value = shell.variable(name).ok_or_else(|| {
            Fault::usage(
                text!("环境变量 {name} 没有设置", "the environment has no {name}"),
                text!("先设置它,或用 --key-stdin", "set it, or use --key-stdin"),
            )
        })?;
        return Ok(Found::of(value.to_owned(), name));
    }
    if let Some(found) = nearby::key(shell, url) {
        return Ok(Found::of(found.key.expose().to_owned(), found.from()));
    }
    if io::stdin().is_terminal() && io::stderr().is_terminal() && !shell.flags.json {
        return Ok(Found::of(prompt(shell)?, "prompt"));
    }
    Ok(Found::of(String::new(), "none"))
}

/// Asks on the terminal without showing what is typed.
fn prompt(shell: &Shell) -> Result<String, Fault> {
    let words = shell.say("API key(输入时不显示,没有就直接回车):", "API key (not shown while you type; Enter for none): ");
    let mut err = io::stderr().lock();
    let _ = write!(err, "{words}");
    let _ = err.flush();
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(mode) = &before {
        let mut hidden = mode.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &hidden);
    }
    let mut line = String::new();
    let read = stdin.lock().take(KEY_BYTES).read_line(&mut line);
    if let Some(mode) = &before {
        let _ = tcsetattr(&stdin, OptionalActions::Flush, mode);
    }
    let _ = writeln!(err);
    read?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
