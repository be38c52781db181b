//! A storage account whose secret may be rotated while a function runs.

use super::{AzureTable, AzureTables, Limits};
use crate::secret::{Newer, ReadSecret, Renewed, Secret};
use crate::table::{ConnectionString, Continuation, ETag, Entity, Operation, Page, Query, Table, TableError};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// A storage account as a function uses it. Where the service refuses a request, the connection string is read again, at
/// most once a minute; if it has changed, the request is made again with the new one. Where no connection string can be had,
/// or it is malformed, every call fails, and a later one tries to read it again. Clones share all.
#[derive(Clone)]
pub struct Account {
    tables: Renewed<AzureTables>,
    requests: Arc<AtomicU64>,
    total: Duration,
}

/// One table of such an account.
#[derive(Clone)]
pub struct AccountTable {
    account: Account,
    name: String,
}

impl Account {
    /// The account whose connection string is read so. Nothing is read or sent yet.
    pub fn new(read: ReadSecret, limits: Limits) -> Self {
        let requests: Arc<AtomicU64> = Arc::default();
        let counted = requests.clone();
        let tables = Renewed::new(read, move |secret: &Secret| {
            let connection = ConnectionString::parse(secret.expose())
                .map_err(|error| format!("the connection string is malformed: {error}"))?;
            AzureTables::counted(&connection, limits, counted.clone()).map_err(|error| error.to_string())
        });
        Self { tables, requests, total: limits.total }
    }

    /// Takes a connection string that was read just now.
    ///
    /// # Errors
    /// Where it is malformed.
    pub fn hold(&self, secret: Secret) -> Result<(), String> {
        self.tables.hold(secret)
    }

    /// One of the account's tables.
    pub fn table(&self, name: &str) -> AccountTable {
        AccountTable { account: self.clone(), name: name.to_owned() }
    }

    /// How many requests were sent so far, retries included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl AccountTable {
    /// Makes a call, and makes it again where the service refused it and the secret has changed. All of it ends in the time
    /// that one call has.
    async fn call<T, F>(&self, call: impl Fn(AzureTable) -> F + Send + Sync) -> Result<T, TableError>
    where
        T: Send,
        F: Future<Output = Result<T, TableError>> + Send,
    {
        let tables = &self.account.tables;
        let unavailable = |reason: String| TableError::Unavailable { reason };
        let calls = async {
            let known = tables.current().await.map_err(unavailable)?;
            match call(known.value.table(&self.name)).await {
                Err(refused @ TableError::Refused { .. }) => match tables.newer_than(known.version).await {
                    Newer::Changed(newer) => call(newer.value.table(&self.name)).await,
                    Newer::Unchanged | Newer::Unknown(_) => Err(refused),
                },
                done => done,
            }
        };
        let in_time = timeout(self.account.total, calls).await;
        in_time.unwrap_or_else(|_| Err(unavailable("no answer in time".to_owned())))
    }
}

impl Table for AccountTable {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        self.call(|table| async move { table.insert(entity).await }).await
    }

    async fn get(&self, partition_key: &str, row_key: &str) -> Result<Entity, TableError> {
        self.call(|table| async move { table.get(partition_key, row_key).await }).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.call(|table| async move { table.page(query, from).await }).await
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        self.call(|table| async move { table.submit(partition_key, operations).await }).await
    }

    async fn delete(&self, partition_key: &str, row_key: &str) -> Result<(), TableError> {
        self.call(|table| async move { table.delete(partition_key, row_key).await }).await
    }

    async fn create(&self) -> Result<(), TableError> {
        self.call(|table| async move { table.create().await }).await
    }
}

/// Shows no address and no credential.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account { .. }")
    }
}

/// Shows the table's name alone.
impl fmt::Debug for AccountTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountTable").field("name", &self.name).finish_non_exhaustive()
    }
}
