//! What names a row.

use super::entity::Entity;
use std::fmt;

/// The keys of a row: its partition, and what it is called there.
///
/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#system-properties>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keys {
    /// Which partition the row is in.
    pub partition: String,
    /// What it is called there.
    pub row: String,
}

impl Keys {
    /// The keys with these texts.
    pub fn new(partition: impl Into<String>, row: impl Into<String>) -> Self {
        Self { partition: partition.into(), row: row.into() }
    }
}

/// `partition 11:2F3:2F2026, row 65ede244`
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}, row {}", self.partition, self.row)
    }
}

impl Entity {
    /// The row's keys.
    pub fn keys(&self) -> Keys {
        Keys::new(&self.partition_key, &self.row_key)
    }
}
