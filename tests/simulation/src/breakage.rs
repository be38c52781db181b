//! Ways of breaking the system around its ports, to see whether the worlds notice. Nothing of the code under test knows
//! of it.

use jiff::{SignedDuration, Timestamp};
use marketplace_leads::lead::Day;
use marketplace_leads::notify::{CONTACTS_PARTITION, PARTITION};
use marketplace_leads::table::{Entity, Operation};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many characters of an offer's title the contact index keeps.
const KEPT_OF_A_TITLE: usize = 100;

/// How the system is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Breakage {
    /// It is as it is.
    #[default]
    None,
    /// One mail in twenty is accepted and reaches nobody. Whatever else changes, this one must be found.
    MailDropped,
    /// The watermark moves to the present whenever progress is written, whatever was read.
    WatermarkFirst,
    /// Rows are read from the watermark on, without an overlap.
    NoOverlap,
    /// What was found is recorded only after it was sent.
    SentBeforeRecorded,
    /// Writes do not depend on the version of what they replace.
    CheckThenWrite,
    /// The progress of reading is written without the row of the log, and without the channels, that belong to it.
    ProgressWithoutChunk,
    /// Destinations share one count of failures and one pause.
    SharedFailures,
    /// The code's clock stands still within an invocation, as if no loop looked at it.
    StoppedClock,
    /// The texts in the contact index are not cut, so that only the number of actions bounds a row.
    BoundedByCountAlone,
    /// A page with one row that cannot be read fails as a whole.
    PageReadAsAWhole,
    /// Cues are deleted before the batch that answers them is written.
    CueRemovedFirst,
    /// A cursor that is written is one entry too far.
    CursorSkips,
    /// What is about to go out is not written down.
    FlightUnwritten,
    /// The queue acknowledges every third message and does not keep it.
    QueueForgets,
    /// A message of the queue is deleted when it is received, whatever becomes of its lead.
    DeletedBeforeStored,
    /// A lead from the queue is stored under the day of today.
    RedeliveredUnderToday,
    /// Two requests whose bodies name the same offer and action are the same lead.
    TwoPeopleAreOne,
    /// No cue is left for what is stored late.
    CueUnleft,
    /// An export ends where a page cannot be read.
    ExportEndsEarly,
    /// A new key of intake replaces the old one at once.
    KeyRemovedAtOnce,
    /// Intake waits for the table for as long as it takes.
    BudgetIgnored,
    /// An event has another id each time that it is sent to a webhook.
    EventIdChanges,
}

impl Breakage {
    /// Every way of breaking it.
    pub const ALL: [Self; 22] = [
        Self::MailDropped,
        Self::WatermarkFirst,
        Self::NoOverlap,
        Self::SentBeforeRecorded,
        Self::CheckThenWrite,
        Self::ProgressWithoutChunk,
        Self::SharedFailures,
        Self::StoppedClock,
        Self::BoundedByCountAlone,
        Self::PageReadAsAWhole,
        Self::CueRemovedFirst,
        Self::CursorSkips,
        Self::FlightUnwritten,
        Self::QueueForgets,
        Self::DeletedBeforeStored,
        Self::RedeliveredUnderToday,
        Self::TwoPeopleAreOne,
        Self::CueUnleft,
        Self::ExportEndsEarly,
        Self::KeyRemovedAtOnce,
        Self::BudgetIgnored,
        Self::EventIdChanges,
    ];
}

/// What a breakage remembers in one world.
#[derive(Debug, Default)]
struct Memory {
    /// The count of failures that destinations share, and until when they all wait.
    failures: Option<(i64, Timestamp)>,
    /// The long titles of offers that were read.
    titles: Vec<String>,
}

/// A breakage of one world, as one invocation meets it.
#[derive(Debug, Clone, Default)]
pub struct Broken {
    /// How the system is broken.
    pub breakage: Breakage,
    memory: Arc<Mutex<Memory>>,
    /// What this invocation should have written already.
    held_back: Arc<Mutex<Vec<Operation>>>,
}

/// A batch as a broken system writes it.
pub struct BrokenBatch {
    /// What is written before it, whatever becomes of it.
    pub before: Vec<Operation>,
    /// The partition on which it is written.
    pub partition_key: String,
    /// The batch. It is not written at all where nothing is in it.
    pub batch: Vec<Operation>,
}

impl Broken {
    /// A breakage of a new world.
    pub fn new(breakage: Breakage) -> Self {
        Self { breakage, ..Self::default() }
    }

    /// The same for another invocation of the same world.
    #[must_use]
    pub fn for_invocation(&self) -> Self {
        Self { held_back: Arc::default(), ..self.clone() }
    }

    /// Notes rows that were read.
    pub fn read(&self, rows: &[Entity]) {
        if self.breakage != Breakage::BoundedByCountAlone {
            return;
        }
        let mut memory = lock(&self.memory);
        for title in rows.iter().filter_map(|row| row.string("OfferDisplayName")) {
            if title.chars().count() > KEPT_OF_A_TITLE && !memory.titles.iter().any(|known| known == title) {
                memory.titles.push(title.to_owned());
            }
        }
    }

    /// A row that is inserted, broken; `None` where it is not inserted at all.
    pub fn insert(&self, entity: &Entity, now: Timestamp) -> Option<Entity> {
        let mut broken = entity.clone();
        let is_lead = entity.string("Source").is_some();
        match self.breakage {
            Breakage::CueUnleft if entity.row_key.starts_with("cue-") => return None,
            Breakage::RedeliveredUnderToday if is_lead => broken.partition_key = Day::of(now).partition_key(),
            Breakage::TwoPeopleAreOne if is_lead => {
                broken.row_key =
                    entity.string("LeadSource").unwrap_or_default().bytes().map(|byte| format!("{byte:02x}")).collect();
            }
            _ => {}
        }
        Some(broken)
    }

    /// A batch on a partition, broken.
    pub fn batch(&self, partition_key: &str, operations: &[Operation], now: Timestamp) -> BrokenBatch {
        let batch = operations.to_vec();
        let mut broken = BrokenBatch { before: Vec::new(), partition_key: partition_key.to_owned(), batch };
        let batch = &mut broken.batch;
        match self.breakage {
            Breakage::CueUnleft | Breakage::RedeliveredUnderToday | Breakage::TwoPeopleAreOne => {
                batch.retain_mut(|operation| self.inserted(operation, now));
                if let Some(row) = batch.first().and_then(row_of) {
                    broken.partition_key.clone_from(&row.partition_key);
                }
            }
            Breakage::BoundedByCountAlone if partition_key == CONTACTS_PARTITION => {
                for_rows(batch, "", |row| self.uncut(row));
            }
            _ if partition_key != PARTITION => {}
            Breakage::WatermarkFirst => for_rows(batch, "collect", |row| row.set("Watermark", now)),
            Breakage::SentBeforeRecorded => self.hold_back(batch),
            Breakage::CheckThenWrite => batch.iter_mut().for_each(|operation| {
                if let Some(row) = row_of(operation).cloned() {
                    *operation = Operation::InsertOrReplace(row);
                }
            }),
            Breakage::ProgressWithoutChunk if batch.iter().any(|operation| operation.row_key() == "collect") => {
                batch.retain(|operation| !is_chunk(operation));
            }
            Breakage::SharedFailures => for_rows(batch, "channel-", |row| self.share_failures(row, now)),
            Breakage::CueRemovedFirst => {
                let is_cue = |operation: &Operation| matches!(operation, Operation::Delete { row_key } if row_key.starts_with("cue-"));
                (broken.before, broken.batch) = operations.iter().cloned().partition(is_cue);
            }
            Breakage::CursorSkips => for_rows(batch, "channel-", skip),
            Breakage::FlightUnwritten => for_rows(batch, "channel-", |row| {
                row.properties.retain(|name, _| !name.starts_with("Flight"));
            }),
            _ => {}
        }
        broken
    }

    /// Breaks a new row within a batch. Says whether it is written at all.
    fn inserted(&self, operation: &mut Operation, now: Timestamp) -> bool {
        let (Operation::Insert(row) | Operation::InsertOrReplace(row)) = operation else { return true };
        let Some(broken) = self.insert(row, now) else { return false };
        *row = broken;
        true
    }

    /// Keeps what a batch records until the next batch, which comes after the mails.
    fn hold_back(&self, batch: &mut Vec<Operation>) {
        let mut held = lock(&self.held_back);
        let overdue = std::mem::take(&mut *held);
        if batch.iter().any(|operation| operation.row_key().starts_with("log-")) {
            let records = |operation: &Operation| operation.row_key() == "collect" || is_chunk(operation);
            let (records, others): (Vec<_>, Vec<_>) = batch.drain(..).partition(records);
            *held = records;
            *batch = others;
        }
        let is_replaced = |row_key: &str| batch.iter().any(|operation| operation.row_key() == row_key);
        let overdue: Vec<_> = overdue.into_iter().filter(|operation| !is_replaced(operation.row_key())).collect();
        batch.splice(0..0, overdue);
    }

    /// Gives a channel that works the failures of the one that does not.
    fn share_failures(&self, row: &mut Entity, now: Timestamp) {
        let mut memory = lock(&self.memory);
        match (row.integer("Attempts"), row.time("NextAttempt")) {
            (Some(attempts), Some(next)) if attempts > 0 => memory.failures = Some((attempts, next)),
            _ => {
                if let Some((attempts, next)) = memory.failures.filter(|(_, next)| *next > now) {
                    row.set("Attempts", attempts);
                    row.set("NextAttempt", next);
                }
            }
        }
    }

    /// Puts whole titles where the contact index has their beginnings.
    fn uncut(&self, row: &mut Entity) {
        let memory = lock(&self.memory);
        let mut actions: serde_json::Value =
            row.text("Actions").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        for action in actions.as_array_mut().into_iter().flatten() {
            let title = action["offer"].as_str().filter(|offer| offer.chars().count() >= KEPT_OF_A_TITLE);
            let whole = title.and_then(|title| memory.titles.iter().find(|known| known.starts_with(title)));
            if let Some(whole) = whole {
                action["offer"] = whole.as_str().into();
            }
        }
        row.set_text("Actions", &actions.to_string());
    }

    /// What the code's clock says, which an invocation that began at `began` reads at `now`.
    pub fn clock(&self, began: Timestamp, now: Timestamp) -> Timestamp {
        if self.breakage == Breakage::StoppedClock { began } else { now }
    }

    /// How far reading goes back behind the watermark.
    pub fn overlap(&self, overlap: std::time::Duration) -> std::time::Duration {
        if self.breakage == Breakage::NoOverlap { SignedDuration::ZERO.unsigned_abs() } else { overlap }
    }
}

/// Whether an operation writes what was found, or who owes it.
fn is_chunk(operation: &Operation) -> bool {
    row_of(operation).is_some() && ["log-", "channel-"].iter().any(|prefix| operation.row_key().starts_with(prefix))
}

/// Moves the cursor of a channel one entry further, if it owes anything.
fn skip(row: &mut Entity) {
    let place = |name: &str| {
        let (log, index) = row.string(name)?.split_once('/')?;
        Some((log.to_owned(), index.parse::<usize>().ok()?))
    };
    if let (Some(cursor), Some(tail)) = (place("Cursor"), place("Tail"))
        && cursor < tail
    {
        row.set("Cursor", format!("{}/{}", cursor.0, cursor.1 + 1));
    }
}

fn row_of(operation: &Operation) -> Option<&Entity> {
    match operation {
        Operation::Insert(row) | Operation::Replace(row, _) | Operation::InsertOrReplace(row) => Some(row),
        _ => None,
    }
}

/// Changes the rows that a batch writes under keys with this beginning.
fn for_rows(batch: &mut [Operation], prefix: &str, mut change: impl FnMut(&mut Entity)) {
    for operation in batch {
        if let Operation::Insert(row) | Operation::Replace(row, _) | Operation::InsertOrReplace(row) = operation
            && row.row_key.starts_with(prefix)
        {
            change(row);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
