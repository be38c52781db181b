//! The notifier's deployed program on tables of any size, and killed at any time; redelivery's with a long queue. The table
//! service is as strict as Azure's; the mail service keeps what it accepts. No emulator is needed.
//!
//! `cargo test` asks it in small. At full size, one test after the other:
//! `LEADS_TRUST=full cargo test -p end-to-end --test scale -- --nocapture --test-threads 1`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test says its figures and fails where it unwraps")]

mod kills;
mod mail;
mod memory;
mod redelivery;
mod requests;
mod world;
