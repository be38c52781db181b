//! What intake writes onto its queue, and redelivery reads from it: a body that could not be stored.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A body that intake received and could not store.
#[derive(Clone, PartialEq, Eq)]
pub struct QueuedBody {
    /// When it was received, to the millisecond.
    pub received: Timestamp,
    /// The body as it came.
    pub body: Vec<u8>,
}

/// A message that intake did not write. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not one of intake's")]
pub struct ForeignMessage;

/// A message on the queue: `{"received":"2026-11-22T10:00:00.000Z","body":"<Base64>"}`
#[derive(Serialize, Deserialize)]
struct Message {
    received: String,
    body: String,
}

impl QueuedBody {
    /// The message's text.
    pub fn to_json(&self) -> String {
        let message = Message { received: format!("{:.3}", self.received), body: BASE64_STANDARD.encode(&self.body) };
        // Two texts can always be written as JSON.
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// Reads a message's text.
    ///
    /// # Errors
    /// Where it is no such message.
    pub fn from_json(text: &str) -> Result<Self, ForeignMessage> {
        let message: Message = serde_json::from_str(text).map_err(|_| ForeignMessage)?;
        Ok(Self {
            received: message.received.parse().map_err(|_| ForeignMessage)?,
            body: BASE64_STANDARD.decode(message.body).map_err(|_| ForeignMessage)?,
        })
    }
}

/// Shows nothing of the body.
impl fmt::Debug for QueuedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuedBody").field("received", &self.received).finish_non_exhaustive()
    }
}
