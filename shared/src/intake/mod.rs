//! Intake: every lead that is POSTed is stored, or put into the queue or the quarantine, and the sender gets the right
//! answer in time.

mod http;

use crate::aws::{Queue, QueueError};
use crate::clock::Chance;
use crate::function_url::{Answer, Request};
use crate::intake_keys::IntakeKeys;
use crate::lead::{Lead, MAX_BODY_BYTES, Stored, StoredLead, Unreadable, store};
use crate::quarantine;
use crate::queued_body::QueuedBody;
use crate::table::{Table, TableError};
use crate::telemetry::metric;
use jiff::Timestamp;
use metrics::counter;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The share of the budget after which the table is given up.
const TABLE_SHARE: f64 = 0.6;

/// The share of the budget after which the queue is given up, too. The rest is for sending the answer.
const QUEUE_SHARE: f64 = 0.95;

/// The use case.
#[derive(Clone)]
pub struct Intake<T> {
    /// The keys of the senders that are let in.
    pub keys: IntakeKeys,
    /// The table with the leads.
    pub leads: T,
    /// The state table, where the quarantine is.
    pub state: T,
    /// Takes what the tables do not.
    pub queue: Queue,
    /// Tells one attempt from another one.
    pub chance: Chance,
    /// Within which time the answer is given, whatever tables and queue do.
    pub budget: Duration,
}

/// What became of a request.
#[derive(Debug)]
enum Outcome {
    /// Its row was written. The same request may have come at another time, too.
    Stored {
        id: String,
        is_same_request: bool,
    },
    /// The sender has sent it before, and the table has its row.
    Duplicate {
        id: String,
    },
    /// The table did not take it, the queue did.
    Queued {
        id: String,
        table: Failure,
    },
    /// It cannot be stored as a lead; the state table, or else the queue, has it.
    Quarantined {
        why: Quarantining,
        table: Option<Failure>,
    },
    /// Neither table nor queue took it.
    Lost {
        table: Failure,
        queue: QueueError,
    },
    Unauthorized,
    TooLarge,
    NotFound,
    MethodNotAllowed,
}

/// Why a body goes into quarantine.
#[derive(Debug)]
enum Quarantining {
    /// It is no lead.
    Unreadable(Unreadable),
    /// It is a lead whose row the table will never take, for this reason.
    Refused { id: String, reason: String },
}

impl Quarantining {
    fn reason(&self) -> &str {
        match self {
            Self::Unreadable(unreadable) => &unreadable.message,
            Self::Refused { reason, .. } => reason,
        }
    }
}

/// Why a table did not take something in time.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("the table service took longer than its share of the budget")]
    Slow,
}

impl<T: Table> Intake<T> {
    /// Handles a request that came at `now`, with one event in the logs. `request_id` is what a person can ask about.
    pub async fn answer(&self, request: &Request<'_>, request_id: &str, now: Timestamp) -> Answer {
        let started = Instant::now();
        let outcome = self.handle(request, started, now).await;
        let answer = http::answer(&outcome, request_id);
        let latency = started.elapsed();
        metrics::histogram!(metric::INTAKE_LATENCY).record(latency.as_secs_f64() * 1e3);
        outcome.record(answer.status, latency);
        answer
    }

    /// Checks path and method before the key: they are no secret, and a request for another page is not counted as an
    /// attempt to guess a key. The body is not read without a valid key.
    async fn handle(&self, request: &Request<'_>, started: Instant, now: Timestamp) -> Outcome {
        if request.path != http::PATH {
            return Outcome::NotFound;
        }
        if request.method != http::METHOD {
            return Outcome::MethodNotAllowed;
        }
        if !self.keys.open_for(&request.key()) {
            return Outcome::Unauthorized;
        }
        let body = request.body.bytes();
        if body.len() > MAX_BODY_BYTES {
            return Outcome::TooLarge;
        }
        let table_until = started + self.budget.mul_f64(TABLE_SHARE);
        let queue_until = started + self.budget.mul_f64(QUEUE_SHARE);
        let why = match Lead::from_json(&body) {
            Ok(lead) => {
                let lead = StoredLead::received(lead, now);
                let id = lead.keys.row.clone();
                match in_time(table_until, store(&self.leads, lead, now, |_| async { Ok(()) })).await {
                    Ok(Stored::New { row_key: id, is_same_request }) => return Outcome::Stored { id, is_same_request },
                    Ok(Stored::Retry { row_key: id }) => return Outcome::Duplicate { id },
                    Ok(Stored::Refused { reason }) => Quarantining::Refused { id, reason },
                    Err(table) => {
                        return match self.enqueue(body, now, queue_until).await {
                            Ok(()) => Outcome::Queued { id, table },
                            Err(queue) => Outcome::Lost { table, queue },
                        };
                    }
                }
            }
            Err(unreadable) => Quarantining::Unreadable(unreadable),
        };
        let kept = quarantine::keep(&self.state, &body, why.reason(), now, (self.chance)());
        match in_time(table_until, kept).await {
            Ok(()) => Outcome::Quarantined { why, table: None },
            Err(table) => match self.enqueue(body, now, queue_until).await {
                Ok(()) => Outcome::Quarantined { why, table: Some(table) },
                Err(queue) => Outcome::Lost { table, queue },
            },
        }
    }

    /// Puts a body onto the queue until this time.
    async fn enqueue(&self, body: Cow<'_, [u8]>, received: Timestamp, until: Instant) -> Result<(), QueueError> {
        let message = QueuedBody { received, body: body.into_owned() };
        let sent = timeout_at(until, self.queue.send(&message)).await;
        sent.unwrap_or_else(|_| Err(QueueError("timed out".to_owned())))
    }
}

/// Gives a table until this time.
async fn in_time<R>(until: Instant, work: impl Future<Output = Result<R, TableError>>) -> Result<R, Failure> {
    match timeout_at(until, work).await {
        Ok(done) => done.map_err(Failure::Table),
        Err(_) => Err(Failure::Slow),
    }
}

impl Outcome {
    /// Counts the outcome, and writes it to the logs.
    fn record(&self, status: u16, latency: Duration) {
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Stored { id, is_same_request } => {
                counter!(metric::LEADS_STORED).increment(1);
                tracing::info!(outcome = "stored", status, id, is_same_request, latency_ms, "answered");
            }
            Self::Duplicate { id } => {
                counter!(metric::LEADS_DUPLICATE).increment(1);
                tracing::info!(outcome = "duplicate", status, id, latency_ms, "answered");
            }
            Self::Queued { id, table } => {
                counter!(metric::LEADS_QUEUED).increment(1);
                tracing::warn!(outcome = "queued", status, id, latency_ms, table_error = %table, "answered");
            }
            Self::Quarantined { why, table: None } => {
                counter!(metric::LEADS_QUARANTINED).increment(1);
                let reason = why.reason();
                tracing::warn!(outcome = "quarantined", status, latency_ms, reason, "answered");
            }
            Self::Quarantined { why, table: Some(table) } => {
                counter!(metric::LEADS_QUEUED).increment(1);
                let outcome = match why {
                    Quarantining::Unreadable(_) => "unreadable, queued",
                    Quarantining::Refused { .. } => "refused, queued",
                };
                let reason = why.reason();
                tracing::warn!(outcome, status, latency_ms, reason, table_error = %table, "answered");
            }
            Self::Lost { table, queue } => {
                counter!(metric::LEADS_LOST).increment(1);
                counter!(metric::INTAKE_SERVER_ERRORS).increment(1);
                tracing::error!(
                    outcome = "lost", status, latency_ms, table_error = %table, queue_error = %queue, "answered"
                );
            }
            Self::Unauthorized => {
                counter!(metric::INTAKE_UNAUTHORIZED).increment(1);
                tracing::info!(outcome = "unauthorized", status, latency_ms, "answered");
            }
            Self::TooLarge => tracing::warn!(outcome = "too large", status, latency_ms, "answered"),
            Self::NotFound => tracing::info!(outcome = "not found", status, latency_ms, "answered"),
            Self::MethodNotAllowed => tracing::info!(outcome = "method not allowed", status, latency_ms, "answered"),
        }
    }
}
