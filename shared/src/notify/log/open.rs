//! What a run reads of the state before it does anything.

use super::rows::{self, Channel, Core, Counted, PARTITION, Progress, Suppressions};
use super::{Log, moving};
use crate::clock::Clock;
use crate::cue::{self, Cue};
use crate::notify::times::later;
use crate::table::{Entity, Operation, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The most cues that one run reads, and some more of a page. Those that do not fit wait for the next run.
const MOST_CUES: usize = 2_000;

/// How long a run reads cues at most: a page may be short, and take its time.
const CUES_TIME: SignedDuration = SignedDuration::from_secs(30);

/// How often the hot range is read at most.
const MAX_READINGS: usize = 5;

impl<T: Table> Log<T> {
    /// Reads everything that a run must know of the state, with one range of keys: channels, collect, control, core and
    /// cues. Creates the state table where it is missing, since it is ours alone.
    ///
    /// A page shows one moment; several pages do not. What comes on a later page than `core` is guarded by its version, which
    /// every batch needs. What came on an earlier page may be older than `core`, as if a run in between had sent nothing: then
    /// the range is read again, until `core` is the one of the reading before.
    pub(crate) async fn open(table: &T, clock: &Clock, owner: String, deadline: Timestamp) -> Result<Self, TableError> {
        let mut before = None;
        for _ in 0..MAX_READINGS {
            let mut log = Self {
                table: table.clone(),
                clock: clock.clone(),
                owner: owner.clone(),
                deadline,
                core: Core::default(),
                progress: Progress::default(),
                last_log: String::new(),
                is_paused: None,
                channels: BTreeMap::new(),
                counted: Counted::default(),
                suppressions: Suppressions::default(),
                has_new_suppressions: false,
                cues: Vec::new(),
                previous: None,
                flights: BTreeMap::new(),
                writes: 0,
                is_held: false,
                is_uncertain: false,
            };
            let (shows_one_moment, has_all_cues) = log.read_hot_range().await?;
            if shows_one_moment || before.as_ref() == Some(&log.core.etag) {
                log.turn_cues(has_all_cues).await;
                return Ok(log);
            }
            before = Some(log.core.etag.take());
        }
        Err(unread("the state changed each time that it was read"))
    }

    /// Reads the hot range once. Says whether core and all that comes before it are of one page, and whether all cues were read.
    async fn read_hot_range(&mut self) -> Result<(bool, bool), TableError> {
        let hot = Query {
            row_key_from: Some("c".to_owned()),
            row_key_before: Some("d".to_owned()),
            ..Query::partition(PARTITION)
        };
        let until = later((self.clock)(), CUES_TIME);
        let mut next = None;
        let mut pages = 0;
        let mut pages_to_core = 0;
        let has_all_cues = loop {
            if !self.has_time() {
                return Err(unread("no time was left to read the state"));
            }
            let page = match self.table.page(&hot, next.as_ref()).await {
                Err(TableError::TableNotFound) => {
                    create(&self.table).await?;
                    break true;
                }
                page => page?,
            };
            pages += usize::from(!page.entities.is_empty());
            if page.entities.first().is_some_and(|row| row.row_key.as_str() <= rows::CORE) {
                pages_to_core = pages;
            }
            for row in page.entities {
                self.read(row)?;
            }
            next = page.next;
            // Cues sort behind everything else: with one of them read, the rest was read.
            let is_enough = self.cues.len() >= MOST_CUES || (self.clock)() > until;
            if next.is_none() || (is_enough && !self.cues.is_empty()) {
                break next.is_none();
            }
        };
        Ok((pages_to_core <= 1, has_all_cues))
    }

    /// A number that is another one in each run: with what it begins, where not everything may have its turn.
    pub(crate) fn turn(&self) -> u64 {
        Sha256::digest(&self.owner).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Each run begins with other cues, so that those whose rows do not come keep no other one from its turn. Where not all
    /// of them were read, more are read from that place on. What cannot be read there waits.
    async fn turn_cues(&mut self, has_all_cues: bool) {
        let first = cue::row_key_from(self.turn());
        let mut turned = Vec::new();
        if !has_all_cues {
            let query = Query {
                row_key_from: Some(first.clone()),
                row_key_before: Some("d".to_owned()),
                ..Query::partition(PARTITION)
            };
            let until = later((self.clock)(), CUES_TIME);
            let mut next = None;
            while turned.len() < MOST_CUES
                && (self.clock)() <= until
                && self.has_time()
                && let Ok(page) = self.table.page(&query, next.as_ref()).await
            {
                turned.extend(page.entities.iter().filter_map(Cue::from_entity));
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        let (before, mut behind): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.cues).into_iter().partition(|cue| cue.row_key < first);
        behind.retain(|cue| turned.iter().all(|known: &Cue| known.row_key != cue.row_key));
        turned.extend(behind);
        turned.extend(before);
        self.cues = turned;
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
            rows::CHECKED => self.suppressions = Suppressions::from_entity(row),
            rows::COUNTS => self.counted = Counted::from_entity(row),
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
}

fn unread(reason: &str) -> TableError {
    TableError::Unavailable { reason: reason.to_owned() }
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
