//! Maps whose keys are random already: keyed hashes, and ids that this gateway drew. Hashing them once more would only cost.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map by keys that nobody outside can choose.
pub(super) type Digested<K, V> = HashMap<K, V, BuildHasherDefault<Own>>;

/// Takes the last eight bytes of a key for its hash.
#[derive(Debug, Default)]
pub(super) struct Own(u64);

impl Hasher for Own {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.write(&key.to_be_bytes());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use weir_core::{RequestId, Timestamp};

    use super::*;

    #[test]
    fn keys_that_differ_in_their_random_part_have_hashes_that_differ() {
        let hash = BuildHasherDefault::<Own>::default();
        assert_ne!(hash.hash_one([1_u8; 16]), hash.hash_one([2_u8; 16]));
        assert_eq!(hash.hash_one([7_u8; 16]), u64::from_le_bytes([7; 8]));
        let id = |roll| RequestId::new(Timestamp(1_700_000_000_000), roll);
        assert_ne!(hash.hash_one(id(1)), hash.hash_one(id(2)));
    }
}
