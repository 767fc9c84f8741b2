//! A scripted server on this machine that tells what the real client sends and when it gives up.

mod answer;
mod body;
mod flow;
mod record;
mod reply;
mod request;
mod script;
mod seen;
mod server;
mod tries;

pub use script::{SILENCE, SILENCE_MAX, Script, TOLD_WAIT};
pub use seen::{Ended, KeyPlace, Seen};
pub use server::{LIMIT_MAX, REQUESTS_MAX, Settings, serve};
