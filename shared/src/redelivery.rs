//! Redelivery: stores what intake had to queue, under the keys that intake would have used.

use crate::clock::Chance;
use crate::cue::{self, Cued};
use crate::intake_keys::{KnownKeys, Verdict};
use crate::lead::{Day, Lead, Stored, StoredLead, store};
use crate::quarantine;
use crate::queued_body::{ForeignMessage, QueuedBody};
use crate::table::{Keys, Table, TableError};
use crate::telemetry::metric;
use futures::future::join_all;
use jiff::Timestamp;
use metrics::{counter, histogram};
use tokio::time::{Instant, timeout_at};

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
    /// Intake could not read its keys and kept it, and its key opens nothing. It was acknowledged, so that it is not lost: it
    /// goes to the dead-letter queue at last, where a person sees it.
    #[error("its key opens nothing: if it is a sender's, add it to the intake keys")]
    KeyOpensNothing,
    /// It was not done when the time of the invocation was over.
    #[error("the time of the invocation was over")]
    OutOfTime,
}

/// What became of a message that is done.
enum Delivered {
    /// Its lead's row was written. The same request may have come at another time, too.
    Stored { id: String, is_same_request: bool },
    /// The sender has sent its lead before, and the table had the row already.
    Duplicate { id: String },
    /// Its body is in quarantine, for this reason.
    Quarantined { reason: String },
}

impl<T: Table> Redelivery<T> {
    /// Handles one message, with one event in the logs. The lead's row is the same that intake would have written, in
    /// the partition of the day on which intake received it; a body that is no lead, or whose row the table will never
    /// take, goes into quarantine. It may be stopped at any time: the same message again does what is left to do.
    ///
    /// # Errors
    /// Where the message must be tried again.
    pub async fn redeliver(&self, message_id: &str, message: &str, now: Timestamp) -> Result<(), RedeliveryError> {
        let delivered = match self.is_let_in(message).await {
            Ok(true) => self.deliver(message, now).await,
            Ok(false) => {
                counter!(metric::UNVERIFIED_REFUSED).increment(1);
                Err(RedeliveryError::KeyOpensNothing)
            }
            Err(error) => Err(error),
        };
        match delivered {
            Ok(Delivered::Stored { id, is_same_request }) => {
                counter!(metric::LEADS_REDELIVERED).increment(1);
                counter!(metric::LEADS_STORED).increment(1);
                tracing::info!(outcome = "stored", message_id, id, is_same_request, "redelivered");
                Ok(())
            }
            Ok(Delivered::Duplicate { id }) => {
                counter!(metric::LEADS_REDELIVERED).increment(1);
                counter!(metric::LEADS_DUPLICATE).increment(1);
                tracing::info!(outcome = "duplicate", message_id, id, "redelivered");
                Ok(())
            }
            Ok(Delivered::Quarantined { reason }) => {
                counter!(metric::LEADS_QUARANTINED).increment(1);
                tracing::warn!(outcome = "quarantined", message_id, reason, "redelivered");
                Ok(())
            }
            Err(error) => {
                measure_age(message, now);
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

    /// The same, but not beyond a time: what is not done by then stays on the queue.
    ///
    /// # Errors
    /// Where the message must be tried again.
    pub async fn redeliver_until(
        &self,
        message_id: &str,
        message: &str,
        now: Timestamp,
        until: Instant,
    ) -> Result<(), RedeliveryError> {
        timeout_at(until, self.redeliver(message_id, message, now)).await.unwrap_or_else(|_| {
            let error = RedeliveryError::OutOfTime;
            measure_age(message, now);
            tracing::error!(outcome = "failed", message_id, %error, "not redelivered");
            Err(error)
        })
    }

    /// Handles messages, each with its id, side by side until a time; says of each whether it is done. Of messages with the
    /// same body one follows on the other: where they are a request and its retry on either side of midnight, each would
    /// otherwise look for the other one's row before it is written.
    pub async fn redeliver_all(&self, messages: &[(&str, &str)], now: Timestamp, until: Instant) -> Vec<bool> {
        let mut groups: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
        for (place, (_, message)) in messages.iter().enumerate() {
            let body =
                QueuedBody::from_json(message).map_or_else(|_| message.as_bytes().to_vec(), |queued| queued.body);
            match groups.iter_mut().find(|(known, _)| *known == body) {
                Some((_, places)) => places.push(place),
                None => groups.push((body, vec![place])),
            }
        }
        let done = join_all(groups.into_iter().map(|(_, places)| async move {
            let mut done = Vec::new();
            for place in places {
                let (id, message) = messages[place];
                done.push((place, self.redeliver_until(id, message, now, until).await.is_ok()));
            }
            done
        }));
        let mut done = done.await.concat();
        done.sort_unstable();
        done.into_iter().map(|(_, is_done)| is_done).collect()
    }

    async fn deliver(&self, message: &str, now: Timestamp) -> Result<Delivered, RedeliveryError> {
        let queued = QueuedBody::from_json(message)?;
        let reason = match Lead::from_body(&queued.body, queued.size) {
            Ok(lead) => {
                let received = queued.received;
                // The notifier reads the days around now: it would not see a row under the day on which the lead came.
                let is_late = Day::of(received) != Day::of(now);
                let announce = |keys: Keys| async move {
                    if !is_late {
                        return Ok(());
                    }
                    cue::leave(&self.state, &Cued::Lead(keys), (self.chance)()).await
                };
                match store(&self.leads, StoredLead::received(lead, received), now, true, announce).await? {
                    Stored::New { row_key: id, is_same_request } => {
                        return Ok(Delivered::Stored { id, is_same_request });
                    }
                    Stored::Retry { row_key: id } => return Ok(Delivered::Duplicate { id }),
                    Stored::Refused { reason } => reason,
                }
            }
            Err(unreadable) => unreadable.message,
        };
        quarantine::keep_queued(&self.state, &queued, &reason, (self.chance)()).await?;
        Ok(Delivered::Quarantined { reason })
    }
}

/// Measures how long a body has waited that could not be delivered.
fn measure_age(message: &str, now: Timestamp) {
    if let Ok(QueuedBody { received, .. }) = QueuedBody::from_json(message) {
        histogram!(metric::WAITING_AGE).record(now.duration_since(received).as_secs_f64().max(0.0));
    }
}
