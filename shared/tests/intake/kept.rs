//! What comes with a valid key is kept, or at least counted, however wrong it is; and what comes while nobody knows the keys
//! waits until somebody does.

use crate::measured::Measured;
use crate::stubs::{
    KEY, OTHER_KEY, Read, Sqs, StubQueue, at, counted, failing_table, held, intake, known_keys, post_bytes, post_text,
};
use futures::FutureExt as _;
use futures::future::{join_all, pending};
use marketplace_leads::cue::Cued;
use marketplace_leads::function_url::{Body, Request};
use marketplace_leads::intake::Intake;
use marketplace_leads::intake_keys::KnownKeys;
use marketplace_leads::lead::MAX_BODY_BYTES;
use marketplace_leads::quarantine::MAX_KEPT_BYTES;
use marketplace_leads::queued_body::MAX_QUEUED_BYTES;
use marketplace_leads::redelivery::Redelivery;
use marketplace_leads::secret::{ReadSecret, Secret, no_secret};
use marketplace_leads::table::memory::MemoryTable;
use marketplace_leads::table::{Continuation, ETag, Entity, Keys, Operation, Page, Query, Table, TableError};
use marketplace_leads::telemetry::metric;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LEAD: &str = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace"}"#;
const NOON: &str = "2026-11-22T12:00:00Z";

/// What a function URL takes is 6 MB, in Base64.
const LONGEST: usize = 6 * 1024 * 1024 / 4 * 3;

fn unavailable() -> TableError {
    TableError::Unavailable { reason: "refused".to_owned() }
}

/// A lead of this many bytes.
fn lead_of(bytes: usize) -> Vec<u8> {
    let mut lead = LEAD.trim_end_matches('}').to_owned() + r#"},"Description":""#;
    lead.extend(std::iter::repeat_n('x', bytes - lead.len() - 2));
    (lead + "\"}").into_bytes()
}

#[tokio::test]
async fn a_body_that_is_too_long_is_kept_and_counted_and_says_what_was_cut() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    for (size, kept) in [
        (MAX_BODY_BYTES + 1, MAX_BODY_BYTES + 1),
        (MAX_KEPT_BYTES, MAX_KEPT_BYTES),
        (MAX_KEPT_BYTES + 1, MAX_KEPT_BYTES),
        (LONGEST, MAX_KEPT_BYTES),
    ] {
        let (leads, state, measured) = (MemoryTable::new(), MemoryTable::new(), Measured::default());
        let body = lead_of(size);
        let answer = {
            let _measuring = measured.start();
            post_bytes(&intake(leads.clone(), state.clone(), &queue), &body, at(NOON)).await
        };
        assert_eq!((answer.status, answer.text("title")), (413, "Content Too Large"), "{size}");
        let detail = format!("longer than {MAX_BODY_BYTES} bytes. It is kept");
        assert!(answer.text("detail").contains(&detail), "{}", answer.json);
        let (quarantined, cued) = held(&state);
        let [row] = &quarantined[..] else { panic!("{quarantined:?}") };
        assert!(row.body == body[..kept] && row.size == size, "{size}: {} of {}", row.body.len(), row.size);
        assert_eq!(row.reason.contains(&format!("first {kept} of {size} bytes")), kept < size, "{}", row.reason);
        assert_eq!(cued, [Cued::Quarantined { row_key: row.row_key.clone() }], "the next mail names it");
        assert_eq!(measured.value(metric::LEADS_QUARANTINED), 1.0);
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_waits_on_the_queue_where_the_quarantine_is_closed() {
    for (size, kept) in [(MAX_BODY_BYTES + 1, MAX_BODY_BYTES + 1), (LONGEST, MAX_QUEUED_BYTES)] {
        let queue = StubQueue::start(Sqs::Works).await;
        let body = lead_of(size);
        let closed = intake(MemoryTable::new(), failing_table(unavailable()), &queue);
        assert_eq!(post_bytes(&closed, &body, at(NOON)).await.status, 413);
        let message = &queue.messages()[0];
        assert!(message.len() < 256 * 1024, "SQS would refuse {} bytes", message.len());
        let (leads, state) = (MemoryTable::new(), MemoryTable::new());
        let redelivery =
            Redelivery { leads: leads.clone(), state: state.clone(), keys: known_keys(), chance: counted() };
        redelivery.redeliver("m1", message, at(NOON)).await.unwrap();
        let (quarantined, _) = held(&state);
        assert!(quarantined[0].body == body[..kept] && quarantined[0].size == size, "{size}");
        assert!(quarantined[0].reason.contains("longer than"), "{}", quarantined[0].reason);
        assert_eq!(leads.calls(), 0, "no part of it is a lead");
    }
}

#[tokio::test]
async fn two_bodies_that_differ_only_where_the_queue_cuts_them_are_two_in_quarantine_and_one_is_one() {
    let queue = StubQueue::start(Sqs::Works).await;
    let closed = intake(MemoryTable::new(), failing_table(unavailable()), &queue);
    let one = lead_of(LONGEST);
    let mut other = one.clone();
    other[LONGEST - 3] = b'y';
    for body in [&one, &other, &one] {
        assert_eq!(post_bytes(&closed, body, at(NOON)).await.status, 413);
    }
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    let redelivery = Redelivery { leads: leads.clone(), state: state.clone(), keys: known_keys(), chance: counted() };
    for message in &queue.messages() {
        assert!(message.len() < 256 * 1024, "SQS would refuse {} bytes", message.len());
        redelivery.redeliver("m1", message, at(NOON)).await.unwrap();
    }
    assert_eq!(held(&state).0.len(), 2);
    post_bytes(&intake(leads, state.clone(), &queue), &one, at(NOON)).await;
    assert_eq!(held(&state).0.len(), 2, "it is the same body, whichever way it came");
}

#[tokio::test]
async fn a_wrong_key_is_counted_and_no_key_is_not() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table.clone(), &queue);
    for (key, expected) in
        [("", 0.0), ("short", 0.0), ("no+key/at+all-0123456789", 0.0), ("an-old-key.0123456789", 1.0), (KEY, 0.0)]
    {
        let measured = Measured::default();
        let _measuring = measured.start();
        post_with_key(&intake, key).await;
        assert_eq!(measured.value(metric::INTAKE_WRONG_KEY), expected, "{key}");
    }
}

#[tokio::test]
async fn a_request_with_a_valid_key_to_a_wrong_place_is_counted_and_one_without_is_not() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table, &queue);
    for (method, path, key, count) in [
        ("POST", "/lead", KEY, 1.0),
        ("POST", "/", OTHER_KEY, 1.0),
        ("GET", "/leads", KEY, 1.0),
        ("POST", "/.env", "wrong-key.0123456789", 0.0),
        ("PUT", "/leads", "", 0.0),
        ("POST", "/leads", KEY, 0.0),
    ] {
        let measured = Measured::default();
        let _measuring = measured.start();
        let query = format!("code={key}");
        intake.answer(&Request { method, path, query: &query, body: Body::Text(LEAD) }, "r", at(NOON)).await;
        assert_eq!(measured.value(metric::INTAKE_MISDIRECTED), count, "{method} {path}");
    }
}

/// Keys that cannot be read in different ways.
fn unknown_keys() -> Vec<KnownKeys> {
    let hanging: ReadSecret = Arc::new(|| pending().boxed());
    vec![KnownKeys::new(no_secret("down")), KnownKeys::new(hanging), KnownKeys::fixed(&Secret::new("short"))]
}

fn without_keys<T: Table>(keys: KnownKeys, table: T, queue: &StubQueue) -> Intake<T> {
    Intake { keys, budget: Duration::from_millis(500), ..intake(table.clone(), table, queue) }
}

async fn post_with_key<T: Table>(intake: &Intake<T>, key: &str) -> Read {
    let query = format!("code={key}");
    let request = Request { method: "POST", path: "/leads", query: &query, body: Body::Text(LEAD) };
    intake.answer(&request, "request-1", at(NOON)).await.into()
}

#[tokio::test]
async fn while_the_keys_cannot_be_read_a_lead_waits_on_the_queue_and_redelivery_stores_it_or_leaves_it_there() {
    for keys in unknown_keys() {
        let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
        let intake = without_keys(keys, table.clone(), &queue);
        for key in [KEY, KEY, "wrong-key.0123456789"] {
            let answer = post_with_key(&intake, key).await;
            assert_eq!((answer.status, answer.text("status")), (202, "queued"));
        }
        for no_key in ["", "short", "has+other/characters"] {
            assert_eq!(post_with_key(&intake, no_key).await.status, 401, "what is no key is never kept");
        }
        let messages = queue.messages();
        assert_eq!((messages.len(), table.calls()), (3, 0));
        let digest = |message: &str| message.split_once(r#""key":"#).unwrap().1.to_owned();
        assert_ne!(digest(&messages[0]), digest(&messages[1]), "nobody sees that two keys are the same");
        assert!(messages.iter().all(|message| !message.contains(KEY) && !message.contains("wrong")));

        for keys in unknown_keys() {
            let redelivery = Redelivery { leads: table.clone(), state: table.clone(), keys, chance: counted() };
            let waits = tokio::time::timeout(Duration::from_secs(1), redelivery.redeliver("m", &messages[0], at(NOON)));
            assert!(!matches!(waits.await, Ok(Ok(()))), "it waits on the queue until somebody knows the keys");
        }
        let measured = Measured::default();
        let _measuring = measured.start();
        let redelivery =
            Redelivery { leads: table.clone(), state: table.clone(), keys: known_keys(), chance: counted() };
        let mut kept = 0;
        for message in &messages {
            kept += usize::from(redelivery.redeliver("m", message, at(NOON)).await.is_err());
        }
        assert_eq!((table.rows().len(), kept), (1, 1), "what was acknowledged is never dropped");
        assert_eq!(measured.value(metric::UNVERIFIED_REFUSED), 1.0);
        assert_eq!(measured.value(metric::LEADS_REDELIVERED), 2.0);
    }
}

#[tokio::test]
async fn redelivery_refuses_nothing_by_keys_that_it_read_before_and_reads_them_once_for_many_messages() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = without_keys(KnownKeys::new(no_secret("down")), table.clone(), &queue);
    for key in [KEY, OTHER_KEY] {
        assert_eq!(post_with_key(&intake, key).await.status, 202);
    }
    for number in 0..10 {
        assert_eq!(post_with_key(&intake, &format!("stranger-0123456789-{number}")).await.status, 202);
    }
    let (messages, place, reads) =
        (queue.messages(), Arc::new(Mutex::new(KEY.to_owned())), Arc::new(AtomicUsize::new(0)));
    let (kept, counted_reads) = (place.clone(), reads.clone());
    let keys = KnownKeys::new(Arc::new(move || {
        counted_reads.fetch_add(1, Ordering::SeqCst);
        let text = kept.lock().unwrap().clone();
        async move { Ok(Secret::new(text)) }.boxed()
    }));
    let redelivery = Redelivery { leads: table.clone(), state: table, keys, chance: counted() };
    let measured = Measured::default();
    let _measuring = measured.start();
    redelivery.redeliver("m1", &messages[0], at(NOON)).await.unwrap();
    *place.lock().unwrap() = format!("{KEY},{OTHER_KEY}");
    redelivery.redeliver("m2", &messages[1], at(NOON)).await.unwrap();
    assert_eq!(measured.value(metric::UNVERIFIED_REFUSED), 0.0, "its key was added a moment ago");
    assert_eq!((measured.value(metric::LEADS_REDELIVERED), reads.load(Ordering::SeqCst)), (2.0, 2));
    join_all(messages[2..].iter().map(|message| redelivery.redeliver("m", message, at(NOON)))).await;
    assert_eq!((measured.value(metric::UNVERIFIED_REFUSED), reads.load(Ordering::SeqCst)), (10.0, 3));
}

#[tokio::test]
async fn where_neither_keys_nor_queue_can_be_had_the_sender_is_asked_to_come_again() {
    for sqs in [Sqs::Refuses, Sqs::Hangs] {
        for keys in unknown_keys() {
            let (table, queue) = (MemoryTable::new(), StubQueue::start(sqs).await);
            let answer = post_with_key(&without_keys(keys, table, &queue), KEY).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
        }
    }
}

#[tokio::test]
async fn strangers_cannot_fill_the_queue_while_the_keys_cannot_be_read() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = without_keys(KnownKeys::new(no_secret("down")), table, &queue);
    for number in 0..KnownKeys::UNVERIFIED_A_MINUTE {
        assert_eq!(post_with_key(&intake, "stranger-0123456789").await.status, 202, "{number}");
    }
    let answer = post_with_key(&intake, "stranger-0123456789").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
    assert_eq!(queue.messages().len(), KnownKeys::UNVERIFIED_A_MINUTE as usize);
}

#[tokio::test]
async fn redelivery_measures_how_long_what_it_cannot_deliver_has_waited() {
    let queue = StubQueue::start(Sqs::Works).await;
    post_text(&intake(failing_table(unavailable()), MemoryTable::new(), &queue), LEAD, at(NOON)).await;
    let message = &queue.messages()[0];
    for (table, age) in [(failing_table(unavailable()), 1_800.0), (MemoryTable::new(), 0.0)] {
        let measured = Measured::default();
        let _measuring = measured.start();
        let redelivery = Redelivery { leads: table.clone(), state: table, keys: known_keys(), chance: counted() };
        let _ = redelivery.redeliver("m1", message, at("2026-11-22T12:30:00Z")).await;
        assert_eq!(measured.value(metric::WAITING_AGE), age, "what was delivered waits no longer");
    }
}

/// A table whose shared access signature lets read and add, and nothing else.
#[derive(Clone)]
struct ReadAndAdd(MemoryTable);

impl ReadAndAdd {
    fn refuses<T>() -> Result<T, TableError> {
        Err(TableError::Refused { status: 403, code: "AuthorizationPermissionMismatch".to_owned() })
    }
}

impl Table for ReadAndAdd {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        self.0.insert(entity).await
    }

    async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
        self.0.get(keys).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.0.page(query, from).await
    }

    async fn submit(&self, _: &str, _: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        Self::refuses()
    }

    async fn delete(&self, _: &Keys) -> Result<(), TableError> {
        Self::refuses()
    }

    async fn create(&self) -> Result<(), TableError> {
        Self::refuses()
    }
}

#[tokio::test]
async fn intake_needs_to_read_and_to_add_and_nothing_else_at_any_time_of_day() {
    let queue = StubQueue::start(Sqs::Works).await;
    let (leads, state) = (ReadAndAdd(MemoryTable::new()), ReadAndAdd(MemoryTable::new()));
    let intake = intake(leads, state, &queue);
    let midnight = at("2026-11-22T00:00:00Z");
    for minutes in (0..26 * 60).step_by(20) {
        let now = midnight + jiff::SignedDuration::from_mins(minutes);
        for body in [LEAD.as_bytes(), b"no lead", &lead_of(MAX_BODY_BYTES + 1)] {
            let status = post_bytes(&intake, body, now).await.status;
            assert!([200, 201, 400, 413].contains(&status), "{now}: {status}");
        }
        let other = LEAD.replace("someone", &format!("someone{minutes}"));
        assert_eq!(post_text(&intake, &other, now).await.status, 201, "{now}");
    }
    assert_eq!(queue.messages().len(), 0, "nothing had to wait");
}
