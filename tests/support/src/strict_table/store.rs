//! The tables and their rows, in memory.

use super::clock::{Clock, TICKS_PER_SECOND, Ticks};
use super::refusal::Refusal;
use super::row::{Incoming, Shown, check_key, etag};
use std::collections::BTreeMap;

/// Every table of the account.
#[derive(Default)]
pub(crate) struct Store {
    /// By their names in lower case: names of tables are told apart without it.
    tables: BTreeMap<String, Table>,
    pub(crate) clock: Clock,
    last: Stamp,
    /// How many entities of a partition may be written or read in a second.
    entities_per_second: Option<u32>,
}

/// The tick that was given out last, and how many rows got it and the following ones.
#[derive(Default)]
struct Stamp {
    now: Ticks,
    given: Ticks,
}

/// One table.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) partitions: BTreeMap<Box<str>, Partition>,
}

/// The rows of one partition, and how many entities of it were written or read in a second.
#[derive(Default)]
pub(crate) struct Partition {
    pub(crate) rows: BTreeMap<Box<str>, Row>,
    second: Ticks,
    entities: u32,
}

/// A row as it is kept. A million of them fit into memory: nothing is kept twice.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) written: Ticks,
    /// From when on reads see it.
    pub(crate) visible: Ticks,
    /// Its properties: the inside of a JSON object.
    pub(crate) text: Box<str>,
}

/// The keys of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) partition_key: String,
    pub(crate) row_key: String,
}

/// What to do with one row.
#[derive(Debug)]
pub(crate) enum Write {
    Insert(Incoming),
    Replace(Incoming, Condition),
    Merge(Incoming, Condition),
    Delete(Condition),
}

/// What the row must be like.
///
/// <https://learn.microsoft.com/rest/api/storageservices/update-entity2>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// No `If-Match`: the row is written whether it exists or not.
    None,
    /// `If-Match: *`: it exists.
    Exists,
    /// It is of this version.
    Version(String),
}

impl Store {
    pub(crate) fn new(clock: Clock, entities_per_second: Option<u32>) -> Self {
        Self { clock, entities_per_second, ..Self::default() }
    }

    pub(crate) fn now(&self) -> Ticks {
        self.clock.now()
    }

    /// The next row's time of writing. No two rows get the same one while the clock goes on or stands, so that every version
    /// differs from the one before it.
    fn stamp(&mut self) -> Ticks {
        let now = self.now();
        if self.last.now == now {
            self.last.given += 1;
        } else {
            self.last = Stamp { now, given: 0 };
        }
        now + self.last.given
    }

    /// Creates a table.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/create-table>
    pub(crate) fn create(&mut self, name: &str) -> Result<(), Refusal> {
        let is_name = (3..=63).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|character| character.is_ascii_alphanumeric());
        if !is_name {
            let message = "The specified resource name contains invalid characters.";
            return Err(Refusal::new(400, "InvalidResourceName", message));
        }
        match self.tables.entry(name.to_ascii_lowercase()) {
            std::collections::btree_map::Entry::Occupied(_) => Err(Refusal::table_exists()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Table { name: name.to_owned(), ..Table::default() });
                Ok(())
            }
        }
    }

    /// Deletes a table with all its rows.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        self.tables.remove(&name.to_ascii_lowercase()).map(drop).ok_or_else(Refusal::not_found)
    }

    pub(crate) fn table(&mut self, name: &str) -> Result<&mut Table, Refusal> {
        self.tables.get_mut(&name.to_ascii_lowercase()).ok_or_else(Refusal::table_not_found)
    }

    /// Counts entities of a partition that are about to be written or read, and refuses them where they are too many.
    ///
    /// <https://learn.microsoft.com/azure/storage/tables/scalability-targets#scale-targets-for-table-storage>
    pub(crate) fn throttle(&mut self, table: &str, partition_key: &str, entities: usize) -> Result<(), Refusal> {
        let (Some(limit), second) = (self.entities_per_second, self.now().div_euclid(TICKS_PER_SECOND)) else {
            return Ok(());
        };
        let Some(partition) = self.table(table)?.partitions.get_mut(partition_key) else { return Ok(()) };
        if partition.second != second {
            (partition.second, partition.entities) = (second, 0);
        }
        if partition.entities >= limit {
            return Err(Refusal::server_busy(1));
        }
        partition.entities = partition.entities.saturating_add(u32::try_from(entities).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Reads one row.
    pub(crate) fn row(&mut self, table: &str, key: &Key) -> Result<Row, Refusal> {
        let now = self.now();
        let partitions = &self.table(table)?.partitions;
        let row = partitions.get(key.partition_key.as_str()).and_then(|partition| partition.rows.get(&*key.row_key));
        row.filter(|row| row.visible <= now).cloned().ok_or_else(Refusal::not_found)
    }

    /// Writes a row past every check, as if that had been at this time.
    pub(crate) fn put(&mut self, table: &str, key: Key, row: Row) {
        let lower = table.to_ascii_lowercase();
        let table = self.tables.entry(lower).or_insert_with(|| Table { name: table.to_owned(), ..Table::default() });
        let partition = table.partitions.entry(key.partition_key.into_boxed_str()).or_default();
        partition.rows.insert(key.row_key.into_boxed_str(), row);
    }

    /// Does one write, and gives the row's new version and the row that was there. The row is seen `hidden` ticks later.
    pub(crate) fn write(&mut self, table: &str, key: &Key, write: Write, hidden: Ticks) -> Result<Written, Refusal> {
        check_key(&key.partition_key)?;
        check_key(&key.row_key)?;
        let stamp = self.stamp();
        let partitions = &mut self.table(table)?.partitions;
        let old = partitions.get(key.partition_key.as_str()).and_then(|partition| partition.rows.get(&*key.row_key));
        let old = old.cloned();
        let incoming = match write {
            Write::Insert(_) if old.is_some() => return Err(Refusal::exists()),
            Write::Insert(incoming) => Some(incoming),
            Write::Replace(incoming, condition) => {
                condition.check(old.as_ref())?;
                Some(incoming)
            }
            Write::Merge(incoming, condition) => {
                condition.check(old.as_ref())?;
                Some(match &old {
                    Some(old) => incoming.merged_onto(&old.text),
                    None => incoming,
                })
            }
            Write::Delete(condition) => {
                condition.check(old.as_ref())?;
                None
            }
        };
        let Some(incoming) = incoming else {
            self.restore(table, key, None);
            return Ok(Written { etag: None, at: stamp, old });
        };
        incoming.check_size(&key.partition_key, &key.row_key)?;
        let row = Row { written: stamp, visible: stamp.saturating_add(hidden), text: incoming.text() };
        let row = if hidden == 0 { Row { visible: Ticks::MIN, ..row } } else { row };
        self.put(table, key.clone(), row);
        Ok(Written { etag: Some(etag(stamp)), at: stamp, old })
    }

    /// Puts back the row that was there, or takes it out where none was.
    pub(crate) fn restore(&mut self, table: &str, key: &Key, old: Option<Row>) {
        if let Some(row) = old {
            return self.put(table, key.clone(), row);
        }
        let Ok(table) = self.table(table) else { return };
        if let Some(partition) = table.partitions.get_mut(key.partition_key.as_str()) {
            partition.rows.remove(&*key.row_key);
            if partition.rows.is_empty() {
                table.partitions.remove(key.partition_key.as_str());
            }
        }
    }
}

/// What became of a write.
pub(crate) struct Written {
    /// The new version; `None` where the row was deleted.
    pub(crate) etag: Option<String>,
    /// When it was written.
    pub(crate) at: Ticks,
    /// What was there before.
    pub(crate) old: Option<Row>,
}

impl Condition {
    fn check(&self, row: Option<&Row>) -> Result<(), Refusal> {
        match (self, row) {
            (Self::None, _) | (Self::Exists, Some(_)) => Ok(()),
            (Self::Exists | Self::Version(_), None) => Err(Refusal::not_found()),
            (Self::Version(version), Some(row)) if *version == etag(row.written) => Ok(()),
            (Self::Version(_), Some(_)) => Err(Refusal::condition_not_satisfied()),
        }
    }
}

impl Row {
    /// The row with its keys, to be shown.
    pub(crate) fn shown<'a>(&'a self, partition_key: &'a str, row_key: &'a str) -> Shown<'a> {
        Shown { partition_key, row_key, written: self.written, text: &self.text }
    }
}
