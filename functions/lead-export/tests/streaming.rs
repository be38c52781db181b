//! The function's own binary, between a stub of Lambda's Runtime API and a stub of the table service.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use marketplace_leads::lead::Day;
use marketplace_leads::table::Entity;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::runtime_api::{RuntimeApi, What};
use support::strict_table::{Settings, StrictTable};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// The partition of all rows of the stub.
const PARTITION: &str = "11:2F3:2F2026";

/// How many rows a page has.
const PAGE: usize = 1000;

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// How the stub of the table service behaves.
#[derive(Clone)]
struct Pages {
    count: usize,
    /// The page that is answered otherwise, and how.
    special: Option<(usize, Special)>,
}

#[derive(Clone)]
enum Special {
    /// The service refuses, which is final.
    Refused,
    /// The answer comes when the test says so.
    Held(Arc<Notify>),
}

async fn rows(
    State(pages): State<Pages>,
    Path(path): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    assert_eq!(path, "MarketplaceLeads()");
    // Of what a hop looks for, there is one partition.
    let after = query.get("$filter").and_then(|filter| filter.strip_prefix("PartitionKey gt '"));
    if after.is_some_and(|after| after.trim_end_matches('\'') >= PARTITION) {
        return page_of(Vec::new()).into_response();
    }
    let page: usize = query.get("NextRowKey").map_or(0, |page| page.parse().unwrap());
    match &pages.special {
        Some((special, Special::Refused)) if *special == page => return StatusCode::FORBIDDEN.into_response(),
        Some((special, Special::Held(until))) if *special == page => until.notified().await,
        _ => {}
    }
    let row = |number: usize| {
        let customer = json!({"FirstName": "Zoë", "LastName": "李", "Email": format!("z{number}@contoso.com"),
            "Phone": "16175555555", "Country": "US", "Company": "Contoso, Ltd.", "Title": "Head of \"IT\""});
        json!({
            "PartitionKey": PARTITION, "RowKey": format!("{number:08}"),
            "Timestamp": "2026-11-03T13:05:01.1234567Z", "ActionCode": "PLT",
            "CreatedTime": "2026-11-03T13:05:00Z", "CustomerInfo": customer.to_string(),
            "Description": "=HYPERLINK(\"http://contoso.example\")\r\nPlease call.",
            "LeadSource": "SPZA-PLT|contoso.backup", "OfferDisplayName": "Contoso Backup",
        })
    };
    let rows: Vec<_> = (page * PAGE..(page + 1) * PAGE).map(row).collect();
    let answer = page_of(rows);
    if page + 1 == pages.count {
        return answer.into_response();
    }
    let next = (page + 1).to_string();
    let continuation = [("x-ms-continuation-NextPartitionKey", "p"), ("x-ms-continuation-NextRowKey", next.as_str())];
    (continuation, answer).into_response()
}

fn page_of(rows: Vec<Value>) -> impl IntoResponse {
    let headers = [
        ("x-ms-request-id", "00000000-0000-0000-0000-000000000000"),
        ("x-ms-version", "2019-12-12"),
        ("server", "Windows-Azure-Table/1.0"),
    ];
    (headers, Json(json!({"odata.metadata": "", "value": rows})))
}

/// The function between its stubs.
struct Function {
    process: Child,
    api: RuntimeApi,
}

impl Function {
    async fn start(pages: Pages) -> Self {
        let table = Router::new().route("/account/{*path}", get(rows)).with_state(pages);
        let table = serve(table).await;
        Self::start_with(&format!("AccountName=account;AccountKey=c2VjcmV0;TableEndpoint=http://{table}/account")).await
    }

    async fn start_with(connection_string: &str) -> Self {
        let api = RuntimeApi::start("leads-lead-export").await.unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_lead-export"))
            .env_remove("LEADS_TRUST")
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "leads-lead-export")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("LEADS_STORAGE_CONNECTION_STRING", connection_string)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, api }
    }

    /// Sends `GET /leads` with this query.
    fn get(&self, query: &str) {
        let event =
            json!({"rawPath": "/leads", "rawQueryString": query, "requestContext": {"http": {"method": "GET"}}});
        self.api.hand_over("request-1", &event.to_string());
    }

    /// The next part of an answer, or its end.
    async fn part(&mut self) -> What {
        loop {
            let happening = tokio::time::timeout(Duration::from_secs(60), self.api.happening()).await.unwrap();
            match happening.unwrap().what {
                What::Asks => {}
                What::Answers(headers) => {
                    assert_eq!(headers["lambda-runtime-function-response-mode"], "streaming");
                    assert_eq!(headers["content-type"], "application/vnd.awslambda.http-integration-response");
                }
                part => return part,
            }
        }
    }

    /// The status, headers and first bytes of an answer.
    async fn head(&mut self) -> (Value, Vec<u8>) {
        let mut bytes = Vec::new();
        loop {
            match self.part().await {
                What::Sends(more) => bytes.extend(more),
                other => panic!("{other:?} before the end of the headers"),
            }
            let end = bytes.windows(8).position(|window| window == [0; 8]);
            if let Some(end) = end.filter(|end| bytes.len() > end + 8) {
                let body = bytes.split_off(end + 8);
                return (serde_json::from_slice(&bytes[..end]).unwrap(), body);
            }
        }
    }

    /// The status and headers, the body, and whether it ended well.
    async fn answer(&mut self, query: &str) -> (Value, Vec<u8>, bool) {
        self.get(query);
        let (head, mut body) = self.head().await;
        loop {
            match self.part().await {
                What::Sends(more) => body.extend(more),
                What::Ends => return (head, body, true),
                What::Breaks => return (head, body, false),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The most memory that the process had, in bytes.
    #[cfg(target_os = "linux")]
    fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id().unwrap())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        1024 * peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    async fn ended(self) -> Output {
        tokio::time::timeout(Duration::from_secs(60), self.process.wait_with_output()).await.unwrap().unwrap()
    }

    /// What it wrote into its logs until it was stopped.
    async fn logs(mut self) -> String {
        self.process.start_kill().unwrap();
        String::from_utf8(self.ended().await.stdout).unwrap()
    }
}

#[tokio::test]
async fn a_file_of_many_pages_arrives_whole_and_one_process_serves_several() {
    let mut function = Function::start(Pages { count: 3, special: None }).await;
    for _ in 0..2 {
        let (head, body, is_whole) = function.answer("since=2026-11-03&until=2026-11-04&whole-table=true").await;
        assert!(is_whole);
        assert_eq!(head["statusCode"], 200);
        assert_eq!(head["headers"]["content-type"], "text/csv; charset=utf-8");
        let disposition = "attachment; filename=\"marketplace-leads-2026-11-03-2026-11-04.csv\"";
        assert_eq!(head["headers"]["content-disposition"], disposition);
        let text = String::from_utf8(body).unwrap();
        assert!(text.starts_with("\u{feff}First Name,"));
        assert_eq!(text.matches("@contoso.com,").count(), 3 * PAGE);
        assert!(text.ends_with("\r\n"));
    }
    let logs = function.logs().await;
    let exported = logs.lines().filter(|line| line.contains("\"message\":\"exported\""));
    let exported: Vec<Value> = exported.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(exported.len(), 2);
    assert_eq!((&exported[0]["rows"], &exported[0]["span"]["request_id"]), (&json!(3000), &json!("request-1")));
    for secret in ["contoso", "Zoë", "16175555555", "c2VjcmV0"] {
        assert!(!logs.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_first_bytes_come_with_the_first_page_while_the_second_is_not_there_yet() {
    let until = Arc::new(Notify::new());
    let mut function = Function::start(Pages { count: 2, special: Some((1, Special::Held(until.clone()))) }).await;
    function.get("format=ndjson");
    let (head, mut body) = function.head().await;
    assert_eq!(head["statusCode"], 200);
    let count = |body: &[u8]| body.iter().filter(|byte| **byte == b'\n').count();
    while count(&body) < PAGE {
        match function.part().await {
            What::Sends(more) => body.extend(more),
            other => panic!("{other:?}"),
        }
    }
    assert!(tokio::time::timeout(Duration::from_millis(200), function.part()).await.is_err());
    until.notify_one();
    while count(&body) < 2 * PAGE {
        match function.part().await {
            What::Sends(more) => body.extend(more),
            other => panic!("{other:?}"),
        }
    }
    // The last line of the file may come by itself.
    let mut end = function.part().await;
    if matches!(end, What::Sends(_)) {
        end = function.part().await;
    }
    assert!(matches!(end, What::Ends));
}

#[tokio::test]
async fn a_failure_in_mid_stream_cuts_the_connection_and_the_file_never_looks_whole() {
    for format in ["csv", "ndjson", "json"] {
        let mut function = Function::start(Pages { count: 3, special: Some((1, Special::Refused)) }).await;
        let (head, body, is_whole) = function.answer(&format!("format={format}")).await;
        assert_eq!(head["statusCode"], 200);
        assert!(!is_whole, "{format}");
        let text = String::from_utf8_lossy(&body);
        assert!(!text.contains(&format!("{PAGE:08}")), "{format}: nothing of the second page");
        assert!(!text.contains("Lambda-Runtime-Function-Error"), "{format}");
        let output = function.ended().await;
        assert_eq!(output.status.code(), Some(1));
        let logs = String::from_utf8(output.stdout).unwrap();
        let line = logs.lines().find(|line| line.contains("the export broke off")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["rows"]), (&json!("ERROR"), &json!(PAGE)));
        assert_eq!(line["error"], "the table service refused the request (403 )");
        assert_eq!(line["span"]["request_id"], "request-1");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_page_is_a_status_and_the_process_goes_on() {
    let mut function = Function::start(Pages { count: 1, special: Some((0, Special::Refused)) }).await;
    let (head, body, is_whole) = function.answer("").await;
    assert!(is_whole);
    assert_eq!(head["statusCode"], 500);
    assert_eq!(head["headers"]["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&problem["request_id"], &problem["detail"]),
        (&json!("request-1"), &json!("The leads cannot be read."))
    );
    let (head, ..) = function.answer("format=xml").await;
    assert_eq!(head["statusCode"], 400);
}

#[cfg(target_os = "linux")]
const MIB: u64 = 1 << 20;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_stays_flat_however_long_the_file() {
    let mut peaks = Vec::new();
    for count in [5, 50] {
        let mut function = Function::start(Pages { count, special: None }).await;
        let (_, body, is_whole) = function.answer("").await;
        assert!(is_whole);
        assert!(body.len() > count * PAGE * 200);
        peaks.push(function.most_memory());
    }
    assert!(peaks[1] < peaks[0] + 8 * MIB, "{peaks:?}");
    assert!(peaks[1] < 40 * MIB, "{peaks:?}");
}

/// A row key as intake writes them: a hash in hexadecimal digits.
fn row_key(number: usize) -> String {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:016x}{number:048x}", mixed ^ (mixed >> 29))
}

/// A strict table service whose requests take 20 ms. It has a row for each day and number.
fn strict_table(rows: impl Iterator<Item = (Day, usize)>, further: &str) -> StrictTable {
    let table = StrictTable::start(Settings { latency: Duration::from_millis(20), ..Settings::default() }).unwrap();
    let customer = json!({"FirstName": "Zoë", "LastName": "李", "Email": "z@contoso.com", "Phone": "16175555555",
        "Country": "US", "Company": "Contoso, Ltd.", "Title": "Head of \"IT\""});
    let row = |(day, number): (Day, usize)| {
        Entity::new(day.partition_key(), row_key(number))
            .with("ActionCode", "PLT")
            .with("CreatedTime", format!("{day}T13:05:00Z"))
            .with("CustomerInfo", customer.to_string())
            .with("Description", "Please call.")
            .with("LeadSource", "SPZA-PLT|contoso.backup")
            .with("OfferDisplayName", "Contoso Backup")
            .with("Further", further)
    };
    table.fill("MarketplaceLeads", rows.map(row), "2026-11-04T00:00:00Z".parse().unwrap());
    table
}

/// The last days before November 4, 2026.
fn days(count: usize) -> Vec<Day> {
    let last = Day::of("2026-11-03T12:00:00Z".parse().unwrap());
    let mut days: Vec<_> = std::iter::successors(Some(last), |day| Some(day.before())).take(count).collect();
    days.reverse();
    days
}

/// The keys of the rows of a CSV file, in its order.
fn keys(file: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(file).unwrap();
    // No column behind the keys has a comma in it.
    let behind = text.lines().next().unwrap().split(',').rev().position(|heading| heading == "Row Key").unwrap();
    let columns = |line: &str| {
        let mut columns = line.rsplit(',').skip(behind).map(str::to_owned);
        let row_key = columns.next().unwrap();
        (columns.next().unwrap(), row_key)
    };
    text.lines().skip(1).map(columns).collect()
}

#[tokio::test]
async fn a_year_is_read_side_by_side_with_few_requests_and_little_memory() {
    let is_full = std::env::var("LEADS_TRUST").is_ok_and(|value| value == "full");
    let leads = if is_full { 200_000 } else { 2_000 };
    let days = days(365);
    let rows: Vec<_> = (0..leads).map(|number| (days[number % days.len()], number)).collect();
    let table = strict_table(rows.iter().copied(), "");
    let expected = |mut partitions: Vec<String>| {
        partitions.dedup();
        let mut by_partition: HashMap<String, Vec<String>> = HashMap::new();
        for (day, number) in &rows {
            by_partition.entry(day.partition_key()).or_default().push(row_key(*number));
        }
        let mut keys = Vec::new();
        for partition in partitions {
            let mut rows = by_partition.remove(&partition).unwrap();
            rows.sort();
            keys.extend(rows.into_iter().map(|row| (partition.clone(), row)));
        }
        keys
    };
    let by_days: Vec<_> = days.iter().map(|day| day.partition_key()).collect();
    let mut by_keys = by_days.clone();
    by_keys.sort();
    let range = format!("since={}&until=2026-11-04", days[0]);
    // Every day has less than a page, so one page after the other takes a request a day.
    let one_after_the_other = days.len() as u64;
    for (query, partitions, most_requests) in
        [("", by_keys, 2 * one_after_the_other + 13), (range.as_str(), by_days, one_after_the_other + 3)]
    {
        let mut function = Function::start_with(&table.connection_string()).await;
        table.reset_counters();
        let (head, body, is_whole) = function.answer(query).await;
        assert!(is_whole && head["statusCode"] == 200);
        assert!(keys(&body) == expected(partitions), "{query:?}: every row once, in order");
        let counters = table.counters();
        println!("{query:?}: {counters:?}, {} bytes of memory", function.most_memory());
        assert!(counters.requests <= most_requests, "{query:?}: {counters:?}");
        // With many rows a test build takes longer for a page than the network, and seldom waits for twelve of them.
        assert!(counters.most_in_flight >= if is_full { 6 } else { 12 }, "{query:?}: {counters:?}");
        assert!(counters.connections <= 32, "{query:?}: {counters:?}");
        assert!(counters.rows_returned <= leads as u64 + 365 + 13, "{query:?}: {counters:?}");
        assert!(
            counters.bytes_sent < 800 * counters.rows_returned + 300 * counters.requests,
            "{query:?}: {counters:?}"
        );
        assert!(function.most_memory() < 64_000_000, "{query:?}: {}", function.most_memory());
    }
}

#[tokio::test]
async fn a_large_day_is_read_by_ranges_of_its_row_keys() {
    let day = days(1)[0];
    let leads = 20_000;
    let table = strict_table((0..leads).map(|number| (day, number)), "");
    let mut function = Function::start_with(&table.connection_string()).await;
    let (_, body, is_whole) = function.answer("since=2026-11-03&until=2026-11-03T20:00:00Z").await;
    let mut expected: Vec<_> = (0..leads).map(|number| (day.partition_key(), row_key(number))).collect();
    expected.sort();
    assert!(is_whole && keys(&body) == expected, "every row once, in order");
    let counters = table.counters();
    println!("{counters:?}, {} bytes of memory", function.most_memory());
    assert!(counters.requests <= 40, "{counters:?}");
    assert!(counters.most_in_flight >= 6, "{counters:?}");
    assert!(counters.rows_returned <= leads as u64 + 40, "{counters:?}");
    assert!(function.most_memory() < 64_000_000, "{}", function.most_memory());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn rows_of_60_kilobytes_take_no_more_memory_than_small_ones() {
    let days = days(30);
    let rows = days.iter().flat_map(|day| (0..40).map(|number| (*day, number)));
    let table = strict_table(rows, &"x".repeat(30_000));
    for format in ["csv", "ndjson"] {
        let mut function = Function::start_with(&table.connection_string()).await;
        table.reset_counters();
        let query = format!("format={format}&since=2026-10-01&until=2026-11-04");
        let (_, body, is_whole) = function.answer(&query).await;
        assert!(is_whole && body.len() > 30 * 40 * 30_000);
        println!("{:?}, {} bytes of memory", table.counters(), function.most_memory());
        assert!(function.most_memory() < 64_000_000, "{format}: {}", function.most_memory());
    }
}

#[tokio::test]
async fn a_row_that_spoils_its_page_costs_itself_alone() {
    let day = days(1)[0];
    let table = strict_table((0..50).map(|number| (day, number)), "");
    let spoiled = format!("7{}", "0".repeat(63));
    let written = "2026-11-03T12:00:00Z".parse().unwrap();
    table.put_json("MarketplaceLeads", [&day.partition_key(), &spoiled], "\"Description\":", written);
    let mut function = Function::start_with(&table.connection_string()).await;
    let (_, body, is_whole) = function.answer("since=2026-11-03&until=2026-11-04").await;
    let text = String::from_utf8(body.clone()).unwrap();
    assert!(is_whole && keys(&body).len() == 51 && keys(&body).is_sorted());
    let line = text.lines().find(|line| line.contains("Could not be read: its values could not be read")).unwrap();
    assert!(line.contains(&spoiled));
    let (_, body, is_whole) = function.answer("format=ndjson&since=2026-11-03&until=2026-11-04").await;
    let lines: Vec<Value> =
        String::from_utf8(body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let unreadable: Vec<_> = lines.iter().filter(|line| line.get("error").is_some()).collect();
    assert!(is_whole && lines.len() == 52 && unreadable.len() == 1);
    assert_eq!((&unreadable[0]["rowKey"], &unreadable[0]["columns"]), (&json!(spoiled), &json!({})));
    assert_eq!((&lines[51]["trailer"]["rows"], &lines[51]["trailer"]["unreadable"]), (&json!(51), &json!(1)));
}
