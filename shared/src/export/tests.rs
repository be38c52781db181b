//! The export against a table in memory.

use super::*;
use crate::columns::Column;
use crate::function_url;
use crate::lead::{Customer, Lead, UnknownField, VALIDATION_DESCRIPTION};
use crate::table::memory::{FaultKind, MemoryTable};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

const NOW: &str = "2026-11-05T09:30:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A lead by HTTPS: who, when, and for what.
fn lead(first_name: &str, received: &str, lead_source: &str) -> StoredRow {
    let customer = Customer { first_name: first_name.into(), email: "a@contoso.com".into(), ..Customer::default() };
    let lead = Lead { customer, lead_source: lead_source.into(), ..Lead::default() };
    StoredRow(crate::lead::StoredLead::received(lead, time(received)))
}

struct StoredRow(crate::lead::StoredLead);

impl StoredRow {
    fn with(mut self, change: impl FnOnce(&mut Lead)) -> Self {
        change(&mut self.0.lead);
        self
    }

    fn put(self, table: &MemoryTable) {
        table.set_now(self.0.received.unwrap());
        table.put(self.0.to_entity());
    }
}

async fn ask(table: &MemoryTable, method: &str, path: &str, query: &str) -> Download {
    let request = Request { method, path, query, body: function_url::Body::Text("") };
    Export { leads: table.clone() }.answer(&request, "request-1", time(NOW)).await
}

async fn bytes(download: Download) -> Vec<u8> {
    download.body.map(|bytes| bytes.unwrap().to_vec()).concat().await
}

/// A file that is whole.
async fn file(table: &MemoryTable, query: &str) -> Vec<u8> {
    let download = ask(table, "GET", "/leads", query).await;
    assert_eq!(download.status, 200, "{query}");
    bytes(download).await
}

/// The rows of a whole file of lines, and what its last line says.
async fn lines_and_trailer(table: &MemoryTable, query: &str) -> (Vec<Value>, Value) {
    let text = String::from_utf8(file(table, &format!("format=ndjson&{query}")).await).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let trailer = lines.pop().unwrap()["trailer"].take();
    assert!(lines.iter().all(|line| line.get("trailer").is_none() && line.get("partitionKey").is_some()));
    (lines, trailer)
}

async fn lines(table: &MemoryTable, query: &str) -> Vec<Value> {
    let (lines, trailer) = lines_and_trailer(table, query).await;
    assert_eq!(trailer["rows"], lines.len());
    lines
}

/// The first names of the leads that a query finds.
async fn names(table: &MemoryTable, query: &str) -> BTreeSet<String> {
    lines(table, query).await.iter().map(|line| line["firstName"].as_str().unwrap().to_owned()).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Where a column stands in a row of a CSV file.
fn place(column: Column) -> usize {
    Column::ALL.into_iter().position(|other| other == column).unwrap()
}

/// What Python's `csv` reads in a file.
fn python_csv(file: &[u8]) -> Vec<Vec<String>> {
    let read = "import csv,io,json,sys\n\
                file=io.TextIOWrapper(sys.stdin.buffer,encoding='utf-8-sig',newline='')\n\
                print(json.dumps(list(csv.reader(file,strict=True))))";
    let mut python = Command::new("python3");
    let python = python.args(["-c", read]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(file).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Leads of all kinds, on several days, under several keys.
fn mixed() -> MemoryTable {
    let table = MemoryTable::new();
    for number in 0..40 {
        let day = 1 + number % 4;
        lead(&format!("n{number}"), &format!("2026-11-0{day}T12:00:00Z"), "SPZA-PLT|a.b").put(&table);
    }
    table.put(Entity::new("elsewhere", "1").with("LeadSource", "SPZA-INS|a.b").with("Extra", 7));
    table.put(Entity::new("11:2F2:2F2026", "broken").with("CustomerInfo", "{"));
    table
}

#[tokio::test]
async fn a_table_of_many_pages_gives_the_same_bytes_as_one_of_one() {
    for format in ["csv", "ndjson", "json"] {
        for range in ["", "&since=2026-11-02", "&until=2026-11-03", "&offer=nothing"] {
            let query = format!("format={format}{range}");
            let whole = file(&mixed(), &query).await;
            for rows in [1, 3, 41, 42] {
                assert!(file(&mixed().with_page_size(rows), &query).await == whole, "{query}, {rows} a page");
            }
        }
    }
}

#[tokio::test]
async fn a_spreadsheet_gets_every_text_whole_and_calculates_none() {
    let table = MemoryTable::new();
    let texts = [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("-2+3|cmd", "'-2+3|cmd"),
        ("＝1", "'＝1"),
        ("李小龍, \"Bruce\"", "李小龍, \"Bruce\""),
        ("Zoë Ångström\r\nsecond line\nthird", "Zoë Ångström\r\nsecond line\nthird"),
        ("a;b,c\td", "a;b,c\td"),
        ("👩‍🔬 שלום", "👩‍🔬 שלום"),
        ("\u{202e}evil", "[U+202E]evil"),
    ];
    for (number, (text, _)) in texts.iter().enumerate() {
        let received = format!("2026-11-03T12:00:{number:02}Z");
        let lead = lead(text, &received, "SPZA-PLT|a.b").with(|lead| lead.description = (*text).into());
        let lead = lead.with(|lead| lead.customer.phone = "+1 617 555".into());
        lead.put(&table);
    }
    let rows = python_csv(&file(&table, "").await);
    let headings: Vec<_> = crate::columns::Column::ALL.map(|column| column.heading().to_owned()).into();
    assert_eq!(rows[0], headings);
    assert_eq!(rows.len(), 1 + texts.len());
    assert!(rows.iter().all(|row| row.len() == headings.len()));
    let read: BTreeSet<_> = rows[1..].iter().map(|row| (row[0].as_str(), row[14].as_str(), row[3].as_str())).collect();
    assert_eq!(read, texts.map(|(_, written)| (written, written, "+1 617 555")).into());
}

#[tokio::test]
async fn a_preset_changes_the_headings_and_nothing_else() {
    let table = mixed();
    let own = python_csv(&file(&table, "").await);
    for (preset, phone) in [("hubspot", "Phone Number"), ("salesforce", "Phone"), ("dynamics365", "Business Phone")] {
        let rows = python_csv(&file(&table, &format!("preset={preset}&format=csv")).await);
        assert_eq!(rows[0][3], phone);
        assert_ne!(rows[0], own[0]);
        assert_eq!(rows[1..], own[1..]);
    }
}

#[tokio::test]
async fn ndjson_carries_every_column_in_its_type_and_texts_as_they_are() {
    let table = MemoryTable::new();
    table.set_now(time("2026-11-03T13:05:01.5Z"));
    let info = r#"{"FirstName":"=Ada\u202e","Email":"ada@contoso.com","Fax":"1"}"#;
    table.put(
        Entity::new("11:2F3:2F2026", "r'1")
            .with("CustomerInfo", info)
            .with("LeadSource", "SPZA-DNC|a.b")
            .with("CreatedTime", crate::table::Value::DateTime("2026-11-03T13:05:00.1234567Z".into()))
            .with("Count", crate::table::Value::Int32(7))
            .with("Big", i64::MAX)
            .with("Share", crate::table::Value::Double(0.5))
            .with("Nothing", crate::table::Value::Double(f64::NAN))
            .with("Flag", true)
            .with("Bytes", vec![0, 255]),
    );
    assert_eq!(
        lines(&table, "").await,
        [json!({
            "firstName": "=Ada\u{202e}", "lastName": "", "email": "ada@contoso.com", "phone": "", "company": "",
            "jobTitle": "", "country": "", "offer": "a.b", "offerId": "a.b", "action": "Listed for information only",
            "actionCode": "DNC", "marketplace": "AppSource", "leadSource": "SPZA-DNC|a.b",
            "leadTime": "2026-11-03T13:05:00Z", "description": "", "doNotContact": true, "testLead": false,
            "partitionKey": "11:2F3:2F2026", "rowKey": "r'1", "tableTime": "2026-11-03T13:05:01.5Z",
            "sameRequestTime": "", "columns": {
                "CustomerInfo": info, "LeadSource": "SPZA-DNC|a.b", "CreatedTime": "2026-11-03T13:05:00.1234567Z",
                "Count": 7, "Big": i64::MAX, "Share": 0.5, "Nothing": "NaN", "Flag": true, "Bytes": "AP8="
            }
        })]
    );
}

#[tokio::test]
async fn a_created_time_that_cannot_be_read_is_in_the_file_as_it_came() {
    for (created, expected) in [
        ("11/15/2025 20:02:52", "2025-11-15T20:02:52Z"),
        ("13/11/2025 20:02:52", "13/11/2025 20:02:52"),
        ("01/01/0001 00:00:00", ""),
        ("", "2026-11-03T12:00:00Z"),
    ] {
        let table = MemoryTable::new();
        table.set_now(time("2026-11-03T12:00:00Z"));
        table.put(Entity::new("11:2F3:2F2026", "1").with("LeadSource", "SPZA-PLT|a.b").with("CreatedTime", created));
        assert_eq!(python_csv(&file(&table, "").await)[1][13], expected, "{created}");
        assert_eq!(lines(&table, "").await[0]["leadTime"], expected, "{created}");
    }
}

#[tokio::test]
async fn json_is_one_array_of_the_same_rows() {
    for table in [MemoryTable::new(), mixed(), mixed().with_page_size(1)] {
        let array: Vec<Value> = serde_json::from_slice(&file(&table, "format=json").await).unwrap();
        assert_eq!(array, lines(&table, "").await);
    }
}

#[tokio::test]
async fn a_row_that_is_no_lead_is_in_every_file_with_the_reason() {
    let table = MemoryTable::new();
    table.set_now(time("2026-11-03T12:00:00Z"));
    table.put(Entity::new("11:2F3:2F2026", "1").with("CustomerInfo", "{\"a").with("Extra", 7));
    for query in ["", "since=2026-11-03", "until=2026-11-04", "offer=a.b&action=PLT"] {
        let rows = python_csv(&file(&table, query).await);
        assert_eq!(rows[1][14], "Could not be read: its CustomerInfo is not a JSON object", "{query}");
        assert_eq!(rows[1][17], r#"{"CustomerInfo":"{\"a","Extra":7}"#);
        assert_eq!(rows[1][18..20], ["11:2F3:2F2026", "1"]);
        assert_eq!(
            lines(&table, query).await,
            [json!({
                "error": "its CustomerInfo is not a JSON object", "partitionKey": "11:2F3:2F2026", "rowKey": "1",
                "tableTime": "2026-11-03T12:00:00Z", "columns": {"CustomerInfo": "{\"a", "Extra": 7}
            })]
        );
    }
    assert!(lines(&table, "since=2026-11-04").await.is_empty());
}

#[tokio::test]
async fn filters_leave_what_is_asked_for() {
    let table = MemoryTable::new();
    lead("a", "2026-11-01T00:00:00Z", "SPZA-PLT|contoso.backup").put(&table);
    lead("b", "2026-11-02T23:59:59Z", "SPZA-INS|contoso.vm")
        .with(|lead| lead.offer_title = "Contoso VM".into())
        .put(&table);
    lead("c", "2026-11-03T00:00:00Z", "AzurePortal-Create|contoso.vm").put(&table);
    lead("d", "2026-11-04T12:00:00Z", "SPZA-INS|other").with(|lead| lead.action_code = "New".into()).put(&table);
    lead("MSFT_TEST_1", "2026-11-03T12:00:00Z", "SPZA-INS|contoso.vm").put(&table);
    lead("MSFT_TEST_2", "2026-11-03T12:00:00Z", "SPZA-INS|contoso.vm")
        .with(|lead| lead.description = VALIDATION_DESCRIPTION.into())
        .put(&table);
    for (query, expected) in [
        ("", set(["a", "b", "c", "d"])),
        ("include-tests=false", set(["a", "b", "c", "d"])),
        ("include-tests=true", set(["a", "b", "c", "d", "MSFT_TEST_1"])),
        ("since=2026-11-02", set(["b", "c", "d"])),
        ("since=2026-11-01&until=2026-11-03", set(["a", "b"])),
        ("until=2026-11-03T00:00:00Z", set(["a", "b"])),
        ("until=2026-11-03T01:00:01%2B01:00", set(["a", "b", "c"])),
        ("since=2026-11-04T12:00:00Z", set(["d"])),
        ("since=2026-11-04T12:00:01Z", set([])),
        ("since=2027-01-01", set([])),
        ("offer=CONTOSO.VM", set(["b", "c"])),
        ("offer=contoso+vm", set(["b"])),
        ("offer=contoso.backup&offer=other", set(["a", "d"])),
        ("action=plt&action=create", set(["a", "c"])),
        ("action=new", set(["d"])),
        ("action=INS&offer=contoso.vm&since=2026-11-02", set(["b"])),
    ] {
        assert_eq!(names(&table, query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_range_reads_only_the_partitions_that_can_hold_it_unless_told_otherwise() {
    let table = MemoryTable::new();
    for day in 1..=28 {
        lead(&format!("n{day}"), &format!("2026-10-{day:02}T12:00:00Z"), "SPZA").put(&table);
    }
    table.set_now(time("2026-10-10T12:00:00Z"));
    table.put(Entity::new("elsewhere", "1").with("CustomerInfo", r#"{"FirstName":"other key"}"#));
    let range = "since=2026-10-10&until=2026-10-11";
    let before = table.rows_read();
    assert_eq!(names(&table, range).await, set(["n10"]));
    assert_eq!(table.rows_read() - before, 4, "the days from the 9th to the 12th");
    for query in
        [format!("{range}&whole-table=true"), "since=2025-10-01&until=2026-10-11".into(), "until=2026-10-11".into()]
    {
        let found = names(&table, &query).await;
        assert!(found.is_superset(&set(["n10", "other key"])), "{query}");
    }
}

#[tokio::test]
async fn a_wrong_request_gets_a_problem_that_names_what_is_right() {
    let times = "a time like 2026-11-03T14:00:00Z, or a day like 2026-11-03";
    for (query, said) in [
        ("format=xml", "format is not valid; valid: csv, ndjson, json."),
        ("format=", "format is not valid"),
        ("format=csv&format=json", "format is there more than once."),
        ("preset=sap", "preset is not valid; valid: hubspot, salesforce, dynamics365."),
        ("preset=hubspot&format=json", "preset goes with format=csv alone."),
        ("since=yesterday", &format!("since is not valid; valid: {times}.")),
        ("until=2026-13-01", &format!("until is not valid; valid: {times}.")),
        ("since=2026-11-03T14:00:00+01:00", "since is not valid"),
        ("since=2026-11-03&until=2026-11-03", "since is not before until."),
        ("include-tests=yes", "include-tests is not valid; valid: true, false."),
        ("whole-table", "whole-table is not valid; valid: true, false."),
        ("after=11:2F3:2F2026", "after is not valid; valid: the keys of a row with a slash between them"),
        ("after=a/b/c", "after is not valid"),
        ("since=2026-11-03&after=11:2F3:2F2026/1", "after goes with until where there is since"),
        (
            "since=2026-11-03&until=2026-11-04&after=11:2F6:2F2026/1",
            "after names a partition that is not of the range from since to until.",
        ),
        ("offer=", "offer is empty; valid: an offer's title or id."),
        ("action=+", "action is empty; valid: an action code, such as INS, PLT, DNC, Create, StartTestDrive."),
        (
            "Format=csv",
            "There are parameters that are not known; the known ones: format, since, until, offer, action, \
             include-tests, preset, whole-table, after.",
        ),
        ("format=xml&include-tests=1", "format is not valid; valid: csv, ndjson, json. include-tests is not valid"),
    ] {
        let table = mixed();
        let download = ask(&table, "GET", "/leads", query).await;
        assert_eq!(download.status, 400, "{query}");
        assert!(download.headers.contains(&("content-type", "application/problem+json".into())));
        let problem: Value = serde_json::from_slice(&bytes(download).await).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(said), "{query}: {detail}");
        assert_eq!((&problem["status"], &problem["request_id"]), (&json!(400), &json!("request-1")));
        assert_eq!(table.calls(), 0);
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    for method in ["POST", "HEAD", "DELETE", "get", ""] {
        let download = ask(&mixed(), method, "/leads", "").await;
        assert_eq!(download.status, 405);
        assert!(download.headers.contains(&("allow", "GET".into())));
    }
    for path in ["/", "", "/leads/", "/Leads", "/leads/1"] {
        assert_eq!(ask(&mixed(), "GET", path, "").await.status, 404);
    }
}

#[tokio::test]
async fn a_file_has_a_name_that_tells_its_range() {
    for (query, name) in [
        ("", "marketplace-leads-2026-11-05.csv"),
        ("format=ndjson&until=2026-11-03", "marketplace-leads-2026-11-03.ndjson"),
        ("format=json&since=2026-11-01", "marketplace-leads-2026-11-01-2026-11-05.json"),
        ("since=2026-11-01&until=2026-11-02", "marketplace-leads-2026-11-01-2026-11-02.csv"),
        ("since=2026-11-01T10:30:00%2B02:00&until=2026-11-02", "marketplace-leads-2026-11-01T083000Z-2026-11-02.csv"),
    ] {
        let headers = ask(&MemoryTable::new(), "GET", "/leads", query).await.headers;
        let disposition = headers.iter().find(|(header, _)| *header == "content-disposition").unwrap();
        assert_eq!(disposition.1, format!("attachment; filename=\"{name}\""));
        assert!(headers.contains(&("cache-control", "no-store".into())));
    }
}

#[tokio::test]
async fn a_failure_of_any_page_but_the_first_breaks_the_body_off() {
    let pages = 5;
    for format in ["csv", "ndjson", "json"] {
        let query = format!("format={format}&since=2026-11-03&until=2026-11-03T20:00:00Z");
        let table = || {
            let table = MemoryTable::new().with_page_size(2);
            for number in 0..2 * pages {
                lead(&format!("n{number}"), &format!("2026-11-03T12:00:{number:02}Z"), "SPZA").put(&table);
            }
            table
        };
        let counted = table();
        let whole = file(&counted, &query).await;
        let mut broken = 0;
        for failing in 0..counted.calls() {
            let table = table();
            let error = TableError::Refused { status: 403, code: "AuthorizationFailure".into() };
            let fault = error.clone();
            table.set_fault(Some(Box::new(move |call| (call == failing).then(|| FaultKind::Before(fault.clone())))));
            let download = ask(&table, "GET", "/leads", &query).await;
            if download.status != 200 {
                assert!(failing < 2, "{failing}: the day before has no rows, and the day itself has the first page");
                continue;
            }
            let chunks: Vec<_> = download.body.collect().await;
            let (last, given) = chunks.split_last().unwrap();
            assert!(matches!(last, Err(BrokenOff::Table(seen)) if *seen == error));
            let given = given.iter().map(|chunk| chunk.as_ref().unwrap().to_vec()).collect::<Vec<_>>().concat();
            assert!(!given.is_empty() && given.len() < whole.len() || format == "csv", "{format}, {failing}");
            assert!(whole.starts_with(&given), "{format}, {failing}: what was given is the beginning of the file");
            broken += 1;
        }
        assert!(broken >= pages, "{broken}");
    }
}

#[tokio::test]
async fn a_reader_that_panics_breaks_the_body_off_too() {
    let table = mixed().with_page_size(10);
    // The days from the 31st on are read at the same time, each with one page.
    table.set_fault(Some(Box::new(|call| (call == 3).then(|| panic!("of the test")))));
    let query = "since=2026-11-01&until=2026-11-05";
    let chunks: Vec<_> = ask(&table, "GET", "/leads", query).await.body.collect().await;
    assert_eq!(chunks.len(), 4, "the three pages of two days come before the day that panics");
    assert!(chunks[..3].iter().all(Result::is_ok));
    assert!(matches!(chunks.last(), Some(Err(BrokenOff::Reader))));
}

#[tokio::test]
async fn a_failure_of_the_first_page_is_a_status_that_tells_no_cause() {
    for (error, status) in [
        (TableError::Throttled { code: "ServerBusy".into() }, 503),
        (TableError::Unavailable { reason: "no answer in time".into() }, 503),
        (TableError::Refused { status: 403, code: "AuthorizationFailure".into() }, 500),
        (TableError::TableNotFound, 500),
    ] {
        let table = mixed();
        let fault = error.clone();
        table.set_fault(Some(Box::new(move |_| Some(FaultKind::Before(fault.clone())))));
        let download = ask(&table, "GET", "/leads", "").await;
        assert_eq!(download.status, status);
        assert_eq!(download.headers.contains(&("retry-after", "60".into())), status == 503);
        let problem = String::from_utf8(bytes(download).await).unwrap();
        assert!(problem.contains("\"request_id\":\"request-1\""));
        assert!(!problem.contains(&error.to_string()));
    }
}

#[tokio::test]
async fn what_is_read_ahead_of_a_slow_reader_is_bounded_by_its_bytes() {
    const ROW: usize = 60_000;
    let table = MemoryTable::new();
    for day in 1..=30 {
        table.set_now(time(&format!("2026-10-{day:02}T12:00:00Z")));
        for number in 0..40 {
            let row = Entity::new(format!("10:2F{day}:2F2026"), format!("{number:08}")).with("LeadSource", "SPZA");
            table.put(
                row.with("CustomerInfo", "{}").with("Extra", "x".repeat(ROW / 2)).with("More", "y".repeat(ROW / 2)),
            );
        }
    }
    let mut body = ask(&table, "GET", "/leads", "since=2026-10-01&until=2026-10-31").await.body;
    let mut written = 0;
    for _ in 0..4 {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let ahead = (table.rows_read() - written) * ROW;
        assert!(ahead > 8 << 20, "{ahead}: pages are read ahead");
        assert!(ahead < 28 << 20, "{ahead}");
        let bytes = body.next().await.unwrap().unwrap();
        written += String::from_utf8(bytes.to_vec()).unwrap().matches(",10:2F").count();
    }
}

/// A clock that goes on, from one event to the next, when there is nothing else to do.
#[derive(Clone, Default)]
struct VirtualClock(Arc<Mutex<Events>>);

#[derive(Default)]
struct Events {
    /// In milliseconds.
    now: u64,
    count: u64,
    waiting: BTreeMap<(u64, u64), oneshot::Sender<()>>,
}

impl VirtualClock {
    /// A clock that goes as long as the test does.
    fn start() -> Self {
        let clock = Self::default();
        let events = clock.0.clone();
        tokio::spawn(async move {
            loop {
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                let mut events = events.lock().unwrap();
                if let Some(((at, _), sender)) = events.waiting.pop_first() {
                    events.now = at;
                    let _ = sender.send(());
                }
            }
        });
        clock
    }

    fn now(&self) -> u64 {
        self.0.lock().unwrap().now
    }

    async fn sleep(&self, milliseconds: u64) {
        let (sender, receiver) = oneshot::channel();
        {
            let mut events = self.0.lock().unwrap();
            events.count += 1;
            let place = (events.now + milliseconds, events.count);
            events.waiting.insert(place, sender);
        }
        receiver.await.unwrap();
    }
}

/// A table behind a network. Each request takes a while, by the clock of the test.
#[derive(Clone)]
struct Network {
    table: MemoryTable,
    clock: VirtualClock,
    /// The rows with which a page cannot be read, unless it is asked for their keys alone.
    spoiled: Arc<BTreeSet<String>>,
}

/// How long a request takes, in milliseconds.
const LATENCY: u64 = 20;

impl Network {
    fn to(table: MemoryTable) -> Self {
        Self { table, clock: VirtualClock::start(), spoiled: Arc::default() }
    }
}

impl Table for Network {
    async fn page(
        &self,
        query: &crate::table::Query,
        from: Option<&crate::table::Continuation>,
    ) -> Result<crate::table::Page, TableError> {
        self.clock.sleep(LATENCY).await;
        let page = self.table.page(query, from).await?;
        if query.select.is_empty() && page.entities.iter().any(|row| self.spoiled.contains(&row.row_key)) {
            return Err(TableError::Unavailable { reason: crate::table::UNREADABLE_ANSWER.to_owned() });
        }
        Ok(page)
    }

    async fn insert(&self, _: &Entity) -> Result<(), TableError> {
        unreachable!("an export writes nothing")
    }

    async fn get(&self, _: &crate::table::Keys) -> Result<Entity, TableError> {
        unreachable!("an export reads pages")
    }

    async fn submit(
        &self,
        _: &str,
        _: &[crate::table::Operation],
    ) -> Result<Vec<Option<crate::table::ETag>>, TableError> {
        unreachable!("an export writes nothing")
    }

    async fn delete(&self, _: &crate::table::Keys) -> Result<(), TableError> {
        unreachable!("an export writes nothing")
    }

    async fn create(&self) -> Result<(), TableError> {
        unreachable!("an export writes nothing")
    }
}

/// A whole file of what is behind a network.
async fn file_from(table: &Network, query: &str) -> Vec<u8> {
    let request = Request { method: "GET", path: "/leads", query, body: function_url::Body::Text("") };
    let download = Export { leads: table.clone() }.answer(&request, "request-1", time(NOW)).await;
    assert_eq!(download.status, 200, "{query}");
    bytes(download).await
}

/// Leads on each of the 365 days before now.
fn year(leads_a_day: usize, note: &str) -> MemoryTable {
    let table = MemoryTable::new();
    for day in 0..365 {
        for number in 0..leads_a_day {
            let received = time(NOW) - jiff::SignedDuration::from_hours(24 * day);
            let lead = lead(&format!("n{day}-{number}"), &received.to_string(), "SPZA");
            lead.with(|lead| lead.description = note.to_owned()).put(&table);
        }
    }
    table
}

#[tokio::test]
async fn a_year_over_a_slow_network_takes_a_sixth_of_the_time_of_one_page_after_the_other() {
    // So large that the whole year does not fit into the memory that pages may take.
    let table = Network::to(year(5, &"note ".repeat(6_000)));
    let rows = table.all(&crate::table::Query::default()).await.unwrap().len();
    let one_after_the_other = table.clock.now();
    assert_eq!((rows, one_after_the_other), (1825, 365 * LATENCY));
    for (query, most_requests) in [("", 2 * 365 + 13), ("since=2025-11-05&until=2026-11-05T23:00:00Z", 368)] {
        let (started, before) = (table.clock.now(), table.table.calls());
        let file = python_csv(&file_from(&table, query).await);
        let took = table.clock.now() - started;
        assert_eq!(file.len(), 1 + rows, "{query:?}");
        assert!(6 * took <= one_after_the_other, "{query:?}: {took} ms");
        let requests = table.table.calls() - before;
        assert!(requests <= most_requests, "{query:?}: {requests}");
    }
}

#[tokio::test]
async fn a_large_day_is_read_by_ranges_of_its_row_keys_in_their_order() {
    let memory = MemoryTable::new().with_page_size(100);
    for number in 0..5_000 {
        lead(&format!("n{number}"), "2026-11-03T12:00:00Z", "SPZA").put(&memory);
    }
    let keys: Vec<_> = memory.rows().into_iter().map(|row| row.row_key).collect();
    let table = Network::to(memory);
    let rows = python_csv(&file_from(&table, "since=2026-11-03&until=2026-11-03T20:00:00Z").await);
    let took = table.clock.now();
    let written: Vec<_> = rows[1..].iter().map(|row| row[place(Column::RowKey)].clone()).collect();
    assert!(written == keys, "every row once, in order");
    assert!(6 * took <= 50 * LATENCY, "{took} ms, and 50 pages one after the other take 1,000");
    assert!(table.table.calls() <= 80, "{}", table.table.calls());
}

#[tokio::test]
async fn a_row_that_makes_its_page_unreadable_costs_itself_alone() {
    for spoiled in [vec![0], vec![999], vec![500], vec![3, 4, 5, 700]] {
        let memory = MemoryTable::new();
        for number in 0..1_000 {
            lead(&format!("n{number}"), "2026-11-03T12:00:00Z", "SPZA").put(&memory);
        }
        let keys: Vec<_> = memory.rows().into_iter().map(|row| row.row_key).collect();
        let spoiled: BTreeSet<_> = spoiled.into_iter().map(|position: usize| keys[position].clone()).collect();
        let count = spoiled.len();
        let table = Network { spoiled: spoiled.clone().into(), ..Network::to(memory) };
        let rows = python_csv(&file_from(&table, "since=2026-11-03&until=2026-11-03T20:00:00Z").await);
        let (description, row_key) = (place(Column::Description), place(Column::RowKey));
        assert_eq!(rows[1..].iter().map(|row| row[row_key].clone()).collect::<Vec<_>>(), keys);
        let unreadable = rows.iter().filter(|row| row[description].starts_with("Could not be read"));
        assert_eq!(unreadable.map(|row| row[row_key].clone()).collect::<BTreeSet<_>>(), spoiled);
        assert!(table.table.calls() <= 3 + 40 * count, "{} requests for {count} rows", table.table.calls());

        let file = file_from(&table, "format=ndjson&since=2026-11-03&until=2026-11-03T20:00:00Z").await;
        let lines = String::from_utf8(file).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let unreadable: Vec<_> = lines.iter().filter(|line| line.get("error").is_some()).collect();
        assert_eq!(unreadable.len(), count);
        assert!(unreadable.iter().all(|line| line["error"] == "its values could not be read"));
        assert_eq!(lines.last().unwrap()["trailer"]["unreadable"], count);
    }
}

#[tokio::test]
async fn an_export_goes_on_behind_any_row_with_all_that_follows_and_nothing_else() {
    let escape = |line: &Value| {
        let keys = format!("{}/{}", line["partitionKey"].as_str().unwrap(), line["rowKey"].as_str().unwrap());
        url::form_urlencoded::byte_serialize(keys.as_bytes()).collect::<String>()
    };
    for page_size in [1, 3, 1_000] {
        let table = mixed().with_page_size(page_size);
        for range in [
            "",
            "since=2026-11-02&until=2026-11-04T10:00:00Z",
            "since=2026-11-02&until=2026-11-04&whole-table=true",
            "action=PLT",
        ] {
            let (whole, trailer) = lines_and_trailer(&table, range).await;
            assert!(whole.len() > 10);
            for (position, line) in whole.iter().enumerate() {
                let query = format!("{range}&after={}", escape(line));
                let (rest, same) = lines_and_trailer(&table, &query).await;
                assert_eq!(rest, whole[position + 1..], "{query}, {page_size} a page");
                assert_eq!(same["after"], trailer["after"], "{query}");
            }
            let after = trailer["after"].as_str().unwrap();
            let after: String = url::form_urlencoded::byte_serialize(after.as_bytes()).collect();
            assert_eq!(
                lines_and_trailer(&table, &format!("{range}&after={after}")).await,
                (Vec::new(), json!({"rows": 0, "unreadable": 0, "after": trailer["after"]}))
            );
        }
        let csv = |query: String| async move { python_csv(&file(&mixed(), &query).await) };
        let whole = csv(String::new()).await;
        let keys = format!("{}/{}", whole[5][place(Column::PartitionKey)], whole[5][place(Column::RowKey)]);
        assert_eq!(csv(format!("after={keys}")).await[1..], whole[6..]);
    }
}

#[tokio::test]
async fn the_last_line_of_a_whole_file_of_lines_is_no_row_and_a_broken_file_has_none() {
    let (lines, trailer) = lines_and_trailer(&mixed(), "").await;
    assert_eq!((lines.len(), &trailer), (42, &json!({"rows": 42, "unreadable": 1, "after": "elsewhere/1"})));
    let (_, trailer) = lines_and_trailer(&MemoryTable::new(), "").await;
    assert_eq!(trailer, json!({"rows": 0, "unreadable": 0, "after": null}));
    let table = mixed();
    table.set_fault(Some(Box::new(|call| {
        (call == 4).then(|| FaultKind::Before(TableError::Refused { status: 403, code: String::new() }))
    })));
    let query = "format=ndjson&since=2026-11-01&until=2026-11-05";
    let chunks: Vec<_> = ask(&table, "GET", "/leads", query).await.body.collect().await;
    let given =
        chunks.iter().filter_map(|chunk| chunk.as_ref().ok()).map(|chunk| String::from_utf8(chunk.to_vec()).unwrap());
    assert!(chunks.last().unwrap().is_err() && !given.collect::<String>().contains("trailer"));
}

#[tokio::test]
async fn every_field_of_a_lead_that_has_no_column_is_in_the_file() {
    let table = MemoryTable::new();
    let field = |name: &str| UnknownField { name: name.into(), json: "\"=x\"".into() };
    lead("a", "2026-11-03T12:00:00Z", "SPZA").with(|lead| lead.unknown = vec![field("One"), field("One")]).put(&table);
    let rows = python_csv(&file(&table, "").await);
    assert_eq!(rows[1][17], r#"{"One":"=x","One":"=x"}"#);
    assert_eq!(lines(&table, "").await[0]["columns"]["UnknownFields"], r#"{"One":"=x","One":"=x"}"#);
}
