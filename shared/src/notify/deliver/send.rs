//! Sending one mail.

use super::pack::{Parcel, recipient_hash};
use crate::mail::{MailError, Mailer, Message};
use crate::notify::Notifier;
use crate::notify::run::{SEND, TABLE_CALL};
use crate::notify::times::later;
use crate::table::Table;
use jiff::Timestamp;

/// The most recipients that are tried one by one without success, where a mail to all of them was refused.
const TRIED_ALONE: usize = 10;

/// What became of a mail.
pub(super) struct Sent {
    /// Hashes of the recipients that need no other mail.
    pub(super) recipients: Vec<String>,
    /// Mails that the service accepted.
    pub(super) mails: usize,
    /// Why it was not accepted.
    pub(super) error: Option<MailError>,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends a mail. Where the service refuses one of several recipients, each gets a mail of his own, so that one bad
    /// address keeps nothing from the others.
    pub(super) async fn send(&self, parcel: &Parcel, deadline: Timestamp) -> Sent {
        let Some(message) = &parcel.message else {
            return Sent { recipients: Vec::new(), mails: 0, error: None };
        };
        match self.mailer.send(message).await {
            Ok(_) => {
                Sent { recipients: message.to.iter().map(|to| recipient_hash(to)).collect(), mails: 1, error: None }
            }
            Err(error @ MailError::Destination { .. }) if message.to.len() > 1 => {
                let sent = self.send_one_by_one(message, deadline).await;
                if sent.mails == 0 && sent.error.is_none() {
                    Sent { recipients: Vec::new(), mails: 0, error: Some(error) }
                } else {
                    sent
                }
            }
            Err(error) => Sent { recipients: Vec::new(), mails: 0, error: Some(error) },
        }
    }

    /// Sends a mail to each recipient alone. Those who are refused need no other one, if anybody was accepted; those who
    /// were not tried do.
    async fn send_one_by_one(&self, message: &Message, deadline: Timestamp) -> Sent {
        let mut sent = Sent { recipients: Vec::new(), mails: 0, error: None };
        for to in &message.to {
            let is_hopeless = sent.mails == 0 && sent.recipients.len() == TRIED_ALONE;
            if is_hopeless || later(self.now(), SEND + TABLE_CALL * 3) > deadline {
                break;
            }
            let alone = Message { to: vec![to.clone()], ..message.clone() };
            match self.mailer.send(&alone).await {
                Ok(_) => sent.mails += 1,
                Err(MailError::Destination { .. } | MailError::Message { .. }) => {}
                Err(error) => {
                    sent.error = Some(error);
                    break;
                }
            }
            sent.recipients.push(recipient_hash(to));
        }
        let refused = sent.recipients.len() - sent.mails;
        if sent.mails > 0 && refused > 0 {
            tracing::error!(accepted = sent.mails, refused, "recipients were left out: the mail service refuses them");
        }
        if sent.mails == 0 {
            sent.recipients.clear();
        }
        sent
    }
}
