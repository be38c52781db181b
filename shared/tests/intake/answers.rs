//! The answers to what is no ordinary lead, and to leads while something is down.

use crate::stubs::{
    HangingTable, KEY, OTHER_KEY, Read, Sqs, StubQueue, at, counted, failing_table, held, intake, known_keys,
    post_bytes, post_text,
};
use futures::FutureExt as _;
use futures::future::{join_all, pending};
use jiff::Timestamp;
use marketplace_leads::aws::{BodyQueue, QueueError};
use marketplace_leads::cue::Cued;
use marketplace_leads::function_url::{Body, Request};
use marketplace_leads::intake::{Intake, start_limit};
use marketplace_leads::intake_keys::{IntakeKeys, KnownKeys};
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::redelivery::Redelivery;
use marketplace_leads::secret::{ReadSecret, Secret};
use marketplace_leads::table::memory::{FaultKind, MemoryTable};
use marketplace_leads::table::{Table, TableError};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LEAD: &str = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace"}"#;
const MALFORMED: &str = r#"{"LeadSource":"AzureMarketplace" "OfferTitle":"Contoso"}"#;
const NOON: &str = "2026-11-22T12:00:00Z";

fn unavailable() -> TableError {
    TableError::Unavailable { reason: "refused".to_owned() }
}

/// Every way in which a table does not take a row now, and may take it later.
fn failures() -> Vec<TableError> {
    vec![
        unavailable(),
        TableError::TableNotFound,
        TableError::Throttled { code: "ServerBusy".to_owned() },
        TableError::Refused { status: 403, code: "AuthenticationFailed".to_owned() },
        // Without the service's own code, somebody in between may have answered.
        TableError::Rejected { status: 400, code: String::new() },
    ]
}

/// Ways in which a table says that it will never take a row.
fn refusals() -> Vec<TableError> {
    let rejected = |status, code: &str| TableError::Rejected { status, code: code.to_owned() };
    vec![rejected(400, "PropertyValueTooLarge"), rejected(413, "RequestBodyTooLarge")]
}

async fn ask<T: Table>(intake: &Intake<T>, method: &str, path: &str, query: &str, body: &str) -> Read {
    let request = Request { method, path, query, body: Body::Text(body) };
    intake.answer(&request, "request-1", at(NOON)).await.into()
}

#[tokio::test]
async fn either_key_opens_intake_and_nothing_else_does() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table.clone(), &queue);
    let wrong = [
        String::new(),
        "code=".to_owned(),
        "code=wrong-key.0123456789".to_owned(),
        format!("code={}", KEY.to_uppercase()),
        format!("code={KEY}x"),
        format!("code={}", &KEY[1..]),
        format!("code={KEY},{OTHER_KEY}"),
        format!("key={KEY}"),
        format!("code=wrong&code={KEY}"),
        "code=%ff%00<\"".to_owned(),
    ];
    let mut answers = Vec::new();
    for query in &wrong {
        let answer = ask(&intake, "POST", "/leads", query, LEAD).await;
        assert_eq!((answer.status, answer.header("content-type")), (401, Some("application/problem+json")), "{query}");
        answers.push(answer.json);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "no key and a wrong key get the same answer");
    assert_eq!((table.calls(), queue.bodies().len()), (0, 0));
    for (query, status) in [
        (format!("code={KEY}"), 201),
        (format!("code={OTHER_KEY}"), 200),
        (format!("utm=<\"x\">&code={}&more", KEY.replace('.', "%2E")), 200),
    ] {
        assert_eq!(ask(&intake, "POST", "/leads", &query, LEAD).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn without_a_valid_key_the_body_is_not_looked_at() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table.clone(), &queue);
    for body in ["x".repeat(65_537).as_str(), MALFORMED, ""] {
        assert_eq!(ask(&intake, "POST", "/leads", "", body).await.status, 401);
    }
    assert_eq!((table.calls(), queue.bodies().len()), (0, 0));
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table.clone(), &queue);
    let code = format!("code={KEY}");
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "PATCH"] {
        let answer = ask(&intake, method, "/leads", &code, LEAD).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
        assert_eq!(answer.text("title"), "Method Not Allowed");
    }
    for path in ["/", "", "/leads/", "/Leads", "/leads/1", "/.env"] {
        let answer = ask(&intake, "POST", path, &code, LEAD).await;
        assert_eq!((answer.status, answer.text("title")), (404, "Not Found"), "{path}");
    }
    assert_eq!((table.calls(), queue.bodies().len()), (0, 0));
}

#[tokio::test]
async fn of_the_same_lead_twice_at_once_one_is_stored() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table.clone(), &queue);
    let answers = join_all((0..8).map(|_| post_text(&intake, LEAD, at(NOON)))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    assert_eq!((table.rows().len(), table.calls()), (1, 15), "a conflict costs one request more");
}

#[tokio::test]
async fn the_same_lead_across_midnight_is_a_retry_for_an_hour_and_then_a_new_one() {
    let queue = StubQueue::start(Sqs::Works).await;
    for (first, second, status, requests) in [
        ("2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z", 200, 2),
        ("2026-11-22T23:30:00Z", "2026-11-23T00:30:00Z", 200, 2),
        ("2026-11-22T23:30:00Z", "2026-11-23T00:30:00.001Z", 201, 3),
        ("2026-11-22T23:59:59Z", "2026-11-23T01:00:00Z", 201, 2),
        ("2026-11-22T01:00:00Z", "2026-11-22T02:00:00Z", 200, 3),
        ("2026-11-22T01:00:00Z", "2026-11-22T23:59:59Z", 201, 4),
        ("2026-12-31T23:50:00Z", "2027-01-01T00:10:00Z", 200, 2),
        ("2026-11-21T23:59:59Z", "2026-11-23T00:00:00Z", 201, 3),
    ] {
        let table = MemoryTable::new();
        let intake = intake(table.clone(), table.clone(), &queue);
        assert_eq!(post_text(&intake, LEAD, at(first)).await.status, 201);
        assert_eq!(post_text(&intake, LEAD, at(second)).await.status, status, "{first} {second}");
        assert_eq!(table.calls(), requests, "{first} {second}: requests to the table");
        assert_eq!(table.rows().len(), if status == 201 { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_lead_that_the_table_does_not_take_is_queued() {
    for error in failures() {
        let queue = StubQueue::start(Sqs::Works).await;
        let intake = intake(failing_table(error.clone()), MemoryTable::new(), &queue);
        let answer = post_text(&intake, LEAD, at("2026-11-22T12:00:00.123456Z")).await;
        assert_eq!((answer.status, answer.text("status")), (202, "queued"), "{error}");
        assert_eq!(answer.text("id").len(), 32);
        let bodies = queue.bodies();
        assert_eq!(bodies.len(), 1, "{error}");
        assert_eq!(bodies[0].body, LEAD.as_bytes());
        assert_eq!(bodies[0].received, at("2026-11-22T12:00:00.123Z"));
    }
}

#[tokio::test]
async fn a_lead_that_the_table_will_never_take_is_quarantined_at_once_with_the_reason() {
    for error in refusals() {
        let TableError::Rejected { code, .. } = &error else { unreachable!() };
        let (state, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
        let answer = post_text(&intake(failing_table(error.clone()), state.clone(), &queue), LEAD, at(NOON)).await;
        assert_eq!((answer.status, answer.text("status")), (202, "quarantined"), "{error}");
        let (quarantined, cued) = held(&state);
        let [row] = &quarantined[..] else { panic!("{quarantined:?}") };
        assert_eq!((row.body.as_slice(), row.received), (LEAD.as_bytes(), Some(at(NOON))));
        assert!(row.reason.contains(code) && !row.reason.contains("contoso"), "{}", row.reason);
        assert_eq!(
            cued,
            [Cued::Quarantined { row_key: row.row_key.clone() }],
            "the notifier names it in the next mail"
        );
        assert_eq!(queue.bodies().len(), 0, "{error}");

        // Where the quarantine is closed as well, redelivery does the same later.
        let answer =
            post_text(&intake(failing_table(error.clone()), failing_table(unavailable()), &queue), LEAD, at(NOON))
                .await;
        assert_eq!((answer.status, answer.text("status")), (202, "queued"), "{error}");
        let redelivery = Redelivery {
            leads: failing_table(error),
            state: MemoryTable::new(),
            keys: known_keys(),
            chance: counted(),
        };
        redelivery.redeliver("m1", &queue.messages()[0], at("2026-11-24T12:00:00Z")).await.unwrap();
        let (later, _) = held(&redelivery.state);
        assert!(later == quarantined, "redelivery quarantines something else");
    }
}

#[tokio::test]
async fn a_lead_is_queued_where_the_lookup_of_the_day_before_fails() {
    let queue = StubQueue::start(Sqs::Works).await;
    let intake = intake(failing_table(unavailable()), MemoryTable::new(), &queue);
    assert_eq!(post_text(&intake, LEAD, at("2026-11-22T00:10:00Z")).await.status, 202);
}

#[tokio::test]
async fn an_unreadable_body_goes_to_the_queue_where_the_quarantine_is_closed() {
    for error in failures().into_iter().chain(refusals()) {
        let queue = StubQueue::start(Sqs::Works).await;
        let intake = intake(MemoryTable::new(), failing_table(error.clone()), &queue);
        let answer = post_bytes(&intake, MALFORMED.as_bytes(), at(NOON)).await;
        assert_eq!(answer.status, 400, "{error}");
        assert_eq!(queue.bodies()[0].body, MALFORMED.as_bytes());
    }
}

#[tokio::test]
async fn where_neither_table_nor_queue_takes_it_the_sender_is_asked_to_come_again_and_told_no_cause() {
    for sqs in [Sqs::Refuses, Sqs::Hangs] {
        let queue = StubQueue::start(sqs).await;
        let table = failing_table(TableError::Refused { status: 403, code: "AuthenticationFailed".to_owned() });
        let mut intake = intake(table.clone(), table, &queue);
        intake.budget = Duration::from_millis(400);
        for body in [LEAD, MALFORMED] {
            let answer = post_text(&intake, body, at(NOON)).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.text("request_id"), "request-1");
            for cause in ["table", "queue", "Authentication", "AccessDenied", "SQS", "Azure"] {
                assert!(!answer.json.to_string().contains(cause), "{}", answer.json);
            }
        }
    }
}

#[tokio::test]
async fn a_lead_is_acknowledged_only_where_the_queue_names_the_message_that_it_took() {
    for answer in ["", "{}", r#"{"MessageId":""}"#, r#"{"MD5OfMessageBody":"d41d8cd98f00b204e9800998ecf8427e"}"#] {
        let queue = StubQueue::start(Sqs::Says(answer)).await;
        let intake = intake(failing_table(unavailable()), failing_table(unavailable()), &queue);
        for body in [LEAD, MALFORMED] {
            assert_eq!(post_text(&intake, body, at(NOON)).await.status, 503, "{answer}");
        }
    }
}

#[tokio::test]
async fn what_stands_in_place_of_an_error_code_is_passed_on_only_where_it_can_be_one() {
    for (answer, expected) in [
        (r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"hidden"}"#, "QueueDoesNotExist"),
        (r#"{"__type":"AWS.SimpleQueueService.NonExistentQueue"}"#, "AWS.SimpleQueueService.NonExistentQueue"),
        (r#"{"__type":"someone@contoso.com"}"#, "HTTP 400"),
        (r#"{"code":"{\"MessageBody\":\"hidden\"}"}"#, "HTTP 400"),
        ("{}", "HTTP 400"),
    ] {
        let queue = StubQueue::start(Sqs::Fails(answer)).await;
        let body = QueuedBody::new(at(NOON), LEAD.as_bytes().to_vec());
        assert_eq!(queue.queue.send(&body).await.unwrap_err().0, expected);
    }
}

/// A queue that never answers.
struct HangingQueue;

impl BodyQueue for HangingQueue {
    async fn send(&self, _: &QueuedBody) -> Result<(), QueueError> {
        pending().await
    }
}

#[tokio::test]
async fn the_first_answer_of_an_instance_comes_within_the_budget_too_though_its_start_took_long() {
    let hanging: ReadSecret = Arc::new(|| pending().boxed());
    let budget = Duration::from_secs(2);
    for (keys, body) in [(known_keys(), LEAD), (known_keys(), MALFORMED), (KnownKeys::new(hanging), LEAD)] {
        let (leads, state, queue, chance) = (HangingTable, HangingTable, HangingQueue, counted());
        let intake = Intake { keys, leads, state, queue, chance, budget };
        let (began, query) = (tokio::time::Instant::now(), format!("code={KEY}"));
        let started = began - start_limit(budget);
        let request = Request { method: "POST", path: "/leads", query: &query, body: Body::Text(body) };
        assert_eq!(intake.answer_since(started, &request, "request-1", at(NOON)).await.status, 503);
        assert!(started.elapsed() < budget, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn the_answer_comes_within_the_budget_whatever_table_and_queue_do() {
    let budget = Duration::from_millis(500);
    for (sqs, body, status) in [
        (Sqs::Works, LEAD, 202),
        (Sqs::Hangs, LEAD, 503),
        (Sqs::Refuses, LEAD, 503),
        (Sqs::Works, MALFORMED, 400),
        (Sqs::Hangs, MALFORMED, 503),
    ] {
        let queue = StubQueue::start(sqs).await;
        let mut intake = intake(HangingTable, HangingTable, &queue);
        intake.budget = budget;
        let started = Instant::now();
        let answer = post_text(&intake, body, at(NOON)).await;
        let took = started.elapsed();
        assert_eq!(answer.status, status);
        assert!(took >= budget.mul_f64(0.55) && took < budget, "{took:?}");
    }
}

#[tokio::test]
async fn a_lead_whose_insert_was_done_but_not_confirmed_is_queued_and_not_lost() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    table.set_fault(Some(Box::new(|_| Some(FaultKind::After(unavailable())))));
    let intake = intake(table.clone(), table.clone(), &queue);
    assert_eq!(post_text(&intake, LEAD, at(NOON)).await.status, 202);
    assert_eq!((table.rows().len(), queue.bodies().len()), (1, 1));
}

#[test]
fn keys_are_one_or_two_long_enough_and_safe_in_a_url() {
    let parse = |text: &str| IntakeKeys::parse(&Secret::new(text));
    let long = "0123456789abcdef";
    for text in [long.to_owned(), format!(" {long} , {KEY} "), format!("{long},"), "A-Za-z0-9-_.~AAA".to_owned()] {
        assert!(parse(&text).is_ok(), "{text}");
    }
    for (text, part) in [
        (String::new(), "0 keys"),
        (" , ".to_owned(), "0 keys"),
        (format!("{long},{KEY},{OTHER_KEY}"), "3 keys"),
        ("0123456789abcde".to_owned(), "only 15"),
        (format!("{long},short"), "only 5"),
        (format!("{long}+/="), "other characters"),
        (format!("{long}é"), "other characters"),
        (format!("{long},{long}"), "twice"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains(long), "{text}: {error}");
    }
    assert_eq!(format!("{:?}", parse(&format!("{long},{KEY}")).unwrap()), "IntakeKeys(2)");
}

#[tokio::test]
async fn what_lambda_calls_base64_and_is_not_is_kept_as_it_stands() {
    let (table, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Works).await);
    let intake = intake(table.clone(), table.clone(), &queue);
    let query = format!("code={KEY}");
    let request = Request { method: "POST", path: "/leads", query: &query, body: Body::Base64("no base64!") };
    let answer: Read = intake.answer(&request, "request-1", Timestamp::now()).await.into();
    assert_eq!((answer.status, held(&table).0.len()), (400, 1));
}
