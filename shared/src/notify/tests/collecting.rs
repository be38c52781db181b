//! Finding what is new, once, whoever wrote it and whenever it becomes visible.

use super::hooked::{Before, Call, Hooked};
use super::*;
use futures::FutureExt as _;
use std::future::ready;

#[tokio::test]
async fn leads_of_both_sources_go_out_in_one_mail_and_only_once() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let body = br#"{"UserDetails":{"FirstName":"Grace"},"LeadSource":"SPZA-PLT|contoso.vm","OfferTitle":"Contoso VM"}"#;
    let stored = StoredLead::received(crate::lead::Lead::from_json(body).unwrap(), world.now());
    world.leads.insert(&stored.to_entity()).await.unwrap();
    let record = world.run().await;
    assert_eq!((record.outcome, record.leads, record.leads_by_https, record.digests), (Outcome::Complete, 2, 1, 1));
    assert_eq!(world.subjects().len(), 1);
    assert_eq!((world.mails_with("Ada"), world.mails_with("Grace")), (1, 1));
    for _ in 0..30 {
        world.advance(MINUTE);
        assert_eq!(world.run().await.mails, 0);
    }
    assert_eq!(world.subjects().len(), 1);
}

#[tokio::test]
async fn without_new_leads_there_is_no_mail_and_nothing_is_written() {
    let world = World::new();
    let record = world.run().await;
    assert_eq!((record.outcome, record.mails), (Outcome::Idle, 0));
    world.advance(MINUTE);
    world.run().await;
    let state = world.state.rows();
    world.advance(MINUTE);
    let record = world.run().await;
    assert_eq!((record.outcome, record.mails), (Outcome::Idle, 0));
    assert!(world.state.rows() == state, "an idle run writes nothing");
    assert!(world.mailer.accepted().is_empty());
}

#[tokio::test]
async fn the_first_run_looks_back_as_far_as_it_is_told() {
    let world = World::new().with("LEADS_FIRST_LOOKBACK_MINUTES", "90");
    world.arrive(&["Early"]).await;
    world.advance(HOUR);
    world.arrive(&["Late"]).await;
    world.advance(MINUTE * 31);
    world.run().await;
    assert_eq!((world.mails_with("Early"), world.mails_with("Late")), (0, 1));
}

#[tokio::test]
async fn a_first_run_that_is_cut_short_or_paused_is_made_up_for_by_later_ones() {
    let cut_short = World::new().with("LEADS_DIGEST_SIZE", "1");
    cut_short.arrive(&["Ada", "Grace", "Joan"]).await;
    cut_short.slow_down(SignedDuration::ZERO, MINUTE * 4);
    assert_eq!(cut_short.run().await.outcome, Outcome::Stopped);
    cut_short.end_faults();

    let paused = World::new();
    paused.execute(json!({"command": "pause"})).await.unwrap();
    paused.arrive(&["Ada", "Grace", "Joan"]).await;
    assert_eq!(paused.run().await.outcome, Outcome::Paused);
    paused.execute(json!({"command": "resume"})).await.unwrap();

    for world in [cut_short, paused] {
        world.advance(HOUR * 5);
        world.run().await;
        for name in ["Ada", "Grace", "Joan"] {
            assert_eq!(world.mails_with(name), 1, "{name}");
        }
    }
}

#[tokio::test]
async fn first_runs_that_fail_or_are_paused_do_not_move_how_far_the_first_one_looks_back() {
    for paused in [false, true] {
        let world = World::new();
        world.arrive(&["Ada"]).await;
        world.advance(MINUTE * 50);
        if paused {
            world.execute(json!({"command": "pause"})).await.unwrap();
        } else {
            world.leads.set_fault(Some(Box::new(|_| Some(unavailable()))));
        }
        for _ in 0..30 {
            let outcome = world.run().await.outcome;
            assert_eq!(outcome, if paused { Outcome::Paused } else { Outcome::Failed });
            world.advance(HOUR);
        }
        world.leads.set_fault(None);
        world.execute(json!({"command": "resume"})).await.unwrap();
        world.run().await;
        assert_eq!(world.mails_with("Ada"), 1, "paused: {paused}");
    }
}

#[tokio::test]
async fn a_run_that_is_a_week_late_misses_nothing() {
    let world = World::new();
    world.run().await;
    for day in 0..7 {
        world.advance(HOUR * 24);
        world.arrive(&[format!("Lead{day}x").as_str()]).await;
    }
    world.advance(HOUR);
    let record = world.run().await;
    assert_eq!(record.leads, 7);
    for day in 0..7 {
        assert_eq!(world.mails_with(&format!("Lead{day}x")), 1);
    }
}

#[tokio::test]
async fn leads_that_arrive_while_a_run_reads_are_sent_by_it_or_by_the_next() {
    let world = World::new();
    let count = Arc::new(AtomicUsize::new(0));
    let (arrivals, busy) = (count.clone(), world.clone());
    world.leads.set_fault(Some(Box::new(move |_| {
        let name = format!("Arrival{}x", arrivals.fetch_add(1, Ordering::Relaxed));
        busy.leads.put(microsoft_row(&busy.today(), &name, "AzurePortal-Create|contoso.backup"));
        busy.advance(SECOND);
        None
    })));
    world.runs(6, HOUR).await;
    world.leads.set_fault(None);
    world.run().await;
    let count = count.load(Ordering::Relaxed);
    assert!(count >= 12, "{count} leads arrived");
    for number in 0..count {
        assert_eq!(world.mails_with(&format!("Arrival{number}x")), 1, "arrival {number}");
    }
}

#[tokio::test]
async fn writers_whose_clocks_differ_by_five_minutes_lose_nothing() {
    let world = World::new();
    world.run().await;
    for step in 0..40 {
        // Each row is written by a server whose clock is ahead or behind; the state table's clock is right.
        let skew = if step % 2 == 0 { MINUTE * 5 } else { MINUTE * -5 };
        world.leads.set_now(world.now() + skew);
        let name = format!("Skewed{step}x");
        world.leads.put(microsoft_row(&world.today(), &name, BACKUP));
        world.advance(MINUTE * 7);
        world.run().await;
    }
    world.advance(HOUR);
    world.run().await;
    for step in 0..40 {
        assert_eq!(world.mails_with(&format!("Skewed{step}x")), 1, "step {step}");
    }
}

#[tokio::test]
async fn what_becomes_visible_just_less_late_than_the_overlap_is_found_by_runs_that_write_nothing_in_between() {
    let world = World::new();
    for step in 0..30 {
        let name = format!("Late{step}x");
        let visible = world.now() + MINUTE * 10 - SECOND;
        world.leads.put_late(microsoft_row(&world.today(), &name, BACKUP), visible);
        world.runs(4, MINUTE * 7).await;
        assert_eq!(world.mails_with(&name), 1, "step {step}");
        world.runs(step % 4, HOUR).await;
    }
}

#[tokio::test]
async fn a_window_of_several_pages_goes_out_whole_in_digests_of_bounded_size() {
    let world = World::new().with_tables(MemoryTable::new().with_page_size(1000), MemoryTable::new());
    for number in 0..2_500 {
        world.leads.put(microsoft_row(&world.today(), &format!("Lead{number:04}x"), BACKUP));
    }
    let record = world.run().await;
    assert_eq!((record.outcome, record.leads, record.digests, record.mailed), (Outcome::Complete, 2_500, 25, 2_500));
    let all: String = world.mailer.accepted().iter().map(csv).collect();
    for number in 0..2_500 {
        assert_eq!(all.matches(&format!("row-Lead{number:04}x")).count(), 1);
    }
}

#[tokio::test]
async fn a_window_that_no_run_can_read_to_its_end_is_read_in_parts_and_nothing_comes_twice() {
    let world = World::new().with_tables(MemoryTable::new().with_page_size(50), MemoryTable::new());
    for number in 0..3_000 {
        world.leads.put(microsoft_row(&world.today(), &format!("Lead{number:04}x"), BACKUP));
    }
    let mut runs = 0;
    while let Some(record) = world.run_slowly(SECOND * 4, SECOND, world.deadline())
        && record.outcome == Outcome::Stopped
    {
        world.advance(MINUTE * 2);
        world.leads.put(microsoft_row(&world.today(), &format!("New{runs}x"), BACKUP));
        runs += 1;
        assert!(runs < 40, "it never ends");
    }
    assert!(runs > 2, "one run sufficed");
    world.advance(HOUR);
    world.run().await;
    let files: Vec<_> = world.mailer.accepted().iter().map(csv).collect();
    let mut found = occurrences(files.iter().map(String::as_str), "row-Lead");
    found.append(&mut occurrences(files.iter().map(String::as_str), "row-New"));
    for name in (0..3_000).map(|number| format!("Lead{number:04}x")).chain((0..runs).map(|run| format!("New{run}x"))) {
        assert_eq!(found.get(&format!("row-{name}")), Some(&1), "{name}");
    }
}

#[tokio::test]
async fn rows_and_bodies_that_cannot_be_read_are_named_and_stop_nothing() {
    let world = World::new();
    world.arrive(&["Ada", "Grace"]).await;
    let today = world.today();
    world.leads.put(Entity::new(&today, "broken").with("CustomerInfo", "{not json").with("LeadSource", "SPZA"));
    world.leads.put(Entity::new(&today, "empty").with("Whatever", crate::table::Value::Int32(1)));
    world.quarantine(b"{\"a\" 1}").await;
    let record = world.run().await;
    assert_eq!((record.outcome, record.leads, record.quarantined, record.mails), (Outcome::Complete, 4, 1, 1));
    let mail = world.mailer.accepted().pop().unwrap();
    for part in ["Ada", "Grace", "broken", "empty", "CustomerInfo", "{\"a\" 1}"] {
        assert!(mail.text.contains(part), "{part} in {}", mail.text);
    }
    world.advance(MINUTE);
    let record = world.run().await;
    assert_eq!((record.leads, record.quarantined), (0, 0));
}

#[tokio::test]
async fn what_becomes_visible_behind_a_slow_run_is_found_although_our_clock_is_ahead() {
    let world = World::new();
    world.runs(2, HOUR).await;
    let (other, before) = (world.clone(), world.leads.calls());
    world.leads.set_fault(Some(Box::new(move |call| {
        // Today's rows are read; then one of them becomes visible, just less late than the overlap, and minutes later one
        // comes under tomorrow's key.
        if call == before + 1 {
            let (now, today) = (other.now(), Day::of(other.now()));
            other.leads.set_now(now - MINUTE * 10 + SECOND);
            other.leads.put(microsoft_row(&today.partition_key(), "Late", BACKUP));
            other.advance(MINUTE * 4);
            other.leads.put(microsoft_row(&today.after().partition_key(), "New", BACKUP));
        }
        None
    })));
    let now = world.now.clone();
    let ahead = Notifier { clock: Arc::new(move || *now.lock().unwrap() + MINUTE * 5), ..world.notifier() };
    ahead.run("ahead", world.deadline() + MINUTE * 10).await.unwrap();
    world.leads.set_fault(None);
    assert_eq!((world.mails_with("New"), world.mails_with("Late")), (1, 0), "the race was run");
    world.advance(HOUR);
    world.run().await;
    assert_eq!(world.mails_with("Late"), 1);
}

#[tokio::test]
async fn what_comes_late_out_of_the_queue_is_mailed_by_the_next_run_without_a_search() {
    use crate::queued_body::QueuedBody;
    use crate::redelivery::Redelivery;
    let world = World::new();
    world.runs(2, MINUTE).await;
    let received = world.now();
    world.advance(HOUR * 24 * 6);
    world.runs(2, MINUTE).await;
    let keys = crate::intake_keys::KnownKeys::new(crate::secret::no_secret("none is needed here"));
    let (leads, state) = (world.leads.clone(), world.state.clone());
    let redelivery = Redelivery { leads, state, keys, chance: world.notifier().chance };
    let grace =
        br#"{"UserDetails":{"FirstName":"Grace"},"LeadSource":"SPZA-PLT|contoso.vm","OfferTitle":"Contoso VM"}"#;
    for body in [&grace[..], b"{\"a\" 1}"] {
        let message = QueuedBody::new(received, body.to_vec()).to_json();
        redelivery.redeliver("1", &message, world.now()).await.unwrap();
    }
    world.advance(MINUTE);
    let record = world.run().await;
    assert_eq!((record.leads, record.quarantined, record.patrolled), (1, 1, 0));
    assert_eq!((world.mails_with("Grace"), world.mails_with("{\"a\" 1}")), (1, 1));
    assert_eq!(world.state_keys("cue-").len(), 0);
    world.runs(60, HOUR).await;
    assert_eq!((world.mails_with("Grace"), world.mails_with("{\"a\" 1}")), (1, 1));
    assert_eq!(world.status().await.extra_partitions, 0);
    // A queue delivers at least once, and dead letters are sent back days later: both were mailed long ago.
    for body in [&grace[..], b"{\"a\" 1}"] {
        let message = QueuedBody::new(received, body.to_vec()).to_json();
        redelivery.redeliver("1", &message, world.now()).await.unwrap();
    }
    assert_eq!(world.state_keys("cue-").len(), 2);
    world.runs(3, HOUR).await;
    assert_eq!((world.mails_with("Grace"), world.mails_with("{\"a\" 1}")), (1, 1));
    assert_eq!(world.state_keys("cue-").len(), 0);
}

#[tokio::test]
async fn a_cue_waits_an_hour_for_its_row_and_no_longer() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    let cued = |row: &str| crate::cue::Cued::Lead(Keys::new("10:2F1:2F2026", row));
    crate::cue::leave(&world.state, &cued("row-Slow"), 1).await.unwrap();
    crate::cue::leave(&world.state, &cued("row-Never"), 2).await.unwrap();
    world.runs(10, MINUTE).await;
    assert_eq!(world.state_keys("cue-").len(), 2);
    world.arrive_under("10:2F1:2F2026", "Slow", BACKUP).await;
    world.run().await;
    assert_eq!((world.mails_with("Slow"), world.state_keys("cue-").len()), (1, 1));
    world.advance(HOUR);
    world.run().await;
    assert_eq!(world.state_keys("cue-").len(), 0);
}

#[tokio::test]
async fn a_cue_whose_row_cannot_be_read_keeps_no_new_lead_waiting() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    let cued = crate::cue::Cued::Lead(Keys::new("10:2F1:2F2026", "row-Old"));
    crate::cue::leave(&world.state, &cued, 1).await.unwrap();
    world.arrive_under("10:2F1:2F2026", "Old", BACKUP).await;
    world.arrive(&["Ada"]).await;
    let before = world.leads.calls();
    world.leads.set_fault(Some(Box::new(move |call| (call == before).then(unavailable))));
    assert_eq!(world.run().await.outcome, Outcome::Failed);
    assert_eq!((world.mails_with("Old"), world.mails_with("Ada")), (0, 1));
    world.leads.set_fault(None);
    world.run().await;
    assert_eq!((world.mails_with("Old"), world.mails_with("Ada")), (1, 1));
}

#[tokio::test]
async fn a_lead_that_the_window_found_does_not_come_again_by_a_cue_that_is_followed_days_later() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    world.arrive(&["Ada"]).await;
    let cued = crate::cue::Cued::Lead(Keys::new(world.today(), "row-Ada"));
    crate::cue::leave(&world.state, &cued, 1).await.unwrap();
    let mut requests = Vec::new();
    for number in 0..24 * 6 {
        world.arrive(&[format!("Other{number}x").as_str()]).await;
        let (leads, state) = (world.leads.calls(), world.state.calls());
        world.leads.set_fault(Some(Box::new(move |call| (call == leads).then(unavailable))));
        world.run().await;
        requests.push(world.leads.calls() + world.state.calls() - leads - state);
        world.advance(HOUR);
    }
    // An hour of a day in which nothing else is due.
    let usual = |day: usize| requests[day * 24 + 12];
    assert!(usual(5) <= usual(1), "what one cue costs does not grow with its age: {requests:?}");
    assert_eq!((world.mails_with("Ada"), world.state_keys("cue-").len()), (1, 1));
    world.leads.set_fault(None);
    world.run().await;
    assert_eq!((world.mails_with("Ada"), world.state_keys("cue-").len()), (1, 0));
}

#[tokio::test]
async fn however_many_cues_there_are_following_them_ends_with_the_runs_time() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    for number in 0..900 {
        world.quarantine(format!("Body{number:03}x").as_bytes()).await;
    }
    world.arrive(&["Ada"]).await;
    world.run_slowly(SECOND * 10, SECOND * 5, world.deadline());
    assert_eq!(world.mails_with("Ada"), 1, "a new lead waits for no cue");
    for _ in 0..40 {
        world.run_slowly(SECOND * 10, SECOND * 5, world.deadline());
        world.advance(MINUTE * 2);
    }
    assert_eq!(world.state_keys("cue-").len(), 0);
    let mails = world.mailer.accepted();
    let found = occurrences(mails.iter().map(|mail| mail.text.as_str()), "Body");
    for number in 0..900 {
        assert_eq!(found.get(&format!("Body{number:03}x")), Some(&1), "{number}");
    }
}

#[tokio::test]
async fn one_run_follows_hundreds_of_cues_however_short_the_pages_are() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    for number in 0..600 {
        world.quarantine(format!("Body{number:03}x").as_bytes()).await;
    }
    let state = world.state.clone().with_page_size(20);
    let notifier = world.notifier_on(world.leads.clone(), state, world.mailer.clone());
    notifier.run("short pages", world.deadline()).await.unwrap();
    assert_eq!(world.state_keys("cue-").len(), 0);
}

#[tokio::test]
async fn a_cue_whose_row_can_never_be_read_keeps_no_other_one_of_its_partition_waiting() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    for number in 0..200 {
        world.quarantine(format!("Body{number:03}x").as_bytes()).await;
    }
    // Nobody can read the row that comes first, whoever is asked for it.
    let first = Arc::new(Mutex::new(None));
    let before: Before = Arc::new(move |call| {
        let is_first = matches!(&call, Call::Get(keys) if *first.lock().unwrap().get_or_insert(keys.clone()) == *keys);
        let unavailable = || Err(TableError::Unavailable { reason: "test".to_owned() });
        ready(if is_first { unavailable() } else { Ok(()) }).boxed()
    });
    let leads = Hooked { service: world.leads.clone(), before: Arc::new(|_| ready(Ok(())).boxed()) };
    let state = Hooked { service: world.state.clone(), before };
    let notifier = world.notifier_on(leads, state, world.mailer.clone());
    let record = notifier.run("damaged", world.deadline()).await.unwrap();
    assert_eq!((record.outcome, world.state_keys("cue-").len()), (Outcome::Failed, 1));
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_keeps_no_cue_of_another_one_waiting() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    let day = "10:2F1:2F2026";
    for number in 0..400 {
        let cued = crate::cue::Cued::Lead(Keys::new(day, format!("row-{number}")));
        crate::cue::leave(&world.state, &cued, number).await.unwrap();
    }
    world.arrive_under(day, "Ada", BACKUP).await;
    world.quarantine(b"Readable").await;
    let before = world.leads.calls();
    world.leads.set_fault(Some(Box::new(move |call| (call >= before).then(unavailable))));
    let _ = world.run().await;
    let asked = world.leads.calls() - before;
    assert!(asked < 100, "{asked} requests to a partition that answers none of them");
    assert_eq!(world.mails_with("Readable"), 1);
}
