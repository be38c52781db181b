//! Why something was not sent, and what that means for its channel.

use crate::bug::Bug;
use crate::destinations::{Malformed, PostError};
use crate::mail::MailError;
use std::time::Duration;

/// Why something was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What it means for the channel.
    pub(crate) effect: Effect,
    /// What happened, in words that hold no address and nothing of a lead.
    pub(crate) reason: String,
}

/// What a failure means for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The message is refused for what is in it: another one may go through.
    Message,
    /// The destination is refused, and every message to it, until a person changes something.
    Destination,
    /// It may pass by itself.
    Later {
        /// How long the destination asks to wait.
        asked: Option<Duration>,
        /// Whether the message may have been accepted.
        may_be_accepted: bool,
        /// Whether it is the mail service's quota that is used up.
        is_quota: bool,
    },
}

impl From<&MailError> for Failure {
    fn from(error: &MailError) -> Self {
        let effect = match error {
            MailError::Message { .. } => Effect::Message,
            MailError::Destination { .. } => Effect::Destination,
            MailError::Busy { retry_after, is_quota, .. } => {
                Effect::Later { asked: *retry_after, may_be_accepted: false, is_quota: *is_quota }
            }
            MailError::Unavailable { may_be_accepted, .. } => {
                Effect::Later { asked: None, may_be_accepted: *may_be_accepted, is_quota: false }
            }
        };
        Self { effect, reason: error.to_string() }
    }
}

impl From<&PostError> for Failure {
    fn from(error: &PostError) -> Self {
        let effect = match error {
            PostError::Message { .. } => Effect::Message,
            PostError::Destination { .. } => Effect::Destination,
            PostError::Busy { retry_after, may_be_accepted, .. } => {
                Effect::Later { asked: *retry_after, may_be_accepted: *may_be_accepted, is_quota: false }
            }
            PostError::Unavailable { may_be_accepted, .. } => {
                Effect::Later { asked: None, may_be_accepted: *may_be_accepted, is_quota: false }
            }
        };
        Self { effect, reason: error.to_string() }
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self { effect: Effect::Destination, reason: format!("the destination's parameter is malformed: {malformed}") }
    }
}

impl From<Bug> for Failure {
    /// Something in the message: fewer leads may be written well, and one alone without its texts.
    fn from(bug: Bug) -> Self {
        Self { effect: Effect::Message, reason: format!("the message could not be written: {bug}") }
    }
}

impl Failure {
    /// Whether the message may have been accepted.
    pub(super) fn may_be_accepted(&self) -> bool {
        matches!(self.effect, Effect::Later { may_be_accepted: true, .. })
    }

    /// The same failure of a message that may have been accepted.
    pub(super) fn doubted(self) -> Self {
        Self { effect: Effect::Later { asked: None, may_be_accepted: true, is_quota: false }, ..self }
    }

    /// The parameter of a destination could not be read.
    pub(super) fn unread(code: &str) -> Self {
        let effect = Effect::Later { asked: None, may_be_accepted: false, is_quota: false };
        Self { effect, reason: format!("the destination's parameter could not be read ({code})") }
    }
}
