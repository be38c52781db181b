//! The most memory that the notifier's process holds.

use crate::world::{MB, RUN, STATE, World, day, is_full, lead, quarantined, run};
use bench::Build;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use marketplace_leads::cue::{self, Cued};
use marketplace_leads::table::MAX_STRING_UNITS;
use std::collections::BTreeSet;

/// How much the notifier's process may hold. A debug build holds more than the deployed one.
const MOST_MB: f64 = 48.0;

/// The same where every lead has a column as long as there can be: pages, batches and mails come to their limits.
const MOST_MB_OF_LONG_TEXTS: f64 = 96.0;

/// The most runs until everything is recorded, or mailed.
const RUNS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_wait_and_large_quarantined_bodies_take_little_memory() {
    // Leads of a size as usual, and leads whose descriptions are as long as a column.
    for (leads, text, bodies, bytes) in if is_full() {
        [(20_000, 80, 8_000, 64 * 1024), (2_000, MAX_STRING_UNITS, 100, 64 * 1024)]
    } else {
        [(200, 80, 80, 8 * 1024), (200, MAX_STRING_UNITS, 0, 0)]
    } {
        let (waiting, peak) = peak_mb(leads, text, bodies, bytes).await;
        println!(
            "{leads} leads with {text} letters and {bodies} bodies of {bytes} bytes: {waiting:.1} MB while they wait, \
             {peak:.1} MB in the end"
        );
        let most = if text == MAX_STRING_UNITS { MOST_MB_OF_LONG_TEXTS } else { MOST_MB };
        assert!(peak < most, "{peak} MB");
    }
}

/// The most memory while everything waits, and after everything is mailed.
async fn peak_mb(leads: usize, text: usize, bodies: usize, bytes: usize) -> (f64, f64) {
    let world = World::start(Build::Dev).await;
    let now = Timestamp::now();
    let description = "é".repeat(text);
    let rows = (0..leads).map(|number| lead(number, &day(0, now)).with("Description", description.as_str()));
    world.write(rows, now);
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
