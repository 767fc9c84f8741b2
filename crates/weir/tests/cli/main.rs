//! The real binary on temporary directories: every command's way through and its errors.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail")]

mod admin;
mod config;
mod pages;
mod up;
mod weir;
