//! Which rows are recorded already.

use crate::notify::log::{self, Entry};
use crate::table::{Table, TableError};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;

/// How many rows of the log are read at a time: each may hold half a megabyte.
const ROWS: u32 = 16;

/// The keys of rows that are recorded, 16 bytes each.
#[derive(Default)]
pub(crate) struct KnownRows(HashSet<[u8; 16]>);

impl KnownRows {
    /// Reads which rows the log holds from a key on. `may_go_on` is asked before each page; where it says no, nothing is
    /// given: what is not known wholly is not known.
    pub(crate) async fn read<T: Table>(
        state: &T,
        from: &str,
        may_go_on: impl Fn() -> bool,
    ) -> Result<Option<Self>, TableError> {
        let mut known = Self::default();
        let mut next = None;
        loop {
            if !may_go_on() {
                return Ok(None);
            }
            let (rows, following) = log::page(state, from, ROWS, next.as_ref()).await?;
            for entry in rows.iter().flat_map(|row| &row.entries) {
                known.insert(entry);
            }
            next = following;
            if next.is_none() {
                return Ok(Some(known));
            }
        }
    }

    /// Notes a row; says whether it is new.
    pub(crate) fn insert(&mut self, entry: &Entry) -> bool {
        key(entry).is_none_or(|key| self.0.insert(key))
    }
}

/// `None` for what was erased: nobody can find it again.
fn key(entry: &Entry) -> Option<[u8; 16]> {
    let (partition_key, row_key) = match entry.found() {
        Entry::Lead(keys) => (keys.partition.as_str(), &keys.row),
        // No partition of a table has an empty key and such a row: Azure's own rows have a day.
        Entry::Quarantined(row_key) => ("\u{0}quarantine", row_key),
        Entry::Erasing { .. } | Entry::Erased => return None,
    };
    let mut hash = Sha256::new();
    hash.update((partition_key.len() as u64).to_be_bytes());
    hash.update(partition_key);
    hash.update(row_key);
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    Some(key)
}
