//! A fixed number of worlds, and proofs that they would notice.

use simulation::breakage::Breakage;
use simulation::config::Config;
use simulation::model::Promise;
use simulation::proof::{Found, WITHIN, found, quick_seeds};
use simulation::shrink::shrink;
use simulation::tape::Tapes;
use simulation::total::Total;
use simulation::world::{Outcome, live, live_with};

/// How many worlds are lived here; `cargo simulate --years 1000` lives thousands.
const WORLDS: usize = 10;

fn world(seed: u64, breakage: Breakage) -> Outcome {
    live(Tapes::of(seed), breakage, false)
}

#[test]
fn every_lead_reaches_everybody_who_should_have_it_in_every_world() {
    let mut total = Total::default();
    let mut failed = Vec::new();
    for seed in quick_seeds(WORLDS) {
        let outcome = world(seed, Breakage::None);
        total.add(&outcome);
        if let Some(violation) = outcome.violation {
            failed.push(format!("seed {seed}: {violation}\n    cargo simulate --seed {seed} --trace"));
        }
    }
    println!("{}", total.report());
    assert!(failed.is_empty(), "{} worlds failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn the_same_seed_makes_the_same_world_whatever_was_lived_before() {
    for seed in quick_seeds(2) {
        let first = world(seed, Breakage::None);
        world(seed + 1, Breakage::None);
        let second = world(seed, Breakage::None);
        let played = live(Tapes::played(first.records), Breakage::None, false);
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.violation, played.violation, "seed {seed}");
        assert_eq!(first.counts.requests, played.counts.requests, "seed {seed}");
    }
}

#[test]
fn runs_that_would_find_nothing_can_be_skipped_and_everybody_has_the_same() {
    let is_by_the_minute = |seed: &u64| {
        let config = Config::draw(&mut Tapes::of(*seed).world);
        let hours: i64 = config.storms.iter().map(|storm| storm.as_hours()).sum();
        config.is_kind && config.interval.as_mins() == 5 && config.burst == 1 && hours < 80 && config.calm_days == 0
    };
    let lived = |seed: u64, may_skip: bool| live_with(Tapes::of(seed), Breakage::None, false, may_skip);
    let worlds = (0..100_000).filter(is_by_the_minute).map(|seed| (seed, lived(seed, true)));
    // One in which most runs are skipped: else there is little to compare.
    let is_mostly_skipped = |(_, skipped): &(u64, Outcome)| skipped.counts.skipped > skipped.counts.runs / 2;
    let (seed, skipped) = worlds.take(12).find(is_mostly_skipped).expect("there is such a world");
    let whole = lived(seed, false);
    assert_eq!(whole.counts.skipped, 0);
    assert_eq!((skipped.violation, skipped.summary), (whole.violation, whole.summary), "seed {seed}");
    assert_eq!(skipped.counts.mails, whole.counts.mails, "seed {seed}");
}

fn found_by(breakage: Breakage) -> Found {
    found(breakage).unwrap_or_else(|| panic!("{breakage:?} is not found within {WITHIN} worlds"))
}

#[test]
fn a_mail_service_that_drops_mails_is_found_and_made_small() {
    let Found { seed, outcome, .. } = found_by(Breakage::MailDropped);
    let small = shrink(&outcome, Breakage::MailDropped).outcome;
    let promise = |outcome: &Outcome| outcome.violation.as_ref().map(|violation| violation.promise);
    let deviations = |outcome: &Outcome| outcome.records.iter().flatten().filter(|choice| **choice > 0).count();
    assert_eq!(promise(&outcome), Some(Promise::NothingLost), "seed {seed}");
    assert_eq!(promise(&small), Some(Promise::NothingLost), "seed {seed}");
    assert!(deviations(&small) < deviations(&outcome) / 2, "{} of {}", deviations(&small), deviations(&outcome));
    assert!(!small.trace.is_empty());
}

#[test]
fn each_way_of_breaking_the_protocol_is_found() {
    let find_each = |breakages: &[Breakage]| {
        for breakage in breakages {
            let Found { seed, worlds, outcome } = found_by(*breakage);
            let violation = outcome.violation.expect("it failed");
            println!("{breakage:?} is found in world {worlds}, by seed {seed}: {violation}");
        }
    };
    // Half of them each, side by side.
    let (some, others) = Breakage::ALL.split_at(Breakage::ALL.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| find_each(some));
        find_each(others);
    });
}
