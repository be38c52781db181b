//! The notifier: finds new rows, whoever wrote them, and mails them; never misses one, and marks what it may repeat.
//!
//! A run takes the lease, sends what an earlier run recorded but did not see sent, reads the rows written since the
//! watermark less the overlap, leaves out those that recorded digests hold, and sends the rest in digests of bounded
//! size. Each digest is recorded before it is sent. `docs/architecture.md` walks through every crash.

mod command;
mod contacts;
mod erase;
mod find;
#[cfg(test)]
mod interleavings;
mod routing;
mod state;
#[cfg(test)]
mod tests;
mod waiting;

pub use command::{Command, CommandError};
pub use contacts::PARTITION as CONTACTS_PARTITION;
pub use erase::Address;
pub use state::{Checkpoint, DigestRecord, DigestStatus, Outcome, PARTITION, RunRecord, State};
pub use waiting::{Waiting, waiting};

use crate::address::{MailAddress, texts};
use crate::lead::days;
use crate::lead::{Day, Origin, StoredLead};
use crate::mail::{
    Digest, DigestLead, Language, MailError, Mailer, Occasion, QuarantinedBody, RenderSettings, Rendered, Silence,
    UnreadableLead, render, render_silence,
};
use crate::quarantine::{self, Quarantined};
use crate::settings::NotifierSettings;
use crate::table::{Entity, MAX_BATCH_OPERATIONS, Operation, Query, Table, TableError, Value};
use contacts::Contacts;
use find::KnownRows;
pub(crate) use find::{pages, queries};
use futures::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use routing::{Destination, destinations, recipients};
use state::{CLOCK_MARGIN, digest_id};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How long before its deadline a run begins nothing new: a digest takes some seconds at worst.
const DEADLINE_MARGIN: SignedDuration = SignedDuration::from_secs(20);

/// How much longer than its deadline a run holds the lease.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// How far behind the watermark falls at most when no leads come, so that silence does not widen the window.
const IDLE_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// The most bytes of rows in one digest: SES takes mails of 10 MB, encoding included.
const DIGEST_BYTES: usize = 3 * 1024 * 1024;

/// The most digests that may wait to be sent; beyond it a run takes in nothing new.
const MAX_PENDING: usize = 500;

/// The most rows that are fetched at once to send a recorded digest.
const READS_AT_ONCE: usize = 16;

/// How much of a quarantined body stands in a digest.
const EXCERPT_CHARACTERS: usize = 500;

/// How often what is too old is deleted.
const MAINTENANCE_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// Why a run, or a command, could not be done. Holds no person and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The table with the leads, or the state table, failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A mail could not be sent.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Another run took the lease over.
    #[error("another run is at work")]
    LeaseLost,
    /// Another run holds the lease; nothing was done.
    #[error("a run is at work: try again in some minutes; nothing was done")]
    Busy,
    /// A run failed; it is recorded as such.
    #[error("the run failed: {0}")]
    RunFailed(String),
    /// A backfill stopped before its deadline.
    #[error("time ran out after {digests} digests with {leads} leads were sent: ask for a shorter time")]
    Incomplete {
        /// Digests sent.
        digests: usize,
        /// Leads in them.
        leads: usize,
    },
    /// What the state table holds makes no sense.
    #[error("the state table: {0}")]
    State(String),
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The notifier. `T` is the table, `M` the mail service.
#[derive(Clone)]
pub struct Notifier<T, M> {
    /// The table with the leads. Nothing but `erase` writes to it.
    pub leads: T,
    /// The state table.
    pub state: T,
    /// The mail service.
    pub mailer: M,
    /// The settings.
    pub settings: NotifierSettings,
    /// The language of the mails.
    pub language: &'static Language,
    /// Tells the time.
    pub clock: Clock,
    /// How many requests were made to the table service so far.
    pub requests: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// What a digest is made of.
enum Item {
    Lead(Box<StoredLead>),
    Unreadable(UnreadableLead),
    Quarantined(QuarantinedBody),
}

/// Items on their way into digests.
#[derive(Default)]
struct Chunk {
    items: Vec<Item>,
    bytes: usize,
}

/// A run under way.
struct Run {
    id: String,
    /// Its name as the holder of the lease: another one each time, since one invocation can be delivered twice.
    owner: String,
    /// When it began, by our clock.
    started: Timestamp,
    /// When it took the lease, by the service's clock. Whatever is compared with the rows' `Timestamp` starts from this.
    began: Timestamp,
    deadline: Timestamp,
    checkpoint: Checkpoint,
    record: RunRecord,
    requests_before: u64,
    digests: usize,
    writes: usize,
    /// What goes with the checkpoint and could not be written yet.
    unwritten: Vec<Operation>,
    /// The first thing that went wrong with a mail.
    failure: Option<MailError>,
    /// How many sends in a row found the mail service unavailable: it is not asked for ever.
    unavailable: usize,
    /// Routes whose recipients the mail service refused: they are tried once a run.
    refused: Vec<Option<String>>,
    known_people: contacts::Keys,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// What the notifier remembers.
    pub fn memory(&self) -> State<T> {
        State::new(self.state.clone())
    }

    /// One run, under this id. Begins nothing new shortly before `deadline`.
    ///
    /// # Errors
    /// Where not even the run's outcome could be recorded. A run that was recorded as failed is no error here: the
    /// caller has to look at [`RunRecord::outcome`].
    pub async fn run(&self, id: &str, deadline: Timestamp) -> Result<RunRecord, NotifyError> {
        let mut run = self.new_run(id, deadline).await?;
        if run.checkpoint.is_leased(run.started) {
            return Ok(self.busy(run));
        }
        if run.checkpoint.paused {
            tracing::warn!(run = id, "the notifier is paused: nothing is read, nothing is lost");
            run.record.outcome = Outcome::Paused;
            self.sum_up(&mut run);
            // Without the lease nobody writes the checkpoint: another run may have it by now.
            self.memory().record(&run.record).await?;
            return Ok(run.record);
        }
        if !self.take_lease(&mut run).await? {
            return Ok(self.busy(run));
        }
        match self.work(&mut run).await {
            Ok(()) => {}
            Err(NotifyError::LeaseLost) => return Err(NotifyError::LeaseLost),
            Err(error) => {
                run.record.outcome = Outcome::Failed;
                run.record.error = Some(error.to_string());
            }
        }
        if let Some(failure) = &run.failure {
            run.record.outcome = Outcome::Failed;
            run.record.error.get_or_insert_with(|| failure.to_string());
        }
        self.finish(run).await
    }

    /// What there is before a run does anything.
    async fn new_run(&self, id: &str, deadline: Timestamp) -> Result<Run, NotifyError> {
        let started = (self.clock)();
        let requests_before = (self.requests)();
        let checkpoint = self.memory().checkpoint_or_new(self.first_watermark(started)).await?;
        let record = RunRecord {
            run: id.to_owned(),
            started,
            duration_ms: 0,
            outcome: Outcome::Complete,
            leads: 0,
            leads_by_https: 0,
            quarantined: 0,
            mailed: 0,
            digests: 0,
            mails: 0,
            pending: checkpoint.pending.len(),
            requests: 0,
            error: None,
        };
        Ok(Run {
            id: id.to_owned(),
            owner: format!("{id} {:016x}", RandomState::new().build_hasher().finish()),
            started,
            began: started,
            deadline,
            checkpoint,
            record,
            requests_before,
            digests: 0,
            writes: 0,
            unwritten: Vec::new(),
            failure: None,
            unavailable: 0,
            refused: Vec::new(),
            known_people: contacts::Keys::default(),
        })
    }

    /// Takes the lease; says whether it is ours.
    async fn take_lease(&self, run: &mut Run) -> Result<bool, NotifyError> {
        run.checkpoint.lease_owner = Some(run.owner.clone());
        run.checkpoint.lease_until = Some(run.deadline + LEASE_MARGIN);
        match self.commit(run, Vec::new()).await {
            Ok(()) => Ok(true),
            Err(NotifyError::LeaseLost) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn give_lease_back(&self, run: &mut Run, operations: Vec<Operation>) -> Result<(), NotifyError> {
        run.checkpoint.lease_owner = None;
        run.checkpoint.lease_until = None;
        self.commit(run, operations).await
    }

    fn busy(&self, mut run: Run) -> RunRecord {
        tracing::info!(run = run.id, "another run is at work: nothing to do");
        run.record.outcome = Outcome::Busy;
        self.sum_up(&mut run);
        run.record
    }

    fn sum_up(&self, run: &mut Run) {
        run.record.duration_ms = (self.clock)().duration_since(run.started).as_millis().try_into().unwrap_or(i64::MAX);
        run.record.pending = run.checkpoint.pending.len();
        run.record.requests = (self.requests)().saturating_sub(run.requests_before);
    }

    /// Gives the lease back and records the run.
    async fn finish(&self, mut run: Run) -> Result<RunRecord, NotifyError> {
        self.sum_up(&mut run);
        let operation = State::<T>::run_operation(&run.record);
        self.give_lease_back(&mut run, vec![operation]).await?;
        Ok(run.record)
    }

    async fn commit(&self, run: &mut Run, operations: Vec<Operation>) -> Result<(), NotifyError> {
        run.writes += 1;
        run.unwritten.extend(operations);
        let write_id = format!("{}-{}", run.owner, run.writes);
        let done = self.memory().commit(&mut run.checkpoint, run.unwritten.clone(), &run.owner, write_id).await;
        // Where it is not known whether it was written, it is written again with the next checkpoint: they belong together.
        if !matches!(&done, Err(NotifyError::Table(error)) if error.is_transient()) {
            run.unwritten.clear();
        }
        done
    }

    async fn work(&self, run: &mut Run) -> Result<(), NotifyError> {
        run.began = self.memory().written().await?.unwrap_or(run.started);
        let mut is_complete = self.send_pending(run).await?;
        let from = self.window_start(&run.checkpoint, run.began);
        run.checkpoint.newest_lead.get_or_insert(run.began);
        let full_reads = run.checkpoint.full_reads;
        let sweep =
            self.settings.schedule.sweep.filter(|_| !full_reads).and_then(|interval| match run.checkpoint.swept {
                Some(swept) if run.began < swept + span(interval) => None,
                Some(swept) => Some(swept - span(self.settings.schedule.overlap)),
                None => Some(from),
            });
        let mut known = self.memory().known_rows(sweep.unwrap_or(from).min(from)).await?;
        let days = days(from, run.began);
        let mut chunk = Chunk::default();
        let mut newest = None;
        {
            let mut pages = pin!(pages(&self.leads, queries(from, None, &days, full_reads)));
            'pages: while let Some(page) = pages.next().await {
                for entity in page? {
                    if !is_complete || !known.insert(&entity.partition_key, &entity.row_key) {
                        continue;
                    }
                    newest = newest.max(entity.timestamp);
                    is_complete = self.take(run, &mut chunk, item(&entity), &entity).await?;
                    if !is_complete {
                        break 'pages;
                    }
                }
            }
        }
        if is_complete {
            for (entity, body) in quarantined(&self.state, from).await? {
                if is_complete && known.insert(quarantine::PARTITION, &entity.row_key) {
                    is_complete = self.take(run, &mut chunk, Item::Quarantined(body), &entity).await?;
                }
            }
        }
        if let (true, Some(from)) = (is_complete, sweep) {
            is_complete = self.sweep(run, from, &days, &mut known, &mut chunk).await?;
        }
        // Rows that came while this run read are read again by the next one.
        let watermark = [run.checkpoint.watermark, newest.map(|newest| newest.min(run.began))];
        let watermark = watermark.into_iter().flatten().fold(run.began - IDLE_WINDOW, Ord::max);
        let watermark = is_complete.then_some(watermark);
        self.send(run, chunk, watermark).await?;
        if let Some(watermark) = watermark {
            run.checkpoint.watermark = Some(watermark);
            // What a full read saw needs no sweep; where sweeps are off, the first one later begins with the window.
            if full_reads {
                run.checkpoint.swept = Some(run.began);
            } else if self.settings.schedule.sweep.is_none() {
                run.checkpoint.swept = None;
            }
            self.watch_silence(run).await?;
            self.maintain(run).await?;
        } else {
            run.record.outcome = Outcome::Stopped;
            tracing::warn!(run = run.id, "the run stopped before its deadline; the next one reads on");
        }
        Ok(())
    }

    fn window_start(&self, checkpoint: &Checkpoint, now: Timestamp) -> Timestamp {
        window_start(checkpoint, now, self.settings.schedule.overlap, self.settings.schedule.first_lookback)
    }

    /// The watermark of the very first checkpoint: from then on the notifier is answerable for every lead, also where
    /// that run is cut short, fails or is paused.
    fn first_watermark(&self, now: Timestamp) -> Timestamp {
        now - span(self.settings.schedule.first_lookback)
            + span(self.settings.schedule.overlap.min(self.settings.schedule.first_lookback))
    }

    /// Searches the whole table for rows under keys of another form.
    async fn sweep(
        &self,
        run: &mut Run,
        from: Timestamp,
        days: &[Day],
        known: &mut KnownRows,
        chunk: &mut Chunk,
    ) -> Result<bool, NotifyError> {
        let partitions: Vec<_> = days.iter().map(|day| day.partition_key()).collect();
        let mut keys_only = queries(from, None, days, true);
        keys_only.iter_mut().for_each(|query| query.select = vec!["PartitionKey"]);
        let mut pages = pin!(pages(&self.leads, keys_only));
        while let Some(page) = pages.next().await {
            for Entity { partition_key, row_key, .. } in page? {
                if !known.insert(&partition_key, &row_key) {
                    continue;
                }
                let entity = match self.leads.get(&partition_key, &row_key).await {
                    Ok(entity) => entity,
                    Err(TableError::NotFound) => continue,
                    Err(error) => return Err(error.into()),
                };
                let item = item(&entity);
                // What intake stores late, from the queue, is under the day on which it came.
                let is_ours = item.lead().is_some_and(|stored| stored.origin == Origin::Https);
                if !is_ours && !partitions.contains(&partition_key) {
                    run.checkpoint.full_reads = true;
                }
                if !self.take(run, chunk, item, &entity).await? {
                    return Ok(false);
                }
            }
        }
        if run.checkpoint.full_reads {
            tracing::warn!(
                run = run.id,
                "the sweep found leads under keys that are no days of the window: every run reads the whole table now, \
                 until `resume` with `\"full-reads\": false`"
            );
        }
        run.checkpoint.swept = Some(run.began);
        Ok(true)
    }

    /// Takes one item in, and sends a digest when there are enough. Says whether the run may go on.
    async fn take(&self, run: &mut Run, chunk: &mut Chunk, item: Item, entity: &Entity) -> Result<bool, NotifyError> {
        match &item {
            Item::Lead(stored) => {
                run.record.leads += 1;
                run.record.leads_by_https += usize::from(stored.origin == Origin::Https);
                let written = entity.timestamp.unwrap_or(run.started);
                if stored.lead.is_validation() {
                    // Says nothing about what Microsoft sends.
                } else if stored.lead.is_test() {
                    run.checkpoint.newest_test_lead = run.checkpoint.newest_test_lead.max(Some(written));
                } else {
                    run.checkpoint.newest_lead = run.checkpoint.newest_lead.max(Some(written));
                    run.checkpoint.silence_alerted = false;
                }
            }
            Item::Unreadable(_) => run.record.leads += 1,
            Item::Quarantined(_) => run.record.quarantined += 1,
        }
        chunk.bytes += size(entity);
        chunk.items.push(item);
        if chunk.items.len() < self.settings.digest_size && chunk.bytes < DIGEST_BYTES {
            return Ok(true);
        }
        if !self.may_go_on(run) {
            return Ok(false);
        }
        self.send(run, std::mem::take(chunk), None).await?;
        Ok(self.may_go_on(run))
    }

    fn may_go_on(&self, run: &Run) -> bool {
        let is_in_time = (self.clock)() + DEADLINE_MARGIN < run.deadline;
        is_in_time && run.unavailable < 2 && run.checkpoint.pending.len() < MAX_PENDING
    }

    /// Records the digests of a chunk, sends them, and notes each one that the mail service accepted. With the last of
    /// them the watermark moves.
    ///
    /// The contact index is written first: noting a lead twice changes nothing, so a crash anywhere costs nothing.
    async fn send(&self, run: &mut Run, chunk: Chunk, watermark: Option<Timestamp>) -> Result<(), NotifyError> {
        if chunk.items.is_empty() {
            return Ok(());
        }
        let contacts = self.contacts(&mut run.known_people, &chunk.items).await?;
        contacts.write(&self.state, &mut run.known_people, run.began).await?;
        let mut digests = self.digests(&run.id, &mut run.digests, chunk.items, &contacts);
        // Beside the checkpoint, and the record of a run that fails with them.
        for part in digests.chunks(MAX_BATCH_OPERATIONS - 2) {
            let pending = part.iter().filter(|(record, _)| record.status == DigestStatus::Pending);
            run.checkpoint.pending.extend(pending.map(|(record, _)| record.id.clone()));
            let operations = part.iter().map(|(record, _)| record.operation()).collect();
            self.commit(run, operations).await?;
        }
        digests.retain(|(record, _)| record.status == DigestStatus::Pending);
        let count = digests.len();
        for (number, (record, digest)) in digests.into_iter().enumerate() {
            let watermark = watermark.filter(|_| number + 1 == count);
            self.send_digest(run, record, &digest, watermark).await?;
        }
        Ok(())
    }

    /// What is known of the people of these items, the items themselves included.
    async fn contacts(&self, known: &mut contacts::Keys, items: &[Item]) -> Result<Contacts, NotifyError> {
        let leads = || items.iter().filter_map(Item::lead);
        let mut contacts = Contacts::read(&self.state, known, leads(), span(self.settings.contact_window)).await?;
        leads().for_each(|stored| contacts.note(stored));
        Ok(contacts)
    }

    /// Sorts items into digests, one for each destination.
    fn digests(
        &self,
        run: &str,
        number: &mut usize,
        items: Vec<Item>,
        contacts: &Contacts,
    ) -> Vec<(DigestRecord, Digest)> {
        let now = (self.clock)();
        let mut digests = BTreeMap::new();
        for item in items {
            let destinations = match &item {
                Item::Lead(stored) => destinations(&stored.lead, &self.settings),
                Item::Unreadable(_) | Item::Quarantined(_) => vec![Destination::Default],
            };
            for destination in destinations {
                let (record, digest) = digests.entry(destination).or_insert_with_key(|destination| {
                    *number += 1;
                    new_digest(digest_id(now, run, *number), now, destination)
                });
                item.add_to(record, digest, contacts);
            }
        }
        digests.into_values().collect()
    }

    /// Sends a recorded digest, as far as it was not sent yet, and notes what the mail service accepted.
    async fn send_digest(
        &self,
        run: &mut Run,
        mut record: DigestRecord,
        digest: &Digest,
        watermark: Option<Timestamp>,
    ) -> Result<(), NotifyError> {
        if run.refused.contains(&record.route) {
            return Ok(());
        }
        let messages =
            self.render(digest).messages(&self.settings.mail.from.header(), &texts(self.recipients(&record)));
        let count = messages.len();
        for (number, message) in messages.iter().enumerate().skip(record.messages.len()) {
            match self.mailer.send(message).await {
                Ok(id) => record.messages.push(id),
                Err(error) => {
                    tracing::error!(run = run.id, digest = record.id, error = %error, "a digest was not sent");
                    match &error {
                        MailError::Refused { .. } => run.refused.push(record.route.clone()),
                        MailError::Unavailable { .. } => run.unavailable += 1,
                    }
                    run.failure.get_or_insert(error);
                    return Ok(());
                }
            }
            run.unavailable = 0;
            run.record.mails += 1;
            if number + 1 < count {
                self.commit(run, vec![record.operation()]).await?;
            }
        }
        record.status = DigestStatus::Sent;
        run.record.digests += 1;
        run.record.mailed += digest.leads.len();
        run.checkpoint.pending.retain(|id| *id != record.id);
        if watermark.is_some() {
            run.checkpoint.watermark = watermark;
        }
        self.commit(run, vec![record.operation()]).await?;
        tracing::info!(run = run.id, digest = record.id, leads = digest.leads.len(), mails = count, "digest sent");
        Ok(())
    }

    /// Sends what earlier runs recorded and did not see sent. Says whether the run may go on.
    async fn send_pending(&self, run: &mut Run) -> Result<bool, NotifyError> {
        for id in run.checkpoint.pending.clone() {
            if !self.may_go_on(run) && run.checkpoint.pending.len() < MAX_PENDING {
                return Ok(false);
            }
            match self.memory().digest(&id).await? {
                Some(record) => {
                    let digest = self.recorded(&record, &mut run.known_people).await?;
                    self.send_digest(run, record, &digest, None).await?;
                }
                // Nobody deletes pending digests but a person; the next write of the checkpoint forgets it.
                None => run.checkpoint.pending.retain(|pending| *pending != id),
            }
        }
        Ok(self.may_go_on(run))
    }

    /// A recorded digest with its rows as they are now.
    async fn recorded(&self, record: &DigestRecord, known: &mut contacts::Keys) -> Result<Digest, NotifyError> {
        let read = |key: (String, String)| async move {
            match self.leads.get(&key.0, &key.1).await {
                Ok(entity) => Ok(item(&entity)),
                Err(TableError::NotFound) => Ok(Item::gone(key)),
                Err(error) => Err(error),
            }
        };
        let mut items = Vec::new();
        let mut rows = stream::iter(record.leads.clone()).map(read).buffered(READS_AT_ONCE);
        while let Some(item) = rows.next().await {
            items.push(item?);
        }
        for row_key in &record.quarantined {
            items.push(match self.state.get(quarantine::PARTITION, row_key).await {
                Ok(entity) => Item::Quarantined(quarantined_body(&entity)),
                Err(TableError::NotFound) => Item::gone((quarantine::PARTITION.to_owned(), row_key.clone())),
                Err(error) => return Err(error.into()),
            });
        }
        let contacts = self.contacts(known, &items).await?;
        let mut digest = empty_digest(record.id.clone(), Occasion::MaybeRepeated);
        items.into_iter().for_each(|item| item.add_to(&mut record.clone(), &mut digest, &contacts));
        Ok(digest)
    }

    fn recipients(&self, record: &DigestRecord) -> &[MailAddress] {
        recipients(record.route.as_deref(), &self.settings)
    }

    fn render_settings(&self) -> RenderSettings {
        RenderSettings {
            language: self.language,
            time_zone: self.settings.mail.time_zone.clone(),
            contact_window_days: whole_days(self.settings.contact_window),
        }
    }

    fn render(&self, digest: &Digest) -> Rendered {
        render(digest, &self.render_settings())
    }

    /// Sends one alert when no lead has come for too long.
    async fn watch_silence(&self, run: &mut Run) -> Result<(), NotifyError> {
        let Some(limit) = self.settings.schedule.silence else { return Ok(()) };
        let newest = run.checkpoint.newest_lead.unwrap_or(run.began);
        if run.checkpoint.silence_alerted || run.began < newest + span(limit) {
            return Ok(());
        }
        let days = whole_days(limit);
        let silence = Silence { id: format!("silence-{}", run.id), days, last_lead: run.checkpoint.newest_lead };
        let rendered = render_silence(&silence, &self.render_settings());
        for message in rendered.messages(&self.settings.mail.from.header(), &texts(&self.settings.mail.to)) {
            if let Err(error) = self.mailer.send(&message).await {
                tracing::error!(run = run.id, error = %error, "the alert about the silence was not sent");
                run.failure.get_or_insert(error);
                return Ok(());
            }
            run.record.mails += 1;
        }
        tracing::warn!(run = run.id, days, "no lead has come for days: an alert was sent");
        run.checkpoint.silence_alerted = true;
        Ok(())
    }

    /// Once a day, deletes what is too old: runs, sent digests, quarantined bodies, people without a recent action. What
    /// is left when time runs out, the next run deletes.
    async fn maintain(&self, run: &mut Run) -> Result<(), NotifyError> {
        let is_due = run.checkpoint.maintained.is_none_or(|last| run.began >= last + MAINTENANCE_INTERVAL);
        if !is_due {
            return Ok(());
        }
        // Recorded first: a read that began again from the old watermark would miss the digests that are deleted now.
        self.commit(run, Vec::new()).await?;
        let retained = run.began - span(self.settings.retention);
        // A digest is kept as long as a read can find its rows.
        let read_from = [run.checkpoint.watermark, run.checkpoint.swept].into_iter().flatten();
        let needed =
            read_from.map(|time| time - span(self.settings.schedule.overlap) - CLOCK_MARGIN).fold(retained, Ord::min);
        let quarantined = Query { written_before: Some(retained), ..Query::partition(quarantine::PARTITION) };
        let people = Contacts::expired(span(self.settings.contact_window), run.began);
        for query in [state::digests_before(needed), state::runs_before(retained), quarantined, people] {
            if !self.delete_all(run, query).await? {
                tracing::warn!(run = run.id, "time ran out before everything that is too old was deleted");
                return Ok(());
            }
        }
        run.checkpoint.maintained = Some(run.began);
        Ok(())
    }

    /// Deletes what a query of one partition of the state table finds, but no digest that is still to be sent. Says
    /// whether time sufficed.
    async fn delete_all(&self, run: &Run, query: Query) -> Result<bool, NotifyError> {
        let query = Query { select: vec!["Status"], ..query };
        let partition_key = query.partition_key.clone().unwrap_or_default();
        let mut next = None;
        loop {
            let page = self.state.page(&query, next.as_ref()).await?;
            let rows = page.entities.into_iter().filter(|row| row.string("Status") != Some("pending"));
            let row_keys: Vec<_> = rows.map(|row| row.row_key).collect();
            for batch in row_keys.chunks(MAX_BATCH_OPERATIONS) {
                if (self.clock)() + DEADLINE_MARGIN >= run.deadline {
                    return Ok(false);
                }
                self.delete(&partition_key, batch).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(true);
            }
        }
    }

    /// Deletes rows of the state table, whether they are still there or not.
    async fn delete(&self, partition_key: &str, row_keys: &[String]) -> Result<(), TableError> {
        let delete = |row_key: &String| Operation::Delete { row_key: row_key.clone() };
        match self.state.submit(partition_key, &row_keys.iter().map(delete).collect::<Vec<_>>()).await {
            Ok(_) => return Ok(()),
            Err(TableError::NotFound) => {}
            Err(error) => return Err(error),
        }
        // One of them is gone, as after an answer that was lost; nothing was deleted then.
        for row_key in row_keys {
            match self.state.delete(partition_key, row_key).await {
                Ok(()) | Err(TableError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// From when on rows are read: the watermark less the overlap.
fn window_start(checkpoint: &Checkpoint, now: Timestamp, overlap: Duration, first_lookback: Duration) -> Timestamp {
    match checkpoint.watermark {
        Some(watermark) => watermark - span(overlap),
        None => now - span(first_lookback),
    }
}

/// The bodies quarantined from `from` on.
async fn quarantined<T: Table>(state: &T, from: Timestamp) -> Result<Vec<(Entity, QuarantinedBody)>, TableError> {
    let query = Query { written_from: Some(from), ..Query::partition(quarantine::PARTITION) };
    Ok(state.all(&query).await?.into_iter().map(|entity| (entity.clone(), quarantined_body(&entity))).collect())
}

impl Item {
    fn lead(&self) -> Option<&StoredLead> {
        match self {
            Self::Lead(stored) => Some(stored),
            Self::Unreadable(_) | Self::Quarantined(_) => None,
        }
    }

    /// A row that was deleted since it was recorded.
    fn gone((partition_key, row_key): (String, String)) -> Self {
        let reason = "it was deleted after this digest was recorded".to_owned();
        Self::Unreadable(UnreadableLead { partition_key, row_key, timestamp: None, reason, columns: Vec::new() })
    }

    /// Puts the item into a digest, and its keys into the digest's record.
    fn add_to(&self, record: &mut DigestRecord, digest: &mut Digest, contacts: &Contacts) {
        match self {
            Self::Lead(stored) => {
                record.leads.push((stored.partition_key.clone(), stored.row_key.clone()));
                digest.leads.push(DigestLead { stored: (**stored).clone(), history: contacts.history(stored) });
            }
            Self::Unreadable(row) => {
                record.leads.push((row.partition_key.clone(), row.row_key.clone()));
                digest.unreadable.push(row.clone());
            }
            Self::Quarantined(body) => {
                record.quarantined.push(body.row_key.clone());
                digest.quarantined.push(body.clone());
            }
        }
    }
}

/// What a row of the leads table is: never an error, so that one bad row stops no other.
fn item(entity: &Entity) -> Item {
    match StoredLead::from_entity(entity) {
        Ok(stored) => Item::Lead(Box::new(stored)),
        Err(reason) => Item::Unreadable(UnreadableLead {
            partition_key: entity.partition_key.clone(),
            row_key: entity.row_key.clone(),
            timestamp: entity.timestamp,
            reason: reason.to_string(),
            columns: entity.properties.iter().map(|(name, value)| (name.clone(), value.text())).collect(),
        }),
    }
}

/// A quarantined body as a digest names it.
fn quarantined_body(entity: &Entity) -> QuarantinedBody {
    let quarantined = Quarantined::from_entity(entity);
    let text = String::from_utf8_lossy(&quarantined.body);
    QuarantinedBody {
        partition_key: entity.partition_key.clone(),
        row_key: quarantined.row_key,
        received: quarantined.received,
        reason: quarantined.reason,
        size: quarantined.body.len(),
        excerpt: text.chars().take(EXCERPT_CHARACTERS).collect(),
    }
}

fn new_digest(id: String, now: Timestamp, destination: &Destination) -> (DigestRecord, Digest) {
    let (status, route) = match destination {
        Destination::Dropped => (DigestStatus::Dropped, None),
        Destination::Default => (DigestStatus::Pending, None),
        Destination::Route(label) => (DigestStatus::Pending, Some(label.clone())),
    };
    let (leads, quarantined, messages) = (Vec::new(), Vec::new(), Vec::new());
    let digest = empty_digest(id.clone(), Occasion::New);
    (DigestRecord { id, status, created: now, route, leads, quarantined, messages }, digest)
}

fn empty_digest(id: String, occasion: Occasion) -> Digest {
    Digest { id, occasion, leads: Vec::new(), unreadable: Vec::new(), quarantined: Vec::new() }
}

/// About how many bytes a row takes in a mail.
fn size(entity: &Entity) -> usize {
    let text = |value: &Value| match value {
        Value::String(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        _ => 16,
    };
    entity.properties.values().map(text).sum()
}

/// A span of the settings as one of our clock's.
fn span(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn whole_days(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs() / 86_400).unwrap_or(u32::MAX)
}
