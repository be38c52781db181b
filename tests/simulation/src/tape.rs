//! Tapes: the only source of chance. A world asks its tapes whatever could be one thing or another.
//!
//! A tape is drawn from a seed, or played from a record of what was drawn. Each choice is a number, and 0 is always the
//! dull one: a tape that has come to its end gives zeros, which makes a kind world. Workload, faults and order each have
//! a tape of their own, so that a change of one of them does not shuffle the others.

use jiff::SignedDuration;

/// Sebastiano Vigna's SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>). It is written here so that a seed means the
/// same world whatever version of a crate is installed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// One stream of choices.
#[derive(Clone)]
pub struct Tape {
    random: Option<Random>,
    recorded: Vec<u32>,
    position: usize,
    /// A rolling hash over the choices made so far.
    hash: u64,
}

impl Tape {
    /// A tape that is drawn from a seed, and recorded.
    pub fn drawn(seed: u64, stream: u64) -> Self {
        let mut random = Random(seed);
        let start = random.next() ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Self { random: Some(Random(start)), recorded: Vec::new(), position: 0, hash: stream }
    }

    /// A tape that plays these choices, and then gives zeros.
    pub fn played(recorded: Vec<u32>) -> Self {
        Self { random: None, recorded, position: 0, hash: 0 }
    }

    /// What was chosen so far.
    pub fn record(&self) -> &[u32] {
        &self.recorded[..self.position.min(self.recorded.len())]
    }

    /// The rolling hash over the choices made so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn choose(&mut self, options: u32, draw: impl FnOnce(u64) -> u32) -> u32 {
        let chosen = match &mut self.random {
            Some(random) => {
                let drawn = draw(random.next());
                self.recorded.push(drawn);
                drawn
            }
            None => self.recorded.get(self.position).copied().unwrap_or(0).min(options.saturating_sub(1)),
        };
        self.position += 1;
        self.hash = hash(self.hash, chosen.into());
        chosen
    }

    /// One of so many numbers, all alike.
    pub fn below(&mut self, options: u32) -> u32 {
        self.choose(options, |random| (random % u64::from(options.max(1))) as u32)
    }

    /// One of these, all alike. The first one is the dull one.
    pub fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        let count = u32::try_from(options.len()).expect("few options");
        options[self.below(count) as usize]
    }

    /// Whether something happens that happens at this rate (0 to 1).
    pub fn chance(&mut self, rate: f64) -> bool {
        self.choose(2, |random| u32::from(unit(random) < rate)) == 1
    }

    /// The number of one of these, drawn by their rates; 0 where none of them happens. The first has number 1.
    pub fn which(&mut self, rates: &[f64]) -> usize {
        let options = u32::try_from(rates.len() + 1).expect("few rates");
        let chosen = self.choose(options, |random| {
            let mut left = unit(random);
            let found = rates.iter().position(|rate| {
                left -= rate;
                left < 0.0
            });
            found.map_or(0, |found| found as u32 + 1)
        });
        chosen as usize
    }

    /// A time between these two, to the second; the first one is the dull one.
    pub fn between(&mut self, least: SignedDuration, most: SignedDuration) -> SignedDuration {
        let seconds = u32::try_from((most - least).as_secs().max(0)).unwrap_or(u32::MAX - 1);
        least + SignedDuration::from_secs(i64::from(self.below(seconds.saturating_add(1))))
    }
}

fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// A rolling hash with one more number in it.
pub fn hash(hash: u64, number: u64) -> u64 {
    (hash.rotate_left(5) ^ number).wrapping_mul(0x517C_C1B7_2722_0A95)
}

/// The tapes of one world.
#[derive(Clone)]
pub struct Tapes {
    /// What kind of world it is.
    pub world: Tape,
    /// Who writes what and when.
    pub workload: Tape,
    /// What fails.
    pub faults: Tape,
    /// How long each call takes, and thereby which of several is answered first.
    pub order: Tape,
}

impl Tapes {
    /// The tapes of a seed.
    pub fn of(seed: u64) -> Self {
        let tape = |stream| Tape::drawn(seed, stream);
        Self { world: tape(1), workload: tape(2), faults: tape(3), order: tape(4) }
    }

    /// Tapes that play what was recorded: world, workload, faults, order.
    pub fn played(records: [Vec<u32>; 4]) -> Self {
        let [world, workload, faults, order] = records.map(Tape::played);
        Self { world, workload, faults, order }
    }

    /// What was chosen: world, workload, faults, order.
    pub fn records(&self) -> [Vec<u32>; 4] {
        [&self.world, &self.workload, &self.faults, &self.order].map(|tape| tape.record().to_vec())
    }

    /// A hash over every choice on every tape.
    pub fn hash(&self) -> u64 {
        [&self.world, &self.workload, &self.faults, &self.order].iter().fold(0, |sum, tape| hash(sum, tape.hash()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_played_tape_gives_what_was_drawn_and_then_zeros() {
        let mut drawn = Tape::drawn(7, 1);
        let draw = |tape: &mut Tape| {
            (0..50).map(|_| (tape.below(9), tape.chance(0.5), tape.which(&[0.3, 0.3]))).collect::<Vec<_>>()
        };
        let first = draw(&mut drawn);
        let mut played = Tape::played(drawn.record().to_vec());
        assert_eq!(draw(&mut played), first);
        assert_eq!(draw(&mut played), vec![(0, false, 0); 50]);
        assert_ne!(draw(&mut Tape::drawn(8, 1)), first);
    }
}
