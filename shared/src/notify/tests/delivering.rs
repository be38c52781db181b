//! Sending what was recorded: leases, faults of the mail service, deadlines, and what is marked as a repeat.

use super::*;
use crate::mail::MAX_RECIPIENTS;

#[tokio::test]
async fn of_two_runs_at_once_one_works_and_each_lead_is_mailed_once() {
    let world = World::new();
    world.arrive(&["Ada", "Grace"]).await;
    let second = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        // While the first run sends, a second one begins, and a third.
        for _ in 0..2 {
            assert_eq!(futures::executor::block_on(second.run()).outcome, Outcome::Busy);
        }
        None
    })));
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    assert_eq!((world.mails_with("Ada"), world.mails_with("Grace")), (1, 1));
}

#[tokio::test]
async fn an_invocation_that_is_delivered_twice_is_one_run() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let second = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        let record = futures::executor::block_on(second.notifier().run("same", second.deadline())).unwrap();
        assert_eq!(record.outcome, Outcome::Busy);
        None
    })));
    assert_eq!(world.notifier().run("same", world.deadline()).await.unwrap().outcome, Outcome::Complete);
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_mail_of_a_backlog_says_how_many_leads_follow() {
    let world = World::new().with("LEADS_DIGEST_SIZE", "2");
    world.arrive(&["Ada", "Grace", "Radia", "Barbara", "Mary"]).await;
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    let ends: Vec<_> =
        world.subjects().iter().map(|subject| subject.split_once("; ").map(|(_, end)| end.to_owned())).collect();
    assert_eq!(ends, [Some("3 more follow".to_owned()), Some("1 more follows".to_owned()), None]);
}

/// A run that dies while it sends for the first time, before the mail service has the mail.
async fn dies_while_sending(world: &World) {
    let state = world.state.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        state.set_fault(Some(Box::new(|_| Some(unavailable()))));
        Some(SendFault::lost_request())
    })));
    let record = world.notifier().run("dies", world.deadline()).await;
    assert!(record.is_err() || record.is_ok_and(|record| record.outcome == Outcome::Failed));
    world.end_faults();
}

#[tokio::test]
async fn a_run_that_dies_keeps_the_others_out_only_until_its_lease_ends() {
    let world = World::new();
    world.run().await;
    world.arrive(&["Ada"]).await;
    dies_while_sending(&world).await;
    assert_eq!(world.run().await.outcome, Outcome::Busy);
    world.advance(SECOND * 91);
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    assert_eq!(world.mails_with("Ada"), 1);
    assert!(world.mailer.accepted()[0].text.contains(REPEAT), "nobody knows whether the first mail came");
}

#[tokio::test]
async fn a_digest_whose_sending_could_not_be_noted_in_three_tries_is_noted_in_the_fourth() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let failing = Arc::new(AtomicUsize::new(0));
    let left = failing.clone();
    world.state.set_fault(Some(Box::new(move |_| {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok().then(unavailable)
    })));
    world.mailer.set_fault(Some(Box::new(move |_| {
        // A write and the question what it did, three times.
        failing.store(6, Ordering::Relaxed);
        None
    })));
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    assert_eq!(world.owed().await, 0);
    world.end_faults();
    world.advance(HOUR);
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_digest_whose_sending_could_not_be_noted_comes_again_marked_under_the_same_id() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let state = world.state.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        state.set_fault(Some(Box::new(|_| Some(unavailable()))));
        None
    })));
    let record = world.notifier().run("dies", world.deadline()).await;
    assert!(record.is_err() || record.is_ok_and(|record| record.outcome == Outcome::Failed));
    world.end_faults();
    world.advance(HOUR);
    world.run().await;
    let mails = world.mailer.accepted();
    assert_eq!(mails.len(), 2);
    assert!(!mails[0].text.contains(REPEAT) && mails[1].text.contains(REPEAT));
    assert_eq!(mails[0].headers, mails[1].headers, "both mails have the digest's id");
}

#[tokio::test]
async fn only_what_may_have_been_accepted_is_marked_when_it_is_sent_again() {
    for (fault, is_marked) in [
        (SendFault::destination(), false),
        (SendFault::busy(), false),
        (SendFault::unavailable(), false),
        (SendFault::lost_request(), true),
        (SendFault::lost_answer(), true),
    ] {
        let world = World::new();
        world.arrive(&["Ada"]).await;
        world.mailer.fail_next(1, &fault);
        let record = world.run().await;
        assert_eq!((record.outcome, record.owed), (Outcome::Failed, 1), "{fault:?}");
        world.advance(HOUR);
        world.arrive(&["Grace"]).await;
        let record = world.run().await;
        assert_eq!((record.outcome, record.owed), (Outcome::Complete, 0), "{fault:?}");
        let mails = world.mailer.accepted();
        let is_repeat = |name: &str| mails.iter().rfind(|mail| mail.text.contains(name)).unwrap().text.contains(REPEAT);
        assert_eq!((is_repeat("Ada"), is_repeat("Grace")), (is_marked, false), "{fault:?}");
    }
}

#[tokio::test]
async fn more_recipients_than_one_mail_takes_get_several_and_none_of_them_twice() {
    let to: Vec<_> = (0..120).map(|number| format!("person{number}@contoso.example")).collect();
    let world = World::new().with("LEADS_MAIL_TO", &to.join(";"));
    world.arrive(&["Ada"]).await;
    let second = "person60@contoso.example".to_owned();
    world.mailer.set_fault(Some(Box::new(move |mail| mail.to.contains(&second).then(SendFault::lost_request))));
    assert_eq!(world.run().await.outcome, Outcome::Failed);
    world.mailer.set_fault(None);
    world.advance(HOUR);
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    let mails = world.mailer.accepted();
    assert!(mails.iter().all(|mail| mail.to.len() <= MAX_RECIPIENTS));
    let mut got: Vec<_> = mails.into_iter().flat_map(|mail| mail.to).collect();
    got.sort();
    let mut wanted = to;
    wanted.sort();
    assert_eq!(got, wanted);
}

#[tokio::test]
async fn a_mail_whose_content_is_refused_for_some_recipients_only_comes_again_to_the_others_marked() {
    let to: Vec<_> = (0..60).map(|number| format!("person{number}@contoso.example")).collect();
    let world = World::new().with("LEADS_MAIL_TO", &to.join(";"));
    world.arrive(&["Ada", "Grace"]).await;
    let refused = Arc::new(AtomicUsize::new(1));
    world.mailer.set_fault(Some(Box::new(move |mail| {
        let is_second = mail.to.contains(&"person59@contoso.example".to_owned());
        (is_second && refused.swap(0, Ordering::Relaxed) == 1).then(SendFault::message)
    })));
    world.run().await;
    assert_eq!(world.owed().await, 0);
    for person in to {
        let mails = world.mailer.accepted().into_iter().filter(|mail| mail.to.contains(&person));
        let mails: Vec<_> = mails.map(|mail| mail.text).collect();
        for name in ["Ada", "Grace"] {
            let with: Vec<_> = mails.iter().filter(|text| text.contains(name)).collect();
            assert!(!with.is_empty(), "{person} {name}");
            assert!(with[1..].iter().all(|text| text.contains(REPEAT)), "{person} got {name} again unmarked");
        }
    }
}

#[tokio::test]
async fn of_several_recipients_one_who_is_refused_keeps_nothing_from_the_others() {
    let world = World::new().with("LEADS_MAIL_TO", "ann@contoso.example;gone@contoso.example;bob@contoso.example");
    world.arrive(&["Ada"]).await;
    world.mailer.set_fault(Some(Box::new(|mail| {
        mail.to.contains(&"gone@contoso.example".to_owned()).then(SendFault::destination)
    })));
    world.run().await;
    assert_eq!(world.owed().await, 0);
    for to in ["ann@contoso.example", "bob@contoso.example"] {
        assert_eq!(world.texts_to(to).matches("Ada Doe").count(), 1, "{to}");
    }
}

#[tokio::test]
async fn a_run_stops_before_its_deadline_and_the_next_one_reads_on() {
    let world = World::new().with("LEADS_DIGEST_SIZE", "10");
    let names: Vec<_> = (0..400).map(|number| format!("Lead{number:03}x")).collect();
    for name in &names {
        world.arrive(&[name.as_str()]).await;
    }
    world.slow_down(SignedDuration::ZERO, SECOND * 15);
    let deadline = world.deadline();
    let record = world.run().await;
    assert_eq!(record.outcome, Outcome::Stopped);
    assert!(world.now() < deadline && record.digests >= 3, "{record:?}");
    world.runs(3, SignedDuration::ZERO).await;
    for name in &names {
        assert_eq!(world.mails_with(name), 1, "{name}");
    }
}

#[tokio::test]
async fn however_little_time_a_run_has_no_call_that_may_take_long_keeps_it_beyond_its_deadline() {
    for seconds in (60..300).step_by(7) {
        let world = World::new().with("LEADS_DIGEST_SIZE", "5");
        world.runs(2, MINUTE).await;
        let names: Vec<_> = (0..40).map(|number| format!("Lead{number:03}x")).collect();
        for name in &names {
            world.arrive(&[name.as_str()]).await;
        }
        world.arrive_under("odd", "Odd", BACKUP).await;
        for number in 0..30 {
            world.quarantine(format!("Body{number}x").as_bytes()).await;
        }
        world.advance(HOUR * 24);
        world.run_slowly(SECOND * 10, SECOND * 20, world.now() + SECOND * seconds);
        world.runs(30, HOUR).await;
        assert!(names.iter().all(|name| world.mails_with(name) == 1), "{seconds} s");
        assert_eq!(world.mails_with("Odd"), 1, "{seconds} s");
    }
}

#[tokio::test]
async fn repeats_carry_the_history_of_the_person() {
    let world = World::new();
    let arrive = |name: &str, row_key: &str| {
        let mut row = microsoft_row(&world.today(), name, BACKUP);
        row.properties.remove("CreatedTime");
        row.row_key = row_key.to_owned();
        world.leads.put(row);
    };
    arrive("Ada", "first");
    world.run().await;
    world.advance(HOUR * 24);
    arrive("ADA", "second");
    world.run().await;
    let mails = world.mailer.accepted();
    assert!(!mails[0].text.contains("180 days") && mails[1].text.contains("180 days"), "{}", mails[1].text);
}

#[tokio::test]
async fn in_a_backlog_nobody_is_looked_up_who_is_new_and_no_history_is_forgotten() {
    for page_size in [7, 1000] {
        let world = World::new().with_tables(MemoryTable::new(), MemoryTable::new().with_page_size(page_size));
        let arrive = |name: &str, row_key: &str| {
            let mut row = microsoft_row(&world.today(), name, BACKUP);
            row.properties.remove("CreatedTime");
            row.row_key = row_key.to_owned();
            world.leads.put(row);
        };
        for number in 0..30 {
            arrive(&format!("Known{number}"), &format!("first-{number}"));
        }
        world.runs(2, HOUR * 11).await;
        for number in 0..30 {
            arrive(&format!("Known{number}"), &format!("second-{:03}", number * 10));
        }
        for number in 0..270 {
            arrive(&format!("New{number}"), &format!("second-{:03}", number * 10 / 9 + 1));
        }
        let record = world.run().await;
        assert_eq!((record.leads, record.digests), (300, 3));
        let mails = world.mailer.accepted();
        let histories: usize = mails.iter().map(|mail| mail.text.matches("Second action in 180 days").count()).sum();
        assert_eq!(histories, 30, "{page_size} rows a page");
        // One for each known person, some pages, and what a run and its digests need; not one for each of 300.
        assert!(record.requests <= 70, "{page_size} rows a page: {} requests", record.requests);
    }
}

#[tokio::test]
async fn leads_go_out_without_a_history_where_the_contact_index_fails() {
    let mut sent_all_the_same = 0;
    for at in 0..12 {
        let world = World::new();
        world.run().await;
        world.arrive(&["Ada"]).await;
        let before = world.state.calls();
        world.state.set_fault(Some(Box::new(move |call| (call == before + at).then(unavailable))));
        let record = world.notifier().run("fails", world.deadline()).await;
        world.end_faults();
        sent_all_the_same += usize::from(record.is_ok_and(|record| record.error.is_some() && record.mailed == 1));
        world.advance(HOUR);
        world.run().await;
        assert_eq!(world.mails_with("Ada"), 1, "request {at}");
    }
    assert!(sent_all_the_same >= 1, "no failing of the contact index was met");
}
