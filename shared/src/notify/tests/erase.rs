//! Erasing one person, and nobody else.

use super::*;
use crate::lead::Lead;

/// Ann in every place where a person can be, and others whose addresses are like hers.
async fn world_with_ann() -> World {
    let world = World::new().with("LEADS_DIGEST_SIZE", "1");
    let today = world.today();
    let row = |key: &str, customer: Json, description: &str| {
        Entity::new(&today, key)
            .with("CustomerInfo", customer.to_string())
            .with("Description", description)
            .with("LeadSource", BACKUP)
    };
    world.leads.put(row("by-address", json!({"FirstName": "Ann", "Email": " Ann@Fabrikam.example"}), ""));
    world.leads.put(row("by-note", json!({"Email": "bob@fabrikam.example"}), "ask\nann@fabrikam.example, please"));
    world.leads.put(row("by-field", json!({"Email": "", "Other": {"deep": ["ann@fabrikam.example"]}}), ""));
    world.leads.put(row("joann", json!({"Email": "joann@fabrikam.example"}), ""));
    let body = br#"{"UserDetails":{"Email":"x@fabrikam.example"},"LeadSource":"S","Cc":"ann\u0040fabrikam.example"}"#;
    world.leads.put(StoredLead::received(Lead::from_json(body).unwrap(), world.now()).to_entity());
    world.leads.put(Entity::new("another", "unreadable").with("CustomerInfo", "{ann@fabrikam.example"));
    // An address in a text of two columns, across both.
    let mut long = row("long", json!({"Email": "y@fabrikam.example"}), "");
    long.set_text("Description", &format!("{}ann@fabrikam.example", " ".repeat(crate::table::MAX_STRING_UNITS - 5)));
    world.leads.put(long);
    world.quarantine(br#"{"Email":"ann\u0040fabrikam.example" 1}"#).await;
    world.quarantine(b"email=ann%40fabrikam.example").await;
    world.quarantine(b"{joann@fabrikam.example").await;
    world
}

fn erase_ann() -> Json {
    json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true})
}

#[tokio::test]
async fn erase_says_what_it_would_remove_and_with_confirm_removes_one_person_and_nobody_else() {
    let world = world_with_ann().await;
    world.run().await;
    let today = world.today();
    let counts = json!({"MarketplaceLeads": {&today: 5, "another": 1},
        "MarketplaceLeadsState": {"contacts": 1, "quarantine": 2}});
    let before = (world.leads.rows(), world.state.rows());
    let answer = world.execute(json!({"command": "erase", "address": "ANN@fabrikam.example "})).await.unwrap();
    assert_eq!((&answer["would_remove"], &answer["complete"]), (&counts, &json!(true)));
    assert!((world.leads.rows(), world.state.rows()) == before, "nothing changes without `confirm`");
    let answer = world.execute(erase_ann()).await.unwrap();
    assert_eq!((&answer["removed"], &answer["complete"]), (&counts, &json!(true)));
    assert!(!answer.to_string().contains("ann@"), "{answer}");
    assert_eq!(keys(&world.leads, &today), ["joann"]);
    let kept = world.state.rows().into_iter().find(|row| row.partition_key == quarantine::PARTITION).unwrap();
    assert_eq!(quarantine::Quarantined::from_entity(&kept).body, b"{joann@fabrikam.example");
    assert_eq!(keys(&world.state, CONTACTS_PARTITION).len(), 4, "the others are known as before");
    let answer = world.execute(erase_ann()).await.unwrap();
    assert_eq!(answer["removed"], json!({"MarketplaceLeads": {}, "MarketplaceLeadsState": {}}));
    let mails = world.mailer.accepted().len();
    world.advance(HOUR);
    assert_eq!(world.run().await.error, None);
    assert_eq!(world.mailer.accepted().len(), mails);
}

#[tokio::test]
async fn of_an_erased_lead_that_waits_nothing_is_said_any_more_and_the_others_go_out() {
    let world = world_with_ann().await;
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::destination()))));
    world.run().await;
    world.mailer.set_fault(None);
    world.execute(erase_ann()).await.unwrap();
    let log = |row: &Entity| row.row_key.starts_with("log-") && row.text("Keys").unwrap().contains("by-address");
    assert!(!world.state.rows().iter().any(log), "the log forgets as well");
    world.runs(3, HOUR).await;
    assert_eq!(world.owed().await, 0);
    let mails = world.mailer.accepted();
    for part in ["ann@", "by-address", "by-note", "by-field", "unreadable"] {
        assert!(mails.iter().all(|mail| !mail.text.replace("joann", "").contains(part)), "{part}");
    }
    assert_eq!(mails.iter().filter(|mail| mail.text.contains("joann")).count(), 2, "the lead, and the body");
}

#[tokio::test]
async fn erase_waits_for_no_run_and_no_run_begins_meanwhile() {
    let world = world_with_ann().await;
    let second = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        assert_eq!(futures::executor::block_on(second.execute(erase_ann())), Err(NotifyError::Busy));
        None
    })));
    world.run().await;
    world.mailer.set_fault(None);
    let second = world.clone();
    world.leads.set_fault(Some(Box::new(move |_| {
        assert_eq!(futures::executor::block_on(second.run()).outcome, Outcome::Busy);
        None
    })));
    world.execute(erase_ann()).await.unwrap();
    world.leads.set_fault(None);
    assert_ne!(world.run().await.outcome, Outcome::Busy, "the lease is given back");
}

#[tokio::test]
async fn however_slow_and_large_a_table_is_an_erasure_ends_in_enough_calls_each_within_its_time() {
    for request in [SignedDuration::from_millis(500), SECOND * 2] {
        let world = World::new();
        for number in 0..1_200 {
            let row = microsoft_row("1:2F2:2F2026", &format!("Old{number:04}"), BACKUP);
            let customer = json!({"FirstName": "Ann", "Email": "ann@fabrikam.example"}).to_string();
            world.leads.put(row.with("CustomerInfo", customer));
        }
        world.slow_down(request, SignedDuration::ZERO);
        let (mut event, mut calls, mut removed) = (erase_ann(), 0, 0);
        loop {
            let deadline = world.deadline();
            let answer = world.execute(event.clone()).await.unwrap();
            assert!(world.now() <= deadline, "a call took longer than it had");
            removed += answer["removed"]["MarketplaceLeads"]["1:2F2:2F2026"].as_u64().unwrap_or_default();
            assert_eq!(world.leads.rows().len() as u64, 1_200 - removed);
            calls += 1;
            if answer["complete"] == true {
                break;
            }
            event["after"] = answer["after"].clone();
            assert!(calls < 30, "it never ends");
        }
        assert!(calls > 1 && removed == 1_200, "{calls} calls removed {removed}");
    }
}

#[tokio::test]
async fn an_erasure_that_a_table_fails_says_so_without_the_address_and_gives_the_lease_back() {
    let world = world_with_ann().await;
    world.leads.set_fault(Some(Box::new(|call| (call > 3).then(unavailable))));
    let error = world.execute(erase_ann()).await.unwrap_err();
    assert!(matches!(error, NotifyError::Table(_)) && !error.to_string().contains("ann"), "{error}");
    world.leads.set_fault(None);
    assert!(!world.status().await.is_at_work);
}

#[tokio::test]
async fn what_was_given_up_is_erased_too_and_nobody_is_told_of_it_when_it_is_put_back() {
    let world = World::new();
    world.run().await;
    world.arrive(&["ann", "bob"]).await;
    world.quarantine(b"{ann@fabrikam.example").await;
    // Each is refused even by its key, and others are accepted meanwhile.
    let others = ["cid", "dan", "eve", "fay"];
    let is_other = move |mail: &Message| others.iter().any(|name| mail.text.contains(name));
    world.mailer.set_fault(Some(Box::new(move |mail| (!is_other(mail)).then(SendFault::message))));
    for name in others {
        world.runs(3, HOUR).await;
        world.arrive(&[name]).await;
    }
    world.runs(8, HOUR).await;
    world.end_faults();
    let before = world.mailer.accepted().len();
    assert_eq!(world.state_keys("parked-").len(), 3);
    world.execute(erase_ann()).await.unwrap();
    assert_eq!(world.state_keys("parked-").len(), 1, "only bob's is kept");
    assert_eq!(world.execute(json!({"command": "retry"})).await.unwrap()["put_back"], 1);
    world.advance(MINUTE);
    world.run().await;
    let mails = world.mailer.accepted().split_off(before);
    assert_eq!((mails.len(), world.mails_with("bob")), (1, 1));
    assert!(!mails[0].text.contains("row-ann"), "{}", mails[0].text);
}

#[tokio::test]
async fn an_erasure_that_breaks_off_has_nothing_mailed_again_and_once_it_ended_the_same_keys_are_new() {
    for (done, is_mailed_before) in (1..8).flat_map(|calls| [(calls, false), (calls, true)]) {
        let world = world_with_ann().await;
        if !is_mailed_before {
            world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::destination()))));
        }
        world.run().await;
        world.mailer.set_fault(None);
        let row = world.leads.rows().into_iter().find(|row| row.row_key == "by-address").unwrap();
        let last = world.leads.calls() + done;
        world.leads.set_fault(Some(Box::new(move |call| (call > last).then(unavailable))));
        let _ = world.execute(erase_ann()).await;
        world.leads.set_fault(None);
        let mails = || world.mailer.accepted().into_iter().filter(|mail| mail.text.contains("by-address")).count();
        let before = mails();
        world.advance(MINUTE);
        world.run().await;
        world.advance(HOUR);
        world.run().await;
        assert_eq!(mails(), before, "broken off after {done} calls");
        assert_eq!(world.execute(erase_ann()).await.unwrap()["complete"], true);
        let log: String = world.state.rows().iter().filter_map(|row| row.text("Keys")).collect();
        assert!(!log.contains("by-address") && !log.contains("erasing"), "{log}");
        world.leads.put(Entity { timestamp: Some(world.now()), etag: None, ..row });
        world.advance(MINUTE);
        world.run().await;
        assert_eq!(mails(), before + 1, "it came again, broken off after {done} calls");
    }
}
