//! State that version 0.1.0 wrote is moved over: `tests/fixtures/state/0.1.0.json` is a recording of it.

use super::*;

const RECORDED: &str = include_str!("../../../../tests/fixtures/state/0.1.0.json");

/// The world in which the state was recorded: three digests were sent, three wait, and a body is in quarantine.
pub(super) fn recorded_world() -> World {
    let routes = json!([{"name": "sales", "actions": ["PLT"], "to": ["ann@contoso.example"]},
        {"offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string()).with("LEADS_DIGEST_SIZE", "2");
    let recorded: Json = serde_json::from_str(RECORDED).unwrap();
    for (table, name) in [(&world.leads, "leads"), (&world.state, "state")] {
        for row in recorded[name].as_array().unwrap() {
            assert!(table.put_json(&row.to_string()));
        }
    }
    let now: Timestamp = recorded["now"].as_str().unwrap().parse().unwrap();
    world.advance(now.duration_since(world.now()));
    world
}

fn mails_to(world: &World, address: &str) -> Vec<Message> {
    world.mailer.accepted().into_iter().filter(|mail| mail.to == [address]).collect()
}

#[tokio::test]
async fn digests_that_wait_go_out_marked_to_the_right_people_and_sent_ones_not_again() {
    let world = recorded_world();
    let record = world.run().await;
    assert_eq!((record.outcome, record.error), (Outcome::Complete, None));
    for (to, names) in [
        ("sales@contoso.example", &["bad", "Wait1"][..]),
        ("vm@contoso.example", &["Wait2", "Wait3"]),
        ("ann@contoso.example", &["Wait2"]),
    ] {
        let marked = mails_to(&world, to).into_iter().filter(|mail| mail.text.contains(REPEAT)).collect::<Vec<_>>();
        for name in ["bad", "Wait1", "Wait2", "Wait3"] {
            let count = marked.iter().filter(|mail| mail.text.contains(name)).count();
            assert_eq!(count, usize::from(names.contains(&name)), "{name} to {to}");
        }
    }
    // It came after the last digest was recorded.
    assert_eq!(world.mails_with("Wait4"), 1);
    assert!(
        mails_to(&world, "sales@contoso.example")
            .iter()
            .any(|mail| mail.text.contains("Wait4") && !mail.text.contains(REPEAT))
    );
    world.advance(MINUTE);
    world.run().await;
    assert_eq!(world.mails_with("{not json"), 1, "the quarantined body comes");
    world.runs(60, HOUR).await;
    for name in ["Sent1", "Sent2", "Sent3"] {
        assert_eq!(world.mails_with(name), 0, "{name}");
    }
    for (name, mails) in [("Wait1", 1), ("Wait2", 2), ("Wait3", 1), ("Wait4", 1), ("{not json", 1)] {
        assert_eq!(world.mails_with(name), mails, "{name}");
    }
}

#[tokio::test]
async fn the_version_before_finds_its_checkpoint_leased_for_ever() {
    let world = recorded_world();
    assert!(world.status().await.is_to_be_moved);
    world.run().await;
    assert!(!world.status().await.is_to_be_moved);
    world.runs(26, HOUR).await;
    let checkpoint = world.state.rows().into_iter().find(|row| row.row_key == "checkpoint").unwrap();
    assert_eq!(checkpoint.time("LeaseUntil").unwrap().to_string(), "9999-11-30T00:00:00Z");
    assert!(checkpoint.string("LeaseOwner").is_some());
    assert_eq!(checkpoint.text("Pending").unwrap_or_default(), "", "nothing is left to be moved");
}

#[tokio::test]
async fn what_was_known_before_stays_known() {
    let world = recorded_world();
    world.run().await;
    let status = world.status().await;
    assert_eq!(status.newest_lead, Some("2026-11-03T15:00:00Z".parse().unwrap()));
    let (mails, people) = (world.mailer.accepted().len(), keys(&world.state, CONTACTS_PARTITION).len());
    assert!(mails > 0 && people >= 6, "{people}");
    let history = world.execute(json!({"command": "history"})).await.unwrap();
    assert!(history["runs"].as_array().unwrap().iter().any(|run| run["run"] == "run1" && run["outcome"] == "failed"));
}

#[tokio::test]
async fn a_pause_and_a_lease_of_the_version_before_hold() {
    let world = recorded_world();
    let change = |name: &str, value: crate::table::Value| {
        let mut checkpoint = world.state.rows().into_iter().find(|row| row.row_key == "checkpoint").unwrap();
        checkpoint.set(name, value);
        world.state.put(checkpoint);
    };
    change("LeaseOwner", "run2".into());
    change("LeaseUntil", (world.now() + MINUTE * 6).into());
    assert_eq!(world.run().await.outcome, Outcome::Busy);
    world.advance(MINUTE * 7);
    change("Paused", true.into());
    assert_eq!(world.run().await.outcome, Outcome::Paused);
    assert!(world.mailer.accepted().is_empty());
}

#[tokio::test]
async fn a_pause_of_the_version_before_ends_with_resume() {
    let world = recorded_world();
    let mut checkpoint = world.state.rows().into_iter().find(|row| row.row_key == "checkpoint").unwrap();
    checkpoint.set("Paused", true);
    world.state.put(checkpoint);
    assert_eq!(world.run().await.outcome, Outcome::Paused);
    world.execute(json!({"command": "resume"})).await.unwrap();
    world.run().await;
    assert_eq!((world.mails_with("Wait1"), world.mails_with("Wait4")), (1, 1));
}

#[tokio::test]
async fn hundreds_of_digests_are_moved_over_in_batches_however_often_runs_are_cut_short() {
    let world = World::new();
    let today = world.today();
    let mut pending = Vec::new();
    for number in 0..300 {
        let id = format!("20261103T130000Z-run0-{number:04}");
        let name = format!("Lead{number:03}x");
        world.leads.put(microsoft_row(&today, &name, BACKUP));
        let is_sent = number % 3 == 0;
        let digest = Entity::new(PARTITION, format!("digest-{id}"))
            .with("Leads", json!([[today, format!("row-{name}")]]).to_string())
            .with("Quarantined", "[]")
            .with("Status", if is_sent { "sent" } else { "pending" });
        world.state.put(digest);
        pending.extend((!is_sent).then_some(id));
    }
    let watermark = world.now() - MINUTE;
    let mut checkpoint = Entity::new(PARTITION, "checkpoint").with("Watermark", watermark).with("Swept", watermark);
    checkpoint.set_text("Pending", &pending.join(" "));
    world.state.put(checkpoint);
    let mut runs = 0;
    while runs < 2 || world.owed().await > 0 || world.status().await.is_to_be_moved {
        world.run_slowly(SECOND * 5, SECOND * 5, world.deadline());
        world.advance(MINUTE * 2);
        runs += 1;
        assert!(runs < 60, "it never ends");
    }
    world.runs(2, HOUR).await;
    let mails = world.mailer.accepted();
    for number in 0..300 {
        let with: Vec<_> = mails.iter().filter(|mail| csv(mail).contains(&format!("row-Lead{number:03}x"))).collect();
        assert_eq!(with.len(), usize::from(number % 3 != 0), "{number}");
        assert!(with.iter().all(|mail| mail.text.contains(REPEAT)), "{number}");
    }
}
