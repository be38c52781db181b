//! A fixed number of worlds, and proofs that they would notice.

use simulation::breakage::Breakage;
use simulation::model::Promise;
use simulation::shrink::shrink;
use simulation::tape::Tapes;
use simulation::total::Total;
use simulation::world::{Outcome, live};

fn world(seed: u64, breakage: Breakage) -> Outcome {
    live(Tapes::of(seed), breakage, false)
}

#[test]
fn every_lead_reaches_everybody_who_should_have_it_in_every_world() {
    let mut total = Total::default();
    let mut failed = Vec::new();
    for seed in 0..24 {
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
    for seed in [3, 9] {
        let first = world(seed, Breakage::None);
        world(seed + 1, Breakage::None);
        let second = world(seed, Breakage::None);
        let played = live(Tapes::played(first.records), Breakage::None, false);
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.violation, played.violation, "seed {seed}");
        assert_eq!(first.counts.requests, played.counts.requests, "seed {seed}");
    }
}

/// The first seed whose world fails when the system is broken, and does not when it is not.
fn found_by(breakage: Breakage, seeds: std::ops::Range<u64>) -> Option<(u64, Outcome)> {
    seeds.into_iter().find_map(|seed| {
        let broken = world(seed, breakage);
        let is_found = broken.violation.is_some() && world(seed, Breakage::None).violation.is_none();
        is_found.then_some((seed, broken))
    })
}

#[test]
fn a_mail_service_that_drops_mails_is_found() {
    let (seed, outcome) = found_by(Breakage::MailDropped, 0..40).expect("it is found");
    let violation = outcome.violation.expect("it failed");
    assert_eq!(violation.promise, Promise::NothingLost, "seed {seed}: {violation}");
}

#[test]
fn each_way_of_breaking_the_protocol_is_found() {
    for breakage in Breakage::ALL {
        let found = found_by(breakage, 0..200);
        let (seed, outcome) = found.unwrap_or_else(|| panic!("{breakage:?} is not found"));
        println!("{breakage:?} is found by seed {seed}: {}", outcome.violation.expect("it failed"));
    }
}

#[test]
fn a_world_that_fails_is_made_smaller_and_fails_in_the_same_way() {
    let (_, outcome) = found_by(Breakage::MailDropped, 0..40).expect("it is found");
    let small = shrink(&outcome, Breakage::MailDropped).outcome;
    let promise = |outcome: &Outcome| outcome.violation.as_ref().map(|violation| violation.promise);
    let deviations = |outcome: &Outcome| outcome.records.iter().flatten().filter(|choice| **choice > 0).count();
    assert_eq!(promise(&small), promise(&outcome));
    assert!(deviations(&small) < deviations(&outcome) / 2, "{} of {}", deviations(&small), deviations(&outcome));
    assert!(!small.trace.is_empty());
}
