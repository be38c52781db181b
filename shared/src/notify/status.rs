//! What the notifier remembers, for those who look from outside: validation and dry runs. Nothing is written.

use super::NotifyError;
use super::collect::{CLOCK_MARGIN, Item, KnownRows, window_days, window_query};
use super::log::{self, ChannelId, Entry, Log, Parked, Position, log_key};
use super::times::{earlier, span};
use crate::address::DestinationName;
use crate::clock::Clock;
use crate::table::{Keys, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The most leads given up that are counted.
const MOST_PARKED: u32 = 1_000;

/// Where the notifier stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// Every row that the service wrote before this time is recorded, as far as it is under a day of the window.
    pub watermark: Option<Timestamp>,
    /// Whether runs do nothing.
    pub is_paused: bool,
    /// Whether a run is at work.
    pub is_at_work: bool,
    /// When the newest lead was written that is no test; before the first one, when the notifier ran first.
    pub newest_lead: Option<Timestamp>,
    /// When the newest test lead was written.
    pub newest_test_lead: Option<Timestamp>,
    /// The channels that owe something.
    pub channels: Vec<ChannelStatus>,
    /// How many leads were given up, up to 1,000.
    pub parked: usize,
    /// When the last search through the whole table ended.
    pub last_full_patrol: Option<Timestamp>,
    /// How many partitions that are no days are read in every run.
    pub extra_partitions: usize,
    /// Whether the state of the version before this one is still to be moved over.
    pub is_to_be_moved: bool,
}

/// What one channel owes.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelStatus {
    /// Its id.
    pub id: ChannelId,
    /// The id of its route.
    pub route: String,
    /// The destination of its route.
    pub destination: DestinationName,
    /// How many leads it owes.
    pub owed: usize,
    /// How many it owes by the rows of the log. It is the same number, or the state is wrong.
    pub counted: usize,
    /// When the oldest of them was recorded.
    pub oldest: Option<Timestamp>,
    /// How often in a row it failed.
    pub attempts: u32,
    /// When it is tried again.
    pub next_attempt: Option<Timestamp>,
    /// What was wrong the last time.
    pub reason: Option<String>,
}

/// Reads where the notifier stands. `None` where it has not run yet.
///
/// # Errors
/// Where the state table cannot be read.
pub async fn status<T: Table>(state: &T, now: Timestamp) -> Result<Option<Status>, NotifyError> {
    let log = match look_into(state, now).await {
        Err(NotifyError::Table(TableError::TableNotFound)) => return Ok(None),
        log => log?,
    };
    if log.is_new() && !log.is_to_be_moved() {
        return Ok(None);
    }
    let mut channels = Vec::new();
    for channel in log.channels().filter(|channel| channel.owes()) {
        channels.push(ChannelStatus {
            id: channel.id.clone(),
            route: channel.target.route.clone(),
            destination: channel.target.destination.clone(),
            owed: channel.owed,
            counted: 0,
            oldest: channel.oldest,
            attempts: channel.attempts,
            next_attempt: channel.next_attempt,
            reason: channel.reason.clone(),
        });
    }
    let from = log.channels().filter(|channel| channel.owes()).map(|channel| channel.cursor.row.clone()).min();
    if let Some(from) = from {
        let mut next = None;
        loop {
            let (rows, following) = log::page(state, &from, 16, next.as_ref()).await?;
            for status in &mut channels {
                let Some(channel) = log.channel(&status.id) else { continue };
                status.counted += rows.iter().map(|row| row.owed(&status.id, &channel.cursor).count()).sum::<usize>();
            }
            next = following;
            if next.is_none() {
                break;
            }
        }
    }
    let parked = Query { page_size: Some(MOST_PARKED), select: vec!["RowKey"], ..log::parked_rows() };
    let progress = log.progress();
    Ok(Some(Status {
        watermark: progress.watermark,
        is_paused: log.is_paused(),
        is_at_work: log.is_busy(),
        newest_lead: progress.newest_lead,
        newest_test_lead: progress.newest_test_lead,
        channels,
        parked: log::page_of(state, &parked).await?.len(),
        last_full_patrol: progress.patrol.last_full,
        extra_partitions: progress.extras.len(),
        is_to_be_moved: log.is_to_be_moved(),
    }))
}

/// The log for somebody who only reads: the state table is not created.
async fn look_into<T: Table>(state: &T, now: Timestamp) -> Result<Log<T>, NotifyError> {
    let first = Query { page_size: Some(1), select: vec!["RowKey"], ..Query::partition(log::PARTITION) };
    state.page(&first, None).await?;
    let clock: Clock = Arc::new(move || now);
    Ok(Log::open(state, &clock, String::new(), Timestamp::MAX).await?)
}

/// What waits for the next run. The patrol may find more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Leads that are no tests.
    pub leads: usize,
    /// Test leads, those of `lead-validation` left out.
    pub tests: usize,
    /// Rows that are no leads.
    pub unreadable: usize,
    /// Quarantined bodies that cues name.
    pub quarantined: usize,
    /// When the newest of the leads was written.
    pub newest_lead: Option<Timestamp>,
    /// When the newest of the test leads was written.
    pub newest_test_lead: Option<Timestamp>,
}

/// Counts what waits for the next run, up to `most` rows.
///
/// # Errors
/// Where a table cannot be read.
pub async fn waiting<T: Table>(
    leads: &T,
    state: &T,
    (overlap, first_lookback): (Duration, Duration),
    now: Timestamp,
    most: usize,
) -> Result<Waiting, NotifyError> {
    let log = match look_into(state, now).await {
        Err(NotifyError::Table(TableError::TableNotFound)) => None,
        log => Some(log?),
    };
    let mut waiting = Waiting::default();
    let watermark = log.as_ref().and_then(|log| log.progress().watermark);
    let from = match watermark {
        Some(watermark) => earlier(watermark, span(overlap)),
        None => earlier(now, span(first_lookback)),
    };
    let Some(log) = log else { return Ok(waiting) };
    let (items, _) = new_items(leads, state, &log, (from, now), (most, usize::MAX), &|| true).await?;
    waiting.quarantined = log.cues().len();
    for item in items {
        match item {
            Item::Lead(stored) if stored.lead.is_validation() => {}
            Item::Lead(stored) if stored.lead.is_test() => {
                waiting.tests += 1;
                waiting.newest_test_lead = waiting.newest_test_lead.max(stored.timestamp);
            }
            Item::Lead(stored) => {
                waiting.leads += 1;
                waiting.newest_lead = waiting.newest_lead.max(stored.timestamp);
            }
            Item::Unreadable(_) => waiting.unreadable += 1,
            Item::Quarantined(_) => {}
        }
    }
    Ok(waiting)
}

/// What a run would find that reads the rows of a window, up to so many items and bytes. Says whether that is all of it.
pub(super) async fn new_items<T: Table>(
    leads: &T,
    state: &T,
    log: &Log<T>,
    (from, now): (Timestamp, Timestamp),
    (most, most_bytes): (usize, usize),
    may_go_on: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<Item>, bool), NotifyError> {
    let known = KnownRows::read(state, &log_key(earlier(from, CLOCK_MARGIN)), may_go_on).await?;
    let Some(mut known) = known else { return Ok((Vec::new(), false)) };
    let mut partitions: Vec<_> = window_days(from, now).iter().map(|day| day.partition_key()).collect();
    partitions.extend(log.progress().extras.iter().map(|extra| extra.partition_key.clone()));
    let (mut items, mut bytes) = (Vec::new(), 0);
    for partition in partitions {
        let mut next = None;
        loop {
            if !may_go_on() {
                return Ok((items, false));
            }
            let page = leads.page(&window_query(&partition, from), next.as_ref()).await?;
            for row in &page.entities {
                let item = Item::of_row(row);
                if !known.insert(&item.entry()) {
                    continue;
                }
                bytes += item.bytes();
                if items.len() >= most || bytes > most_bytes {
                    return Ok((items, false));
                }
                items.push(item);
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
    }
    Ok((items, true))
}

/// What became of a row that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It was sent to everybody who should have it.
    Sent,
    /// Somebody is still to get it.
    Owed,
    /// The settings say that nobody gets it.
    Dropped,
    /// The mail service refused even its keys for somebody.
    Parked,
}

/// What became of the leads that were recorded from a time on, by partition and row key.
///
/// # Errors
/// Where the state table cannot be read.
pub async fn recorded_since<T: Table>(
    state: &T,
    time: Timestamp,
    now: Timestamp,
) -> Result<HashMap<Keys, Recorded>, NotifyError> {
    let log = match look_into(state, now).await {
        Err(NotifyError::Table(TableError::TableNotFound)) => return Ok(HashMap::new()),
        log => log?,
    };
    let mut recorded = HashMap::new();
    let from = log_key(earlier(time, SignedDuration::from_hours(1)));
    let mut next = None;
    loop {
        let (rows, following) = log::page(state, &from, 16, next.as_ref()).await?;
        for row in &rows {
            for (index, entry) in row.entries.iter().enumerate() {
                let Entry::Lead(keys) = entry else { continue };
                let at = Position::new(&row.key, index);
                let owing: Vec<_> = row.owed_by.iter().filter(|(_, bits)| bits.has(index)).map(|(id, _)| id).collect();
                let is_owed = |id: &&ChannelId| log.channel(id).is_some_and(|channel| at >= channel.cursor);
                let what = match owing.is_empty() {
                    true => Recorded::Dropped,
                    false if owing.iter().any(is_owed) => Recorded::Owed,
                    false => Recorded::Sent,
                };
                recorded.insert(keys.clone(), what);
            }
        }
        next = following;
        if next.is_none() {
            break;
        }
    }
    let parked = Query { page_size: Some(MOST_PARKED), ..log::parked_rows() };
    for row in log::page_of(state, &parked).await? {
        if let Some(Parked { entry: Entry::Lead(keys), .. }) = Parked::from_entity(&row) {
            recorded.insert(keys, Recorded::Parked);
        }
    }
    Ok(recorded)
}
