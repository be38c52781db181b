//! Marketplace leads: every lead from Microsoft's commercial marketplace gets to the people who sell.
//!
//! The functions under `functions/` are thin. What they do is here, as plain functions that take the clock as an argument.
//!
//! # The way of a lead
//!
//! 1. [`intake`] takes the JSON that Microsoft POSTs. It reads a [`lead::Lead`], makes a row of it
//!    ([`lead::StoredLead`]), and inserts the row once into the leads table ([`table::Table`]). Microsoft can also write
//!    such rows itself.
//! 2. What the table does not take goes as a [`queued_body::QueuedBody`] onto an SQS queue ([`aws::Queue`]), from where
//!    [`redelivery`] stores it later under the same keys. What cannot be read as a lead goes into the [`quarantine`].
//! 3. [`notify`] finds the rows that are new, whoever wrote them, puts them into a [`mail::Digest`], and sends it with a
//!    [`mail::Mailer`].
//! 4. [`export`] streams the leads as a file, with the [`columns`] that the mails' attachments have, too.
//! 5. [`validate`] tries every part of a deployment, and says what is wrong and what to do about it.
//!
//! # Where to begin
//!
//! - What a lead is, and how it is read and stored: [`lead`].
//! - Which settings there are: [`settings::VARIABLES`].
//! - Which functions there are: [`function::Function`]; which logs and metrics they write: [`telemetry`].
//! - What must not be printed: [`secret::Secret`], [`address::MailAddress`], [`intake_keys::IntakeKeys`].
//!
//! # Which module may use which
//!
//! Arrows point down: use cases → [`settings`], [`mail`], [`columns`], [`quarantine`], [`lead`] → the ports and adapters
//! ([`table`], [`aws`]) → what any module may use. No use case uses another, but for [`validate`], which asks [`notify`].
//! Only [`table`] names the Azure crates, only `mail::ses` that of SES, only [`aws`] those of SSM and SQS. The picture is in
//! `docs/architecture.md`; the test `shared/tests/architecture` holds it.

#![warn(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "logs go through tracing; nothing from outside may cause a panic"
)]

pub mod address;
pub mod aws;
pub mod bug;
pub mod cadence;
pub mod clock;
pub mod columns;
pub mod cue;
pub mod destinations;
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
