//! What intake writes onto its queue, and redelivery reads from it: a body that could not be stored.

use crate::intake_keys::KeyDigest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A body that intake received and could not store.
#[derive(Clone, PartialEq, Eq)]
pub struct QueuedBody {
    /// When it was received, to the millisecond.
    pub received: Timestamp,
    /// The body as it came, or its first [`MAX_QUEUED_BYTES`].
    pub body: Vec<u8>,
    /// How many bytes came.
    pub size: usize,
    /// SHA-256 of all bytes that came, where the body is cut: what is missing may tell two bodies apart. `None` in messages
    /// of earlier versions, too.
    pub digest: Option<[u8; 32]>,
    /// The key that came with it, where nobody could tell yet whether it opens intake.
    pub key: Option<KeyDigest>,
}

/// The most bytes of a body in a message: what makes less than 256 KiB in Base64, the most that any queue takes.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub const MAX_QUEUED_BYTES: usize = 180 * 1024;

/// A message that intake did not write. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not one of intake's")]
pub struct ForeignMessage;

/// A message on the queue: `{"received":"2026-11-22T10:00:00.000Z","body":"<Base64>"}`, with `size` and
/// `digest` where the body is cut, and `key` where it was not known whether the key opens intake.
#[derive(Serialize, Deserialize)]
struct Message {
    received: String,
    body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyDigest>,
}

impl QueuedBody {
    /// A body that came with a valid key, cut where it is longer than [`MAX_QUEUED_BYTES`].
    pub fn new(received: Timestamp, mut body: Vec<u8>) -> Self {
        let size = body.len();
        let digest = (size > MAX_QUEUED_BYTES).then(|| Sha256::digest(&body).into());
        body.truncate(MAX_QUEUED_BYTES);
        Self { received, body, size, digest, key: None }
    }

    /// The message's text.
    pub fn to_json(&self) -> String {
        let message = Message {
            received: format!("{:.3}", self.received),
            body: BASE64_STANDARD.encode(&self.body),
            size: (self.size != self.body.len()).then_some(self.size),
            digest: self.digest.map(hex::encode),
            key: self.key.clone(),
        };
        // Texts and a number can always be written as JSON.
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// Reads a message's text.
    ///
    /// # Errors
    /// Where it is no such message.
    pub fn from_json(text: &str) -> Result<Self, ForeignMessage> {
        let message: Message = serde_json::from_str(text).map_err(|_| ForeignMessage)?;
        let received = message.received.parse().map_err(|_| ForeignMessage)?;
        let body = BASE64_STANDARD.decode(message.body).map_err(|_| ForeignMessage)?;
        let mut digest = None;
        if let Some(text) = message.digest {
            let bytes = digest.insert([0; 32]);
            hex::decode_to_slice(text, bytes).map_err(|_| ForeignMessage)?;
        }
        Ok(Self { received, size: message.size.unwrap_or(body.len()), body, digest, key: message.key })
    }
}

/// Shows nothing of the body.
impl fmt::Debug for QueuedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuedBody").field("received", &self.received).finish_non_exhaustive()
    }
}
