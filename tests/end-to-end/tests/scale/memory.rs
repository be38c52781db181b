//! The most memory that the notifier's process holds.

use crate::world::{MB, RUN, STATE, World, day, is_full, lead, quarantined, run};
use bench::Build;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use marketplace_leads::cue::{self, Cued};
use std::collections::BTreeSet;

/// How much the notifier's process may hold. A debug build holds more than the deployed one.
const MOST_MB: f64 = 48.0;

/// The most runs until everything is recorded, or mailed.
const RUNS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_wait_and_large_quarantined_bodies_take_little_memory() {
    let (leads, bodies, bytes) = if is_full() { (20_000, 8_000, 64 * 1024) } else { (200, 80, 8 * 1024) };
    let (waiting, peak) = peak_mb(leads, bodies, bytes).await;
    println!(
        "{leads} leads and {bodies} bodies of {bytes} bytes: {waiting:.1} MB while they wait, {peak:.1} MB in the end"
    );
    assert!(peak < MOST_MB, "{peak} MB");
}

/// The most memory while everything waits, and after everything is mailed.
async fn peak_mb(leads: usize, bodies: usize, bytes: usize) -> (f64, f64) {
    let world = World::start(Build::Dev).await;
    let now = Timestamp::now();
    world.write((0..leads).map(|number| lead(number, &day(0, now))), now);
    let bodies: Vec<_> = (leads..leads + bodies).map(|number| quarantined(number, bytes, now)).collect();
    let all = leads + bodies.len();
    let state = world.open(STATE);
    // As intake leaves them: the cue first.
    let cues = bodies.iter().map(|body| Cued::Quarantined { row_key: body.row_key.clone() });
    let cues = cues.map(|cued| {
        let state = &state;
        async move { cue::leave(state, &cued, 0).await.unwrap() }
    });
    stream::iter(cues.collect::<Vec<_>>()).buffer_unordered(8).collect::<Vec<_>>().await;
    world.table.fill(STATE, bodies.into_iter().map(|body| body.to_entity()), now);

    world.mail.refuse(true);
    let mut notifier = world.notifier().await;
    let mut owed = 0;
    for _ in 0..RUNS {
        // A run whose mail is refused fails, after it has recorded what it found.
        let _ = notifier.invoke(RUN).await;
        owed = last_run(&mut notifier).await["owed"].as_u64().unwrap();
        if owed == all as u64 {
            break;
        }
    }
    assert_eq!(owed, all as u64, "all is recorded and waits");
    let peak = |notifier: &bench::Lambda| notifier.usage().unwrap().peak_kib as f64 * 1024.0 / MB;
    let waiting = peak(&notifier);
    world.mail.refuse(false);
    run(&mut notifier, r#"{"command":"retry"}"#).await;
    for _ in 0..RUNS {
        if run(&mut notifier, RUN).await["owed"] == 0 {
            break;
        }
    }
    let mailed: BTreeSet<_> = world.mail.mails().into_iter().flat_map(|mail| mail.leads).collect();
    assert_eq!(mailed.len(), all, "all is mailed");
    (waiting, peak(&notifier))
}

/// The record of the last run that did something.
async fn last_run(notifier: &mut bench::Lambda) -> serde_json::Value {
    run(notifier, r#"{"command":"history","last":1}"#).await["runs"][0].clone()
}
