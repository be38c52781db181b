//! The search for rows where no run reads: under old days, and under keys that are no days.

use super::*;

#[tokio::test]
async fn a_patrol_finds_a_row_under_another_key_and_from_then_on_runs_read_that_key() {
    let world = World::new();
    world.runs(2, HOUR).await;
    world.arrive_under("leads", "Odd", BACKUP).await;
    for _ in 0..22 {
        world.run().await;
        assert_eq!(world.mails_with("Odd"), 0);
        world.advance(HOUR);
    }
    world.advance(HOUR * 2);
    world.run().await;
    assert_eq!(world.mails_with("Odd"), 1, "the daily patrol finds it");
    assert_eq!(world.status().await.extra_partitions, 1);
    world.arrive_under("leads", "Other", BACKUP).await;
    world.advance(MINUTE);
    world.run().await;
    assert_eq!((world.mails_with("Odd"), world.mails_with("Other")), (1, 1), "the next run sees it at once");
    world.arrive_under("more leads", "Third", BACKUP).await;
    world.advance(MINUTE * 15);
    world.run().await;
    assert_eq!(
        world.mails_with("Third"),
        1,
        "while there is such a key, another one is found within a quarter of an hour"
    );
    world.runs(24 * 8, HOUR).await;
    assert_eq!(world.status().await.extra_partitions, 0, "after seven quiet days they are read by the patrol alone");
    world.arrive_under("leads", "Late", BACKUP).await;
    world.runs(26, HOUR).await;
    for name in ["Odd", "Other", "Third", "Late"] {
        assert_eq!(world.mails_with(name), 1, "{name}");
    }
}

#[tokio::test]
async fn days_in_another_form_are_read_in_that_form_from_then_on() {
    let world = World::new();
    world.runs(2, HOUR).await;
    world.arrive_under("2026-11-03", "Odd", BACKUP).await;
    world.runs(26, HOUR).await;
    assert_eq!(world.mails_with("Odd"), 1);
    world.advance(HOUR * 24);
    let day = Day::of(world.now()).to_string();
    world.arrive_under(&day, "Next", BACKUP).await;
    world.run().await;
    assert_eq!((world.mails_with("Odd"), world.mails_with("Next")), (1, 1));
}

#[tokio::test]
async fn a_row_that_somebody_writes_under_an_old_day_comes_once_whenever_it_is_written() {
    let world = World::new();
    world.run().await;
    for step in 0..60_i32 {
        // From days that are still in the window to days of last month.
        let day = Day::of(world.now() - HOUR * (6 * step)).partition_key();
        world.arrive_under(&day, &format!("Step{step}x"), BACKUP).await;
        world.runs(3, MINUTE * 50).await;
    }
    world.runs(26, HOUR).await;
    for step in 0..60 {
        assert_eq!(world.mails_with(&format!("Step{step}x")), 1, "step {step}");
    }
}

#[tokio::test]
async fn a_quarantined_body_without_a_cue_is_found_by_the_patrol_once() {
    let world = World::new();
    world.runs(2, HOUR).await;
    let unreadable = crate::lead::Lead::from_json(b"{Body").unwrap_err();
    let body = quarantine::Quarantined::new(b"{Body", &unreadable, world.now());
    world.state.put(body.to_entity());
    world.runs(60, HOUR).await;
    assert_eq!(world.mails_with("{Body"), 1);
}

#[tokio::test]
async fn a_patrol_through_thousands_of_partitions_goes_on_over_runs_and_keeps_no_new_lead_waiting() {
    let world = World::new();
    world.run().await;
    for number in 0..3_000 {
        world.leads.put(microsoft_row(&format!("key {number:04}"), &format!("Odd{number:04}x"), BACKUP));
    }
    world.advance(HOUR);
    world.slow_down(SignedDuration::from_millis(200), SECOND);
    let mut runs = 0;
    while world.status().await.last_full_patrol.is_none() {
        world.arrive(&[format!("New{runs}x").as_str()]).await;
        let deadline = world.deadline();
        world.run().await;
        assert!(world.now() <= deadline, "a run went on beyond its deadline");
        assert_eq!(world.mails_with(&format!("New{runs}x")), 1);
        world.advance(MINUTE);
        runs += 1;
        assert!(runs < 400, "it never ends");
    }
    assert!(runs > 5, "one run sufficed");
    world.end_faults();
    world.run().await;
    let all: String = world.mailer.accepted().iter().map(csv).collect();
    for number in 0..3_000 {
        assert_eq!(all.matches(&format!("row-Odd{number:04}x")).count(), 1, "{number}");
    }
}

#[tokio::test]
async fn however_much_text_the_patrol_finds_at_once_all_of_it_is_mailed() {
    for large in [60, 140] {
        let world = World::new().with("LEADS_DIGEST_SIZE", "20");
        world.runs(2, MINUTE).await;
        // Rows of 64 KB: more than one batch, and more than a run holds in memory until it sends.
        for number in 0..200 {
            let mut row = microsoft_row("odd", &format!("Large{number:03}x"), BACKUP);
            row.set_text("Description", &"x".repeat(if number < large { 64 * 1024 } else { 10 }));
            world.leads.put(row);
        }
        world.advance(HOUR * 24);
        world.runs(20, HOUR).await;
        let files: Vec<_> = world.mailer.accepted().iter().map(csv).collect();
        let found = occurrences(files.iter().map(String::as_str), "row-Large");
        for number in 0..200 {
            assert_eq!(found.get(&format!("row-Large{number:03}x")), Some(&1), "{number} of {large}");
        }
    }
}

#[tokio::test]
async fn a_slow_table_with_many_quarantined_bodies_keeps_no_run_beyond_its_deadline() {
    let world = World::new();
    world.runs(2, HOUR).await;
    let unreadable = crate::lead::Lead::from_json(b"{").unwrap_err();
    for number in 0..400 {
        let body = quarantine::Quarantined::new(format!("{{Body{number:03}x").as_bytes(), &unreadable, world.now());
        world.state.put(body.to_entity());
    }
    world.advance(HOUR * 24);
    world.slow_down(SECOND * 2, SECOND);
    for _ in 0..15 {
        let deadline = world.deadline();
        world.run().await;
        assert!(world.now() <= deadline, "a run went on beyond its deadline");
        world.advance(HOUR);
    }
    world.end_faults();
    world.runs(2, HOUR).await;
    for number in 0..400 {
        assert_eq!(world.mails_with(&format!("{{Body{number:03}x")), 1, "{number}");
    }
}

#[tokio::test]
async fn a_partition_with_an_empty_key_does_not_keep_the_patrol_at_the_beginning() {
    let world = World::new();
    world.runs(2, HOUR).await;
    world.arrive_under("", "Nameless", BACKUP).await;
    world.arrive_under("leads", "Odd", BACKUP).await;
    world.runs(26, HOUR).await;
    assert_eq!((world.mails_with("Nameless"), world.mails_with("Odd")), (1, 1));
    assert!(world.status().await.last_full_patrol.is_some(), "the pass comes to its end");
}
