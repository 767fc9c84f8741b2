//! `weir completions` and `weir man`: made from the arguments, so they cannot be out of date.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell as CompletedShell;

use crate::{
    args::Arguments,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    wanted: CompletedShell,
}

impl Completions {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let mut script = Vec::new();
        clap_complete::generate(self.wanted, &mut Arguments::command(), "weir", &mut script);
        shell.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write weir.1 and a page for every command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
            shell.print(&String::from_utf8_lossy(&page))?;
            return Ok(Exit::Done);
        };
        let shown = dir.display();
        fs::create_dir_all(&dir)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), &dir))
            .map_err(|error| Fault::new(Exit::Usage, text!("写不进 {shown}:{error}", "cannot write into {shown}: {error}")))?;
        shell.tell(&text!("手册页已写入 {shown}", "wrote the man pages into {shown}"));
        Ok(Exit::Done)
    }
}
