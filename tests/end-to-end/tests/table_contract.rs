//! What the table port promises, held against memory, and against the client of Azure Table storage on two services: the
//! emulator (Azurite) and the strict one of `tests/support`.

use jiff::SignedDuration;
use local_cloud::LocalTable;
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::memory::MemoryTable;
use marketplace_leads::table::{
    ConnectionString, ETag, Entity, MAX_BATCH_OPERATIONS, MAX_STRING_UNITS, Operation, Query, Table, TableError, Value,
};
use support::strict_table::{Settings, StrictTable};
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
                let service = super::StrictTable::start(super::Settings::default()).await.unwrap();
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
    a_query_gives_only_the_columns_that_it_selects,
    a_batch_is_written_as_a_whole_or_not_at_all,
    a_replacement_needs_the_version_that_is_there,
    a_batch_of_too_many_operations_is_rejected,
    a_deleted_row_is_gone,
    a_column_holds_the_longest_text_and_long_texts_go_on,
);

async fn created<T: Table>(table: T) -> T {
    table.create().await.unwrap();
    table
}

fn row(partition_key: &str, row_key: &str) -> Entity {
    Entity::new(partition_key, row_key).with("Text", "text")
}

async fn a_table_is_created_once_and_missing_before(table: impl Table) {
    assert_eq!(table.insert(&row("p", "r")).await, Err(TableError::TableNotFound));
    assert_eq!(table.get("p", "r").await, Err(TableError::TableNotFound));
    assert_eq!(table.create().await, Ok(()));
    assert_eq!(table.create().await, Err(TableError::Exists));
    assert_eq!(table.get("p", "r").await, Err(TableError::NotFound));
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
    let read = table.get("9:2F28:2F2018", "r").await.unwrap();
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
    assert_eq!(table.get("p", "r").await.unwrap().string("Text"), Some("text"));
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
        assert_eq!(table.get(key, key).await.unwrap().row_key, key);
        let query = Query { row_key_from: Some(key.to_owned()), ..Query::partition(key) };
        let found = table.all(&query).await.unwrap();
        assert_eq!(found.iter().map(|row| row.row_key.as_str()).collect::<Vec<_>>(), [key]);
        let read = table.get(key, key).await.unwrap();
        let again = Operation::Replace(row(key, key), read.etag.unwrap());
        table.submit(key, &[again]).await.unwrap();
        table.delete(key, key).await.unwrap();
        assert_eq!(table.get(key, key).await, Err(TableError::NotFound));
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
    let time = table.get("a", "3").await.unwrap().timestamp;
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
    let time = table.get("p", "r").await.unwrap().timestamp.unwrap();
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
    let etag = table.get("p", "old").await.unwrap().etag.unwrap();
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
    let etag = table.get("p", "r").await.unwrap().etag.unwrap();
    let replace = |text: &str, etag: &ETag| {
        [Operation::Replace(Entity::new("p", "r").with("Text", text), etag.clone()), Operation::Insert(row("p", text))]
    };
    let etags = table.submit("p", &replace("first", &etag)).await.unwrap();
    assert_eq!(table.submit("p", &replace("second", &etag)).await, Err(TableError::Precondition));
    let read = async |key: &str| table.get("p", key).await.unwrap().etag;
    assert_eq!(etags, [read("r").await, read("first").await], "a batch gives the new versions");
    assert_eq!(table.get("p", "r").await.unwrap().string("Text"), Some("first"));
    assert_eq!(table.get("p", "second").await, Err(TableError::NotFound));
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
    assert_eq!(table.delete("p", "r").await, Ok(()));
    assert_eq!(table.delete("p", "r").await, Err(TableError::NotFound));
    assert_eq!(table.get("p", "r").await, Err(TableError::NotFound));
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
    let read = table.get("p", "r").await.unwrap();
    assert_eq!(read.text("Note"), Some(text));
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
