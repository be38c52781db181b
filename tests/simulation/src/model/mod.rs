//! The oracle: which leads there are, who should have them, and who has. Nothing is ever taken back.

mod accept;
mod lead;

pub use crate::promise::{Promise, Violation};
pub use lead::{Lead, Target};

use crate::config::LeadKind;
use crate::leads::marker;
use crate::routing::{MAILBOXES, People, Routing, set};
use crate::tape::hash;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Why nobody can be asked to mail a lead whose person was erased.
const ERASED: &str = "its person was erased";

/// Why nobody is asked to name what is no lead.
const COUNTED: &str = "it is no lead, and a mail counts it instead of naming it";

/// Everything that was written and mailed.
#[derive(Debug, Default)]
pub struct Model {
    leads: Vec<Lead>,
    /// Leads that are not with everybody who must get them.
    open: BTreeSet<usize>,
    /// Leads by the beginnings of their keys: all that a message without their texts has of them.
    keys: BTreeMap<String, usize>,
    /// How mails name what is no lead.
    names: Vec<(String, usize)>,
    /// The people whose erasure is under way, each with the command by which it is.
    under_erasure: BTreeMap<u32, String>,
    /// The destinations whose parameters are gone, or were.
    gone: People,
    /// Those to whom the mail service delivers nothing, or did not for a while.
    suppressed: People,
    /// Who gets what they should have.
    redirect_to: People,
    /// Leads that came again in a mail that said so.
    pub repeats: u64,
    /// Mails and messages accepted.
    pub mails: u64,
    /// Whether the mail service refuses everybody for days, while the recipients of a digest are more than one mail takes.
    pub leaves_out: bool,
    /// Whether nothing goes wrong.
    is_kind: bool,
}

impl Model {
    /// A model of a world; see [`Model::leaves_out`].
    pub fn new(leaves_out: bool, is_kind: bool) -> Self {
        Self { leaves_out, is_kind, ..Self::default() }
    }

    /// A new lead, which is not written yet. Gives its number.
    pub fn add(
        &mut self,
        kind: LeadKind,
        offer: Option<usize>,
        action: Option<&'static str>,
        routing: &Routing,
    ) -> usize {
        self.add_target(kind, Target::Known { offer, action }, routing)
    }

    /// A new lead, which is not written yet. Gives its number.
    pub fn add_target(&mut self, kind: LeadKind, target: Target, routing: &Routing) -> usize {
        let people = target.people(routing);
        self.leads.push(Lead {
            kind,
            target,
            keys: Vec::new(),
            requests: 0,
            requested: None,
            copies: BTreeMap::new(),
            was_sent: false,
            is_always_marked: false,
            since: None,
            must: people,
            again: people,
            may: people,
            backfilled_to: 0,
            got: 0,
            got_unmarked: 0,
            person: None,
            is_to_be_erased: false,
            erased_from: None,
            excuse: None,
        });
        self.leads.len() - 1
    }

    /// The number of the lead that is added next.
    pub fn next(&self) -> usize {
        self.leads.len()
    }

    /// How many leads were written.
    pub fn written(&self) -> usize {
        self.leads.iter().filter(|lead| lead.since.is_some()).count()
    }

    /// A lead can be seen from now on, or was acknowledged.
    pub fn since(&mut self, number: usize, now: Timestamp) {
        self.leads[number].since.get_or_insert(now);
        self.open.insert(number);
    }

    /// A row of a lead can be under these keys, or under longer ones that begin so.
    pub fn may_be_stored(&mut self, number: usize, partition_key: String, row_key: String) {
        let keys = (partition_key, row_key);
        let known = &mut self.leads[number].keys;
        if !known.contains(&keys) {
            known.push(keys);
        }
    }

    /// Whether a lead is known by its row's key alone.
    pub fn is_to_be_named(&self, number: usize) -> bool {
        matches!(self.leads[number].kind, LeadKind::HttpsRecorded | LeadKind::Redelivered)
    }

    /// Intake acknowledged one of the requests that a customer made with the same body.
    pub fn acknowledged(&mut self, number: usize, request: u32, now: Timestamp) {
        let lead = &mut self.leads[number];
        if lead.requests & 1 << request == 0 {
            lead.requests |= 1 << request;
            lead.requested = Some(now);
        }
        self.since(number, now);
    }

    /// The version before this one sent a lead already, or was about to.
    pub fn was_sent_before(&mut self, number: usize, is_sure: bool, routed: People) {
        let lead = &mut self.leads[number];
        lead.is_always_marked = true;
        lead.backfilled_to = routed;
        if is_sure {
            (lead.must, lead.was_sent) = (0, true);
        }
    }

    /// The rows that must be in the table, and those that must not: for each lead how many under which keys.
    /// Those of leads that may still be on the queue are there only where it `is_quiet`.
    pub fn rows(&self, is_quiet: bool) -> impl Iterator<Item = (usize, &[(String, String)], RangeInclusive<usize>)> {
        self.leads.iter().enumerate().filter_map(move |(number, lead)| {
            let is_on_its_way = !is_quiet && (lead.kind.is_sent() || lead.kind == LeadKind::Redelivered);
            let is_row = !is_on_its_way && !lead.keys.is_empty() && !lead.kind.is_quarantined() && lead.since.is_some();
            let least = lead.requests.count_ones().max(1) as usize;
            match (lead.excuse, lead.erased_from) {
                _ if !is_row => None,
                (_, Some(_)) => Some((number, lead.keys.as_slice(), 0..=0)),
                (Some(ERASED), None) => None,
                _ => Some((number, lead.keys.as_slice(), least..=usize::MAX)),
            }
        })
    }

    /// A number that two worlds share in which the same leads were written and everybody has the same of them.
    pub fn summary(&self) -> u64 {
        self.leads.iter().fold(0, |sum, lead| {
            let got = lead.got & lead.must;
            [got as u64, (got >> 64) as u64, lead.must as u64, (lead.must >> 64) as u64].into_iter().fold(sum, hash)
        })
    }

    /// Whether anything waits to be mailed.
    pub fn is_anything_open(&self) -> bool {
        self.open.iter().any(|number| self.leads[*number].excuse.is_none())
    }

    /// Nobody can be asked to mail this lead.
    pub fn excuse(&mut self, number: usize, why: &'static str) {
        self.leads[number].excuse = Some(why);
    }

    /// A lead is of one of the people who come again.
    pub fn is_of(&mut self, number: usize, person: u32) {
        let lead = &mut self.leads[number];
        lead.person = Some(person);
        if self.under_erasure.contains_key(&person) {
            lead.excuse = Some(ERASED);
        }
    }

    /// A mail may name a lead so, instead of showing it.
    pub fn is_named(&mut self, number: usize, name: String) {
        if !self.names.iter().any(|(known, _)| *known == name) {
            self.names.push((name, number));
        }
    }

    /// A message without its texts has this much of a lead's key.
    pub fn has_key(&mut self, number: usize, key: String) {
        self.keys.insert(key, number);
    }

    /// A person's erasure begins, or is tried again: nobody can be asked to mail what there is of theirs. `false` where
    /// another command erases the person already: an operator waits for it.
    pub fn erasing(&mut self, person: u32, command: &str) -> bool {
        if self.under_erasure.entry(person).or_insert_with(|| command.to_owned()) != command {
            return false;
        }
        for lead in self.leads.iter_mut().filter(|lead| lead.person == Some(person)) {
            lead.excuse = Some(ERASED);
            lead.is_to_be_erased = lead.since.is_some();
        }
        true
    }

    /// A person is erased: no invocation from this one on may mail what there was when that began.
    pub fn erased(&mut self, person: u32, first: u64) {
        self.under_erasure.remove(&person);
        for lead in self.leads.iter_mut().filter(|lead| lead.person == Some(person) && lead.is_to_be_erased) {
            lead.erased_from.get_or_insert(first);
        }
    }

    /// A destination's parameter is gone: what it should have goes to the default recipients, also for a while afterwards.
    pub fn destination_is_gone(&mut self, receiver: People, routing: &Routing) {
        self.gone |= receiver;
        self.redirect_to |= set(&routing.default);
    }

    /// The mail service accepts mails to these recipients, and drops them.
    pub fn are_suppressed(&mut self, people: People, routing: &Routing) {
        self.suppressed |= people;
        self.redirect_to |= set(&routing.default);
    }

    /// The destinations from which nothing of a lead is missing, since others have it in their place, or must have it.
    fn gone_for(&self, lead: &Lead) -> People {
        let is_redirected = lead.got & self.redirect_to & !lead.must != 0;
        // It goes to those who are left, or in their place to the default recipients. What goes out before that is known is
        // dropped; in a kind world it is known before.
        let is_left = !self.is_kind && lead.got & lead.must & self.suppressed != 0;
        let is_elsewhere = lead.must & !self.suppressed & MAILBOXES != 0 || is_redirected || is_left;
        (if is_redirected { self.gone } else { 0 }) | (if is_elsewhere { self.suppressed } else { 0 })
    }

    /// The settings are others now. A lead that is under way may go by the old ones or by the new ones.
    pub fn change_routing(&mut self, routing: &Routing) {
        if self.gone | self.suppressed != 0 {
            self.redirect_to |= set(&routing.default);
        }
        for lead in &mut self.leads {
            let people = lead.target.people(routing);
            lead.must &= people | lead.got;
            lead.again &= people;
            lead.may |= people;
        }
    }

    /// Lets leads go to these people too, as settings said that were in force a moment ago.
    pub fn allow_too(&mut self, number: usize, routing: &Routing) {
        let lead = &mut self.leads[number];
        let people = lead.target.people(routing);
        lead.must &= people;
        lead.again &= people;
        lead.may |= people;
    }

    /// The leads written before this time that somebody still waits for, without those who cannot get any. `is_soon`
    /// leaves out those that only the patrol can find.
    pub fn missing(&self, before: Timestamp, dead: People, is_soon: bool) -> Option<Violation> {
        let is_missing = |number: &&usize| {
            let lead = &self.leads[**number];
            let dead = dead | self.gone_for(lead);
            let waits = lead.waits(dead);
            let is_for_patrol = lead.kind.is_for_patrol();
            waits
                && !(is_soon && is_for_patrol)
                && lead.excuse.is_none()
                && !self.is_left_out(lead)
                && lead.waits_since(dead).is_some_and(|since| since <= before)
        };
        let missing: Vec<_> = self.open.iter().filter(is_missing).collect();
        let first = missing.first()?;
        let lead = &self.leads[**first];
        let waiting = lead.must & !lead.got & !(dead | self.gone_for(lead));
        let one = if waiting == 0 { String::new() } else { format!("person {}", waiting.trailing_zeros()) };
        let kinds: BTreeSet<_> = missing.iter().map(|number| format!("{:?}", self.leads[**number].kind)).collect();
        Some(Violation::new(
            if is_soon { Promise::NoDelays } else { Promise::NothingLost },
            format!(
                "{} leads {}, the first is {} (for {} people, {one}); kinds: {}",
                missing.len(),
                if is_soon { "are late" } else { "are in no mail for somebody" },
                marker(**first),
                waiting.count_ones(),
                kinds.into_iter().collect::<Vec<_>>().join(", "),
            ),
        ))
    }

    /// Whether others of its recipients have a lead, in a world in which the mail service refuses the rest for days.
    fn is_left_out(&self, lead: &Lead) -> bool {
        self.leaves_out && lead.got & lead.must != 0
    }

    /// The leads that somebody did not get, with the reason why nobody is blamed.
    pub fn excuses(&self) -> impl Iterator<Item = &'static str> {
        let left_out = "the mail service refuses some of its recipients for days";
        self.open.iter().filter_map(move |number| {
            let lead = &self.leads[*number];
            lead.excuse.or_else(|| self.is_left_out(lead).then_some(left_out))
        })
    }
}
