//! The row `counts`, which holds what today brought, and the rows `day-…`, one for each day before it.

use super::PARTITION;
use crate::mail::Counts;
use crate::table::Entity;
use jiff::civil::Date;
use std::collections::BTreeMap;

/// What was counted lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    /// The day of these counts, in the system's time zone. `None` before the first one.
    pub(crate) day: Option<Date>,
    /// What it brought so far.
    pub(crate) counts: Counts,
    /// For each route with a summary: the day on which its last one went out.
    pub(crate) told: BTreeMap<String, Date>,
}

impl Counted {
    /// Reads the row. What cannot be read counts as nothing: numbers are not worth stopping for.
    pub(in crate::notify::log) fn from_entity(row: &Entity) -> Self {
        Self { day: row.text("Day").and_then(|day| day.parse().ok()), counts: counts(row), told: json(row, "Told") }
    }

    pub(in crate::notify::log) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, super::COUNTS);
        row.set_text("Day", &self.day.map(|day| day.to_string()).unwrap_or_default());
        row.set_text("Counts", &serde_json::to_string(&self.counts).unwrap_or_default());
        row.set_text("Told", &serde_json::to_string(&self.told).unwrap_or_default());
        row
    }

    /// The same with what came on a day; and the row of the day before it, where that is over.
    pub(in crate::notify::log) fn with(&self, day: Date, brought: &Counts) -> (Self, Option<Entity>) {
        let mut next = self.clone();
        let ended = self.day.filter(|before| *before < day).map(|before| day_entity(before, &self.counts));
        if self.day.is_none_or(|before| before < day) {
            (next.day, next.counts) = (Some(day), Counts::default());
        }
        next.counts.add(brought);
        (next, ended)
    }
}

/// The key of a day's row: it sorts by time.
pub(crate) fn day_key(day: Date) -> String {
    format!("{}{day}", super::DAY)
}

fn day_entity(day: Date, counts: &Counts) -> Entity {
    let mut row = Entity::new(PARTITION, day_key(day));
    row.set_text("Counts", &serde_json::to_string(counts).unwrap_or_default());
    row
}

/// A day and what it brought.
pub(in crate::notify::log) fn day_of(row: &Entity) -> Option<(Date, Counts)> {
    Some((row.row_key.strip_prefix(super::DAY)?.parse().ok()?, counts(row)))
}

fn counts(row: &Entity) -> Counts {
    json(row, "Counts")
}

fn json<V: serde::de::DeserializeOwned + Default>(row: &Entity, column: &str) -> V {
    row.text(column).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
