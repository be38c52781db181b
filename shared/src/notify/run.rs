//! A run under way: its clock, its log, and what it still holds in memory.

use super::NotifyError;
use super::collect::Item;
use super::contacts::People;
use super::deliver::{Effect, Questions};
use super::log::{ChannelId, DigestIds, Log, LogRow, RunRecord};
use super::times::earlier;
use crate::mail::MAX_SEND;
use crate::table::Table;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The longest that one call of the table, with its retries, takes.
pub(crate) const TABLE_CALL: SignedDuration = SignedDuration::from_secs(10);

/// The longest that one send of the mail service, with its retries, takes.
pub(crate) const SEND: SignedDuration = SignedDuration::from_secs(MAX_SEND.as_secs().cast_signed());

/// How long before its deadline a run must be over.
pub(crate) const DEADLINE_MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// The most bytes of found leads that are held until they are sent. What does not fit is read again.
const MEMORY_BYTES: usize = 6 * 1024 * 1024;

/// A run under way.
pub(crate) struct Run<T> {
    pub(crate) id: String,
    /// When it began, by our clock.
    pub(crate) started: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) log: Log<T>,
    pub(crate) record: RunRecord,
    pub(crate) requests_before: u64,
    pub(crate) ids: DigestIds,
    pub(crate) recent: Recent,
    /// Whether a partition of the leads table could be read in this run.
    pub(crate) has_read: bool,
    pub(crate) unreadable: Unreadable,
    pub(crate) people: People,
    /// Whether something is left because time ran out.
    pub(crate) is_stopped: bool,
    /// What this run may still ask the mail service about recipients.
    pub(crate) questions: Questions,
    /// The channels whose destination failed, until the operator is told.
    pub(crate) failed_channels: Vec<(ChannelId, Effect)>,
}

impl<T: Table> Run<T> {
    /// Whether so much time is left that calls which take as long as this can begin, with what must follow them: a batch
    /// that notes their outcome, and the one that ends the run.
    pub(crate) fn has_time(&self, now: Timestamp, calls: SignedDuration) -> bool {
        now <= self.latest(calls)
    }

    /// The latest time at which calls can begin that take as long as this.
    pub(crate) fn latest(&self, calls: SignedDuration) -> Timestamp {
        earlier(self.deadline, calls + TABLE_CALL * 2 + DEADLINE_MARGIN)
    }

    /// Notes how a part ended. Only what leaves this run without its lease keeps the next part from its work.
    pub(crate) fn part(&mut self, part: &str, done: Result<(), NotifyError>) -> Result<(), NotifyError> {
        match done {
            Err(error) if error.ends_run() => Err(error),
            Err(error) => {
                self.failed(part, &error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Notes the first thing that went wrong. The run goes on with its other parts.
    pub(crate) fn failed(&mut self, part: &str, error: &NotifyError) {
        tracing::error!(run = self.id, part, error = %error, "a part of the run failed; the others go on");
        self.record.error.get_or_insert_with(|| error.to_string());
    }
}

/// Partitions of which rows could not be read in this run, and how many since one could be.
#[derive(Default)]
pub(crate) struct Unreadable(Mutex<BTreeMap<String, u32>>);

impl Unreadable {
    /// After so many rows that could not be read, the others of a partition are not asked for any more.
    const PATIENCE: u32 = 3;

    /// Notes whether a row of a partition could be read.
    pub(crate) fn note(&self, partition_key: &str, is_read: bool) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_read {
            failures.remove(partition_key);
        } else {
            *failures.entry(partition_key.to_owned()).or_default() += 1;
        }
    }

    /// Whether a partition's rows are not asked for any more.
    pub(crate) fn is_given_up(&self, partition_key: &str) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(partition_key).is_some_and(|failures| *failures >= Self::PATIENCE)
    }
}

/// What this run recorded and still holds in memory, so that it need not be read again to be sent.
#[derive(Default)]
pub(crate) struct Recent {
    rows: BTreeMap<String, (LogRow, Vec<Item>)>,
    bytes: usize,
    /// Whether a row was left out. Those behind it are left out as well, so that the rows held have no gap.
    is_full: bool,
}

impl Recent {
    /// Holds a row of the log with its items, as long as there is room.
    pub(crate) fn put(&mut self, row: LogRow, items: Vec<Item>) {
        let bytes: usize = items.iter().map(Item::bytes).sum();
        self.is_full |= self.bytes + bytes > MEMORY_BYTES;
        if !self.is_full {
            self.bytes += bytes;
            self.rows.insert(row.key.clone(), (row, items));
        }
    }

    /// An item, if it is held.
    pub(crate) fn item(&self, row: &str, index: usize) -> Option<&Item> {
        self.rows.get(row)?.1.get(index)
    }

    /// The rows held from a key on, if this key is among them: everything behind it was recorded by this run.
    pub(crate) fn rows_from(&self, key: &str) -> Option<Vec<&LogRow>> {
        self.rows.contains_key(key).then(|| self.rows.range(key.to_owned()..).map(|(_, (row, _))| row).collect())
    }

    /// Lets everything go.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
