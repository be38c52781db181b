//! The progress of a start.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The current activity and the finished steps of a start. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: String,
    done: Vec<(String, Duration)>,
}

impl Progress {
    /// The current activity, for instance `building the functions: 120 of 311 units compiled`.
    pub fn now(&self) -> String {
        self.0.lock().map(|state| state.now.clone()).unwrap_or_default()
    }

    /// The steps that were finished since the last call, each with the time that it took.
    pub fn take_done(&self) -> Vec<(String, Duration)> {
        self.0.lock().map(|mut state| std::mem::take(&mut state.done)).unwrap_or_default()
    }

    /// Sets the current activity.
    pub(crate) fn set(&self, now: impl Into<String>) {
        if let Ok(mut state) = self.0.lock() {
            state.now = now.into();
        }
    }

    /// Adds a finished step.
    pub(crate) fn done(&self, step: impl Into<String>, since: Instant) {
        if let Ok(mut state) = self.0.lock() {
            state.done.push((step.into(), since.elapsed()));
        }
    }
}
