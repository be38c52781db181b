//! The notifier's process is killed at random times, while leads arrive.

use crate::world::{LEADS, RUN, STATE, World, day, is_full, lead, run, unreadable_body};
use bench::Build;
use jiff::{SignedDuration, Timestamp};
use local_cloud::partition_of;
use marketplace_leads::cue::{self, Cued};
use marketplace_leads::quarantine;
use marketplace_leads::table::Table as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::runtime_api::LONGEST_INVOCATION;

/// From which the random numbers come.
const SEED: u64 = 12;

/// How long a row of a slow writer is not seen. Less than the overlap.
const UNSEEN: SignedDuration = SignedDuration::from_secs(5);

/// Partitions that are no days, under which leads come.
const ODD: [&str; 3] = ["2026-11-25", "leads", "it's 100 % odd"];

/// The most quiet runs until everything is mailed and a pass of the patrol has ended.
const QUIET_RUNS: usize = 200;

/// Random numbers: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// How the test goes on.
struct Plan {
    length: Duration,
    /// From the beginning of an invocation to that of the next one.
    pace: Duration,
    /// Old rows, in so many days.
    old: (usize, usize),
    /// One of so many kills leaves its lease to be waited for; the other leases are ended by hand.
    waits: Option<u64>,
}

const SHORT: Plan =
    Plan { length: Duration::from_secs(10), pace: Duration::from_millis(200), old: (1_000, 10), waits: None };
const FULL: Plan =
    Plan { length: Duration::from_secs(600), pace: Duration::from_secs(1), old: (1_000_000, 400), waits: Some(16) };

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_that_is_killed_at_any_time_loses_no_lead_and_marks_every_repeat() {
    let plan = if is_full() { FULL } else { SHORT };
    let world = Arc::new(World::start(Build::Dev).await);
    let now = Timestamp::now();
    let (old, days) = plan.old;
    for days_ago in 0..days {
        let partition = day(days_ago, now);
        let written = now - SignedDuration::from_hours(24 * i64::try_from(days_ago).unwrap() + 2);
        let numbers = (days_ago..old).step_by(days);
        world.write(numbers.map(|number| lead(2_000_000 + number, &partition)), written);
    }
    for (number, partition) in ODD.iter().enumerate() {
        world.write([lead(number, partition)], now);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let arriving = tokio::spawn(arrive(world.clone(), ODD.len(), is_over.clone()));
    let mut figures: BTreeMap<String, usize> = BTreeMap::new();
    disturb(&world, &plan, &mut figures).await;
    is_over.store(true, Ordering::Relaxed);
    let leads = arriving.await.unwrap();
    tokio::time::sleep(UNSEEN.unsigned_abs()).await;
    calm_down(&world, &plan, &mut figures).await;

    let mails = world.mail.mails();
    let mut copies: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for mail in &mails {
        for number in &mail.leads {
            let (marked, unmarked) = copies.entry(*number).or_default();
            *(if mail.is_marked { marked } else { unmarked }) += 1;
        }
    }
    let lost: Vec<_> = (0..leads).filter(|number| !copies.contains_key(number)).collect();
    let unmarked: Vec<_> = copies.iter().filter(|(_, (_, unmarked))| *unmarked > 1).collect();
    let repeated = copies.values().filter(|(marked, unmarked)| marked + unmarked > 1).count();
    println!(
        "seed {SEED}: {} rows in the end, {leads} leads and bodies arrived, {} mails, {repeated} leads more than once, {figures:?}",
        world.table.rows(LEADS),
        mails.len(),
    );
    assert!(lost.is_empty(), "in no mail: {lost:?}");
    assert!(unmarked.is_empty(), "more than once without the mark: {unmarked:?}");
    assert!(copies.keys().all(|number| *number < leads), "old rows are not new");
    assert!(figures["killed"] > 0 && leads > 20, "nothing was tried: {figures:?}");
}

/// Invokes the notifier again and again, and kills it at random times.
async fn disturb(world: &World, plan: &Plan, figures: &mut BTreeMap<String, usize>) {
    let mut random = Random(SEED);
    let mut notifier = world.notifier().await;
    let begun = Instant::now();
    let mut is_lease_left = false;
    while begun.elapsed() < plan.length {
        let next = Instant::now() + plan.pace;
        // A run with new leads takes some 150 ms; a slice of the patrol, which follows, up to five seconds.
        let killed_after = match random.below(6) {
            0 => LONGEST_INVOCATION,
            1 => Duration::from_millis(random.below(5_000)),
            _ => Duration::from_millis(random.below(150)),
        };
        match tokio::time::timeout(killed_after, notifier.invoke(RUN)).await {
            Ok(outcome) => {
                let record: serde_json::Value = serde_json::from_slice(&outcome.unwrap().body).unwrap();
                let outcome = record["outcome"].as_str().unwrap();
                *figures.entry(outcome.to_owned()).or_default() += 1;
                assert!(record["error"].is_null(), "{record}");
                assert!(outcome != "busy" || is_lease_left, "nobody else is at work: {record}");
                is_lease_left &= outcome == "busy";
            }
            Err(_) => {
                // What goes out of scope is killed with SIGKILL.
                notifier = world.notifier().await;
                *figures.entry("killed".to_owned()).or_default() += 1;
                if plan.waits.is_some_and(|kills| random.below(kills) == 0) {
                    *figures.entry("leases waited for".to_owned()).or_default() += usize::from(!is_lease_left);
                    is_lease_left = true;
                } else if !is_lease_left {
                    world.end_lease().await;
                }
            }
        }
        tokio::time::sleep(next.saturating_duration_since(Instant::now())).await;
    }
}

/// Runs that nobody kills, until everything is done; then two more, which find nothing.
async fn calm_down(world: &World, plan: &Plan, figures: &mut BTreeMap<String, usize>) {
    if plan.waits.is_none() {
        world.end_lease().await;
    }
    let mut notifier = world.notifier().await;
    let mut quiet = 0;
    for number in 0..QUIET_RUNS {
        let mails = world.mail.mails().len();
        let record = run(&mut notifier, RUN).await;
        assert!(record["error"].is_null(), "{record}");
        if record["outcome"] == "busy" {
            assert!(plan.waits.is_some(), "{record}");
            tokio::time::sleep(Duration::from_secs(2)).await;
            continue;
        }
        let is_done = record["owed"] == 0 && !record["last_full_patrol"].is_null();
        quiet = if is_done && world.mail.mails().len() == mails { quiet + 1 } else { 0 };
        if quiet == 2 {
            figures.insert("quiet runs".to_owned(), number + 1);
            return;
        }
    }
    panic!("it does not come to an end");
}

/// Lets leads and bodies arrive until it is over. Gives how many there are.
async fn arrive(world: Arc<World>, first: usize, is_over: Arc<AtomicBool>) -> usize {
    let mut random = Random(SEED + 1);
    let (leads, state) = (world.open(LEADS), world.open(STATE));
    let mut number = first;
    while !is_over.load(Ordering::Relaxed) {
        let now = Timestamp::now();
        match random.below(8) {
            // Nobody knows the time zone of Microsoft's day.
            0..=2 => {
                let zone = SignedDuration::from_hours(i64::try_from(random.below(25)).unwrap() - 11);
                world.write([lead(number, &partition_of(now + zone))], now);
            }
            3 => {
                let odd = ODD[usize::try_from(random.below(ODD.len() as u64)).unwrap()];
                world.write([lead(number, odd)], now);
            }
            4 => {
                let later = SignedDuration::from_millis(i64::try_from(random.below(5_000)).unwrap());
                world.table.put_late(LEADS, lead(number, &day(0, now)), now + later.min(UNSEEN));
            }
            // As redelivery stores what came days ago.
            5 => {
                let row = lead(number, &day(usize::try_from(2 + random.below(8)).unwrap(), now));
                let cued = Cued::Lead(row.keys());
                cue::leave(&state, &cued, random.next()).await.unwrap();
                leads.insert(&row).await.unwrap();
            }
            6 => {
                let (body, unreadable) = unreadable_body(number, 200);
                quarantine::keep(&state, &body, &unreadable, now, random.next()).await.unwrap();
            }
            // Several at once.
            _ => {
                let end = number + usize::try_from(random.below(30)).unwrap();
                world.write((number..end).map(|number| lead(number, &day(0, now))), now);
                number = end;
                world.write([lead(number, &day(0, now))], now);
            }
        }
        number += 1;
        tokio::time::sleep(Duration::from_millis(random.below(200))).await;
    }
    number
}
