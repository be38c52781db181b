//! What is counted of each lead: alarms and the dashboard live on it.

use crate::stubs::{Sqs, StubQueue, at, counted, failing_table, intake, known_keys, post_text};
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::redelivery::Redelivery;
use marketplace_leads::table::TableError;
use marketplace_leads::table::memory::MemoryTable;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Holds every counter that was touched, and nothing else.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counters {
    fn take(&self) -> BTreeMap<String, u64> {
        let counters = std::mem::take(&mut *self.0.lock().unwrap());
        counters.into_iter().map(|(name, count)| (name, count.load(Ordering::SeqCst))).collect()
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.lock().unwrap().entry(key.name().to_owned()).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn each_lead_is_counted_as_what_became_of_it_by_intake_and_redelivery_alike() {
    const LEAD: &str = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"A"}"#;
    let counters = Counters::default();
    let _guard = metrics::set_default_local_recorder(&counters);
    let works = MemoryTable::new();
    let rejected = TableError::Rejected { status: 413, code: "RequestBodyTooLarge".to_owned() };
    let unavailable = TableError::Unavailable { reason: "down".to_owned() };
    let queue = StubQueue::start(Sqs::Works).await;
    for (leads, state, hour, intakes, redeliveries) in [
        (works.clone(), MemoryTable::new(), 8, "LeadsStored", &["LeadsDuplicate", "LeadsRedelivered"][..]),
        (works, MemoryTable::new(), 14, "LeadsStored", &["LeadsDuplicate", "LeadsRedelivered"]),
        (failing_table(rejected.clone()), MemoryTable::new(), 8, "LeadsQuarantined", &["LeadsQuarantined"]),
        (failing_table(rejected), failing_table(unavailable.clone()), 8, "LeadsQueued", &[]),
        (failing_table(unavailable), MemoryTable::new(), 8, "LeadsQueued", &[]),
    ] {
        let received = at(&format!("2026-11-22T{hour:02}:00:00Z"));
        post_text(&intake(leads.clone(), state.clone(), &queue), LEAD, received).await;
        assert_eq!(counters.take(), BTreeMap::from([(intakes.to_owned(), 1)]), "by intake");
        let message = QueuedBody::new(received, LEAD.as_bytes().to_vec()).to_json();
        let redelivery = Redelivery { leads, state, keys: known_keys(), chance: counted() };
        let done = redelivery.redeliver("m1", &message, received).await;
        assert_eq!(done.is_ok(), !redeliveries.is_empty());
        let expected = redeliveries.iter().map(|name| ((*name).to_owned(), 1)).collect();
        assert_eq!(counters.take(), expected, "by redelivery, after {intakes}");
    }
}
