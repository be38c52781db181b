//! The table in Azure Table storage: the only folder that names the `azure_*` crates.

mod account;
mod error;
mod query;
mod transport;

pub use account::{Account, AccountTable};

use super::checks::check_batch_size;
use super::connection_string::Credential;
use super::limits::MAX_ANSWER_BYTES;
use super::wire::{Outgoing, read_page, read_row};
use super::{
    ConnectionString, Continuation, ETag, Entity, Keys, MAX_PAGE_ROWS, Operation, Page, Query, Table, TableError,
};
use crate::telemetry::metric;
use azure_core::{Continuable, RetryOptions, TransportOptions};
use azure_data_tables::IfMatchCondition;
use azure_data_tables::clients::{EntityClient, TableClient, TableServiceClient, TableServiceClientBuilder};
use azure_storage::{CloudLocation, StorageCredentials};
use error::{ANSWER_TOO_LARGE, error, unreadable};
use futures::StreamExt as _;
use jiff::SignedDuration;
use query::{escape, filter, select};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use transport::{Retries, RowAsText, Transport, with_page};

/// How long to wait and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For one request with its connection and its answer.
    pub request: Duration,
    /// How often a request is repeated after a failure that may pass.
    pub retries: u32,
    /// For one call with all its requests and the pauses between them. When this time is over the call ends, even in the
    /// middle of a request; what was asked may have been done.
    pub total: Duration,
    /// For the answer with a page of several rows, in bytes. A larger page is asked for again with fewer rows. Callers that
    /// hold many pages at the same time set less.
    pub page_bytes: usize,
}

impl Default for Limits {
    /// For functions that may wait: 2 s to connect, 7 s for a request, 4 retries, 10 s for the whole call. The service may
    /// take 5 s to find the rows of a page, so a request must have longer than that.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            request: Duration::from_secs(7),
            retries: 4,
            total: Duration::from_secs(10),
            page_bytes: MAX_ANSWER_BYTES,
        }
    }
}

/// A storage account's table service. Clones share one connection pool.
#[derive(Clone)]
pub struct AzureTables {
    service: TableServiceClient,
    transport: Transport,
    total: Duration,
}

/// One table of a storage account.
#[derive(Clone)]
pub struct AzureTable {
    client: TableClient,
    total: Duration,
}

impl AzureTables {
    /// A client of the account that the connection string names. Nothing is sent yet.
    ///
    /// # Errors
    /// Where the TLS client cannot be set up, or the shared access signature is malformed.
    pub fn new(connection: &ConnectionString, limits: Limits) -> Result<Self, TableError> {
        let pool =
            transport::pool(limits).map_err(|failure| TableError::Unavailable { reason: failure.0.to_owned() })?;
        Self::over(pool, connection, limits, Arc::default())
    }

    /// The same, with a pool of connections and a counter of requests that others use, too.
    fn over(
        pool: reqwest::Client,
        connection: &ConnectionString,
        limits: Limits,
        requests: Arc<AtomicU64>,
    ) -> Result<Self, TableError> {
        let unavailable = |reason: &str| TableError::Unavailable { reason: reason.to_owned() };
        let transport = Transport::new(pool, limits, requests);
        let credentials = match &connection.credential {
            Credential::AccountKey(key) => {
                let key = azure_core::auth::Secret::new(key.expose().to_owned());
                StorageCredentials::access_key(connection.account.clone(), key)
            }
            Credential::SharedAccessSignature(signature) => StorageCredentials::sas_token(signature.expose())
                .map_err(|_| unavailable("the shared access signature is malformed"))?,
        };
        let location = CloudLocation::Custom {
            account: connection.account.clone(),
            uri: connection.endpoint.as_str().trim_end_matches('/').to_owned(),
        };
        let service = TableServiceClientBuilder::with_location(location, credentials)
            .retry(RetryOptions::custom(Arc::new(Retries { most: limits.retries })))
            .transport(TransportOptions::new(Arc::new(transport.clone())))
            .build();
        Ok(Self { service, transport, total: limits.total })
    }

    /// One of the account's tables.
    pub fn table(&self, name: &str) -> AzureTable {
        AzureTable { client: self.service.table_client(name), total: self.total }
    }

    /// How many requests were sent so far, retries included.
    pub fn requests(&self) -> u64 {
        self.transport.requests()
    }

    /// How far the service's clock was ahead of ours at its last answer, be it a refusal, to about a second. `None`
    /// before the first answer.
    pub fn clock_offset(&self) -> Option<SignedDuration> {
        self.transport.clock_offset()
    }
}

impl AzureTable {
    /// The client of one row. The crate writes keys into the address without escaping quotes.
    fn row(&self, keys: &Keys) -> EntityClient {
        self.client.partition_key_client(escape(&keys.partition)).entity_client(escape(&keys.row))
    }

    /// Ends a call when its time is over: the one place that bounds it with all its retries and pauses.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, TableError>>) -> Result<T, TableError> {
        let too_late = || TableError::Unavailable { reason: "no answer in time".to_owned() };
        tokio::time::timeout(self.total, call).await.unwrap_or_else(|_| Err(too_late()))
    }

    /// One page of at most `rows` rows.
    async fn page_of(&self, query: &Query, rows: Option<u32>, from: Option<&Continuation>) -> Result<Page, TableError> {
        let mut request = self.client.query();
        if let Some(filter) = filter(query) {
            request = request.filter(filter);
        }
        if let Some(columns) = select(query) {
            request = request.select(columns);
        }
        if let Some(rows) = rows {
            request = request.top(rows);
        }
        if let Some(Continuation { partition_key, row_key, .. }) = from {
            request = request.initial_partition_key(partition_key.clone());
            if let Some(row_key) = row_key {
                request = request.initial_row_key(row_key.clone());
            }
        }
        let (answer, page) = with_page(request.into_stream::<IgnoredAny>().next()).await;
        let next = match answer {
            Some(answer) => answer.map_err(error)?.continuation(),
            None => return Ok(Page { entities: Vec::new(), next: None }),
        };
        let next = next.map(|(partition_key, row_key)| Continuation { partition_key, row_key, page_size: None });
        // The service writes UTF-8. If a byte of a page were not, the rows of the page would still be read.
        let page = page.unwrap_or_default();
        let page = str::from_utf8(&page).map_or_else(|_| String::from_utf8_lossy(&page), Cow::Borrowed);
        let (entities, left_out) = read_page(&page).ok_or_else(unreadable)?;
        for _ in 0..left_out {
            metrics::counter!(metric::ROWS_LEFT_OUT).increment(1);
            tracing::error!("a row without readable keys was left out of a page");
        }
        Ok(Page { entities, next })
    }

    /// One page, with fewer rows than the query says where it would be too large with so many.
    async fn page_that_fits(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        let reduced = from.and_then(|from| from.page_size);
        let mut rows = [query.page_size, reduced].into_iter().flatten().min();
        let mut is_reduced = reduced.is_some();
        loop {
            let page = self.page_of(query, rows, from).await;
            match (page, rows.unwrap_or(MAX_PAGE_ROWS)) {
                (Err(TableError::Rejected { code, .. }), asked @ 2..) if code == ANSWER_TOO_LARGE => {
                    rows = Some((asked / 4).max(1));
                    is_reduced = true;
                }
                (Ok(mut page), asked) => {
                    // The rows that follow may be smaller: their page is tried with twice as many.
                    if let Some(next) = page.next.as_mut().filter(|_| is_reduced && asked < MAX_PAGE_ROWS / 2) {
                        next.page_size = Some(asked * 2);
                    }
                    return Ok(page);
                }
                (page, _) => return page,
            }
        }
    }

    async fn get_row(&self, keys: &Keys) -> Result<Entity, TableError> {
        let answer = self.row(keys).get::<RowAsText>().await.map_err(error)?;
        let mut entity = read_row(&answer.entity.row).ok_or_else(unreadable)?;
        entity.etag = Some(ETag(answer.etag.to_string()));
        Ok(entity)
    }

    async fn submit_all(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        check_batch_size(operations)?;
        let mut batch = self.client.partition_key_client(escape(partition_key)).transaction();
        for operation in operations {
            let row_key = escape(operation.row_key());
            batch = match operation {
                Operation::Insert(entity) => batch.insert(Outgoing(entity)),
                Operation::InsertOrReplace(entity) => batch.insert_or_replace(row_key, Outgoing(entity)),
                Operation::Replace(entity, ETag(etag)) => {
                    let condition = IfMatchCondition::Etag(etag.clone().into());
                    batch.update(row_key, Outgoing(entity), Some(condition))
                }
                Operation::Delete { .. } => batch.delete(row_key, None),
            }
            .map_err(error)?;
        }
        let answer = batch.await.map_err(error)?;
        if answer.operation_responses.len() != operations.len() {
            return Err(unreadable());
        }
        Ok(answer.operation_responses.into_iter().map(|part| Some(ETag(part.etag?.to_string()))).collect())
    }
}

impl Table for AzureTable {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        let request = self.client.insert::<_, IgnoredAny>(Outgoing(entity)).map_err(error)?;
        self.in_time(async { request.await.map_err(error).map(drop) }).await
    }

    async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
        self.in_time(self.get_row(keys)).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.in_time(self.page_that_fits(query, from)).await
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        self.in_time(self.submit_all(partition_key, operations)).await
    }

    async fn delete(&self, keys: &Keys) -> Result<(), TableError> {
        let request = self.row(keys).delete();
        self.in_time(async { request.await.map_err(error).map(drop) }).await
    }

    async fn create(&self) -> Result<(), TableError> {
        let request = self.client.create();
        self.in_time(async { request.await.map_err(error).map(drop) }).await
    }
}

/// Shows no address and no credential.
impl fmt::Debug for AzureTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AzureTables { .. }")
    }
}

/// Shows the table's name alone.
impl fmt::Debug for AzureTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureTable").field("name", &self.client.table_name()).finish_non_exhaustive()
    }
}
