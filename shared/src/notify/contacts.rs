//! The contact index: what each person did before, so that repeats are marked with their history.
//!
//! Keyed by a hash of the normalised address; it holds times, actions and offers, and neither names nor addresses.

use super::NotifyError;
use crate::lead::StoredLead;
use crate::mail::PastAction;
use crate::table::{Continuation, Entity, MAX_BATCH_OPERATIONS, Operation, Query, Table, TableError};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};

/// The partition of the index.
pub const PARTITION: &str = "contacts";

/// The most rows that are read at once.
const READS_AT_ONCE: usize = 16;

/// The most actions that are remembered of one person.
const MAX_ACTIONS: usize = 50;

/// So many people are looked up for each page of the index's keys that is read with them.
const PEOPLE_A_PAGE: usize = 8;

/// The most keys that are held: eight bytes each.
const MAX_KEYS: usize = 500_000;

/// The index's keys, as far as they were read, in their order: who is missing there has no row, and need not be looked
/// up. A backlog of thousands of leads costs some pages then instead of a request for each person.
///
/// Holds as long as the lease does, since nobody else writes the index meanwhile. What has no lease (a dry run, a backfill)
/// writes nothing to it, and may show a history without what a run notes at the same time.
#[derive(Default)]
pub(super) struct Keys {
    read: HashSet<u64>,
    end: End,
}

/// How far keys were read.
#[derive(Default)]
enum End {
    #[default]
    Nothing,
    /// Up to this row.
    Row(String, Continuation),
    Everything,
}

impl Keys {
    /// Reads on, a page for every [`PEOPLE_A_PAGE`] of those who would have to be looked up.
    async fn read_on<T: Table>(&mut self, state: &T, people: &[String]) -> Result<(), TableError> {
        let unknown = people.iter().filter(|key| self.may_have(key)).count();
        let query = Query { select: vec!["RowKey"], ..Query::partition(PARTITION) };
        for _ in 0..unknown / PEOPLE_A_PAGE {
            let from = match &self.end {
                End::Everything => return Ok(()),
                _ if self.read.len() >= MAX_KEYS => return Ok(()),
                End::Nothing => None,
                End::Row(_, next) => Some(next),
            };
            let page = state.page(&query, from).await?;
            self.read.extend(page.entities.iter().map(|entity| short(&entity.row_key)));
            self.end = match (page.next, page.entities.into_iter().next_back(), std::mem::take(&mut self.end)) {
                (None, ..) => End::Everything,
                (Some(next), Some(last), _) => End::Row(last.row_key, next),
                (Some(next), None, End::Row(last, _)) => End::Row(last, next),
                (Some(next), None, _) => End::Row(String::new(), next),
            };
        }
        Ok(())
    }

    /// Whether a person may have a row.
    fn may_have(&self, key: &str) -> bool {
        let is_beyond = match &self.end {
            End::Nothing => true,
            End::Row(last, _) => key > last.as_str(),
            End::Everything => false,
        };
        is_beyond || self.read.contains(&short(key))
    }
}

/// The first half of a row's hash.
fn short(key: &str) -> u64 {
    u64::from_str_radix(key.get(..16).unwrap_or_default(), 16).unwrap_or_default()
}

/// What is known about the people of some leads.
#[derive(Default)]
pub(super) struct Contacts {
    people: BTreeMap<String, Vec<KnownAction>>,
    window: SignedDuration,
}

/// One action of one person.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct KnownAction {
    time: Timestamp,
    action: String,
    offer: String,
    /// A hash of the lead's keys, so that the same lead counts once however often it is noted.
    row: String,
}

impl Contacts {
    /// Reads what the index knows about the people of these leads.
    pub(super) async fn read<T: Table>(
        state: &T,
        keys: &mut Keys,
        leads: impl Iterator<Item = &StoredLead>,
        window: SignedDuration,
    ) -> Result<Self, TableError> {
        let mut people: Vec<_> = leads.filter_map(person).collect();
        people.sort();
        people.dedup();
        keys.read_on(state, &people).await?;
        let (known, new): (Vec<_>, Vec<_>) = people.into_iter().partition(|key| keys.may_have(key));
        let read = |key: String| async move {
            let actions = match state.get(PARTITION, &key).await {
                Ok(entity) => serde_json::from_str(&entity.text("Actions").unwrap_or_default()).unwrap_or_default(),
                Err(TableError::NotFound) => Vec::new(),
                Err(error) => return Err(error),
            };
            Ok((key, actions))
        };
        let mut people: BTreeMap<_, _> =
            stream::iter(known).map(read).buffer_unordered(READS_AT_ONCE).try_collect().await?;
        people.extend(new.into_iter().map(|key| (key, Vec::new())));
        Ok(Self { people, window })
    }

    /// Notes a lead.
    pub(super) fn note(&mut self, stored: &StoredLead) {
        let (Some(person), Some(time)) = (person(stored), stored.time()) else { return };
        let actions = self.people.entry(person).or_default();
        let row = row(stored);
        if actions.iter().all(|action| action.row != row) {
            let (action, offer) = (stored.lead.action().code().to_owned(), stored.lead.offer());
            actions.push(KnownAction { time, action, offer, row });
        }
    }

    /// What the person of this lead did before it, within the window, newest first.
    pub(super) fn history(&self, stored: &StoredLead) -> Vec<PastAction> {
        let (Some(person), Some(time)) = (person(stored), stored.time()) else { return Vec::new() };
        let row = row(stored);
        let earlier = |action: &&KnownAction| {
            let is_before = action.time < time || (action.time == time && action.row < row);
            is_before && action.row != row && action.time >= time - self.window
        };
        let mut history: Vec<_> = self.people.get(&person).into_iter().flatten().filter(earlier).collect();
        history.sort_by_key(|action| std::cmp::Reverse(action.time));
        let past = |action: &KnownAction| PastAction {
            time: action.time,
            action_code: action.action.clone(),
            offer: action.offer.clone(),
        };
        history.into_iter().map(past).collect()
    }

    /// Writes everything that is known back. Writing the same again changes nothing.
    pub(super) async fn write<T: Table>(&self, state: &T, keys: &mut Keys, now: Timestamp) -> Result<(), NotifyError> {
        keys.read.extend(self.people.keys().map(|key| short(key)));
        let operations: Vec<_> = self
            .people
            .iter()
            .map(|(person, actions)| {
                let recent = actions.iter().filter(|action| action.time >= now - self.window);
                let mut recent: Vec<_> = recent.collect();
                recent.sort_by_key(|action| std::cmp::Reverse(action.time));
                recent.truncate(MAX_ACTIONS);
                let mut entity = Entity::new(PARTITION, person);
                entity.set_text("Actions", &serde_json::json!(recent).to_string());
                Operation::InsertOrReplace(entity)
            })
            .collect();
        for batch in operations.chunks(MAX_BATCH_OPERATIONS) {
            state.submit(PARTITION, batch).await?;
        }
        Ok(())
    }

    /// The query for people who did nothing within the window.
    pub(super) fn expired(window: SignedDuration, now: Timestamp) -> Query {
        Query { written_before: Some(now - window), ..Query::partition(PARTITION) }
    }
}

/// The row of a lead's person; `None` for leads without an address and for test leads.
fn person(stored: &StoredLead) -> Option<String> {
    let email = stored.lead.normalized_email();
    (!email.is_empty() && !stored.lead.is_test()).then(|| key(&email))
}

/// The row of a normalised address.
pub(super) fn key(email: &str) -> String {
    hex(&Sha256::digest(email))
}

fn row(stored: &StoredLead) -> String {
    hex(&Sha256::digest(format!("{}\n{}", stored.partition_key, stored.row_key))[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
