//! A table of the simulated service: what one invocation sees of it. Every call waits at the invocation's desk.

use crate::breakage::{Breakage, Broken};
use crate::config::Config;
use crate::desk::{Desk, Kind, Service, SimClock, Verdict};
use crate::tape::hash;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::table::memory::MemoryTable;
use marketplace_leads::table::{Continuation, ETag, Entity, Keys, Operation, Page, Query, Table, TableError};
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

/// A table as the service has it.
#[derive(Clone)]
pub struct TableService {
    rows: MemoryTable,
    clock: SimClock,
    /// How far the clocks of its partitions are from the right time, at most.
    skew: SignedDuration,
    /// Requests that went beyond a limit of the service.
    refused: Arc<Mutex<Vec<String>>>,
}

impl TableService {
    /// An empty table.
    pub fn new(clock: SimClock, config: &Config) -> Self {
        let mut rows = MemoryTable::new();
        if let Some(looked_at) = config.rows_looked_at {
            rows = rows.with_rows_looked_at_a_page(looked_at);
        }
        if config.tokens_without_row_key {
            rows = rows.with_tokens_without_row_key();
        }
        Self { rows, clock, skew: config.partition_skew, refused: Arc::default() }
    }

    /// What the clock of a partition's server says.
    pub fn partition_now(&self, partition_key: &str) -> Timestamp {
        let number = partition_key.bytes().fold(0, |sum, byte| hash(sum, byte.into()));
        let range = self.skew.as_millis().unsigned_abs() as u64 * 2 + 1;
        let skew = (number % range) as i64 - (range / 2) as i64;
        self.clock.now() + SignedDuration::from_millis(skew)
    }

    /// A row that somebody else wrote at `written`, by the clock of its partition's server, and that can be seen from
    /// now on.
    pub fn put(&self, entity: Entity, written: Timestamp) {
        self.rows.set_now(written);
        self.rows.put(entity);
    }

    /// The same, but with half a surrogate pair in the row's description, as no client of ours could write it.
    pub fn put_with_half_a_pair(&self, entity: &Entity, written: Timestamp) {
        const PLACE: &str = "half a pair";
        let mut row = serde_json::Map::new();
        for (name, value) in &entity.properties {
            row.insert(name.to_string(), value.text().into());
        }
        row.insert("Description".to_owned(), PLACE.into());
        row.insert("PartitionKey".to_owned(), entity.partition_key.as_str().into());
        row.insert("RowKey".to_owned(), entity.row_key.as_str().into());
        row.insert("Timestamp".to_owned(), format!("{written:.7}").into());
        let json = serde_json::Value::Object(row).to_string().replace(PLACE, "\\ud83d");
        self.rows.set_now(written);
        assert!(self.rows.put_json(&json), "the row has keys");
    }

    /// How many rows there are in this partition under keys that begin so.
    pub fn count(&self, partition_key: &str, row_key: &str) -> usize {
        let query = Query {
            partition_key: Some(partition_key.to_owned()),
            row_key_from: Some(row_key.to_owned()),
            row_key_before: Some(format!("{row_key}~")),
            ..Query::default()
        };
        let page = self.rows.page(&query, None).now_or_never().expect("memory does not wait");
        page.map_or(0, |page| page.entities.len())
    }

    /// Every row.
    pub fn rows(&self) -> Vec<Entity> {
        self.rows.rows()
    }

    /// A number that changes with each write.
    pub fn writes(&self) -> u64 {
        self.rows.changes()
    }

    /// How many calls the service has had.
    pub fn calls(&self) -> u64 {
        self.rows.calls() as u64
    }

    /// The requests that went beyond a limit of the service since this was asked last.
    pub fn refused(&self) -> Vec<String> {
        std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does what a call asks for. Memory answers at once.
    fn act<R>(
        &self,
        partition_key: &str,
        what: &str,
        call: impl Future<Output = Result<R, TableError>>,
    ) -> Result<R, TableError> {
        self.rows.set_now(self.partition_now(partition_key));
        let done = call.now_or_never().expect("memory does not wait");
        if let Err(TableError::Rejected { status, code }) = &done {
            let refused = format!("{what}: {status} {code}");
            self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(refused);
        }
        done
    }
}

/// A table as one invocation sees it.
#[derive(Clone)]
pub struct SimTable {
    /// The table.
    pub service: TableService,
    /// Which one it is.
    pub which: Service,
    /// Where calls wait.
    pub desk: Desk,
    /// How it is broken.
    pub broken: Broken,
}

impl SimTable {
    /// Waits for the verdict, and acts accordingly.
    async fn call<R>(
        &self,
        kind: Kind,
        site: &'static Location<'static>,
        (partition_key, what): (&str, String),
        call: impl Future<Output = Result<R, TableError>>,
    ) -> Result<R, TableError> {
        let unavailable = || TableError::Unavailable { reason: "simulated".to_owned() };
        let what: Arc<str> = what.into();
        match self.desk.verdict((self.which, kind), site, what.clone(), false).await {
            Verdict::Act | Verdict::ShortPage(_) => self.service.act(partition_key, &what, call),
            Verdict::FailBefore => Err(unavailable()),
            Verdict::Throttle => Err(TableError::Throttled { code: "ServerBusy".to_owned() }),
            Verdict::FailAfter => self.service.act(partition_key, &what, call).and(Err(unavailable())),
            Verdict::ActAndWait => {
                let done = self.service.act(partition_key, &what, call);
                self.desk.verdict((self.which, kind), site, what, true).await;
                done
            }
        }
    }

    async fn one_page(
        &self,
        site: &'static Location<'static>,
        query: &Query,
        from: Option<&Continuation>,
    ) -> Result<Page, TableError> {
        let rows = &self.service.rows;
        let (kind, partition) = match &query.partition_key {
            Some(key) => (Kind::Read, key.as_str()),
            None => (Kind::Scan, "*"),
        };
        let what = format!("page {partition}");
        let unavailable = || TableError::Unavailable { reason: "simulated".to_owned() };
        let act = |query: &Query| {
            let page = self.service.act(partition, &what, rows.page(query, from))?;
            self.broken.read(&page.entities);
            let is_damaged = page.entities.iter().any(|row| row.damage.is_some());
            if is_damaged && self.broken.breakage == Breakage::PageReadAsAWhole { Err(unavailable()) } else { Ok(page) }
        };
        let verdict = self.desk.verdict((self.which, kind), site, what.as_str().into(), false).await;
        let has_failed = !matches!(verdict, Verdict::Act | Verdict::ShortPage(_) | Verdict::ActAndWait);
        let is_exported = self.which == Service::Leads && site.file().contains("/export/");
        if self.broken.breakage == Breakage::ExportEndsEarly && is_exported && has_failed {
            return Ok(Page { entities: Vec::new(), next: None });
        }
        match verdict {
            Verdict::Act => act(query),
            // A page may be empty and still have a token; here it is the one with which it was asked for.
            Verdict::ShortPage(0) if from.is_some() => Ok(Page { entities: Vec::new(), next: from.cloned() }),
            Verdict::ShortPage(most) => {
                let most = query.page_size.map_or(most, |size| size.min(most)).max(1);
                act(&Query { page_size: Some(most), ..query.clone() })
            }
            Verdict::FailBefore => Err(unavailable()),
            Verdict::Throttle => Err(TableError::Throttled { code: "ServerBusy".to_owned() }),
            Verdict::FailAfter => act(query).and(Err(unavailable())),
            Verdict::ActAndWait => {
                let done = act(query);
                self.desk.verdict((self.which, kind), site, what.as_str().into(), true).await;
                done
            }
        }
    }
}

impl Table for SimTable {
    #[track_caller]
    fn insert(&self, entity: &Entity) -> impl Future<Output = Result<(), TableError>> + Send {
        let site = Location::caller();
        async move {
            let what = format!("insert {} {}", entity.partition_key, entity.row_key);
            if self.broken.breakage == Breakage::None {
                let insert = self.service.rows.insert(entity);
                return self.call(Kind::Write, site, (&entity.partition_key, what), insert).await;
            }
            let Some(entity) = self.broken.insert(entity, self.service.clock.now()) else { return Ok(()) };
            self.call(Kind::Write, site, (&entity.partition_key, what), self.service.rows.insert(&entity)).await
        }
    }

    #[track_caller]
    fn get(&self, keys: &Keys) -> impl Future<Output = Result<Entity, TableError>> + Send {
        let site = Location::caller();
        let what = format!("get {} {}", keys.partition, keys.row);
        self.call(Kind::Read, site, (&keys.partition, what), self.service.rows.get(keys))
    }

    #[track_caller]
    fn page(
        &self,
        query: &Query,
        from: Option<&Continuation>,
    ) -> impl Future<Output = Result<Page, TableError>> + Send {
        self.one_page(Location::caller(), query, from)
    }

    #[track_caller]
    fn submit(
        &self,
        partition_key: &str,
        operations: &[Operation],
    ) -> impl Future<Output = Result<Vec<Option<ETag>>, TableError>> + Send {
        let site = Location::caller();
        async move {
            let broken = self.broken.batch(partition_key, operations, self.service.clock.now());
            for operation in broken.before {
                // What is gone already is no reason to stop.
                let _ = self.service.rows.submit(partition_key, &[operation]).now_or_never();
            }
            let first = operations.first().map(Operation::row_key).unwrap_or_default();
            let what = format!("submit {} operations on {partition_key}, first {first}", operations.len());
            if broken.batch.is_empty() {
                return Ok(Vec::new());
            }
            let call = self.service.rows.submit(&broken.partition_key, &broken.batch);
            self.call(Kind::Write, site, (&broken.partition_key, what), call).await
        }
    }

    #[track_caller]
    fn delete(&self, keys: &Keys) -> impl Future<Output = Result<(), TableError>> + Send {
        let site = Location::caller();
        let what = format!("delete {} {}", keys.partition, keys.row);
        self.call(Kind::Write, site, (&keys.partition, what), self.service.rows.delete(keys))
    }

    #[track_caller]
    fn create(&self) -> impl Future<Output = Result<(), TableError>> + Send {
        let site = Location::caller();
        self.call(Kind::Write, site, ("", "create".to_owned()), self.service.rows.create())
    }

    /// The pages count for the line that asks for all of them.
    #[track_caller]
    fn all(&self, query: &Query) -> impl Future<Output = Result<Vec<Entity>, TableError>> + Send {
        let site = Location::caller();
        async move {
            let mut entities = Vec::new();
            let mut next = None;
            loop {
                let page = self.one_page(site, query, next.as_ref()).await?;
                entities.extend(page.entities);
                match page.next {
                    Some(continuation) => next = Some(continuation),
                    None => return Ok(entities),
                }
            }
        }
    }
}
