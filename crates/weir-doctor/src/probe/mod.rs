//! The probes in their order: each learns one thing, within a bound, and stops at the first broken layer.

mod calls;
mod exchange;
mod kept;
mod models;
mod order;
mod past;
mod plan;
mod progress;
mod proxies;
mod run;

pub use exchange::Tools;
pub use order::{Api, BUDGET, BURST_MAX, HOLD_MAX_S, Order, TOKENS_MAX};
pub use plan::{cost, plan};
pub use progress::{Cost, NotAProbe, ProbeId, Progress, Watch};
pub use proxies::{InFront, NotAProxy, Proxies, parse as parse_proxy};
pub use run::{Examined, Ran};

pub(crate) use models::is_tame as is_tame_model;
pub(crate) use run::PROMPTS;
