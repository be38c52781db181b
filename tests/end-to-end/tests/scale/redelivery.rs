//! What redelivery asks of the table service to store what waited while the table was down.

use crate::world::{LEADS, STATE, is_full};
use bench::{Build, Lambda, Subject};
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::lead::Day;
use marketplace_leads::queued_body::QueuedBody;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;
use support::strict_table::{Operation, Settings, StrictTable};

/// How many messages an invocation gets at most, as it is deployed.
const BATCH: usize = 100;

/// How many leads wait.
const SMALL: usize = 200;
const FULL: usize = 20_000;

/// A message with a lead of somebody else.
fn queued(number: usize, received: Timestamp) -> Value {
    let lead = json!({
        "UserDetails": { "FirstName": "Jo", "LastName": "Doe", "Email": format!("jo{number}@fabrikam.example"),
            "Phone": "+1 425 555 0100", "Country": "US", "Company": "Fabrikam" },
        "LeadSource": "AzureMarketplace",
        "ActionCode": "INS",
        "OfferTitle": "Backup Suite",
        "Description": "We back up 40 TB every night and our contract ends in January. When can we talk?",
    });
    let body = QueuedBody::new(received, lead.to_string().into_bytes()).to_json();
    json!({ "messageId": format!("m{number}"), "receiptHandle": "r", "body": body, "attributes": {},
        "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-west-1" })
}

/// Requests by what they are, after so many messages at once were given to redelivery until none was left.
async fn requests(messages: &[Value], at_once: usize) -> BTreeMap<Operation, u64> {
    let table = StrictTable::start(Settings::default()).unwrap();
    table.create(LEADS).unwrap();
    table.create(STATE).unwrap();
    table.reset_counters();
    let environment = [
        ("LEADS_STORAGE_CONNECTION_STRING", table.connection_string()),
        ("LEADS_TABLE", LEADS.to_owned()),
        ("LEADS_STATE_TABLE", STATE.to_owned()),
        ("LEADS_INTAKE_KEYS", "first-key.0123456789".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let subject = Subject::built("lead-redelivery", Build::Dev).await.unwrap();
    let mut redelivery = Lambda::start(&subject, &environment).await.unwrap();
    let since = Instant::now();
    for messages in messages.chunks(at_once) {
        let outcome = redelivery.invoke(&json!({ "Records": messages }).to_string()).await.unwrap();
        let answer: Value = serde_json::from_slice(&outcome.body).unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    assert_eq!(table.rows(LEADS), messages.len());
    let counters = table.counters();
    println!(
        "{} leads, {at_once} at once: {} requests {:?} in {:?}; {} KiB",
        messages.len(),
        counters.requests,
        counters.operations,
        since.elapsed(),
        redelivery.usage().unwrap().peak_kib,
    );
    counters.operations
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_waited_are_stored_a_hundred_with_a_request_and_named_a_hundred_with_another() {
    let count = if is_full() { FULL } else { SMALL };
    // The table was down by day, and works again days later.
    let morning = Day::of(Timestamp::now() - SignedDuration::from_hours(72)).start() + SignedDuration::from_hours(6);
    let apart = SignedDuration::from_hours(12) / i32::try_from(count).unwrap();
    let received = |number: usize| morning + apart * i32::try_from(number).unwrap();
    let messages: Vec<_> = (0..count).map(|number| queued(number, received(number))).collect();
    let batches = u64::try_from(2 * count.div_ceil(BATCH)).unwrap();
    assert_eq!(requests(&messages, BATCH).await, BTreeMap::from([(Operation::Batch, batches)]));
    let one_each: u64 = requests(&messages[..SMALL], 1).await.values().sum();
    assert!(one_each * u64::try_from(count / SMALL).unwrap() >= 10 * batches, "{one_each} requests of {SMALL} leads");
}
