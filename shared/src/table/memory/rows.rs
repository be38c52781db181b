//! The rows of the table in memory, by partition, and how pages are cut from them.

use crate::table::wire::{read_columns, read_row};
use crate::table::{Continuation, ETag, Entity, MAX_PAGE_ROWS, Page, Query};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::ops::Bound;

/// All rows. Partitions without rows are not kept.
#[derive(Default)]
pub(super) struct Rows {
    partitions: BTreeMap<String, BTreeMap<String, Row>>,
    /// How many rows were written so far; versions are made of it.
    writes: u64,
    /// How many times rows were written or removed.
    pub(super) changes: u64,
    /// How many rows were looked at for pages.
    pub(super) looked_at: usize,
}

/// How pages are cut, beyond what a query says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Paging {
    pub(super) rows_returned: Option<usize>,
    pub(super) rows_looked_at: Option<usize>,
    pub(super) tokens_without_row_key: bool,
}

pub(super) struct Row {
    entity: Entity,
    /// When the row was written by the service's clock, which is known even where the row does not show it.
    written: Timestamp,
    /// Calls that read do not see the row before this time.
    pub(super) visible_from: Option<Timestamp>,
    /// The JSON that the service would send, where the row was written as such.
    json: Option<String>,
}

impl Row {
    pub(super) fn etag(&self) -> Option<&ETag> {
        self.entity.etag.as_ref()
    }

    pub(super) fn is_visible(&self, now: Timestamp) -> bool {
        self.visible_from.is_none_or(|from| from <= now)
    }

    /// The row as a caller gets it, with these columns, or with all where none are named.
    pub(super) fn read(&self, columns: &[&str]) -> Entity {
        if columns.is_empty() {
            return self.entity.clone();
        }
        // The service sends no column that was not asked for, so that its damage is not seen either.
        if let Some(mut entity) = self.json.as_deref().and_then(|json| read_columns(json, columns)) {
            entity.etag.clone_from(&self.entity.etag);
            return entity;
        }
        let mut entity = Entity::new(&self.entity.partition_key, &self.entity.row_key);
        entity.timestamp = self.entity.timestamp;
        entity.etag.clone_from(&self.entity.etag);
        let chosen = self.entity.properties.iter().filter(|(name, _)| columns.contains(&name.as_str()));
        entity.properties.extend(chosen.map(|(name, value)| (name.clone(), value.clone())));
        entity
    }

    /// Whether a row of a partition in which a query looks is one of its rows.
    fn matches(&self, query: &Query) -> bool {
        let row_key = &self.entity.row_key;
        query.written_from.is_none_or(|time| self.written >= to_100_ns(time))
            && query.written_before.is_none_or(|time| self.written < to_100_ns(time))
            && query.row_key_from.as_ref().is_none_or(|key| key <= row_key)
            && query.row_key_before.as_ref().is_none_or(|key| key > row_key)
    }
}

impl Rows {
    pub(super) fn find(&self, partition_key: &str, row_key: &str) -> Option<&Row> {
        self.partitions.get(partition_key)?.get(row_key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Entity> {
        self.partitions.values().flat_map(BTreeMap::values).map(|row| &row.entity)
    }

    /// Writes a row, whether it exists or not.
    pub(super) fn put(&mut self, mut entity: Entity, now: Timestamp) -> &mut Row {
        let written = to_100_ns(now);
        entity.timestamp = Some(written);
        entity.etag = None;
        self.place(Row { entity, written, visible_from: None, json: None })
    }

    /// Writes a row that is read from JSON. Gives whether it has readable keys.
    pub(super) fn put_json(&mut self, json: &str, now: Timestamp) -> bool {
        let Some(entity) = read_row(json) else { return false };
        let written = to_100_ns(entity.timestamp.unwrap_or(now));
        self.place(Row { entity, written, visible_from: None, json: Some(json.to_owned()) });
        true
    }

    fn place(&mut self, mut row: Row) -> &mut Row {
        self.writes += 1;
        self.changes += 1;
        row.entity.etag.get_or_insert_with(|| ETag(format!("W/\"{}\"", self.writes)));
        let partition = self.partitions.entry(row.entity.partition_key.clone()).or_default();
        partition.entry(row.entity.row_key.clone()).insert_entry(row).into_mut()
    }

    /// Removes a row. Gives whether it was there.
    pub(super) fn remove(&mut self, partition_key: &str, row_key: &str) -> bool {
        let Some(partition) = self.partitions.get_mut(partition_key) else { return false };
        let is_removed = partition.remove(row_key).is_some();
        self.changes += u64::from(is_removed);
        if partition.is_empty() {
            self.partitions.remove(partition_key);
        }
        is_removed
    }

    /// One page. It begins where the query or the token says, and ends with the partition, or when it holds enough rows,
    /// or when enough rows were looked at.
    pub(super) fn page(&mut self, query: &Query, from: Option<&Continuation>, paging: Paging, now: Timestamp) -> Page {
        let most = [paging.rows_returned, query.page_size.map(|rows| rows as usize), Some(MAX_PAGE_ROWS as usize)];
        let most = most.into_iter().flatten().min().unwrap_or_default();
        let most_looked_at = paging.rows_looked_at.unwrap_or(usize::MAX);
        let mut partitions = self.partitions.range::<str, _>(partitions_of(query, from));
        let mut entities = Vec::new();
        let Some((partition_key, rows)) = partitions.next() else { return Page { entities, next: None } };

        // Only within a given partition do bounds of row keys say where to begin and to end. Else each row is looked at.
        let is_one_partition = query.partition_key.is_some();
        let token = from.filter(|from| from.partition_key == *partition_key).and_then(|from| from.row_key.as_deref());
        let lowest = query.row_key_from.as_deref().filter(|_| is_one_partition).max(token).unwrap_or_default();
        let highest = query.row_key_before.as_deref().filter(|_| is_one_partition);
        let rows = rows.range::<str, _>((Bound::Included(lowest), Bound::Unbounded));
        let rows = rows.map(|(_, row)| row).filter(|row| row.is_visible(now));
        let mut looked_at = 0;
        for row in rows.take_while(|row| highest.is_none_or(|highest| row.entity.row_key.as_str() < highest)) {
            if entities.len() == most || looked_at == most_looked_at {
                self.looked_at += looked_at;
                let Entity { partition_key, row_key, .. } = &row.entity;
                let next = Some(token_to(partition_key, Some(row_key)));
                return Page { entities, next };
            }
            looked_at += 1;
            if row.matches(query) {
                entities.push(row.read(&query.select));
            }
        }
        let next = partitions.next().map(|(partition_key, rows)| {
            let first = rows.keys().next().filter(|_| !paging.tokens_without_row_key);
            token_to(partition_key, first)
        });
        self.looked_at += looked_at;
        Page { entities, next }
    }
}

/// The partitions in which a query has to look, from the token on.
fn partitions_of<'a>(query: &'a Query, from: Option<&'a Continuation>) -> (Bound<&'a str>, Bound<&'a str>) {
    let only = query.partition_key.as_deref();
    let token = from.map(|from| from.partition_key.as_str());
    let after = query.partition_key_after.as_deref();
    let lowest = match only.max(token) {
        Some(lowest) if after.is_none_or(|after| after < lowest) => Bound::Included(lowest),
        _ => after.map_or(Bound::Unbounded, Bound::Excluded),
    };
    let highest = only.map_or(Bound::Unbounded, Bound::Included);
    match (lowest, highest) {
        // Nothing can be found, and a range must not end before it begins.
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high)) if low > high => {
            (Bound::Excluded(low), Bound::Included(low))
        }
        range => range,
    }
}

fn token_to(partition_key: &str, row_key: Option<&String>) -> Continuation {
    Continuation { partition_key: partition_key.to_owned(), row_key: row_key.cloned(), page_size: None }
}

/// The service keeps 100 ns of a time; a bound with more digits is cut like that, too.
fn to_100_ns(time: Timestamp) -> Timestamp {
    time - SignedDuration::from_nanos(i64::from(time.subsec_nanosecond() % 100))
}
