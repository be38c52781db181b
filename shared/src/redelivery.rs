//! Redelivery: stores what intake had to queue, under the keys that intake would have used.

use crate::clock::Chance;
use crate::cue::{self, Cued};
use crate::intake_keys::{KnownKeys, Verdict};
use crate::lead::{Day, Lead, Stored, StoredLead, store};
use crate::quarantine;
use crate::queued_body::{ForeignMessage, QueuedBody};
use crate::table::{Table, TableError};
use crate::telemetry::metric;
use jiff::Timestamp;
use metrics::{counter, histogram};

/// The use case.
#[derive(Clone)]
pub struct Redelivery<T> {
    /// The table with the leads.
    pub leads: T,
    /// The state table, where quarantine and cues are.
    pub state: T,
    /// The keys that open intake, for bodies that intake could not tell them for.
    pub keys: KnownKeys,
    /// Tells one attempt from another one.
    pub chance: Chance,
}

/// Why a message stays on the queue.
#[derive(Debug, thiserror::Error)]
pub enum RedeliveryError {
    /// Intake did not write it.
    #[error(transparent)]
    Foreign(#[from] ForeignMessage),
    /// The table does not take it.
    #[error(transparent)]
    Table(#[from] TableError),
    /// It waits until somebody can tell whether its key opens intake.
    #[error("the intake keys cannot be read")]
    NoKeys,
}

impl<T: Table> Redelivery<T> {
    /// Handles one message, with one event in the logs. The lead's row is the same that intake would have written, in
    /// the partition of the day on which intake received it; a body that is no lead goes into quarantine.
    ///
    /// # Errors
    /// Where the message must be tried again.
    pub async fn redeliver(&self, message_id: &str, message: &str, now: Timestamp) -> Result<(), RedeliveryError> {
        let delivered = match self.is_let_in(message).await {
            Ok(true) => self.deliver(message, now).await,
            Ok(false) => {
                counter!(metric::UNVERIFIED_DROPPED).increment(1);
                tracing::warn!(outcome = "dropped", message_id, "its key opens nothing");
                return Ok(());
            }
            Err(error) => Err(error),
        };
        match delivered {
            Ok((Some(stored), id)) => {
                counter!(metric::LEADS_REDELIVERED).increment(1);
                let outcome = match stored {
                    Stored::New => {
                        counter!(metric::LEADS_STORED).increment(1);
                        "stored"
                    }
                    Stored::Before => {
                        counter!(metric::LEADS_DUPLICATE).increment(1);
                        "duplicate"
                    }
                };
                tracing::info!(outcome, message_id, id, "redelivered");
                Ok(())
            }
            Ok((None, reason)) => {
                counter!(metric::LEADS_QUARANTINED).increment(1);
                tracing::warn!(outcome = "quarantined", message_id, reason, "redelivered");
                Ok(())
            }
            Err(error) => {
                if let Ok(QueuedBody { received, .. }) = QueuedBody::from_json(message) {
                    histogram!(metric::WAITING_AGE).record(now.duration_since(received).as_secs_f64().max(0.0));
                }
                tracing::error!(outcome = "failed", message_id, %error, "not redelivered");
                Err(error)
            }
        }
    }

    /// Whether a body may be stored: intake let it in, or the key that it came with opens intake.
    async fn is_let_in(&self, message: &str) -> Result<bool, RedeliveryError> {
        let Some(key) = QueuedBody::from_json(message)?.key else { return Ok(true) };
        match self.keys.verdict_of_digest(&key).await {
            Verdict::Opens => Ok(true),
            Verdict::Refused => Ok(false),
            Verdict::Unknown => Err(RedeliveryError::NoKeys),
        }
    }

    /// What was done with the lead, and its id; for a body that is no lead, `None` and what is wrong with it.
    async fn deliver(&self, message: &str, now: Timestamp) -> Result<(Option<Stored>, String), RedeliveryError> {
        let QueuedBody { received, body, size, .. } = QueuedBody::from_json(message)?;
        match Lead::from_body(&body, size) {
            Ok(lead) => {
                let lead = StoredLead::received(lead, received);
                // The notifier reads the days around now: it would not see the row under the day on which the lead came.
                if Day::of(received) != Day::of(now) {
                    cue::leave(&self.state, &Cued::Lead(lead.keys.clone()), (self.chance)()).await?;
                }
                let stored = store(&self.leads, &lead, now).await?;
                Ok((Some(stored), lead.keys.row))
            }
            Err(unreadable) => {
                let random = (self.chance)();
                quarantine::keep_part(&self.state, &body, size, &unreadable, received, random).await?;
                Ok((None, unreadable.message))
            }
        }
    }
}
