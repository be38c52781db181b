//! A lead as the oracle knows it.

use crate::config::LeadKind;
use crate::routing::{People, Routing};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// By what routes decide about a lead.
#[derive(Debug, Clone)]
pub enum Target {
    /// Its offer and its action; `None` for those that no route can name.
    Known {
        /// Which of [`OFFERS`](crate::leads::OFFERS).
        offer: Option<usize>,
        /// One of [`ACTIONS`](crate::leads::ACTIONS).
        action: Option<&'static str>,
    },
    /// All of it, as it was read.
    Read(Box<marketplace_leads::lead::Lead>),
}

impl Target {
    pub(super) fn people(&self, routing: &Routing) -> People {
        match self {
            Self::Known { offer, action } => routing.people(*offer, *action),
            Self::Read(lead) => routing.people_of(lead),
        }
    }
}

/// A lead of the world.
#[derive(Debug, Clone)]
pub struct Lead {
    /// What it is like.
    pub kind: LeadKind,
    pub(super) target: Target,
    /// Under which keys, or beginnings of keys, rows of it can be.
    pub(super) keys: Vec<(String, String)>,
    /// Which of the requests that its customer made were acknowledged: a bit for each.
    pub(super) requests: u32,
    /// When the last of them was.
    pub(super) requested: Option<Timestamp>,
    /// How many mails with it each person got, and how many of them without a mark; only for what was sent to our intake.
    pub(super) copies: BTreeMap<u32, (u32, u32)>,
    /// Whether the version before this one sent it, so that it is mailed on demand alone.
    pub(super) was_sent: bool,
    /// Whether every mail with it must say that it may be a repeat.
    pub(super) is_always_marked: bool,
    /// Since when it is in the table and can be seen, or was acknowledged.
    pub since: Option<Timestamp>,
    /// Who must get it.
    pub(super) must: People,
    /// Who must get it as often as it was asked for: those who should have had it under all settings.
    pub(super) again: People,
    /// Who may get it.
    pub(super) may: People,
    /// Who may get it by `backfill` beside them.
    pub(super) backfilled_to: People,
    /// Who got it.
    pub(super) got: People,
    /// Who got it in a mail that does not say that it may be a repeat.
    pub(super) got_unmarked: People,
    /// Which of the people who come again it is of.
    pub(super) person: Option<u32>,
    /// Whether it could be seen when the erasure of its person began that is under way.
    pub(super) is_to_be_erased: bool,
    /// The first invocation that began after its person was erased.
    pub(super) erased_from: Option<u64>,
    /// Why nobody can be asked to mail it.
    pub excuse: Option<&'static str>,
}

impl Lead {
    /// Whether somebody who is not among these still waits for it. Who asked twice is in two mails.
    pub(super) fn waits(&self, dead: People) -> bool {
        let wanted = self.requests.count_ones();
        let has_fewer = |person: u32| self.copies.get(&person).is_none_or(|(all, _)| *all < wanted);
        let (must, again) = (self.must & !dead, self.again & !dead);
        must & !self.got != 0 || wanted > 1 && (0..128).any(|person| again >> person & 1 == 1 && has_fewer(person))
    }

    /// Since when somebody waits who is not among these.
    pub(super) fn waits_since(&self, dead: People) -> Option<Timestamp> {
        if self.must & !dead & !self.got != 0 { self.since } else { self.requested }
    }
}
