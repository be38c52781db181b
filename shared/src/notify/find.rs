//! Which rows are new: read at a cost that does not grow with the table.

use crate::lead::Day;
pub(crate) use crate::lead::days;
use crate::table::{Entity, Query, Table, TableError};
use futures::Stream;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;

/// The most queries that are under way at once.
const QUERIES_AT_ONCE: usize = 8;

/// The rows of a page: a page is held in memory while its leads are sent.
const PAGE_SIZE: u32 = 500;

/// The queries for the rows written from `from` on: one for each day, or one for the whole table.
pub(crate) fn queries(from: Timestamp, before: Option<Timestamp>, days: &[Day], whole_table: bool) -> Vec<Query> {
    let rows =
        Query { written_from: Some(from), written_before: before, page_size: Some(PAGE_SIZE), ..Query::default() };
    if whole_table {
        return vec![rows];
    }
    days.iter().map(|day| Query { partition_key: Some(day.partition_key()), ..rows.clone() }).collect()
}

/// The pages of several queries, in their order.
pub(crate) fn pages<T: Table>(
    table: &T,
    queries: Vec<Query>,
) -> impl Stream<Item = Result<Vec<Entity>, TableError>> + Send + use<T> {
    crate::table::pages(table, queries, QUERIES_AT_ONCE)
}

/// The keys of rows that were handled, 16 bytes each.
#[derive(Default)]
pub(super) struct KnownRows(HashSet<[u8; 16]>);

impl KnownRows {
    /// Notes a row; says whether it is new.
    pub(super) fn insert(&mut self, partition_key: &str, row_key: &str) -> bool {
        let mut hash = Sha256::new();
        hash.update((partition_key.len() as u64).to_be_bytes());
        hash.update(partition_key);
        hash.update(row_key);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        self.0.insert(key)
    }
}
