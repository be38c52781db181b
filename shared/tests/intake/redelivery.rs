//! Redelivery: what was queued ends where intake would have put it.

use crate::stubs::{Sqs, StubQueue, at, counted, failing_table, held, intake, known_keys, post_text};
use marketplace_leads::cue::Cued;
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::redelivery::{Redelivery, RedeliveryError};
use marketplace_leads::table::TableError;
use marketplace_leads::table::memory::MemoryTable;

const LEAD: &str = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace","New":[1]}"#;

fn unavailable() -> TableError {
    TableError::Unavailable { reason: "refused".to_owned() }
}

fn redelivery(leads: &MemoryTable, state: &MemoryTable) -> Redelivery<MemoryTable> {
    Redelivery { leads: leads.clone(), state: state.clone(), keys: known_keys(), chance: counted() }
}

#[tokio::test]
async fn a_queued_lead_becomes_the_row_that_intake_would_have_written() {
    let received = at("2026-11-22T12:00:00.123456Z");
    let (direct, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let id = post_text(&intake(direct.clone(), MemoryTable::new(), &queue), LEAD, received).await.text("id").to_owned();
    let down = intake(failing_table(unavailable()), MemoryTable::new(), &queue);
    assert_eq!(post_text(&down, LEAD, received).await.text("id"), id);

    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    let message = queue.bodies()[0].to_json();
    let days_later = at("2026-12-05T08:00:00Z");
    redelivery(&leads, &state).redeliver("m1", &message, days_later).await.unwrap();
    let (row, expected) = (&leads.rows()[0], &direct.rows()[0]);
    assert_eq!((&row.partition_key, &row.row_key), (&expected.partition_key, &expected.row_key));
    assert!(row.properties == expected.properties, "other columns");

    let cued = Cued::Lead(row.keys());
    assert_eq!(
        held(&state).1,
        std::slice::from_ref(&cued),
        "the notifier does not read that day any more, and is told of the row"
    );

    // SQS delivers at least once.
    let again = Redelivery { chance: std::sync::Arc::new(|| 7), ..redelivery(&leads, &state) };
    again.redeliver("m1", &message, days_later).await.unwrap();
    assert_eq!((leads.rows().len(), state.calls()), (1, 2));
    assert_eq!(held(&state).1, [cued.clone(), cued], "each attempt leaves a cue of its own");

    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    redelivery(&leads, &state).redeliver("m1", &message, at("2026-11-22T23:59:59Z")).await.unwrap();
    assert_eq!((leads.rows().len(), state.calls()), (1, 0), "on the same day nothing more is needed");
}

#[tokio::test]
async fn a_lead_that_was_queued_before_midnight_and_retried_after_is_stored_once_in_either_order() {
    let queue = StubQueue::start(Sqs::Works).await;
    for (received, retried, rows) in [
        ("2026-11-22T23:59:00Z", "2026-11-23T00:01:00Z", 1),
        ("2026-11-22T23:00:00Z", "2026-11-23T00:00:00Z", 1),
        ("2026-11-22T23:10:00Z", "2026-11-23T00:30:00Z", 2),
        ("2026-11-22T12:00:00Z", "2026-11-23T00:01:00Z", 2),
    ] {
        for queued_first in [true, false] {
            let (leads, state) = (MemoryTable::new(), MemoryTable::new());
            let intake = intake(leads.clone(), state.clone(), &queue);
            let message = QueuedBody::new(at(received), LEAD.as_bytes().to_vec()).to_json();
            let redelivery = redelivery(&leads, &state);
            if queued_first {
                redelivery.redeliver("m1", &message, at("2026-11-23T02:00:00Z")).await.unwrap();
                post_text(&intake, LEAD, at(retried)).await;
            } else {
                post_text(&intake, LEAD, at(retried)).await;
                redelivery.redeliver("m1", &message, at("2026-11-23T02:00:00Z")).await.unwrap();
            }
            assert_eq!(leads.rows().len(), rows, "{received} {retried} {queued_first}");
        }
    }
}

#[tokio::test]
async fn a_queued_body_that_is_no_lead_goes_into_quarantine_on_the_day_it_was_received() {
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    let body = b"\xff not a lead".to_vec();
    let message = QueuedBody::new(at("2026-11-22T12:00:00Z"), body.clone()).to_json();
    redelivery(&leads, &state).redeliver("m1", &message, at("2026-11-25T12:00:00Z")).await.unwrap();
    let (quarantined, cued) = held(&state);
    let [row] = &quarantined[..] else { panic!("{quarantined:?}") };
    assert!(row.row_key.starts_with("2026-11-22-"), "{}", row.row_key);
    assert_eq!((&row.body, leads.calls()), (&body, 0));
    assert_eq!(cued, [Cued::Quarantined { row_key: row.row_key.clone() }]);
}

#[tokio::test]
async fn a_message_stays_on_the_queue_while_the_table_is_down_or_where_intake_did_not_write_it() {
    let now = at("2026-11-25T12:00:00Z");
    let down = failing_table(unavailable());
    for body in [LEAD.as_bytes(), b"\xff".as_slice()] {
        let message = QueuedBody::new(now, body.to_vec()).to_json();
        let result = redelivery(&down, &down).redeliver("m1", &message, now).await;
        assert!(matches!(result, Err(RedeliveryError::Table(TableError::Unavailable { .. }))), "{result:?}");
    }
    // What the notifier could not be told of is not stored yet.
    let leads = MemoryTable::new();
    let message = QueuedBody::new(at("2026-11-22T12:00:00Z"), LEAD.as_bytes().to_vec()).to_json();
    let result = redelivery(&leads, &down).redeliver("m1", &message, now).await;
    assert!(matches!(result, Err(RedeliveryError::Table(TableError::Unavailable { .. }))), "{result:?}");
    assert_eq!(leads.calls(), 0);

    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    for message in
        ["", "{}", LEAD, r#"{"received":"now","body":"AA=="}"#, r#"{"received":"2026-11-22T12:00:00Z","body":"?"}"#]
    {
        let result = redelivery(&leads, &state).redeliver("m1", message, now).await;
        assert!(matches!(result, Err(RedeliveryError::Foreign(_))), "{message}: {result:?}");
    }
    assert_eq!((leads.calls(), state.calls()), (0, 0));
}
