//! The table: a port with two implementations, [`azure`] for Azure Table storage and [`memory`] for unit tests and
//! simulations. One contract suite (`tests/end-to-end/tests/table_contract.rs`) runs on both.

pub mod azure;
mod checks;
mod connection_string;
mod entity;
mod keys;
mod limits;
pub mod memory;
mod operation;
mod pages;
mod wire;

pub use connection_string::{ConnectionString, Credential, InvalidConnectionString};
pub(crate) use entity::part_name;
pub use entity::{Damage, ETag, Entity, Properties, Value};
pub use keys::Keys;
pub use limits::{
    MAX_ANSWER_BYTES, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_BINARY_BYTES, MAX_ENTITY_BYTES, MAX_KEY_UNITS,
    MAX_PAGE_ROWS, MAX_PROPERTIES, MAX_PROPERTY_NAME_UNITS, MAX_STRING_UNITS,
};
pub use operation::Operation;
pub(crate) use pages::pages;
pub(crate) use wire::Text;

use jiff::Timestamp;
use std::future::Future;

/// One table. Every call is at least one request, and ends within the time that the implementation is given for it.
pub trait Table: Clone + Send + Sync + 'static {
    /// Writes a new row.
    ///
    /// # Errors
    /// [`TableError::Exists`] where a row with these keys exists.
    fn insert(&self, entity: &Entity) -> impl Future<Output = Result<(), TableError>> + Send;

    /// Reads one row.
    ///
    /// # Errors
    /// [`TableError::NotFound`] where there is none.
    fn get(&self, keys: &Keys) -> impl Future<Output = Result<Entity, TableError>> + Send;

    /// Reads one page of the rows that a query finds, in the order of their keys. A page can be empty and still not be
    /// the last one: only [`Page::next`] tells. A row that is [damaged](Entity::damage) is in its page like any other.
    fn page(&self, query: &Query, from: Option<&Continuation>)
    -> impl Future<Output = Result<Page, TableError>> + Send;

    /// Writes to several rows of one partition, all of them or none; at most [`MAX_BATCH_OPERATIONS`], each on another
    /// row, which are at most [`MAX_BATCH_BYTES`] by the sum of [`Operation::bytes`]. Gives the new versions, in the order
    /// of the operations; `None` for a row that was deleted.
    ///
    /// # Errors
    /// [`TableError::Precondition`] where a row has changed, [`TableError::Exists`] where a new row exists,
    /// [`TableError::NotFound`] where a row to replace or delete is missing, [`TableError::Rejected`] where the batch is
    /// too large; nothing was written then.
    fn submit(
        &self,
        partition_key: &str,
        operations: &[Operation],
    ) -> impl Future<Output = Result<Vec<Option<ETag>>, TableError>> + Send;

    /// Deletes a row.
    ///
    /// # Errors
    /// [`TableError::NotFound`] where there is none.
    fn delete(&self, keys: &Keys) -> impl Future<Output = Result<(), TableError>> + Send;

    /// Creates the table.
    ///
    /// # Errors
    /// [`TableError::Exists`] where it is there already.
    fn create(&self) -> impl Future<Output = Result<(), TableError>> + Send;

    /// Reads every page of a query.
    fn all(&self, query: &Query) -> impl Future<Output = Result<Vec<Entity>, TableError>> + Send {
        async move {
            let mut entities = Vec::new();
            let mut next = None;
            loop {
                let page = self.page(query, next.as_ref()).await?;
                entities.extend(page.entities);
                match page.next {
                    Some(continuation) => next = Some(continuation),
                    None => return Ok(entities),
                }
            }
        }
    }
}

/// Which rows to read, and what of them. Bounds that are not set do not limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only this partition. Without it the service reads the whole table.
    pub partition_key: Option<String>,
    /// Only partitions behind this one, by the service's order of keys. With `page_size` 1 the next partition costs one
    /// request, whatever it holds.
    pub partition_key_after: Option<String>,
    /// Only row keys from this one on.
    pub row_key_from: Option<String>,
    /// Only row keys before this one.
    pub row_key_before: Option<String>,
    /// Only rows that the service wrote at this time or later.
    pub written_from: Option<Timestamp>,
    /// Only rows that the service wrote before this time.
    pub written_before: Option<Timestamp>,
    /// Only these columns; all where it is empty.
    pub select: Vec<&'static str>,
    /// At most this many rows a page, 1 to [`MAX_PAGE_ROWS`].
    pub page_size: Option<u32>,
}

impl Query {
    /// All rows of one partition.
    pub fn partition(key: impl Into<String>) -> Self {
        Self { partition_key: Some(key.into()), ..Self::default() }
    }
}

/// A part of a query's answer.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows, in the order of their keys.
    pub entities: Vec<Entity>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Continuation>,
}

/// Where a page begins, opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    partition_key: String,
    row_key: Option<String>,
    /// How many rows the page is asked for where the page before it was too large with as many as the query says.
    page_size: Option<u32>,
}

impl Continuation {
    /// The continuation as text, to go on later: the service keeps nothing of it.
    pub fn to_text(&self) -> String {
        serde_json::json!([self.partition_key, self.row_key, self.page_size]).to_string()
    }

    /// Reads such a text; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (partition_key, row_key, page_size) = serde_json::from_str(text).ok()?;
        Some(Self { partition_key, row_key, page_size })
    }
}

/// The reason of [`TableError::Unavailable`] where an answer came that could not be read.
pub(crate) const UNREADABLE_ANSWER: &str = "the answer could not be read";

/// Why a call on the table failed. Holds no key, no address and nothing of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is no such row.
    #[error("the row does not exist")]
    NotFound,
    /// The table itself is missing.
    #[error("the table does not exist: create it, or correct LEADS_TABLE and LEADS_STATE_TABLE")]
    TableNotFound,
    /// The row (or the table that was to be created) exists already.
    #[error("the row or table exists already")]
    Exists,
    /// The row is not of the expected version any more.
    #[error("the row was changed by another")]
    Precondition,
    /// The service asks to slow down.
    #[error("the table service is busy ({code})")]
    Throttled {
        /// The service's error code, such as `ServerBusy`.
        code: String,
    },
    /// The service could not be reached, did not answer in time, or failed. What was asked may have been done.
    #[error("the table service is unavailable: {reason}")]
    Unavailable {
        /// What happened: a category, never an address.
        reason: String,
    },
    /// The service does not let us in.
    #[error("the table service refused the request ({status} {code})")]
    Refused {
        /// The HTTP status: 401 or 403.
        status: u16,
        /// The service's error code, such as `AuthenticationFailed`.
        code: String,
    },
    /// The service does not accept the request, or its answer could not be read.
    #[error("the table service answered {status} {code}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The service's error code, such as `EntityTooLarge`.
        code: String,
    },
}

impl TableError {
    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }

    /// Whether an answer came that could not be read.
    pub(crate) fn is_unreadable_answer(&self) -> bool {
        matches!(self, Self::Unavailable { reason } if reason == UNREADABLE_ANSWER)
    }
}
