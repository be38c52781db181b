//! Destinations beside mail: webhooks, Microsoft Teams and Slack. What is sent to them is made from the same [`Digest`] that
//! mails are written from.
//!
//! - A [`Destination`] is what a secret parameter says: its kind, its address, its secrets ([`Destination::parse`]).
//! - [`Destination::message`] writes what it gets of a digest, without input or output.
//! - A [`Poster`] sends it: [`HttpPoster`] over HTTPS to public addresses only, [`memory::MemoryPoster`] in tests.
//! - [`Destinations`] finds destinations by name, reads them again now and then, and sends.

mod answer;
mod blocks;
mod card;
mod configuration;
mod directory;
mod event;
mod http;
pub mod memory;
mod message;
mod reach;
mod signature;

pub use answer::{PostError, REFUSED_STATUSES, meaning};
pub use configuration::{Destination, Kind, Malformed};
pub use directory::{Destinations, Found, READ_AGAIN, Source, SsmParameters};
pub use event::MAX_EVENT_BYTES;
pub use http::{HttpPoster, MAX_POST};
pub use message::{MAX_CARD_BYTES, MAX_SLACK_BLOCKS, MAX_SLACK_BYTES, Outgoing};
pub use reach::Reach;
pub use signature::SigningKey;

#[cfg(doc)]
use crate::mail::Digest;

use futures::future::BoxFuture;

/// One request, ready to be sent. It holds secrets and people, and is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Post {
    /// Where it goes.
    pub url: crate::secret::Secret,
    /// Its headers beside the length: name and value.
    pub headers: Vec<(String, crate::secret::Secret)>,
    /// Its body.
    pub body: String,
    /// How long after the request before it this one may go to the same address.
    pub pace: std::time::Duration,
}

/// Shows how large it is, and nothing else.
impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Sends requests to destinations.
pub trait Poster: Send + Sync {
    /// Sends one request, and gives up after `limit`, which is at most [`MAX_POST`]. It was accepted where the answer is 2xx.
    fn post<'a>(&'a self, post: &'a Post, limit: std::time::Duration) -> BoxFuture<'a, Result<(), PostError>>;
}
