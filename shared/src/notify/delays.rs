//! How long leads took from their row in the table to a mail that the mail service accepted.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The seconds of an hour, up to which delays are told apart by the minute, and above by the hour.
const HOUR: u64 = 3_600;

/// Longer delays count as this one: a week.
const LONGEST: u64 = 7 * 24 * HOUR;

/// How many leads took how long. Only leads count that were to go out at once: what waits for its route's cadence or window
/// does so on purpose, and would hide how fast the rest is. Holds no person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Delays(
    /// Numbers of leads by their delay in seconds. Up to two minutes it is rounded up to a second, up to an hour to a minute, above to
    /// an hour, so that a run's numbers stay few.
    BTreeMap<u64, u64>,
);

/// The form in which delays stand in the record of a run.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Form {
    /// The delay in seconds that half of the leads did not exceed.
    p50: Option<u64>,
    /// The same for 99 of 100.
    p99: Option<u64>,
    /// Each delay in seconds with the number of its leads.
    seconds: Vec<(u64, u64)>,
}

impl From<Delays> for Form {
    fn from(delays: Delays) -> Self {
        let (p50, p99) = (delays.percentile(50), delays.percentile(99));
        Self { p50, p99, seconds: delays.0.into_iter().collect() }
    }
}

impl From<Form> for Delays {
    fn from(form: Form) -> Self {
        Self(form.seconds.into_iter().collect())
    }
}

impl Delays {
    /// Counts a lead.
    pub(crate) fn add(&mut self, delay: SignedDuration) {
        let seconds = u64::try_from(delay.as_millis()).unwrap_or_default().div_ceil(1_000);
        let step = match seconds {
            0..=120 => 1,
            121..=HOUR => 60,
            _ => HOUR,
        };
        *self.0.entry((seconds.div_ceil(step) * step).min(LONGEST)).or_default() += 1;
    }

    /// Adds what was counted elsewhere.
    pub fn add_all(&mut self, other: &Self) {
        for (seconds, leads) in &other.0 {
            let sum = self.0.entry(*seconds).or_default();
            *sum = sum.saturating_add(*leads);
        }
    }

    /// How many leads were counted.
    pub fn leads(&self) -> u64 {
        self.0.values().fold(0, |sum, leads| sum.saturating_add(*leads))
    }

    /// Whether none was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The delay in seconds that so many percent of the leads did not exceed; `None` where there are none.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let place = (u128::from(self.leads()) * u128::from(percent.min(100))).div_ceil(100).max(1);
        self.at(place)
    }

    /// At most so many delays in seconds that stand for all of them: each one, where they are as few.
    pub(crate) fn sample(&self, most: u64) -> impl Iterator<Item = u64> {
        let leads = u128::from(self.leads());
        let count = leads.min(u128::from(most));
        (0..count).filter_map(move |number| self.at((leads * (2 * number + 1)).div_ceil(2 * count)))
    }

    /// The delay of the lead at this place, counted from 1, when they are sorted by it.
    fn at(&self, place: u128) -> Option<u64> {
        let mut seen = 0;
        let reached = self.0.iter().find(|(_, leads)| {
            seen += u128::from(**leads);
            seen >= place
        });
        reached.map(|(seconds, _)| *seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(milliseconds: impl IntoIterator<Item = i64>) -> Delays {
        let mut delays = Delays::default();
        milliseconds.into_iter().for_each(|delay| delays.add(SignedDuration::from_millis(delay)));
        delays
    }

    #[test]
    fn a_delay_is_rounded_up_by_the_second_then_by_the_minute_then_by_the_hour() {
        for (milliseconds, seconds) in [
            (-5_000, 0),
            (0, 0),
            (1, 1),
            (1_000, 1),
            (59_001, 60),
            (120_000, 120),
            (120_001, 180),
            (3_600_000, 3_600),
            (3_600_001, 7_200),
            (i64::MAX, LONGEST),
        ] {
            assert_eq!(delays([milliseconds]).percentile(50), Some(seconds), "{milliseconds} ms");
        }
    }

    #[test]
    fn percentiles_are_those_of_all_leads_also_of_several_runs() {
        assert_eq!((delays([]).percentile(99), delays([]).is_empty()), (None, true));
        let mut all = delays((1..=60).map(|second| second * 1_000));
        all.add_all(&delays((61..=100).map(|second| second * 1_000)));
        let percentiles = [0, 1, 50, 99, 100].map(|percent| all.percentile(percent).unwrap());
        assert_eq!((percentiles, all.leads()), ([1, 1, 50, 99, 100], 100));
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Delays>(&text).unwrap(), all);
    }

    #[test]
    fn a_sample_is_all_of_few_and_stands_for_all_of_many() {
        assert_eq!(delays([3_000, 1_000, 1_000]).sample(100).collect::<Vec<_>>(), [1, 1, 3]);
        let many = delays((0..100_000).map(|number| number * 60_000 / 100_000));
        let sample: Vec<_> = many.sample(100).collect();
        assert_eq!((sample.len(), sample[0], sample[50], sample[99]), (100, 1, 31, 60));
        assert_eq!(delays([]).sample(100).count(), 0);
    }

    #[test]
    fn a_runs_numbers_are_few_however_many_leads_there_are() {
        let all = delays((0..200_000).map(|number| number * 5_000));
        assert!(all.0.len() < 400, "{}", all.0.len());
    }
}
