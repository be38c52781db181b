//! Who gets which lead.

use super::*;

#[tokio::test]
async fn a_refused_route_fails_the_run_but_not_the_other_routes_and_is_made_up_for() {
    let routes = json!([{"name": "backup", "offers": ["contoso.backup"], "to": ["backup@contoso.example"]},
        {"name": "vm", "offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    let today = world.today();
    world.arrive_under(&today, "Ada", BACKUP).await;
    world.arrive_under(&today, "Grace", "SPZA-INS|contoso.vm").await;
    world.arrive_under(&today, "Joan", "SPZA-INS|contoso.other").await;
    world.mailer.set_fault(Some(Box::new(|mail| {
        mail.to.contains(&"backup@contoso.example".to_owned()).then(SendFault::destination)
    })));
    let error = world.execute(json!({"command": "run"})).await.unwrap_err();
    assert!(error.to_string().contains("verify the sender"), "{error}");
    assert_eq!((world.mails_with("Ada"), world.mails_with("Grace"), world.mails_with("Joan")), (0, 1, 1));
    let status = world.status().await;
    assert_eq!((status.channels.len(), status.channels[0].owed), (1, 1));
    assert!(status.channels[0].reason.as_ref().unwrap().contains("verify the sender"));
    world.mailer.set_fault(None);
    world.advance(HOUR);
    let record = world.run().await;
    assert_eq!((record.outcome, record.owed), (Outcome::Complete, 0));
    let late = world.mailer.accepted().pop().unwrap();
    assert_eq!(late.to, ["backup@contoso.example"]);
    assert!(late.text.contains("Ada") && !late.text.contains(REPEAT), "what was refused is no repeat: {}", late.text);
}

#[tokio::test]
async fn leads_go_to_every_route_that_matches_and_dropped_ones_to_none() {
    let routes = json!([{"name": "contact", "actions": ["plt"], "to": ["contact@contoso.example"]},
        {"name": "vm", "offers": ["CONTOSO.VM"], "to": ["vm@contoso.example"]}]);
    let world = World::new()
        .with("LEADS_ROUTES", &routes.to_string())
        .with("LEADS_TEST_LEADS", "drop")
        .with("LEADS_DO_NOT_CONTACT", "drop");
    let today = world.today();
    let row = |name: &str, action: &str, source: &str| microsoft_row(&today, name, source).with("ActionCode", action);
    world.leads.put(row("Both", "PLT", "SPZA-PLT|contoso.vm"));
    world.leads.put(row("Neither", "INS", BACKUP));
    world.leads.put(row("Leave", "DNC", "SPZA-DNC|contoso.vm"));
    world.leads.put(row("MSFT_TEST_1", "INS", "MSFT_TEST_1-MSFT_TEST_1|contoso.vm"));
    let record = world.run().await;
    assert_eq!((record.leads, record.mailed, record.mails), (4, 3, 3));
    let to = |address: &str| world.texts_to(address);
    assert!(to("contact@contoso.example").contains("Both") && to("vm@contoso.example").contains("Both"));
    assert!(to("sales@contoso.example").contains("Neither") && !to("sales@contoso.example").contains("Both"));
    assert_eq!((world.mails_with("Leave"), world.mails_with("MSFT_TEST_1")), (0, 0));
    world.advance(MINUTE);
    assert_eq!(world.run().await.leads, 0, "what was dropped is handled");
}

#[tokio::test]
async fn what_waits_for_a_route_that_is_gone_goes_to_the_default_recipients() {
    let routes = json!([{"offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    world.arrive_under(&world.today(), "Grace", "SPZA-INS|contoso.vm").await;
    world.mailer.fail_next(1, &SendFault::destination());
    world.run().await;
    world.advance(HOUR);
    let world = world.with("LEADS_ROUTES", "[]");
    world.run().await;
    assert!(world.texts_to("sales@contoso.example").contains("Grace"));
    world.advance(HOUR * 25);
    world.run().await;
    assert_eq!(world.state_keys("channel-").len(), 0, "a channel that is gone and owes nothing is forgotten");
}

#[tokio::test]
async fn what_was_given_up_for_a_route_that_is_gone_is_put_back_for_the_default_recipients() {
    let routes = json!([{"offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    world.arrive_under(&world.today(), "Grace", "SPZA-INS|contoso.vm").await;
    world.mailer.fail_next(2, &SendFault::message());
    assert_eq!(world.run().await.parked, 1);
    let world = world.with("LEADS_ROUTES", "[]");
    world.runs(3, HOUR * 25).await;
    assert_eq!(world.state_keys("channel-").len(), 0, "the channel is forgotten");
    world.execute(json!({"command": "retry"})).await.unwrap();
    world.run().await;
    assert!(world.texts_to("sales@contoso.example").contains("Grace"));
    assert_eq!(world.state_keys("parked-").len(), 0);
}

#[tokio::test]
async fn what_waits_for_a_destination_still_goes_there_after_its_route_was_given_an_id() {
    let before = World::new().with("LEADS_ROUTES", r#"[{"name":"CRM","to":["crm"]}]"#);
    before.source.set("crm", Some(r#"{"kind":"slack","url":"https://slack.contoso.example/x"}"#));
    before.run().await;
    before.arrive(&["Ada"]).await;
    before.poster.set_answer(Some(Box::new(|_| {
        Err(crate::destinations::PostError::Unavailable { code: "test".to_owned(), may_be_accepted: false })
    })));
    before.run().await;
    before.poster.set_answer(None);
    let world = before.with("LEADS_ROUTES", r#"[{"id":"crm","name":"CRM","to":["crm"]}]"#);
    world.advance(HOUR);
    world.run().await;
    assert_eq!((world.poster.accepted().len(), world.mails_with("Ada"), world.owed().await), (1, 0, 0));
    // The channel under the former id is not kept for ever.
    world.runs(3, HOUR * 24).await;
    assert_eq!(world.state_keys("channel-").len(), 0);
}
