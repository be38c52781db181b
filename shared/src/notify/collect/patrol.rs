//! The patrol: searches for rows that others may have written where no run reads: under old days, and under keys that are
//! no days. It goes through the partitions by hops, a slice in each run, and keeps its place in the log's progress.

use super::window::{last_day, patrolled_from};
use super::{Batch, CLOCK_MARGIN, Item, window_query};
use crate::lead::Day;
use crate::mail::Mailer;
use crate::notify::log::{self, Entry, Extra, Pass, Progress, log_key};
use crate::notify::run::{Run, TABLE_CALL};
use crate::notify::times::{earlier, later, span};
use crate::notify::{Notifier, NotifyError};
use crate::quarantine;
use crate::table::{Continuation, Keys, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// The longest slice of the patrol in one run.
const SLICE: SignedDuration = SignedDuration::from_secs(60);

/// How often all partitions are looked at while leads come under keys that are no days.
const HOPS_INTERVAL: SignedDuration = SignedDuration::from_mins(15);

/// How often a partition is tried that cannot be read, before the patrol goes on to the next one.
const ATTEMPTS: u32 = 3;

/// The most partitions that are no days and are read in every run.
const MAX_EXTRAS: usize = 16;

/// How many rows of the log are read at a time.
const LOG_ROWS: u32 = 16;

/// What a partition is to the patrol.
enum Place {
    /// Every run reads it, or its day is not over.
    Read,
    /// A day; its rows from this time on are searched for.
    Day(Timestamp),
    /// No day; its rows from this time on are searched for.
    Other(Timestamp),
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// One slice of the patrol, if a pass is due or under way: at least one hop, and no longer than a minute.
    pub(in crate::notify) async fn patrol(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let Some(written) = run.log.core().written else { return Ok(()) };
        let now = self.now();
        let mut progress = run.log.progress().clone();
        if progress.patrol.pass.is_none() {
            let Some(is_full) = self.due_pass(&progress, now) else { return Ok(()) };
            let watermark = progress.watermark.unwrap_or(written);
            let before = earlier(watermark, span(self.settings.schedule.overlap));
            let patrol = &mut progress.patrol;
            patrol.days_from.get_or_insert(before);
            patrol.others_from.get_or_insert(before);
            patrol.last_began = Some(now);
            let at = None;
            patrol.pass = Some(Pass {
                is_full,
                began: written,
                at,
                next: None,
                is_at_quarantine: false,
                failures: 0,
                is_partial: false,
            });
        }
        let slice = SLICE.min(span(self.settings.schedule.interval) / 12);
        let until = later(now, slice);
        let mut batch = Batch::default();
        let mut is_first = true;
        while progress.patrol.pass.is_some() && !batch.is_full() {
            let now = self.now();
            if !run.has_time(now, TABLE_CALL * 2) || (!is_first && now >= until) {
                break;
            }
            is_first = false;
            // What was found before a failure is recorded all the same.
            if let Err(error) = self.step(run, &mut progress, &mut batch).await {
                run.failed("patrol", &error);
                break;
            }
        }
        if is_first {
            return Ok(());
        }
        if !self.leave_out_recorded(run, &mut batch, &progress).await? {
            run.is_stopped = true;
            return Ok(());
        }
        self.record_in_parts(run, batch, progress).await?;
        self.deliver_recent(run, false).await
    }

    /// Which pass is due: over everything, or over the keys that are no days.
    fn due_pass(&self, progress: &Progress, now: Timestamp) -> Option<bool> {
        let patrol = &progress.patrol;
        let is_due = |last: Option<Timestamp>, interval| last.is_none_or(|last| now >= later(last, interval));
        let last_full = patrol.days_from.map(|from| later(from, span(self.settings.schedule.overlap)));
        // A pass that passed over a partition is followed by another one, and not at once.
        let may_begin = is_due(patrol.last_began, HOPS_INTERVAL);
        if may_begin && (patrol.last_full.is_none() || is_due(last_full, self.patrol_interval())) {
            return Some(true);
        }
        (!progress.extras.is_empty() && may_begin).then_some(false)
    }

    /// How often everything is searched.
    pub(in crate::notify) fn patrol_interval(&self) -> SignedDuration {
        self.settings.schedule.sweep.map_or(SignedDuration::from_hours(7 * 24), span)
    }

    /// One page of a partition, or one hop to the next partition.
    async fn step(&self, run: &mut Run<T>, progress: &mut Progress, batch: &mut Batch) -> Result<(), NotifyError> {
        let Some(mut pass) = progress.patrol.pass.clone() else { return Ok(()) };
        if pass.is_at_quarantine {
            return self.search_quarantine(run, progress, pass, batch).await;
        }
        if pass.next.is_none() {
            let Some(at) = self.hop(run, pass.at.as_deref()).await? else {
                pass.is_at_quarantine = true;
                if !pass.is_full {
                    end_pass(progress, &pass, self.now(), span(self.settings.schedule.overlap));
                } else {
                    progress.patrol.pass = Some(pass);
                }
                return Ok(());
            };
            run.record.patrolled += 1;
            pass.at = Some(at);
        }
        let at = pass.at.clone().unwrap_or_default();
        let place = self.place(progress, &pass, &at);
        let (Place::Day(from) | Place::Other(from)) = place else {
            progress.patrol.pass = Some(pass);
            return Ok(());
        };
        let next = pass.next.take().and_then(|next| Continuation::parse(&next));
        match self.leads.page(&window_query(&at, from), next.as_ref()).await {
            Ok(page) => {
                pass.failures = 0;
                if let (Place::Other(_), Some(newest)) =
                    (&place, page.entities.iter().filter_map(|row| row.timestamp).max())
                {
                    remember(&mut progress.extras, &at, newest);
                }
                page.entities.iter().for_each(|row| batch.push(Item::of_row(row)));
                pass.next = page.next.as_ref().map(Continuation::to_text);
            }
            // A partition that cannot be read keeps nobody from reading the others.
            Err(error) if pass.failures + 1 >= ATTEMPTS => {
                run.failed("patrol", &error.into());
                (pass.failures, pass.is_partial, pass.next) = (0, true, None);
                // The next pass searches it again from its first page on, though every run would read what is new in it.
                progress.extras.retain(|extra| extra.partition_key != at);
            }
            Err(error) => {
                if let Some(pass) = &mut progress.patrol.pass {
                    pass.failures += 1;
                }
                return Err(error.into());
            }
        }
        progress.patrol.pass = Some(pass);
        Ok(())
    }

    /// The next partition behind this one. Partitions are never compared: they do not sort by time, and their order is
    /// the service's.
    async fn hop(&self, run: &Run<T>, after: Option<&str>) -> Result<Option<String>, TableError> {
        let query = Query {
            // A partition can have an empty key.
            partition_key_after: after.map(str::to_owned),
            page_size: Some(1),
            select: vec!["PartitionKey"],
            ..Query::default()
        };
        let mut next = None;
        loop {
            let page = self.leads.page(&query, next.as_ref()).await?;
            if let Some(row) = page.entities.into_iter().next() {
                return Ok(Some(row.partition_key));
            }
            next = page.next;
            if next.is_none() {
                return Ok(None);
            }
            if !run.has_time(self.now(), TABLE_CALL * 2) {
                return Err(TableError::Unavailable { reason: "time ran out between two partitions".to_owned() });
            }
        }
    }

    fn place(&self, progress: &Progress, pass: &Pass, at: &str) -> Place {
        let patrol = &progress.patrol;
        let is_extra = progress.extras.iter().any(|extra| extra.partition_key == at);
        let (days_from, others_from) = (patrol.days_from, patrol.others_from);
        match Day::from_partition_key(at).filter(|day| *day <= last_day(self.now())) {
            Some(_) if !pass.is_full => Place::Read,
            Some(day) => {
                let from = patrolled_from(day).max(days_from.unwrap_or(Timestamp::MIN));
                if from > later(self.now(), CLOCK_MARGIN) { Place::Read } else { Place::Day(from) }
            }
            // While the first of its pages are read, it becomes one that every run reads: the rest is read all the same.
            None if is_extra && pass.next.is_none() => Place::Read,
            None => Place::Other(others_from.unwrap_or(Timestamp::MIN)),
        }
    }

    /// The last part of a pass: bodies that were quarantined without a cue. They are found by their keys, which begin with
    /// the day. Where time runs out within a page, the page is read once more by the next run.
    async fn search_quarantine(
        &self,
        run: &Run<T>,
        progress: &mut Progress,
        mut pass: Pass,
        batch: &mut Batch,
    ) -> Result<(), NotifyError> {
        let from = progress.patrol.days_from.unwrap_or(Timestamp::MIN);
        let query = Query {
            row_key_from: Some(Day::of(from).before().to_string()),
            select: vec!["RowKey"],
            page_size: Some(log::MAX_ENTRIES.try_into().unwrap_or(500)),
            ..Query::partition(quarantine::PARTITION)
        };
        let next = pass.next.as_deref().and_then(Continuation::parse);
        let page = self.state.page(&query, next.as_ref()).await?;
        // What was written before this pass's time was found by the pass before it.
        let is_new = |row: &crate::table::Entity| row.timestamp.is_none_or(|written| written >= from);
        let keys = page.entities.into_iter().filter(is_new).map(|row| Entry::Quarantined(row.row_key));
        let mut keys: Vec<_> = keys.collect();
        let since = log_key(earlier(from, CLOCK_MARGIN));
        let may_go_on = || run.has_time(self.now(), TABLE_CALL);
        let Some(known) = self.recorded(&keys, &since, may_go_on).await? else { return Ok(()) };
        keys.retain(|entry| !known.contains(&entry.json().to_string()));
        for entry in keys {
            let Entry::Quarantined(row_key) = entry else { continue };
            // The next slice reads the page again, without what is recorded then.
            if !run.has_time(self.now(), TABLE_CALL * 2) {
                return Ok(());
            }
            match self.state.get(&Keys::new(quarantine::PARTITION, &row_key)).await {
                Ok(row) => batch.push(Item::of_body(&row)),
                Err(TableError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match page.next {
            Some(next) => {
                pass.next = Some(next.to_text());
                progress.patrol.pass = Some(pass);
            }
            None => end_pass(progress, &pass, self.now(), span(self.settings.schedule.overlap)),
        }
        Ok(())
    }

    /// Leaves out what the log holds since the last pass began. Says whether time sufficed.
    async fn leave_out_recorded(
        &self,
        run: &Run<T>,
        batch: &mut Batch,
        progress: &Progress,
    ) -> Result<bool, NotifyError> {
        if batch.items.is_empty() {
            return Ok(true);
        }
        let patrol = &run.log.progress().patrol;
        let patrol = if patrol.days_from.is_some() { patrol } else { &progress.patrol };
        let from = [patrol.days_from, patrol.others_from].into_iter().flatten().min().unwrap_or(Timestamp::MIN);
        let entries: Vec<_> = batch.items.iter().map(Item::entry).collect();
        let may_go_on = || run.has_time(self.now(), TABLE_CALL);
        let Some(known) = self.recorded(&entries, &log_key(earlier(from, CLOCK_MARGIN)), may_go_on).await? else {
            return Ok(false);
        };
        batch.items.retain(|item| !known.contains(&item.entry().json().to_string()));
        Ok(true)
    }

    /// Which of these the log holds from a key on. Holds a few rows of the log at a time, however many there are.
    /// `may_go_on` is asked before each page; `None` where it says no.
    pub(super) async fn recorded(
        &self,
        entries: &[Entry],
        from: &str,
        may_go_on: impl Fn() -> bool,
    ) -> Result<Option<BTreeSet<String>>, NotifyError> {
        let wanted: BTreeSet<_> = entries.iter().map(|entry| entry.json().to_string()).collect();
        let mut found = BTreeSet::new();
        let mut next = None;
        loop {
            if !may_go_on() {
                return Ok(None);
            }
            let (rows, following) = log::page(&self.state, from, LOG_ROWS, next.as_ref()).await?;
            let there = rows.iter().flat_map(|row| &row.entries).map(|entry| entry.found().json().to_string());
            found.extend(there.filter(|entry| wanted.contains(entry)));
            next = following;
            if next.is_none() {
                return Ok(Some(found));
            }
        }
    }
}

/// Ends a pass: the next one begins to read where this one began.
fn end_pass(progress: &mut Progress, pass: &Pass, now: Timestamp, overlap: SignedDuration) {
    let from = Some(earlier(pass.began, overlap));
    let patrol = &mut progress.patrol;
    patrol.pass = None;
    if pass.is_partial {
        return;
    }
    patrol.others_from = patrol.others_from.max(from);
    if pass.is_full {
        patrol.days_from = patrol.days_from.max(from);
        patrol.last_full = Some(now);
    }
}

/// Remembers a partition that is no day, so that every run reads it.
fn remember(extras: &mut Vec<Extra>, partition_key: &str, newest: Timestamp) {
    if extras.len() < MAX_EXTRAS && extras.iter().all(|extra| extra.partition_key != partition_key) {
        tracing::warn!("leads come under keys that are no days: their partition is read in every run from now on");
        extras.push(Extra { partition_key: partition_key.to_owned(), newest });
    }
}
