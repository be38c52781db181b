//! The notifier's process, the table service and the mail service of one test.

use crate::mail::{MailService, name};
use bench::{Build, Lambda, Subject};
use jiff::{SignedDuration, Timestamp};
use local_cloud::partition_of;
use marketplace_leads::lead::Lead;
use marketplace_leads::quarantine::Quarantined;
use marketplace_leads::table::azure::AzureTable;
use marketplace_leads::table::{Entity, Keys, Operation as TableOperation, Table as _, TableError};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::strict_table::{Asked, Fault, Operation, Settings, StrictTable};

/// The table with the leads.
pub(crate) const LEADS: &str = "Leads";

/// The state table.
pub(crate) const STATE: &str = "State";

/// The schedule's event.
pub(crate) const RUN: &str = r#"{"command":"run"}"#;

/// How many bytes are a megabyte in the limits of memory.
pub(crate) const MB: f64 = 1e6;

/// Everything but the notifier's process.
pub(crate) struct World {
    /// The table service.
    pub(crate) table: StrictTable,
    /// The mail service.
    pub(crate) mail: MailService,
    /// Searches for the next partition, seen by the table service.
    pub(crate) hops: Arc<Mutex<Hops>>,
    subject: Subject,
}

/// What was seen of the requests that search for the next partition.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    /// How many there were.
    pub(crate) count: usize,
    /// When each was, in the steps that the mail service counts, too.
    pub(crate) steps: Vec<u64>,
    /// How long each takes.
    pub(crate) wait: Duration,
}

impl World {
    /// With empty tables, and the notifier in this build.
    pub(crate) async fn start(build: Build) -> Self {
        let steps = Arc::new(AtomicU64::new(0));
        let mail = MailService::start(steps.clone()).await;
        let table = StrictTable::start(Settings::default()).unwrap();
        table.create(LEADS).unwrap();
        table.create(STATE).unwrap();
        let hops = Arc::new(Mutex::new(Hops::default()));
        let seen = hops.clone();
        table.set_faults(Some(Box::new(move |asked: &Asked| {
            // Of all queries of the leads, these alone name no partition.
            let is_hop = asked.operation == Operation::Query
                && asked.table.as_deref() == Some(LEADS)
                && asked.partition_key.is_none();
            let mut hops = seen.lock().unwrap();
            is_hop.then(|| {
                hops.count += 1;
                hops.steps.push(steps.fetch_add(1, Ordering::SeqCst));
                Fault::Wait(hops.wait)
            })
        })));
        Self { table, mail, hops, subject: Subject::built("lead-notifier", build).await.unwrap() }
    }

    /// Starts the notifier's process.
    pub(crate) async fn notifier(&self) -> Lambda {
        let (connection, mail) = (self.table.connection_string(), self.mail.address());
        let environment = [
            ("LEADS_STORAGE_CONNECTION_STRING", connection.as_str()),
            ("LEADS_TABLE", LEADS),
            ("LEADS_STATE_TABLE", STATE),
            ("LEADS_MAIL_FROM", "leads@contoso.example"),
            ("LEADS_MAIL_TO", "sales@contoso.example"),
            ("LEADS_INTERVAL_MINUTES", "1"),
            ("LEADS_CADENCE", "immediately"),
            ("LEADS_OVERLAP_MINUTES", "1"),
            ("AWS_ENDPOINT_URL_SESV2", &mail),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Lambda::start(&self.subject, &environment).await.unwrap()
    }

    /// A client of the leads, or of the state.
    pub(crate) fn open(&self, table: &str) -> AzureTable {
        self.table.open(table).unwrap()
    }

    /// Writes rows into the leads as if they had been written at this time.
    pub(crate) fn write(&self, rows: impl IntoIterator<Item = Entity>, written: Timestamp) {
        self.table.fill(LEADS, rows, written);
    }

    /// Ends the lease of a run that was killed, instead of waiting for up to 90 seconds.
    pub(crate) async fn end_lease(&self) {
        let state = self.open(STATE);
        loop {
            let mut core = match state.get(&Keys::new("notifier", "core")).await {
                Err(TableError::NotFound) => return,
                core => core.unwrap(),
            };
            core.set("LeaseUntil", Timestamp::UNIX_EPOCH);
            let etag = core.etag.clone().unwrap();
            // What the run sent before it was killed may be done only now.
            match state.submit("notifier", &[TableOperation::Replace(core, etag)]).await {
                Err(TableError::Precondition) => {}
                written => return drop(written.unwrap()),
            }
        }
    }
}

/// One run: its record.
pub(crate) async fn run(notifier: &mut Lambda, event: &str) -> Value {
    let outcome = notifier.invoke(event).await.unwrap();
    serde_json::from_slice(&outcome.body).unwrap()
}

/// A row as Microsoft writes it.
pub(crate) fn lead(number: usize, partition: &str) -> Entity {
    let name = name(number);
    let customer = json!({ "FirstName": name, "LastName": "Doe", "Email": format!("{name}@fabrikam.example") });
    Entity::new(partition, format!("{number:08}-5b2f-4b8e-9d0c-0123456789ab"))
        .with("ActionCode", "INS")
        .with("CreatedTime", "11/22/2026 9:41:00 AM")
        .with("CustomerInfo", customer.to_string())
        .with("Description", "We back up 40 TB every night and our contract ends in January. When can we talk?")
        .with("LeadSource", "AzureMarketplace|contoso.backup-suite")
        .with("OfferDisplayName", "Backup Suite")
}

/// A body of this many bytes that is no lead.
pub(crate) fn unreadable_body(number: usize, bytes: usize) -> (Vec<u8>, marketplace_leads::lead::Unreadable) {
    let mut body = format!("{{\"FirstName\": {} ", name(number)).into_bytes();
    body.resize(bytes, b'x');
    let unreadable = Lead::from_json(&body).unwrap_err();
    (body, unreadable)
}

/// The same as the row that is kept.
pub(crate) fn quarantined(number: usize, bytes: usize, now: Timestamp) -> Quarantined {
    let (body, unreadable) = unreadable_body(number, bytes);
    Quarantined::new(&body, &unreadable, now)
}

/// The partition of so many days ago.
pub(crate) fn day(days_ago: usize, now: Timestamp) -> String {
    partition_of(now - SignedDuration::from_hours(24 * i64::try_from(days_ago).unwrap()))
}

/// Whether everything is asked at full size.
pub(crate) fn is_full() -> bool {
    std::env::var("LEADS_TRUST").is_ok_and(|value| value == "full")
}
