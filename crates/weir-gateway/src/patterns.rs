//! The patterns that sort and redact an upstream's error. Building them takes tens of milliseconds and some 5 MiB: too much for a gateway that never
//! sees an error, and too long for the thread that passes other calls' events on. So the first error builds them, on a thread that may wait.

use std::{
    sync::OnceLock,
    thread::{self, ThreadId},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::spawn_blocking,
};
use weir_core::{Audience, redact::Redactor};
use weir_wire::{UpstreamError, Vendor, classify};

/// An error such as vendors send, with nothing in it: going over it once builds what any error needs.
const ERROR: &str = r#"{"error":{"message":"Incorrect API key provided: sk-1. You can find your API key at https://example.com, limit 1, requested 2","type":"invalid_request_error","code":"invalid_api_key"}}"#;

/// The thread that built them.
static BUILT: OnceLock<ThreadId> = OnceLock::new();

/// Waits until the patterns stand; at once from the second error on. On one thread there is no other to build them on: then whoever needs
/// them first does.
pub(crate) async fn ready() {
    if BUILT.get().is_some() || Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return;
    }
    // Should it fail, the patterns are built where they are needed.
    let _ = spawn_blocking(|| BUILT.get_or_init(build)).await;
}

fn build() -> ThreadId {
    let error = UpstreamError::read(401, ERROR.as_bytes());
    let _ = classify::class(&error, Vendor::of_host("example.com"));
    let _ = Redactor::default().redact(error.message.expose(), Audience::Support);
    thread::current().id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_first_error_leaves_the_thread_of_the_calls_free() {
        ready().await;
        assert!(BUILT.get().is_some_and(|builder| *builder != thread::current().id()));
    }
}
