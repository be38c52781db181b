//! Recipients to whom the mail service delivers nothing: it accepts mails to them, and drops them.

use super::*;
use std::sync::atomic::Ordering;

const SALES: &str = "sales@contoso.example";
const OPERATOR: &str = "operator@contoso.example";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A world whose installs of one offer go to these recipients, after its first run.
async fn world(to: &[&str]) -> World {
    let routes = json!([{"id": "backup", "offers": ["contoso.backup"], "to": to}]).to_string();
    let world = World::new().with("LEADS_ROUTES", &routes).with("LEADS_OPERATOR", OPERATOR);
    world.run().await;
    world
}

/// A lead that comes, and the run that mails it: to whom it went.
async fn recipients_of(world: &World, name: &str) -> Vec<String> {
    world.advance(HOUR);
    world.arrive(&[name]).await;
    let record = world.run().await;
    assert_eq!((record.outcome, record.error, record.owed), (Outcome::Complete, None, 0), "{name}");
    let mails = world.mailer.accepted().into_iter().filter(|mail| mail.text.contains(name));
    mails.flat_map(|mail| mail.to).collect()
}

/// The mails in which the operator was told of a recipient.
fn told(world: &World) -> Vec<Message> {
    let mails = world.mailer.accepted().into_iter();
    mails.filter(|mail| mail.to == [OPERATOR] && mail.subject.contains("delivers nothing to")).collect()
}

#[tokio::test]
async fn a_suppressed_recipient_is_left_out_named_to_the_operator_once_and_back_within_a_day_of_being_taken_off() {
    let world = world(&["ann@contoso.example", "Bob@contoso.example"]).await;
    assert_eq!(recipients_of(&world, "Ada").await, ["ann@contoso.example", "Bob@contoso.example"]);
    world.mailer.set_suppressed(&["bob@contoso.example"]);
    world.advance(DAY);
    for name in ["Eve", "Fay"] {
        assert_eq!(recipients_of(&world, name).await, ["ann@contoso.example"], "{name}");
    }
    let mails = told(&world);
    assert_eq!(mails.len(), 1, "it is said once");
    assert!(mails[0].subject.contains("Bob@contoso.example") && mails[0].text.contains("Routes: backup."));
    assert!(!mails[0].text.contains("Eve"), "nothing of a lead");
    world.mailer.set_suppressed(&[]);
    world.advance(DAY);
    assert_eq!(recipients_of(&world, "Gus").await, ["ann@contoso.example", "Bob@contoso.example"]);
    // It is news when it is on the list again.
    world.mailer.set_suppressed(&["bob@contoso.example"]);
    world.advance(DAY);
    assert_eq!(recipients_of(&world, "Hal").await, ["ann@contoso.example"]);
    assert_eq!(told(&world).len(), 2);
    let state = format!("{:?}", world.state.rows());
    assert!(!state.contains("bob@") && !state.contains("Bob@"), "the state holds hashes of addresses");
}

#[tokio::test]
async fn what_only_suppressed_recipients_were_to_get_goes_to_the_default_recipients_and_says_so() {
    let world = world(&["ann@contoso.example", "bob@contoso.example"]).await;
    world.mailer.set_suppressed(&["ann@contoso.example", "bob@contoso.example"]);
    assert_eq!(recipients_of(&world, "Ada").await, [SALES]);
    assert!(world.texts_to(SALES).contains("to which the mail service delivers nothing"));
    assert_eq!(told(&world).len(), 2, "each recipient is named");
    world.arrive(&["Dan"]).await;
    let dry = world.execute(json!({"command": "dry-run"})).await.unwrap();
    assert_eq!(dry["digests"][0]["recipients"], json!([SALES]), "a dry run says so, too");
    // Where the default recipients are on the list as well, nobody else is left.
    world.mailer.set_suppressed(&["ann@contoso.example", "bob@contoso.example", SALES]);
    world.advance(DAY);
    assert_eq!(recipients_of(&world, "Eve").await, [""; 0]);
    let sent: Vec<_> = world.mailer.dropped().into_iter().map(|mail| mail.to).collect();
    assert_eq!(sent, [[SALES]], "it is sent to them nevertheless");
    assert_eq!(told(&world).len(), 3);
    assert!(told(&world)[2].text.contains("Routes: default."));
}

#[tokio::test]
async fn a_question_without_an_answer_changes_nothing_and_is_asked_again_with_the_next_mail() {
    let world = world(&["ann@contoso.example", "bob@contoso.example"]).await;
    world.mailer.set_answers_questions(false);
    assert_eq!(recipients_of(&world, "Ada").await, ["ann@contoso.example", "bob@contoso.example"]);
    assert_eq!(world.mailer.questions(), 1, "one that fails is the last of a run");
    world.mailer.set_answers_questions(true);
    assert_eq!(recipients_of(&world, "Eve").await, ["ann@contoso.example", "bob@contoso.example"]);
    assert_eq!(world.mailer.questions(), 3);
    // What was known counts until there is an answer.
    world.mailer.set_suppressed(&["bob@contoso.example"]);
    world.advance(DAY);
    assert_eq!(recipients_of(&world, "Fay").await, ["ann@contoso.example"]);
    world.mailer.set_answers_questions(false);
    world.advance(DAY);
    assert_eq!(recipients_of(&world, "Gus").await, ["ann@contoso.example"]);
}

#[tokio::test]
async fn each_recipient_is_asked_about_once_a_day_and_that_costs_no_request_of_the_tables() {
    // The second world's mail service never answers, so that nothing is noted there.
    let worlds = [world(&["ann@contoso.example", "bob@contoso.example"]).await, world(&["ann@contoso.example"]).await];
    worlds[1].mailer.set_answers_questions(false);
    let mut requests = [Vec::new(), Vec::new()];
    for (day, questions) in [(0, 2), (1, 4), (2, 6)] {
        for (world, requests) in worlds.iter().zip(&mut requests) {
            for hour in 0..3 {
                world.advance(HOUR);
                world.arrive(&[format!("Ada{day}n{hour}x").as_str()]).await;
                requests.push(world.run().await.requests);
            }
            // The daily search, and the hourly heartbeat; then nothing is left to do.
            world.advance(DAY);
            world.runs(2, SECOND).await;
            let (asked, state) = (world.mailer.questions(), world.state.rows());
            let record = world.run().await;
            assert_eq!((record.outcome, world.mailer.questions()), (Outcome::Idle, asked));
            assert!(record.requests <= 6 && world.state.rows() == state, "{record:?}");
        }
        assert_eq!(worlds[0].mailer.questions(), questions, "an answer counts for a day");
    }
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn many_recipients_are_asked_about_over_several_runs_and_all_of_them_get_their_mail_meanwhile() {
    let to: Vec<_> = (0..25).map(|number| format!("r{number}@contoso.example")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let world = world(&to).await;
    for (name, questions) in [("Ada", 10), ("Eve", 20), ("Fay", 25), ("Gus", 25)] {
        assert_eq!(recipients_of(&world, name).await, to);
        assert_eq!(world.mailer.questions(), questions, "{name}");
    }
}

#[tokio::test]
async fn a_mail_service_that_answers_slowly_holds_a_mail_up_for_some_seconds_alone() {
    let to: Vec<_> = (0..8).map(|number| format!("r{number}@contoso.example")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    for (milliseconds, questions) in [(100, 8), (1_500, 4), (3_000, 1)] {
        let world = world(&to).await;
        world.advance(HOUR);
        world.arrive(&["Ada"]).await;
        let each = SignedDuration::from_millis(milliseconds);
        let record = world.run_slowly(SignedDuration::from_millis(1), each, world.deadline()).unwrap();
        assert_eq!((record.mails, record.owed), (1, 0), "{milliseconds} ms");
        let asked = world.mailer.questions() + usize::from(milliseconds > 2_000);
        assert_eq!(asked, questions, "{milliseconds} ms: what takes too long is given up");
        let took = SignedDuration::from_millis(record.duration_ms);
        assert!(took - each < SECOND * 7, "{milliseconds} ms: {took:#}");
    }
}

#[tokio::test]
async fn a_backfill_goes_to_those_who_are_reached_or_to_whom_it_names() {
    let world = world(&["ann@contoso.example", "bob@contoso.example"]).await;
    world.mailer.set_suppressed(&["bob@contoso.example"]);
    assert_eq!(recipients_of(&world, "Ada").await, ["ann@contoso.example"]);
    let mut backfill = json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04"});
    world.mailer.set_suppressed(&[]);
    world.execute(backfill.clone()).await.unwrap();
    assert_eq!(world.mailer.accepted().last().unwrap().to, ["ann@contoso.example"], "as far as is known");
    backfill["to"] = json!("bob@contoso.example");
    world.execute(backfill).await.unwrap();
    assert_eq!(world.mailer.accepted().last().unwrap().to, ["bob@contoso.example"]);
}

#[tokio::test]
async fn an_operator_who_could_not_be_told_of_a_recipient_is_told_with_the_next_mail() {
    let world = world(&["ann@contoso.example", "bob@contoso.example"]).await;
    world.mailer.set_suppressed(&["bob@contoso.example"]);
    let to_operator = |mail: &Message| mail.to == [OPERATOR];
    world.mailer.set_fault(Some(Box::new(move |mail| to_operator(mail).then(SendFault::unavailable))));
    recipients_of(&world, "Ada").await;
    assert_eq!(told(&world).len(), 0);
    let sends = world.mailer.calls();
    world.advance(MINUTE);
    world.run().await;
    assert_eq!(world.mailer.calls(), sends, "an idle run tries nothing");
    world.mailer.set_fault(None);
    recipients_of(&world, "Eve").await;
    recipients_of(&world, "Fay").await;
    assert_eq!(told(&world).len(), 1);
}

#[tokio::test]
async fn a_recipient_who_is_suppressed_while_others_have_their_part_of_a_digest_holds_up_nothing() {
    let world = world(&["ann@contoso.example", "bob@contoso.example"]).await;
    recipients_of(&world, "Ada").await;
    // All of them at once are refused, then each alone: one gets the mail, the other one's attempt ends without an answer.
    world.mailer.set_fault(Some(Box::new(|mail| match (mail.to.len(), mail.to[0].starts_with("bob")) {
        (1, false) => None,
        (1, true) => Some(SendFault::lost_request()),
        _ => Some(SendFault::destination()),
    })));
    world.advance(HOUR);
    world.arrive(&["Eve"]).await;
    world.run().await;
    assert_eq!((world.owed().await, world.mails_with("Eve")), (1, 1));
    world.mailer.set_fault(None);
    world.mailer.set_suppressed(&["bob@contoso.example"]);
    world.advance(DAY);
    world.run().await;
    assert_eq!((world.owed().await, world.mails_with("Eve")), (0, 1), "those who remain have it already");
    assert_eq!(recipients_of(&world, "Fay").await, ["ann@contoso.example"]);
}

#[tokio::test]
async fn an_operator_is_told_once_of_recipients_who_are_refused_twice_in_a_long_run() {
    let route =
        |name: &str| json!({"id": name, "offers": ["contoso.backup"], "to": [format!("{name}@contoso.example")]});
    let routes = json!([route("dead"), route("fine")]).to_string();
    let settings = [("LEADS_ROUTES", routes.as_str()), ("LEADS_OPERATOR", OPERATOR), ("LEADS_DIGEST_SIZE", "1")];
    let world = settings.into_iter().fold(World::new(), |world, (name, value)| world.with(name, value));
    world.run().await;
    world.advance(HOUR);
    world.arrive(&["Ada", "Eve", "Fay", "Grace", "Hedy", "Joan"]).await;
    let (slow, tries) = (world.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = tries.clone();
    world.mailer.set_fault(Some(Box::new(move |mail| {
        slow.advance(SignedDuration::from_secs(15));
        let is_dead = mail.to == ["dead@contoso.example"];
        counted.fetch_add(is_dead.into(), Ordering::Relaxed);
        is_dead.then(SendFault::destination)
    })));
    world.run().await;
    assert!(tries.load(Ordering::Relaxed) > 1, "the run is long enough for a second attempt");
    world.run().await;
    assert_eq!((world.mails_to("fine@contoso.example"), world.mails_to(OPERATOR)), (6, 1));
}
