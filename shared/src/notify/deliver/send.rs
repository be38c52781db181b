//! Sending one mail.

use super::failure::Failure;
use super::letters::{Letters, Posted};
use super::pack::{Cargo, Parcel, recipient_hash};
use crate::mail::{MailError, Mailer, Message};
use crate::notify::Notifier;
use crate::notify::run::{SEND, TABLE_CALL};
use crate::notify::times::later;
use crate::table::Table;
use jiff::{SignedDuration, Timestamp};

/// The most recipients that are tried one by one without success, where a mail to all of them was refused.
const TRIED_ALONE: usize = 10;

/// The longest that mails to recipients one by one go on, so that other channels get their turn.
const ONE_BY_ONE: SignedDuration = SignedDuration::from_secs(60);

/// After how many attempts in a row the recipients of a digest's later part are left out, where all of them are refused:
/// until then it may be the account that is refused, and passes.
const PATIENCE: u32 = 5;

/// What became of a mail.
pub(super) struct Sent {
    /// Hashes of the recipients that need no other mail.
    pub(super) recipients: Vec<String>,
    /// Mails that the service accepted.
    pub(super) mails: usize,
    /// Why it was not accepted.
    pub(super) error: Option<Failure>,
    /// How far messages to a destination that is no mailbox came.
    pub(super) posted: Option<Posted>,
}

impl Sent {
    /// Nothing was sent.
    fn nothing() -> Self {
        Self { recipients: Vec::new(), mails: 0, error: None, posted: None }
    }
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends a mail. Where the service refuses one of several recipients, each gets a mail of his own, so that one bad
    /// address keeps nothing from the others.
    pub(super) async fn send(&self, parcel: &Parcel, deadline: Timestamp) -> Sent {
        let message = match &parcel.cargo {
            Cargo::Nothing => return Sent::nothing(),
            Cargo::Blocked(failure) => return Sent { error: Some(failure.clone()), ..Sent::nothing() },
            Cargo::Letters(destination, letters) => {
                let posted = match letters {
                    Letters::InOrder(letters) => self.post(destination, letters).await,
                    Letters::Probing { second, first } => self.probe(destination, second, first).await,
                };
                return Sent { posted: Some(posted), ..Sent::nothing() };
            }
            Cargo::Mail(message) => message,
        };
        match self.mailer.send(message).await {
            Ok(_) => {
                let recipients = message.to.iter().map(|to| recipient_hash(to)).collect();
                Sent { recipients, mails: 1, ..Sent::nothing() }
            }
            Err(error) => {
                // Where others have their part of this digest, it is these recipients who are refused, not the digest.
                let has_parts = parcel.channel.flight.as_ref().is_some_and(|flight| !flight.done.is_empty());
                let is_message = matches!(error, MailError::Message { .. });
                let has_others = has_parts || message.to.len() > 1 && !is_message;
                let mut sent = Sent::nothing();
                if has_others && is_about_recipient(&error) {
                    sent = {
                        let attempts = parcel.channel.attempts;
                        let may_leave_out = has_parts && (is_message || attempts >= PATIENCE);
                        self.send_one_by_one(message, may_leave_out, attempts, deadline).await
                    };
                }
                if sent.recipients.is_empty() && sent.error.is_none() {
                    sent.error = Some((&error).into());
                }
                sent
            }
        }
    }

    /// Sends a mail to each recipient alone. Those who are refused need no other one, if anybody was accepted now, or if they
    /// may be left out; those who were not tried do. Each attempt begins with other recipients.
    async fn send_one_by_one(
        &self,
        message: &Message,
        may_leave_out: bool,
        attempts: u32,
        deadline: Timestamp,
    ) -> Sent {
        let mut sent = Sent::nothing();
        let first = usize::try_from(attempts).unwrap_or_default().saturating_mul(TRIED_ALONE) % message.to.len().max(1);
        let until = later(self.now(), ONE_BY_ONE);
        for to in message.to[first..].iter().chain(&message.to[..first]) {
            let is_hopeless = sent.mails == 0 && sent.recipients.len() == TRIED_ALONE;
            let now = self.now();
            if is_hopeless || now >= until || later(now, SEND + TABLE_CALL * 3) > deadline {
                break;
            }
            let alone = Message { to: vec![to.clone()], ..message.clone() };
            match self.mailer.send(&alone).await {
                Ok(_) => sent.mails += 1,
                Err(error) if is_about_recipient(&error) => {}
                Err(error) => {
                    sent.error = Some((&error).into());
                    break;
                }
            }
            sent.recipients.push(recipient_hash(to));
        }
        let refused = sent.recipients.len() - sent.mails;
        let is_accepted = sent.mails > 0 || may_leave_out;
        if is_accepted && refused > 0 {
            tracing::error!(accepted = sent.mails, refused, "recipients were left out: the mail service refuses them");
        }
        if !is_accepted {
            sent.recipients.clear();
        }
        sent
    }
}

/// Whether a refusal may be about the one recipient of a mail. The other codes are about the account, the sender or a
/// setting, which anybody's mail meets.
pub(in crate::notify) fn is_about_recipient(error: &MailError) -> bool {
    match error {
        MailError::Message { .. } => true,
        MailError::Destination { code, .. } => matches!(code.as_str(), "MessageRejected" | "BadRequestException"),
        MailError::Busy { .. } | MailError::Unavailable { .. } => false,
    }
}
