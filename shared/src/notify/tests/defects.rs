//! What once lost leads or stopped all mail, each as the promise that it broke.

use super::*;
use crate::bug::texts;
use crate::lead::Lead;
use crate::notify::collect::Item;
use std::borrow::Cow;

/// Writes so many leads of today, named with a prefix.
fn put_many(world: &World, prefix: &str, count: usize) {
    for number in 0..count {
        world.leads.put(microsoft_row(&world.today(), &format!("{prefix}{number:03}x"), BACKUP));
    }
}

/// How many of these leads are in no mail and in no attached file.
fn missing(world: &World, prefix: &str, count: usize) -> usize {
    let mails = world.mailer.accepted();
    let files = mails.iter().flat_map(|mail| &mail.attachments).map(|file| String::from_utf8_lossy(&file.content));
    let texts: Vec<_> = mails.iter().map(|mail| Cow::from(&mail.text)).chain(files).collect();
    let found = occurrences(texts.iter().map(Cow::as_ref), prefix);
    (0..count).filter(|number| !found.contains_key(&format!("{prefix}{number:03}x"))).count()
}

#[tokio::test]
async fn progress_of_a_patrol_is_written_only_with_what_it_found() {
    for at in 0.. {
        let world = World::new();
        world.runs(2, HOUR).await;
        world.arrive_under("10:2F21:2F2026", "Redelivered", BACKUP).await;
        world.arrive_under("odd", "Odd", BACKUP).await;
        world.advance(HOUR * 24);
        let before = calls(&world);
        for table in [&world.leads, &world.state] {
            let counted = world.clone();
            table.set_fault(Some(Box::new(move |_| (calls(&counted) == before + at + 1).then(unavailable))));
        }
        let _ = world.notifier().run("fails", world.deadline()).await;
        let requests = calls(&world) - before;
        world.end_faults();
        world.runs(20, HOUR * 24).await;
        assert_eq!((world.mails_with("Redelivered"), world.mails_with("Odd")), (1, 1), "request {at}");
        if requests <= at {
            assert!(at > 10, "a run of {at} requests walks through nothing");
            break;
        }
    }
}

fn calls(world: &World) -> usize {
    world.leads.calls() + world.state.calls()
}

#[tokio::test]
async fn a_patrol_that_stops_at_any_moment_finds_everything_later() {
    for seconds in (0..120).step_by(10) {
        let world = World::new();
        world.runs(2, HOUR).await;
        for number in 0..8 {
            world.arrive_under(&format!("odd {number}"), &format!("Odd{number}x"), BACKUP).await;
        }
        world.advance(HOUR * 24);
        world.slow_down(SECOND * 2, SECOND * 2);
        let _ = world.notifier().run("short", world.now() + SECOND * seconds).await;
        world.end_faults();
        world.runs(20, HOUR * 24).await;
        for number in 0..8 {
            assert_eq!(world.mails_with(&format!("Odd{number}x")), 1, "{number} after {seconds} s");
        }
    }
}

#[tokio::test]
async fn a_record_that_is_refused_once_loses_nothing_of_what_it_would_have_held() {
    let mut failed = 0;
    for at in 0..16 {
        let world = World::new().with_tables(MemoryTable::new().with_page_size(300), MemoryTable::new());
        world.runs(2, MINUTE).await;
        // The first batch holds leads of two partitions; one of them is read to its end by then.
        let tomorrow = Day::of(world.now()).after().partition_key();
        put_many(&world, "Lead", 400);
        for number in 400..900 {
            world.leads.put(microsoft_row(&tomorrow, &format!("Lead{number:03}x"), BACKUP));
        }
        let before = world.state.calls();
        world.state.set_fault(Some(Box::new(move |call| {
            let error = TableError::Rejected { status: 413, code: "RequestBodyTooLarge".to_owned() };
            (call == before + at).then_some(FaultKind::Before(error))
        })));
        let record = world.notifier().run("refused", world.deadline()).await;
        world.end_faults();
        failed += usize::from(record.is_ok_and(|record| record.error.is_some()));
        world.runs(30, HOUR).await;
        assert_eq!(missing(&world, "Lead", 900), 0, "request {at}");
    }
    assert!(failed > 3, "hardly anything was refused");
}

#[tokio::test]
async fn a_mail_that_the_service_refuses_keeps_no_other_lead_waiting() {
    let world = World::new();
    world.run().await;
    // In the attached file each of these characters takes eight: 60 such leads would make a file of 30 MB.
    for number in 0..60 {
        let mut row = microsoft_row(&world.today(), &format!("Odd{number:03}x"), BACKUP);
        row.set_text("Description", &"\u{ad}".repeat(64 * 1024));
        world.leads.put(row);
    }
    let mut poison = microsoft_row(&world.today(), "Refused", BACKUP);
    poison.set_text("Description", "a text that the service refuses");
    world.leads.put(poison);
    world.mailer.set_refused_content(Some(Box::new(|mail| mail.text.contains("a text that the service refuses"))));
    for number in 0..48 {
        world.arrive(&[format!("Later{number:03}x").as_str()]).await;
        world.run().await;
        world.advance(HOUR);
    }
    assert_eq!((missing(&world, "Later", 48), missing(&world, "Odd", 60)), (0, 0));
    assert!(world.mails_with("row-Refused") >= 1, "its keys are mailed");
    assert_eq!(world.owed().await, 0);
}

#[tokio::test]
async fn a_lead_of_which_even_the_keys_are_refused_is_given_up_and_the_others_go_out() {
    let world = World::new();
    world.mailer.set_refused_content(Some(Box::new(|mail| mail.text.contains("Poison"))));
    put_many(&world, "Before", 30);
    world.arrive(&["Poison"]).await;
    put_many(&world, "Zafter", 30);
    let record = world.run().await;
    assert_eq!((record.parked, record.owed), (1, 0), "{record:?}");
    assert_eq!((missing(&world, "Before", 30), missing(&world, "Zafter", 30)), (0, 0));
    assert_eq!((world.mails_with("Before000x"), world.mails_with(REPEAT)), (1, 0));
}

#[tokio::test]
async fn half_a_surrogate_pair_in_a_text_costs_its_own_lead_nothing_but_a_character() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let row = json!({"PartitionKey": world.today(), "RowKey": "row-Half", "ActionCode": "INS", "LeadSource": BACKUP,
        "OfferDisplayName": "Contoso Backup", "CreatedTime": "2026-11-03T13:00:00Z",
        "Timestamp": world.now().to_string(),
        "CustomerInfo": r#"{"FirstName":"Half","Email":"half@fabrikam.example"}"#, "Description": "HALF"});
    assert!(world.leads.put_json(&row.to_string().replace("HALF", "\\ud83d")));
    world.arrive(&["Zoe"]).await;
    world.run().await;
    for name in ["Ada", "Half", "Zoe"] {
        assert_eq!(world.mails_with(name), 1, "{name}");
    }
    let event = json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04", "to": "a@contoso.example"});
    assert_eq!(world.execute(event).await.unwrap()["leads"], 3);
    let event = json!({"command": "erase", "address": "half@fabrikam.example", "confirm": true});
    assert_eq!(world.execute(event).await.unwrap()["complete"], true);
    assert_eq!(keys(&world.leads, &world.today()), ["row-Ada", "row-Zoe"]);
}

#[tokio::test]
async fn a_person_with_many_long_actions_keeps_no_other_lead_waiting() {
    let world = World::new();
    world.run().await;
    for number in 0..9 {
        let mut row = microsoft_row(&world.today(), "Ann", BACKUP);
        row.row_key = format!("long-{number}");
        row.set_text("OfferDisplayName", &"\u{6f22}".repeat(32 * 1024));
        world.leads.put(row);
    }
    for number in 0..72 {
        world.arrive(&[format!("Later{number:03}x").as_str()]).await;
        world.run().await;
        world.advance(MINUTE * 20);
    }
    assert_eq!(missing(&world, "Later", 72), 0);
    for number in 0..9 {
        assert!(world.mailer.accepted().iter().any(|mail| csv(mail).contains(&format!("long-{number}"))), "{number}");
    }
    let contacts = world.state.rows().into_iter().filter(|row| row.partition_key == CONTACTS_PARTITION);
    let largest = contacts.map(|row| row.bytes()).max().unwrap();
    assert!(largest < 64 * 1024, "{largest} bytes for one person");
}

#[tokio::test]
async fn a_patrol_longer_than_a_runs_time_kills_no_run_and_keeps_no_lead_waiting() {
    let world = World::new();
    for number in 0..300 {
        world.leads.put(microsoft_row(&format!("key {number:03}"), &format!("Odd{number:03}x"), BACKUP));
    }
    world.advance(HOUR * 2);
    world.slow_down(SECOND * 5, SECOND);
    for number in 0..72 {
        world.arrive(&[format!("Later{number:03}x").as_str()]).await;
        let deadline = world.deadline();
        world.run().await;
        assert!(world.now() <= deadline, "run {number} would be killed");
        assert_eq!(world.mails_with(&format!("Later{number:03}x")), 1, "run {number}");
        world.advance(HOUR);
    }
    assert!(world.status().await.last_full_patrol.is_some(), "it comes to its end over runs");
}

#[tokio::test]
async fn without_daily_patrols_what_somebody_writes_late_is_mailed_within_eight_days() {
    let world = World::new().with("LEADS_SWEEP_HOURS", "0");
    world.runs(2, HOUR).await;
    world.arrive_under("10:2F21:2F2026", "Late", BACKUP).await;
    world.arrive_under("odd", "Odd", BACKUP).await;
    world.runs(24 * 8, HOUR).await;
    assert_eq!((world.mails_with("Late"), world.mails_with("Odd")), (1, 1));
}

#[tokio::test]
async fn of_quarantined_bodies_only_their_beginnings_are_held() {
    let unreadable = Lead::from_json(b"{").unwrap_err();
    let body = quarantine::Quarantined::new(&[b'x'; 64 * 1024], &unreadable, Timestamp::UNIX_EPOCH);
    assert!(Item::of_body(&body.to_entity()).bytes() < 2_000);

    let world = World::new().with("LEADS_DIGEST_SIZE", "20");
    world.runs(2, MINUTE).await;
    for number in 0..1_000 {
        let body = format!("Body{number:03}x {}", "x".repeat(8 * 1024));
        world.quarantine(body.as_bytes()).await;
    }
    while world.run().await.outcome == Outcome::Stopped {
        world.advance(MINUTE);
    }
    assert_eq!((missing(&world, "Body", 1_000), world.state_keys("cue-").len()), (0, 0));
}

#[tokio::test]
async fn hundreds_of_waiting_digests_keep_no_run_beyond_its_deadline_and_end_with_an_unavailable_service() {
    let world = World::new().with("LEADS_DIGEST_SIZE", "1");
    put_many(&world, "Lead", 500);
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::unavailable()))));
    let sends = world.mailer.calls();
    world.run().await;
    assert!(world.mailer.calls() - sends <= 4, "the first failure ends it for this channel");
    assert_eq!(world.owed().await, 500);
    world.advance(HOUR);
    for _ in 0..60 {
        world.slow_down(SignedDuration::from_millis(20), SECOND * 19);
        let deadline = world.deadline();
        world.run().await;
        assert!(world.now() <= deadline, "a run went on beyond its deadline");
        world.end_faults();
        world.advance(MINUTE * 10);
    }
    world.run().await;
    assert_eq!((missing(&world, "Lead", 500), world.owed().await), (0, 0));
}

#[tokio::test]
async fn an_erasure_of_a_large_table_completes_and_finds_bodies_in_utf_16_and_names_around_addresses() {
    let world = World::new();
    let customer = json!({"FirstName": "Ann", "Email": "Ann <ann@fabrikam.example>"}).to_string();
    world.leads.put(microsoft_row(&world.today(), "Ann", BACKUP).with("CustomerInfo", customer));
    let body: Vec<u8> = "{\"Email\":\"ann@fabrikam.example\"".encode_utf16().flat_map(u16::to_le_bytes).collect();
    world.quarantine(&body).await;
    world.run().await;
    assert_eq!(keys(&world.state, CONTACTS_PARTITION).len(), 1);
    for number in 0..20_000 {
        let day = Day::of(world.now() - HOUR * (24 * (10 + number % 100))).partition_key();
        world.leads.put(microsoft_row(&day, &format!("Old{number}"), BACKUP));
    }
    world.slow_down(SECOND * 10, SECOND);
    let mut event = json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true});
    let mut calls = 0;
    loop {
        let answer = world.execute(event.clone()).await.unwrap();
        calls += 1;
        if answer["complete"] == true {
            break;
        }
        event["after"] = answer["after"].clone();
        assert!(calls < 20, "it never ends");
    }
    assert!(calls > 1, "one call sufficed");
    assert_eq!((keys(&world.state, CONTACTS_PARTITION).len(), keys(&world.state, quarantine::PARTITION).len()), (0, 0));
    assert_eq!(world.leads.rows().len(), 20_000);
}

#[tokio::test]
async fn times_at_the_ends_of_the_calendar_stop_nothing() {
    let world = World::new();
    for (number, time) in ["-009999-01-02T00:00:00Z", "-009999-01-02T00:00:01Z", "9999-12-30T22:00:00Z", "0000-01-01"]
        .into_iter()
        .enumerate()
    {
        let row = microsoft_row(&world.today(), "Ann", BACKUP).with("CreatedTime", time);
        world.leads.put(Entity { row_key: format!("far-{number}"), ..row });
    }
    world.arrive(&["Ada"]).await;
    let record = world.run().await;
    assert_eq!((record.outcome, record.mailed, world.mails_with("Ada")), (Outcome::Complete, 5, 1));
}

#[tokio::test]
async fn recipients_that_change_while_a_digest_is_half_sent_all_get_it() {
    let people = |range: std::ops::Range<usize>| {
        range.map(|number| format!("person{number}@contoso.example")).collect::<Vec<_>>()
    };
    let world = World::new().with("LEADS_MAIL_TO", &people(0..60).join(";"));
    world.arrive(&["Ada"]).await;
    world.mailer.set_fault(Some(Box::new(|mail| {
        mail.to.contains(&"person55@contoso.example".to_owned()).then(SendFault::unavailable)
    })));
    world.run().await;
    world.end_faults();
    // Ten of the first mail's people go, ten new ones come first.
    let now: Vec<_> = people(60..70).into_iter().chain(people(10..60)).collect();
    let world = world.with("LEADS_MAIL_TO", &now.join(";"));
    world.advance(HOUR);
    assert_eq!(world.run().await.owed, 0);
    for person in now {
        assert_eq!(world.texts_to(&person).matches("Ada Doe").count(), 1, "{person}");
    }
}

#[tokio::test]
async fn what_waits_goes_to_the_same_route_however_routes_are_ordered_and_named() {
    let vm = json!({"offers": ["contoso.vm"], "to": ["vm@contoso.example"]});
    let backup = json!({"offers": ["contoso.backup"], "to": ["backup@contoso.example"]});
    let named = json!({"name": "route 4", "actions": ["PLT"], "to": ["plt@contoso.example"]});
    let world = World::new().with("LEADS_ROUTES", &json!([vm, backup, named]).to_string());
    world.arrive_under(&world.today(), "Grace", "SPZA-INS|contoso.vm").await;
    world.arrive(&["Ada"]).await;
    let plt = microsoft_row(&world.today(), "Joan", "SPZA-PLT|contoso.other").with("ActionCode", "PLT");
    world.leads.put(plt);
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::destination()))));
    world.run().await;
    world.end_faults();
    let world = world.with("LEADS_ROUTES", &json!([named, backup, vm]).to_string());
    world.advance(HOUR);
    world.run().await;
    for (to, name) in
        [("vm@contoso.example", "Grace"), ("backup@contoso.example", "Ada"), ("plt@contoso.example", "Joan")]
    {
        let text = world.texts_to(to);
        for other in ["Grace", "Ada", "Joan"] {
            assert_eq!(text.contains(other), other == name, "{other} to {to}");
        }
    }
}

#[tokio::test]
async fn how_much_was_recorded_in_the_last_months_does_not_matter_to_a_run() {
    let mut looked_at = Vec::new();
    for hours in [24 * 10, 24 * 80] {
        let world = World::new();
        for hour in 0..hours {
            world.arrive(&[format!("Hour{hour}x").as_str()]).await;
            world.run().await;
            world.advance(HOUR);
        }
        world.arrive(&["Ada"]).await;
        let before = world.state.rows_looked_at();
        world.run().await;
        assert_eq!(world.mails_with("Ada"), 1);
        looked_at.push(world.state.rows_looked_at() - before);
    }
    assert!(looked_at[1] <= looked_at[0] + 20, "{looked_at:?}");
}

#[tokio::test]
async fn the_first_retry_after_a_run_was_killed_finds_the_lease_free() {
    let world = World::new();
    world.run().await;
    world.arrive(&["Ada"]).await;
    // The mail service hangs until the run is killed.
    let (state, slow) = (world.state.clone(), world.clone());
    let deadline = world.deadline();
    world.mailer.set_fault(Some(Box::new(move |_| {
        state.set_fault(Some(Box::new(|_| Some(unavailable()))));
        slow.advance(deadline.duration_since(slow.now()));
        Some(SendFault::lost_request())
    })));
    let record = world.notifier().run("killed", deadline).await;
    assert!(record.is_err() || record.is_ok_and(|record| record.outcome == Outcome::Failed));
    world.end_faults();
    // Lambda tries again a minute later.
    world.advance(MINUTE);
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn an_address_that_is_too_long_for_a_header_costs_its_lead_nothing() {
    let world = World::new();
    let address = format!("a@{}.example", vec!["\u{fc}".repeat(20); 9].join("."));
    let customer = json!({"FirstName": "Long", "Email": address}).to_string();
    world.leads.put(microsoft_row(&world.today(), "Long", BACKUP).with("CustomerInfo", customer));
    world.arrive(&["Ada"]).await;
    let record = world.run().await;
    assert_eq!((record.outcome, record.parked), (Outcome::Complete, 0));
    assert_eq!((world.mails_with("Long"), world.mails_with("Ada")), (1, 1));
}

#[tokio::test]
async fn a_lead_on_which_our_own_code_fails_stops_no_other_one_and_is_told_of() {
    let world = World::new();
    world.run().await;
    let others = ["ann", "bob", "dan", "eve"];
    world.arrive(&others).await;
    for (name, text) in [("shown", texts::SHOWN), ("read", texts::READ)] {
        world.leads.put(microsoft_row(&world.today(), name, BACKUP).with("Description", text));
    }
    world.runs(2, MINUTE).await;
    for name in others {
        assert_eq!(world.mails_with(&format!("{name}@fabrikam.example")), 1, "{name}");
    }
    // Without its texts, but with its keys; as a row that cannot be read, with what is in it.
    assert_eq!((world.mails_with("row-shown"), world.mails_with("shown@fabrikam.example")), (1, 0));
    assert_eq!(world.mails_with("read@fabrikam.example"), 1);
    assert_eq!(world.owed().await, 0);
    world.arrive(&["fay"]).await;
    world.run().await;
    assert_eq!(world.mails_with("fay@fabrikam.example"), 1, "and the next one goes out as ever");
}
