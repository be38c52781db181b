//! What each kind of destination gets of a digest, and the request that brings it there.

use super::configuration::{Destination, Kind};
use super::{Post, blocks, card, event, signature};
use crate::mail::{Digest, RenderSettings};
use crate::secret::Secret;
use jiff::Timestamp;
use std::time::Duration;

/// The largest message to Teams in bytes. Teams takes about 28 KB, as UTF-16.
pub const MAX_CARD_BYTES: usize = 14_000;

/// The largest message to Slack in bytes.
pub const MAX_SLACK_BYTES: usize = 28_000;

/// The most blocks of a message to Slack.
pub const MAX_SLACK_BLOCKS: usize = 50;

/// A message, as it is sent at each attempt.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id, which stays the same for all attempts.
    pub id: String,
    /// Its JSON.
    pub body: String,
}

/// Shows how large it is, and nothing of a person.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Destination {
    /// Writes a digest as one message, without the texts of its leads where it is to be reduced. `None` where it does not
    /// fit into one message and holds more than one thing: each half is to be a message of its own.
    pub fn message(&self, digest: &Digest, settings: &RenderSettings, is_reduced: bool) -> Option<Outgoing> {
        let body = match self.kind {
            Kind::Webhook => return event::event(digest, is_reduced),
            Kind::Teams => card::card(digest, settings, is_reduced),
            Kind::Slack => blocks::blocks(digest, settings, is_reduced),
        };
        body.map(|body| Outgoing { id: digest.id.clone(), body })
    }

    /// The request that brings a message there, for an attempt now.
    pub fn post(&self, message: &Outgoing, now: Timestamp) -> Post {
        let content_type = ("content-type".to_owned(), Secret::new("application/json; charset=utf-8"));
        let mut headers = vec![content_type];
        if self.kind == Kind::Webhook {
            headers.extend(self.header.clone());
            headers.extend(signature::headers(&self.keys, &message.id, now, &message.body));
        }
        let pace = match self.kind {
            Kind::Webhook => Duration::ZERO,
            // Teams takes some four messages a second, and Slack one.
            Kind::Teams => Duration::from_millis(250),
            Kind::Slack => Duration::from_secs(1),
        };
        Post { url: self.url.clone(), headers, body: message.body.clone(), pace }
    }
}

/// How many things a digest holds.
pub(super) fn things(digest: &Digest) -> usize {
    digest.leads.len() + digest.unreadable.len() + digest.quarantined.len()
}
