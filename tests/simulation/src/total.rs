//! What many worlds did together.

use crate::coverage::Coverage;
use crate::world::{Counts, Outcome};
use jiff::SignedDuration;

/// The sum of many worlds.
#[derive(Debug, Default)]
pub struct Total {
    /// Worlds lived.
    pub worlds: u64,
    /// Worlds in which something was that must not be.
    pub failed: u64,
    /// What they did.
    pub counts: Counts,
    /// What they tried.
    pub coverage: Coverage,
}

impl Total {
    /// Adds a world.
    pub fn add(&mut self, outcome: &Outcome) {
        self.worlds += 1;
        self.failed += u64::from(outcome.violation.is_some());
        self.coverage.add(&outcome.coverage);
        let Counts { requests, faults, kills, runs, skipped, posts, leads, mails, repeats, excuses, time } =
            &outcome.counts;
        let sum = &mut self.counts;
        sum.requests += requests;
        sum.faults += faults;
        sum.kills += kills;
        sum.runs += runs;
        sum.skipped += skipped;
        sum.posts += posts;
        sum.leads += leads;
        sum.mails += mails;
        sum.repeats += repeats;
        sum.time += *time;
        for (excuse, count) in excuses {
            *sum.excuses.entry(excuse).or_default() += count;
        }
    }

    /// How many years have passed in the worlds.
    pub fn years(&self) -> f64 {
        self.counts.time.as_secs_f64() / SignedDuration::from_hours(24 * 365).as_secs_f64()
    }

    /// The sum in one line.
    pub fn report(&self) -> String {
        let Counts { requests, faults, kills, runs, skipped, posts, leads, mails, repeats, excuses, .. } = &self.counts;
        let excuses: Vec<_> = excuses.iter().map(|(excuse, count)| format!("{count} excused: {excuse}")).collect();
        let excuses = if excuses.is_empty() { String::new() } else { format!(" ({})", excuses.join("; ")) };
        format!(
            "{} worlds, {} failed; {:.1} years, {runs} runs made and {skipped} skipped, {posts} posts, {requests} requests, {faults} faults, {kills} kills, \
             {leads} leads{excuses}, {mails} mails, {repeats} marked repeats",
            self.worlds,
            self.failed,
            self.years(),
        )
    }
}
