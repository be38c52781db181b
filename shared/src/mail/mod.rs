//! The mail: what is in it ([`Digest`]), how it looks ([`render()`]), and how it is sent ([`Mailer`]).

mod counts;
mod digest;
mod error;
mod frame;
mod language;
mod links;
pub mod memory;
mod message;
mod operator;
mod render;
mod replies;
pub mod ses;
mod silence;
mod summary;

pub(crate) use language::Phrases;
pub(crate) use render::{CHAT_STEPS, EntryView, GroupView, LeadView, TableView, View, chat, chat_reduced};

pub use counts::{Counts, Tally};
pub use digest::{Digest, DigestLead, Occasion, PastAction, QuarantinedBody, UnreadableLead};
pub use error::MailError;
pub use language::{Language, LanguageError};
pub use message::{Attachment, MAX_ADDRESS_BYTES, MAX_MESSAGE_BYTES, MAX_RECIPIENTS, Message};
pub use operator::{SuppressedRecipient, Trouble, render_suppressed, render_trouble};
pub use render::{
    DIGEST_HEADER, MAX_ENTRIES, MAX_HTML_BYTES, RenderSettings, Rendered, leads_that_fit, render, render_reduced,
};
pub use replies::{CrmSearch, Replies};
pub use silence::{Silence, render_silence};
pub use summary::{Summary, render_summary};

use std::future::Future;
use std::time::Duration;

/// The longest that one [`Mailer::send`] takes, with all that an implementation tries again.
pub const MAX_SEND: Duration = Duration::from_secs(20);

/// The longest that one [`Mailer::is_suppressed`] takes.
pub const MAX_QUESTION: Duration = Duration::from_secs(2);

/// Sends mails.
pub trait Mailer: Clone + Send + Sync + 'static {
    /// Sends one mail within [`MAX_SEND`], and gives the id under which the service accepted it.
    fn send(&self, message: &Message) -> impl Future<Output = Result<String, MailError>> + Send;

    /// Whether the service accepts mails to an address and drops them, because earlier ones bounced or somebody reported them
    /// as spam. Answers within [`MAX_QUESTION`].
    fn is_suppressed(&self, address: &str) -> impl Future<Output = Result<bool, MailError>> + Send;
}
