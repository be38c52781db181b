//! Whose fault it is: a lead's, which must stop no other one, or the destination's, which must cost no lead.

use super::destinations::{KINDS, WEBHOOK, answer, world};
use super::*;
use crate::destinations::Post;

/// Lets each request that names a lead end so, and all others be accepted.
fn refuse_one(world: &World, lead: &'static str, name: &'static str) {
    let refuses = move |post: &Post| answer(if post.body.contains(lead) { name } else { "accepted" });
    world.poster.set_answer(Some(Box::new(refuses)));
}

async fn parked(world: &World) -> Vec<Json> {
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    outbox["parked"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_lead_that_a_destination_fails_on_in_whichever_way_keeps_no_other_one_waiting_for_long() {
    for (kind, fault) in KINDS.into_iter().flat_map(|kind| ["gone", "lost", "unreached"].map(|fault| (kind, fault))) {
        // It is the first one of several, or waits alone when others come.
        for bad in ["aaron", "zoe"] {
            let world = world(kind);
            world.run().await;
            world.arrive(&[bad, "bob", "cid"]).await;
            refuse_one(&world, bad, fault);
            world.runs(60, MINUTE).await;
            // It is given up when the destination has failed on it again and again, and taken others meanwhile.
            assert_eq!(parked(&world).await.len(), 0, "{kind} {fault} {bad}");
            for name in ["dan", "fay", "gus", "hal"] {
                world.arrive(&[name]).await;
                world.runs(120, MINUTE).await;
                assert!(world.posted().contains(&format!("{name}@fabrikam.example")), "{name} {kind} {fault} {bad}");
            }
            for name in ["bob", "cid"] {
                assert!(world.posted().contains(&format!("{name}@fabrikam.example")), "{name} {kind} {fault} {bad}");
            }
            assert_eq!((world.owed().await, parked(&world).await.len()), (0, 1), "{kind} {fault} {bad}");
            // What comes later does not wait, and what was given up goes out on demand.
            world.arrive(&["eve"]).await;
            world.run().await;
            assert!(world.posted().contains("eve@fabrikam.example"), "{kind} {fault}");
            world.poster.set_answer(None);
            world.execute(json!({"command": "retry"})).await.unwrap();
            world.run().await;
            assert!(world.posted().contains(&format!("{bad}@fabrikam.example")), "{kind} {fault}");
        }
    }
}

#[tokio::test]
async fn a_lead_whose_texts_a_firewall_refuses_goes_without_them_behind_the_next_one() {
    let world = world(WEBHOOK);
    world.run().await;
    world.arrive(&["ann", "bob"]).await;
    refuse_one(&world, "ann@fabrikam", "gone");
    world.runs(60, MINUTE).await;
    assert!(world.posted().contains("row-ann") && world.posted().contains("bob@fabrikam.example"));
    assert_eq!((world.owed().await, parked(&world).await.len()), (0, 0));
}

#[tokio::test]
async fn a_destination_that_refuses_every_message_for_a_weekend_costs_no_more_than_one_lead() {
    for kind in KINDS {
        let world = world(kind);
        world.run().await;
        world.answers("message");
        let names: Vec<_> = (0..20).map(|number| format!("lead{number:02}x")).collect();
        for name in &names {
            world.arrive(&[name]).await;
            world.runs(3, HOUR).await;
        }
        assert!(parked(&world).await.len() <= 1, "{kind}: {} leads were given up", parked(&world).await.len());
        assert_eq!(world.mails_to("operator@contoso.example"), 1, "{kind}: the operator is told once");
        world.poster.set_answer(None);
        world.execute(json!({"command": "retry"})).await.unwrap();
        world.runs(3, HOUR).await;
        assert!(names.iter().all(|name| world.posted().contains(&format!("{name}@"))), "{kind}");
    }
}

#[tokio::test]
async fn a_mail_service_that_refuses_every_mail_for_days_costs_no_more_than_one_lead() {
    let world = World::new().with("LEADS_OPERATOR", "operator@contoso.example");
    world.run().await;
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::message()))));
    let names: Vec<_> = (0..30).map(|number| format!("lead{number:02}x")).collect();
    world.arrive(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.runs(60, HOUR).await;
    assert!(parked(&world).await.len() <= 1, "{} leads were given up", parked(&world).await.len());
    world.mailer.set_fault(None);
    world.runs(3, HOUR).await;
    assert_eq!(names.iter().filter(|name| world.mails_with(&format!("{name}@")) == 1).count(), 29);
}

#[tokio::test]
async fn what_may_have_been_accepted_before_it_was_given_up_is_marked_when_it_is_sent_again() {
    for (faults, is_marked) in [(["lost", "message", "message", "message"], true), (["message"; 4], false)] {
        let world = world(WEBHOOK);
        world.run().await;
        world.arrive(&["ann"]).await;
        let mut left = faults.into_iter();
        world.poster.set_answer(Some(Box::new(move |_| answer(left.next().unwrap_or("message")))));
        world.runs(5, MINUTE * 5).await;
        assert_eq!((world.owed().await, parked(&world).await.len()), (0, 1));
        world.poster.set_answer(None);
        world.execute(json!({"command": "retry"})).await.unwrap();
        world.run().await;
        assert_eq!(world.posted().contains(r#""maybe_repeated":true"#), is_marked, "{faults:?}");
    }
}

#[tokio::test]
async fn two_leads_that_the_mail_service_refuses_even_by_their_keys_keep_no_other_one_waiting_and_are_given_up() {
    let world = World::new();
    world.run().await;
    world.arrive(&["bad1", "bad2"]).await;
    let is_bad = |mail: &Message| mail.text.contains("row-bad") || csv(mail).contains("row-bad");
    world.mailer.set_fault(Some(Box::new(move |mail| is_bad(mail).then(SendFault::message))));
    world.runs(3, HOUR).await;
    assert_eq!(parked(&world).await.len(), 1);
    // One that is put back while nothing was accepted is in nobody's way either.
    world.execute(json!({"command": "retry"})).await.unwrap();
    world.arrive(&["ann", "bob"]).await;
    world.runs(3, HOUR).await;
    assert_eq!((world.mails_with("ann@"), world.mails_with("bob@")), (1, 1));
    world.arrive(&["cid"]).await;
    world.runs(6, HOUR).await;
    assert_eq!((world.mails_with("cid@"), world.owed().await, parked(&world).await.len()), (1, 0, 2));
}

#[tokio::test]
async fn a_run_that_dies_while_it_moves_a_failing_lead_behind_another_one_repeats_neither_unmarked() {
    for allowed in 0..3 {
        let world = world(WEBHOOK);
        world.run().await;
        world.arrive(&["aaron", "bob"]).await;
        refuse_one(&world, "aaron", "gone");
        // Once the second lead is out, so many more requests of the state table succeed.
        let (poster, calls) = (world.poster.clone(), AtomicUsize::new(0));
        let is_dead = move || !poster.accepted().is_empty() && calls.fetch_add(1, Ordering::Relaxed) >= allowed;
        world.state.set_fault(Some(Box::new(move |_| is_dead().then(unavailable))));
        while world.poster.accepted().is_empty() {
            let _ = world.notifier().run("dies", world.deadline()).await;
            world.advance(MINUTE);
        }
        world.end_faults();
        world.poster.set_answer(None);
        world.runs(120, MINUTE).await;
        let unmarked = |name: &str| {
            let is_it = |post: &Post| post.body.contains(name) && !post.body.contains(r#""maybe_repeated":true"#);
            world.poster.accepted().iter().filter(|post| is_it(post)).count()
        };
        assert!(unmarked("bob@fabrikam.example") <= 1 && unmarked("aaron@fabrikam.example") <= 1, "{allowed}");
        assert!(world.posted().contains("aaron@fabrikam.example") && world.posted().contains("bob@fabrikam.example"));
        assert_eq!(world.owed().await, 0);
    }
}
