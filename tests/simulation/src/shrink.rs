//! Makes a world that fails smaller, as long as it fails in the same way.

use crate::breakage::Breakage;
use crate::model::Promise;
use crate::tape::Tapes;
use crate::world::{Outcome, live};

/// The most worlds that are lived to make one smaller.
const MOST_WORLDS: u32 = 300;

/// The tape that says what kind of world it is; it is left alone until the end, since everything hangs on it.
const WORLD: usize = 0;

/// A world made smaller.
pub struct Small {
    /// The smallest that was found, with its trace.
    pub outcome: Outcome,
    /// How many worlds were lived for it.
    pub worlds: u32,
}

struct Shrinking {
    records: [Vec<u32>; 4],
    promise: Option<Promise>,
    breakage: Breakage,
    worlds: u32,
}

/// Looks for a smaller world: shorter tapes first, then fewer deviations, then smaller ones.
pub fn shrink(outcome: &Outcome, breakage: Breakage) -> Small {
    let promise = outcome.violation.as_ref().map(|violation| violation.promise);
    let mut shrinking = Shrinking { records: outcome.records.clone(), promise, breakage, worlds: 0 };
    for tape in [2, 3, 1] {
        shrinking.cut(tape);
    }
    for tape in [2, 3, 1, WORLD] {
        shrinking.calm(tape);
    }
    for tape in [1, 2, WORLD] {
        shrinking.lower(tape);
    }
    let outcome = live(Tapes::played(shrinking.records), breakage, true);
    Small { outcome, worlds: shrinking.worlds }
}

impl Shrinking {
    /// Whether the world of these tapes fails in the same way; if so, they are kept.
    fn accept(&mut self, records: [Vec<u32>; 4]) -> bool {
        if self.worlds >= MOST_WORLDS {
            return false;
        }
        self.worlds += 1;
        let outcome = live(Tapes::played(records), self.breakage, false);
        let is_same = outcome.violation.as_ref().map(|violation| violation.promise) == self.promise;
        if is_same {
            self.records = outcome.records;
        }
        is_same
    }

    /// The shortest beginning of a tape with which the world still fails, found by halving.
    fn cut(&mut self, tape: usize) {
        let (mut works, mut fails_not) = (self.records[tape].len(), 0);
        while works > fails_not {
            let length = fails_not + (works - fails_not) / 2;
            let mut records = self.records.clone();
            records[tape].truncate(length);
            if self.accept(records) {
                works = length;
            } else {
                fails_not = length + 1;
            }
        }
    }

    /// Makes choices dull, many at once first.
    fn calm(&mut self, tape: usize) {
        let mut size = self.records[tape].len().max(1);
        while size > 0 {
            let mut from = 0;
            while from < self.records[tape].len() {
                let to = (from + size).min(self.records[tape].len());
                let mut records = self.records.clone();
                if records[tape][from..to].iter().any(|choice| *choice > 0) {
                    records[tape][from..to].fill(0);
                    self.accept(records);
                }
                from = to;
            }
            size /= 2;
        }
    }

    /// Makes single choices smaller.
    fn lower(&mut self, tape: usize) {
        for place in 0..self.records[tape].len() {
            while self.records[tape].get(place).is_some_and(|choice| *choice > 1) {
                let mut records = self.records.clone();
                records[tape][place] /= 2;
                if !self.accept(records) {
                    break;
                }
            }
        }
    }
}
