//! What went out, as the oracle sees it: a mail, or a message to a destination that is no mailbox.

use crate::receivers::Received;
use crate::routing::{People, person, receiver_bit};
use marketplace_leads::mail::Message;

/// Something that was accepted.
pub struct Sent<'a> {
    /// To whom.
    pub to: People,
    /// Its text.
    pub text: &'a str,
    /// What is whole in it: files, or the message itself where it has none.
    pub files: Vec<&'a [u8]>,
    /// Whether somebody asked for it: it is apart from what is owed.
    pub is_backfill: bool,
    /// Whether it says that it may be a repeat.
    pub says_repeat: bool,
}

impl<'a> From<&'a Message> for Sent<'a> {
    fn from(mail: &'a Message) -> Self {
        let text = mail.text.as_str();
        Self {
            to: mail.to.iter().filter_map(|address| person(address)).fold(0, |people, person| people | 1 << person),
            text,
            files: mail.attachments.iter().map(|file| file.content.as_slice()).collect(),
            is_backfill: text.contains("Sent again on demand"),
            says_repeat: mail.subject.to_lowercase().contains("may be a repeat") || text.contains("may be a repeat"),
        }
    }
}

impl<'a> From<&'a Received> for Sent<'a> {
    fn from(received: &'a Received) -> Self {
        let text = received.body.as_str();
        let is = |field: &str| text.contains(&format!("\"{field}\":true"));
        Self {
            to: receiver_bit(received.receiver),
            text,
            files: vec![text.as_bytes()],
            is_backfill: is("sent_again") || text.contains("Sent again on demand"),
            says_repeat: is("maybe_repeated") || text.contains("may be a repeat"),
        }
    }
}

impl Sent<'_> {
    /// Whether it counts some of what is no lead instead of naming it.
    pub fn counts_some(&self) -> bool {
        self.text.contains("more is in the table") || self.text.contains("more are in the table")
    }
}
