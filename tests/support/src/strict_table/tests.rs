//! What the contract of all tables (`tests/end-to-end/tests/table_contract.rs`) does not hold the service to.

use super::*;
use crate::development_account::ACCOUNT;
use axum::http::{HeaderMap, Method};
use marketplace_leads::table::{Keys, Query, Table as _};

const NOW: &str = "2026-11-22T10:00:00Z";

async fn started(settings: Settings) -> (StrictTable, AzureTable) {
    let service = StrictTable::start(settings).unwrap();
    service.create("Leads").unwrap();
    let table = service.open("Leads").unwrap();
    (service, table)
}

fn row(partition_key: &str, row_key: &str) -> Entity {
    Entity::new(partition_key, row_key).with("Text", "text")
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
        assert_eq!(table.get(&Keys::new("p", &key)).await.is_ok(), is_done, "{fault:?}");
    }
    service.set_faults(Some(Box::new(|asked| {
        let is_delete = asked.operation == Operation::Delete && asked.partition_key.as_deref() == Some("p");
        is_delete.then(|| Fault::Before(Refusal::authentication_failed()))
    })));
    assert!(matches!(table.delete(&Keys::new("p", "1")).await, Err(TableError::Refused { status: 403, .. })));
    table.get(&Keys::new("p", "1")).await.unwrap();
}

#[tokio::test]
async fn a_stopped_service_is_not_there_and_comes_back_with_its_rows() {
    let (service, table) = started(Settings::default()).await;
    table.insert(&row("p", "r")).await.unwrap();
    service.stop().await;
    let error = table.get(&Keys::new("p", "r")).await.unwrap_err();
    assert!(matches!(error, TableError::Unavailable { .. }), "{error}");
    service.resume().unwrap();
    table.get(&Keys::new("p", "r")).await.unwrap();
}

#[tokio::test]
async fn requests_rows_bytes_and_connections_are_counted() {
    let (service, table) = started(Settings { rows_looked_at: 10, ..Settings::default() }).await;
    service.fill("Leads", (0..25).map(|number| row("p", &format!("{number:02}"))), NOW.parse().unwrap());
    let later = Query { written_from: Some("2026-11-22T10:00:01Z".parse().unwrap()), ..Query::default() };
    assert_eq!(table.all(&later).await.unwrap().len(), 0);
    assert_eq!(table.all(&Query::partition("p")).await.unwrap().len(), 25);
    table.insert(&row("p", "new")).await.unwrap();
    let counters = service.counters();
    assert_eq!((counters.requests, counters.connections), (7, 1));
    assert_eq!((counters.rows_looked_at, counters.rows_returned), (50, 25));
    assert_eq!(counters.operations, [(Operation::Insert, 1), (Operation::Query, 6)].into());
    assert_eq!(counters.bytes_received, r#"{"PartitionKey":"p","RowKey":"new","Text":"text"}"#.len() as u64);
    assert!((2_500..10_000).contains(&counters.bytes_sent), "{counters:?}");
    service.reset_counters();
    assert_eq!(service.counters(), Counters::default());
}

#[tokio::test]
async fn half_a_surrogate_pair_comes_back_as_it_was_written() {
    let (service, _) = started(Settings::default()).await;
    let body = r#"{"PartitionKey":"p","RowKey":"r","Text":"half \ud83d","N":1.5}"#;
    let headers = HeaderMap::from_iter([(axum::http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
    let request = request::Request::parse(&Method::POST, "Leads", "", &headers, body.as_bytes()).unwrap();
    let store = &mut service.service.lock().store;
    let limits = query::PageLimits { looked_at: 10, begins_empty: false };
    answer::Answer::to(request, store, limits, 0, "id").unwrap();
    let request = request::Request::parse(&Method::GET, "Leads()", "", &headers, b"").unwrap();
    let (answer, _) = answer::Answer::to(request, store, limits, 0, "id").unwrap();
    assert!(answer.body.contains(r#""Text":"half \ud83d","N":1.5"#), "{}", answer.body);
}

#[tokio::test]
async fn whoever_has_no_credentials_of_the_account_is_refused() {
    let (service, _) = started(Settings::default()).await;
    let string = service.connection_string();
    let signature = format!("{};SharedAccessSignature=sv=2019-02-02&sig=abc", string.split(';').nth(3).unwrap());
    let other = string.replace(&format!("{ACCOUNT};"), "contoso;");
    for (string, is_let_in) in [(&string, true), (&signature, true), (&other, false)] {
        let connection = ConnectionString::parse(string).unwrap();
        let table = AzureTables::new(&connection, Limits::default()).unwrap().table("Leads");
        let code = "AuthenticationFailed".to_owned();
        let wanted = if is_let_in { Ok(0) } else { Err(TableError::Refused { status: 403, code }) };
        assert_eq!(table.all(&Query::default()).await.map(|rows| rows.len()), wanted);
    }
}

#[tokio::test]
async fn an_insert_can_be_changed_and_the_header_with_the_date_can_differ_from_the_clock() {
    let settings = Settings { clock: Clock::Stopped(NOW.parse().unwrap()), ..Settings::default() };
    let (service, _) = started(settings).await;
    let connection = ConnectionString::parse(&service.connection_string()).unwrap();
    let tables = AzureTables::new(&connection, Limits::default()).unwrap();
    let table = tables.table("Leads");
    service.queue_fault(Fault::Changed { property: "Text", json: "\"other\"".to_owned() });
    table.insert(&row("p", "1")).await.unwrap();
    service.set_date_header(DateHeader::Of(Clock::Ahead(jiff::SignedDuration::from_hours(2))));
    let rows = table.all(&Query::partition("p")).await.unwrap();
    assert_eq!((rows[0].string("Text"), rows[0].timestamp), (Some("other"), NOW.parse().ok()));
    assert!(tables.clock_offset().unwrap() > jiff::SignedDuration::from_hours(1));
}
