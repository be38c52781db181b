//! The row `core`.

use super::{CORE, PARTITION, set_time};
use crate::table::{ETag, Entity};
use jiff::Timestamp;

/// The row that every batch writes: it carries the version by which a run that was overtaken is stopped.
#[derive(Clone, Default, Debug)]
pub(crate) struct Core {
    /// Which run holds the lease, if any.
    pub(crate) lease_owner: Option<String>,
    /// Until when it does, by the clock of the run that took it.
    pub(crate) lease_until: Option<Timestamp>,
    /// Which write this is, to recognise one whose answer was lost.
    pub(crate) write_id: String,
    /// When what is too old was deleted last.
    pub(crate) maintained: Option<Timestamp>,
    /// For which newest lead the alert about silence was sent.
    pub(crate) alerted_for: Option<Timestamp>,
    /// From which person on the contact index is still to be searched for people who did nothing lately.
    pub(crate) people_at: Option<String>,
    /// When the row was written last, by the service's clock. `None` before it was.
    pub(crate) written: Option<Timestamp>,
    pub(in crate::notify::log) etag: Option<ETag>,
}

impl Core {
    pub(in crate::notify::log) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, CORE).with("WriteId", self.write_id.as_str());
        set_time(&mut row, "LeaseUntil", self.lease_until);
        set_time(&mut row, "Maintained", self.maintained);
        set_time(&mut row, "AlertedFor", self.alerted_for);
        for (name, text) in [("LeaseOwner", &self.lease_owner), ("PeopleAt", &self.people_at)] {
            if let Some(text) = text {
                row.set(name, text.as_str());
            }
        }
        row
    }

    pub(in crate::notify::log) fn from_entity(row: &Entity) -> Self {
        Self {
            people_at: row.string("PeopleAt").map(str::to_owned),
            lease_owner: row.string("LeaseOwner").map(str::to_owned),
            lease_until: row.time("LeaseUntil"),
            write_id: row.string("WriteId").unwrap_or_default().to_owned(),
            maintained: row.time("Maintained"),
            alerted_for: row.time("AlertedFor"),
            written: row.timestamp,
            etag: row.etag.clone(),
        }
    }

    /// Whether a run is at work.
    pub(crate) fn is_leased(&self, now: Timestamp) -> bool {
        self.lease_owner.is_some() && self.lease_until.is_some_and(|until| until > now)
    }
}
