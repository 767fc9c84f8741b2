//! Whose words an error is in: the same word means a rate at one vendor and money at another.

use std::{fmt, sync::LazyLock};

use regex::bytes::RegexSet;

use super::{rules::set, table::VENDORS};

/// A vendor of `catalog/errors.toml`, or nobody known.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Vendor(Option<u8>);

/// What gives a vendor away in its words; one search for all. `None` if a pattern is broken, which a test would tell.
static WORDS: LazyLock<Option<RegexSet>> = LazyLock::new(|| set(VENDORS.iter().map(|vendor| vendor.words)));

impl Vendor {
    pub const UNKNOWN: Self = Self(None);

    /// By its name in the catalogue.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::at(VENDORS.iter().position(|vendor| vendor.name == name))
    }

    /// The name in the catalogue, such as `dashscope`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        VENDORS.get(usize::from(self.0?)).map(|vendor| vendor.name)
    }

    /// By the host of the upstream's address, in any case, without its port.
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let is_of = |domain: &&str| host.strip_suffix(*domain).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']));
        Self::at(VENDORS.iter().position(|vendor| vendor.hosts.iter().any(is_of)))
    }

    /// By the names of its response headers.
    #[must_use]
    pub fn of_headers<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut first = None;
        for name in names {
            let name = name.to_ascii_lowercase();
            let at = VENDORS.iter().position(|vendor| vendor.headers.contains(&name.as_str()));
            first = match (first, at) {
                (Some(a), Some(b)) => Some(std::cmp::min::<usize>(a, b)),
                (a, b) => a.or(b),
            };
        }
        Self::at(first)
    }

    /// By what an error says, in lower case.
    pub(super) fn of_words(text: &str) -> Self {
        if text.is_empty() {
            return Self::UNKNOWN;
        }
        let said = WORDS.as_ref().map(|words| words.matches(text.as_bytes()));
        Self::at(said.and_then(|said| VENDORS.iter().enumerate().position(|(at, vendor)| !vendor.words.is_empty() && said.matched(at))))
    }

    /// This one, or the other where this is nobody.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::UNKNOWN { other } else { self }
    }

    fn at(place: Option<usize>) -> Self {
        Self(place.and_then(|place| u8::try_from(place).ok()))
    }
}

impl fmt::Debug for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("unknown"))
    }
}

#[cfg(test)]
pub(super) fn every_pattern_compiles() -> bool {
    WORDS.is_some()
}
