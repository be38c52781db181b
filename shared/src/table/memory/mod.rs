//! The table in memory, for unit tests and simulations: held to the same contract as [`azure`](super::azure), and to the
//! service's limits.

mod rows;
#[cfg(test)]
mod tests;

use super::checks::{check_batch, rejected};
use super::{Continuation, ETag, Entity, Keys, MAX_PAGE_ROWS, Operation, Page, Query, Table, TableError};
use jiff::Timestamp;
use rows::{Paging, Rows};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A table in memory. Clones share their rows.
#[derive(Clone, Default)]
pub struct MemoryTable {
    state: Arc<Mutex<State>>,
}

/// Decides, for the n-th call (from 0), whether it fails, and when. It may change the rows.
pub type Fault = Box<dyn FnMut(usize) -> Option<FaultKind> + Send>;

/// When a call fails.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// Before anything was done.
    Before(TableError),
    /// After it was done: the caller cannot know.
    After(TableError),
}

#[derive(Default)]
struct State {
    rows: Rows,
    paging: Paging,
    missing: bool,
    calls: usize,
    rows_read: usize,
    now: Option<Timestamp>,
    fault: Option<Fault>,
}

impl MemoryTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table that has not been created.
    pub fn missing() -> Self {
        let table = Self::default();
        table.lock().missing = true;
        table
    }

    /// Pages hold at most this many rows.
    #[must_use]
    pub fn with_page_size(self, rows: usize) -> Self {
        self.lock().paging.rows_returned = Some(rows);
        self
    }

    /// A page ends when so many rows were looked at, as the service's does after five seconds. It may be empty, and has a
    /// token then.
    #[must_use]
    pub fn with_rows_looked_at_a_page(self, rows: usize) -> Self {
        self.lock().paging.rows_looked_at = Some(rows);
        self
    }

    /// A token at the end of a partition names the next partition alone, as the service's sometimes does.
    #[must_use]
    pub fn with_tokens_without_row_key(self) -> Self {
        self.lock().paging.tokens_without_row_key = true;
        self
    }

    /// Sets the service's clock; it stands still from now on.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().now = Some(now);
    }

    /// Asks before each call whether it should fail.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// How many times rows were changed: written or removed.
    pub fn changes(&self) -> u64 {
        self.lock().rows.changes
    }

    /// How many rows calls have given back.
    pub fn rows_read(&self) -> usize {
        self.lock().rows_read
    }

    /// How many rows the table looked at for its pages, given back or not.
    pub fn rows_looked_at(&self) -> usize {
        self.lock().rows.looked_at
    }

    /// All rows, in the order of their keys, those included that calls do not see yet.
    pub fn rows(&self) -> Vec<Entity> {
        self.lock().rows.all().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a row past all faults and limits, as somebody else might.
    pub fn put(&self, entity: Entity) {
        let mut state = self.lock();
        let now = state.clock();
        state.rows.put(entity, now);
    }

    /// Writes a row like [`Self::put`] that has the timestamp of now, while calls that read see it only when the service's
    /// clock has reached `visible_from`. For calls that write it is there at once.
    pub fn put_late(&self, entity: Entity, visible_from: Timestamp) {
        let mut state = self.lock();
        let now = state.clock();
        state.rows.put(entity, now).visible_from = Some(visible_from);
    }

    /// Writes a row from the JSON in which the service would send it: what types and texts it has, how damaged it may be.
    /// It is read by the same code as the service's answers. Where it has no timestamp or version, calls find it by a
    /// timestamp of now, and it gets a version. Gives whether the row has readable keys; without them no call would show
    /// it, and nothing is written.
    pub fn put_json(&self, json: &str) -> bool {
        let mut state = self.lock();
        let now = state.clock();
        state.rows.put_json(json, now)
    }

    /// Runs one call, with the fault that is set for it.
    fn call<T>(&self, run: impl FnOnce(&mut State) -> Result<T, TableError>) -> Result<T, TableError> {
        // The table is free while the fault is asked for, so that it can change the rows.
        let (number, fault) = {
            let mut state = self.lock();
            state.calls += 1;
            (state.calls - 1, state.fault.take())
        };
        let decided = fault.map(|mut fault| {
            let decided = fault(number);
            self.lock().fault = Some(fault);
            decided
        });
        let mut state = self.lock();
        match decided.flatten() {
            Some(FaultKind::Before(error)) => Err(error),
            Some(FaultKind::After(error)) => run(&mut state).and(Err(error)),
            None if state.missing => Err(TableError::TableNotFound),
            None => run(&mut state),
        }
    }
}

impl State {
    fn clock(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }

    /// Whether an operation can be done, without doing it.
    fn check(&self, partition_key: &str, operation: &Operation) -> Result<(), TableError> {
        let row = self.rows.find(partition_key, operation.row_key());
        match (operation, row) {
            (Operation::Insert(_), Some(_)) => Err(TableError::Exists),
            (Operation::Replace(..) | Operation::Delete { .. }, None) => Err(TableError::NotFound),
            (Operation::Replace(_, etag), Some(row)) if row.etag() != Some(etag) => Err(TableError::Precondition),
            _ => Ok(()),
        }
    }

    /// Does an operation that was checked. Gives the row's new version.
    fn apply(&mut self, partition_key: &str, operation: &Operation, now: Timestamp) -> Option<ETag> {
        match operation {
            Operation::Insert(entity) | Operation::InsertOrReplace(entity) | Operation::Replace(entity, _) => {
                self.rows.put(entity.clone(), now).etag().cloned()
            }
            Operation::Delete { row_key } => {
                self.rows.remove(partition_key, row_key);
                None
            }
        }
    }
}

impl Table for MemoryTable {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        self.call(|state| {
            entity.check_limits()?;
            if state.rows.find(&entity.partition_key, &entity.row_key).is_some() {
                return Err(TableError::Exists);
            }
            let now = state.clock();
            state.rows.put(entity.clone(), now);
            Ok(())
        })
    }

    async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
        self.call(|state| {
            let now = state.clock();
            let row = state.rows.find(&keys.partition, &keys.row).filter(|row| row.is_visible(now));
            let entity = row.ok_or(TableError::NotFound)?.read(&[]);
            state.rows_read += 1;
            Ok(entity)
        })
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.call(|state| {
            if query.page_size.is_some_and(|rows| !(1..=MAX_PAGE_ROWS).contains(&rows)) {
                return rejected("InvalidInput");
            }
            let now = state.clock();
            let page = state.rows.page(query, from, state.paging, now);
            state.rows_read += page.entities.len();
            Ok(page)
        })
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        self.call(|state| {
            check_batch(partition_key, operations)?;
            // No two operations are on the same row, so that none of them depends on another.
            operations.iter().try_for_each(|operation| state.check(partition_key, operation))?;
            let now = state.clock();
            Ok(operations.iter().map(|operation| state.apply(partition_key, operation, now)).collect())
        })
    }

    async fn delete(&self, keys: &Keys) -> Result<(), TableError> {
        self.call(|state| {
            let removed = state.rows.remove(&keys.partition, &keys.row);
            if removed { Ok(()) } else { Err(TableError::NotFound) }
        })
    }

    async fn create(&self) -> Result<(), TableError> {
        let mut state = self.lock();
        if !state.missing {
            return Err(TableError::Exists);
        }
        state.missing = false;
        Ok(())
    }
}
