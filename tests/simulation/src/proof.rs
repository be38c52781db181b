//! Proof that the worlds look: each way of breaking the system is found within a stated number of worlds.

use crate::breakage::Breakage;
use crate::config::{Config, LeadKind, Permanent};
use crate::tape::Tapes;
use crate::world::{Outcome, live};
use jiff::SignedDuration;

/// Within how many worlds that suit it each breakage must be found.
pub const WITHIN: usize = 40;

/// A world in which a breakage was found.
pub struct Found {
    /// Its seed.
    pub seed: u64,
    /// How many worlds were lived until then, this one included.
    pub worlds: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// The first world that fails when the system is broken, and does not when it is not. `None` where [`WITHIN`] worlds were
/// not enough.
pub fn found(breakage: Breakage) -> Option<Found> {
    suitable(breakage).take(WITHIN).enumerate().find_map(|(number, seed)| {
        let outcome = live(Tapes::of(seed), breakage, false);
        let is_found = outcome.violation.is_some() && live(Tapes::of(seed), Breakage::None, false).violation.is_none();
        is_found.then_some(Found { seed, worlds: number + 1, outcome })
    })
}

/// The first seeds of worlds that are lived quickly: no long times without anything new, no thousands of leads.
pub fn quick_seeds(count: usize) -> impl Iterator<Item = u64> {
    let is_quick = |seed: &u64| {
        let config = Config::draw(&mut Tapes::of(*seed).world);
        let hours: i64 = config.storms.iter().map(SignedDuration::as_hours).sum();
        let runs = hours * 60 / config.interval.as_mins();
        config.calm_days == 0 && config.burst <= 3 && config.leads_a_day <= 20 && hours <= 120 && runs <= 400
    };
    (0..).filter(is_quick).take(count)
}

/// The seeds of worlds that are lived quickly, and in which a breakage can show.
fn suitable(breakage: Breakage) -> impl Iterator<Item = u64> {
    (0..4_000_000).filter(move |seed| {
        let config = Config::draw(&mut Tapes::of(*seed).world);
        is_small(&config, breakage) && suits(&config, breakage)
    })
}

fn is_small(config: &Config, breakage: Breakage) -> bool {
    // What is left of a world after its faults shows nothing new.
    if config.calm_days > 0 || config.is_upgraded {
        return false;
    }
    let hours: i64 = config.storms.iter().map(SignedDuration::as_hours).sum();
    let largest_burst = match breakage {
        Breakage::BoundedByCountAlone => 700,
        _ => 3,
    };
    let is_broken = breakage == Breakage::SharedFailures;
    hours <= 54
        && config.burst <= largest_burst
        && (config.permanent == Permanent::Nothing || is_broken)
        && config.routes < 3
}

fn suits(config: &Config, breakage: Breakage) -> bool {
    let is_hourly = config.interval == SignedDuration::from_hours(1);
    let has = |kind| config.kinds.contains(&kind);
    match breakage {
        // A late row is missed where a run comes between.
        Breakage::NoOverlap => {
            let is_late = config.late >= SignedDuration::from_mins(5);
            is_late && config.interval <= SignedDuration::from_mins(15) && config.leads_a_day >= 20
        }
        Breakage::CheckThenWrite => is_hourly && config.concurrency > 1 && config.ticks.2 > 0.0,
        // A pause is short beside an hour.
        Breakage::SharedFailures => {
            config.is_kind
                && config.permanent == Permanent::DeadDestination
                && config.interval <= SignedDuration::from_mins(5)
                && config.leads_a_day >= 20
        }
        // Without a clock a run is too long where there is much to search, and every page takes seconds.
        Breakage::StoppedClock => is_hourly && config.old_days >= 90 && config.scan >= SignedDuration::from_secs(5),
        Breakage::BoundedByCountAlone => {
            let is_large = has(LeadKind::HugeText) && config.kinds.len() <= 2;
            is_hourly && is_large && config.burst >= 80 && config.leads_a_day >= 20
        }
        Breakage::PageReadAsAWhole => is_hourly && !config.is_kind && has(LeadKind::HalfPair),
        // What cues name is found by patrol at last: it must be missed before.
        Breakage::CueRemovedFirst => {
            let is_killed = config.tables.killed >= 0.02;
            let is_searched_late = config.sweep_hours != 6 && config.setting_changes == 0;
            let has_cues = has(LeadKind::Redelivered) || has(LeadKind::Quarantined);
            has_cues && is_killed && is_searched_late && config.kinds.len() <= 3 && config.leads_a_day >= 100
        }
        Breakage::CursorSkips => is_hourly && !config.is_kind && config.leads_a_day >= 5,
        // A run has to die between a mail and the batch that notes it.
        Breakage::FlightUnwritten | Breakage::SentBeforeRecorded => {
            is_hourly && config.tables.killed.max(config.mail.killed) >= 0.02 && config.leads_a_day >= 20
        }
        Breakage::WatermarkFirst => is_hourly && config.tables.before >= 0.15 && config.leads_a_day >= 20,
        Breakage::QueueForgets | Breakage::DeletedBeforeStored => {
            is_hourly && has(LeadKind::Https) && config.tables.before >= 0.15 && config.leads_a_day >= 20
        }
        Breakage::RedeliveredUnderToday => is_hourly && has(LeadKind::Redelivered),
        Breakage::TwoPeopleAreOne => is_hourly && has(LeadKind::Https) && config.leads_a_day >= 20,
        Breakage::CueUnleft => is_hourly && has(LeadKind::Quarantined),
        Breakage::ExportEndsEarly => {
            is_hourly && config.exports > 0 && config.tables.before >= 0.15 && config.rows_looked_at.is_some()
        }
        Breakage::KeyRemovedAtOnce => is_hourly && config.key_rotations > 0 && has(LeadKind::Https),
        Breakage::EventIdChanges => is_hourly && config.receivers > 0 && config.posts.after >= 0.02,
        Breakage::BudgetIgnored => is_hourly && has(LeadKind::Https) && config.tables.slow >= 0.15,
        _ => is_hourly,
    }
}
