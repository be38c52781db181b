//! Why a mail was not sent.

use std::time::Duration;

/// Why a mail was not sent. It holds no address, and nothing of the mail.
///
/// The kinds differ in what the sender should do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The service refuses this message because of what is in it, or because of its size. Another one may go through:
    /// fewer leads, or a mail without their texts.
    #[error("the mail service refused the mail ({code}): {cure}")]
    Message {
        /// The service's error code.
        code: String,
        /// What to do about it.
        cure: String,
    },
    /// The service refuses the sender, a recipient or the whole account. No message gets through until a person changes
    /// something, so it makes sense to wait and to tell the operator.
    #[error("the mail service refused the mail ({code}): {cure}")]
    Destination {
        /// The service's error code.
        code: String,
        /// What to do about it.
        cure: String,
    },
    /// The service takes no more for now: too many requests, or a quota that is used up. It has not accepted the mail.
    #[error("the mail service is busy ({code}): {cure}")]
    Busy {
        /// The service's error code.
        code: String,
        /// How long the service asks to wait, if it says so.
        retry_after: Option<Duration>,
        /// Whether a quota of mails in a time is used up, so that fewer mails with more in them would get through.
        is_quota: bool,
        /// What to do about it, if it does not pass.
        cure: String,
    },
    /// The service could not be reached, failed or did not answer in time, after all retries.
    #[error("the mail service is unavailable ({code})")]
    Unavailable {
        /// The service's error code, or what happened.
        code: String,
        /// Whether the mail may have been accepted, so that sending it again may repeat it. `false` only where it is
        /// certain that it was not.
        may_be_accepted: bool,
    },
}

impl MailError {
    /// Whether nothing changes before a person acts or another mail is sent: the service gave an answer, and the answer
    /// is no.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Message { .. } | Self::Destination { .. } => true,
            Self::Busy { .. } | Self::Unavailable { .. } => false,
        }
    }
}
