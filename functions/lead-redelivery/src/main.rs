//! `lead-redelivery`: on the SQS queue, stores the leads that intake could not.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use marketplace_leads::aws;
use marketplace_leads::clock::chance;
use marketplace_leads::function::Function;
use marketplace_leads::intake_keys::KnownKeys;
use marketplace_leads::redelivery::Redelivery;
use marketplace_leads::settings::{RedeliverySettings, environment};
use marketplace_leads::table::Table;
use marketplace_leads::table::azure::{Account, Limits};
use marketplace_leads::telemetry::{Telemetry, exit_code};
use std::convert::Infallible;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How much of an invocation's time is left for the answer that names the messages that failed.
const FOR_THE_ANSWER: Duration = Duration::from_secs(2);

/// How long each invocation works at least. Where Lambda ends it earlier, its messages go back to the queue.
const LEAST_WORK: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let telemetry = Telemetry::start(Function::Redelivery)?;
    let settings = RedeliverySettings::from_pairs(environment())?;
    let config = aws::sdk_config();
    let [storage] = aws::secrets(&config, [&settings.storage.connection_string]).await?;
    // The queue delivers again what fails here.
    let limits = Limits { request: Duration::from_secs(4), retries: 1, ..Limits::default() };
    let account = Account::new(aws::reader(&config, &settings.storage.connection_string), limits);
    account.hold(storage)?;
    let redelivery = Redelivery {
        leads: account.table(&settings.storage.table),
        state: account.table(&settings.storage.state_table),
        // They are read when a body comes that needs them.
        keys: KnownKeys::new(aws::reader(&config, &settings.keys)),
        chance: chance(),
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| {
        let (telemetry, redelivery) = (&telemetry, &redelivery);
        async move {
            let until = Instant::now() + time_for_work(event.context.deadline(), SystemTime::now());
            let work = handle(redelivery, event.payload, until);
            Ok::<_, Infallible>(telemetry.invocation(&event.context.request_id, work).await)
        }
    }))
    .await
}

/// How long an invocation may work that Lambda ends at the deadline. Lambda's clock said when, and ours may be ahead of it: an
/// invocation that began just now always works for a while.
fn time_for_work(deadline: SystemTime, now: SystemTime) -> Duration {
    let left = deadline.duration_since(now).unwrap_or_default();
    left.saturating_sub(FOR_THE_ANSWER).max(LEAST_WORK)
}

/// Redelivers the messages side by side, until the time is over; says which of them SQS must deliver again. A message that
/// is stopped in the middle can be delivered again like any other.
async fn handle<T: Table>(redelivery: &Redelivery<T>, event: SqsEvent, until: Instant) -> SqsBatchResponse {
    let now = jiff::Timestamp::now();
    let messages: Vec<_> = event
        .records
        .iter()
        .map(|message| (message.message_id.as_deref().unwrap_or_default(), message.body.as_deref().unwrap_or_default()))
        .collect();
    let done = redelivery.redeliver_all(&messages, now, until).await;
    let failed = messages.into_iter().zip(done).filter(|(_, is_done)| !is_done).map(|((id, _), _)| id);
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id.to_owned();
            failure
        })
        .collect();
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use marketplace_leads::queued_body::QueuedBody;
    use marketplace_leads::secret::no_secret;
    use marketplace_leads::table::memory::MemoryTable;
    use marketplace_leads::table::{Continuation, ETag, Entity, Keys, Operation, Page, Query, TableError};

    fn event(bodies: &[&str]) -> SqsEvent {
        let records: Vec<_> = (1..)
            .zip(bodies)
            .map(|(number, body)| {
                serde_json::json!({"messageId": format!("m{number}"), "receiptHandle": "r", "body": body,
                    "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
                    "eventSource": "aws:sqs", "awsRegion": "eu-west-1"})
            })
            .collect();
        serde_json::from_value(serde_json::json!({ "Records": records })).unwrap()
    }

    fn queued(body: &str) -> String {
        let received = "2026-11-22T10:00:00.123Z".parse().unwrap();
        QueuedBody::new(received, body.as_bytes().to_vec()).to_json()
    }

    fn redelivery(leads: MemoryTable) -> Redelivery<MemoryTable> {
        let keys = KnownKeys::new(no_secret("none is needed here"));
        Redelivery { leads, state: MemoryTable::new(), keys, chance: chance() }
    }

    /// A table that answers every request but those for leads of this source: nothing comes of these within ten seconds.
    #[derive(Clone)]
    struct SlowFor(&'static str, MemoryTable);

    impl SlowFor {
        async fn wait_for(&self, entity: &Entity) -> Result<(), TableError> {
            tokio::task::yield_now().await;
            if entity.string("LeadSource") == Some(self.0) {
                tokio::time::sleep(Duration::from_secs(10)).await;
                return Err(TableError::Unavailable { reason: "no answer in time".to_owned() });
            }
            Ok(())
        }
    }

    impl Table for SlowFor {
        async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
            self.wait_for(entity).await?;
            self.1.insert(entity).await
        }

        async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
            self.1.get(keys).await
        }

        async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
            self.1.page(query, from).await
        }

        async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
            for operation in operations {
                if let Operation::Insert(entity) = operation {
                    self.wait_for(entity).await?;
                }
            }
            self.1.submit(partition_key, operations).await
        }

        async fn delete(&self, keys: &Keys) -> Result<(), TableError> {
            self.1.delete(keys).await
        }

        async fn create(&self) -> Result<(), TableError> {
            self.1.create().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_do_not_fit_into_the_time_go_back_to_the_queue_and_the_others_are_done() {
        let (leads, state) = (SlowFor("C", MemoryTable::new()), SlowFor("", MemoryTable::new()));
        let keys = KnownKeys::new(no_secret("none is needed here"));
        let redelivery = Redelivery { leads, state, keys, chance: chance() };
        let messages: Vec<_> = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"]
            .iter()
            .map(|source| queued(&format!(r#"{{"LeadSource":"{source}"}}"#)))
            .collect();
        let messages: Vec<_> = messages.iter().map(String::as_str).collect();
        // All ten together, those three that are with it, and then it alone have ten seconds each.
        for (seconds, failed) in [(5, 10), (15, 3), (25, 1), (60, 1)] {
            let until = Instant::now() + Duration::from_secs(seconds);
            let response = handle(&redelivery, event(&messages), until).await;
            assert!(Instant::now() <= until, "it ends in time");
            let failed_ids: Vec<_> =
                response.batch_item_failures.iter().map(|failure| &failure.item_identifier).collect();
            assert_eq!(failed_ids.len(), failed, "{failed_ids:?}");
            assert!(failed_ids.iter().any(|id| *id == "m3"));
            assert_eq!(redelivery.leads.1.rows().len(), 10 - failed);
        }
    }

    #[tokio::test]
    async fn a_retry_on_the_other_side_of_midnight_in_the_same_batch_is_one_row() {
        let (leads, state) = (SlowFor("", MemoryTable::new()), SlowFor("", MemoryTable::new()));
        let keys = KnownKeys::new(no_secret("none is needed here"));
        let redelivery = Redelivery { leads, state, keys, chance: chance() };
        let body = br#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"A"}"#;
        let messages = ["2026-11-22T23:59:58Z", "2026-11-23T00:00:05Z"]
            .map(|received| QueuedBody::new(received.parse().unwrap(), body.to_vec()).to_json());
        let response = handle(&redelivery, event(&messages.each_ref().map(String::as_str)), in_a_minute()).await;
        assert_eq!((response.batch_item_failures.len(), redelivery.leads.1.rows().len()), (0, 1));
    }

    #[test]
    fn an_invocation_ends_before_its_deadline_and_works_for_a_while_though_the_clock_is_wrong() {
        let now = SystemTime::now();
        for (left, expected) in [(20, 18), (8, 6), (3, 5), (0, 5), (-86_400, 5)] {
            let time = Duration::from_secs(i64::unsigned_abs(left));
            let deadline = if left < 0 { now - time } else { now + time };
            assert_eq!(time_for_work(deadline, now), Duration::from_secs(expected), "{left}");
        }
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_read_fails_alone() {
        let redelivery = redelivery(MemoryTable::new());
        let messages = [queued(r#"{"LeadSource":"A"}"#), "no message".to_owned(), queued(r#"{"LeadSource":"B"}"#)];
        let response = handle(&redelivery, event(&messages.each_ref().map(String::as_str)), in_a_minute()).await;
        assert_eq!(
            serde_json::to_value(&response).unwrap(),
            serde_json::json!({"batchItemFailures": [{"itemIdentifier": "m2"}]})
        );
        assert_eq!(redelivery.leads.rows().len(), 2);
    }

    #[tokio::test]
    async fn every_message_fails_while_the_table_is_down() {
        let redelivery = redelivery(MemoryTable::missing());
        let messages = [queued(r#"{"LeadSource":"A"}"#), queued(r#"{"LeadSource":"B"}"#)];
        let response = handle(&redelivery, event(&messages.each_ref().map(String::as_str)), in_a_minute()).await;
        assert_eq!(
            serde_json::to_value(&response).unwrap(),
            serde_json::json!({"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]})
        );
    }
}
