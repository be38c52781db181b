//! A storage account whose secret may be rotated while a function runs.

use super::transport::{TransportFailure, open, pool};
use super::{AzureTable, AzureTables, Limits};
use crate::secret::{Newer, ReadSecret, Renewed, Secret};
use crate::table::{ConnectionString, Continuation, ETag, Entity, Keys, Operation, Page, Query, Table, TableError};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// A storage account as a function uses it. Where the service refuses a request, the connection string is read again, at
/// most once a minute; if it has changed, the request is made again with the new one. Where no connection string can be had,
/// or it is malformed, every call fails, and a later one tries to read it again. Clones share all.
#[derive(Clone)]
pub struct Account {
    tables: Renewed<AzureTables>,
    /// One for the account's life: a connection string that was rotated leaves the connections open.
    pool: Result<reqwest::Client, TransportFailure>,
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
        let pool = pool(limits);
        let (counted, shared) = (requests.clone(), pool.clone());
        let tables = Renewed::new(read, move |secret: &Secret| {
            let connection = ConnectionString::parse(secret.expose())
                .map_err(|error| format!("the connection string is malformed: {error}"))?;
            let pool = shared.clone().map_err(|failure| failure.to_string())?;
            // The whole call is bounded here already. Each timer wakes the runtime when it is set.
            let limits = Limits { total: Duration::MAX, ..limits };
            AzureTables::over(pool, &connection, limits, counted.clone()).map_err(|error| error.to_string())
        });
        Self { tables, pool, requests, total: limits.total }
    }

    /// Opens a connection to where the tables are, before the connection string is known, so that the first call finds it
    /// open. The address gets no credential, and what it answers means nothing: where this fails, the first call opens its
    /// own connection.
    pub async fn open(&self, endpoint: Url) {
        let opened = match &self.pool {
            Ok(pool) => open(pool, endpoint).await,
            Err(failure) => Err(failure.clone()),
        };
        if let Err(failure) = opened {
            tracing::info!(reason = failure.0, "no connection to the tables was opened ahead of the first call");
        }
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

    async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
        self.call(|table| async move { table.get(keys).await }).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.call(|table| async move { table.page(query, from).await }).await
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        self.call(|table| async move { table.submit(partition_key, operations).await }).await
    }

    async fn delete(&self, keys: &Keys) -> Result<(), TableError> {
        self.call(|table| async move { table.delete(keys).await }).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::no_secret;
    use axum::Router;
    use axum::extract::{Path, State};
    use axum::http::StatusCode;
    use futures::FutureExt as _;
    use std::sync::Mutex;

    /// What a test changes while the account is used.
    #[derive(Clone, Default)]
    struct Place {
        /// The account that the service lets in.
        let_in: Arc<Mutex<&'static str>>,
        /// What the secret holds.
        secret: Arc<Mutex<String>>,
        /// The accounts of the requests so far.
        asked: Arc<Mutex<Vec<String>>>,
    }

    async fn answer(State(place): State<Place>, Path(path): Path<String>) -> (StatusCode, String) {
        let account = path.split('/').next().unwrap_or_default();
        place.asked.lock().unwrap().push(account.to_owned());
        let (status, code) = match account == *place.let_in.lock().unwrap() {
            true => (StatusCode::NOT_FOUND, "ResourceNotFound"),
            false => (StatusCode::FORBIDDEN, "AuthenticationFailed"),
        };
        (status, serde_json::json!({"odata.error": {"code": code}}).to_string())
    }

    impl Place {
        /// A service that lets in `first`, whose connection string is in the secret.
        async fn start() -> (Self, Account, String) {
            let place = Self::default();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let router = Router::new().route("/{*path}", axum::routing::any(answer)).with_state(place.clone());
            tokio::spawn(async move { axum::serve(listener, router).await });
            place.set("first", "first", &address);
            let secret = place.secret.clone();
            let read: ReadSecret = Arc::new(move || {
                let text = secret.lock().unwrap().clone();
                async move { Ok(Secret::new(text)) }.boxed()
            });
            (place, Account::new(read, Limits::default()), address)
        }

        fn set(&self, let_in: &'static str, secret: &str, address: &str) {
            *self.let_in.lock().unwrap() = let_in;
            *self.secret.lock().unwrap() =
                format!("AccountName={secret};AccountKey=c2VjcmV0;TableEndpoint=http://{address}/{secret}");
        }

        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut self.asked.lock().unwrap())
        }
    }

    const REFUSED: &str = "the table service refused the request (403 AuthenticationFailed)";

    async fn get(table: &AccountTable) -> Result<Entity, TableError> {
        table.get(&Keys::new("p", "r")).await
    }

    #[tokio::test]
    async fn a_rotated_secret_is_read_again_when_the_table_refuses_and_the_call_is_made_again() {
        let (place, account, address) = Place::start().await;
        let table = account.table("Leads");
        assert_eq!(get(&table).await, Err(TableError::NotFound));
        place.set("second", "second", &address);
        assert_eq!(get(&table).await.unwrap_err().to_string(), REFUSED, "the secret was read less than a minute ago");
        account.tables.forget_when_it_was_read();
        assert_eq!(get(&table).await, Err(TableError::NotFound));
        assert_eq!(get(&account.table("State")).await, Err(TableError::NotFound), "every table has the new one");
        assert_eq!(place.asked(), ["first", "first", "first", "second", "second"]);
        assert_eq!(account.requests(), 5, "requests are counted over all secrets");
    }

    #[tokio::test]
    async fn a_refusal_stays_one_where_the_secret_is_the_same_or_malformed() {
        let (place, account, address) = Place::start().await;
        let table = account.table("Leads");
        assert_eq!(get(&table).await, Err(TableError::NotFound));
        for secret in ["first", "a;b"] {
            place.set("another", secret, &address);
            account.tables.forget_when_it_was_read();
            assert_eq!(get(&table).await.unwrap_err().to_string(), REFUSED);
        }
        place.set("first", "a;b", &address);
        assert_eq!(get(&table).await, Err(TableError::NotFound), "the last good secret is kept");
    }

    #[tokio::test]
    async fn without_a_good_secret_every_call_fails_until_there_is_one() {
        let table = Account::new(no_secret("SSM is down"), Limits::default()).table("Leads");
        assert_eq!(get(&table).await.unwrap_err().to_string(), "the table service is unavailable: SSM is down");
        let (place, account, address) = Place::start().await;
        let table = account.table("Leads");
        place.set("first", "hidden;b", &address);
        let error = get(&table).await.unwrap_err().to_string();
        assert!(error.contains("the connection string is malformed") && !error.contains("hidden"), "{error}");
        assert_eq!(place.asked().len(), 0);
        place.set("first", "first", &address);
        account.tables.forget_when_it_was_read();
        assert_eq!(get(&table).await, Err(TableError::NotFound));
    }
}
