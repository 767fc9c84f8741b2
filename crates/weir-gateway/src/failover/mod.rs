//! Two upstreams in simulated time: who is asked, how often, after what wait, and what the client of a failing one notices.

mod channels;
mod pair;
mod retries;
