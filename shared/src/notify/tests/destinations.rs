//! Destinations beside mail.

use super::*;
use crate::address::DestinationName;
use crate::bug::texts;
use crate::destinations::{Post, PostError};
use std::time::Duration;

pub(super) const WEBHOOK: &str = r#"{"kind":"webhook","url":"https://crm.contoso.example/hidden","secrets":["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]}"#;
const SLACK: &str = r#"{"kind":"slack","url":"https://slack.contoso.example/hidden"}"#;
const TEAMS: &str = r#"{"kind":"teams","url":"https://teams.contoso.example/hidden"}"#;

pub(super) const KINDS: [&str; 3] = [WEBHOOK, SLACK, TEAMS];

/// A world in which a route sends everything to `crm` and, by mail, to a person.
pub(super) fn world(text: &str) -> World {
    let routes = r#"[{"id":"all","to":["crm","ops@contoso.example"],"cadence":"immediately"}]"#;
    let world = World::new().with("LEADS_ROUTES", routes).with("LEADS_OPERATOR", "operator@contoso.example");
    world.source.set("crm", Some(text));
    world
}

/// What a poster answers with: by its name in a table of tests.
pub(super) fn answer(name: &str) -> Result<(), PostError> {
    let code = name.to_owned();
    match name {
        "message" => Err(PostError::Message { code }),
        "gone" => Err(PostError::Destination { code, cure: "make a new one" }),
        "busy" | "overloaded" => {
            let may_be_accepted = name == "overloaded";
            Err(PostError::Busy { code, retry_after: Some(Duration::from_secs(7_200)), may_be_accepted })
        }
        "lost" => Err(PostError::Unavailable { code, may_be_accepted: true }),
        "unreached" => Err(PostError::Unavailable { code, may_be_accepted: false }),
        _ => Ok(()),
    }
}

impl World {
    pub(super) fn answers(&self, name: &'static str) {
        self.poster.set_answer(Some(Box::new(move |_| answer(name))));
    }

    /// The bodies of what was accepted, as one text.
    pub(super) fn posted(&self) -> String {
        self.poster.accepted().iter().map(|post| post.body.clone()).collect()
    }

    /// The ids of the events that were accepted.
    fn event_ids(&self) -> Vec<String> {
        self.poster.accepted().iter().map(event_id).collect()
    }

    pub(super) fn mails_to(&self, address: &str) -> usize {
        self.mailer.accepted().iter().filter(|mail| mail.to.iter().any(|to| to == address)).count()
    }
}

fn header(post: &Post, name: &str) -> String {
    post.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose().to_owned()).unwrap_or_default()
}

fn event_id(post: &Post) -> String {
    header(post, "webhook-id")
}

#[tokio::test]
async fn a_lead_goes_to_every_kind_of_destination_and_to_the_routes_mail_addresses_alike() {
    for kind in KINDS {
        let world = world(kind);
        world.run().await;
        world.arrive(&["ann", "bob"]).await;
        let record = world.run().await;
        assert_eq!((record.outcome, record.mailed), (Outcome::Complete, 4));
        for name in ["ann", "bob"] {
            assert!(world.posted().contains(name), "{name} {kind}");
            assert!(world.texts_to("ops@contoso.example").contains(name));
        }
        assert_eq!(world.poster.calls(), if kind == WEBHOOK { 2 } else { 1 });
        assert_eq!(world.owed().await, 0);
        world.advance(MINUTE);
        world.run().await;
        assert_eq!(world.mails_to("ops@contoso.example"), 1);
        let state = format!("{:?}", world.state.rows());
        assert!(!state.contains("hidden") && !state.contains("whsec"), "the state holds no address and no key");
    }
}

#[tokio::test]
async fn an_event_has_the_same_id_for_ever_and_the_time_of_its_attempt() {
    let world = world(WEBHOOK);
    world.run().await;
    world.arrive(&["ann"]).await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    world.poster.set_answer(Some(Box::new(move |post| {
        seen.lock().unwrap().push((event_id(post), header(post, "webhook-timestamp")));
        answer(if seen.lock().unwrap().len() < 3 { "lost" } else { "accepted" })
    })));
    world.runs(200, MINUTE).await;
    let times = times.lock().unwrap().clone();
    assert_eq!(times.len(), 3);
    assert!(times.iter().all(|(id, _)| *id == times[0].0 && id.starts_with("lead_")), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[0].1 < pair[1].1), "{times:?}");
    // It may have come before, and says so.
    assert!(world.posted().contains(r#""maybe_repeated":true"#));
}

#[tokio::test]
async fn what_was_accepted_is_not_sent_again_where_a_later_event_fails() {
    let world = world(WEBHOOK);
    world.run().await;
    world.arrive(&["ann", "bob", "cid", "dan", "eve"]).await;
    let calls = AtomicUsize::new(0);
    world.poster.set_answer(Some(Box::new(move |_| {
        answer(if calls.fetch_add(1, Ordering::Relaxed) == 2 { "unreached" } else { "accepted" })
    })));
    world.run().await;
    assert_eq!((world.event_ids().len(), world.owed().await), (2, 3));
    world.runs(3, MINUTE).await;
    let mut ids = world.event_ids();
    assert_eq!((ids.len(), world.poster.calls()), (5, 6));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    assert!(!world.posted().contains(r#""maybe_repeated":true"#));
}

#[tokio::test]
async fn a_refused_message_is_halved_reduced_and_parked_and_keeps_nothing_from_the_others() {
    for kind in KINDS {
        let world = world(kind);
        world.run().await;
        world.arrive(&["ann", "bob", "poison", "dan", "eve"]).await;
        let refuses = |post: &Post| answer(if post.body.contains("poison") { "message" } else { "accepted" });
        world.poster.set_answer(Some(Box::new(refuses)));
        world.runs(3, MINUTE).await;
        for name in ["ann", "bob", "dan", "eve"] {
            assert!(world.posted().contains(&format!("{name}@fabrikam.example")), "{name} {kind}");
        }
        // Without its texts it still has its key, and that has the word.
        let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
        assert_eq!(outbox["parked"].as_array().unwrap().len(), 1, "{kind} {outbox}");
        assert_eq!((world.owed().await, world.mails_with("poison")), (0, 1));
        // Put back, it goes through.
        world.poster.set_answer(None);
        world.execute(json!({"command": "retry"})).await.unwrap();
        world.run().await;
        assert!(world.posted().contains("poison@fabrikam.example"), "{kind}");
    }
}

#[tokio::test]
async fn a_lead_whose_texts_are_refused_goes_without_them() {
    for kind in KINDS {
        let world = world(kind);
        world.run().await;
        world.arrive(&["ann"]).await;
        let refuses = |post: &Post| answer(if post.body.contains("ann@fabrikam") { "message" } else { "accepted" });
        world.poster.set_answer(Some(Box::new(refuses)));
        world.runs(2, MINUTE).await;
        assert!(world.posted().contains("row-ann"), "{kind}");
        assert_eq!((world.owed().await, world.poster.accepted().len()), (0, 1));
    }
}

#[tokio::test]
async fn a_destination_that_is_dead_for_a_week_delays_no_mail_by_a_run_and_gets_everything_afterwards() {
    for (kind, fault) in KINDS.into_iter().flat_map(|kind| ["gone", "busy", "lost", "unreached"].map(|f| (kind, f))) {
        let world = world(kind);
        world.run().await;
        world.answers(fault);
        let names: Vec<_> = (0..14).map(|number| format!("lead{number:02}x")).collect();
        for name in &names {
            world.arrive(&[name]).await;
            let record = world.run().await;
            assert_eq!(record.outcome, Outcome::Complete, "another destination's failure fails no run");
            assert_eq!(world.mails_with(&format!("{name}@")), 1, "{name} is mailed by the very next run");
            // Some attempts between two leads.
            world.runs(4, HOUR * 3).await;
        }
        assert_eq!(world.owed().await, 14);
        let mails = world.mails_to("operator@contoso.example");
        assert_eq!(mails, usize::from(fault == "gone"), "{fault}: the operator is told once, and of refusals only");
        world.poster.set_answer(None);
        world.runs(10, HOUR).await;
        assert!(names.iter().all(|name| world.posted().contains(&format!("{name}@"))), "{fault} {kind}");
        assert_eq!(world.owed().await, 0);
        assert_eq!(world.mails_to("ops@contoso.example"), 14);
    }
}

#[tokio::test]
async fn the_operator_is_told_once_of_a_refusal_again_after_half_of_the_retention_and_then_leads_are_parked() {
    let world = world(WEBHOOK).keeping_days(10);
    world.run().await;
    world.arrive(&["ann"]).await;
    world.answers("gone");
    let told = |world: &World| world.texts_to("operator@contoso.example").matches("This is said once").count();
    world.runs(4 * 24, HOUR).await;
    assert_eq!(told(&world), 1);
    let mail = world.texts_to("operator@contoso.example");
    assert!(
        mail.contains("“crm” refuses leads") && !mail.contains("ann") && !mail.contains("contoso.example/"),
        "{mail}"
    );
    world.runs(4 * 24, HOUR).await;
    assert_eq!(told(&world), 2);
    assert!(world.texts_to("operator@contoso.example").contains("have been waiting"));
    assert_eq!(world.owed().await, 1);
    world.runs(3 * 24, HOUR).await;
    assert_eq!((told(&world), world.owed().await), (2, 0));
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    assert!(outbox["parked"][0]["reason"].as_str().unwrap().contains("waited for longer"), "{outbox}");
    // What was given up comes back on demand, and a destination that works again is told of anew when it fails.
    world.poster.set_answer(None);
    world.execute(json!({"command": "retry"})).await.unwrap();
    world.run().await;
    assert!(world.posted().contains("ann@fabrikam.example"));
    world.answers("gone");
    world.arrive(&["bob"]).await;
    world.runs(2, HOUR).await;
    assert_eq!(told(&world), 3);
}

#[tokio::test]
async fn an_operator_who_could_not_be_told_is_told_after_the_next_failure() {
    let world = world(WEBHOOK);
    world.run().await;
    world.arrive(&["ann"]).await;
    world.answers("gone");
    let to_operator = |mail: &Message| mail.to.iter().any(|to| to.starts_with("operator"));
    world.mailer.set_fault(Some(Box::new(move |mail| to_operator(mail).then(SendFault::unavailable))));
    world.run().await;
    assert_eq!((world.mails_to("operator@contoso.example"), world.mails_to("ops@contoso.example")), (0, 1));
    world.mailer.set_fault(None);
    world.runs(6, MINUTE).await;
    assert_eq!(world.mails_to("operator@contoso.example"), 1);
}

#[tokio::test]
async fn leads_of_a_destination_that_is_gone_go_to_the_default_recipients_and_those_of_one_that_cannot_be_read_wait() {
    for (text, is_failing, waits) in [(None, false, false), (Some("{"), false, true), (Some(SLACK), true, true)] {
        let world = world(SLACK);
        world.source.set("crm", text);
        world.source.set_failing(is_failing);
        world.run().await;
        world.arrive(&["ann"]).await;
        world.run().await;
        assert!(world.texts_to("ops@contoso.example").contains("ann"));
        let by_default = world.texts_to("sales@contoso.example").contains("ann");
        assert_eq!((by_default, world.owed().await), (!waits, usize::from(waits)), "{text:?} {is_failing}");
        world.source.set("crm", Some(SLACK));
        world.source.set_failing(false);
        world.runs(30, MINUTE).await;
        assert_eq!((world.posted().contains("ann"), world.owed().await), (waits, 0), "{text:?} {is_failing}");
    }
}

#[tokio::test]
async fn leads_of_a_route_that_is_gone_go_to_the_default_recipients() {
    let world = world(WEBHOOK);
    world.run().await;
    world.answers("unreached");
    world.arrive(&["ann"]).await;
    world.run().await;
    let world = world.with("LEADS_ROUTES", "[]");
    world.runs(3, MINUTE).await;
    assert!(world.texts_to("sales@contoso.example").contains("ann"));
    assert_eq!(world.owed().await, 0);
}

#[tokio::test]
async fn a_slow_destination_has_the_time_of_one_send_in_a_round_and_loses_nothing() {
    let world = world(WEBHOOK);
    world.run().await;
    let names: Vec<_> = (0..12).map(|number| format!("lead{number:02}x")).collect();
    world.arrive(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let slow = world.clone();
    world.poster.set_answer(Some(Box::new(move |_| {
        slow.advance(SECOND * 9);
        answer("accepted")
    })));
    world.run().await;
    let mut ids = world.event_ids();
    assert_eq!((ids.len(), world.owed().await), (12, 0));
    ids.dedup();
    assert_eq!(ids.len(), 12);
}

#[tokio::test]
async fn a_run_that_dies_after_a_post_and_before_noting_it_repeats_it_marked_under_the_same_id() {
    let world = world(WEBHOOK);
    world.run().await;
    world.arrive(&["ann"]).await;
    let (state, poster) = (world.state.clone(), world.poster.clone());
    // Everything fails once the event is out.
    state.set_fault(Some(Box::new(move |_| (poster.calls() > 0).then(unavailable))));
    let _ = world.notifier().run("dies", world.deadline()).await;
    world.end_faults();
    world.runs(5, MINUTE).await;
    let ids = world.event_ids();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    assert!(world.poster.accepted()[1].body.contains(r#""maybe_repeated":true"#));
    assert_eq!(world.owed().await, 0);
}

#[tokio::test]
async fn what_a_destination_is_owed_can_be_discarded() {
    let world = world(WEBHOOK);
    world.run().await;
    world.answers("gone");
    world.arrive(&["ann"]).await;
    world.run().await;
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    let channel = &outbox["channels"][0];
    assert_eq!(
        (&channel["destination"], &channel["route"], &channel["owed"]),
        (&json!("crm"), &json!("all"), &json!(1))
    );
    assert!(!outbox.to_string().contains("hidden"));
    world.execute(json!({"command": "discard", "channel": channel["channel"]})).await.unwrap();
    world.poster.set_answer(None);
    world.runs(3, HOUR).await;
    assert_eq!((world.owed().await, world.poster.accepted().len()), (0, 0));
}

#[tokio::test]
async fn leads_of_a_time_are_sent_again_to_one_destination_and_those_of_routes_to_theirs() {
    for kind in KINDS {
        let world = world(kind);
        world.run().await;
        world.arrive(&["ann", "bob"]).await;
        world.run().await;
        let before = (world.poster.accepted().len(), world.mailer.accepted().len());
        let mut backfill = json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04", "to": "crm"});
        world.execute(backfill.clone()).await.unwrap();
        let posted = world.poster.accepted();
        assert_eq!((posted.len(), world.mailer.accepted().len()), (2 * before.0, before.1), "{kind}");
        if kind == WEBHOOK {
            assert_eq!(event_id(&posted[0]), event_id(&posted[2]), "receivers know it again");
            assert!(posted[2].body.contains(r#""sent_again":true"#));
        }
        backfill.as_object_mut().unwrap().remove("to");
        world.execute(backfill.clone()).await.unwrap();
        assert_eq!((world.poster.accepted().len(), world.mailer.accepted().len()), (3 * before.0, 2 * before.1));
        // One that is refused goes by itself, then without its texts; and a dead destination keeps nothing from the mail.
        world.poster.set_answer(Some(Box::new(|post| {
            answer(if post.body.contains("ann@fabrikam") { "message" } else { "accepted" })
        })));
        backfill["to"] = json!("crm");
        let done = world.execute(backfill.clone()).await.unwrap();
        assert_eq!((&done["leads"], &done["refused"]), (&json!(2), &json!(0)), "{kind}");
        world.answers("gone");
        backfill["to"] = json!("crm;boss@contoso.example");
        let error = world.execute(backfill.clone()).await.unwrap_err().to_string();
        assert!(error.contains("crm: the destination refused the request (gone)"), "{error}");
        assert_eq!(world.mails_to("boss@contoso.example"), 1);
        backfill["to"] = json!("nowhere");
        let error = world.execute(backfill).await.unwrap_err().to_string();
        assert!(error.contains("no parameter for the destination nowhere"), "{error}");
    }
}

/// Lets each request to a destination take so long.
fn slow_posts(world: &World, each: SignedDuration, name: &'static str) {
    let slow = world.clone();
    world.poster.set_answer(Some(Box::new(move |_| {
        slow.advance(each);
        answer(name)
    })));
}

#[tokio::test]
async fn a_mail_that_failed_once_waits_for_no_destination_that_is_dead() {
    let names: Vec<_> = (0..24).map(|number| format!("d{number}")).collect();
    let destination = |name: &String| DestinationName::parse(name).unwrap();
    // A route whose mails come last where channels are taken by their ids.
    let id = (0..).map(|number| format!("r{number}")).find(|id| {
        let mail = ChannelId::of(id, &DestinationName::mail());
        names.iter().all(|name| ChannelId::of(id, &destination(name)) < mail)
    });
    let to: Vec<_> = names.iter().map(String::as_str).chain(["ops@contoso.example"]).collect();
    let routes = json!([{"id": id, "to": to, "cadence": "immediately"}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string()).with("LEADS_INTERVAL_MINUTES", "1");
    names.iter().for_each(|name| world.source.set(name, Some(WEBHOOK)));
    world.run().await;
    world.arrive(&["ann"]).await;
    world.answers("unreached");
    world.mailer.fail_next(1, &SendFault::busy());
    world.run().await;
    assert_eq!(world.mails_with("ann"), 0);
    slow_posts(&world, SECOND * 5, "unreached");
    world.advance(MINUTE * 2);
    world.run().await;
    assert_eq!(world.mails_with("ann"), 1, "the mail waits for destinations that do not answer");
}

#[tokio::test]
async fn a_destination_that_takes_long_to_accept_delays_no_mail_by_more_than_a_run_and_gets_everything() {
    let world = world(WEBHOOK).with("LEADS_INTERVAL_MINUTES", "1");
    world.run().await;
    let names: Vec<_> = (0..60).map(|number| format!("lead{number}x")).collect();
    world.arrive(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    slow_posts(&world, SECOND * 9, "accepted");
    let mut runs = 0;
    while world.event_ids().len() < 60 {
        let began = world.now();
        world.run().await;
        let took = world.now().duration_since(began);
        assert!(took <= MINUTE, "a run took {took:#}, and no mail goes out meanwhile");
        world.advance(MINUTE);
        runs += 1;
        assert!(runs < 40, "{} events after {runs} runs", world.event_ids().len());
    }
    assert_eq!(world.owed().await, 0);
}

#[tokio::test]
async fn destinations_that_take_long_to_accept_keep_no_other_one_from_its_turn() {
    let names: Vec<_> = (0..20).map(|number| format!("d{number}")).collect();
    let routes = json!([{"id": "all", "to": names, "cadence": "immediately"}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string()).with("LEADS_INTERVAL_MINUTES", "1");
    let text = |name: &str| WEBHOOK.replace("crm.contoso", name);
    names.iter().for_each(|name| world.source.set(name, Some(&text(name))));
    world.run().await;
    let leads: Vec<_> = (0..40).map(|number| format!("lead{number}x")).collect();
    world.arrive(&leads.iter().map(String::as_str).collect::<Vec<_>>()).await;
    slow_posts(&world, SECOND * 9, "accepted");
    world.runs(12, MINUTE).await;
    for name in &names {
        let has_any = world.poster.accepted().iter().any(|post| post.url.expose().contains(&format!("//{name}.")));
        assert!(has_any, "{name} got nothing in twelve runs");
    }
}

#[tokio::test]
async fn a_message_to_a_destination_that_is_there_does_not_say_that_it_is_gone() {
    for kind in [SLACK, TEAMS] {
        let world = world(kind);
        world.run().await;
        world.arrive(&["ann"]).await;
        world.run().await;
        assert!(world.posted().contains("ann") && !world.posted().contains("You get it instead"), "{}", world.posted());
    }
}

#[tokio::test]
async fn what_a_proxy_answered_with_503_may_be_a_repeat_and_says_so_when_it_is_sent_again() {
    for (name, is_marked) in [("overloaded", true), ("busy", false)] {
        let world = world(WEBHOOK);
        world.run().await;
        world.arrive(&["ann"]).await;
        world.answers(name);
        world.run().await;
        world.answers("accepted");
        world.advance(HOUR * 3);
        world.run().await;
        assert_eq!(world.event_ids().len(), 1);
        assert_eq!(world.posted().contains(r#""maybe_repeated":true"#), is_marked, "{name}");
    }
}

#[tokio::test]
async fn a_lead_on_which_our_own_code_fails_stops_no_other_one_on_its_way_to_a_destination() {
    for kind in KINDS {
        let world = world(kind);
        world.run().await;
        let others = ["ann", "bob", "dan", "eve"];
        world.arrive(&others).await;
        world.leads.put(microsoft_row(&world.today(), "shown", BACKUP).with("Description", texts::SHOWN));
        world.runs(3, MINUTE).await;
        for name in others {
            assert!(world.posted().contains(&format!("{name}@fabrikam.example")), "{name} {kind}");
        }
        assert!(world.posted().contains("row-shown"), "{kind}");
        assert_eq!(world.owed().await, 0, "{kind}");
    }
}
