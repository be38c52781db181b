//! The log: the only memory of what was found. Its rows hold the keys of leads in the order in which they were recorded,
//! and who owes them to somebody. Each channel has one cursor into it.
//!
//! Everything is in one partition, so that one atomic batch can change any of it together. Every batch writes the row
//! `core` and needs its version: a run that another one overtook cannot write any more.

mod bits;
mod fence;
mod history;
mod moving;
mod open;
mod put_off;
mod queries;
mod rows;

pub use history::{Outcome, RunRecord, runs};
pub(crate) use history::{run_key_before, run_operation};
pub(crate) use moving::LabelledRoutes;
pub(crate) use open::set_paused;
pub(crate) use queries::{
    days, days_before, log_before, page, page_of, parked_rows, parked_rows_of, previous_digests, rows_with_prefix,
};
pub(crate) use rows::{
    Channel, Core, Counted, Entry, Extra, Flight, LogRow, Parked, Pass, Progress, Resume, Suppression, Suppressions,
    Target, Told, Urgent, day_key, log_key,
};
pub use rows::{ChannelId, PARTITION, Position};

use super::NotifyError;
use crate::clock::Clock;
use crate::cue::Cue;
use crate::mail::Counts;
use crate::table::{Entity, Operation, Table};
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::BTreeMap;

/// The most leads of one row of the log.
pub(crate) const MAX_ENTRIES: usize = 500;

/// The most UTF-16 units of the keys in one row of the log, as JSON: half of what an entity may hold.
pub(crate) const MAX_KEY_UNITS: usize = 256 * 1024;

/// The most cues that one batch deletes, beside core, collect, a row of the log and every channel.
pub(crate) const MAX_CUES: usize = 45;

/// The log as one run, or one command, sees it and changes it.
pub(crate) struct Log<T> {
    table: T,
    clock: Clock,
    owner: String,
    deadline: Timestamp,
    core: Core,
    progress: Progress,
    last_log: String,
    /// Whether runs are to do nothing, where a command has said so.
    is_paused: Option<bool>,
    channels: BTreeMap<ChannelId, Channel>,
    counted: Counted,
    suppressions: Suppressions,
    /// Whether something was noted of them that is not written yet.
    has_new_suppressions: bool,
    cues: Vec<Cue>,
    /// The checkpoint of the version before this one, as long as it was not moved over.
    previous: Option<Entity>,
    /// The channels whose flight this run wrote down, and whether it began to send it.
    flights: BTreeMap<ChannelId, bool>,
    writes: usize,
    /// Whether a batch was written, so that the lease is this run's.
    is_held: bool,
    /// Whether it is not known what the last batch did: nothing may be written any more.
    is_uncertain: bool,
}

/// What a batch brings to the counts of a day; `None` where it brings nothing.
pub(crate) type Brought = Option<(Date, Counts)>;

/// What is new, with those who are owed it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) entry: Entry,
    /// None twice.
    pub(crate) owed_to: Vec<Owed>,
}

/// Somebody who is owed what was found.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub(crate) target: Target,
    /// Whether it is to go out at once.
    pub(crate) is_urgent: bool,
    /// Whether its destination may have it already.
    pub(crate) is_maybe: bool,
}

/// Whether a channel sends now what it owes.
pub(crate) type SendsNow<'a> = &'a (dyn Fn(&Channel) -> bool + Sync);

/// Makes the ids of a run's digests: they sort by time, and name their run.
pub(crate) struct DigestIds {
    run: String,
    time: Timestamp,
    number: usize,
}

impl DigestIds {
    pub(crate) fn new(run: &str, time: Timestamp) -> Self {
        Self { run: run.to_owned(), time, number: 0 }
    }

    pub(crate) fn next(&mut self) -> String {
        self.number += 1;
        format!("{}-{}-{:04}", self.time.strftime("%Y%m%dT%H%M%SZ"), self.run, self.number)
    }
}

impl<T: Table> Log<T> {
    /// Whether nothing was ever written here.
    pub(crate) fn is_new(&self) -> bool {
        self.core.written.is_none()
    }

    /// Whether another run is at work, of this version or of the one before.
    pub(crate) fn is_busy(&self) -> bool {
        let now = (self.clock)();
        self.core.is_leased(now) || self.previous.as_ref().is_some_and(|row| moving::is_leased(row, now))
    }

    /// Whether this run wrote something, so that the lease is its own.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Whether runs are to do nothing: as a command said last, or else as the version before this one was told.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.unwrap_or_else(|| self.previous.as_ref().is_some_and(moving::is_paused))
    }

    /// The row that every batch writes.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// How far reading has come.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The cues that were left and not yet followed.
    pub(crate) fn cues(&self) -> &[Cue] {
        &self.cues
    }

    /// What was counted lately.
    pub(crate) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// What the mail service said of recipients.
    pub(crate) fn suppressions(&self) -> &Suppressions {
        &self.suppressions
    }

    /// Notes what the mail service said of a recipient. It is written with what is noted next of a delivery.
    pub(crate) fn note_suppression(&mut self, hash: String, answer: Suppression) {
        self.suppressions.note(hash, answer);
        self.has_new_suppressions = true;
    }

    /// Notes that the operator was told of a recipient.
    pub(crate) async fn note_told_of_recipients(&mut self, hashes: &[String]) -> Result<(), NotifyError> {
        hashes.iter().for_each(|hash| self.suppressions.note_told(hash));
        self.has_new_suppressions = true;
        self.deliver(Vec::new(), &[], &None).await
    }

    /// The channels that ever owed something.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// One channel.
    pub(crate) fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.channels.get(id)
    }

    /// Records what was found, together with the progress of reading that it stands for and the rows (cues, or what was
    /// given up and is put back) that it answers. This is the only function that writes progress and deletes such rows. Gives the new row of the log; nothing where
    /// nothing was found.
    ///
    /// A channel that owed nothing and sends now gets its `flight` at once: its first mail is about to go out.
    pub(crate) async fn record(
        &mut self,
        found: &[Found],
        progress: Progress,
        answered: &[String],
        (digest_size, sends_now): (usize, SendsNow<'_>),
        ids: &mut DigestIds,
        brought: &Brought,
    ) -> Result<Option<LogRow>, NotifyError> {
        let (row, channels, last_log) = self.entered(found, digest_size, sends_now, ids);
        let mut operations = vec![Operation::InsertOrReplace(progress.to_entity(&last_log))];
        operations.extend(row.iter().map(|row| Operation::Insert(row.to_entity())));
        operations.extend(channels.iter().map(|channel| Operation::InsertOrReplace(channel.to_entity())));
        operations.extend(answered.iter().map(|row_key| Operation::Delete { row_key: row_key.clone() }));
        let counted = self.counting(brought, &mut operations);
        self.commit(operations, true).await?;
        self.counted = counted;
        (self.progress, self.last_log) = (progress, last_log);
        self.cues.retain(|cue| !answered.contains(&cue.row_key));
        self.put(channels);
        Ok(row)
    }

    /// The key of the next row of the log.
    pub(crate) fn next_row(&self) -> String {
        rows::next_log_key((self.clock)(), &self.last_log)
    }

    /// The row of the log for what was found, and the channels as they are with it.
    fn entered(
        &self,
        found: &[Found],
        digest_size: usize,
        sends_now: SendsNow<'_>,
        ids: &mut DigestIds,
    ) -> (Option<LogRow>, Vec<Channel>, String) {
        if found.is_empty() {
            return (None, Vec::new(), self.last_log.clone());
        }
        let now = (self.clock)();
        let key = rows::next_log_key(now, &self.last_log);
        let entries = found.iter().map(|found| found.entry.clone()).collect();
        let mut row = LogRow { key: key.clone(), entries, owed_by: BTreeMap::new() };
        let mut channels: BTreeMap<ChannelId, Channel> = BTreeMap::new();
        for (index, Found { owed_to, .. }) in found.iter().enumerate() {
            for Owed { target, is_urgent, is_maybe } in owed_to {
                let id = target.channel();
                let known = || self.channels.get(&id).cloned().unwrap_or_else(|| Channel::new(target));
                let channel = channels.entry(id.clone()).or_insert_with(known);
                if channel.cursor >= channel.tail {
                    channel.owed = 0;
                    channel.cursor = Position::new(&key, 0);
                    channel.oldest = Some(now);
                }
                channel.owed += 1;
                channel.tail = Position::new(&key, index + 1);
                if *is_urgent {
                    channel.hurry(now);
                }
                if *is_maybe {
                    channel.maybe = channel.tail.clone();
                }
                row.owed_by.entry(id).or_default().set(index);
            }
        }
        for channel in channels.values_mut() {
            let is_first = channel.cursor == Position::new(&key, 0);
            if is_first && channel.flight.is_none() && channel.attempts == 0 && sends_now(channel) {
                let size = channel.limit.unwrap_or(digest_size).max(1);
                let last = row.owed(&channel.id, &channel.cursor).take(size).last();
                channel.flight =
                    last.map(|last| Flight { until: Position::new(&key, last + 1), id: ids.next(), done: Vec::new() });
            }
        }
        (Some(row), channels.into_values().collect(), key)
    }

    /// Notes what became of channels: what was delivered, refused or parked, and what is about to go out.
    pub(crate) async fn deliver(
        &mut self,
        channels: Vec<Channel>,
        parked: &[Parked],
        brought: &Brought,
    ) -> Result<(), NotifyError> {
        let mut operations: Vec<_> =
            channels.iter().map(|channel| Operation::InsertOrReplace(channel.to_entity())).collect();
        operations.extend(parked.iter().map(|parked| Operation::InsertOrReplace(parked.to_entity())));
        if self.has_new_suppressions {
            operations.push(Operation::InsertOrReplace(self.suppressions.to_entity()));
        }
        let counted = self.counting(brought, &mut operations);
        self.commit(operations, true).await?;
        self.counted = counted;
        self.has_new_suppressions = false;
        self.put(channels);
        Ok(())
    }

    /// The counts with what a batch brings, and the operations that write them in this batch: two at most.
    fn counting(&self, brought: &Brought, operations: &mut Vec<Operation>) -> Counted {
        let Some((day, counts)) = brought.as_ref().filter(|(_, counts)| *counts != Counts::default()) else {
            return self.counted.clone();
        };
        let (counted, ended) = self.counted.with(*day, counts);
        operations.extend(ended.map(Operation::InsertOrReplace));
        operations.push(Operation::InsertOrReplace(counted.to_entity()));
        counted
    }

    /// Notes that a route's summary of a day went out.
    pub(crate) async fn note_summary(&mut self, route: &str, day: Date) -> Result<(), NotifyError> {
        let mut counted = self.counted.clone();
        counted.told.insert(route.to_owned(), day);
        self.commit(vec![Operation::InsertOrReplace(counted.to_entity())], true).await?;
        self.counted = counted;
        Ok(())
    }

    /// Gives the lease back, and records the run. Flights that were planned and never begun are taken back.
    pub(crate) async fn finish(&mut self, run: &RunRecord) -> Result<(), NotifyError> {
        let unbegun = self.unbegun();
        let mut operations: Vec<_> =
            unbegun.iter().map(|channel| Operation::InsertOrReplace(channel.to_entity())).collect();
        operations.push(run_operation(run));
        self.commit(operations, false).await?;
        self.put(unbegun);
        Ok(())
    }

    /// Writes the first progress, which covers nothing yet. Takes no lease.
    pub(crate) async fn write_progress(&mut self, progress: Progress) -> Result<(), NotifyError> {
        self.commit(vec![Operation::InsertOrReplace(progress.to_entity(&self.last_log))], false).await?;
        self.progress = progress;
        Ok(())
    }

    /// Once an hour, where there was nothing to do: moves the watermark and sums up the idle runs. Takes no lease.
    pub(crate) async fn heartbeat(&mut self, progress: Progress, idle: &RunRecord) -> Result<(), NotifyError> {
        let operations = vec![Operation::InsertOrReplace(progress.to_entity(&self.last_log)), run_operation(idle)];
        self.commit(operations, false).await?;
        self.progress = progress;
        Ok(())
    }

    /// Changes what core notes beside the lease, and deletes rows with it.
    pub(crate) async fn maintain(
        &mut self,
        change: impl FnOnce(&mut Core),
        delete: &[String],
    ) -> Result<(), NotifyError> {
        let before = self.core.clone();
        change(&mut self.core);
        let delete = delete.iter().map(|row_key| Operation::Delete { row_key: row_key.clone() });
        let done = self.commit(delete.collect(), true).await;
        if done.is_err() {
            self.core = before;
        }
        done
    }

    /// Writes rows of the log anew: what was erased is taken out of them.
    pub(crate) async fn rewrite(&mut self, rows: &[LogRow]) -> Result<(), NotifyError> {
        self.commit(rows.iter().map(|row| Operation::InsertOrReplace(row.to_entity())).collect(), true).await
    }

    /// Forgets channels that owe nothing.
    pub(crate) async fn forget(&mut self, ids: &[ChannelId]) -> Result<(), NotifyError> {
        let delete = |id: &ChannelId| Operation::Delete { row_key: format!("{}{id}", rows::CHANNEL) };
        self.commit(ids.iter().map(delete).collect(), true).await?;
        self.channels.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    /// Whether the flight of a channel, if any, was written down by this run and not begun: nobody can have sent it.
    pub(crate) fn is_unbegun(&self, id: &ChannelId) -> bool {
        self.flights.get(id) == Some(&false)
    }

    /// Notes that a flight is about to be sent.
    pub(crate) fn begin_flight(&mut self, id: &ChannelId) {
        self.flights.insert(id.clone(), true);
    }

    /// The channels with a flight that this run planned and did not begin, without it.
    pub(crate) fn unbegun(&self) -> Vec<Channel> {
        let planned =
            self.flights.iter().filter(|(_, is_begun)| !**is_begun).filter_map(|(id, _)| self.channels.get(id));
        planned
            // What some recipients have already is no plan any more.
            .filter(|channel| channel.flight.as_ref().is_some_and(|flight| flight.done.is_empty()))
            .map(|channel| Channel { flight: None, ..channel.clone() })
            .collect()
    }

    fn put(&mut self, channels: Vec<Channel>) {
        for channel in channels {
            let before = self.channels.get(&channel.id).and_then(|known| known.flight.as_ref());
            if channel.flight.is_some() && before != channel.flight.as_ref() {
                self.flights.insert(channel.id.clone(), false);
            }
            self.channels.insert(channel.id.clone(), channel);
        }
    }
}
