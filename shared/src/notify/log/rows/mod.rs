//! The rows of the log, as they stand in the state table. Each type here is one kind of row.

mod channel;
mod core;
mod counted;
mod entry;
mod progress;
mod suppressions;

pub(crate) use self::core::Core;
pub(crate) use channel::{Channel, Flight, Target, Told, Urgent};
pub use channel::{ChannelId, Position};
pub(in crate::notify::log) use counted::day_of;
pub(crate) use counted::{Counted, day_key};
pub(crate) use entry::{Entry, LogRow, Parked};
pub(crate) use progress::{Extra, Pass, Progress, Resume};
pub(crate) use suppressions::{Suppression, Suppressions};

use crate::table::Entity;
use jiff::Timestamp;

/// The partition of everything here.
pub use crate::cue::PARTITION;

pub(in crate::notify::log) const CORE: &str = "core";
pub(in crate::notify::log) const COLLECT: &str = "collect";
pub(in crate::notify::log) const CHECKED: &str = "checked";
pub(in crate::notify::log) const COUNTS: &str = "counts";
pub(in crate::notify::log) const DAY: &str = "day-";
pub(in crate::notify::log) const CONTROL: &str = "control";
pub(in crate::notify::log) const CHANNEL: &str = "channel-";
pub(in crate::notify::log) const LOG: &str = "log-";
pub(in crate::notify::log) const PARKED: &str = "parked-";

/// The key of a row of the log: it sorts by time. Milliseconds since 1970, 13 digits.
pub(crate) fn log_key(time: Timestamp) -> String {
    format!("{LOG}{:013}", time.as_millisecond().max(0))
}

/// The key of a new row: after the last one, whatever the clock says.
pub(in crate::notify::log) fn next_log_key(now: Timestamp, last: &str) -> String {
    let last = time_of(last).map_or(-1, |time| time.as_millisecond());
    format!("{LOG}{:013}", now.as_millisecond().max(last + 1).max(0))
}

fn time_of(key: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(key.strip_prefix(LOG)?.parse().ok()?).ok()
}

fn set_time(row: &mut Entity, name: &str, time: Option<Timestamp>) {
    if let Some(time) = time {
        row.set(name, time);
    }
}
