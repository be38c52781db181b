//! Intake: every lead that is POSTed is stored, or put into the queue or the quarantine, and the sender gets the right
//! answer in time.

mod budget;
mod http;

pub use budget::{start_limit, table_limits};

use crate::aws::{BodyQueue, Queue, QueueError};
use crate::bug::{Bug, caught_while};
use crate::clock::Chance;
use crate::function_url::{Answer, Request};
use crate::intake_keys::{IntakeKeys, KeyDigest, KnownKeys, Verdict};
use crate::lead::{Lead, Stored, StoredLead, Unreadable, UnreadableKind, store};
use crate::quarantine;
use crate::queued_body::QueuedBody;
use crate::table::{Table, TableError};
use crate::telemetry::metric;
use budget::Budget;
use jiff::Timestamp;
use metrics::counter;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The use case.
#[derive(Clone)]
pub struct Intake<T, Q = Queue> {
    /// The keys of the senders that are let in.
    pub keys: KnownKeys,
    /// The table with the leads.
    pub leads: T,
    /// The state table, where the quarantine is.
    pub state: T,
    /// Takes what the tables do not.
    pub queue: Q,
    /// Tells one attempt from another one.
    pub chance: Chance,
    /// Within which time the answer is given, whatever tables and queue do.
    pub budget: Duration,
}

/// What became of a request.
#[derive(Debug)]
enum Outcome {
    /// Its row was written. The same request may have come at another time, too.
    Stored { id: String, is_same_request: bool },
    /// The sender has sent it before, and the table has its row.
    Duplicate { id: String },
    /// The table did not take it, the queue did.
    Queued { id: String, table: Failure },
    /// It cannot be stored as a lead; the state table, or else the queue, has it.
    Quarantined { why: Quarantining, table: Option<Failure> },
    /// Nobody could tell whether its key opens. The queue has it, for redelivery to find out.
    Unverified,
    /// Neither table nor queue took it.
    Lost { table: Failure, queue: QueueError },
    /// It came without a key that opens, be it one in the form of a key or none.
    Unauthorized { wrong_key: bool },
    /// It came to another path than that for leads, with a valid key or without.
    NotFound { with_key: bool },
    /// It came with another method than that for leads, with a valid key or without.
    MethodNotAllowed { with_key: bool },
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
    #[error("the intake keys cannot be read")]
    NoKeys,
    #[error(transparent)]
    Bug(#[from] Bug),
}

impl<T: Table, Q: BodyQueue> Intake<T, Q> {
    /// Handles a request that came at `now`, with one event in the logs. `request_id` is what a person can ask about.
    pub async fn answer(&self, request: &Request<'_>, request_id: &str, now: Timestamp) -> Answer {
        self.answer_since(Instant::now(), request, request_id, now).await
    }

    /// The same for a request that has been waiting since `started`, out of whose budget that time is taken.
    pub async fn answer_since(
        &self,
        started: Instant,
        request: &Request<'_>,
        request_id: &str,
        now: Timestamp,
    ) -> Answer {
        let outcome = self.handle(request, started, now).await;
        let answer = http::answer(&outcome, request_id);
        let latency = started.elapsed();
        metrics::histogram!(metric::INTAKE_LATENCY).record(latency.as_secs_f64() * 1e3);
        outcome.record(answer.status, latency);
        answer
    }

    /// The body is not looked into without a valid key. A request to another path, or with another method, is not counted
    /// as an attempt to guess a key; with a valid key it is counted, because an offer may have a wrong URL.
    async fn handle(&self, request: &Request<'_>, started: Instant, now: Timestamp) -> Outcome {
        let budget = Budget { started, whole: self.budget };
        let key = request.key();
        let verdict = timeout_at(budget.keys_until(), self.keys.verdict(&key)).await.unwrap_or(Verdict::Unknown);
        let with_key = verdict == Verdict::Opens;
        if request.path != http::PATH {
            return Outcome::NotFound { with_key };
        }
        if request.method != http::METHOD {
            return Outcome::MethodNotAllowed { with_key };
        }
        match verdict {
            Verdict::Opens => {}
            Verdict::Refused => return Outcome::Unauthorized { wrong_key: IntakeKeys::has_form(&key) },
            Verdict::Unknown => return self.queue_unverified(request, &key, budget, now).await,
        }
        let body = request.body.bytes();
        match caught_while(self.keep(&body, budget, now)).await {
            Ok(outcome) => outcome,
            // Redelivery tries it by itself, and it is in the dead-letter queue at last.
            Err(bug) => match self.enqueue(&QueuedBody::new(now, body.into_owned()), budget).await {
                Ok(()) => Outcome::Queued { id: String::new(), table: Failure::Bug(bug) },
                Err(queue) => Outcome::Lost { table: Failure::Bug(bug), queue },
            },
        }
    }

    /// Stores a body as a lead, or else puts it where it is kept.
    async fn keep(&self, body: &[u8], budget: Budget, now: Timestamp) -> Outcome {
        let why = match Lead::from_body(body, body.len()) {
            Ok(lead) => {
                let lead = StoredLead::received(lead, now);
                let id = lead.keys.row.clone();
                match in_time(budget.table_until(), store(&self.leads, lead, now, false, |_| async { Ok(()) })).await {
                    Ok(Stored::New { row_key: id, is_same_request }) => return Outcome::Stored { id, is_same_request },
                    Ok(Stored::Retry { row_key: id }) => return Outcome::Duplicate { id },
                    Ok(Stored::Refused { reason }) => Quarantining::Refused { id, reason },
                    Err(table) => {
                        return match self.enqueue(&QueuedBody::new(now, body.to_vec()), budget).await {
                            Ok(()) => Outcome::Queued { id, table },
                            Err(queue) => Outcome::Lost { table, queue },
                        };
                    }
                }
            }
            Err(unreadable) => Quarantining::Unreadable(unreadable),
        };
        let kept = quarantine::keep(&self.state, body, why.reason(), now, (self.chance)());
        match in_time(budget.table_until(), kept).await {
            Ok(()) => Outcome::Quarantined { why, table: None },
            Err(table) => match self.enqueue(&QueuedBody::new(now, body.to_vec()), budget).await {
                Ok(()) => Outcome::Quarantined { why, table: Some(table) },
                Err(queue) => Outcome::Lost { table, queue },
            },
        }
    }

    /// Puts a body onto the queue together with a digest of the key that was brought, which is not known to open.
    async fn queue_unverified(&self, request: &Request<'_>, key: &str, budget: Budget, now: Timestamp) -> Outcome {
        let queued = if self.keys.take_unverified() {
            let digest = KeyDigest::new(key, [(self.chance)(), (self.chance)()]);
            let body = QueuedBody::new(now, request.body.bytes().into_owned());
            self.enqueue(&QueuedBody { key: Some(digest), ..body }, budget).await
        } else {
            Err(QueueError("not asked: too many bodies came while the keys could not be read".to_owned()))
        };
        match queued {
            Ok(()) => Outcome::Unverified,
            Err(queue) => Outcome::Lost { table: Failure::NoKeys, queue },
        }
    }

    /// Puts a body onto the queue, in the queue's share of the budget.
    async fn enqueue(&self, message: &QueuedBody, budget: Budget) -> Result<(), QueueError> {
        let sent = timeout_at(budget.queue_until(), self.queue.send(message)).await;
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
                let outcome = match why {
                    Quarantining::Unreadable(Unreadable { kind: UnreadableKind::TooLong, .. }) => "too large",
                    _ => "quarantined",
                };
                let reason = why.reason();
                tracing::warn!(outcome, status, latency_ms, reason, "answered");
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
            Self::Unverified => {
                counter!(metric::LEADS_QUEUED).increment(1);
                tracing::warn!(outcome = "unverified, queued", status, latency_ms, table_error = %Failure::NoKeys, "answered");
            }
            Self::Lost { table, queue } => {
                counter!(metric::LEADS_LOST).increment(1);
                counter!(metric::INTAKE_SERVER_ERRORS).increment(1);
                tracing::error!(
                    outcome = "lost", status, latency_ms, table_error = %table, queue_error = %queue, "answered"
                );
            }
            Self::Unauthorized { wrong_key } => {
                counter!(metric::INTAKE_UNAUTHORIZED).increment(1);
                if *wrong_key {
                    counter!(metric::INTAKE_WRONG_KEY).increment(1);
                }
                tracing::info!(outcome = "unauthorized", status, latency_ms, wrong_key, "answered");
            }
            Self::NotFound { with_key: true } | Self::MethodNotAllowed { with_key: true } => {
                counter!(metric::INTAKE_MISDIRECTED).increment(1);
                tracing::warn!(outcome = "misdirected", status, latency_ms, "answered");
            }
            Self::NotFound { with_key: false } => tracing::info!(outcome = "not found", status, latency_ms, "answered"),
            Self::MethodNotAllowed { with_key: false } => {
                tracing::info!(outcome = "method not allowed", status, latency_ms, "answered");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bug::texts;
    use crate::function_url::Body;
    use crate::secret::Secret;
    use crate::table::memory::MemoryTable;
    use std::sync::{Arc, Mutex};

    /// A queue in memory, which works or not.
    #[derive(Clone)]
    struct MemoryQueue(bool, Arc<Mutex<Vec<QueuedBody>>>);

    impl BodyQueue for MemoryQueue {
        async fn send(&self, body: &QueuedBody) -> Result<(), QueueError> {
            self.1.lock().unwrap().push(body.clone());
            if self.0 { Ok(()) } else { Err(QueueError("down".to_owned())) }
        }
    }

    #[tokio::test]
    async fn a_body_on_which_our_own_code_fails_is_kept_on_the_queue() {
        for (works, status) in [(true, 202), (false, 503)] {
            let queue = MemoryQueue(works, Arc::default());
            let intake = Intake {
                keys: KnownKeys::fixed(&Secret::new("first-key.0123456789".to_owned())),
                leads: MemoryTable::new(),
                state: MemoryTable::new(),
                queue: queue.clone(),
                chance: Arc::new(|| 0),
                budget: Duration::from_secs(5),
            };
            let body = format!(r#"{{"LeadSource":"A","Description":"{}"}}"#, texts::READ);
            let (path, query) = ("/leads", "code=first-key.0123456789");
            let request = Request { method: "POST", path, query, body: Body::Text(&body) };
            let answer = intake.answer(&request, "r", Timestamp::UNIX_EPOCH).await;
            assert_eq!(answer.status, status, "{}", answer.body);
            assert_eq!(queue.1.lock().unwrap()[0].body, body.as_bytes());
            let next = Request { body: Body::Text(r#"{"LeadSource":"B"}"#), ..request };
            assert_eq!(intake.answer(&next, "r", Timestamp::UNIX_EPOCH).await.status, 201, "the next one is stored");
        }
    }
}
