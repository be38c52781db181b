//! Which leads go into a channel's next mail.

use crate::mail::Mailer;
use crate::notify::collect::Item;
use crate::notify::log::{self, Channel, Entry, LogRow, Position};
use crate::notify::run::{Run, SEND, TABLE_CALL};
use crate::notify::times::later;
use crate::notify::{Notifier, NotifyError};
use crate::quarantine;
use crate::table::{Keys, Table, TableError};
use futures::stream::{self, StreamExt as _};
use jiff::SignedDuration;

/// How many rows of the log are read at a time: each may hold half a megabyte.
const LOG_ROWS: u32 = 8;

/// The most rows that are read side by side.
const READS_AT_ONCE: usize = 16;

/// The longest that the log is searched for what goes into one mail: what a channel owes may lie far apart.
const SELECTION_SHARE: SignedDuration = SignedDuration::from_secs(20);

/// The most bytes of rows in one mail.
const MAIL_BYTES: usize = 3 * 1024 * 1024;

/// What a channel's next mail is made of.
pub(crate) struct Selection {
    /// Where the log goes on behind it.
    pub(crate) until: Position,
    /// What it holds, with its places.
    pub(crate) entries: Vec<(Position, Entry)>,
    /// The same, as it was read; `None` for what was erased.
    pub(crate) items: Vec<Option<Item>>,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// The next entries that a channel owes. `None` where time ran out, or, with `recent_only`, where the next one is no
    /// longer in memory.
    pub(super) async fn select(
        &self,
        run: &Run<T>,
        channel: &Channel,
        recent_only: bool,
    ) -> Result<Option<Selection>, NotifyError> {
        let flight = channel.flight.as_ref().filter(|flight| !flight.done.is_empty());
        // A mail of which some recipients have their part is the same for the others.
        let size = if flight.is_some() { usize::MAX } else { channel.size(self.settings.digest_size) };
        let end = flight.map_or(&channel.tail, |flight| &flight.until).min(&channel.tail);
        // What may be a repeat and what is none do not go into one mail.
        let is_apart = channel.cursor < channel.maybe && !channel.is_probing();
        let end = if is_apart { end.min(&channel.maybe) } else { end };
        let mut selection = Selection { until: end.clone(), entries: Vec::new(), items: Vec::new() };
        if let Some(rows) = run.recent.rows_from(&channel.cursor.row) {
            for row in rows {
                if gather(row, channel, size, end, &mut selection) {
                    return Ok(Some(selection));
                }
            }
            // What is behind the rows in memory was not looked at.
            selection.end_behind_last();
            if !selection.entries.is_empty() {
                return Ok(Some(selection));
            }
        }
        if recent_only {
            return Ok(None);
        }
        let until = later(self.now(), SELECTION_SHARE);
        let (mut next, mut behind) = (None, None);
        loop {
            if !run.has_time(self.now(), TABLE_CALL) {
                return Ok(None);
            }
            let (rows, following) = log::page(&self.state, &channel.cursor.row, LOG_ROWS, next.as_ref()).await?;
            for row in &rows {
                if gather(row, channel, size, end, &mut selection) {
                    return Ok(Some(selection));
                }
                behind = Some(Position::new(&row.key, row.entries.len()));
            }
            next = following;
            if next.is_none() {
                return Ok(Some(selection));
            }
            // What was looked through need not be looked through again.
            if self.now() > until
                && flight.is_none()
                && let Some(behind) = behind.take().filter(|behind| *behind > channel.cursor)
            {
                selection.until = behind;
                selection.end_behind_last();
                return Ok(Some(selection));
            }
        }
    }

    /// Reads the items of a selection, from memory or from the tables. Where they are more than a mail can hold, the
    /// selection is cut, where time runs out, and before what cannot be read. Says what there is to send now: a selection that
    /// `must_be_whole` is not cut where time runs out.
    pub(super) async fn read_items(
        &self,
        run: &Run<T>,
        selection: &mut Selection,
        must_be_whole: bool,
    ) -> Result<Read, NotifyError> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        let (mut unreadable, mut reason) = (0, None);
        {
            let reads: Vec<_> =
                selection.entries.iter().map(|(at, entry)| self.recent_or_read(run, at, entry)).collect();
            let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
            loop {
                if items.len() < selection.entries.len() && !run.has_time(self.now(), SEND + TABLE_CALL * 4) {
                    if items.is_empty() || must_be_whole {
                        return Ok(Read::OutOfTime);
                    }
                    break;
                }
                let Some(item) = reads.next().await else { break };
                let item = match item {
                    Ok(item) if unreadable == 0 => item,
                    Err(error) if must_be_whole => return Err(error),
                    Err(error) if items.is_empty() => {
                        unreadable += 1;
                        reason = Some(error);
                        continue;
                    }
                    Ok(_) | Err(_) => break,
                };
                bytes += item.as_ref().map_or(0, Item::bytes);
                if bytes > MAIL_BYTES && !items.is_empty() {
                    break;
                }
                items.push(item);
            }
        }
        if let Some(reason) = reason {
            return Ok(Read::Unreadable(unreadable, reason));
        }
        selection.items = items;
        selection.cut(selection.items.len());
        Ok(Read::Items)
    }

    async fn recent_or_read(&self, run: &Run<T>, at: &Position, entry: &Entry) -> Result<Option<Item>, NotifyError> {
        match run.recent.item(&at.row, at.index) {
            Some(item) if *entry.told() != Entry::Erased => Ok(Some(item.clone())),
            _ => {
                let partition_key = entry.partition_key();
                if run.unreadable.is_given_up(partition_key) {
                    let reason = "its partition did not answer in this run".to_owned();
                    return Err(TableError::Unavailable { reason }.into());
                }
                let read = self.read_entry(entry).await;
                run.unreadable.note(partition_key, read.is_ok());
                read
            }
        }
    }

    async fn read_entry(&self, entry: &Entry) -> Result<Option<Item>, NotifyError> {
        let row = match entry {
            Entry::Lead(keys) => self.leads.get(keys).await.map(|row| Item::of_row(&row)),
            Entry::Quarantined(row_key) => {
                self.state.get(&Keys::new(quarantine::PARTITION, row_key)).await.map(|row| Item::of_body(&row))
            }
            Entry::Erasing { .. } | Entry::Erased => return Ok(None),
        };
        match row {
            Ok(item) => Ok(Some(item)),
            // It was deleted, or its keys are none that the service takes.
            Err(TableError::NotFound | TableError::Rejected { .. }) => Ok(Item::gone(entry)),
            Err(error) => Err(error.into()),
        }
    }
}

/// What became of reading a selection.
pub(super) enum Read {
    /// Its items are there.
    Items,
    /// Nothing can be sent, because time ran out.
    OutOfTime,
    /// So many of its first entries cannot be read, for this reason.
    Unreadable(usize, NotifyError),
}

impl Selection {
    /// Keeps the first entries.
    pub(super) fn cut(&mut self, count: usize) {
        if count < self.entries.len() {
            self.entries.truncate(count);
            self.items.truncate(count);
            self.end_behind_last();
        }
    }

    /// Ends the selection behind its last entry.
    fn end_behind_last(&mut self) {
        if let Some((last, _)) = self.entries.last() {
            self.until = Position::new(&last.row, last.index + 1);
        }
    }
}

/// Adds what a channel owes of a row to a selection. Says whether the selection is whole.
fn gather(row: &LogRow, channel: &Channel, size: usize, end: &Position, selection: &mut Selection) -> bool {
    for index in row.owed(&channel.id, &channel.cursor) {
        let at = Position::new(&row.key, index);
        if at >= *end {
            return true;
        }
        if selection.entries.len() == size {
            selection.end_behind_last();
            return true;
        }
        let entry = row.entries.get(index).cloned().unwrap_or(Entry::Erased);
        selection.entries.push((at, entry));
    }
    if row.key > end.row {
        return true;
    }
    if selection.entries.len() == size {
        selection.end_behind_last();
        return true;
    }
    false
}
