//! Which headers may be kept, and what they tell about a client.
use http::HeaderMap;
use weir_core::ClientFacts;

/// Response headers that may be kept, values ≤ 128 characters.
pub fn kept(_headers: &HeaderMap) -> Vec<(String, String)> {
    Vec::new()
}
pub fn client_facts(_headers: &HeaderMap) -> ClientFacts {
    ClientFacts::default()
}
