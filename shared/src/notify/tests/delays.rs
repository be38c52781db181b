//! How long leads take from their row to an accepted mail.

use super::*;

#[tokio::test]
async fn a_run_says_how_long_the_leads_took_that_were_to_go_out_at_once() {
    let world = World::new();
    world.run().await;
    world.arrive(&["Ada", "Bob"]).await;
    world.advance(SECOND * 20);
    world.arrive(&["Eve"]).await;
    world.advance(SECOND * 10);
    let record = world.run().await;
    let percentiles = [1, 50, 99].map(|percent| record.delays.percentile(percent));
    assert_eq!((percentiles, record.delays.leads()), ([Some(10), Some(30), Some(30)], 3));
    let history = world.execute(json!({"command": "history", "last": 1})).await.unwrap();
    assert_eq!(history["runs"][0]["delays"], json!({"p50": 30, "p99": 30, "seconds": [[10, 1], [30, 2]]}));
    world.advance(HOUR);
    assert!(world.run().await.delays.is_empty());
}

#[tokio::test]
async fn a_lead_that_waits_for_its_cadence_is_left_out_also_where_it_goes_along_with_an_urgent_one() {
    let world = World::new().with("LEADS_CADENCE", "every 60 minutes").with("LEADS_URGENT_ACTIONS", "PLT");
    world.run().await;
    world.advance(MINUTE);
    world.arrive(&["Ada"]).await;
    world.advance(MINUTE);
    assert_eq!(world.run().await.mailed, 0);
    world.arrive_under(&world.today(), "Bob", "AzureMarketplace-PLT|contoso.backup").await;
    world.advance(SECOND * 7);
    let record = world.run().await;
    assert_eq!((record.mailed, record.delays.leads(), record.delays.percentile(50)), (2, 1, Some(7)));
    world.arrive(&["Eve"]).await;
    assert_eq!(world.run().await.mailed, 0);
    world.advance(HOUR);
    let record = world.run().await;
    assert_eq!((record.mailed, record.delays.leads()), (1, 0));
}

#[tokio::test]
async fn what_a_refusal_or_an_outage_costs_is_measured_and_each_lead_once() {
    let world = World::new();
    world.run().await;
    world.arrive(&["Ada"]).await;
    world.mailer.fail_next(1, &SendFault::lost_answer());
    assert!(world.run().await.delays.is_empty(), "nobody knows whether it was accepted");
    world.advance(HOUR);
    let record = world.run().await;
    assert_eq!((record.delays.leads(), record.delays.percentile(99)), (1, Some(3_600)));
}
