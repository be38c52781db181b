use super::*;
use crate::table::{
    Damage, Keys, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_BINARY_BYTES, MAX_ENTITY_BYTES, MAX_KEY_UNITS,
    MAX_PROPERTIES, MAX_PROPERTY_NAME_UNITS, MAX_STRING_UNITS, Value,
};

fn row(partition_key: &str, row_key: &str) -> Entity {
    Entity::new(partition_key, row_key)
}

fn keys(rows: &[Entity]) -> String {
    rows.iter().map(|row| format!("{}{}", row.partition_key, row.row_key)).collect::<Vec<_>>().join(" ")
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn code(result: Result<impl Sized, TableError>) -> (u16, String) {
    match result.map(drop) {
        Err(TableError::Rejected { status, code }) => (status, code),
        other => panic!("{other:?}"),
    }
}

/// A row of exactly so many bytes by the service's formula; a little above 1 MB at least.
fn row_of(bytes: usize) -> Entity {
    let mut row = row("p", "r");
    for number in 0..17 {
        row.set(&format!("c{number}"), vec![0; 60_000]);
    }
    row.set("rest", Vec::new());
    row.set("rest", vec![0; bytes - row.bytes()]);
    row
}

#[tokio::test]
async fn every_limit_of_a_row_is_kept_alone_and_in_batches_and_said_with_the_services_code() {
    let text = |units: usize| "y".repeat(units);
    let many = |count: usize| (0..count).fold(row("p", "r"), |row, number| row.with(&format!("c{number}"), true));
    let date = |text: &str| row("p", "r").with("c", Value::DateTime(text.to_owned()));
    for (fits, too_much, expected) in [
        (row("p", &text(MAX_KEY_UNITS)), row("p", &text(MAX_KEY_UNITS + 1)), "KeyValueTooLarge"),
        (row("p", &"😀".repeat(MAX_KEY_UNITS / 2)), row("p", &"😀".repeat(MAX_KEY_UNITS / 2 + 1)), "KeyValueTooLarge"),
        (row("p", "a'b:%&+ ключ"), row("p", "a/b"), "OutOfRangeInput"),
        (row("p", "\u{a0}"), row("p", "\u{9f}"), "OutOfRangeInput"),
        (row("p", ""), row("p", "\\"), "OutOfRangeInput"),
        (row("p", " "), row("p", "#"), "OutOfRangeInput"),
        (row("p", " "), row("p", "?"), "OutOfRangeInput"),
        (row("p", " "), row("p", "\t"), "OutOfRangeInput"),
        (row("p", " "), row("p", "\0"), "OutOfRangeInput"),
        (many(MAX_PROPERTIES), many(MAX_PROPERTIES + 1), "TooManyProperties"),
        (
            row("p", "r").with(&text(MAX_PROPERTY_NAME_UNITS), true),
            row("p", "r").with(&text(MAX_PROPERTY_NAME_UNITS + 1), true),
            "PropertyNameTooLong",
        ),
        (
            row("p", "r").with("c", text(MAX_STRING_UNITS)),
            row("p", "r").with("c", text(MAX_STRING_UNITS + 1)),
            "PropertyValueTooLarge",
        ),
        (
            row("p", "r").with("c", "😀".repeat(MAX_STRING_UNITS / 2)),
            row("p", "r").with("c", "😀".repeat(MAX_STRING_UNITS / 2) + "y"),
            "PropertyValueTooLarge",
        ),
        (
            row("p", "r").with("c", vec![0; MAX_BINARY_BYTES]),
            row("p", "r").with("c", vec![0; MAX_BINARY_BYTES + 1]),
            "PropertyValueTooLarge",
        ),
        (date("1601-01-01T00:00:00Z"), date("1600-12-31T23:59:59Z"), "OutOfRangeInput"),
        (row_of(MAX_ENTITY_BYTES), row_of(MAX_ENTITY_BYTES + 1), "EntityTooLarge"),
    ] {
        let table = MemoryTable::new();
        assert_eq!(code(table.insert(&too_much).await), (400, expected.to_owned()));
        for operation in [Operation::Insert(too_much.clone()), Operation::InsertOrReplace(too_much)] {
            let batch = [Operation::Insert(row("p", "other")), operation];
            assert_eq!(code(table.submit("p", &batch).await), (400, expected.to_owned()));
        }
        assert!(table.rows().is_empty(), "{expected}");
        table.insert(&fits).await.unwrap_or_else(|error| panic!("{expected}: {error}"));
        table.submit("p", &[Operation::InsertOrReplace(fits)]).await.unwrap();
    }
    let table = MemoryTable::new();
    assert_eq!(code(table.insert(&row("a/b", "r")).await), (400, "OutOfRangeInput".to_owned()));
}

#[tokio::test]
async fn every_limit_of_a_batch_is_kept_and_said_with_the_services_code() {
    let insert = |number: usize, bytes: usize| {
        Operation::Insert(row("p", &number.to_string()).with("c", vec![0; bytes / 4 * 3]))
    };
    let half = MAX_BATCH_BYTES / MAX_BATCH_OPERATIONS;
    let delete = |row_key: &str| Operation::Delete { row_key: row_key.to_owned() };
    for (batch, status, expected) in [
        (vec![], 400, "InvalidInput"),
        ((0..=MAX_BATCH_OPERATIONS).map(|number| insert(number, 0)).collect(), 400, "InvalidInput"),
        ((0..MAX_BATCH_OPERATIONS).map(|number| insert(number, half)).collect(), 413, "RequestBodyTooLarge"),
        (vec![insert(1, 0), insert(1, 0)], 400, "InvalidDuplicateRow"),
        (vec![insert(1, 0), delete("1")], 400, "InvalidDuplicateRow"),
        (vec![insert(1, 0), Operation::Insert(row("q", "2"))], 400, "CommandsInBatchActOnDifferentPartitions"),
    ] {
        let table = MemoryTable::new();
        assert_eq!(code(table.submit("p", &batch).await), (status, expected.to_owned()));
        assert!(table.rows().is_empty());
    }
    let table = MemoryTable::new();
    let fits: Vec<_> = (0..MAX_BATCH_OPERATIONS).map(|number| insert(number, half - 2_000)).collect();
    assert!(fits.iter().map(Operation::bytes).sum::<usize>() <= MAX_BATCH_BYTES);
    table.submit("p", &fits).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_fails_at_its_last_operation_changes_nothing() {
    let table = MemoryTable::new();
    table.put(row("p", "old").with("c", "old"));
    let etag = table.rows()[0].etag.clone();
    let changed = || row("p", "old").with("c", "new");
    for (last, expected) in [
        (Operation::Delete { row_key: "none".to_owned() }, TableError::NotFound),
        (Operation::Replace(row("p", "none"), ETag(String::new())), TableError::NotFound),
    ] {
        let batch = [Operation::InsertOrReplace(changed()), Operation::Insert(row("p", "new")), last];
        assert_eq!(table.submit("p", &batch).await, Err(expected));
        assert_eq!(keys(&table.rows()), "pold");
        assert_eq!((table.rows()[0].string("c"), &table.rows()[0].etag), (Some("old"), &etag));
    }
}

#[tokio::test]
async fn pages_end_at_a_thousand_rows_at_the_end_of_a_partition_and_after_enough_were_looked_at() {
    let sizes = async |table: &MemoryTable, query: &Query| {
        let (mut sizes, mut next) = (Vec::new(), None);
        loop {
            let page = table.page(query, next.as_ref()).await.unwrap();
            sizes.push(page.entities.len());
            next = page.next;
            if next.is_none() {
                return sizes;
            }
        }
    };
    let fill = |table: MemoryTable| {
        table.set_now(time("2026-11-20T00:00:00Z"));
        for number in 0..2_001 {
            table.put(row("a", &format!("{number:04}")));
        }
        table.set_now(time("2026-11-21T00:00:00Z"));
        table.put(row("b", "1"));
        table.put(row("c", "1"));
        table
    };
    let table = fill(MemoryTable::new());
    let late = Query { written_from: Some(time("2026-11-21T00:00:00Z")), ..Query::default() };
    assert_eq!(sizes(&table, &Query::default()).await, [1_000, 1_000, 1, 1, 1]);
    assert_eq!(sizes(&table, &Query::partition("a")).await, [1_000, 1_000, 1]);
    assert_eq!(sizes(&table, &late).await, [0, 1, 1], "a page may be empty and have a token");
    let few = fill(MemoryTable::new().with_rows_looked_at_a_page(900).with_tokens_without_row_key());
    let looked_at = few.rows_looked_at();
    assert_eq!(sizes(&few, &late).await, [0, 0, 0, 1, 1]);
    assert_eq!(few.rows_looked_at() - looked_at, 2_003);
    let behind = Query { partition_key_after: Some("a".to_owned()), page_size: Some(1), ..Query::default() };
    assert_eq!(sizes(&few, &behind).await, [1, 1]);
    let range = Query {
        row_key_from: Some("0010".to_owned()),
        row_key_before: Some("0020".to_owned()),
        ..Query::partition("a")
    };
    let looked_at = few.rows_looked_at();
    assert_eq!(sizes(&few, &range).await, [10]);
    assert_eq!(few.rows_looked_at() - looked_at, 10, "a range within a partition looks at no other row");
    for rows in [0, 1_001] {
        let query = Query { page_size: Some(rows), ..Query::default() };
        assert_eq!(code(table.page(&query, None).await), (400, "InvalidInput".to_owned()));
    }
}

#[tokio::test]
async fn tokens_hold_their_place_while_rows_come_and_go() {
    for table in [MemoryTable::new(), MemoryTable::new().with_tokens_without_row_key()] {
        for (partition_key, row_key) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")] {
            table.put(row(partition_key, row_key));
        }
        let query = Query { page_size: Some(1), ..Query::default() };
        let first = table.page(&query, None).await.unwrap();
        table.delete(&Keys::new("a", "2")).await.unwrap();
        table.put(row("a", "0"));
        let second = table.page(&query, first.next.as_ref()).await.unwrap();
        assert_eq!(keys(&second.entities), "", "the partition ends where its row is gone");
        table.delete(&Keys::new("b", "1")).await.unwrap();
        let third = table.page(&query, second.next.as_ref()).await.unwrap();
        assert_eq!((keys(&third.entities).as_str(), third.next), ("c1", None));
    }
}

#[tokio::test]
async fn contradictory_bounds_find_nothing() {
    let table = MemoryTable::new();
    for key in ["a", "b", "c"] {
        table.put(row(key, key));
    }
    let after = |key: &str, query: Query| Query { partition_key_after: Some(key.to_owned()), ..query };
    let keys_of = async |query: Query| keys(&table.all(&query).await.unwrap());
    assert_eq!(keys_of(after("b", Query::partition("a"))).await, "");
    assert_eq!(keys_of(after("a", Query::partition("a"))).await, "");
    assert_eq!(keys_of(after("a", Query::partition("b"))).await, "bb");
    assert_eq!(keys_of(after("c", Query::default())).await, "");
    let turned =
        Query { row_key_from: Some("z".to_owned()), row_key_before: Some("a".to_owned()), ..Query::partition("a") };
    assert_eq!(keys_of(turned).await, "");
}

#[tokio::test]
async fn a_late_row_is_older_than_the_moment_from_which_it_is_seen() {
    let table = MemoryTable::new();
    let (written, seen) = (time("2026-11-22T10:00:00Z"), time("2026-11-22T10:00:05Z"));
    table.set_now(written);
    table.put_late(row("p", "r"), seen);
    assert_eq!(table.get(&Keys::new("p", "r")).await, Err(TableError::NotFound));
    assert!(table.all(&Query::partition("p")).await.unwrap().is_empty());
    assert_eq!(table.insert(&row("p", "r")).await, Err(TableError::Exists), "a write meets it at once");
    table.set_now(seen);
    let rows = table.all(&Query { written_before: Some(seen), ..Query::partition("p") }).await.unwrap();
    assert_eq!(rows[0].timestamp, Some(written));
    assert!(table.get(&Keys::new("p", "r")).await.is_ok());
}

#[tokio::test]
async fn a_row_from_json_is_read_as_the_service_would_send_it() {
    let table = MemoryTable::new();
    table.set_now(time("2026-11-22T10:00:00Z"));
    assert!(table.put_json(
        "{\"PartitionKey\":\"p\",\"RowKey\":\"half\",\"Timestamp\":\"2026-11-22T09:00:00Z\",\"Text\":\"\\ud83d\",\"Other\":1}"
    ));
    assert!(table.put_json("{\"PartitionKey\":\"p\",\"RowKey\":\"list\",\"Text\":[1]}"));
    assert!(!table.put_json("{\"PartitionKey\":\"p\",\"RowKey\":7}"));
    let shown = |rows: &[Entity]| {
        rows.iter().map(|row| (row.row_key.clone(), row.damage, row.timestamp.is_some())).collect::<Vec<_>>()
    };
    let half = |damage: Option<Damage>| ("half".to_owned(), damage, true);
    let list = ("list".to_owned(), Some(Damage::Unreadable), false);
    let rows = table.all(&Query::partition("p")).await.unwrap();
    assert_eq!(shown(&rows), [half(Some(Damage::ReplacedCharacters)), list.clone()]);
    assert_eq!(rows[1].string("Text"), Some("[1]"));
    assert_eq!(shown(&[table.get(&Keys::new("p", "half")).await.unwrap()]), [half(Some(Damage::ReplacedCharacters))]);
    // What was not asked for is not sent, and so cannot be damaged.
    let other = Query { select: vec!["Other"], ..Query::partition("p") };
    let rows = table.all(&other).await.unwrap();
    assert_eq!(shown(&rows), [half(None), list]);
    assert_eq!(rows[0].integer("Other"), Some(1));
    assert!(rows.iter().all(|row| row.etag.is_some()));
    // The service knows when it wrote a row, whatever the row shows.
    let since = Query { written_from: Some(time("2026-11-22T09:30:00Z")), ..Query::partition("p") };
    assert_eq!(keys(&table.all(&since).await.unwrap()), "plist");
    // A row can be replaced by its version, however damaged it was.
    let etag = rows[1].etag.clone().unwrap();
    table.submit("p", &[Operation::Replace(row("p", "list"), etag)]).await.unwrap();
    assert_eq!(table.get(&Keys::new("p", "list")).await.unwrap().damage, None);
}

#[test]
fn the_size_of_a_row_follows_the_documented_formula() {
    for (row, bytes) in [
        (row("", ""), 4),
        (row("pk", "ключ"), 4 + 2 * 6),
        (row("", "").with("text", "😀"), 4 + 8 + 2 * 4 + 4 + 2 * 2),
        (row("", "").with("c", true), 4 + 8 + 2 + 1),
        (row("", "").with("c", Value::Int32(1)), 4 + 8 + 2 + 4),
        (row("", "").with("c", 1), 4 + 8 + 2 + 8),
        (row("", "").with("c", Value::Double(0.5)), 4 + 8 + 2 + 8),
        (row("", "").with("c", time("2026-11-22T10:00:00Z")), 4 + 8 + 2 + 8),
        (row("", "").with("c", Value::Guid("c9da6455-213d-42c9-9a79-3e9149a57833".to_owned())), 4 + 8 + 2 + 16),
        (row("", "").with("c", vec![1, 2, 3]), 4 + 8 + 2 + 4 + 3),
    ] {
        assert_eq!(row.bytes(), bytes);
    }
}
