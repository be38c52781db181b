//! What goes into one mail.

use crate::lead::{StoredLead, plausible};
use crate::table::Keys;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::fmt;

/// Leads that go out in one mail.
#[derive(Clone, PartialEq)]
pub struct Digest {
    /// The id of the digest, which stays the same however often it is sent.
    pub id: String,
    /// Why this mail is sent.
    pub occasion: Occasion,
    /// Whether it was for a route or a destination that is gone, so that the default recipients get it.
    pub is_redirected: bool,
    /// How many more its recipients are owed, which follow separately.
    pub more: usize,
    /// The leads, in any order.
    pub leads: Vec<DigestLead>,
    /// Rows that are no leads.
    pub unreadable: Vec<UnreadableLead>,
    /// Bodies that intake kept because they could not be stored as leads.
    pub quarantined: Vec<QuarantinedBody>,
}

impl Digest {
    /// When it was put together, and which one of its run's digests it is, as its id says
    /// (`20261124T203642Z-8f43-0025`). `None` for an id of another form.
    pub(super) fn moment(&self) -> Option<(Timestamp, u32)> {
        let (time, rest) = self.id.split_once('-')?;
        let time = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let number = rest.rsplit('-').next()?.parse().ok()?;
        Some((plausible(time)?, number))
    }
}

/// Why a digest is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occasion {
    /// New leads.
    New,
    /// New leads whose mail may have been sent already: the run that sent it ended before it could note that.
    MaybeRepeated,
    /// The leads of a period, sent again on demand.
    Backfill {
        /// The beginning of the period.
        since: Timestamp,
        /// The end of the period.
        until: Timestamp,
    },
}

/// A lead in a digest.
#[derive(Clone, PartialEq)]
pub struct DigestLead {
    /// The lead.
    pub stored: StoredLead,
    /// What the same person did before, newest first, within the contact window.
    pub history: Vec<PastAction>,
}

/// An earlier action of the same person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastAction {
    /// When it happened.
    pub time: Timestamp,
    /// Microsoft's action code.
    pub action_code: String,
    /// The offer's name.
    pub offer: String,
}

/// A row that is no lead.
#[derive(Clone, PartialEq)]
pub struct UnreadableLead {
    /// The row's keys.
    pub keys: Keys,
    /// When the service wrote it.
    pub timestamp: Option<Timestamp>,
    /// Why it is no lead.
    pub reason: String,
    /// Its columns as text.
    pub columns: Vec<(String, String)>,
}

/// A body that intake kept because it could not be stored as a lead.
#[derive(Clone, PartialEq)]
pub struct QuarantinedBody {
    /// The keys of its row in the state table.
    pub keys: Keys,
    /// When intake received it.
    pub received: Option<Timestamp>,
    /// What is wrong with it.
    pub reason: String,
    /// Its size in bytes.
    pub size: usize,
    /// The beginning of the body, as far as it can be read as a text.
    pub excerpt: String,
}

/// Shows how many entries there are, and nothing of a person.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest")
            .field("occasion", &self.occasion)
            .field("leads", &self.leads.len())
            .field("unreadable", &self.unreadable.len())
            .field("quarantined", &self.quarantined.len())
            .finish_non_exhaustive()
    }
}

/// Shows how many earlier actions there are, and nothing of a person.
impl fmt::Debug for DigestLead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestLead").field("history", &self.history.len()).finish_non_exhaustive()
    }
}

/// Shows how many columns there are, and nothing of what is in them: it may be about a person.
impl fmt::Debug for UnreadableLead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnreadableLead").field("columns", &self.columns.len()).finish_non_exhaustive()
    }
}

/// Shows how large the body is, and nothing of what is in it: it may be about a person.
impl fmt::Debug for QuarantinedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuarantinedBody").field("size", &self.size).finish_non_exhaustive()
    }
}
