//! The same body again: a retry of its sender is one row with the lead, and the same request again is a lead of its own,
//! in a row, in the mail and in the export.

use crate::stubs::{Read, Sqs, StubQueue, at, counted, held, intake, known_keys, post_text};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::columns::{self, Column};
use marketplace_leads::lead::{RETRY_WINDOW, RETRY_WINDOW_WITHOUT_PERSON, StoredLead};
use marketplace_leads::mail::{Digest, DigestLead, Language, Occasion, RenderSettings, render, render_reduced};
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::redelivery::Redelivery;
use marketplace_leads::table::memory::{FaultKind, MemoryTable};
use marketplace_leads::table::{Entity, TableError};

/// A lead that names a person.
const NAMED: &str = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace-INS|a.b"}"#;

/// A lead that names nobody: what two customers send whose details are withheld.
const NAMELESS: &str = r#"{"UserDetails":{"FirstName":"","Phone":" ","Country":"US"},"LeadSource":"AzureMarketplace-INS|a.b","ActionCode":"INS"}"#;

const WINDOWS: [(&str, SignedDuration); 2] = [(NAMED, RETRY_WINDOW), (NAMELESS, RETRY_WINDOW_WITHOUT_PERSON)];

const MORNING: &str = "2026-11-22T08:00:00Z";

fn message(received: Timestamp, body: &str) -> String {
    QueuedBody::new(received, body.as_bytes().to_vec()).to_json()
}

async fn redeliver(leads: &MemoryTable, received: Timestamp, body: &str, now: Timestamp) {
    let redelivery =
        Redelivery { leads: leads.clone(), state: MemoryTable::new(), keys: known_keys(), chance: counted() };
    redelivery.redeliver("m1", &message(received, body), now).await.unwrap();
}

/// POSTs a body to an intake that has this table.
async fn post(leads: &MemoryTable, queue: &StubQueue, body: &str, now: Timestamp) -> Read {
    post_text(&intake(leads.clone(), MemoryTable::new(), queue), body, now).await
}

/// What the rows say: when each lead was received, and when the same request came, too.
fn times(leads: &MemoryTable) -> Vec<(String, Option<String>)> {
    let rows = leads.rows();
    let read = |row: &Entity| {
        let lead = StoredLead::from_entity(row).unwrap();
        (lead.received.unwrap().to_string(), lead.same_request.map(|time| time.to_string()))
    };
    rows.iter().map(read).collect()
}

#[tokio::test]
async fn two_customers_whose_details_are_withheld_are_two_rows_and_two_leads_in_the_mail_and_in_the_export() {
    let (leads, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Refuses).await);
    let first = post(&leads, &queue, NAMELESS, at(MORNING)).await;
    let second = post(&leads, &queue, NAMELESS, at("2026-11-22T14:00:00Z")).await;
    assert_eq!((first.status, second.status), (201, 201));
    let retry = post(&leads, &queue, NAMELESS, at("2026-11-22T14:00:05Z")).await;
    assert_eq!((retry.status, retry.text("status")), (200, "duplicate"));
    assert_eq!(retry.text("id"), second.text("id"));
    assert_ne!(second.text("id"), first.text("id"));
    assert_eq!(
        times(&leads),
        [
            ("2026-11-22T08:00:00Z".to_owned(), None),
            ("2026-11-22T14:00:00Z".to_owned(), Some("2026-11-22T08:00:00Z".to_owned())),
        ]
    );

    let stored: Vec<_> = leads.rows().iter().map(|row| StoredLead::from_entity(row).unwrap()).collect();
    let mut writer = columns::writer(Vec::new());
    columns::write_headings(&mut writer, Column::heading).unwrap();
    stored.iter().for_each(|lead| columns::write_lead(&mut writer, lead).unwrap());
    let file = String::from_utf8(writer.into_inner().unwrap()).unwrap();
    let lines: Vec<_> = file.lines().collect();
    assert!(lines[0].ends_with(",Same Request Time"), "{file}");
    assert!(lines[1].ends_with(',') && lines[2].ends_with(",2026-11-22T08:00:00Z"), "{file}");

    let digest = Digest {
        id: "d".into(),
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads: stored.into_iter().map(|stored| DigestLead { stored, history: Vec::new() }).collect(),
        unreadable: Vec::new(),
        quarantined: Vec::new(),
    };
    let settings = RenderSettings::new(Language::find("en").unwrap(), TimeZone::UTC, 180);
    let mail = render(&digest, &settings);
    assert!(mail.subject.starts_with("2 new leads"), "{}", mail.subject);
    for text in [&mail.text, &mail.html] {
        assert_eq!(text.matches("Same request again").count(), 1, "{text}");
        let sentence = "The same request also came on Sun 22 Nov 2026, 08:00 UTC. It names nobody";
        assert_eq!(text.matches(sentence).count(), 1, "{text}");
        assert!(!text.contains("may be a repeat") && !text.contains("Earlier actions"), "{text}");
    }
    assert_eq!(render_reduced(&digest, &settings).text.matches("Same request again").count(), 1);
}

#[tokio::test]
async fn a_retry_is_the_same_body_within_the_window_at_any_time_of_day_and_beyond_it_a_lead_of_its_own() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    let moment = SignedDuration::from_millis(1);
    for (body, window) in WINDOWS {
        for first in ["2026-11-22T00:00:00Z", MORNING, "2026-11-22T23:58:30Z", "2026-11-22T23:59:59.999Z"] {
            for (later, rows) in [
                (SignedDuration::ZERO, 1),
                (SignedDuration::from_secs(5), 1),
                (window, 1),
                (window + moment, 2),
                (SignedDuration::from_hours(2), 2),
                (SignedDuration::from_hours(24), 2),
            ] {
                let second = at(first) + later;
                let leads = MemoryTable::new();
                post(&leads, &queue, body, at(first)).await;
                let answer = post(&leads, &queue, body, second).await;
                assert_eq!(
                    (leads.rows().len(), answer.status),
                    (rows, if rows == 1 { 200 } else { 201 }),
                    "{first} {later}"
                );

                // By the queue, in either order, and however late: what counts is when a body was received.
                for (before, after) in [(at(first), second), (second, at(first))] {
                    let leads = MemoryTable::new();
                    redeliver(&leads, before, body, at("2026-11-26T10:00:00Z")).await;
                    redeliver(&leads, after, body, at("2026-11-26T10:00:00Z")).await;
                    assert_eq!(leads.rows().len(), rows, "{before} {after}");
                }
            }
        }
    }
}

#[tokio::test]
async fn redelivery_finds_a_retry_after_midnight_though_its_own_clock_has_not_come_there() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    for (body, _) in WINDOWS {
        let leads = MemoryTable::new();
        post(&leads, &queue, body, at("2026-11-23T00:00:05Z")).await;
        redeliver(&leads, at("2026-11-22T23:59:58Z"), body, at("2026-11-22T23:59:59Z")).await;
        assert_eq!(leads.rows().len(), 1);
    }
}

#[tokio::test]
async fn the_same_request_all_day_is_one_row_for_each_time_and_costs_three_requests() {
    let (leads, queue) = (MemoryTable::new().with_page_size(4), StubQueue::start(Sqs::Refuses).await);
    let mut ids = std::collections::BTreeSet::new();
    for number in 0..12 {
        let now = at(MORNING) + SignedDuration::from_mins(10 * number);
        let stored = post(&leads, &queue, NAMELESS, now).await;
        assert_eq!(stored.status, 201);
        ids.insert(stored.text("id").to_owned());
        let retry = post(&leads, &queue, NAMELESS, now + SignedDuration::from_secs(20)).await;
        assert_eq!((retry.status, retry.text("id")), (200, stored.text("id")));
    }
    let before = "2026-11-22T09:40:00Z".to_owned();
    assert_eq!((ids.len(), leads.rows().len()), (12, 12));
    assert_eq!(times(&leads)[11], ("2026-11-22T09:50:00Z".to_owned(), Some(before)), "the nearest one is named");

    let leads = MemoryTable::new();
    for (minute, requests) in [(0, 1), (10, 3), (20, 3), (20, 2), (30, 3)] {
        let calls = leads.calls();
        post(&leads, &queue, NAMELESS, at(MORNING) + SignedDuration::from_mins(minute)).await;
        assert_eq!(leads.calls() - calls, requests, "minute {minute}");
    }
}

#[tokio::test]
async fn of_the_same_request_twice_at_once_one_is_stored() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    for (body, _) in WINDOWS {
        let leads = MemoryTable::new();
        post(&leads, &queue, body, at(MORNING)).await;
        let now = at("2026-11-22T14:00:00Z");
        // The other one is written while this one is about to insert its own second row: the third request.
        let (other, begun) = (leads.clone(), leads.calls());
        leads.set_fault(Some(Box::new(move |call| {
            if call == begun + 2 {
                let mut row = other.rows()[0].clone();
                row.row_key += "-0002";
                row.set("ReceivedTime", "2026-11-22T14:00:00.250Z");
                other.put(row);
            }
            None
        })));
        let answer = post(&leads, &queue, body, now).await;
        assert_eq!((answer.status, leads.rows().len()), (200, 2));
    }
}

#[tokio::test]
async fn an_intake_that_fails_anywhere_and_is_asked_again_stores_one_row() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    let unavailable = || TableError::Unavailable { reason: "killed".to_owned() };
    for (body, _) in WINDOWS {
        for (earlier, now) in [(0, MORNING), (1, MORNING), (2, MORNING), (0, "2026-11-22T23:59:58Z")] {
            for is_done in [false, true] {
                for failing in 0..4 {
                    let leads = MemoryTable::new();
                    for hours in 1..=earlier {
                        post(&leads, &queue, body, at(now) - SignedDuration::from_hours(2 * hours)).await;
                    }
                    let begun = leads.calls();
                    leads.set_fault(Some(Box::new(move |call| {
                        let kind = if is_done { FaultKind::After } else { FaultKind::Before };
                        (call == begun + failing).then(|| kind(unavailable()))
                    })));
                    post(&leads, &queue, body, at(now)).await;
                    leads.set_fault(None);
                    let again = post(&leads, &queue, body, at(now) + SignedDuration::from_secs(5)).await;
                    assert!([200, 201].contains(&again.status), "{again:?}");
                    let rows = usize::try_from(earlier).unwrap() + 1;
                    assert_eq!(leads.rows().len(), rows, "{now} {earlier} {failing} {is_done}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_row_of_somebody_else_under_a_leads_key_is_left_as_it_is_and_no_lead_is_lost_to_it() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    let first = MemoryTable::new();
    post(&first, &queue, NAMED, at(MORNING)).await;
    let keys = first.rows()[0].keys();
    let (leads, now) = (MemoryTable::new(), at("2026-11-22T12:00:00Z"));
    leads.set_now(at(MORNING));
    leads.put(Entity::new(keys.partition, keys.row).with("LeadSource", "of somebody else"));
    let before = leads.rows()[0].clone();
    assert_eq!(post(&leads, &queue, NAMED, now).await.status, 201);
    assert_eq!(leads.rows().len(), 2);
    assert!(leads.rows()[0] == before, "the row was changed");
}

#[tokio::test]
async fn a_body_cannot_say_of_itself_that_it_is_the_same_request_again() {
    let (leads, queue) = (MemoryTable::new(), StubQueue::start(Sqs::Refuses).await);
    let body = r#"{"LeadSource":"A","SameRequestTime":"2026-11-22T08:00:00.000Z"}"#;
    post(&leads, &queue, body, at(MORNING)).await;
    assert_eq!(times(&leads), [(MORNING.to_owned(), None)]);
}

#[tokio::test]
async fn a_late_lead_that_is_the_same_request_again_is_named_to_the_notifier_under_its_own_key() {
    let (leads, state) = (MemoryTable::new(), MemoryTable::new());
    let redelivery = Redelivery { leads: leads.clone(), state: state.clone(), keys: known_keys(), chance: counted() };
    let later = at("2026-11-26T10:00:00Z");
    for hour in [8, 12] {
        let received = at(&format!("2026-11-22T{hour:02}:00:00Z"));
        redelivery.redeliver("m1", &message(received, NAMELESS), later).await.unwrap();
    }
    let cued: std::collections::BTreeSet<_> = held(&state).1.into_iter().map(|cued| format!("{cued:?}")).collect();
    for row in leads.rows() {
        assert!(cued.iter().any(|cued| cued.contains(&format!("\"{}\"", row.row_key))), "{}: {cued:?}", row.row_key);
    }
    assert_eq!(leads.rows().len(), 2);
}
