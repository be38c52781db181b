//! The service's clock, in the steps of 100 ns that its timestamps have.

use jiff::{SignedDuration, Timestamp};
use std::time::SystemTime;

/// Steps of 100 ns since 1970.
pub(crate) type Ticks = i64;

/// How many ticks a second has.
pub(crate) const TICKS_PER_SECOND: Ticks = 10_000_000;

/// What time it is for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// This machine's time, and so much later (or earlier, where it is negative).
    Ahead(SignedDuration),
    /// A clock that stands still.
    Stopped(Timestamp),
}

impl Default for Clock {
    /// This machine's time.
    fn default() -> Self {
        Self::Ahead(SignedDuration::ZERO)
    }
}

/// What the header `Date` of the answers tells. Clients see by it how far the service's clock is from theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateHeader {
    /// The time of the service's clock.
    #[default]
    Clock,
    /// The time of another clock than the one that rows get their timestamps from.
    Of(Clock),
}

impl DateHeader {
    /// The header's value.
    pub(crate) fn value(self, clock: Clock) -> String {
        let time = match self {
            Self::Clock => clock.now(),
            Self::Of(other) => other.now(),
        };
        httpdate::fmt_http_date(SystemTime::from(timestamp(time)))
    }
}

impl Clock {
    pub(crate) fn now(self) -> Ticks {
        match self {
            Self::Ahead(offset) => ticks(Timestamp::now().saturating_add(offset).unwrap_or_default()),
            Self::Stopped(time) => ticks(time),
        }
    }
}

/// A time, cut to whole ticks.
pub(crate) fn ticks(time: Timestamp) -> Ticks {
    Ticks::try_from(time.as_nanosecond().div_euclid(100)).unwrap_or(Ticks::MAX)
}

/// The time of a tick.
pub(crate) fn timestamp(ticks: Ticks) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ticks) * 100).unwrap_or_default()
}
