//! How a start says what it is doing, and what it has done.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is being done right now, and the steps done so far, for whoever wants to show them. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: String,
    done: Vec<(String, Duration)>,
}

impl Progress {
    /// What is being done right now, for instance `building the functions: 120 of 311 units compiled`.
    pub fn now(&self) -> String {
        self.0.lock().map(|state| state.now.clone()).unwrap_or_default()
    }

    /// The steps done since this was last asked, each with the time it took.
    pub fn take_done(&self) -> Vec<(String, Duration)> {
        self.0.lock().map(|mut state| std::mem::take(&mut state.done)).unwrap_or_default()
    }

    /// Says what is being done.
    pub(crate) fn set(&self, now: impl Into<String>) {
        if let Ok(mut state) = self.0.lock() {
            state.now = now.into();
        }
    }

    /// Says that a step is done.
    pub(crate) fn done(&self, step: impl Into<String>, since: Instant) {
        if let Ok(mut state) = self.0.lock() {
            state.done.push((step.into(), since.elapsed()));
        }
    }
}
