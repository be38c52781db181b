//! Writes within a batch, and how large they make it.

use super::wire::json_bytes;
use super::{ETag, Entity, MAX_KEY_UNITS};

/// A write within [`Table::submit`].
#[derive(Debug, Clone)]
pub enum Operation {
    /// Writes a new row.
    Insert(Entity),
    /// Writes all columns of an existing row anew, if its version is still this one.
    Replace(Entity, ETag),
    /// Writes a row, whether it exists or not.
    InsertOrReplace(Entity),
    /// Deletes a row, whatever its version.
    Delete {
        /// The row.
        row_key: String,
    },
}

impl Operation {
    /// The row that is written.
    pub fn row_key(&self) -> &str {
        match self {
            Self::Insert(entity) | Self::Replace(entity, _) | Self::InsertOrReplace(entity) => &entity.row_key,
            Self::Delete { row_key } => row_key,
        }
    }

    /// About how many bytes the operation takes in the request of a batch, and never fewer: its row as JSON, escapes and
    /// Base64 included, its address and its headers. Callers cut batches by the sum, which [`MAX_BATCH_BYTES`](super::MAX_BATCH_BYTES) bounds.
    pub fn bytes(&self) -> usize {
        // A byte of a key can take three in an address, and a quote is doubled.
        let address = |key: &str| 3 * key.len() + key.matches('\'').count();
        let row = |entity: &Entity| address(&entity.partition_key).saturating_add(json_bytes(entity));
        let rest = match self {
            Self::Insert(entity) | Self::Replace(entity, _) | Self::InsertOrReplace(entity) => row(entity),
            // The operation does not know its partition: the longest key, three bytes a code unit.
            Self::Delete { .. } => 3 * 3 * MAX_KEY_UNITS,
        };
        OPERATION_OVERHEAD.saturating_add(address(self.row_key())).saturating_add(rest)
    }
}

/// Boundary, request line and headers of an operation in a batch, without its keys.
const OPERATION_OVERHEAD: usize = 1024;
