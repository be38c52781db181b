//! Marketplace leads: every lead from Microsoft's commercial marketplace gets to the people who sell.
//!
//! Dependencies point one way: use cases → [`lead`] and the ports ([`table::Table`], [`mail::Mailer`]); adapters → ports.

#![warn(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "logs go through tracing; nothing from outside may cause a panic"
)]

pub mod address;
pub mod aws;
pub mod clock;
pub mod columns;
pub mod cue;
mod display;
pub mod export;
pub mod function;
pub mod function_url;
pub mod intake;
pub mod intake_keys;
pub mod lead;
pub mod mail;
pub mod notify;
pub mod quarantine;
pub mod queued_body;
pub mod redelivery;
pub mod secret;
pub mod settings;
pub mod table;
pub mod telemetry;
pub mod validate;
