//! What the table port promises, held against memory, and against the client of Azure Table storage on two services: the
//! emulator (Azurite) and the strict one of `tests/support`.

use jiff::{SignedDuration, Timestamp};
use local_cloud::LocalTable;
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::memory::MemoryTable;
use marketplace_leads::table::{
    ConnectionString, ETag, Entity, Keys, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_BINARY_BYTES, MAX_KEY_UNITS,
    MAX_PROPERTIES, MAX_STRING_UNITS, Operation, Query, Table, TableError, Value,
};
use support::strict_table::{Clock, Settings, StrictTable};
use tokio::sync::OnceCell;

/// One test for each promise and implementation.
macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(super::MemoryTable::missing()).await;
            })+
        }
        mod azure {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(super::azure_table(stringify!($promise)).await).await;
            })+
        }
        mod strict {
            $(#[tokio::test]
            async fn $promise() {
                let service = super::StrictTable::start(super::Settings::default()).unwrap();
                super::$promise(service.open("Contract").unwrap()).await;
            })+
        }
    };
}

contract!(
    a_table_is_created_once_and_missing_before,
    a_row_comes_back_as_it_was_written_in_every_type_and_script,
    a_second_insert_of_the_same_keys_conflicts_and_changes_nothing,
    of_many_inserts_at_once_exactly_one_succeeds,
    keys_with_quotes_and_colons_are_found_again,
    queries_find_by_partition_row_key_range_and_time,
    the_time_of_a_row_is_compared_to_all_its_digits,
    every_page_is_read_until_there_is_no_continuation,
    partitions_are_found_by_hopping_from_one_to_the_next,
    rows_of_a_page_have_the_versions_that_a_replacement_needs,
    a_query_gives_only_the_columns_that_it_selects,
    a_batch_is_written_as_a_whole_or_not_at_all,
    a_replacement_needs_the_version_that_is_there,
    a_batch_of_too_many_operations_is_rejected,
    a_deleted_row_is_gone,
    a_column_holds_the_longest_text_and_long_texts_go_on,
);

/// One test for each limit that Azurite does not keep.
macro_rules! limits {
    ($($promise:ident),+ $(,)?) => {
        mod memory_limits {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise::<super::MemoryTable>().await;
            })+
        }
        mod strict_limits {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise::<super::Strict>().await;
            })+
        }
    };
}

limits!(
    what_is_just_at_a_limit_is_taken_and_what_is_beyond_it_is_refused_with_its_code,
    a_batch_is_held_to_its_limits_and_written_not_at_all_beyond_them,
    a_page_ends_after_so_many_rows_looked_at_and_with_its_partition_empty_or_not,
    a_row_may_be_seen_later_than_its_timestamp_says,
);

/// A table service whose limits and clock a test can set.
trait Service {
    /// Its table.
    type Table: Table;

    /// Starts it, with a table in it. Its pages end after so many rows looked at, and its clock stands still.
    async fn start(rows_looked_at: usize, now: Timestamp) -> (Self, Self::Table)
    where
        Self: Sized;

    /// Sets its clock.
    fn set_now(&self, now: Timestamp);

    /// Writes a row that reads do not see before this time.
    fn put_late(&self, row: Entity, visible: Timestamp);
}

/// The strict service of `tests/support`.
struct Strict(StrictTable);

impl Service for Strict {
    type Table = AzureTable;

    async fn start(rows_looked_at: usize, now: Timestamp) -> (Self, AzureTable) {
        let settings = Settings { rows_looked_at, clock: Clock::Stopped(now), ..Settings::default() };
        let service = StrictTable::start(settings).unwrap();
        service.create("Contract").unwrap();
        let table = service.open("Contract").unwrap();
        (Self(service), table)
    }

    fn set_now(&self, now: Timestamp) {
        self.0.set_clock(Clock::Stopped(now));
    }

    fn put_late(&self, row: Entity, visible: Timestamp) {
        self.0.put_late("Contract", row, visible);
    }
}

/// The table in memory is its own service. Its tokens at the end of a partition have no row key, as those of the real
/// service sometimes do not.
impl Service for MemoryTable {
    type Table = Self;

    async fn start(rows_looked_at: usize, now: Timestamp) -> (Self, Self) {
        let table = Self::new().with_rows_looked_at_a_page(rows_looked_at).with_tokens_without_row_key();
        table.set_now(now);
        (table.clone(), table)
    }

    fn set_now(&self, now: Timestamp) {
        Self::set_now(self, now);
    }

    fn put_late(&self, row: Entity, visible: Timestamp) {
        Self::put_late(self, row, visible);
    }
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

async fn what_is_just_at_a_limit_is_taken_and_what_is_beyond_it_is_refused_with_its_code<S: Service>() {
    let (_service, table) = S::start(1_000, now()).await;
    let text = |units: usize| "x".repeat(units);
    let wide = |count: usize| {
        (0..count).fold(Entity::new("p", format!("wide{count}")), |row, number| row.with(&format!("N{number}"), true))
    };
    // 15 texts of the longest kind are below 1 MiB.
    let heavy = |count: usize| {
        let row = Entity::new("p", format!("heavy{count}"));
        (0..count).fold(row, |row, number| row.with(&format!("N{number}"), text(MAX_STRING_UNITS)))
    };
    let cases = [
        (Entity::new("p", "text").with("T", text(MAX_STRING_UNITS)), ""),
        (Entity::new("p", "text+").with("T", text(MAX_STRING_UNITS + 1)), "PropertyValueTooLarge"),
        (Entity::new("p", "pairs").with("T", "😀".repeat(MAX_STRING_UNITS / 2)), ""),
        (Entity::new("p", "pairs+").with("T", "😀".repeat(MAX_STRING_UNITS / 2 + 1)), "PropertyValueTooLarge"),
        (Entity::new("p", "bytes").with("T", vec![0; MAX_BINARY_BYTES]), ""),
        (Entity::new("p", "bytes+").with("T", vec![0; MAX_BINARY_BYTES + 1]), "PropertyValueTooLarge"),
        (wide(MAX_PROPERTIES), ""),
        (wide(MAX_PROPERTIES + 1), "TooManyProperties"),
        (heavy(15), ""),
        (heavy(16), "EntityTooLarge"),
        (row("p", &text(MAX_KEY_UNITS)), ""),
        (row("p", &text(MAX_KEY_UNITS + 1)), "KeyValueTooLarge"),
        (row(&text(MAX_KEY_UNITS + 1), "r"), "KeyValueTooLarge"),
        (row("p", "a/b"), "OutOfRangeInput"),
        (row("p", "a\\b"), "OutOfRangeInput"),
        (row("a#b", "r"), "OutOfRangeInput"),
        (row("a?b", "r"), "OutOfRangeInput"),
        (row("p", "a\u{1}b"), "OutOfRangeInput"),
        (row("p", "a\u{85}b"), "OutOfRangeInput"),
        (row("p", "long name").with(&text(256), true), "PropertyNameTooLong"),
        (row("p", "first").with("T", Value::DateTime("1601-01-01T00:00:00Z".to_owned())), ""),
        (row("p", "early").with("T", Value::DateTime("1600-12-31T23:59:59Z".to_owned())), "OutOfRangeInput"),
        (row("p", "no time").with("T", Value::DateTime("yesterday".to_owned())), "InvalidInput"),
    ];
    for (row, code) in cases {
        let shown: String = row.row_key.chars().take(10).collect();
        let refused = TableError::Rejected { status: 400, code: code.to_owned() };
        let wanted = if code.is_empty() { Ok(()) } else { Err(refused) };
        assert_eq!(table.insert(&row).await, wanted, "{shown}");
        let batch =
            [Operation::Insert(self::row(&row.partition_key, "other")), Operation::InsertOrReplace(row.clone())];
        assert_eq!(table.submit(&row.partition_key, &batch).await.map(drop), wanted, "{shown} in a batch");
        if code.is_empty() {
            table.delete(&Keys::new(&row.partition_key, "other")).await.unwrap();
        }
    }
}

async fn a_batch_is_held_to_its_limits_and_written_not_at_all_beyond_them<S: Service>() {
    let (_service, table) = S::start(1_000, now()).await;
    let heavy = |number: usize| {
        let text = "x".repeat(MAX_STRING_UNITS);
        let row = Entity::new("p", number.to_string());
        Operation::Insert((0..15).fold(row, |row, column| row.with(&format!("N{column}"), text.as_str())))
    };
    let heavy = |count: usize| (0..count).map(heavy).collect::<Vec<_>>();
    let light = |count: usize| (0..count).map(|n| Operation::Insert(row("p", &n.to_string()))).collect::<Vec<_>>();
    let twice = vec![Operation::Insert(row("p", "a")), Operation::Delete { row_key: "a".to_owned() }];
    let apart = vec![Operation::Insert(row("p", "a")), Operation::Insert(row("q", "b"))];
    let most = MAX_BATCH_BYTES / (15 * MAX_STRING_UNITS);
    for (batch, status, code) in [
        (heavy(most + 1), 413, "RequestBodyTooLarge"),
        (light(MAX_BATCH_OPERATIONS + 1), 400, "InvalidInput"),
        (Vec::new(), 400, "InvalidInput"),
        (twice, 400, "InvalidDuplicateRow"),
        (apart, 400, "CommandsInBatchActOnDifferentPartitions"),
    ] {
        let refused = TableError::Rejected { status, code: code.to_owned() };
        assert_eq!(table.submit("p", &batch).await, Err(refused), "{code}");
        assert_eq!(table.all(&Query::default()).await.unwrap().len(), 0, "{code}");
    }
    table.submit("p", &heavy(most)).await.unwrap();
}

async fn a_page_ends_after_so_many_rows_looked_at_and_with_its_partition_empty_or_not<S: Service>() {
    let (service, table) = S::start(10, now()).await;
    for number in 0..25 {
        table.insert(&row(if number < 12 { "a" } else { "b" }, &format!("{number:02}"))).await.unwrap();
    }
    let sizes = async |query: Query| {
        let (mut sizes, mut next) = (Vec::new(), None);
        loop {
            let page = table.page(&query, next.as_ref()).await.unwrap();
            sizes.push(page.entities.len());
            next = page.next;
            if next.is_none() {
                return sizes;
            }
        }
    };
    assert_eq!(sizes(Query::default()).await, [10, 2, 10, 3]);
    assert_eq!(sizes(Query::partition("b")).await, [10, 3]);
    let later = now() + SignedDuration::from_secs(60);
    service.set_now(later);
    table.insert(&row("b", "25")).await.unwrap();
    assert_eq!(sizes(Query { written_from: Some(later), ..Query::default() }).await, [0, 0, 0, 1]);
}

async fn a_row_may_be_seen_later_than_its_timestamp_says<S: Service>() {
    let (service, table) = S::start(1_000, now()).await;
    let visible = now() + SignedDuration::from_secs(60);
    service.put_late(row("p", "r"), visible);
    assert_eq!(table.get(&Keys::new("p", "r")).await, Err(TableError::NotFound));
    assert_eq!(table.all(&Query::default()).await.unwrap().len(), 0);
    assert_eq!(table.insert(&row("p", "r")).await, Err(TableError::Exists));
    service.set_now(visible);
    assert_eq!(table.get(&Keys::new("p", "r")).await.unwrap().timestamp, Some(now()));
    let query = Query { written_before: Some(visible), ..Query::partition("p") };
    assert_eq!(table.all(&query).await.unwrap().len(), 1);
}

async fn created<T: Table>(table: T) -> T {
    table.create().await.unwrap();
    table
}

fn row(partition_key: &str, row_key: &str) -> Entity {
    Entity::new(partition_key, row_key).with("Text", "text")
}

async fn a_table_is_created_once_and_missing_before(table: impl Table) {
    assert_eq!(table.insert(&row("p", "r")).await, Err(TableError::TableNotFound));
    assert_eq!(table.get(&Keys::new("p", "r")).await, Err(TableError::TableNotFound));
    assert_eq!(table.create().await, Ok(()));
    assert_eq!(table.create().await, Err(TableError::Exists));
    assert_eq!(table.get(&Keys::new("p", "r")).await, Err(TableError::NotFound));
}

async fn a_row_comes_back_as_it_was_written_in_every_type_and_script(table: impl Table) {
    let table = created(table).await;
    let written = Entity::new("9:2F28:2F2018", "r")
        .with("Latin", "Zoë \"quoted\" \\ back / slash")
        .with("Han", "张伟，您好")
        .with("Arabic", "مرحبا \u{202e}abc")
        .with("Emoji", "👩‍👩‍👧‍👦 🏳️‍🌈")
        .with("Control", "a\u{1}b\tc\nd\r\ne\u{7f}")
        .with("Empty", "")
        .with("LooksLikeTime", "2018-09-28T18:24:18.7117715Z")
        .with("LooksLikeNumber", "007")
        .with("Yes", true)
        .with("Int32", Value::Int32(-7))
        .with("Int64", i64::MAX)
        .with("Double", Value::Double(2.0))
        .with("Fraction", Value::Double(-0.125))
        .with("Time", Value::DateTime("2018-09-28T18:24:18.7117715Z".to_owned()))
        .with("Guid", Value::Guid("c9da6455-213d-42c9-9a79-3e9149a57833".to_owned()))
        .with("Binary", (0..=255).collect::<Vec<u8>>());
    table.insert(&written).await.unwrap();
    let read = table.get(&Keys::new("9:2F28:2F2018", "r")).await.unwrap();
    for (name, value) in &written.properties {
        assert!(read.properties.get(name) == Some(value), "{name}");
    }
    assert_eq!(read.properties.len(), written.properties.len());
    assert!(read.etag.is_some() && read.timestamp.is_some());
    let found = table.all(&Query::partition("9:2F28:2F2018")).await.unwrap();
    assert!(found[0].properties == read.properties && found[0].timestamp == read.timestamp);
}

async fn a_second_insert_of_the_same_keys_conflicts_and_changes_nothing(table: impl Table) {
    let table = created(table).await;
    table.insert(&row("p", "r")).await.unwrap();
    assert_eq!(table.insert(&Entity::new("p", "r").with("Text", "other")).await, Err(TableError::Exists));
    assert_eq!(table.get(&Keys::new("p", "r")).await.unwrap().string("Text"), Some("text"));
}

async fn of_many_inserts_at_once_exactly_one_succeeds(table: impl Table) {
    let table = created(table).await;
    let row = row("p", "r");
    let results = futures::future::join_all((0..20).map(|_| table.insert(&row))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == Err(TableError::Exists)).count(), 19);
}

async fn keys_with_quotes_and_colons_are_found_again(table: impl Table) {
    let table = created(table).await;
    for key in ["it's", "''", "a' or PartitionKey ne '", "1:2F2:2F2026", "ключ", "a b&c=d+e%20"] {
        table.insert(&row(key, key)).await.unwrap();
        assert_eq!(table.get(&Keys::new(key, key)).await.unwrap().row_key, key);
        let query = Query { row_key_from: Some(key.to_owned()), ..Query::partition(key) };
        let found = table.all(&query).await.unwrap();
        assert_eq!(found.iter().map(|row| row.row_key.as_str()).collect::<Vec<_>>(), [key]);
        let read = table.get(&Keys::new(key, key)).await.unwrap();
        let again = Operation::Replace(row(key, key), read.etag.unwrap());
        table.submit(key, &[again]).await.unwrap();
        table.delete(&Keys::new(key, key)).await.unwrap();
        assert_eq!(table.get(&Keys::new(key, key)).await, Err(TableError::NotFound));
    }
}

async fn queries_find_by_partition_row_key_range_and_time(table: impl Table) {
    let table = created(table).await;
    for (partition_key, row_key) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "2")] {
        table.insert(&row(partition_key, row_key)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let keys = async |query: Query| {
        let rows = table.all(&query).await.unwrap();
        rows.iter().map(|row| format!("{}{}", row.partition_key, row.row_key)).collect::<Vec<_>>().join(" ")
    };
    let time = table.get(&Keys::new("a", "3")).await.unwrap().timestamp;
    let from = |key: &str| Some(key.to_owned());
    assert_eq!(keys(Query::default()).await, "a1 a2 a3 b2");
    assert_eq!(keys(Query::partition("a")).await, "a1 a2 a3");
    assert_eq!(keys(Query { row_key_from: from("2"), ..Query::partition("a") }).await, "a2 a3");
    assert_eq!(keys(Query { row_key_before: from("2"), ..Query::partition("a") }).await, "a1");
    assert_eq!(keys(Query { written_from: time, ..Query::default() }).await, "a3 b2");
    assert_eq!(keys(Query { written_before: time, ..Query::default() }).await, "a1 a2");
    assert_eq!(keys(Query { written_from: time, written_before: time, ..Query::default() }).await, "");
    assert_eq!(keys(Query::partition("none")).await, "");
}

async fn the_time_of_a_row_is_compared_to_all_its_digits(table: impl Table) {
    let table = created(table).await;
    table.insert(&row("p", "r")).await.unwrap();
    let time = table.get(&Keys::new("p", "r")).await.unwrap().timestamp.unwrap();
    let step = SignedDuration::from_millis(1);
    for (from, count) in [(time - step, 1), (time, 1), (time + step, 0)] {
        let query = Query { written_from: Some(from), ..Query::partition("p") };
        assert_eq!(table.all(&query).await.unwrap().len(), count, "{from} against {time}");
    }
}

async fn every_page_is_read_until_there_is_no_continuation(table: impl Table) {
    let table = created(table).await;
    for number in 0..25 {
        table.insert(&row("p", &format!("{number:02}"))).await.unwrap();
    }
    let query = Query { page_size: Some(10), ..Query::partition("p") };
    let (mut sizes, mut keys, mut next) = (Vec::new(), Vec::new(), None);
    loop {
        let page = table.page(&query, next.as_ref()).await.unwrap();
        sizes.push(page.entities.len());
        keys.extend(page.entities.into_iter().map(|row| row.row_key));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(keys, (0..25).map(|number| format!("{number:02}")).collect::<Vec<_>>());
}

async fn partitions_are_found_by_hopping_from_one_to_the_next(table: impl Table) {
    let table = created(table).await;
    for (partition_key, row_key) in [("1:2F2:2F2026", "1"), ("1:2F2:2F2026", "2"), ("it's", "1"), ("ключ", "1")] {
        table.insert(&row(partition_key, row_key)).await.unwrap();
    }
    let mut found: Vec<String> = Vec::new();
    loop {
        let behind = found.last().cloned();
        let query =
            Query { partition_key_after: behind, page_size: Some(1), select: vec!["RowKey"], ..Query::default() };
        let mut page = table.page(&query, None).await.unwrap();
        while let (true, Some(next)) = (page.entities.is_empty(), &page.next) {
            page = table.page(&query, Some(next)).await.unwrap();
        }
        let Some(row) = page.entities.into_iter().next() else { break };
        assert!(row.properties.is_empty() && row.timestamp.is_some());
        found.push(row.partition_key);
    }
    assert_eq!(found, ["1:2F2:2F2026", "it's", "ключ"]);
}

async fn rows_of_a_page_have_the_versions_that_a_replacement_needs(table: impl Table) {
    let table = created(table).await;
    for row_key in ["1", "2"] {
        table.insert(&row("p", row_key)).await.unwrap();
    }
    for query in [Query::partition("p"), Query { select: vec!["Other"], ..Query::partition("p") }] {
        let found = table.all(&query).await.unwrap();
        let replace = |read: &Entity| {
            Operation::Replace(row("p", &read.row_key).with("Other", "again"), read.etag.clone().unwrap())
        };
        let operations: Vec<_> = found.iter().map(replace).collect();
        assert_eq!(operations.len(), 2);
        table.submit("p", &operations).await.unwrap();
        assert_eq!(table.submit("p", &operations).await, Err(TableError::Precondition));
    }
}

async fn a_query_gives_only_the_columns_that_it_selects(table: impl Table) {
    let table = created(table).await;
    table.insert(&row("p", "r").with("Other", true)).await.unwrap();
    let query = Query { select: vec!["Other"], ..Query::partition("p") };
    let found = table.all(&query).await.unwrap();
    assert_eq!(found[0].properties.keys().collect::<Vec<_>>(), ["Other"]);
    assert_eq!((found[0].row_key.as_str(), found[0].timestamp.is_some()), ("r", true));
}

async fn a_batch_is_written_as_a_whole_or_not_at_all(table: impl Table) {
    let table = created(table).await;
    table.insert(&row("p", "old")).await.unwrap();
    table.insert(&row("p", "gone")).await.unwrap();
    let etag = table.get(&Keys::new("p", "old")).await.unwrap().etag.unwrap();
    let batch = [
        Operation::Insert(row("p", "new")),
        Operation::InsertOrReplace(row("p", "any").with("Text", "it's 'ours'")),
        Operation::Replace(row("p", "old").with("Text", "changed\r\n--changesetresponse_x\nHTTP/1.1 500"), etag),
        Operation::Delete { row_key: "gone".to_owned() },
    ];
    table.submit("p", &batch).await.unwrap();
    let keys = async || {
        let rows = table.all(&Query::partition("p")).await.unwrap();
        rows.into_iter().map(|row| row.row_key).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys().await, "any new old");
    let conflict = [Operation::Insert(row("p", "more")), Operation::Insert(row("p", "new"))];
    assert_eq!(table.submit("p", &conflict).await, Err(TableError::Exists));
    let missing = [Operation::Insert(row("p", "more")), Operation::Delete { row_key: "gone".to_owned() }];
    assert_eq!(table.submit("p", &missing).await, Err(TableError::NotFound));
    assert_eq!(keys().await, "any new old");
}

async fn a_replacement_needs_the_version_that_is_there(table: impl Table) {
    let table = created(table).await;
    table.insert(&row("p", "r")).await.unwrap();
    let etag = table.get(&Keys::new("p", "r")).await.unwrap().etag.unwrap();
    let replace = |text: &str, etag: &ETag| {
        [Operation::Replace(Entity::new("p", "r").with("Text", text), etag.clone()), Operation::Insert(row("p", text))]
    };
    let etags = table.submit("p", &replace("first", &etag)).await.unwrap();
    assert_eq!(table.submit("p", &replace("second", &etag)).await, Err(TableError::Precondition));
    let read = async |key: &str| table.get(&Keys::new("p", key)).await.unwrap().etag;
    assert_eq!(etags, [read("r").await, read("first").await], "a batch gives the new versions");
    assert_eq!(table.get(&Keys::new("p", "r")).await.unwrap().string("Text"), Some("first"));
    assert_eq!(table.get(&Keys::new("p", "second")).await, Err(TableError::NotFound));
    let delete = [Operation::Delete { row_key: "first".to_owned() }];
    assert_eq!(table.submit("p", &delete).await, Ok(vec![None]));
}

async fn a_batch_of_too_many_operations_is_rejected(table: impl Table) {
    let table = created(table).await;
    let rows = |count: usize| (0..count).map(|n| Operation::Insert(row("p", &format!("{n:03}")))).collect::<Vec<_>>();
    let error = table.submit("p", &rows(MAX_BATCH_OPERATIONS + 1)).await;
    assert!(matches!(error, Err(TableError::Rejected { status: 400, .. })), "{error:?}");
    assert_eq!(table.all(&Query::default()).await.unwrap().len(), 0);
    table.submit("p", &rows(MAX_BATCH_OPERATIONS)).await.unwrap();
    assert_eq!(table.all(&Query::default()).await.unwrap().len(), MAX_BATCH_OPERATIONS);
}

async fn a_deleted_row_is_gone(table: impl Table) {
    let table = created(table).await;
    table.insert(&row("p", "r")).await.unwrap();
    assert_eq!(table.delete(&Keys::new("p", "r")).await, Ok(()));
    assert_eq!(table.delete(&Keys::new("p", "r")).await, Err(TableError::NotFound));
    assert_eq!(table.get(&Keys::new("p", "r")).await, Err(TableError::NotFound));
}

async fn a_column_holds_the_longest_text_and_long_texts_go_on(table: impl Table) {
    let table = created(table).await;
    // Pairs of units only at the beginning: Azurite reads a body in pieces of 64 KiB and spoils a character that lies
    // across two of them.
    let text = format!("x{}{}", "😀".repeat(10_000), "y".repeat(2 * MAX_STRING_UNITS));
    let mut written = Entity::new("p", "r");
    written.set_text("Note", &text);
    assert_eq!(written.properties.len(), 3);
    table.insert(&written).await.unwrap();
    let read = table.get(&Keys::new("p", "r")).await.unwrap();
    assert_eq!(read.text("Note").as_deref(), Some(text.as_str()));
    assert!(read.string("Note").unwrap().encode_utf16().count() <= MAX_STRING_UNITS);
}

/// A table of its own in the Azurite that all tests of this file share. It ends with them.
async fn azure_table(test: &str) -> AzureTable {
    static AZURITE: OnceCell<LocalTable> = OnceCell::const_new();
    let azurite = AZURITE.get_or_init(async || LocalTable::start().await.unwrap()).await;
    let connection = ConnectionString::parse(&azurite.table().connection_string()).unwrap();
    let tables = AzureTables::new(&connection, Limits::default()).unwrap();
    tables.table(&format!("t{}", test.replace('_', "")).chars().take(60).collect::<String>())
}
