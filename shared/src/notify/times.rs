//! Arithmetic with times that cannot fail: what would leave the calendar stays at its end.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// The time so much earlier.
pub(crate) fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

/// The time so much later.
pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// A span of the settings as one of our clock's.
pub(crate) fn span(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The whole days of a span of the settings.
pub(crate) fn whole_days(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs() / 86_400).unwrap_or(u32::MAX)
}
