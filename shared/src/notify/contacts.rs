//! The contact index: what each person did before, so that repeats are marked with their history.
//!
//! Keyed by a hash of the normalised address; it holds times, actions and offers, and neither names nor addresses. Of one
//! person it holds a bounded number of actions with bounded texts.

use super::NotifyError;
use super::times::earlier;
use crate::lead::StoredLead;
use crate::mail::PastAction;
use crate::table::{Continuation, Entity, Keys, MAX_BATCH_OPERATIONS, Operation, Query, Table, TableError};
use futures::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The partition of the index.
pub const PARTITION: &str = "contacts";

/// The most rows that are read at once.
const READS_AT_ONCE: usize = 16;

/// The most actions that are remembered of one person.
const MAX_ACTIONS: usize = 50;

/// The most characters of an offer, and of an action's code, that are remembered.
const MAX_TEXT: usize = 100;

/// For how many people that would have to be looked up one page of the index's keys is read instead.
const PEOPLE_A_PAGE: usize = 8;

/// The most keys that are held: eight bytes each.
const MAX_KEYS: usize = 500_000;

/// The most people that are held.
const MAX_PEOPLE: usize = 2_000;

/// About the most bytes of one batch of people.
const BATCH_BYTES: usize = 1024 * 1024;

/// The index's keys, as far as they were read, in their order: who is missing there has no row, and need not be looked
/// up. A backlog of thousands of leads costs some pages then instead of a request for each person.
///
/// This holds as long as the lease does, since nobody else writes the index meanwhile. What has no lease (a dry run, a
/// backfill) writes nothing to it, and may show a history without what a run notes at the same time.
#[derive(Default)]
struct KnownPeople {
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

impl KnownPeople {
    /// Reads on, a page for every [`PEOPLE_A_PAGE`] of those who would have to be looked up.
    async fn read_on<T: Table>(
        &mut self,
        state: &T,
        people: &[String],
        may_go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), TableError> {
        let unknown = people.iter().filter(|key| self.may_have(key)).count();
        let query = Query { select: vec!["RowKey"], ..Query::partition(PARTITION) };
        for _ in 0..unknown / PEOPLE_A_PAGE {
            let from = match &self.end {
                End::Everything => return Ok(()),
                _ if !may_go_on() => return Ok(()),
                _ if self.read.len() >= MAX_KEYS => return Ok(()),
                End::Nothing => None,
                End::Row(_, next) => Some(next),
            };
            check_time(may_go_on)?;
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

/// What is known about people, as far as this run had to do with them.
#[derive(Default)]
pub(super) struct People {
    keys: KnownPeople,
    people: BTreeMap<String, Vec<KnownAction>>,
    /// Whether what is noted is only for this run: nothing is written.
    pub(super) is_read_only: bool,
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

impl People {
    /// Notes leads in the index: reads what it knows about their people, adds what they do now, and writes back what has
    /// changed. Noting a lead twice changes nothing. `may_go_on` is asked before each call.
    pub(super) async fn note<'a, T: Table>(
        &mut self,
        state: &T,
        leads: impl Iterator<Item = &'a StoredLead> + Clone,
        window: SignedDuration,
        now: Timestamp,
        may_go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), NotifyError> {
        if self.people.len() > MAX_PEOPLE {
            self.people.clear();
        }
        let read = self.read(state, leads.clone(), may_go_on).await;
        let mut changed = BTreeSet::new();
        for stored in leads {
            if let Some(person) = self.add(stored) {
                changed.insert(person);
            }
        }
        // Of whom nothing could be read, nothing is written: it would replace what is there.
        read?;
        if self.is_read_only { Ok(()) } else { self.write(state, changed, window, now, may_go_on).await }
    }

    async fn read<'a, T: Table>(
        &mut self,
        state: &T,
        leads: impl Iterator<Item = &'a StoredLead>,
        may_go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), TableError> {
        let people: BTreeSet<_> = leads.filter_map(person).filter(|person| !self.people.contains_key(person)).collect();
        let people: Vec<_> = people.into_iter().collect();
        self.keys.read_on(state, &people, may_go_on).await?;
        let (known, new): (Vec<_>, Vec<_>) = people.into_iter().partition(|key| self.keys.may_have(key));
        let read = |key: String| async move {
            check_time(may_go_on)?;
            let actions = match state.get(&Keys::new(PARTITION, &key)).await {
                Ok(row) => serde_json::from_str(&row.text("Actions").unwrap_or_default()).unwrap_or_default(),
                Err(TableError::NotFound) => Vec::new(),
                Err(error) => return Err(error),
            };
            Ok((key, actions))
        };
        let mut reads = stream::iter(known).map(read).buffered(READS_AT_ONCE);
        while may_go_on()
            && let Some(read) = reads.next().await
        {
            let (key, actions) = read?;
            self.people.insert(key, actions);
        }
        self.people.extend(new.into_iter().map(|key| (key, Vec::new())));
        Ok(())
    }

    /// Adds what a lead's person did; gives the person where that is new.
    fn add(&mut self, stored: &StoredLead) -> Option<String> {
        let (person, time) = (person(stored)?, stored.time()?);
        let actions = self.people.get_mut(&person)?;
        let row = row(stored);
        if actions.iter().any(|action| action.row == row) {
            return None;
        }
        let cut = |text: &str| text.chars().take(MAX_TEXT).collect();
        let (action, offer) = (cut(stored.lead.action().code()), cut(&stored.lead.offer()));
        actions.push(KnownAction { time, action, offer, row });
        Some(person)
    }

    /// What the person of this lead did before it, within the window, newest first.
    pub(super) fn history(&self, stored: &StoredLead, window: SignedDuration) -> Vec<PastAction> {
        let (Some(person), Some(time)) = (person(stored), stored.time()) else { return Vec::new() };
        let row = row(stored);
        let earliest = earlier(time, window);
        let is_earlier = |action: &&KnownAction| {
            let is_before = action.time < time || (action.time == time && action.row < row);
            is_before && action.row != row && action.time >= earliest
        };
        let mut history: Vec<_> = self.people.get(&person).into_iter().flatten().filter(is_earlier).collect();
        history.sort_by_key(|action| std::cmp::Reverse(action.time));
        let past = |action: &KnownAction| PastAction {
            time: action.time,
            action_code: action.action.clone(),
            offer: action.offer.clone(),
        };
        history.into_iter().map(past).collect()
    }

    async fn write<T: Table>(
        &mut self,
        state: &T,
        changed: BTreeSet<String>,
        window: SignedDuration,
        now: Timestamp,
        may_go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), NotifyError> {
        self.keys.read.extend(changed.iter().map(|key| short(key)));
        let mut batch = Vec::new();
        let mut bytes = 0;
        for person in changed {
            let Some(actions) = self.people.get_mut(&person) else { continue };
            actions.retain(|action| action.time >= earlier(now, window));
            actions.sort_by_key(|action| std::cmp::Reverse(action.time));
            actions.truncate(MAX_ACTIONS);
            if actions.is_empty() {
                continue;
            }
            let mut entity = Entity::new(PARTITION, person);
            entity.set_text("Actions", &serde_json::json!(actions).to_string());
            let operation = Operation::InsertOrReplace(entity);
            bytes += operation.bytes();
            batch.push(operation);
            if batch.len() == MAX_BATCH_OPERATIONS || bytes >= BATCH_BYTES {
                check_time(may_go_on)?;
                state.submit(PARTITION, &batch).await?;
                (batch, bytes) = (Vec::new(), 0);
            }
        }
        if !batch.is_empty() {
            check_time(may_go_on)?;
            state.submit(PARTITION, &batch).await?;
        }
        Ok(())
    }
}

/// Leads are sent without a history where there is no time to read it.
fn check_time(may_go_on: &(dyn Fn() -> bool + Send + Sync)) -> Result<(), TableError> {
    if may_go_on() {
        return Ok(());
    }
    Err(TableError::Unavailable { reason: "time ran out before the contact index was read".to_owned() })
}

/// The row of a lead's person; `None` for leads without an address and for test leads.
pub(super) fn person(stored: &StoredLead) -> Option<String> {
    let email = stored.lead.normalized_email();
    (!email.is_empty() && !stored.lead.is_test()).then(|| key(&email))
}

/// The row of a normalised address.
pub(super) fn key(email: &str) -> String {
    hex::encode(Sha256::digest(email))
}

fn row(stored: &StoredLead) -> String {
    hex::encode(&Sha256::digest(format!("{}\n{}", stored.keys.partition, stored.keys.row))[..8])
}
