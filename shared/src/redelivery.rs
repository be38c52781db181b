//! Redelivery: stores what intake had to queue, under the keys that intake would have used.

mod together;

use crate::bug::{Bug, caught_while};
use crate::clock::Chance;
use crate::cue::{self, Cued};
use crate::intake_keys::{KeyDigest, KnownKeys, Verdict};
use crate::lead::{Day, Lead, Stored, StoredLead, Unreadable, store};
use crate::quarantine;
use crate::queued_body::{ForeignMessage, QueuedBody};
use crate::table::{Keys, Table, TableError};
use crate::telemetry::metric;
use futures::future::join_all;
use jiff::Timestamp;
use metrics::{counter, histogram};
use together::{Together, arranged};
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
#[derive(Debug, Clone, thiserror::Error)]
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
    /// Our own code fails on it.
    #[error(transparent)]
    Bug(#[from] Bug),
}

/// What became of a message that is done.
#[derive(Clone)]
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
        record(message_id, message, now, self.deliver_alone(message, now).await)
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
        let delivered = timeout_at(until, self.deliver_alone(message, now)).await;
        record(message_id, message, now, delivered.unwrap_or(Err(RedeliveryError::OutOfTime)))
    }

    /// Handles messages, each with its id, side by side until a time; says of each whether it is done. Leads of one day are
    /// stored together where that is the same as one by one. Of messages with the same lead one follows on the other: where
    /// they are a request and its retry on either side of midnight, each would otherwise look for the other one's row before
    /// it is written.
    pub async fn redeliver_all(&self, messages: &[(&str, &str)], now: Timestamp, until: Instant) -> Vec<bool> {
        let done = arranged(messages).into_iter().map(|together| self.redeliver_some(messages, together, now, until));
        let mut done = join_all(done).await.concat();
        done.sort_unstable();
        done.into_iter().map(|(_, is_done)| is_done).collect()
    }

    /// Stores the first message of each line together with the others' where that can be, and goes on with every line by
    /// itself. Says of the places of messages whether they are done.
    async fn redeliver_some(
        &self,
        messages: &[(&str, &str)],
        together: Together,
        now: Timestamp,
        until: Instant,
    ) -> Vec<(usize, bool)> {
        let delivered = self.store_together(&together, now, until).await;
        let lines = together.lines.into_iter().zip(delivered).map(|(places, mut delivered)| async move {
            let mut done = Vec::new();
            for place in places {
                let (id, message) = messages[place];
                let result = match delivered.take() {
                    Some(delivered) => record(id, message, now, delivered),
                    None => self.redeliver_until(id, message, now, until).await,
                };
                done.push((place, result.is_ok()));
            }
            done
        });
        join_all(lines).await.concat()
    }

    /// Delivers a message; a bug in doing so is the failure of this one alone.
    async fn deliver_alone(&self, message: &str, now: Timestamp) -> Result<Delivered, RedeliveryError> {
        caught_while(self.deliver(message, now)).await?
    }

    async fn deliver(&self, message: &str, now: Timestamp) -> Result<Delivered, RedeliveryError> {
        let (queued, lead) = read(message)?;
        if let Some(key) = &queued.key {
            self.let_in(key).await?;
        }
        let reason = match lead {
            Ok(lead) => {
                let received = queued.received;
                let announce = |keys: Keys| async move {
                    if !is_late(Day::of(received), now) {
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

    /// Lets a body in whose key intake could not tell: that is, if the key opens intake.
    async fn let_in(&self, key: &KeyDigest) -> Result<(), RedeliveryError> {
        match self.keys.verdict_of_digest(key).await {
            Verdict::Opens => Ok(()),
            Verdict::Refused => {
                counter!(metric::UNVERIFIED_REFUSED).increment(1);
                Err(RedeliveryError::KeyOpensNothing)
            }
            Verdict::Unknown => Err(RedeliveryError::NoKeys),
        }
    }
}

/// The body in a message, and the lead that it is.
fn read(message: &str) -> Result<(QueuedBody, Result<Lead, Unreadable>), ForeignMessage> {
    let queued = QueuedBody::from_json(message)?;
    let lead = Lead::from_body(&queued.body, queued.size);
    Ok((queued, lead))
}

/// Whether a row of this day needs a cue. The notifier reads the days around now: it would not see the row under the day
/// on which the lead came.
fn is_late(day: Day, now: Timestamp) -> bool {
    day != Day::of(now)
}

/// Counts and logs what became of a message, with one event for each.
fn record(
    message_id: &str,
    message: &str,
    now: Timestamp,
    delivered: Result<Delivered, RedeliveryError>,
) -> Result<(), RedeliveryError> {
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

/// Measures how long a body has waited that could not be delivered.
fn measure_age(message: &str, now: Timestamp) {
    if let Ok(QueuedBody { received, .. }) = QueuedBody::from_json(message) {
        histogram!(metric::WAITING_AGE).record(now.duration_since(received).as_secs_f64().max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bug::texts;
    use crate::secret::no_secret;
    use crate::table::memory::MemoryTable;
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test]
    async fn a_message_on_which_our_own_code_fails_stays_on_the_queue_alone() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let bodies = ["A", texts::READ, "B", texts::READ, "C"].map(|offer| format!(r#"{{"LeadSource":"{offer}"}}"#));
        let messages = bodies.map(|body| QueuedBody::new(now, body.into_bytes()).to_json());
        let messages = messages.each_ref().map(|message| ("m", message.as_str()));
        let (leads, keys) = (MemoryTable::new(), KnownKeys::new(no_secret("none is needed here")));
        let redelivery = Redelivery { leads, state: MemoryTable::new(), keys, chance: Arc::new(|| 0) };
        let until = Instant::now() + Duration::from_secs(60);
        let done = redelivery.redeliver_all(&messages, now, until).await;
        assert_eq!(done, [true, false, true, false, true]);
        assert_eq!(redelivery.leads.rows().len(), 3);
        assert!(redelivery.redeliver("m", messages[1].1, now).await.is_err());
    }
}
