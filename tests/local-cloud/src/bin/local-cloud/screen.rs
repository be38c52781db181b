//! What is shown while the local cloud starts.

use local_cloud::Progress;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows the steps that are done, and the current one when it takes longer than a second.
pub(crate) struct Screen {
    terminal: bool,
    activity: String,
    since: Instant,
    shown: Option<Instant>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), activity: String::new(), since: Instant::now(), shown: None }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        self.show_done(progress);
        let now = progress.now();
        // After a colon there can be a count that keeps changing. The activity is the same all the while.
        let activity = now.split(':').next().unwrap_or_default();
        if activity != self.activity {
            (self.activity, self.since, self.shown) = (activity.to_owned(), Instant::now(), None);
        }
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let due = self.shown.map_or(self.since.elapsed() > Duration::from_secs(1), |shown| shown.elapsed() > pause);
        if due && !now.is_empty() {
            self.shown = Some(Instant::now());
            let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
            eprint!("{start}  … {now}, {} s{end}", self.since.elapsed().as_secs());
            let _ = std::io::stderr().flush();
        }
    }

    pub(crate) fn show_done(&mut self, progress: &Progress) {
        for (step, time) in progress.take_done() {
            self.clear();
            show_step(&step, time);
        }
    }

    pub(crate) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

/// One line: a step that is done, and how long it took.
pub(crate) fn show_step(step: &str, time: Duration) {
    println!("  {step:<60}{:>10}", format!("{:.1} s", time.as_secs_f64()));
}
