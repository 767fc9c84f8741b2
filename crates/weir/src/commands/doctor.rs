//! `weir doctor`.

pub(crate) mod client;

use clap::Subcommand;

use crate::{
    fault::{Exit, Fault},
    shell::Shell,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Doctor {
    /// Listen on this machine and tell what the real client sends and when it gives up
    #[command(
        after_help = "Example:\n  weir doctor client\n  weir doctor client --script slow --once 1\n\nThe models doctor-chat, doctor-long, … choose the script of one request; Ctrl-C ends it and prints the report."
    )]
    Client(client::Client),
}

impl Doctor {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self {
            Self::Client(client) => client.run(shell),
        }
    }
}
