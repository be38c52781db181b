//! Upkeep: the alert about silence, and deleting what is too old. It comes last in a run, and in slices.

use super::contacts;
use super::log::{self, ChannelId, log_key};
use super::run::{Run, SEND, TABLE_CALL};
use super::summary::old_days;
use super::times::{earlier, later, span, whole_days};
use super::{Notifier, NotifyError};
use crate::lead::Day;
use crate::mail::{Mailer, Silence, render_silence};
use crate::quarantine;
use crate::table::{Keys, MAX_BATCH_OPERATIONS, Operation, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};

/// How often what is too old is deleted.
const INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// The longest slice of deleting in one run.
const SLICE: SignedDuration = SignedDuration::from_secs(60);

/// How much longer than it is needed a row of the log is kept.
const MARGIN: SignedDuration = SignedDuration::from_hours(2);

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// The alert about silence if it is due, and once a day the deleting of what is too old.
    pub(super) async fn upkeep(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        self.watch_silence(run).await?;
        let is_due = run.log.core().maintained.is_none_or(|last| self.now() >= later(last, INTERVAL));
        // Before the first write there is nothing to delete.
        if is_due && !run.log.is_new() { self.delete_old(run).await } else { Ok(()) }
    }

    /// Sends one alert when no lead has come for too long.
    async fn watch_silence(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let (Some(limit), Some(newest)) = (self.settings.schedule.silence, run.log.progress().newest_lead) else {
            return Ok(());
        };
        let now = self.now();
        if run.log.core().alerted_for == Some(newest) || now < later(newest, span(limit)) {
            return Ok(());
        }
        if !run.has_time(now, SEND + TABLE_CALL) {
            return Ok(());
        }
        if !run.log.is_held() {
            run.log.seize().await?;
        }
        let days = whole_days(limit);
        let silence = Silence { id: format!("silence-{}", run.id), days, last_lead: Some(newest) };
        let rendered = render_silence(&silence, &self.render_settings());
        let to = &self.settings.mail.to;
        if !self.send_notice(run, "upkeep", &rendered, to).await? {
            return Ok(());
        }
        tracing::warn!(run = run.id, days, "no lead has come for days: an alert was sent");
        run.log.maintain(|core| core.alerted_for = Some(newest), &[]).await
    }

    /// Deletes rows of the log that nobody needs, runs, quarantined bodies, people without a recent action, and channels
    /// that are gone. What is left when the slice is over, the next run deletes.
    async fn delete_old(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let until = later(now, SLICE);
        let retained = earlier(now, span(self.settings.retention));
        let progress = run.log.progress();
        let owing = || run.log.channels().filter(|channel| channel.owes());
        let read_from = [
            progress.watermark.map(|watermark| earlier(watermark, span(self.settings.schedule.overlap))),
            progress.patrol.days_from,
            progress.patrol.others_from,
        ];
        // As long as it is not known from where on rows are read, everything is kept. Validation compares Partner Center's
        // own list with the rest.
        let needed = read_from.into_iter().min().flatten().unwrap_or(Timestamp::MIN);
        let needed = log_key(earlier(needed, MARGIN).min(retained));
        let cursor = owing().map(|channel| channel.cursor.row.clone()).min();
        let oldest = cursor.map_or_else(|| needed.clone(), |cursor| cursor.min(needed.clone()));
        // A body can be recorded long after it came, and is needed as long as it is owed or may still be found.
        let found_before = owing().filter_map(|channel| channel.oldest);
        let found_before = found_before.map(|oldest| earlier(oldest, span(self.settings.retention)));
        let found_before =
            found_before.fold(retained, Ord::min).min(progress.patrol.days_from.unwrap_or(Timestamp::MIN));
        let bodies_before = Day::of(found_before).to_string();
        let gone: Vec<ChannelId> = run
            .log
            .channels()
            .filter(|channel| !channel.owes() && !self.is_current(&channel.target))
            .map(|channel| channel.id.clone())
            .take(MAX_BATCH_OPERATIONS - 1)
            .collect();
        if !gone.is_empty() {
            run.log.forget(&gone).await?;
        }
        for query in [log::log_before(&oldest), log::run_key_before(retained), log::previous_digests(), old_days(now)] {
            if !self.delete_recorded(run, query, until).await? {
                return Ok(());
            }
        }
        // The key has the day on which a body came; redelivery can have kept it many days later.
        let bodies = Query {
            row_key_before: Some(bodies_before),
            written_before: Some(found_before),
            ..Query::partition(quarantine::PARTITION)
        };
        if self.delete_all(run, bodies, until, None).await?.is_some() || !self.delete_people(run, until).await? {
            return Ok(());
        }
        run.log.maintain(|core| core.maintained = Some(now), &[]).await
    }

    fn may_delete(&self, run: &Run<T>, until: Timestamp) -> bool {
        let now = self.now();
        now < until && run.has_time(now, TABLE_CALL)
    }

    /// Deletes rows of the log's own partition. Says whether time sufficed.
    async fn delete_recorded(&self, run: &mut Run<T>, query: Query, until: Timestamp) -> Result<bool, NotifyError> {
        let query = Query { select: vec!["RowKey"], page_size: Some(990), ..query };
        let mut next = None;
        loop {
            if !self.may_delete(run, until) {
                return Ok(false);
            }
            let page = self.state.page(&query, next.as_ref()).await?;
            let keys: Vec<_> = page.entities.into_iter().map(|row| row.row_key).collect();
            for keys in keys.chunks(MAX_BATCH_OPERATIONS - 1) {
                if !self.may_delete(run, until) {
                    return Ok(false);
                }
                run.log.maintain(|_| {}, keys).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(true);
            }
        }
    }

    /// Deletes people of the contact index who did nothing within the window, from where the last slice ended.
    async fn delete_people(&self, run: &mut Run<T>, until: Timestamp) -> Result<bool, NotifyError> {
        let before = earlier(self.now(), span(self.settings.contact_window));
        let from = run.log.core().people_at.clone();
        let people = Query { row_key_from: from.clone(), ..Query::partition(contacts::PARTITION) };
        let left = self.delete_all(run, people, until, Some(before)).await?;
        if left != from {
            let left = left.clone();
            run.log.maintain(|core| core.people_at = left, &[]).await?;
        }
        Ok(left.is_none())
    }

    /// Deletes the rows of a query of one partition, or those that were written before a time. Gives the row at which it
    /// goes on, where time did not suffice.
    async fn delete_all(
        &self,
        run: &Run<T>,
        query: Query,
        until: Timestamp,
        written_before: Option<Timestamp>,
    ) -> Result<Option<String>, NotifyError> {
        let query = Query { select: vec!["RowKey"], ..query };
        let partition_key = query.partition_key.clone().unwrap_or_default();
        let mut at = query.row_key_from.clone();
        let mut next = None;
        loop {
            if !self.may_delete(run, until) {
                return Ok(Some(at.unwrap_or_default()));
            }
            let page = self.state.page(&query, next.as_ref()).await?;
            at = page.entities.last().map(|row| row.row_key.clone()).or(at);
            let mut keys = Vec::new();
            for row in page.entities {
                if written_before.is_none_or(|before| row.timestamp.is_some_and(|written| written < before)) {
                    keys.push(row.row_key);
                }
            }
            for keys in keys.chunks(MAX_BATCH_OPERATIONS) {
                if !self.may_delete(run, until) {
                    return Ok(keys.first().cloned());
                }
                self.delete(&partition_key, keys).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    /// Deletes rows of the state table, whether they are still there or not.
    async fn delete(&self, partition_key: &str, row_keys: &[String]) -> Result<(), TableError> {
        let delete = |row_key: &String| Operation::Delete { row_key: row_key.clone() };
        let operations: Vec<_> = row_keys.iter().map(delete).collect();
        match self.state.submit(partition_key, &operations).await {
            Ok(_) => return Ok(()),
            Err(TableError::NotFound) => {}
            Err(error) => return Err(error),
        }
        // One of them is gone, as after an answer that was lost; nothing was deleted then.
        for row_key in row_keys {
            match self.state.delete(&Keys::new(partition_key, row_key)).await {
                Ok(()) | Err(TableError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
