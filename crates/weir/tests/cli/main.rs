//! The real binary on temporary directories: every command's way through and its errors.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail")]

mod admin;
mod bad_input;
mod batch;
mod boxes;
mod canary;
mod certificates;
mod config;
mod doctor;
mod doctor_client;
mod doctor_page;
mod doctor_tls;
mod kill;
mod middle_boxes;
mod nearby;
mod pages;
mod policy;
mod raw;
mod running;
mod shared;
mod task;
mod triage;
mod up;
mod weir;
