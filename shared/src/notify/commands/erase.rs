//! Erasing one person: from the leads table, the log, the contact index and the quarantine.
//!
//! It works in pages. Where time runs out, the answer says where to go on, so that it ends on a table of any size.
//!
//! What is theirs is marked in the log before it is deleted, and the marks are taken away at the end: where an erasure breaks
//! off, runs neither mail what is marked nor take it for something new; and what is written under the same keys after the end
//! is new.

use super::Person;
use crate::lead::StoredLead;
use crate::mail::Mailer;
use crate::notify::log::{self, Entry, LogRow, Parked};
use crate::notify::run::{Run, TABLE_CALL};
use crate::notify::times::later;
use crate::notify::{Notifier, NotifyError, contacts};
use crate::quarantine::{self, Quarantined};
use crate::table::{Continuation, Entity, Keys, MAX_BATCH_OPERATIONS, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of one page of the leads table.
const PAGE_SIZE: u32 = 500;

/// The rows of one page of the quarantine, whose rows are large.
const QUARANTINE_PAGE_SIZE: u32 = 50;

/// How many rows of the log are read at a time.
const LOG_ROWS: u32 = 16;

/// How many rows of the log one batch writes anew: each may hold half a megabyte.
const LOG_ROWS_A_BATCH: usize = 3;

/// How often the lease is renewed.
const RENEWAL: SignedDuration = SignedDuration::from_secs(30);

const LEADS: &str = "leads";
const QUARANTINE: &str = "quarantine";
const LOG: &str = "log";

/// What is looked through, in this order.
const PARTS: [&str; 3] = [LEADS, QUARANTINE, LOG];

/// Whether a text is a place at which an erasure can go on.
pub(super) fn is_place(text: &str) -> bool {
    place(text).is_some()
}

fn place(text: &str) -> Option<(&'static str, Option<Continuation>)> {
    let (part, next) = text.split_once(':')?;
    let part = PARTS.into_iter().find(|known| *known == part)?;
    match next {
        "" => Some((part, None)),
        next => Some((part, Some(Continuation::parse(next)?))),
    }
}

/// What an erasure found, counted by partition.
#[derive(Default)]
struct Erasure {
    leads: BTreeMap<String, usize>,
    state: BTreeMap<&'static str, usize>,
    rows_read: usize,
    is_to_delete: bool,
    renewed: Option<Timestamp>,
    /// Whether time ran out within a page, which is to be looked through once more.
    is_out_of_time: bool,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Erases one person, or counts what that would remove, from a place on.
    ///
    /// With `confirm` it holds the lease, so that no run notes the person again meanwhile.
    pub(super) async fn erase(
        &self,
        person: &Person,
        confirm: bool,
        after: Option<String>,
        id: &str,
        deadline: Timestamp,
    ) -> Result<Json, NotifyError> {
        let mut run = self.begin(id, deadline).await?;
        if confirm {
            if run.log.is_busy() {
                return Err(NotifyError::Busy);
            }
            match run.log.seize().await {
                Err(NotifyError::LeaseLost) => return Err(NotifyError::Busy),
                seized => seized?,
            }
        }
        let mut erasure = Erasure { is_to_delete: confirm, renewed: Some(self.now()), ..Erasure::default() };
        let done = self.erase_from(person, after, &mut run, &mut erasure).await;
        run.log.release().await?;
        let left = done?;
        let leads: usize = erasure.leads.values().sum();
        let complete = left.is_none();
        tracing::info!(confirm, leads, complete, "a person was looked for");
        let rows =
            json!({ &self.settings.storage.table: erasure.leads, &self.settings.storage.state_table: erasure.state });
        let mut answer = json!({
            (if confirm { "removed" } else { "would_remove" }): rows,
            "rows_read": erasure.rows_read,
            "complete": complete,
        });
        if let Some(after) = left {
            answer["after"] = after.into();
        }
        Ok(answer)
    }

    /// Looks through both tables from a place on. Gives the place where it ended, if not everything was looked through.
    async fn erase_from(
        &self,
        person: &Person,
        after: Option<String>,
        run: &mut Run<T>,
        erasure: &mut Erasure,
    ) -> Result<Option<String>, NotifyError> {
        let (first, mut next) = after.as_deref().and_then(place).unwrap_or((LEADS, None));
        for part in PARTS.into_iter().skip_while(|part| *part != first) {
            loop {
                if !run.has_time(self.now(), TABLE_CALL * 6) {
                    let next = next.as_ref().map(Continuation::to_text).unwrap_or_default();
                    return Ok(Some(format!("{part}:{next}")));
                }
                self.renew(run, erasure).await?;
                next = match part {
                    LEADS => self.erase_leads(person, next.take(), run, erasure).await?,
                    QUARANTINE => self.erase_bodies(person, next.take(), run, erasure).await?,
                    // Without `confirm` nothing was marked.
                    _ if !erasure.is_to_delete => None,
                    _ => self.end_marks(person, next.take(), run).await?,
                };
                if erasure.is_out_of_time {
                    let next = next.as_ref().map(Continuation::to_text).unwrap_or_default();
                    return Ok(Some(format!("{part}:{next}")));
                }
                if next.is_none() {
                    break;
                }
            }
        }
        for form in person.forms() {
            self.erase_contact(&contacts::key(form), erasure).await?;
        }
        Ok(None)
    }

    async fn renew(&self, run: &mut Run<T>, erasure: &mut Erasure) -> Result<(), NotifyError> {
        let now = self.now();
        if erasure.is_to_delete && erasure.renewed.is_none_or(|renewed| now >= later(renewed, RENEWAL)) {
            run.log.seize().await?;
            erasure.renewed = Some(now);
        }
        Ok(())
    }

    /// One page of the leads table: what is theirs is marked in the log, then deleted, then forgotten.
    async fn erase_leads(
        &self,
        person: &Person,
        from: Option<Continuation>,
        run: &mut Run<T>,
        erasure: &mut Erasure,
    ) -> Result<Option<Continuation>, NotifyError> {
        let query = Query { page_size: Some(PAGE_SIZE), ..Query::default() };
        let page = self.leads.page(&query, from.as_ref()).await?;
        erasure.rows_read += page.entities.len();
        let theirs: Vec<&Entity> = page.entities.iter().filter(|row| person.is_in_row(row)).collect();
        if erasure.is_to_delete && !theirs.is_empty() {
            let entry = |row: &&Entity| Entry::Lead(row.keys());
            let entries: Vec<_> = theirs.iter().map(entry).collect();
            if !self.mark_in_log(person, run, erasure, &entries).await? {
                erasure.is_out_of_time = true;
                return Ok(from);
            }
        }
        let mut contacts = BTreeSet::new();
        for row in theirs {
            if erasure.is_to_delete {
                if !run.has_time(self.now(), TABLE_CALL * 5) {
                    erasure.is_out_of_time = true;
                    break;
                }
                self.renew(run, erasure).await?;
                remove(&self.leads, &row.keys()).await?;
            }
            *erasure.leads.entry(row.partition_key.clone()).or_default() += 1;
            // A name may stand around the address, and then the index knows both together. Whoever only names the address is
            // another person.
            let stored =
                StoredLead::from_entity(row).ok().filter(|stored| person.is_in(&stored.lead.normalized_email()));
            contacts.extend(stored.as_ref().and_then(contacts::person));
        }
        contacts.retain(|contact| person.forms().iter().all(|form| contacts::key(form) != *contact));
        for contact in contacts {
            self.erase_contact(&contact, erasure).await?;
        }
        Ok(if erasure.is_out_of_time { from } else { page.next })
    }

    /// One page of the quarantine.
    async fn erase_bodies(
        &self,
        person: &Person,
        from: Option<Continuation>,
        run: &mut Run<T>,
        erasure: &mut Erasure,
    ) -> Result<Option<Continuation>, NotifyError> {
        let query = Query { page_size: Some(QUARANTINE_PAGE_SIZE), ..Query::partition(quarantine::PARTITION) };
        let page = self.state.page(&query, from.as_ref()).await?;
        erasure.rows_read += page.entities.len();
        let is_theirs = |row: &Entity| person.is_in_body(&Quarantined::from_entity(row).body);
        let theirs: Vec<_> = page.entities.iter().filter(|row| is_theirs(row)).map(Entity::keys).collect();
        if erasure.is_to_delete && !theirs.is_empty() {
            let entries: Vec<_> = theirs.iter().map(|keys| Entry::Quarantined(keys.row.clone())).collect();
            if !self.mark_in_log(person, run, erasure, &entries).await? {
                erasure.is_out_of_time = true;
                return Ok(from);
            }
        }
        for keys in theirs {
            if erasure.is_to_delete {
                if !run.has_time(self.now(), TABLE_CALL * 5) {
                    erasure.is_out_of_time = true;
                    return Ok(from);
                }
                self.renew(run, erasure).await?;
                remove(&self.state, &keys).await?;
            }
            *erasure.state.entry(quarantine::PARTITION).or_default() += 1;
        }
        Ok(page.next)
    }

    async fn erase_contact(&self, key: &str, erasure: &mut Erasure) -> Result<(), NotifyError> {
        match self.state.get(&Keys::new(contacts::PARTITION, key)).await {
            Ok(_) => {}
            Err(TableError::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        erasure.rows_read += 1;
        *erasure.state.entry(contacts::PARTITION).or_default() += 1;
        if erasure.is_to_delete {
            remove(&self.state, &Keys::new(contacts::PARTITION, key)).await?;
        }
        Ok(())
    }

    /// Marks entries of the log as about to be erased, and deletes what was given up of them. What stands behind them keeps its
    /// place. Says whether there was time for all of it.
    async fn mark_in_log(
        &self,
        person: &Person,
        run: &mut Run<T>,
        erasure: &mut Erasure,
        entries: &[Entry],
    ) -> Result<bool, NotifyError> {
        let theirs: BTreeSet<_> = entries.iter().map(|entry| entry.json().to_string()).collect();
        let mark = |entry: &Entry| {
            let is_theirs = theirs.contains(&entry.json().to_string());
            is_theirs.then(|| Entry::Erasing { entry: Box::new(entry.clone()), person: person.mark() })
        };
        let mut next = None;
        loop {
            // A page, and the batches that write its rows anew.
            if !run.has_time(self.now(), TABLE_CALL * 7) {
                return Ok(false);
            }
            self.renew(run, erasure).await?;
            next = self.change_log(run, next, mark).await?;
            if next.is_none() {
                break;
            }
        }
        self.erase_parked(run, erasure, &theirs).await
    }

    /// Deletes what was given up of these entries, so that `retry` tells nobody of it. Says whether there was time for all
    /// of it.
    async fn erase_parked(
        &self,
        run: &mut Run<T>,
        erasure: &mut Erasure,
        theirs: &BTreeSet<String>,
    ) -> Result<bool, NotifyError> {
        let mut next = None;
        loop {
            if !run.has_time(self.now(), TABLE_CALL * 5) {
                return Ok(false);
            }
            self.renew(run, erasure).await?;
            let page = self.state.page(&log::parked_rows(), next.as_ref()).await?;
            let parked = page.entities.iter().filter_map(Parked::from_entity);
            let parked = parked.filter(|parked| theirs.contains(&parked.entry.json().to_string()));
            let keys: Vec<_> = parked.map(|parked| parked.row_key()).collect();
            for keys in keys.chunks(MAX_BATCH_OPERATIONS - 1) {
                run.log.maintain(|_| {}, keys).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(true);
            }
        }
    }

    /// Takes what was marked for this person out of one page of the log, in this call or in one that broke off: all of it is
    /// deleted.
    async fn end_marks(
        &self,
        person: &Person,
        from: Option<Continuation>,
        run: &mut Run<T>,
    ) -> Result<Option<Continuation>, NotifyError> {
        let mark = person.mark();
        let end = |entry: &Entry| match entry {
            Entry::Erasing { person, .. } if *person == mark => Some(Entry::Erased),
            _ => None,
        };
        self.change_log(run, from, end).await
    }

    /// Changes entries of one page of the log.
    async fn change_log(
        &self,
        run: &mut Run<T>,
        from: Option<Continuation>,
        change: impl Fn(&Entry) -> Option<Entry>,
    ) -> Result<Option<Continuation>, NotifyError> {
        let (rows, next) = log::page(&self.state, "", LOG_ROWS, from.as_ref()).await?;
        let changed = |mut row: LogRow| {
            let mut is_changed = false;
            for entry in &mut row.entries {
                if let Some(other) = change(entry) {
                    (*entry, is_changed) = (other, true);
                }
            }
            is_changed.then_some(row)
        };
        let rows: Vec<_> = rows.into_iter().filter_map(changed).collect();
        for rows in rows.chunks(LOG_ROWS_A_BATCH) {
            run.log.rewrite(rows).await?;
        }
        Ok(next)
    }
}

/// Deletes a row that may be gone already.
async fn remove<T: Table>(table: &T, keys: &Keys) -> Result<(), TableError> {
    match table.delete(keys).await {
        Ok(()) | Err(TableError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}
