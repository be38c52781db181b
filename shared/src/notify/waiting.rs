//! What a run would find now, without lease or writes.

use super::find::{days, pages, queries};
use super::state::{Checkpoint, State};
use super::{Item, NotifyError, item, quarantined, window_start};
use crate::table::Table;
use futures::StreamExt as _;
use jiff::Timestamp;
use std::pin::pin;
use std::time::Duration;

/// What waits for the next run. A sweep may find more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Leads that are no tests.
    pub leads: usize,
    /// Test leads, those of `lead-validation` left out.
    pub tests: usize,
    /// Rows that are no leads.
    pub unreadable: usize,
    /// Quarantined bodies.
    pub quarantined: usize,
    /// When the newest of the leads was written.
    pub newest_lead: Option<Timestamp>,
    /// When the newest of the test leads was written.
    pub newest_test_lead: Option<Timestamp>,
}

/// Counts what waits for the next run, up to `most` rows and bodies.
///
/// # Errors
/// Where a table cannot be read.
pub async fn waiting<T: Table>(
    leads: &T,
    state: &T,
    checkpoint: &Checkpoint,
    (overlap, first_lookback): (Duration, Duration),
    now: Timestamp,
    most: usize,
) -> Result<Waiting, NotifyError> {
    let window = (window_start(checkpoint, now, overlap, first_lookback), now);
    let mut waiting = Waiting::default();
    for item in new_items(leads, state, window, checkpoint.full_reads, most).await? {
        match item {
            Item::Lead(stored) if stored.lead.is_validation() => {}
            Item::Lead(stored) if stored.lead.is_test() => {
                waiting.tests += 1;
                waiting.newest_test_lead = waiting.newest_test_lead.max(stored.timestamp);
            }
            Item::Lead(stored) => {
                waiting.leads += 1;
                waiting.newest_lead = waiting.newest_lead.max(stored.timestamp);
            }
            Item::Unreadable(_) => waiting.unreadable += 1,
            Item::Quarantined(_) => waiting.quarantined += 1,
        }
    }
    Ok(waiting)
}

/// What a run would find that reads the rows of a window, at most `most` items.
pub(super) async fn new_items<T: Table>(
    leads: &T,
    state: &T,
    (from, now): (Timestamp, Timestamp),
    full_reads: bool,
    most: usize,
) -> Result<Vec<Item>, NotifyError> {
    let mut known = State::new(state.clone()).known_rows(from).await?;
    let mut items = Vec::new();
    let mut pages = pin!(pages(leads, queries(from, None, &days(from, now), full_reads)));
    while let Some(page) = pages.next().await {
        for entity in page? {
            if items.len() < most && known.insert(&entity.partition_key, &entity.row_key) {
                items.push(item(&entity));
            }
        }
    }
    for (entity, body) in quarantined(state, from).await? {
        if items.len() < most && known.insert(crate::quarantine::PARTITION, &entity.row_key) {
            items.push(Item::Quarantined(body));
        }
    }
    Ok(items)
}
