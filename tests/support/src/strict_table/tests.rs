//! The rules that the emulator does not have, seen over HTTP.

use super::*;
use marketplace_leads::table::{
    MAX_BATCH_BYTES, MAX_KEY_UNITS, MAX_PROPERTIES, MAX_STRING_UNITS, Operation as Write, Query, Table as _,
};

const NOW: &str = "2026-11-22T10:00:00Z";

async fn started(settings: Settings) -> (StrictTable, AzureTable) {
    let service = StrictTable::start(settings).await.unwrap();
    service.create("Leads").unwrap();
    let table = service.open("Leads").unwrap();
    (service, table)
}

fn row(partition_key: &str, row_key: &str) -> Entity {
    Entity::new(partition_key, row_key).with("Text", "text")
}

fn code(error: TableError) -> (u16, String) {
    match error {
        TableError::Rejected { status, code } => (status, code),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_just_at_a_limit_is_taken_and_what_is_beyond_it_is_refused_with_its_code() {
    let (_service, table) = started(Settings::default()).await;
    let text = |units: usize| "x".repeat(units);
    let wide = |count: usize| {
        (0..count).fold(Entity::new("p", format!("wide{count}")), |row, number| row.with(&format!("N{number}"), true))
    };
    // 30 texts of the longest kind are some 1.9 MiB; 15 are below 1 MiB.
    let heavy = |count: usize| {
        let row = Entity::new("p", format!("heavy{count}"));
        (0..count).fold(row, |row, number| row.with(&format!("N{number}"), text(MAX_STRING_UNITS)))
    };
    let cases = [
        (Entity::new("p", "text").with("T", text(MAX_STRING_UNITS)), ""),
        (Entity::new("p", "text+").with("T", text(MAX_STRING_UNITS + 1)), "PropertyValueTooLarge"),
        (Entity::new("p", "pairs").with("T", "😀".repeat(MAX_STRING_UNITS / 2)), ""),
        (Entity::new("p", "pairs+").with("T", "😀".repeat(MAX_STRING_UNITS / 2 + 1)), "PropertyValueTooLarge"),
        (Entity::new("p", "bytes").with("T", vec![0; 64 * 1024]), ""),
        (Entity::new("p", "bytes+").with("T", vec![0; 64 * 1024 + 1]), "PropertyValueTooLarge"),
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
        (row("p", "no name").with("1st", true), "PropertyNameInvalid"),
        (row("p", "long name").with(&text(256), true), "PropertyNameTooLong"),
    ];
    for (row, expected) in cases {
        let shown = row.row_key.chars().take(10).collect::<String>();
        let alone = table.insert(&row).await.map_err(code);
        let wanted = if expected.is_empty() { Ok(()) } else { Err((400, expected.to_owned())) };
        assert_eq!(alone, wanted, "{shown}");
        let again = [Write::Insert(self::row(&row.partition_key, "other")), Write::InsertOrReplace(row.clone())];
        let batched = table.submit(&row.partition_key, &again).await.map(drop).map_err(code);
        assert_eq!(batched, wanted, "{shown} in a batch");
        let _ = table.delete(&row.partition_key, "other").await;
    }
}

#[tokio::test]
async fn a_batch_beyond_four_mebibytes_is_refused_as_a_whole() {
    let (service, table) = started(Settings::default()).await;
    let heavy = |number: usize| {
        let text = "x".repeat(MAX_STRING_UNITS);
        let row = Entity::new("p", number.to_string());
        Write::Insert((0..15).fold(row, |row, column| row.with(&format!("N{column}"), text.as_str())))
    };
    let rows = |count: usize| (0..count).map(heavy).collect::<Vec<_>>();
    let most = MAX_BATCH_BYTES / (15 * MAX_STRING_UNITS);
    let _ = table.submit("p", &rows(most + 1)).await.unwrap_err();
    assert_eq!(service.rows("Leads"), 0);
    table.submit("p", &rows(most)).await.unwrap();
    assert_eq!(service.rows("Leads"), most);
}

#[tokio::test]
async fn a_page_ends_after_so_many_rows_looked_at_and_at_the_end_of_a_partition_empty_or_not() {
    let clock = Clock::Stopped(NOW.parse().unwrap());
    let (service, table) = started(Settings { rows_looked_at: 10, clock, ..Settings::default() }).await;
    let rows = (0..25).map(|number| row(if number < 12 { "a" } else { "b" }, &format!("{number:02}")));
    service.fill("Leads", rows, NOW.parse().unwrap());
    let mut next = None;
    let mut sizes = Vec::new();
    loop {
        let page = table.page(&Query::default(), next.as_ref()).await.unwrap();
        sizes.push(page.entities.len());
        let Some(token) = page.next else { break };
        next = Some(token);
    }
    assert_eq!(sizes, [10, 2, 10, 3]);
    service.reset_counters();
    let later = Query { written_from: Some("2026-11-22T10:00:01Z".parse().unwrap()), ..Query::default() };
    assert_eq!(table.all(&later).await.unwrap().len(), 0);
    let counters = service.counters();
    assert_eq!((counters.requests, counters.rows_looked_at, counters.rows_returned), (4, 25, 0));
    assert_eq!(counters.operations[&Operation::Query], 4);
}

#[tokio::test]
async fn a_query_may_begin_with_an_empty_page_and_a_token() {
    let (service, table) = started(Settings { queries_begin_empty: true, ..Settings::default() }).await;
    service.fill("Leads", [row("a", "1"), row("b", "2")], NOW.parse().unwrap());
    let first = table.page(&Query::partition("b"), None).await.unwrap();
    assert!(first.entities.is_empty() && first.next.is_some());
    assert_eq!(table.all(&Query::partition("b")).await.unwrap()[0].row_key, "2");
    assert_eq!(table.all(&Query::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_row_may_be_seen_later_than_its_timestamp_says() {
    let at = |time: &str| Clock::Stopped(time.parse().unwrap());
    let (service, table) = started(Settings { clock: at(NOW), ..Settings::default() }).await;
    service.queue_fault(Fault::VisibleAfter(Duration::from_secs(60)));
    table.insert(&row("p", "r")).await.unwrap();
    assert_eq!(table.get("p", "r").await, Err(TableError::NotFound));
    assert_eq!(table.all(&Query::default()).await.unwrap().len(), 0);
    assert_eq!(table.insert(&row("p", "r")).await, Err(TableError::Exists));
    service.set_clock(at("2026-11-22T10:01:00Z"));
    assert_eq!(table.get("p", "r").await.unwrap().timestamp, Some(NOW.parse().unwrap()));
    assert_eq!(table.all(&Query::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn beyond_the_target_of_a_partition_the_service_asks_to_come_again() {
    let clock = Clock::Stopped(NOW.parse().unwrap());
    let settings = Settings { clock, entities_per_second: Some(3), ..Settings::default() };
    let (service, table) = started(settings).await;
    let connection = ConnectionString::parse(&service.connection_string()).unwrap();
    let patient = Limits { retries: 0, ..Limits::default() };
    let once = AzureTables::new(&connection, patient).unwrap().table("Leads");
    service.fill("Leads", [row("p", "0"), row("q", "0")], NOW.parse().unwrap());
    for number in 1..4 {
        once.insert(&row("p", &number.to_string())).await.unwrap();
    }
    let busy = TableError::Throttled { code: "ServerBusy".to_owned() };
    assert_eq!(once.insert(&row("p", "4")).await, Err(busy));
    once.insert(&row("q", "1")).await.unwrap();
    service.set_clock(Clock::Stopped("2026-11-22T10:00:01Z".parse().unwrap()));
    table.insert(&row("p", "4")).await.unwrap();
}

#[tokio::test]
async fn faults_strike_before_or_after_the_act() {
    let (service, table) = started(Settings::default()).await;
    let connection = ConnectionString::parse(&service.connection_string()).unwrap();
    let tables = AzureTables::new(&connection, Limits { retries: 0, ..Limits::default() }).unwrap();
    let once = tables.table("Leads");
    let cases = [
        (Fault::Before(Refusal::internal_error()), false),
        (Fault::After(Refusal::internal_error()), true),
        (Fault::CutBefore, false),
        (Fault::CutAfter, true),
    ];
    for (number, (fault, is_done)) in cases.into_iter().enumerate() {
        let key = number.to_string();
        service.queue_fault(fault.clone());
        let error = once.insert(&row("p", &key)).await.unwrap_err();
        assert!(matches!(error, TableError::Unavailable { .. }), "{fault:?}: {error}");
        assert_eq!(table.get("p", &key).await.is_ok(), is_done, "{fault:?}");
    }
    service.set_faults(Some(Box::new(|asked| {
        let is_delete = asked.operation == Operation::Delete && asked.partition_key.as_deref() == Some("p");
        is_delete.then(|| Fault::Before(Refusal::authentication_failed()))
    })));
    assert!(matches!(table.delete("p", "1").await, Err(TableError::Refused { status: 403, .. })));
    table.get("p", "1").await.unwrap();
}

#[tokio::test]
async fn a_stopped_service_is_not_there_and_comes_back_with_its_rows() {
    let (service, table) = started(Settings::default()).await;
    table.insert(&row("p", "r")).await.unwrap();
    service.stop().await;
    let error = table.get("p", "r").await.unwrap_err();
    assert!(matches!(error, TableError::Unavailable { .. }), "{error}");
    service.resume().await.unwrap();
    table.get("p", "r").await.unwrap();
}
