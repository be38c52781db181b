//! How many requests a run makes, as the service counts them.

use super::*;

/// The calls of both tables.
fn calls(world: &World) -> usize {
    world.leads.calls() + world.state.calls()
}

/// A world with so many old rows in 400 day partitions, whose notifier has run and patrolled.
async fn world_with_old_rows(rows: i32) -> World {
    let world = World::new();
    for number in 0..rows {
        let day = Day::of(world.now() - HOUR * (24 * (5 + number % 395)));
        world.leads.put(microsoft_row(&day.partition_key(), &format!("Old{number}x"), BACKUP));
    }
    // The first patrol begins behind what was there before the first run.
    world.advance(HOUR * 2);
    world.runs(3, MINUTE * 10).await;
    assert!(world.status().await.last_full_patrol.is_some());
    world
}

async fn arrive_from_new_people(world: &World, names: &str, count: usize) {
    for number in 0..count {
        world.arrive(&[format!("{names}{number}x").as_str()]).await;
    }
}

#[tokio::test]
async fn an_idle_run_makes_at_most_six_requests_and_writes_nothing_at_any_hour_of_the_day() {
    let world = world_with_old_rows(1_000).await;
    let (mut most, mut busy) = (0, 0);
    for minute in (0..24 * 60).step_by(5) {
        let (state, before, runs) = (world.state.rows(), calls(&world), world.state_keys("run-").len());
        let record = world.run().await;
        if record.outcome == Outcome::Idle {
            most = most.max(calls(&world) - before);
            let is_heartbeat = world.state_keys("run-").len() > runs;
            assert!(is_heartbeat || world.state.rows() == state, "minute {minute}: an idle run wrote something");
        } else {
            busy += 1;
        }
        world.advance(MINUTE * 5);
    }
    assert!(most <= 6, "{most} requests");
    assert!(busy <= 2, "the daily patrol and the daily deleting are all that is done, in {busy} runs");
    assert!(world.state_keys("run-").len() <= 32, "heartbeats come once an hour");
}

#[tokio::test]
async fn twenty_new_leads_cost_at_most_fourteen_requests_however_large_the_table_is() {
    let mut counts = [(1, Vec::new()), (4, Vec::new())];
    for rows in [1_000, 10_000, 100_000] {
        let world = world_with_old_rows(rows).await;
        for (destinations, counts) in &mut counts {
            // One destination is the default one; four are routes that all take the lead.
            let routes = (0..*destinations).filter(|_| *destinations > 1);
            let routes: Vec<_> = routes
                .map(|number| json!({"actions": ["INS"], "name": number.to_string(), "to": [format!("r{number}@contoso.example")]}))
                .collect();
            let world = world.clone().with("LEADS_ROUTES", &json!(routes).to_string());
            world.advance(HOUR * 2);
            world.run().await;
            world.advance(MINUTE * 5);
            arrive_from_new_people(&world, &format!("To{destinations}x"), 20).await;
            let (before, rows_before) = (calls(&world), world.leads.rows_read());
            let record = world.run().await;
            assert_eq!((record.leads, record.digests), (20, *destinations));
            assert!(world.leads.rows_read() - rows_before <= 40, "{} rows read", world.leads.rows_read() - rows_before);
            counts.push(calls(&world) - before);
        }
    }
    for (destinations, counts) in counts {
        println!("{destinations} destinations: {counts:?} requests");
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*most <= 14 && most - least <= 1, "{destinations} destinations: {counts:?}");
    }
}

#[tokio::test]
async fn a_patrol_costs_one_hop_a_partition_however_many_rows_are_in_it() {
    let mut counts = Vec::new();
    for rows in [1_000, 40_000] {
        let world = world_with_old_rows(rows).await;
        world.advance(HOUR * 24);
        let before = calls(&world);
        let record = world.run().await;
        assert!(record.patrolled >= 395, "{}", record.patrolled);
        counts.push(calls(&world) - before);
    }
    assert!(counts[1] - counts[0] <= 1 && counts[0] <= 2 * 400 + 20, "{counts:?}");
}

#[tokio::test]
async fn a_backlog_of_thousands_costs_some_requests_a_digest_and_not_some_a_lead() {
    let world = World::new();
    world.runs(2, MINUTE).await;
    for number in 0..5_000 {
        world.leads.put(microsoft_row(&world.today(), &format!("New{number}x"), BACKUP));
    }
    let before = calls(&world);
    let record = world.run().await;
    assert_eq!((record.leads, record.digests), (5_000, 50));
    let requests = calls(&world) - before;
    assert!(requests <= 50 * 4, "{requests} requests for 50 digests");
}

#[test]
fn what_a_run_plans_for_a_call_is_what_the_clients_take_at_most() {
    let table = crate::table::azure::Limits::default().total;
    assert_eq!(times::span(table), run::TABLE_CALL);
    assert_eq!(times::span(crate::mail::MAX_SEND), run::SEND);
}
