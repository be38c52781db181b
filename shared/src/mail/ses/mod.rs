//! Mail by Amazon SES (API v2): sending, and what SES says about the account.
//!
//! Sending is not idempotent: a mail whose answer was lost may have been accepted. So a mail is tried again here only
//! after failures which show that it was not accepted: throttling, 503, and connections that were never made. All other
//! failures that may pass become [`MailError::Unavailable`](super::MailError::Unavailable), so that the caller can mark
//! the mail as a possible repeat when it sends it again.

mod account;
mod refusals;
mod send;
#[cfg(test)]
mod tests;

pub use account::{Account, Identity, SesAccount, SesError};
pub use send::SesMailer;
