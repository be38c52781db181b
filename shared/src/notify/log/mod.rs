//! The log: the only memory of what was found. Its rows hold the keys of leads in the order in which they were recorded,
//! and who owes them to somebody. Each channel has one cursor into it.
//!
//! Everything is in one partition, so that one atomic batch can change any of it together. Every batch writes the row
//! `core` and needs its version: a run that another one overtook cannot write any more.

mod bits;
mod history;
mod moving;
mod rows;

pub use history::{Outcome, RunRecord, runs};
pub(crate) use history::{run_key_before, run_operation};
pub(crate) use moving::LabelledRoutes;
pub(crate) use rows::{Channel, Core, Entry, Extra, Flight, LogRow, Parked, Pass, Progress, Resume, log_key};
pub use rows::{ChannelId, PARTITION, Position};

use super::NotifyError;
use super::run::{DEADLINE_MARGIN, TABLE_CALL};
use super::times;
use crate::clock::Clock;
use crate::cue::Cue;
use crate::table::{Continuation, Entity, Operation, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// The most leads of one row of the log.
pub(crate) const MAX_ENTRIES: usize = 500;

/// The most UTF-16 units of the keys in one row of the log, as JSON: half of what an entity may hold.
pub(crate) const MAX_KEY_UNITS: usize = 256 * 1024;

/// The most cues that one batch deletes, beside core, collect, a row of the log and every channel.
pub(crate) const MAX_CUES: usize = 45;

/// The most channels: each may be in one batch with all others.
pub const MAX_CHANNELS: usize = 48;

/// How long the lease is held after a batch. A run's own end cuts it short.
const LEASE: SignedDuration = SignedDuration::from_secs(90);

/// How much longer than a run the lease may last: the clocks of two runs differ.
const LEASE_BEYOND_DEADLINE: SignedDuration = SignedDuration::from_secs(5);

/// How often a batch is tried that another write or a failing service got in the way of.
const COMMIT_ATTEMPTS: usize = 4;

/// The most pages of the hot range that one run reads. Cues that do not fit wait for the next run.
const MAX_HOT_PAGES: usize = 3;

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

/// What is new, with the routes that owe it to somebody.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) routes: Vec<String>,
}

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
    /// Reads everything that a run must know of the state, with one range of keys: channels, collect, control, core and
    /// cues. Creates the state table where it is missing, since it is ours alone.
    pub(crate) async fn open(table: &T, clock: &Clock, owner: String, deadline: Timestamp) -> Result<Self, TableError> {
        let mut log = Self {
            table: table.clone(),
            clock: clock.clone(),
            owner,
            deadline,
            core: Core::default(),
            progress: Progress::default(),
            last_log: String::new(),
            is_paused: None,
            channels: BTreeMap::new(),
            cues: Vec::new(),
            previous: None,
            flights: BTreeMap::new(),
            writes: 0,
            is_held: false,
            is_uncertain: false,
        };
        let hot = Query {
            row_key_from: Some("c".to_owned()),
            row_key_before: Some("d".to_owned()),
            ..Query::partition(PARTITION)
        };
        let mut next = None;
        let mut pages = 0;
        loop {
            let page = match table.page(&hot, next.as_ref()).await {
                Err(TableError::TableNotFound) => {
                    create(table).await?;
                    break;
                }
                page => page?,
            };
            pages += usize::from(!page.entities.is_empty());
            for row in page.entities {
                log.read(row)?;
            }
            next = page.next;
            // Cues sort behind everything else: with one of them read, the rest was read.
            if next.is_none() || (pages >= MAX_HOT_PAGES && !log.cues.is_empty()) {
                break;
            }
        }
        Ok(log)
    }

    /// Takes in a row of the hot range. A damaged one is an error: half a row of ours would be a wrong state.
    fn read(&mut self, row: Entity) -> Result<(), TableError> {
        let row = &if Cue::from_entity(&row).is_some() { row } else { row.undamaged()? };
        match row.row_key.as_str() {
            rows::CORE => self.core = Core::from_entity(row),
            rows::COLLECT => {
                self.progress = Progress::from_entity(row);
                self.last_log = row.string("LastLog").unwrap_or_default().to_owned();
            }
            rows::CONTROL => self.is_paused = row.boolean("Paused"),
            moving::CHECKPOINT => self.previous = moving::unmoved(row),
            _ => {
                if let Some(channel) = Channel::from_entity(row) {
                    self.channels.insert(channel.id.clone(), channel);
                } else if let Some(cue) = Cue::from_entity(row) {
                    self.cues.push(cue);
                }
            }
        }
        Ok(())
    }

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
    /// A channel that owed nothing gets its `flight` at once: its first mail is about to go out.
    pub(crate) async fn record(
        &mut self,
        found: &[Found],
        progress: Progress,
        answered: &[String],
        digest_size: usize,
        ids: &mut DigestIds,
    ) -> Result<Option<LogRow>, NotifyError> {
        let (row, channels, last_log) = self.entered(found, digest_size, ids);
        let mut operations = vec![Operation::InsertOrReplace(progress.to_entity(&last_log))];
        operations.extend(row.iter().map(|row| Operation::Insert(row.to_entity())));
        operations.extend(channels.iter().map(|channel| Operation::InsertOrReplace(channel.to_entity())));
        operations.extend(answered.iter().map(|row_key| Operation::Delete { row_key: row_key.clone() }));
        self.commit(operations, true).await?;
        (self.progress, self.last_log) = (progress, last_log);
        self.cues.retain(|cue| !answered.contains(&cue.row_key));
        self.put(channels);
        Ok(row)
    }

    /// The row of the log for what was found, and the channels as they are with it.
    fn entered(
        &self,
        found: &[Found],
        digest_size: usize,
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
        for (index, Found { routes, .. }) in found.iter().enumerate() {
            for route in routes {
                let id = ChannelId::of(route);
                let known = || self.channels.get(&id).cloned().unwrap_or_else(|| Channel::new(route));
                let channel = channels.entry(id.clone()).or_insert_with(known);
                if channel.cursor >= channel.tail {
                    channel.owed = 0;
                    channel.cursor = Position::new(&key, 0);
                    channel.oldest = Some(now);
                }
                channel.owed += 1;
                channel.tail = Position::new(&key, index + 1);
                row.owed_by.entry(id).or_default().set(index);
            }
        }
        for channel in channels.values_mut() {
            let is_first = channel.cursor == Position::new(&key, 0);
            if is_first && channel.flight.is_none() && channel.attempts == 0 {
                let size = channel.limit.unwrap_or(digest_size).max(1);
                let last = row.owed(&channel.id, &channel.cursor).take(size).last();
                channel.flight =
                    last.map(|last| Flight { until: Position::new(&key, last + 1), id: ids.next(), done: Vec::new() });
            }
        }
        (Some(row), channels.into_values().collect(), key)
    }

    /// Notes what became of channels: what was delivered, refused or parked, and what is about to go out.
    pub(crate) async fn deliver(&mut self, channels: Vec<Channel>, parked: &[Parked]) -> Result<(), NotifyError> {
        let mut operations: Vec<_> =
            channels.iter().map(|channel| Operation::InsertOrReplace(channel.to_entity())).collect();
        operations.extend(parked.iter().map(|parked| Operation::InsertOrReplace(parked.to_entity())));
        self.commit(operations, true).await?;
        self.put(channels);
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

    /// Gives the lease back without a record of a run.
    pub(crate) async fn release(&mut self) -> Result<(), NotifyError> {
        if self.is_held { self.commit(Vec::new(), false).await } else { Ok(()) }
    }

    /// Makes sure that the lease lasts so long. A run that was held up may have been overtaken: it learns so here, before it
    /// sends what another run has sent.
    pub(crate) async fn keep_lease(&mut self, at_least: SignedDuration) -> Result<(), NotifyError> {
        let needed = times::later((self.clock)(), at_least);
        if self.core.lease_until.is_some_and(|until| until >= needed) { Ok(()) } else { self.seize().await }
    }

    /// Takes the lease.
    pub(crate) async fn seize(&mut self) -> Result<(), NotifyError> {
        self.commit(Vec::new(), true).await
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

    /// Writes a batch with core in it, all or nothing, and only if core is as this run knows it.
    ///
    /// An answer that was lost is no harm: what stands in the table afterwards tells whether the batch was written. A row
    /// to delete that is gone already is left out.
    async fn commit(&mut self, mut operations: Vec<Operation>, keep_lease: bool) -> Result<(), NotifyError> {
        if self.is_uncertain {
            return Err(NotifyError::Uncertain);
        }
        self.writes += 1;
        let mut core = Core { write_id: format!("{}-{}", self.owner, self.writes), ..self.core.clone() };
        let until =
            ((self.clock)() + LEASE).min(self.deadline.saturating_add(LEASE_BEYOND_DEADLINE).unwrap_or(self.deadline));
        (core.lease_owner, core.lease_until) =
            if keep_lease { (Some(self.owner.clone()), Some(until)) } else { (None, None) };
        operations.push(match &core.etag {
            Some(etag) => Operation::Replace(core.to_entity(), etag.clone()),
            None => Operation::Insert(core.to_entity()),
        });
        let mut last = None;
        for _ in 0..COMMIT_ATTEMPTS {
            if !self.has_time() {
                break;
            }
            let error = match self.table.submit(PARTITION, &operations).await {
                Ok(etags) => {
                    core.etag = etags.into_iter().next_back().flatten();
                    self.hold(core);
                    return Ok(());
                }
                Err(error) => error,
            };
            let is_open = error.is_transient()
                || matches!(error, TableError::Precondition | TableError::Exists | TableError::NotFound);
            if !is_open {
                return Err(error.into());
            }
            if !self.has_time() {
                last = Some(error);
                break;
            }
            let there = match self.table.get(PARTITION, rows::CORE).await {
                Ok(row) => Core::from_entity(&row),
                Err(TableError::NotFound) => Core::default(),
                Err(again) if again.is_transient() => {
                    last = Some(again);
                    continue;
                }
                Err(again) => return Err(again.into()),
            };
            if there.write_id == core.write_id {
                core.etag = there.etag;
                self.hold(core);
                return Ok(());
            }
            if there.etag != core.etag {
                return Err(NotifyError::LeaseLost);
            }
            if error == TableError::NotFound {
                self.drop_missing(&mut operations).await?;
            }
            last = Some(error);
        }
        self.is_uncertain = true;
        let unavailable = TableError::Unavailable { reason: "a batch could not be written".to_owned() };
        Err(last.unwrap_or(unavailable).into())
    }

    /// Whether one more call ends before the deadline, however long it takes.
    fn has_time(&self) -> bool {
        (self.clock)() <= times::earlier(self.deadline, TABLE_CALL + DEADLINE_MARGIN)
    }

    fn hold(&mut self, core: Core) {
        self.is_held = core.lease_owner.is_some();
        // When a run began, by the service's clock, is what it read first.
        self.core = Core { written: self.core.written, ..core };
    }

    /// Takes the deletions of rows that are gone out of a batch.
    async fn drop_missing(&self, operations: &mut Vec<Operation>) -> Result<(), TableError> {
        let mut there = Vec::with_capacity(operations.len());
        for operation in operations.drain(..) {
            if let Operation::Delete { row_key } = &operation
                && self.has_time()
                && matches!(self.table.get(PARTITION, row_key).await, Err(TableError::NotFound))
            {
                continue;
            }
            there.push(operation);
        }
        *operations = there;
        Ok(())
    }
}

async fn create<T: Table>(table: &T) -> Result<(), TableError> {
    match table.create().await {
        Ok(()) | Err(TableError::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Says whether runs are to do nothing. The row is one that runs never write.
pub(crate) async fn set_paused<T: Table>(table: &T, is_paused: bool) -> Result<(), TableError> {
    let row = Entity::new(PARTITION, rows::CONTROL).with("Paused", is_paused);
    match table.submit(PARTITION, &[Operation::InsertOrReplace(row.clone())]).await {
        Err(TableError::TableNotFound) => {
            create(table).await?;
            table.submit(PARTITION, &[Operation::InsertOrReplace(row)]).await.map(drop)
        }
        done => done.map(drop),
    }
}

/// A page of the log from a key on, in order. A page can be empty and still not be the last one.
pub(crate) async fn page<T: Table>(
    table: &T,
    from: &str,
    rows: u32,
    next: Option<&Continuation>,
) -> Result<(Vec<LogRow>, Option<Continuation>), TableError> {
    let query = Query { row_key_from: Some(from.max(rows::LOG).to_owned()), page_size: Some(rows), ..log_rows() };
    let page = table.page(&query, next).await?;
    Ok((page.entities.iter().filter_map(LogRow::from_entity).collect(), page.next))
}

/// The first rows that a query finds, however many empty pages come before them.
pub(crate) async fn page_of<T: Table>(table: &T, query: &Query) -> Result<Vec<Entity>, TableError> {
    let mut next = None;
    loop {
        let page = table.page(query, next.as_ref()).await?;
        next = page.next;
        if !page.entities.is_empty() || next.is_none() {
            return Ok(page.entities);
        }
    }
}

/// The query for all rows of the log.
fn log_rows() -> Query {
    rows_with_prefix(rows::LOG)
}

/// The keys of the rows of the log before a key.
pub(crate) fn log_before(key: &str) -> Query {
    Query { row_key_before: Some(key.to_owned()), ..log_rows() }
}

/// The query for what was given up.
pub(crate) fn parked_rows() -> Query {
    rows_with_prefix(rows::PARKED)
}

/// The rows that the version before this one wrote for digests.
pub(crate) fn previous_digests() -> Query {
    rows_with_prefix(moving::DIGEST)
}

pub(crate) fn rows_with_prefix(prefix: &str) -> Query {
    // The prefixes end with '-'; '.' is the character after it.
    let end = format!("{}.", prefix.trim_end_matches('-'));
    Query { row_key_from: Some(prefix.to_owned()), row_key_before: Some(end), ..Query::partition(PARTITION) }
}
