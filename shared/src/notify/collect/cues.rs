//! Following cues: rows that the window may miss, by their exact keys.

use super::{CLOCK_MARGIN, Item, READS_AT_ONCE, Reading};
use crate::cue::{Cue, Cued};
use crate::mail::Mailer;
use crate::notify::log::{Entry, MAX_CUES, log_key};
use crate::notify::run::{Run, TABLE_CALL};
use crate::notify::times::{earlier, later};
use crate::notify::{Notifier, NotifyError};
use crate::quarantine;
use crate::table::{Entity, Keys, Table, TableError};
use futures::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// How long a cue waits for its row.
const CUE_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Following cues takes so much of a run's time at most, one in so many: new rows are not to wait for them.
const CUES_SHARE: i32 = 3;

/// The longest that some old cues are looked up in the log.
const OLD_CUES_SHARE: SignedDuration = SignedDuration::from_secs(30);

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Fetches the rows that cues name. Says whether all of them were followed.
    pub(super) async fn follow_cues(&self, run: &mut Run<T>, reading: &mut Reading) -> Result<bool, NotifyError> {
        let mut is_whole = true;
        let share_ends = later(self.now(), self.now().duration_until(run.latest(TABLE_CALL)) / CUES_SHARE);
        for cues in run.log.cues().to_vec().chunks(MAX_CUES) {
            let now = self.now();
            if now > share_ends || !run.has_time(now, TABLE_CALL * 4) {
                return Ok(false);
            }
            let is_asked =
                |cue: &&Cue| entry(cue).is_none_or(|entry| !run.unreadable.is_given_up(entry.partition_key()));
            let cues: Vec<_> = cues.iter().filter(is_asked).collect();
            let reads: Vec<_> = cues.iter().map(|cue| self.cued(cue)).collect();
            let rows: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
            let mut found = Vec::new();
            for (cue, row) in cues.into_iter().zip(rows) {
                let is_young = cue.left.is_some_and(|left| now < left.saturating_add(CUE_LIFE).unwrap_or(now));
                if let Some(entry) = entry(cue) {
                    run.unreadable.note(entry.partition_key(), row.is_ok());
                }
                match row {
                    // The cue stays; what it names keeps nothing else from being read.
                    Err(error) => run.failed("cues", &error),
                    Ok(None) if is_young => {}
                    Ok(item) => found.push((cue, item)),
                }
            }
            let until = later(self.now(), OLD_CUES_SHARE);
            let may_go_on = || self.now() < until && run.has_time(self.now(), TABLE_CALL * 2);
            let recorded = self.recorded_since_left(reading, &found, may_go_on).await;
            let recorded = recorded.unwrap_or_else(|error| {
                run.failed("cues", &error);
                None
            });
            for (cue, item) in found {
                if let Some(Found { item, written }) = item {
                    let entry = item.entry();
                    let is_recorded = match (&recorded, is_older(cue, written, &reading.known_from)) {
                        (Some(recorded), true) => recorded.contains(&entry.json().to_string()),
                        (None, true) => {
                            is_whole = false;
                            continue;
                        }
                        (_, false) => false,
                    };
                    let Some(known) = self.known(run, reading).await? else { return Ok(false) };
                    if known.insert(&entry) && !is_recorded {
                        reading.batch.push(item);
                    }
                }
                reading.batch.cues.push(cue.clone());
                if reading.batch.is_full() {
                    if !run.has_time(self.now(), TABLE_CALL) {
                        return Ok(false);
                    }
                    self.record_and_send(run, reading).await?;
                }
            }
        }
        Ok(is_whole)
    }

    /// Which rows of old cues, and which old rows, the log holds. A cue that could not be followed for long may name a row
    /// that was found otherwise, before the part of the log that this run knows; and so may a new cue: a message of the
    /// queue that comes again leaves one for a row that was stored long ago. `None` where the time does not suffice.
    async fn recorded_since_left(
        &self,
        reading: &Reading,
        found: &[(&Cue, Option<Found>)],
        may_go_on: impl Fn() -> bool,
    ) -> Result<Option<BTreeSet<String>>, NotifyError> {
        let found = found.iter().filter_map(|(cue, row)| Some((*cue, row.as_ref()?)));
        let old: Vec<_> = found.filter(|(cue, row)| is_older(cue, row.written, &reading.known_from)).collect();
        let entries: Vec<_> = old.iter().map(|(_, row)| row.item.entry()).collect();
        let Some(from) = old.iter().map(|(cue, row)| recorded_from(cue, row.written)).min() else {
            return Ok(Some(BTreeSet::new()));
        };
        self.recorded(&entries, &from, may_go_on).await
    }

    /// The row that a cue names, if it is there.
    async fn cued(&self, cue: &Cue) -> Result<Option<Found>, NotifyError> {
        let found = |row: Entity, item: fn(&Entity) -> Item| Found { item: item(&row), written: row.timestamp };
        let row = match &cue.cued {
            None => return Ok(None),
            Some(Cued::Lead(keys)) => self.leads.get(keys).await.map(|row| found(row, Item::of_row)),
            Some(Cued::Quarantined { row_key }) => {
                self.state.get(&Keys::new(quarantine::PARTITION, row_key)).await.map(|row| found(row, Item::of_body))
            }
        };
        match row {
            Ok(found) => Ok(Some(found)),
            Err(TableError::NotFound) => Ok(None),
            // Keys that the service does not take name no row.
            Err(TableError::Rejected { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A row that a cue names.
struct Found {
    item: Item,
    /// When it was written, by the service's clock.
    written: Option<Timestamp>,
}

/// The key from which on the log may hold what a cue names: it may have been found as soon as it was written.
fn recorded_from(cue: &Cue, written: Option<Timestamp>) -> String {
    let left = cue.left.unwrap_or(Timestamp::MIN);
    log_key(earlier(written.map_or(left, |written| written.min(left)), CLOCK_MARGIN))
}

/// What a cue names, as the log has it.
fn entry(cue: &Cue) -> Option<Entry> {
    cue.cued.as_ref().map(|cued| match cued {
        Cued::Lead(keys) => Entry::Lead(keys.clone()),
        Cued::Quarantined { row_key } => Entry::Quarantined(row_key.clone()),
    })
}

fn is_older(cue: &Cue, written: Option<Timestamp>, known_from: &str) -> bool {
    recorded_from(cue, written).as_str() < known_from
}
