//! What the notifier does when it is asked by hand.

use super::*;

#[tokio::test]
async fn a_paused_notifier_says_so_and_loses_nothing() {
    let world = World::new();
    world.run().await;
    world.execute(json!({"command": "pause"})).await.unwrap();
    world.arrive(&["Ada"]).await;
    for _ in 0..30 {
        assert_eq!(world.run().await.outcome, Outcome::Paused);
        world.advance(HOUR);
    }
    assert_eq!(world.mails_with("Ada"), 0);
    let answer = world.execute(json!({"command": "resume"})).await.unwrap();
    assert_eq!(answer["paused"], false);
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_pause_during_a_run_lets_the_run_end_and_stays_and_so_does_its_end() {
    for (before, during, is_paused) in [("resume", "pause", true), ("resume", "resume", false)] {
        let world = World::new();
        world.execute(json!({"command": before})).await.unwrap();
        world.arrive(&["Ada"]).await;
        let other = world.clone();
        world.mailer.set_fault(Some(Box::new(move |_| {
            let done = futures::executor::block_on(other.execute(json!({"command": during})));
            assert!(done.is_ok(), "{done:?}");
            None
        })));
        let record = world.run().await;
        assert_eq!((record.outcome, record.mails), (Outcome::Complete, 1));
        assert_eq!(world.status().await.is_paused, is_paused);
    }
}

#[tokio::test]
async fn a_run_that_saw_a_pause_leaves_alone_what_another_run_wrote_meanwhile() {
    let world = World::new();
    world.run().await;
    world.execute(json!({"command": "pause"})).await.unwrap();
    world.advance(HOUR);
    world.arrive(&["Ada"]).await;
    let (state, before) = (world.state.rows(), world.state.calls());
    assert_eq!(world.run().await.outcome, Outcome::Paused);
    assert_eq!(world.state.calls() - before, 1, "it asks once");
    assert!(world.state.rows() == state, "and writes nothing");
    // While it asks, somebody resumes, and a run cannot send.
    let (other, before) = (world.clone(), world.state.calls());
    world.state.set_fault(Some(Box::new(move |call| {
        if call == before {
            other.mailer.fail_next(1, &SendFault::destination());
            futures::executor::block_on(other.execute(json!({"command": "resume"}))).unwrap();
            assert_eq!(futures::executor::block_on(other.run()).owed, 1);
            futures::executor::block_on(other.execute(json!({"command": "pause"}))).unwrap();
        }
        None
    })));
    assert_eq!(world.run().await.outcome, Outcome::Paused);
    world.state.set_fault(None);
    world.execute(json!({"command": "resume"})).await.unwrap();
    world.advance(HOUR);
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_sent_and_changes_nothing() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let before = (world.leads.rows(), world.state.rows());
    let answer = world.execute(json!({"command": "dry-run"})).await.unwrap();
    assert_eq!((answer["found"].as_u64(), answer["digests"][0]["leads"].as_u64()), (Some(1), Some(1)));
    assert!(answer["digests"][0]["text"].as_str().unwrap().contains("Ada"));
    assert!((world.leads.rows(), world.state.rows()) == before);
    assert!(world.mailer.accepted().is_empty());
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
    let answer = world.execute(json!({"command": "dry-run"})).await.unwrap();
    assert_eq!(answer["found"].as_u64(), Some(0), "what is recorded is not new");
}

#[tokio::test]
async fn a_backfill_sends_again_marked_and_leaves_the_watermark() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    world.run().await;
    world.advance(HOUR * 3);
    world.arrive(&["Grace"]).await;
    world.run().await;
    let watermark = world.status().await.watermark;
    let event = json!({"command": "backfill", "since": "2026-11-03T13:00:00Z", "until": "2026-11-03T15:00:00Z",
        "to": "archive@contoso.example"});
    let answer = world.execute(event).await.unwrap();
    assert_eq!((answer["leads"].as_u64(), answer["mails"].as_u64()), (Some(1), Some(1)));
    let mail = world.mailer.accepted().pop().unwrap();
    assert_eq!(mail.to, ["archive@contoso.example"]);
    assert!(mail.text.contains("Ada") && !mail.text.contains("Grace") && mail.text.contains("Sent again on demand"));
    assert_eq!(world.status().await.watermark, watermark);
}

#[tokio::test]
async fn history_tells_of_the_last_runs_and_forgets_after_the_retention() {
    let world = World::new().keeping_days(3);
    world.arrive(&["Ada"]).await;
    world.runs(24 * 6, HOUR).await;
    let answer = world.execute(json!({"command": "history", "last": 1000})).await.unwrap();
    let runs = answer["runs"].as_array().unwrap();
    assert!((72..=97).contains(&runs.len()), "{} runs are kept", runs.len());
    let started: Vec<_> = runs.iter().map(|run| run["started"].as_str().unwrap()).collect();
    assert!(started.is_sorted_by(|newer, older| newer > older), "newest first");
    assert_eq!((&runs[0]["outcome"], &runs[0]["idle_runs"]), (&json!("idle"), &json!(1)));
    assert_eq!(world.state_keys("log-").len(), 0, "the lead's record is too old");
    let people = || keys(&world.state, CONTACTS_PARTITION).len();
    assert_eq!(people(), 1);
    world.advance(HOUR * 24 * 181);
    world.run().await;
    assert_eq!(people(), 0, "who did nothing within the window is forgotten");
}

#[tokio::test]
async fn idle_runs_are_summed_up_once_an_hour() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    world.runs(180, MINUTE).await;
    let answer = world.execute(json!({"command": "history"})).await.unwrap();
    let sums: Vec<_> = answer["runs"].as_array().unwrap().iter().filter_map(|run| run["idle_runs"].as_u64()).collect();
    assert!((3..=4).contains(&sums.len()), "{sums:?}");
    assert!(sums[..2].iter().all(|sum| (59..=61).contains(sum)), "{sums:?}");
}

/// A world in which one lead waits for a destination that refuses it, and another one was given up.
async fn world_with_an_outbox() -> World {
    let routes = json!([{"name": "vm", "offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    world.arrive(&["Ada"]).await;
    world.arrive_under(&world.today(), "Grace", "SPZA-INS|contoso.vm").await;
    world.mailer.set_fault(Some(Box::new(|mail| {
        let is_vm = mail.to.contains(&"vm@contoso.example".to_owned());
        Some(if is_vm { SendFault::destination() } else { SendFault::message() })
    })));
    world.run().await;
    world.end_faults();
    world
}

#[tokio::test]
async fn the_outbox_names_what_waits_and_what_was_given_up_with_the_reasons() {
    let world = world_with_an_outbox().await;
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    let today = world.today();
    assert_eq!(outbox["channels"].as_array().unwrap().len(), 1);
    let channel = &outbox["channels"][0];
    assert_eq!((&channel["owed"], &channel["leads"]), (&json!(1), &json!([[today, "row-Grace"]])));
    assert!(channel["reason"].as_str().unwrap().contains("verify the sender"));
    assert!(channel["next_attempt"].is_string() && channel["oldest"].is_string());
    assert_eq!(outbox["parked"][0]["lead"], json!([today, "row-Ada"]));
    assert!(!outbox.to_string().contains('@'), "{outbox}");
}

#[tokio::test]
async fn retry_has_both_tried_with_the_next_run_and_neither_is_marked_as_a_repeat() {
    let world = world_with_an_outbox().await;
    let answer = world.execute(json!({"command": "retry"})).await.unwrap();
    assert_eq!(answer, json!({"channels": 1, "put_back": 1}));
    let record = world.run().await;
    assert_eq!((record.outcome, record.mailed), (Outcome::Complete, 2));
    assert_eq!((world.mails_with("Ada"), world.mails_with("Grace"), world.mails_with(REPEAT)), (1, 1, 0));
    assert_eq!((world.owed().await, world.status().await.parked), (0, 0));
}

#[tokio::test]
async fn discard_gives_up_what_one_channel_owes_and_names_it_and_the_channel_goes_on() {
    let world = world_with_an_outbox().await;
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    let event = json!({"command": "discard", "channel": outbox["channels"][0]["channel"]});
    let answer = world.execute(event).await.unwrap();
    assert_eq!(answer, json!({"discarded": 1, "leads": [[world.today(), "row-Grace"]]}));
    world.arrive_under(&world.today(), "Joan", "SPZA-INS|contoso.vm").await;
    world.advance(MINUTE);
    world.run().await;
    assert_eq!((world.mails_with("Grace"), world.mails_with("Joan")), (0, 1));
}

#[tokio::test]
async fn retry_and_discard_wait_for_no_run() {
    let world = world_with_an_outbox().await;
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    let discard = json!({"command": "discard", "channel": outbox["channels"][0]["channel"]});
    world.arrive(&["Joan"]).await;
    let other = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        for event in [json!({"command": "retry"}), discard.clone()] {
            assert_eq!(futures::executor::block_on(other.execute(event)), Err(NotifyError::Busy));
        }
        None
    })));
    world.advance(HOUR);
    world.run().await;
    assert_eq!((world.mails_with("Grace"), world.mails_with("Joan")), (1, 1));
}

#[tokio::test]
async fn what_one_channel_gave_up_is_named_and_put_back_however_much_others_gave_up() {
    let world = world_with_an_outbox().await;
    for number in 0..1_200 {
        let row = Entity::new(PARTITION, format!("parked-0000000000000000-log-{number:013}-0"));
        world.state.put(row.with("Keys", json!(["1:2F1:2F2026", format!("{number}")]).to_string()).with("Reason", ""));
    }
    let today = world.today();
    let ada = world.state_keys("parked-").into_iter().find(|key| !key.contains("-0000000000000000-")).unwrap();
    let channel = ada.split('-').nth(1).unwrap().to_owned();
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    let named = outbox["parked"].as_array().unwrap();
    assert!(named.iter().any(|parked| parked["lead"] == json!([today, "row-Ada"])), "{} are named", named.len());
    let answer = world.execute(json!({"command": "retry", "channel": channel})).await.unwrap();
    assert_eq!(answer["put_back"], 1);
    world.advance(MINUTE);
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_recipient_whom_the_mail_service_refuses_keeps_no_backfill_from_the_others() {
    let routes = json!([
        {"id": "a", "to": ["left@contoso.example", "anna@contoso.example"]},
        {"id": "b", "to": ["left@contoso.example"]},
        {"id": "c", "to": ["carl@contoso.example"]},
    ]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    world.arrive(&["Ada"]).await;
    world.mailer.set_fault(Some(Box::new(|mail| {
        mail.to.contains(&"left@contoso.example".to_owned()).then(SendFault::destination)
    })));
    let error = world
        .execute(json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04"}))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("mail of the route b: "), "{error}");
    for who in ["anna", "carl"] {
        assert!(world.texts_to(&format!("{who}@contoso.example")).contains("Ada"), "{who}");
    }
}
