//! Silence, and what is deleted when.

use super::*;
use crate::lead::Lead;

#[tokio::test]
async fn silence_is_said_once_and_again_only_after_a_lead() {
    let world = World::new().with("LEADS_SILENCE_DAYS", "2");
    world.arrive(&["Ada"]).await;
    world.runs(24 * 5, HOUR).await;
    assert_eq!(world.subjects().len(), 2, "{:?}", world.subjects());
    world.arrive(&["Grace"]).await;
    world.runs(24 * 3, HOUR).await;
    assert_eq!(world.subjects().len(), 4, "{:?}", world.subjects());
}

#[tokio::test]
async fn no_record_is_forgotten_while_a_read_can_still_find_its_leads() {
    // Patrols further apart than records are kept.
    let world = World::new().with("LEADS_SWEEP_HOURS", "120").keeping_days(2);
    world.run().await;
    for day in 0..20 {
        world.arrive(&[format!("Lead{day}x").as_str()]).await;
        for _ in 0..4 {
            world.advance(HOUR * 6);
            world.run().await;
        }
        if day == 9 {
            // Its partition is read in every run for a week.
            world.arrive_under("anything", "Odd", BACKUP).await;
        }
    }
    assert_eq!(world.mails_with("Odd"), 1);
    for day in 0..20 {
        assert_eq!(world.mails_with(&format!("Lead{day}x")), 1, "day {day}");
    }
    let records = world.state_keys("log-").len();
    assert!(records < 10, "{records} records are kept");
}

#[tokio::test]
async fn however_much_is_too_old_it_is_deleted_as_far_as_time_allows() {
    let world = World::new();
    world.run().await;
    world.arrive(&["Ada"]).await;
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::destination()))));
    world.run().await;
    // What is old became so unnoticed: these rows were written before the notifier was there.
    world.state.set_now(world.now() - HOUR * 24 * 100);
    for number in 0..2_500 {
        world.state.put(Entity::new(quarantine::PARTITION, format!("2026-07-20-{number:04}")));
        world.state.put(Entity::new(CONTACTS_PARTITION, format!("{number:04}")));
        world.state.put(Entity::new(PARTITION, format!("run-9{number:04}")));
        world.state.put(Entity::new(PARTITION, format!("digest-{number:04}")));
    }
    world.advance(SignedDuration::ZERO);
    let old = |partition_key: &str| {
        let is_old = |row: &Entity| row.row_key.starts_with("run-9") || row.row_key.starts_with("digest-");
        let rows = world.state.rows().into_iter().filter(|row| row.partition_key == partition_key);
        rows.filter(|row| partition_key != PARTITION || is_old(row)).count()
    };
    assert_eq!((old(quarantine::PARTITION), old(CONTACTS_PARTITION), old(PARTITION)), (2_500, 2_501, 5_000));
    world.advance(HOUR * 24 * 200);
    let slow = world.clone();
    let calls = world.state.calls();
    world.state.set_fault(Some(Box::new(move |call| {
        slow.advance(SECOND * if call > calls + 30 { 10 } else { 0 });
        None
    })));
    let deadline = world.deadline();
    world.run().await;
    assert!(world.now() <= deadline, "the run went on beyond its deadline");
    world.state.set_fault(None);
    assert!(old(CONTACTS_PARTITION) > 2_000, "time did not suffice");
    world.runs(2, HOUR).await;
    assert_eq!((old(quarantine::PARTITION), old(CONTACTS_PARTITION), old(PARTITION)), (0, 0, 0));
    assert_eq!((world.owed().await, world.state_keys("log-").len()), (1, 1), "what is owed is never too old");
    assert_eq!(world.state_keys("run-").len(), 3, "and the last runs");
    world.mailer.set_fault(None);
    world.runs(3, HOUR).await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_quarantined_body_is_kept_as_long_as_its_digest_waits() {
    let world = World::new().keeping_days(2);
    world.run().await;
    world.quarantine(b"{Body").await;
    // Redelivery kept this one long after it came.
    let came = world.now() - HOUR * 24 * 10;
    let unreadable = Lead::from_json(b"{Late").unwrap_err();
    quarantine::keep(&world.state, b"{Late", &unreadable, came, 7).await.unwrap();
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::destination()))));
    world.runs(24 * 6, HOUR).await;
    world.mailer.set_fault(None);
    world.runs(3, HOUR).await;
    for body in ["{Body", "{Late"] {
        assert!(world.mails_with(body) == 1, "the text of {body} is mailed, not only its key");
    }
    world.runs(26, HOUR).await;
    assert_eq!(keys(&world.state, quarantine::PARTITION).len(), 0);
}

#[tokio::test]
async fn a_recipient_whom_the_mail_service_refuses_keeps_no_word_of_silence_from_the_others() {
    let to = "left@contoso.example; sales@contoso.example";
    let world = World::new().with("LEADS_SILENCE_DAYS", "2").with("LEADS_MAIL_TO", to);
    world.mailer.set_fault(Some(Box::new(|mail| {
        mail.to.contains(&"left@contoso.example".to_owned()).then(SendFault::destination)
    })));
    world.runs(24 * 3, HOUR).await;
    assert_eq!(world.subjects().len(), 1, "{:?}", world.subjects());
}
