//! Mail by Amazon SES (API v2): sending, and what SES says about the account.
//!
//! Sending is not idempotent there: a mail whose answer was lost may have been accepted. So only those failures are tried
//! again here that say that nothing was accepted: throttling, 503, and connections that were never made. Everything else
//! that may pass ends as [`MailError::Unavailable`](super::MailError::Unavailable), so that the caller can send again with a
//! mark.

mod account;
mod refusals;
mod send;
#[cfg(test)]
mod tests;

pub use account::{Account, Identity, SesAccount, SesError};
pub use send::SesMailer;

/// The largest mail in bytes that SES takes through this interface, encoded for transport.
///
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
pub const SES_MAX_MESSAGE_BYTES: usize = 40_000_000;

const _: () = assert!(super::MAX_MESSAGE_BYTES < SES_MAX_MESSAGE_BYTES);
