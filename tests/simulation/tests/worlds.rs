//! A fixed number of worlds, and proofs that they would notice.

use simulation::breakage::Breakage;
use simulation::model::Promise;
use simulation::proof::{Found, WITHIN, found};
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
    for seed in 0..16 {
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
    for breakage in Breakage::ALL {
        let Found { seed, worlds, outcome } = found_by(breakage);
        let violation = outcome.violation.expect("it failed");
        println!("{breakage:?} is found in world {worlds}, by seed {seed}: {violation}");
    }
}
