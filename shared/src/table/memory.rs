//! The table in memory, for unit tests: held to the same contract as [`super::azure`].

use super::{Continuation, ETag, Entity, MAX_BATCH_OPERATIONS, Operation, Page, Query, Table, TableError, Value};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashSet};
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
    rows: BTreeMap<(String, String), Entity>,
    missing: bool,
    writes: u64,
    calls: usize,
    rows_read: usize,
    page_size: Option<usize>,
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
        self.lock().page_size = Some(rows);
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

    /// How many rows calls have given back.
    pub fn rows_read(&self) -> usize {
        self.lock().rows_read
    }

    /// All rows, in the order of their keys.
    pub fn rows(&self) -> Vec<Entity> {
        self.lock().rows.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a row past all faults, as somebody else might.
    pub fn put(&self, entity: Entity) {
        self.lock().put(entity);
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
    fn put(&mut self, mut entity: Entity) {
        self.writes += 1;
        entity.timestamp = Some(self.now.unwrap_or_else(Timestamp::now));
        entity.etag = Some(ETag(format!("W/\"{}\"", self.writes)));
        self.rows.insert((entity.partition_key.clone(), entity.row_key.clone()), entity);
    }

    fn insert(&mut self, entity: &Entity) -> Result<(), TableError> {
        if self.rows.contains_key(&(entity.partition_key.clone(), entity.row_key.clone())) {
            return Err(TableError::Exists);
        }
        self.put(entity.clone());
        Ok(())
    }

    fn delete(&mut self, partition_key: &str, row_key: &str) -> Result<(), TableError> {
        let key = (partition_key.to_owned(), row_key.to_owned());
        self.rows.remove(&key).map(drop).ok_or(TableError::NotFound)
    }
}

impl Table for MemoryTable {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        self.call(|state| state.insert(entity))
    }

    async fn get(&self, partition_key: &str, row_key: &str) -> Result<Entity, TableError> {
        self.call(|state| {
            let row = state.rows.get(&(partition_key.to_owned(), row_key.to_owned())).cloned();
            state.rows_read += usize::from(row.is_some());
            row.ok_or(TableError::NotFound)
        })
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.call(|state| {
            let limit = [state.page_size, query.page_size.map(|size| size as usize), Some(1000)];
            let limit = limit.into_iter().flatten().min().unwrap_or(1000);
            let start = from.map(|from| (from.partition_key.clone(), from.row_key.clone().unwrap_or_default()));
            let mut found = state
                .rows
                .range(start.unwrap_or_default()..)
                .map(|(_, entity)| entity)
                .filter(|entity| matches(query, entity));
            let entities: Vec<_> = found.by_ref().take(limit).map(|entity| select(query, entity)).collect();
            let next = found.next().map(|entity| Continuation {
                partition_key: entity.partition_key.clone(),
                row_key: Some(entity.row_key.clone()),
            });
            state.rows_read += entities.len();
            Ok(Page { entities, next })
        })
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        self.call(|state| {
            let rejected = |code: &str| Err(TableError::Rejected { status: 400, code: code.to_owned() });
            let mut keys = HashSet::new();
            if operations.is_empty() || operations.len() > MAX_BATCH_OPERATIONS {
                return rejected("InvalidInput");
            }
            if !operations.iter().all(|operation| keys.insert(operation.row_key())) {
                return rejected("InvalidDuplicateRow");
            }
            let before = (state.rows.clone(), state.writes);
            let done = operations.iter().try_for_each(|operation| {
                let key = (partition_key.to_owned(), operation.row_key().to_owned());
                match operation {
                    Operation::Insert(entity) => state.insert(entity)?,
                    Operation::InsertOrReplace(entity) => state.put(entity.clone()),
                    Operation::Replace(entity, etag) => match state.rows.get(&key) {
                        None => return Err(TableError::NotFound),
                        Some(row) if row.etag.as_ref() != Some(etag) => return Err(TableError::Precondition),
                        Some(_) => state.put(entity.clone()),
                    },
                    Operation::Delete { row_key } => state.delete(partition_key, row_key)?,
                }
                Ok(())
            });
            if let Err(error) = done {
                (state.rows, state.writes) = before;
                return Err(error);
            }
            let etag = |operation: &Operation| {
                state.rows.get(&(partition_key.to_owned(), operation.row_key().to_owned()))?.etag.clone()
            };
            Ok(operations.iter().map(etag).collect())
        })
    }

    async fn delete(&self, partition_key: &str, row_key: &str) -> Result<(), TableError> {
        self.call(|state| state.delete(partition_key, row_key))
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

fn matches(query: &Query, entity: &Entity) -> bool {
    // The service keeps 100 ns; a bound with more digits is cut like that, too.
    let cut = |time: Timestamp| time - SignedDuration::from_nanos(i64::from(time.subsec_nanosecond() % 100));
    let written = entity.timestamp.unwrap_or_default();
    query.partition_key.as_ref().is_none_or(|key| *key == entity.partition_key)
        && query.row_key_from.as_ref().is_none_or(|key| *key <= entity.row_key)
        && query.row_key_before.as_ref().is_none_or(|key| *key > entity.row_key)
        && query.written_from.is_none_or(|time| cut(written) >= cut(time))
        && query.written_before.is_none_or(|time| cut(written) < cut(time))
}

fn select(query: &Query, entity: &Entity) -> Entity {
    let mut entity = entity.clone();
    if !query.select.is_empty() {
        entity.properties.retain(|name, _: &mut Value| query.select.contains(&name.as_str()));
    }
    entity
}
