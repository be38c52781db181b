//! A table service that is as strict as Azure's.
//!
//! It does over HTTP what Azure Table storage documents and its emulator does not do: limits of rows, keys, batches and
//! pages, empty pages with continuation tokens, throttling, a clock of its own, rows that are seen late, and failures before
//! and after the act. Each rule names the page that it comes from; the numbers are those of
//! [`marketplace_leads::table`].
//!
//! It is used as a library, [`StrictTable::start`], or as the program `strict-table`. All of it is in memory. It runs on a
//! thread of its own.

mod answer;
mod batch;
mod clock;
mod faults;
mod filter;
mod query;
mod refusal;
mod request;
mod row;
mod server;
mod store;
#[cfg(test)]
mod tests;

pub use clock::{Clock, DateHeader};
pub use faults::{Asked, Chooser, Fault};
pub use refusal::Refusal;
pub use request::Operation;

use crate::development_account::connection_string;
use clock::{ticks, timestamp};
use jiff::Timestamp;
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::{ConnectionString, Entity, MAX_PAGE_ROWS, TableError};
use server::{Server, Service};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Key, Row};

/// How strict the service is, and how it is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// Who is let in.
    pub access: Access,
    /// What time it is for the service.
    pub clock: Clock,
    /// How long it takes before a request is looked at.
    pub latency: Duration,
    /// How many rows a query looks at before its page ends. The service ends a page after five seconds.
    pub rows_looked_at: usize,
    /// Whether the first page of every query is empty and has a continuation token, which the service may answer.
    pub queries_begin_empty: bool,
    /// How many entities of a partition may be written or read in a second; `None` for any number. The service's target
    /// is [`PARTITION_TARGET`].
    pub entities_per_second: Option<u32>,
}

/// How many entities of a partition the service promises to write or read in a second.
///
/// <https://learn.microsoft.com/azure/storage/tables/scalability-targets#scale-targets-for-table-storage>
pub const PARTITION_TARGET: u32 = 2000;

impl Default for Settings {
    /// A free port, the development account, this machine's time, no latency, pages that end after 1,000 rows looked at, no
    /// page that is empty for no reason, no throttling.
    fn default() -> Self {
        Self {
            port: 0,
            access: Access::default(),
            clock: Clock::default(),
            latency: Duration::ZERO,
            rows_looked_at: MAX_PAGE_ROWS as usize,
            queries_begin_empty: false,
            entities_per_second: None,
        }
    }
}

/// Who is let in. Signatures are never checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Whoever comes with a key or a shared access signature of the well-known development account.
    #[default]
    DevelopmentAccount,
    /// Whoever comes with any credentials, for an account of any name.
    Any,
}

/// What was asked of the service since its start, or since [`StrictTable::reset_counters`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Requests, refused ones included.
    pub requests: u64,
    /// Requests by what they are, as far as they could be read.
    pub operations: BTreeMap<Operation, u64>,
    /// Rows that queries and reads looked at.
    pub rows_looked_at: u64,
    /// Rows that queries and reads gave back.
    pub rows_returned: u64,
    /// Bytes of requests, without their headers.
    pub bytes_received: u64,
    /// Bytes of answers, without their headers.
    pub bytes_sent: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// The most requests that were in flight at the same time.
    pub most_in_flight: u64,
    /// How many requests were in flight when one came, itself included, summed over all requests. Divided by
    /// [`requests`](Self::requests) it is how many a request met on average.
    pub in_flight_met: u64,
}

/// A running service. Dropping it closes its port.
pub struct StrictTable {
    service: Arc<Service>,
    port: u16,
    server: Mutex<Option<Server>>,
}

impl StrictTable {
    /// Starts one, with no table in it.
    ///
    /// # Errors
    /// Where the port is taken.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let port = settings.port;
        let service = Arc::new(Service::new(settings));
        let server = Server::start(service.clone(), port)?;
        Ok(Self { service, port: server.port, server: Mutex::new(Some(server)) })
    }

    /// Closes its port and cuts its connections. It keeps its rows.
    pub async fn stop(&self) {
        let server = self.lock().take();
        if let Some(server) = server {
            server.stop().await;
        }
    }

    /// Opens the same port again after [`stop`](Self::stop).
    ///
    /// # Errors
    /// Where the port has been taken since.
    pub fn resume(&self) -> io::Result<()> {
        let mut server = self.lock();
        if server.is_none() {
            *server = Some(Server::start(self.service.clone(), self.port)?);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection string of its account.
    pub fn connection_string(&self) -> String {
        connection_string(self.port)
    }

    /// A client of one of its tables, with a connection pool of its own.
    ///
    /// # Errors
    /// Where the client cannot be set up.
    pub fn open(&self, table: &str) -> Result<AzureTable, TableError> {
        let unreadable = |_| TableError::Unavailable { reason: "the connection string could not be read".to_owned() };
        let connection = ConnectionString::parse(&self.connection_string()).map_err(unreadable)?;
        Ok(AzureTables::new(&connection, Limits::default())?.table(table))
    }

    /// Creates a table.
    ///
    /// # Errors
    /// Where it exists, or its name is none that the service takes.
    pub fn create(&self, table: &str) -> Result<(), Refusal> {
        self.service.lock().store.create(table)
    }

    /// Puts rows into a table, past all limits and faults, as if they had been written at this time. The table is created
    /// where it is missing. A million leads take some 650 MB.
    pub fn fill(&self, table: &str, rows: impl IntoIterator<Item = Entity>, written: Timestamp) {
        let store = &mut self.service.lock().store;
        for entity in rows {
            let row = Row { written: ticks(written), visible: i64::MIN, text: row::text_of(&entity) };
            let Entity { partition_key, row_key, .. } = entity;
            store.put(table, Key { partition_key, row_key }, row);
        }
    }

    /// Puts one row into a table like [`fill`](Self::fill), with the timestamp of now; reads see it from `visible` on, by the
    /// service's clock. For whoever inserts it again, it is there at once.
    pub fn put_late(&self, table: &str, entity: Entity, visible: Timestamp) {
        let store = &mut self.service.lock().store;
        let row = Row { written: store.now(), visible: ticks(visible), text: row::text_of(&entity) };
        let Entity { partition_key, row_key, .. } = entity;
        store.put(table, Key { partition_key, row_key }, row);
    }

    /// Puts one row into a table like [`fill`](Self::fill). Its properties are JSON as the service would give it back, from
    /// which nothing is checked: half a surrogate pair (`"\ud83d"`), a list, or no JSON at all.
    pub fn put_json(&self, table: &str, keys: [&str; 2], properties: &str, written: Timestamp) {
        let text = properties.trim().trim_start_matches('{').trim_end_matches('}').into();
        let [partition_key, row_key] = keys.map(str::to_owned);
        let row = Row { written: ticks(written), visible: i64::MIN, text };
        self.service.lock().store.put(table, Key { partition_key, row_key }, row);
    }

    /// How many rows a table holds; none where it is missing.
    pub fn rows(&self, table: &str) -> usize {
        let store = &mut self.service.lock().store;
        store.table(table).map_or(0, |table| table.partitions.values().map(|partition| partition.rows.len()).sum())
    }

    /// What was asked of it.
    pub fn counters(&self) -> Counters {
        self.service.lock().counters.clone()
    }

    /// Begins to count anew.
    pub fn reset_counters(&self) {
        self.service.lock().counters = Counters::default();
    }

    /// Sets the service's clock.
    pub fn set_clock(&self, clock: Clock) {
        self.service.lock().store.clock = clock;
    }

    /// Sets what the header `Date` of its answers tells.
    pub fn set_date_header(&self, date: DateHeader) {
        self.service.lock().date = date;
    }

    /// What time it is for the service.
    pub fn now(&self) -> Timestamp {
        timestamp(self.service.lock().store.now())
    }

    /// Has this go wrong with the next request for which nothing else has been queued.
    pub fn queue_fault(&self, fault: Fault) {
        self.service.lock().faults.queue.push_back(fault);
    }

    /// Has a function choose what goes wrong with each request, after the queue is empty. It must not call the service.
    pub fn set_faults(&self, chooser: Option<Chooser>) {
        self.service.lock().faults.chooser = chooser;
    }
}
