//! Redelivery of many leads: those of one day go into the table with one request, and no message stops another.

use crate::stubs::{KEY, Sqs, StubQueue, at, counted, held, intake, known_keys, post_text};
use marketplace_leads::cue::Cued;
use marketplace_leads::intake_keys::KeyDigest;
use marketplace_leads::lead::{Lead, StoredLead};
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::redelivery::Redelivery;
use marketplace_leads::table::memory::{FaultKind, MemoryTable};
use marketplace_leads::table::{Continuation, ETag, Entity, Keys, Operation, Page, Query, Table, TableError};
use std::time::Duration;
use tokio::time::Instant;

const NOON: &str = "2026-11-22T12:00:00Z";

/// As many as one request takes.
const HUNDRED: usize = 100;

fn body(number: usize) -> String {
    format!(r#"{{"UserDetails":{{"Email":"someone{number}@contoso.com"}},"LeadSource":"AzureMarketplace"}}"#)
}

fn message(body: &str, received: &str) -> String {
    QueuedBody::new(at(received), body.as_bytes().to_vec()).to_json()
}

/// Leads of different people, received at this time.
fn hundred(received: &str) -> Vec<String> {
    (0..HUNDRED).map(|number| message(&body(number), received)).collect()
}

/// Redelivery of all messages at once. Gives the places of those that stay on the queue.
async fn left<T: Table>(leads: &T, state: &T, messages: &[String], now: &str) -> Vec<usize> {
    let redelivery = Redelivery { leads: leads.clone(), state: state.clone(), keys: known_keys(), chance: counted() };
    let messages: Vec<_> = messages.iter().map(|message| ("m", message.as_str())).collect();
    let done = redelivery.redeliver_all(&messages, at(now), Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(done.len(), messages.len());
    (0..done.len()).filter(|place| !done[*place]).collect()
}

fn unavailable() -> TableError {
    TableError::Unavailable { reason: "down".to_owned() }
}

/// A table on which every write with a row of this offer fails: with an error, or else with a panic.
#[derive(Clone)]
struct Refusing(MemoryTable, Option<TableError>);

const REFUSED: &str = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"refused"}"#;

impl Refusing {
    fn look_at(&self, row: &Entity) -> Result<(), TableError> {
        if row.string("LeadSource") == Some("refused") { Err(self.1.clone().expect("a bug")) } else { Ok(()) }
    }
}

impl Table for Refusing {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        self.look_at(entity)?;
        self.0.insert(entity).await
    }

    async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
        self.0.get(keys).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.0.page(query, from).await
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        operations.iter().try_for_each(|operation| match operation {
            Operation::Insert(row) => self.look_at(row),
            _ => Ok(()),
        })?;
        self.0.submit(partition_key, operations).await
    }

    async fn delete(&self, keys: &Keys) -> Result<(), TableError> {
        self.0.delete(keys).await
    }

    async fn create(&self) -> Result<(), TableError> {
        self.0.create().await
    }
}

#[tokio::test]
async fn a_hundred_leads_of_a_day_cost_one_request_and_one_more_where_they_are_late() {
    for (now, of_the_state) in [("2026-11-22T23:00:00Z", 0), ("2026-11-25T12:00:00Z", 1)] {
        let (leads, state) = (MemoryTable::new(), MemoryTable::new());
        assert_eq!(left(&leads, &state, &hundred(NOON), now).await, [0; 0]);
        assert_eq!((leads.calls(), state.calls(), leads.rows().len()), (1, of_the_state, HUNDRED), "{now}");
        let (_, mut cued) = held(&state);
        cued.sort();
        let rows: Vec<_> = leads.rows().iter().map(|row| Cued::Lead(row.keys())).collect();
        assert_eq!(cued, if of_the_state == 0 { vec![] } else { rows }, "the notifier is told of each late row");

        let alone = MemoryTable::new();
        for message in hundred(NOON) {
            left(&alone, &MemoryTable::new(), &[message], now).await;
        }
        assert_eq!(alone.calls(), HUNDRED);
        let rows = |table: &MemoryTable| -> Vec<_> {
            table.rows().into_iter().map(|row| (row.partition_key, row.row_key, row.properties)).collect()
        };
        assert!(rows(&alone) == rows(&leads), "they are other rows than one by one");
    }
}

#[tokio::test]
async fn leads_of_several_days_cost_a_request_for_each_day_and_for_each_further_hundred() {
    let days = ["2026-11-20T02:00:00Z", "2026-11-21T12:00:00Z", "2026-11-22T22:00:00Z"];
    let number_of = |place: usize| if place.is_multiple_of(2) { 1 } else { place % 3 };
    let messages: Vec<_> = (0..400).map(|place| message(&body(place), days[number_of(place)])).collect();
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    assert_eq!(left(&leads, &state, &messages, "2026-11-22T22:10:00Z").await, [0; 0]);
    assert_eq!(leads.rows().len(), 400);
    // 67, 267 and 66 of a day, and none of those of today are late.
    assert_eq!((leads.calls(), state.calls()), (1 + 3 + 1, 1 + 3));

    // Near midnight the rows of the neighbouring day count, and each of them has to be looked at.
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    let messages = hundred("2026-11-22T23:30:00Z");
    assert_eq!(left(&leads, &state, &messages, "2026-11-22T23:40:00Z").await, [0; 0]);
    assert_eq!((leads.rows().len(), leads.calls()), (HUNDRED, 2 * HUNDRED));
}

#[tokio::test]
async fn leads_that_are_too_large_for_one_request_are_stored_with_a_few() {
    let text = "x".repeat(60 * 1024);
    let messages: Vec<_> = (0..HUNDRED)
        .map(|number| message(&format!(r#"{{"LeadSource":"{number}","Description":"{text}"}}"#), NOON))
        .collect();
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    assert_eq!(left(&leads, &state, &messages, NOON).await, [0; 0]);
    assert_eq!((leads.rows().len(), leads.calls()), (HUNDRED, 2), "six megabytes, of which a request takes four");
}

#[tokio::test]
async fn what_is_wrong_with_one_message_of_a_hundred_keeps_no_other_one_on_the_queue() {
    let wrong_key = |body: &str| {
        let mut queued = QueuedBody::new(at(NOON), body.as_bytes().to_vec());
        queued.key = Some(KeyDigest::new("wrong-key.0123456789", [1, 2]));
        queued.to_json()
    };
    let too_large = TableError::Rejected { status: 413, code: "RequestBodyTooLarge".to_owned() };
    // From somebody in between, who does not like what is in the lead.
    let forbidden = TableError::Refused { status: 403, code: String::new() };
    let busy = TableError::Throttled { code: String::new() };
    // What is in the place of one message, whether it stays on the queue, what becomes of it otherwise, and how many
    // requests all of them cost.
    for (message, error, stays, rows, quarantined, most) in [
        (message("no lead", NOON), None, false, 99, 1, 1),
        ("no message".to_owned(), None, true, 99, 0, 1),
        (wrong_key(&body(7)), None, true, 99, 0, 1),
        (message(&body(3), NOON), None, false, 99, 0, 3),
        (message(REFUSED, NOON), Some(too_large), false, 99, 1, 22),
        (message(REFUSED, NOON), Some(unavailable()), true, 99, 0, 22),
        (message(REFUSED, NOON), Some(forbidden), true, 99, 0, 22),
        (message(REFUSED, NOON), Some(busy), true, 99, 0, 22),
        (message(REFUSED, NOON), None, true, 99, 0, 22),
    ] {
        for place in [7, 99] {
            let (leads, state) = (MemoryTable::new(), MemoryTable::new());
            let mut messages = hundred(NOON);
            messages[place].clone_from(&message);
            let refusing = |table: &MemoryTable| Refusing(table.clone(), error.clone());
            let left = left(&refusing(&leads), &refusing(&state), &messages, "2026-11-24T12:00:00Z").await;
            assert_eq!(left, if stays { vec![place] } else { vec![] }, "{message}");
            assert_eq!((leads.rows().len(), held(&state).0.len()), (rows, quarantined), "{message}");
            assert!(leads.calls() <= most, "{} requests: {message}", leads.calls());
        }
    }
}

#[tokio::test]
async fn a_conflict_among_a_hundred_is_told_apart_as_if_it_had_come_alone() {
    let queue = StubQueue::start(Sqs::Works).await;
    let id = Lead::from_json(body(42).as_bytes()).unwrap().id();
    for (before, key) in [
        // The sender's own retry, which intake has stored.
        ("2026-11-22T11:30:00Z", id.clone()),
        // The same person asked for the same before.
        ("2026-11-22T10:30:00Z", format!("{id}-0002")),
    ] {
        let (leads, state) = (MemoryTable::new(), MemoryTable::new());
        post_text(&intake(leads.clone(), state.clone(), &queue), &body(42), at(before)).await;
        let calls = leads.calls();
        let now = "2026-11-25T12:00:00Z";
        assert_eq!(left(&leads, &state, &hundred(NOON), now).await, [0; 0]);
        assert!(leads.calls() - calls <= 23, "{} requests", leads.calls() - calls);
        let rows = leads.rows();
        assert_eq!(rows.len(), if key == id { HUNDRED } else { HUNDRED + 1 });
        let (_, cued) = held(&state);
        let is_told = |keys: &Keys| cued.contains(&Cued::Lead(keys.clone()));
        assert!(rows.iter().map(Entity::keys).all(|keys| is_told(&keys)), "each row that came late is told");
        assert!(rows.iter().any(|row| row.row_key == key));
    }

    // A row of somebody else under the key of one of them.
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    let mut other = StoredLead::received(Lead::from_json(body(1).as_bytes()).unwrap(), at("2026-11-22T02:00:00Z"));
    other.keys.row.clone_from(&id);
    leads.put(other.to_entity());
    assert_eq!(left(&leads, &state, &hundred(NOON), NOON).await, [0; 0]);
    let row = leads.get(&Keys::new("11:2F22:2F2026", format!("{id}-0002"))).await.unwrap();
    assert_eq!(StoredLead::from_entity(&row).unwrap().lead.customer.email, "someone42@contoso.com");
    assert_eq!(leads.rows().len(), HUNDRED + 1);
}

#[tokio::test]
async fn the_same_lead_twice_among_a_hundred_is_one_row_and_an_hour_later_a_second_one() {
    for (again, rows) in [("2026-11-22T12:59:00Z", HUNDRED), ("2026-11-22T13:01:00Z", HUNDRED + 1)] {
        let mut messages = hundred(NOON);
        messages.push(message(&body(5), again));
        // The same lead in other words.
        messages.push(message(&body(6).to_lowercase().replace("azuremarketplace", "AzureMarketplace"), NOON));
        let (leads, state) = (MemoryTable::new(), MemoryTable::new());
        assert_eq!(left(&leads, &state, &messages, "2026-11-22T14:00:00Z").await, [0; 0]);
        assert_eq!(leads.rows().len(), rows);
        assert!(leads.calls() <= 1 + 3 + 3, "{} requests", leads.calls());
    }
}

#[tokio::test]
async fn a_redelivery_that_ends_between_any_two_of_its_steps_and_begins_again_stores_and_tells_each_lead_once() {
    let now = "2026-11-25T12:00:00Z";
    let messages = hundred(NOON);
    let failing = |kind: FaultKind| {
        let table = MemoryTable::new();
        table.set_fault(Some(Box::new(move |_| Some(kind.clone()))));
        table
    };
    // The cues are not left, or nobody knows whether they are: no row is written that the notifier may not be told of.
    for kind in [FaultKind::Before(unavailable()), FaultKind::After(unavailable())] {
        let (leads, state) = (MemoryTable::new(), failing(kind));
        assert_eq!(left(&leads, &state, &messages, now).await.len(), HUNDRED);
        assert_eq!((leads.calls(), state.calls()), (0, 1));
    }
    // The rows are not written though the cues are: again, with cues of their own.
    let (leads, state) = (failing(FaultKind::Before(unavailable())), MemoryTable::new());
    assert_eq!(left(&leads, &state, &messages, now).await.len(), HUNDRED);
    assert!(leads.calls() <= 11, "a table that is down is not asked for each lead: {}", leads.calls());
    leads.set_fault(None);
    assert_eq!(left(&leads, &state, &messages, now).await, [0; 0]);
    assert_eq!(leads.rows().len(), HUNDRED);

    // The rows are written, and nobody knows it, or the messages come again.
    let (leads, state) = (failing(FaultKind::After(unavailable())), MemoryTable::new());
    left(&leads, &state, &messages, now).await;
    leads.set_fault(None);
    for _ in 0..2 {
        assert_eq!(left(&leads, &state, &messages, now).await, [0; 0]);
        assert_eq!(leads.rows().len(), HUNDRED, "no lead is two rows");
    }
    let (_, cued) = held(&state);
    assert!(leads.rows().iter().all(|row| cued.contains(&Cued::Lead(row.keys()))));
}

#[tokio::test]
async fn a_table_that_lets_nobody_in_or_is_busy_is_asked_once_for_a_hundred_leads() {
    for error in [
        TableError::Throttled { code: "ServerBusy".to_owned() },
        TableError::Refused { status: 403, code: "AuthorizationFailure".to_owned() },
        TableError::TableNotFound,
    ] {
        let leads = MemoryTable::new();
        leads.set_fault(Some(Box::new(move |_| Some(FaultKind::Before(error.clone())))));
        assert_eq!(left(&leads, &MemoryTable::new(), &hundred(NOON), NOON).await.len(), HUNDRED);
        assert_eq!(leads.calls(), 1);
    }
}

#[tokio::test]
async fn a_body_whose_key_opens_is_stored_beside_a_hundred_that_need_none() {
    let mut queued = QueuedBody::new(at(NOON), body(HUNDRED).into_bytes());
    queued.key = Some(KeyDigest::new(KEY, [1, 2]));
    let messages = [hundred(NOON), vec![queued.to_json()]].concat();
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    assert_eq!(left(&leads, &state, &messages, NOON).await, [0; 0]);
    assert_eq!((leads.rows().len(), leads.calls()), (HUNDRED + 1, 2));
}
