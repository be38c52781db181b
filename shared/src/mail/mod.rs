//! The mail: what is in it ([`Digest`]), how it looks ([`render()`]), and how it is sent ([`Mailer`]).

mod contact;
mod digest;
mod language;
pub mod memory;
mod render;
pub mod ses;
pub mod ses_account;
mod silence;

pub use digest::{Digest, DigestLead, Occasion, PastAction, QuarantinedBody, UnreadableLead};
pub use language::Language;
pub use render::{DIGEST_HEADER, MAX_ENTRIES, MAX_HTML_BYTES, RenderSettings, Rendered, render};
pub use silence::{Silence, render_silence};

use std::future::Future;

/// Sends mails.
pub trait Mailer: Clone + Send + Sync + 'static {
    /// Sends one mail, and gives the id under which the service accepted it.
    fn send(&self, message: &Message) -> impl Future<Output = Result<String, MailError>> + Send;
}

/// A mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Sender: an address, or `Name <address>`.
    pub from: String,
    /// Recipients, at most [`MAX_RECIPIENTS`].
    pub to: Vec<String>,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<String>,
    /// Subject.
    pub subject: String,
    /// HTML part.
    pub html: String,
    /// Text part.
    pub text: String,
    /// Further headers: name and value.
    pub headers: Vec<(String, String)>,
    /// Attached files.
    pub attachments: Vec<Attachment>,
}

/// A file attached to a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name.
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Content.
    pub content: Vec<u8>,
}

/// The most recipients that SES takes in one mail.
///
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
pub const MAX_RECIPIENTS: usize = 50;

/// Why a mail was not sent. Holds no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The service is busy or could not be reached, after all retries. The mail may have been accepted.
    #[error("the mail service is unavailable ({code})")]
    Unavailable {
        /// The service's error code, or what happened.
        code: String,
    },
    /// The service will not send this mail until something is changed.
    #[error("the mail service refused the mail ({code}): {cure}")]
    Refused {
        /// The service's error code.
        code: String,
        /// What to do about it.
        cure: String,
    },
}
