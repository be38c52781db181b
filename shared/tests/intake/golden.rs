//! What intake stores, answers and queues, byte by byte. Row keys and rows are what retries, the notifier and people's
//! own tools rely on: a change of this recording is a change of what is deployed.

use crate::stubs::{KEY, Sqs, StubQueue, at, failing_table, intake};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use marketplace_leads::function_url::{Body, Request};
use marketplace_leads::intake::Intake;
use marketplace_leads::table::memory::MemoryTable;
use marketplace_leads::table::{Entity, Table, TableError, Value};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::Path;

const RECEIVED: &str = "2026-11-22T10:00:00.123456Z";

/// Longer texts stand in the recording as their length and SHA-256.
const LONGEST_TEXT: usize = 400;

/// Names and contents of the recorded bodies, in the order of their names.
fn bodies() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/leads");
    let mut bodies: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()))
        .filter(|(name, _)| name.ends_with(".json") || name.ends_with(".bin"))
        .collect();
    bodies.sort();
    assert!(bodies.len() > 30);
    bodies
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    format!("({} bytes with the SHA-256 {})", text.len(), hex::encode(Sha256::digest(text)))
}

/// A row as JSON: its keys, and each column with its type.
fn row(entity: &Entity) -> String {
    let column = |value: &Value| match value {
        Value::String(text) => json!({ "Edm.String": shortened(text) }),
        Value::DateTime(text) => json!({ "Edm.DateTime": text }),
        Value::Guid(text) => json!({ "Edm.Guid": text }),
        Value::Bool(value) => json!({ "Edm.Boolean": value }),
        Value::Int32(number) => json!({ "Edm.Int32": number }),
        Value::Int64(number) => json!({ "Edm.Int64": number }),
        Value::Double(number) => json!({ "Edm.Double": number }),
        Value::Binary(bytes) => json!({ "Edm.Binary": shortened(&BASE64_STANDARD.encode(bytes)) }),
    };
    let columns: serde_json::Map<_, _> =
        entity.properties.iter().map(|(name, value)| (name.to_string(), column(value))).collect();
    let row = json!({ "PartitionKey": entity.partition_key, "RowKey": entity.row_key, "columns": columns });
    serde_json::to_string_pretty(&row).unwrap()
}

/// Sends a request, and writes down its answer.
async fn ask<T: Table>(intake: &Intake<T>, method: &str, path: &str, query: &str, body: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(body);
    let request = Request { method, path, query, body: Body::Base64(&body) };
    let answer = intake.answer(&request, "request-1", at(RECEIVED)).await;
    let headers: Vec<_> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{} [{}] {}", answer.status, headers.join("; "), answer.body)
}

fn code() -> String {
    format!("code={KEY}")
}

#[tokio::test]
async fn the_answer_to_every_recorded_body_and_its_row() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    let mut recording = String::new();
    for (name, body) in bodies() {
        let (leads, state) = (MemoryTable::new(), MemoryTable::new());
        let intake = intake(leads.clone(), state.clone(), &queue);
        writeln!(recording, "==== {name}").unwrap();
        for time in ["first", "again"] {
            let answer = ask(&intake, "POST", "/leads", &code(), &body).await;
            writeln!(recording, "{time}: {answer}").unwrap();
        }
        for (table, rows) in [("leads", leads.rows()), ("state", state.rows())] {
            rows.iter().for_each(|entity| writeln!(recording, "{table}: {}", row(entity)).unwrap());
        }
    }
    insta::assert_snapshot!("bodies", recording);
}

#[tokio::test]
async fn the_answers_to_what_is_no_lead_and_to_leads_while_something_is_down() {
    const LEAD: &[u8] = br#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace"}"#;
    const MALFORMED: &[u8] = br#"{"LeadSource":"AzureMarketplace" "OfferTitle":"Contoso"}"#;
    let down = || failing_table(TableError::Unavailable { reason: "refused".to_owned() });
    let (works, refuses) = (StubQueue::start(Sqs::Works).await, StubQueue::start(Sqs::Refuses).await);
    let all_is_well = intake(MemoryTable::new(), MemoryTable::new(), &works);
    let queueing = intake(down(), down(), &works);
    let losing = intake(down(), down(), &refuses);
    let code = code();
    let mut recording = String::new();
    for (what, answer) in [
        ("without a key", ask(&all_is_well, "POST", "/leads", "", LEAD).await),
        ("with a wrong key", ask(&all_is_well, "POST", "/leads", "code=wrong-key.0123456789", LEAD).await),
        ("another path", ask(&all_is_well, "POST", "/", &code, LEAD).await),
        ("another method", ask(&all_is_well, "GET", "/leads", &code, b"").await),
        ("a lead", ask(&all_is_well, "POST", "/leads", &code, LEAD).await),
        ("the same lead", ask(&all_is_well, "POST", "/leads", &code, LEAD).await),
        ("no lead", ask(&all_is_well, "POST", "/leads", &code, MALFORMED).await),
        ("too long", ask(&all_is_well, "POST", "/leads", &code, &[b' '; 65_537]).await),
        ("a lead for the queue", ask(&queueing, "POST", "/leads", &code, LEAD).await),
        ("no lead for the queue", ask(&queueing, "POST", "/leads", &code, MALFORMED).await),
        ("a lead that nothing keeps", ask(&losing, "POST", "/leads", &code, LEAD).await),
        ("no lead that nothing keeps", ask(&losing, "POST", "/leads", &code, MALFORMED).await),
    ] {
        writeln!(recording, "{what}: {answer}").unwrap();
    }
    works.messages().iter().for_each(|message| writeln!(recording, "queued: {message}").unwrap());
    insta::assert_snapshot!("answers", recording);
}
