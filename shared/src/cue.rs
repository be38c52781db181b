//! Cues: notes for the notifier that name a row which its reading of recent days may miss.
//!
//! The notifier reads the rows that were written lately under the days around now. Whoever stores a lead under another
//! day (redelivery, days after the lead came), or quarantines a body, first leaves a cue with the row's exact keys. The
//! notifier fetches that row, records it and deletes the cue in one batch. A cue whose row never came is deleted after
//! an hour: each attempt to store leaves a cue of its own.

use crate::clock::Chance;
use crate::table::{Entity, Keys, Operation, Table, TableError};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The partition of the state table in which the notifier's log and the cues are.
pub const PARTITION: &str = "notifier";

/// What the row keys of cues begin with: `cue-<16 hexadecimal digits>-<16 hexadecimal digits>`, a hash of the keys and a
/// random number.
const PREFIX: &str = "cue-";

/// The row that a cue names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cued {
    /// A row of the leads table.
    Lead(Keys),
    /// A row of the quarantine.
    Quarantined {
        /// Its key.
        row_key: String,
    },
}

impl Cued {
    /// The row of a cue. `random` tells this attempt from every other one.
    fn to_entity(&self, random: u64) -> Entity {
        let (partition_key, row_key) = match self {
            Self::Lead(keys) => (Some(&keys.partition), &keys.row),
            Self::Quarantined { row_key } => (None, row_key),
        };
        let mut hash = Sha256::new();
        hash.update(partition_key.map(String::as_bytes).unwrap_or_default());
        hash.update([0]);
        hash.update(row_key);
        let hash = hex::encode(&hash.finalize()[..8]);
        let mut row = Entity::new(PARTITION, format!("{PREFIX}{hash}-{random:016x}")).with("CuedRow", row_key.as_str());
        if let Some(partition_key) = partition_key {
            row.set("CuedPartition", partition_key.as_str());
        }
        row
    }
}

/// A cue as it stands in the state table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// The cue's own row key.
    pub row_key: String,
    /// The row that it names. `None` where somebody else wrote the cue, and wrote it wrongly.
    pub cued: Option<Cued>,
    /// When it was left, by the service's clock.
    pub left: Option<Timestamp>,
}

impl Cue {
    /// Reads a row; `None` where it is no cue.
    pub fn from_entity(row: &Entity) -> Option<Self> {
        row.row_key.strip_prefix(PREFIX)?;
        let row_key = row.string("CuedRow").map(str::to_owned);
        let cued = match (row.string("CuedPartition"), row_key) {
            (Some(partition), Some(row_key)) => Some(Cued::Lead(Keys::new(partition, row_key))),
            (None, Some(row_key)) => Some(Cued::Quarantined { row_key }),
            (_, None) => None,
        };
        Some(Self { row_key: row.row_key.clone(), cued, left: row.timestamp })
    }
}

/// The row key from which on cues have a hash that is at least this number.
pub(crate) fn row_key_from(hash: u64) -> String {
    format!("{PREFIX}{hash:016x}")
}

/// Leaves a cue. `random` tells this attempt from every other one.
///
/// # Errors
/// Where the state table does not take it.
pub async fn leave<T: Table>(state: &T, cued: &Cued, random: u64) -> Result<(), TableError> {
    match state.insert(&cued.to_entity(random)).await {
        Ok(()) | Err(TableError::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Leaves cues for leads, as many as a batch takes, with one request: all of them or none. Where it is repeated after its answer
/// was lost, it finds its own cues.
///
/// # Errors
/// Where the state table does not take them.
pub(crate) async fn leave_together<T: Table>(
    state: &T,
    leads: impl Iterator<Item = Keys>,
    chance: &Chance,
) -> Result<(), TableError> {
    let cues: Vec<_> = leads.map(|keys| Operation::InsertOrReplace(Cued::Lead(keys).to_entity(chance()))).collect();
    state.submit(PARTITION, &cues).await.map(drop)
}
