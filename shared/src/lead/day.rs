//! Days in UTC, which are the partitions of the leads table.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use std::fmt;

/// A day in UTC, as the partitions of the table know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// The UTC day of a time.
    pub fn of(time: Timestamp) -> Self {
        Self(time.to_zoned(TimeZone::UTC).date())
    }

    /// The day's partition in Microsoft's form: month, day and year without padding, `/` written as `:2F`
    /// (`9:2F28:2F2018`).
    pub fn partition_key(self) -> String {
        format!("{}:2F{}:2F{}", self.0.month(), self.0.day(), self.0.year())
    }

    /// Reads a partition in Microsoft's form; `None` where it is another.
    pub fn from_partition_key(key: &str) -> Option<Self> {
        let mut parts = key.split(":2F");
        let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
        Some(Self(date)).filter(|day| day.partition_key() == key)
    }

    /// The day in the form of a pattern of `strftime`, such as `%Y-%m-%d`.
    pub(crate) fn in_form(self, pattern: &str) -> String {
        self.0.strftime(pattern).to_string()
    }

    /// The day before.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1.day()))
    }

    /// The day after.
    #[must_use]
    pub fn after(self) -> Self {
        Self(self.0.saturating_add(1.day()))
    }

    /// When the day begins.
    pub fn start(self) -> Timestamp {
        TimeZone::UTC.to_timestamp(self.0.at(0, 0, 0, 0)).unwrap_or(Timestamp::MIN)
    }
}

/// `2018-09-28`
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
