//! What Azure Table storage allows, and what we read of it: each limit in this one place.
//!
//! Rows: <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model>.
//! Batches: <https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions>.
//! Pages: <https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>.

/// The longest string property, in UTF-16 code units (64 KiB).
pub const MAX_STRING_UNITS: usize = 32 * 1024;

/// The longest binary property, in bytes.
pub const MAX_BINARY_BYTES: usize = 64 * 1024;

/// The largest entity, in bytes: names and values of all its properties, the keys included.
pub const MAX_ENTITY_BYTES: usize = 1024 * 1024;

/// The most properties of an entity, without the three of the system (`PartitionKey`, `RowKey`, `Timestamp`).
pub const MAX_PROPERTIES: usize = 252;

/// The longest name of a property, in UTF-16 code units.
pub const MAX_PROPERTY_NAME_UNITS: usize = 255;

/// The longest partition key or row key, in UTF-16 code units (1 KiB).
pub const MAX_KEY_UNITS: usize = 512;

/// The most operations of one batch.
pub const MAX_BATCH_OPERATIONS: usize = 100;

/// The largest batch, in bytes of its request.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The most rows of a page.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// The largest answer that is read, in bytes: our own limit, not the service's. A page of the largest rows would take
/// 1 GB of memory; a page above the limit is asked for again with fewer rows.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
