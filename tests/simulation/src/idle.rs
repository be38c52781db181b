//! Runs that find nothing to do, and may be skipped.
//!
//! A run is skipped where runs are minutes apart, the last two wrote nothing and nobody else wrote since, nothing waits
//! anywhere, and nothing happens before the next run is due. Each quarter of an hour one run is made all the same: some
//! things are due by the clock alone. What is skipped is counted apart, and one world in a hundred is lived again without
//! skipping: everybody must have the same leads.

use crate::coverage::Sometimes;
use crate::world::World;
use jiff::SignedDuration;

/// The longest interval of runs at which they are skipped.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// How often a run is made at least.
const QUARTER: i64 = 15 * 60;

/// What is known of the last runs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Idle {
    /// Whether runs may be skipped at all.
    pub(crate) may_skip: bool,
    /// How many writes there had been when the last run was begun.
    writes: u64,
    /// How many runs have begun since with as many.
    runs: u32,
}

impl World {
    /// Whether the run that is due now can be skipped. It counts as made otherwise.
    pub(crate) fn is_idle(&mut self) -> bool {
        let writes = self.leads.writes() + self.state.writes();
        if writes != self.idle.writes {
            (self.idle.writes, self.idle.runs) = (writes, 0);
        }
        let (now, interval) = (self.clock.now(), self.config.interval);
        let has_no_faults = !self.is_stormy || self.config.is_kind;
        let is_idle = self.idle.may_skip
            && interval <= LONGEST
            && self.idle.runs > 2
            && has_no_faults
            && now.as_second() % QUARTER >= interval.as_secs()
            && self.invocations.is_empty()
            && self.requests.is_empty()
            && self.queue.is_empty()
            && self.paused_from.is_none()
            && !self.model.is_anything_open()
            && self.next_event().is_none_or(|next| next > now + interval);
        if is_idle {
            self.counts.skipped += 1;
            self.coverage.note(Sometimes::Skipped);
        } else {
            self.idle.runs += 1;
        }
        is_idle
    }
}
