//! Collect: finds what is new and records it in the log. It sends nothing.

mod cues;
mod day_forms;
mod item;
mod known;
mod patrol;
mod window;

pub(crate) use item::Item;
pub(crate) use known::KnownRows;
use window::is_new;
pub(crate) use window::window_days;

use super::log::{Brought, Channel, Found, MAX_CUES, MAX_ENTRIES, MAX_KEY_UNITS, Progress, Resume, SendsNow, log_key};
use super::run::{Run, TABLE_CALL};
use super::times::{earlier, later, span};
use super::{Notifier, NotifyError};
use crate::cue::Cue;
use crate::lead::{Day, Origin};
use crate::mail::Counts;
use crate::mail::Mailer;
use crate::table::{Continuation, Entity, Page, Query, Table, TableError};
use futures::future::join_all;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;

/// The rows of a page: a page is held in memory while its leads are recorded.
const PAGE_SIZE: u32 = 500;

/// The most partitions whose first pages are read side by side.
const PARTITIONS_AT_ONCE: usize = 3;

/// The most cued rows that are read side by side.
const READS_AT_ONCE: usize = 16;

/// The most bytes of found rows that wait to be recorded.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How far the clocks of the service's servers may be apart from each other and from ours.
pub(crate) const CLOCK_MARGIN: SignedDuration = SignedDuration::from_hours(1);

/// How long a partition that is no day is read in every run after its newest row.
const EXTRA_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What was found and is not yet recorded.
#[derive(Default)]
pub(crate) struct Batch {
    items: Vec<Item>,
    cues: Vec<Cue>,
    bytes: usize,
    units: usize,
}

impl Batch {
    fn push(&mut self, item: Item) {
        self.bytes += item.bytes();
        self.units += item.entry().units();
        self.items.push(item);
    }

    /// Whether one more item might not fit. A pair of keys takes some 2,100 units at most.
    fn is_full(&self) -> bool {
        self.items.len() >= MAX_ENTRIES
            || self.cues.len() >= MAX_CUES
            || self.bytes >= BATCH_BYTES
            || self.units + 4_096 >= MAX_KEY_UNITS
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.cues.is_empty()
    }
}

/// The reading of one window.
struct Reading {
    batch: Batch,
    /// The rows that the log holds; read when the first row is found.
    known: Option<KnownRows>,
    /// From where on the log can hold rows of this window.
    known_from: String,
    progress: Progress,
    /// When it began: the days of its window are the same to its end.
    now: Timestamp,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Reads the rows written since the watermark less the overlap, and those that cues name; records what is new.
    pub(super) async fn collect(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let mut progress = run.log.progress().clone();
        let watermark = *progress.watermark.get_or_insert_with(|| self.first_watermark(now));
        progress.newest_lead.get_or_insert(now);
        let from = earlier(watermark, span(self.settings.schedule.overlap));
        // From the beginning on, also where the first patrol comes days later.
        let others_from = *progress.patrol.others_from.get_or_insert(from);
        progress.patrol.days_from.get_or_insert(from);
        let known_from = log_key(earlier(first_read(from, others_from, now), CLOCK_MARGIN));
        let began = match &progress.resume {
            Some(resume) => resume.began,
            None => run.log.core().written,
        };
        let had_resume = progress.resume.is_some();
        let mut reading = Reading { batch: Batch::default(), known: None, known_from, progress, now };

        // A cue that cannot be followed waits, and keeps nothing from being read.
        let followed = self.follow_cues(run, &mut reading).await;
        let is_followed = !matches!(followed, Ok(false));
        run.part("cues", followed.map(drop))?;
        let is_complete = self.read_window(run, &mut reading, from, began).await?;
        let has_failed = run.record.error.is_some();
        run.is_stopped |= !is_followed;
        if is_complete {
            let progress = &mut reading.progress;
            progress.watermark = progress.watermark.max(began);
            progress.resume = None;
            let quiet_since = earlier(now, EXTRA_LIFE);
            progress.extras.retain(|extra| extra.newest >= quiet_since);
        } else {
            run.is_stopped |= !has_failed;
        }
        let is_other = had_resume || reading.progress.extras != run.log.progress().extras;
        if !reading.batch.is_empty() || run.log.is_held() || is_other || run.is_stopped {
            self.record(run, &mut reading.batch, &mut reading.progress).await?;
        }
        Ok(())
    }

    /// The watermark of the very first run: from then on the notifier is answerable for every lead.
    pub(super) fn first_watermark(&self, now: Timestamp) -> Timestamp {
        let first = span(self.settings.schedule.first_lookback);
        earlier(now, first - span(self.settings.schedule.overlap).min(first))
    }

    /// Reads the window. Says whether all of it was read. A partition that fails, or is too large for one run, keeps no
    /// other one from being read.
    async fn read_window(
        &self,
        run: &mut Run<T>,
        reading: &mut Reading,
        from: Timestamp,
        began: Option<Timestamp>,
    ) -> Result<bool, NotifyError> {
        let fresh = || Resume { began, done: Vec::new(), partition_key: String::new(), next: None };
        let mut resume = reading.progress.resume.take().unwrap_or_else(fresh);
        let others_from = reading.progress.patrol.others_from.unwrap_or(from);
        let (done, mut open): (Vec<_>, Vec<_>) =
            partitions(&reading.progress, from, reading.now).into_iter().partition(|key| resume.done.contains(key));
        open.sort_by_key(|key| *key != resume.partition_key);
        let next = resume.next.as_deref().and_then(Continuation::parse);
        let open = open.iter().map(|key| {
            let is_new = Day::from_partition_key(key).is_some_and(|day| is_new(day, from, reading.now));
            let from = if is_new { from.min(others_from) } else { from };
            (window_query(key, from), next.clone().filter(|_| *key == resume.partition_key))
        });
        let open: Vec<_> = open.collect();
        // A partition that was read to its end in an earlier run is only asked for what came since this window began, and
        // after all others: nothing waits for it.
        let since = began.map_or(from, |began| earlier(began, span(self.settings.schedule.overlap)).max(from));
        let done: Vec<_> = done.iter().map(|key| (window_query(key, since), None)).collect();
        let mut is_complete = true;
        let mut left = open.len() + done.len();
        // The place in the first partition that is not read to its end is remembered. The next run begins with it.
        let mut has_place = false;
        for (parts, is_open) in [(open, true), (done, false)] {
            for parts in parts.chunks(PARTITIONS_AT_ONCE) {
                if !run.has_time(self.now(), TABLE_CALL) {
                    is_complete &= !is_open;
                    reading.progress.resume = Some(resume);
                    return Ok(is_complete);
                }
                let reads = parts.iter().map(|(query, next)| self.leads.page(query, next.as_ref()));
                let pages = join_all(reads.collect::<Vec<_>>()).await;
                for ((query, next), page) in parts.iter().zip(pages) {
                    left -= 1;
                    // The others get half of the time that is left, however much there is to be read in this one.
                    let now = self.now();
                    let time_left = now.duration_until(run.latest(TABLE_CALL));
                    let until = later(now, if left == 0 { time_left } else { time_left / 2 });
                    let keeps_place = is_open && !has_place;
                    reading.progress.resume = Some(resume.clone());
                    let place = keeps_place.then_some(&mut resume);
                    match self.read_partition(run, reading, place, query, (next.clone(), page), until).await {
                        Ok(true) if is_open => resume.done.extend(query.partition_key.clone()),
                        Ok(true) => {}
                        Ok(false) => {
                            is_complete &= !is_open;
                            has_place |= is_open;
                            if !run.has_time(self.now(), TABLE_CALL) {
                                reading.progress.resume = Some(resume);
                                return Ok(is_complete);
                            }
                        }
                        Err(error) if error.ends_run() => return Err(error),
                        Err(error) => {
                            run.failed("collect", &error);
                            is_complete &= !is_open;
                            if keeps_place {
                                resume.next = None;
                            }
                        }
                    }
                }
            }
        }
        resume.done.sort();
        resume.done.dedup();
        reading.progress.resume = (!is_complete).then_some(resume);
        Ok(is_complete)
    }

    /// Reads a partition from this page of it on, until a time. Says whether there was time for all of it. Notes the place
    /// that it came to, where that is to be remembered.
    async fn read_partition(
        &self,
        run: &mut Run<T>,
        reading: &mut Reading,
        mut place: Option<&mut Resume>,
        query: &Query,
        (mut at, mut page): (Option<Continuation>, Result<Page, TableError>),
        until: Timestamp,
    ) -> Result<bool, NotifyError> {
        loop {
            let Page { entities, next } = page?;
            run.has_read = true;
            if let Some(resume) = &mut place {
                resume.partition_key = query.partition_key.clone().unwrap_or_default();
                resume.next = at.as_ref().map(Continuation::to_text);
                // What is recorded in the middle of this page is left out when the page is read again.
                reading.progress.resume = Some(resume.clone());
            }
            if !self.read_page(run, reading, entities).await? {
                return Ok(false);
            }
            let Some(following) = next else { return Ok(true) };
            if let Some(resume) = &mut place {
                resume.next = Some(following.to_text());
            }
            let now = self.now();
            if now >= until || !run.has_time(now, TABLE_CALL) {
                return Ok(false);
            }
            page = self.leads.page(query, Some(&following)).await;
            at = Some(following);
        }
    }

    /// Takes in the new rows of a page, and lets go of each. Says whether there was time for all of it.
    async fn read_page(&self, run: &mut Run<T>, reading: &mut Reading, rows: Vec<Entity>) -> Result<bool, NotifyError> {
        for row in rows {
            let item = Item::of_row(&row);
            let Some(known) = self.known(run, reading).await? else { return Ok(false) };
            if !known.insert(&item.entry()) {
                continue;
            }
            reading
                .progress
                .extras
                .iter_mut()
                .filter(|extra| extra.partition_key == row.partition_key)
                .for_each(|extra| extra.newest = extra.newest.max(row.timestamp.unwrap_or(extra.newest)));
            reading.batch.push(item);
            if reading.batch.is_full() {
                if !run.has_time(self.now(), TABLE_CALL) {
                    return Ok(false);
                }
                self.record_and_send(run, reading).await?;
            }
        }
        Ok(true)
    }

    /// The rows that the log holds, read when they are first needed. `None` where time ran out.
    async fn known<'a>(
        &self,
        run: &Run<T>,
        reading: &'a mut Reading,
    ) -> Result<Option<&'a mut KnownRows>, NotifyError> {
        if reading.known.is_none() {
            let may_go_on = || run.has_time(self.now(), TABLE_CALL);
            reading.known = KnownRows::read(&self.state, &reading.known_from, may_go_on).await?;
        }
        Ok(reading.known.as_mut())
    }

    /// Records a full batch in the middle of a reading, and sends what its channels can send from memory.
    async fn record_and_send(&self, run: &mut Run<T>, reading: &mut Reading) -> Result<(), NotifyError> {
        self.record(run, &mut reading.batch, &mut reading.progress).await?;
        self.deliver_recent(run, true).await
    }

    /// Records what may be more than one batch holds. The progress stands in the last one.
    async fn record_in_parts(&self, run: &mut Run<T>, batch: Batch, mut progress: Progress) -> Result<(), NotifyError> {
        let mut part = Batch::default();
        for item in batch.items {
            if part.is_full() {
                let mut unchanged = run.log.progress().clone();
                self.record(run, &mut part, &mut unchanged).await?;
            }
            part.push(item);
        }
        self.record(run, &mut part, &mut progress).await
    }

    /// Records a batch with the progress that it stands for. Where that fails, the batch keeps what it holds: it counts as
    /// found, and nobody would look for it again.
    async fn record(&self, run: &mut Run<T>, batch: &mut Batch, progress: &mut Progress) -> Result<(), NotifyError> {
        let Batch { items, cues, .. } = &*batch;
        let now = self.now();
        progress.newest_lead = progress.newest_lead.max(run.log.progress().newest_lead);
        progress.newest_test_lead = progress.newest_test_lead.max(run.log.progress().newest_test_lead);
        for item in items {
            let Item::Lead(stored) = item else { continue };
            let written = Some(stored.timestamp.unwrap_or(now));
            // What validation writes says nothing about what Microsoft sends.
            if stored.lead.is_validation() {
            } else if stored.lead.is_test() {
                progress.newest_test_lead = progress.newest_test_lead.max(written);
            } else {
                progress.newest_lead = progress.newest_lead.max(written);
            }
        }
        let found: Vec<_> =
            items.iter().map(|item| Found { entry: item.entry(), owed_to: self.owed_to(item) }).collect();
        let sends_now = |channel: &Channel| self.is_due(channel, now);
        let sending = (self.settings.digest_size, &sends_now as SendsNow<'_>);
        let answered: Vec<_> = cues.iter().map(|cue| cue.row_key.clone()).collect();
        // Where this fails, the batch stays as it is, and is in the next one: no progress is written without it.
        let row =
            run.log.record(&found, progress.clone(), &answered, sending, &mut run.ids, &self.brought(items)).await?;
        let items = std::mem::take(batch).items;
        for item in &items {
            match item {
                Item::Lead(stored) => {
                    run.record.leads += 1;
                    run.record.leads_by_https += usize::from(stored.origin == Origin::Https);
                }
                Item::Unreadable(_) => run.record.leads += 1,
                Item::Quarantined(_) => run.record.quarantined += 1,
            }
        }
        if let Some(row) = row {
            run.recent.put(row, items);
        }
        Ok(())
    }
}

impl<T, M> Notifier<T, M> {
    /// What a batch brings to the counts of today.
    fn brought(&self, items: &[Item]) -> Brought {
        let mut counts = Counts::default();
        for item in items {
            match item {
                Item::Lead(stored) => counts.add_lead(stored),
                Item::Unreadable(_) | Item::Quarantined(_) => counts.unreadable += 1,
            }
        }
        Some((self.today(), counts))
    }

    /// The day in the system's time zone.
    pub(super) fn today(&self) -> Date {
        self.now().to_zoned(self.settings.mail.time_zone.clone()).date()
    }
}

/// From when on the earliest rows are read.
fn first_read(from: Timestamp, others_from: Timestamp, now: Timestamp) -> Timestamp {
    let has_new = window_days(from, now).into_iter().any(|day| is_new(day, from, now));
    if has_new { from.min(others_from) } else { from }
}

/// The partitions of a window: its days, and what is no day and is read in every run.
fn partitions(progress: &Progress, from: Timestamp, now: Timestamp) -> Vec<String> {
    let days = window_days(from, now);
    let extras: Vec<_> = progress.extras.iter().map(|extra| extra.partition_key.clone()).collect();
    let mut partitions: Vec<String> = days.iter().map(|day| day.partition_key()).collect();
    partitions.extend(day_forms::alike(&extras, &days));
    partitions.extend(extras);
    let mut seen = HashSet::new();
    partitions.retain(|key| seen.insert(key.clone()));
    partitions
}

/// The query for the rows of a partition that were written from a time on.
pub(crate) fn window_query(partition_key: &str, from: Timestamp) -> Query {
    Query { written_from: Some(from), page_size: Some(PAGE_SIZE), ..Query::partition(partition_key) }
}
