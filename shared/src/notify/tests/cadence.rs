//! When what is found is sent.

use super::*;

/// A world whose routes keep their cadence.
fn world_with(cadence: &str) -> World {
    World::new().with("LEADS_CADENCE", cadence).with("LEADS_INTERVAL_MINUTES", "1")
}

/// So many runs, a minute apart.
async fn minutes(world: &World, count: usize) {
    world.runs(count, MINUTE).await;
}

async fn arrive_with(world: &World, name: &str, action: &str, note: &str) {
    let row = microsoft_row(&world.today(), name, &format!("AzureMarketplace-{action}|contoso.backup"));
    world.leads.insert(&row.with("ActionCode", action).with("Description", note)).await.unwrap();
}

#[tokio::test]
async fn urgent_leads_go_out_with_the_next_run_and_the_rest_at_the_full_hour() {
    let world = world_with("");
    minutes(&world, 5).await;
    arrive_with(&world, "Rest", "INS", " ").await;
    minutes(&world, 10).await;
    assert_eq!((world.mails_with("Rest"), world.owed().await), (0, 1));
    for (name, action, note, is_urgent) in [
        ("Trial", "PLT", "", true),
        ("Buyer", "create", "", true),
        ("Asks", "INS", "Please call me", true),
        ("Campaign", "INS", r#"{"mktcmpid":"autumn"}"#, false),
        ("NoNote", "INS", "Campaigns: ", false),
        ("Drive", "StartTestDrive", "a note", false),
    ] {
        arrive_with(&world, name, action, note).await;
        minutes(&world, 1).await;
        assert_eq!(world.mails_with(name), usize::from(is_urgent), "{name}");
    }
    assert_eq!(world.mails_with("Rest"), 1, "what waits goes along with what is urgent");
    while world.now() < "2026-11-03T15:00:00Z".parse().unwrap() {
        minutes(&world, 1).await;
        assert_eq!(world.mails_with("Drive"), 0);
    }
    minutes(&world, 1).await;
    assert_eq!((world.mails_with("NoNote"), world.mails_with("Drive"), world.owed().await), (1, 1, 0));
    assert!(world.mailer.accepted().iter().all(|mail| !mail.text.contains(REPEAT)));
}

#[tokio::test]
async fn each_route_has_its_own_cadence_window_and_zone() {
    let routes = json!([
        {"id": "now", "to": ["now@contoso.example"], "cadence": "immediately"},
        {"id": "boss", "to": ["boss@contoso.example"], "cadence": "daily at 08:00", "zone": "Europe/Berlin", "urgentAtOnce": false},
        {"id": "office", "to": ["office@contoso.example"], "window": "08:00-14:00 on mon-fri"},
    ]);
    let world = world_with("").with("LEADS_ROUTES", &routes.to_string());
    minutes(&world, 1).await;
    arrive_with(&world, "Trial", "PLT", "").await;
    minutes(&world, 1).await;
    let has = |who: &str| world.texts_to(&format!("{who}@contoso.example")).contains("Trial");
    assert_eq!((has("now"), has("boss"), has("office")), (true, false, false));
    // Until the next morning.
    world.advance(HOUR * 16 + MINUTE * 56);
    minutes(&world, 1).await;
    assert_eq!((has("boss"), has("office")), (false, false), "{}", world.now());
    minutes(&world, 3).await;
    assert_eq!((has("boss"), has("office")), (true, false), "{}", world.now());
    world.advance(HOUR);
    minutes(&world, 1).await;
    assert!(has("office"));
    assert_eq!(world.owed().await, 0);
}

#[tokio::test]
async fn what_waits_for_a_window_outlives_the_time_for_which_the_log_is_kept() {
    let routes = json!([{"id": "weekly", "to": ["boss@contoso.example"], "window": "08:00-09:00 on mon"}]);
    let world = world_with("immediately").with("LEADS_ROUTES", &routes.to_string()).keeping_days(2);
    world.run().await;
    world.arrive(&["Ada"]).await;
    for _ in 0..6 * 24 - 7 {
        world.run().await;
        assert_eq!(world.mails_with("Ada"), 0, "{}", world.now());
        world.advance(HOUR);
    }
    world.runs(2, HOUR).await;
    assert_eq!((world.mails_with("Ada"), world.owed().await), (1, 0));
}

#[tokio::test]
async fn a_run_that_only_waits_writes_nothing_and_makes_at_most_six_requests() {
    let world = world_with("daily at 08:00").with("LEADS_URGENT_ACTIONS", "none");
    minutes(&world, 2).await;
    arrive_with(&world, "Trial", "PLT", "").await;
    minutes(&world, 2).await;
    world.advance(MINUTE * 15);
    world.run().await;
    let (mut most, mut idle) = (0, 0);
    for _ in 0..50 {
        world.advance(MINUTE);
        let (rows, calls) = (world.state.rows(), world.leads.calls() + world.state.calls());
        let record = world.run().await;
        most = most.max(world.leads.calls() + world.state.calls() - calls);
        idle += usize::from(record.outcome == Outcome::Idle && world.state.rows() == rows);
        assert!(record.overdue_since.is_none(), "what waits for its time is not overdue");
    }
    assert!(idle >= 48, "{idle} idle runs");
    assert!(most <= 6, "{most} requests");
}

#[tokio::test]
async fn retry_sends_what_waits_for_its_time_with_the_next_run() {
    let world = world_with("daily at 08:00").with("LEADS_URGENT_ACTIONS", "none");
    world.arrive(&["Ada"]).await;
    minutes(&world, 3).await;
    assert_eq!(world.mails_with("Ada"), 0);
    world.execute(json!({"command": "retry"})).await.unwrap();
    minutes(&world, 1).await;
    assert_eq!((world.mails_with("Ada"), world.owed().await), (1, 0));
    assert!(!world.mailer.accepted()[0].text.contains(REPEAT));
}

#[tokio::test]
async fn leads_that_must_not_be_contacted_can_be_left_out_of_a_route_and_go_to_the_default_recipients() {
    let routes = json!([{"id": "crm", "to": ["crm@contoso.example"], "doNotContact": "drop"}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    arrive_with(&world, "Leave", "DNC", "").await;
    arrive_with(&world, "Ada", "INS", "").await;
    world.run().await;
    let (crm, rest) = (world.texts_to("crm@contoso.example"), world.texts_to("sales@contoso.example"));
    assert!(crm.contains("Ada") && !crm.contains("Leave"));
    assert!(rest.contains("Leave") && !rest.contains("Ada"));
}

#[tokio::test]
async fn where_the_quota_of_mails_is_used_up_mails_are_grouped_by_the_hour_for_a_day() {
    let world = world_with("immediately");
    minutes(&world, 1).await;
    world.arrive(&["Ada"]).await;
    world.mailer.fail_next(1, &SendFault::quota());
    minutes(&world, 10).await;
    assert_eq!(world.mails_with("Ada"), 0);
    arrive_with(&world, "Trial", "PLT", "").await;
    world.arrive(&["Grace"]).await;
    minutes(&world, 48).await;
    assert_eq!(world.mailer.accepted().len(), 0, "{}", world.now());
    minutes(&world, 3).await;
    assert_eq!(world.mailer.accepted().len(), 1, "one mail at the full hour, {}", world.now());
    for name in ["Ada", "Trial", "Grace"] {
        assert_eq!(world.mails_with(name), 1, "{name}");
    }
    world.advance(HOUR * 24);
    minutes(&world, 1).await;
    world.arrive(&["Joan"]).await;
    minutes(&world, 1).await;
    assert_eq!(world.mails_with("Joan"), 1, "after a day, as the settings say");
}

#[tokio::test]
async fn a_made_up_digest_goes_through_a_route_to_one_address_and_is_recorded_nowhere() {
    let routes =
        json!([{"id": "sales-1", "name": "Sales", "to": ["sales-1@contoso.example"], "cadence": "daily at 08:00"}]);
    let world = world_with("").with("LEADS_ROUTES", &routes.to_string());
    let calls = world.leads.calls() + world.state.calls();
    for (route, id, others_at) in [
        (None, "default", "2026-11-03T14:00:00Z"),
        (Some("Sales"), "sales-1", "2026-11-04T08:00:00Z"),
        (Some("sales-1"), "sales-1", "2026-11-04T08:00:00Z"),
    ] {
        let mut event = json!({"command": "test", "to": "me@contoso.example"});
        if let Some(route) = route {
            event["route"] = route.into();
        }
        let answer = world.execute(event).await.unwrap();
        assert_eq!(answer, json!({"route": id, "mails": 1, "urgent_at_once": true, "others_at": others_at}));
        let mail = world.mailer.accepted().pop().unwrap();
        assert_eq!(mail.to, ["me@contoso.example"]);
        assert!(mail.subject.contains("est"), "it is seen to be a test: {}", mail.subject);
        assert!(mail.text.contains("made up"), "{}", mail.text);
    }
    let error =
        world.execute(json!({"command": "test", "to": "me@contoso.example", "route": "other"})).await.unwrap_err();
    assert!(error.to_string().contains("`default`, `sales-1`"), "{error}");
    assert_eq!(world.leads.calls() + world.state.calls(), calls);
}

#[tokio::test]
async fn a_mail_for_a_route_or_a_destination_that_is_gone_says_so() {
    let routes = json!([{"name": "VM", "offers": ["contoso.vm"], "to": ["vm@contoso.example", "crm"], "cadence": "daily at 08:00"}]);
    let world = world_with("").with("LEADS_ROUTES", &routes.to_string());
    world.run().await;
    world.arrive_under(&world.today(), "Grace", "SPZA-INS|contoso.vm").await;
    world.run().await;
    assert_eq!(world.owed().await, 2);
    world.advance(HOUR * 18);
    world.run().await;
    let to = |address: &str| world.texts_to(address);
    let said = "a route or a destination that the settings no longer have";
    assert!(to("vm@contoso.example").contains("Grace") && !to("vm@contoso.example").contains(said));
    assert!(to("sales@contoso.example").contains("Grace") && to("sales@contoso.example").contains(said));
    // A route that is given an id keeps what waits for it.
    world.arrive_under(&world.today(), "Joan", "SPZA-INS|contoso.vm").await;
    world.run().await;
    let routes = json!([{"id": "vm", "name": "VM", "offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = world.with("LEADS_ROUTES", &routes.to_string());
    world.advance(HOUR);
    world.run().await;
    assert!(world.texts_to("vm@contoso.example").contains("Joan"));
}

#[tokio::test]
async fn a_window_between_two_runs_is_made_use_of_by_the_run_after_it() {
    // Runs are at the full hour, and the window is never open then.
    let routes = json!([{"id": "late", "to": ["late@contoso.example"], "window": "08:15-08:45"}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    world.run().await;
    world.arrive(&["Ada"]).await;
    while world.now() < "2026-11-04T09:00:00Z".parse().unwrap() {
        world.run().await;
        assert_eq!(world.mails_with("Ada"), 0, "{}", world.now());
        world.advance(HOUR);
    }
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}
