//! What the tests put in place of the clouds.

use aws_sdk_ssm::config::{BehaviorVersion, Region};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use jiff::Timestamp;
use marketplace_leads::aws::Queue;
use marketplace_leads::aws::SdkConfig;
use marketplace_leads::clock::Chance;
use marketplace_leads::cue::{self, Cue, Cued};
use marketplace_leads::function_url::{Answer, Body, Request};
use marketplace_leads::intake::Intake;
use marketplace_leads::intake_keys::KnownKeys;
use marketplace_leads::quarantine::{self, Quarantined};
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::secret::Secret;
use marketplace_leads::table::memory::{FaultKind, MemoryTable};
use marketplace_leads::table::{Continuation, Entity, Keys, Operation, Page, Query, Table, TableError};
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The first of the two keys that open the intake of these tests.
pub(crate) const KEY: &str = "first-key.0123456789";

/// The second.
pub(crate) const OTHER_KEY: &str = "second-key_~abcdefgh";

/// How a stub of SQS behaves.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sqs {
    Works,
    Refuses,
    Hangs,
    /// It answers 200 with this, which names no message.
    Says(&'static str),
    /// It answers 400 with this.
    Fails(&'static str),
}

/// A stub of SQS with what it has taken.
pub(crate) struct StubQueue {
    pub(crate) queue: Queue,
    messages: Arc<Mutex<Vec<String>>>,
}

impl StubQueue {
    pub(crate) async fn start(sqs: Sqs) -> Self {
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        let taken = messages.clone();
        let send = move |body: Bytes| async move {
            match sqs {
                Sqs::Works => {
                    let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    taken.lock().unwrap().push(request["MessageBody"].as_str().unwrap().to_owned());
                    (StatusCode::OK, r#"{"MessageId":"m1","MD5OfMessageBody":""}"#)
                }
                Sqs::Refuses => (StatusCode::BAD_REQUEST, r#"{"__type":"AccessDenied","message":"no"}"#),
                Sqs::Hangs => pending().await,
                Sqs::Says(answer) => (StatusCode::OK, answer),
                Sqs::Fails(answer) => (StatusCode::BAD_REQUEST, answer),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(send))).await });
        let url = format!("{endpoint}/000000000000/queue").parse().unwrap();
        Self { queue: Queue::new(sdk_config(&endpoint), url), messages }
    }

    /// The messages on the queue, as they were sent.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }

    /// The bodies on the queue.
    pub(crate) fn bodies(&self) -> Vec<QueuedBody> {
        self.messages().iter().map(|message| QueuedBody::from_json(message).unwrap()).collect()
    }
}

fn sdk_config(endpoint: &str) -> SdkConfig {
    let credentials = aws_sdk_sqs::config::Credentials::new("id", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(aws_sdk_sqs::config::SharedCredentialsProvider::new(credentials))
        .http_client(marketplace_leads::aws::http_client())
        .build()
}

/// A table that never answers.
#[derive(Clone)]
pub(crate) struct HangingTable;

impl Table for HangingTable {
    async fn insert(&self, _: &Entity) -> Result<(), TableError> {
        pending().await
    }

    async fn get(&self, _: &Keys) -> Result<Entity, TableError> {
        pending().await
    }

    async fn page(&self, _: &Query, _: Option<&Continuation>) -> Result<Page, TableError> {
        pending().await
    }

    async fn submit(
        &self,
        _: &str,
        _: &[Operation],
    ) -> Result<Vec<Option<marketplace_leads::table::ETag>>, TableError> {
        pending().await
    }

    async fn delete(&self, _: &Keys) -> Result<(), TableError> {
        pending().await
    }

    async fn create(&self) -> Result<(), TableError> {
        pending().await
    }
}

/// A table on which every call fails.
pub(crate) fn failing_table(error: TableError) -> MemoryTable {
    let table = MemoryTable::new();
    table.set_fault(Some(Box::new(move |_| Some(FaultKind::Before(error.clone())))));
    table
}

/// Both keys, which never change.
pub(crate) fn known_keys() -> KnownKeys {
    KnownKeys::fixed(&Secret::new(format!("{KEY},{OTHER_KEY}")))
}

/// An intake with both keys and a budget of five seconds.
pub(crate) fn intake<T: Table>(leads: T, state: T, queue: &StubQueue) -> Intake<T> {
    Intake {
        keys: known_keys(),
        leads,
        state,
        queue: queue.queue.clone(),
        chance: counted(),
        budget: Duration::from_secs(5),
    }
}

/// The numbers 0, 1, 2, … in the place of random ones, so that what is recorded is the same each time.
pub(crate) fn counted() -> Chance {
    let next = AtomicU64::new(0);
    Arc::new(move || next.fetch_add(1, Ordering::SeqCst))
}

/// What a state table holds: the quarantine, and the rows that its cues name. It holds nothing else.
pub(crate) fn held(state: &MemoryTable) -> (Vec<Quarantined>, Vec<Cued>) {
    let (quarantine, others): (Vec<_>, Vec<_>) =
        state.rows().into_iter().partition(|row| row.partition_key == quarantine::PARTITION);
    let cued = |row: &Entity| {
        assert_eq!(row.partition_key, cue::PARTITION);
        Cue::from_entity(row).unwrap().cued.unwrap()
    };
    (quarantine.iter().map(Quarantined::from_entity).collect(), others.iter().map(cued).collect())
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) json: serde_json::Value,
}

impl Read {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }
}

impl From<Answer> for Read {
    fn from(answer: Answer) -> Self {
        let json = serde_json::from_str(&answer.body).unwrap();
        Self { status: answer.status, headers: answer.headers, json }
    }
}

/// POSTs a body with the first key, as Lambda hands bytes over.
pub(crate) async fn post_bytes<T: Table>(intake: &Intake<T>, body: &[u8], now: Timestamp) -> Read {
    use base64::Engine as _;
    let body = base64::prelude::BASE64_STANDARD.encode(body);
    let query = format!("code={KEY}");
    let request = Request { method: "POST", path: "/leads", query: &query, body: Body::Base64(&body) };
    intake.answer(&request, "request-1", now).await.into()
}

/// POSTs a text with the first key.
pub(crate) async fn post_text<T: Table>(intake: &Intake<T>, body: &str, now: Timestamp) -> Read {
    let query = format!("code={KEY}");
    let request = Request { method: "POST", path: "/leads", query: &query, body: Body::Text(body) };
    intake.answer(&request, "request-1", now).await.into()
}

/// A time.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
