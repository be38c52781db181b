//! What runs ask of the table service, whatever the table holds.

use crate::world::{LEADS, RUN, World, day, is_full, lead, run};
use bench::{Build, Lambda};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use support::strict_table::Operation;

/// The rows of a table.
#[derive(Debug, Clone, Copy)]
struct Size {
    today: usize,
    /// One request brings no more.
    yesterday: usize,
    /// Spread evenly over the days before yesterday.
    earlier: usize,
    /// Partitions in all.
    days: usize,
}

const SMALL: Size = Size { today: 1_000, yesterday: 0, earlier: 0, days: 1 };
const LARGE: Size = Size { today: 1_000, yesterday: 900, earlier: 8_100, days: 40 };
const FULL: Size = Size { today: 1_000, yesterday: 900, earlier: 998_100, days: 400 };

/// The most runs in which a pass of the patrol ends.
const RUNS: usize = 100;

/// What was counted on one table.
#[derive(Debug)]
struct Counted {
    rows: usize,
    runs: usize,
    hops: usize,
    /// Requests of a run that finds nothing.
    idle: u64,
    /// Requests of a run that finds 20 leads.
    busy: u64,
    peak_kib: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_asks_the_same_whatever_the_table_holds_and_the_patrol_delays_no_mail() {
    let small = count(SMALL).await;
    let large = count(if is_full() { FULL } else { LARGE }).await;
    for counted in [&small, &large] {
        let Counted { rows, runs, hops, idle, busy, peak_kib } = counted;
        println!(
            "{rows} rows: a pass of the patrol with {hops} hops in {runs} runs; {idle} requests of a run that finds nothing, \
             {busy} of one that finds 20 leads; {peak_kib} KiB"
        );
        assert!(counted.idle <= 6 && counted.busy <= 14, "{counted:?}");
    }
    assert!(small.idle.abs_diff(large.idle) <= 1 && small.busy.abs_diff(large.busy) <= 1, "{small:?}, {large:?}");
}

async fn count(size: Size) -> Counted {
    let world = World::start(Build::Dev).await;
    let now = Timestamp::now();
    fill(&world, size, now);
    // A slice of the patrol is five seconds: a pass takes two runs or more.
    let days = u32::try_from(size.days).unwrap();
    world.hops.lock().unwrap().wait = Duration::from_secs(8) / days.max(8);
    let mut notifier = world.notifier().await;
    let mut next = 1_000_000;
    let mut runs = 0;
    loop {
        runs += 1;
        assert!(runs <= RUNS, "a pass of the patrol does not end");
        arrive(&world, &mut next, 1);
        let mails = world.mail.mails().len();
        let hops = world.hops.lock().unwrap().count;
        let record = run(&mut notifier, RUN).await;
        assert!(record["error"].is_null(), "{record}");
        let mails = world.mail.mails().split_off(mails);
        let [mail] = &mails[..] else { panic!("one lead is one mail: {record}, {mails:?}") };
        let first_hop = world.hops.lock().unwrap().steps.get(hops).copied();
        assert!(first_hop.is_none_or(|hop| mail.step < hop), "the mail comes before the patrol: {record}");
        if !record["last_full_patrol"].is_null() {
            break;
        }
    }
    let hops = world.hops.lock().unwrap().count;
    assert!((size.days..=size.days + 10).contains(&hops), "{hops} searches for {} partitions", size.days);
    let idle = requests(&world, &mut notifier, "idle").await;
    arrive(&world, &mut next, 20);
    let busy = requests(&world, &mut notifier, "complete").await;
    let mailed: usize = world.mail.mails().iter().map(|mail| mail.leads.len()).sum();
    assert_eq!(mailed, runs + 20, "new leads are mailed once, and old ones not");
    let rows = world.table.rows(LEADS);
    Counted { rows, runs, hops, idle, busy, peak_kib: notifier.usage().unwrap().peak_kib }
}

fn fill(world: &World, size: Size, now: Timestamp) {
    let before = |hours| now - SignedDuration::from_hours(hours);
    world.write((0..size.today).map(|number| lead(number, &day(0, now))), before(1));
    world.write((0..size.yesterday).map(|number| lead(number, &day(1, now))), before(25));
    for days_ago in 2..size.days {
        let partition = day(days_ago, now);
        let numbers = (days_ago - 2..size.earlier).step_by(size.days - 2);
        world.write(numbers.map(|number| lead(number, &partition)), before(24 * i64::try_from(days_ago).unwrap()));
    }
}

fn arrive(world: &World, next: &mut usize, leads: usize) {
    let now = Timestamp::now();
    world.write((*next..*next + leads).map(|number| lead(number, &day(0, now))), now);
    *next += leads;
}

/// The requests of one run, which must end like this.
async fn requests(world: &World, notifier: &mut Lambda, outcome: &str) -> u64 {
    world.table.reset_counters();
    let record = run(notifier, RUN).await;
    assert_eq!(record["outcome"], outcome, "{record}");
    let counters = world.table.counters();
    let writes = counters.operations.iter().filter(|(kind, _)| !matches!(kind, Operation::Query | Operation::Get));
    let writes: u64 = writes.map(|(_, count)| count).sum();
    assert_eq!(writes == 0, outcome == "idle", "a run that finds nothing writes nothing: {counters:?}");
    counters.requests
}
