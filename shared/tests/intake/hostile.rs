//! What an attacker would send, all the way from a request to mail, file and logs: nothing of it works, nothing of it is
//! repeated to the sender or in the logs.

#[path = "../mail/harmless.rs"]
mod harmless;

use crate::stubs::{KEY, Read, Sqs, StubQueue, at, intake, post_text};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, Uri};
use jiff::tz::TimeZone;
use marketplace_leads::columns;
use marketplace_leads::function_url::{Body, Request};
use marketplace_leads::lead::{Lead, StoredLead, column};
use marketplace_leads::mail::{Digest, DigestLead, Language, Occasion, RenderSettings, Rendered, render};
use marketplace_leads::notify::Command;
use marketplace_leads::table::azure::{AzureTables, Limits};
use marketplace_leads::table::memory::MemoryTable;
use marketplace_leads::table::{ConnectionString, Entity, Keys, Query, Table as _, Value};
use serde_json::json;
use std::io;
use std::sync::{Arc, Mutex};

/// Texts that change the meaning of what stands around them, and what of them must not stand in HTML.
const HOSTILE: [(&str, &str); 22] = [
    // HTML
    ("<script>alert(1)</script>", "<script>alert"),
    ("\"><img src=x onerror=alert(1)>", "<img"),
    ("'onmouseover='alert(1)", "'onmouseover="),
    ("</td></tr></table><style>*{display:none}</style>", "<style>*"),
    ("<!--", "<!-- "),
    ("<a href=\"javascript:alert(1)\">x</a>", "href=\"javascript"),
    ("&lt;script&gt;", "<script>"),
    ("{{71*71}}${71*71}", "5041"),
    // Headers of mails and answers
    ("x\r\nBcc: eve@evil.example", "\u{0}"),
    ("x\n\n<html>", "<html>"),
    ("=?utf-8?B?QmNjOg==?=", "\u{0}"),
    // Spreadsheets
    ("=HYPERLINK(\"http://evil.example\")", "\u{0}"),
    ("@SUM(1+1)*cmd|' /C calc'!A0", "\u{0}"),
    ("-2+3+cmd|' /C calc'!A0", "\u{0}"),
    ("\t=1+1", "\u{0}"),
    // Logs and terminals
    ("x\n{\"level\":\"ERROR\",\"message\":\"forged\"}", "\n{\"level\""),
    ("\u{1b}[2J\u{1b}]0;owned\u{7}", "\u{1b}"),
    ("\u{9b}31m", "\u{9b}"),
    // Unicode
    ("\u{202e}gpj.exe", "\u{202e}"),
    ("\u{2066}x\u{2069}\u{200b}\u{feff}", "\u{200b}"),
    ("\u{0}\u{ffff}", "\u{0}"),
    // Tables
    ("' or PartitionKey ne '", "\u{0}"),
];

/// A lead with a text in every field, and as a key.
fn lead_of(text: &str) -> String {
    json!({
        "UserDetails": {
            "FirstName": text, "LastName": text, "Email": text, "Phone": text, "Country": text, "Company": text,
            "Title": text, text: text,
        },
        "LeadSource": format!("{text}-{text}|{text}"), "ActionCode": text, "OfferTitle": text, "Description": text,
        text: { "nested": text },
    })
    .to_string()
}

fn mail(stored: StoredLead) -> Rendered {
    let digest = Digest {
        id: "digest".into(),
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads: vec![DigestLead { stored, history: Vec::new() }],
        unreadable: Vec::new(),
        quarantined: Vec::new(),
    };
    let language = Language::find("en").unwrap();
    render(&digest, &RenderSettings::new(language, TimeZone::UTC, 180))
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_hostile_text_in_any_field_does_nothing_in_answer_mail_file_and_logs() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let queue = StubQueue::start(Sqs::Works).await;
    for (text, broken) in HOSTILE {
        let table = MemoryTable::new();
        let intake = intake(table.clone(), table.clone(), &queue);
        let answer = post_text(&intake, &lead_of(text), at("2026-11-22T10:00:00Z")).await;
        assert_eq!(answer.status, 201, "{text:?}");
        assert_eq!(answer.json.as_object().unwrap().len(), 2, "{}", answer.json);
        let row = &table.rows()[0];
        assert!(row.row_key.bytes().all(|byte| byte.is_ascii_hexdigit()));
        // What was sent is kept; only what shows it makes it harmless.
        let stored = StoredLead::from_entity(row).unwrap();
        assert_eq!(stored.lead.customer.company, text);
        let mail = mail(stored);
        harmless::assert_harmless(&mail, 1);
        assert!(!mail.html.contains(broken), "{text:?} came through");
        let file = mail.csv.unwrap().content;
        let mut reader = csv::Reader::from_reader(&file[columns::BYTE_ORDER_MARK.len()..]);
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 1, "{text:?}");
        for cell in &records[0] {
            assert!(!cell.trim_start().starts_with(['=', '@', '-', '+']), "{text:?}: {cell:?} is a formula");
        }
    }
    let logs = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(logs.lines().count(), HOSTILE.len());
    for line in logs.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["fields"]["message"], "answered");
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        assert!(!["evil", "script", "forged", "cmd|", "owned", "exe"].iter().any(|text| line.contains(text)), "{line}");
    }
}

#[tokio::test]
async fn a_hostile_query_or_path_opens_nothing_and_keeps_no_lead_out() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table.clone(), &queue);
    let ask = async |path: &str, query: &str| -> Read {
        let request = Request { method: "POST", path, query, body: Body::Text(r#"{"LeadSource":"A"}"#) };
        intake.answer(&request, "request-1", at("2026-11-22T10:00:00Z")).await.into()
    };
    let long = "x".repeat(100_000);
    let many = "a=b&".repeat(20_000);
    for query in [
        "code",
        "code=%",
        "code=%zz",
        "code=%00",
        "code[]=x",
        "Code=x",
        "code=\u{202e}",
        "code=' or '1'='1",
        "code=*",
        "code=%2e%2e",
        "code=$(id)",
        "code=\r\nx: y",
        "%63%6f%64%65=x",
        &long,
        &many,
    ] {
        let answer = ask("/leads", query).await;
        assert_eq!(answer.status, 401, "{}", &query[..query.len().min(40)]);
        assert_eq!(answer.text("detail"), "The URL holds no valid key.");
    }
    // The one fixed name counts, however it is escaped and whatever is around it.
    for query in [
        format!("{many}code={KEY}"),
        format!("%63ode={KEY}"),
        format!("{long}&code={KEY}&%ff"),
        format!("&&code={KEY}&code=x"),
    ] {
        assert!([200, 201].contains(&ask("/leads", &query).await.status), "{}", &query[query.len() - 60..]);
    }
    let code = format!("code={KEY}");
    for path in
        ["/leads\0", "//leads", "/leads/..", "/%6ceads", "/leads;x", "/leads?", "\r\n/leads", "/l\u{435}ads", &long]
    {
        assert_eq!(ask(path, &code).await.status, 404, "{path:?}");
    }
    assert_eq!(table.rows().len(), 1);
}

#[tokio::test]
async fn json_ten_thousand_levels_deep_is_a_lead_or_refused_at_once_wherever_it_stands() {
    let depth = 10_000;
    let arrays = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    // As an escaped text it must fit into a body.
    let objects = format!("{}1{}", "{\"a\":".repeat(depth / 2), "}".repeat(depth / 2));
    let queue = StubQueue::start(Sqs::Works).await;
    for deep in [&arrays, &objects] {
        let text = json!(deep).to_string();
        for (body, status) in [
            (format!(r#"{{"LeadSource":"A","Extra":{deep}}}"#), 201),
            (format!(r#"{{"LeadSource":"A","UserDetails":{deep}}}"#), 201),
            (format!(r#"{{"LeadSource":{deep}}}"#), 201),
            (format!(r#"{{"LeadSource":"A","Description":{text}}}"#), 201),
            (format!(r#"{{"LeadSource":"A","UserDetails":{text}}}"#), 201),
            (format!(r#"{{"LeadSource":"A","Extra":{}"#, "[".repeat(depth)), 400),
            ("[".repeat(depth), 400),
        ] {
            let table = MemoryTable::new();
            let answer =
                post_text(&intake(table.clone(), table.clone(), &queue), &body, at("2026-11-22T10:00:00Z")).await;
            assert_eq!(answer.status, status, "{}", &body[..40]);
            if status == 201 {
                harmless::assert_harmless(&mail(StoredLead::from_entity(&table.rows()[0]).unwrap()), 1);
            }
        }
        let mut row = Entity::new("p", "r").with(column::LEAD_SOURCE, "A");
        row.set_text(column::CUSTOMER_INFO, deep);
        if let Ok(stored) = StoredLead::from_entity(&row) {
            harmless::assert_harmless(&mail(stored), 1);
        }
        assert!(serde_json::from_str::<serde_json::Value>(&format!(r#"{{"command":{deep}}}"#)).is_err());
    }
}

#[test]
fn numbers_out_of_range_are_texts_in_a_lead_and_errors_in_a_command() {
    for number in ["1e400", "-1e-400", "99999999999999999999999999", "-0", "0.1e1", "1E+9999999999"] {
        let lead =
            Lead::from_json(format!(r#"{{"LeadSource":"A","Description":{number},"Seats":{number}}}"#).as_bytes());
        let lead = lead.unwrap();
        assert_eq!((lead.description.as_str(), lead.unknown[0].json.as_str()), (number, number));
        harmless::assert_harmless(&mail(StoredLead::received(lead, at("2026-11-22T10:00:00Z"))), 1);
    }
    for last in [json!(-1), json!(0), json!(1001), json!(1.5), json!(u64::MAX), json!("5"), json!(null)] {
        assert!(Command::parse(&json!({ "command": "history", "last": last })).is_err(), "{last}");
    }
    for since in
        ["10000-01-01", "-10000-01-01T00:00:00Z", "2026-02-30", "2026-11-22T25:00:00Z", "99999999999999999999", ""]
    {
        let event = json!({ "command": "backfill", "since": since, "until": "2026-11-22" });
        assert!(Command::parse(&event).is_err(), "{since}");
    }
    // Microsoft's columns may be of any type.
    for number in [f64::NAN, f64::INFINITY, f64::MIN, f64::MIN_POSITIVE, -0.0] {
        let mut row = Entity::new("p", "r").with(column::LEAD_SOURCE, "A");
        row.set("Price", Value::Double(number));
        let stored = StoredLead::from_entity(&row).unwrap();
        let json = &stored.lead.unknown[0].json;
        assert!(serde_json::from_str::<&serde_json::value::RawValue>(json).is_ok(), "{json} is no JSON");
        harmless::assert_harmless(&mail(stored), 1);
    }
}

/// The addresses and queries of requests.
type Seen = Arc<Mutex<Vec<(Uri, String)>>>;

#[tokio::test]
async fn a_key_is_one_literal_in_every_address_and_filter() {
    let seen = Seen::default();
    let note = |State(seen): State<Seen>, RawQuery(query): RawQuery, uri: Uri| async move {
        seen.lock().unwrap().push((uri, query.unwrap_or_default()));
        (StatusCode::NOT_FOUND, "")
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(note).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let connection = format!("AccountName=a;AccountKey=a2V5;TableEndpoint=http://{address}/a");
    let connection = ConnectionString::parse(&connection).unwrap();
    let table = AzureTables::new(&connection, Limits { retries: 0, ..Limits::default() }).unwrap().table("t");
    for key in [
        "it's",
        "'",
        "''",
        "' or '' eq '",
        "x') or (PartitionKey ne 'x",
        "a,RowKey='b",
        "a&$filter=true",
        "a?b#c",
        "%27",
        "%2527",
        "..",
        "a/b",
        "\u{2019}",
        "\u{ff07}",
        "a;b=c",
        "datetime'2026-01-01'",
    ] {
        seen.lock().unwrap().clear();
        let query = Query {
            partition_key: Some(key.into()),
            row_key_from: Some(key.into()),
            row_key_before: Some(key.into()),
            ..Query::default()
        };
        let _ = table.get(&Keys::new(key, key)).await;
        let _ = table.delete(&Keys::new(key, key)).await;
        let _ = table.page(&query, None).await;
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 3, "{key:?}");
        let literal = format!("'{}'", key.replace('\'', "''"));
        for (uri, query) in &seen[..2] {
            let path = url::form_urlencoded::parse(
                format!("x={}", uri.path().replace('+', "%2B").replace('&', "%26")).as_bytes(),
            )
            .next()
            .unwrap()
            .1
            .into_owned();
            assert_eq!(path, format!("/a/t(PartitionKey={literal},RowKey={literal})"), "{key:?}");
            assert_eq!(query, "", "{key:?}");
        }
        let fields: Vec<_> = url::form_urlencoded::parse(seen[2].1.as_bytes()).into_owned().collect();
        let filter = format!("PartitionKey eq {literal} and RowKey ge {literal} and RowKey lt {literal}");
        assert_eq!(fields, [("$filter".to_owned(), filter)], "{key:?}");
    }
}
