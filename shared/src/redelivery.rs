//! Redelivery: stores what intake had to queue, under the keys that intake would have used.

use crate::clock::Chance;
use crate::cue::{self, Cued};
use crate::lead::{Day, Lead, Stored, StoredLead, store};
use crate::quarantine;
use crate::queued_body::{ForeignMessage, QueuedBody};
use crate::table::{Table, TableError};
use crate::telemetry::metric;
use jiff::Timestamp;
use metrics::counter;

/// The use case.
#[derive(Clone)]
pub struct Redelivery<T> {
    /// The table with the leads.
    pub leads: T,
    /// The state table, where quarantine and cues are.
    pub state: T,
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
}

impl<T: Table> Redelivery<T> {
    /// Handles one message, with one event in the logs. The lead's row is the same that intake would have written, in
    /// the partition of the day on which intake received it; a body that is no lead goes into quarantine.
    ///
    /// # Errors
    /// Where the message must be tried again.
    pub async fn redeliver(&self, message_id: &str, message: &str, now: Timestamp) -> Result<(), RedeliveryError> {
        match self.deliver(message, now).await {
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
                tracing::error!(outcome = "failed", message_id, %error, "not redelivered");
                Err(error)
            }
        }
    }

    /// What was done with the lead, and its id; for a body that is no lead, `None` and what is wrong with it.
    async fn deliver(&self, message: &str, now: Timestamp) -> Result<(Option<Stored>, String), RedeliveryError> {
        let QueuedBody { received, body } = QueuedBody::from_json(message)?;
        match Lead::from_json(&body) {
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
                quarantine::keep(&self.state, &body, &unreadable, received, (self.chance)()).await?;
                Ok((None, unreadable.message))
            }
        }
    }
}
