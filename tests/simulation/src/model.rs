//! The oracle: which leads there are, who should have them, and who has. Nothing is ever taken back.

pub use crate::promise::{Promise, Violation};

use crate::config::LeadKind;
use crate::leads::{marker, markers};
use crate::routing::{People, Routing, person};
use crate::tape::hash;
use jiff::Timestamp;
use marketplace_leads::mail::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Why nobody can be asked to mail a lead whose person was erased.
const ERASED: &str = "its person was erased";

/// Why nobody is asked to name what is no lead.
const COUNTED: &str = "it is no lead, and a mail counts it instead of naming it";

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
    fn people(&self, routing: &Routing) -> People {
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
    target: Target,
    /// Under which keys, or beginnings of keys, rows of it can be.
    keys: Vec<(String, String)>,
    /// Which of the requests that its customer made were acknowledged: a bit for each.
    requests: u32,
    /// When the last of them was.
    requested: Option<Timestamp>,
    /// How many mails with it each person got, and how many of them without a mark; only for what was sent to our intake.
    copies: BTreeMap<u32, (u32, u32)>,
    /// Whether the version before this one sent it, so that it is mailed on demand alone.
    was_sent: bool,
    /// Whether every mail with it must say that it may be a repeat.
    is_always_marked: bool,
    /// Since when it is in the table and can be seen, or was acknowledged.
    pub since: Option<Timestamp>,
    /// Who must get it.
    must: People,
    /// Who must get it as often as it was asked for: those who should have had it under all settings.
    again: People,
    /// Who may get it.
    may: People,
    /// Who got it.
    got: People,
    /// Who got it in a mail that does not say that it may be a repeat.
    got_unmarked: People,
    /// Which of the people who come again it is of.
    person: Option<u32>,
    /// Whether it could be seen when the erasure of its person began that is under way.
    is_to_be_erased: bool,
    /// The first invocation that began after its person was erased.
    erased_from: Option<u64>,
    /// Why nobody can be asked to mail it.
    pub excuse: Option<&'static str>,
}

impl Lead {
    /// Whether somebody who is not among these still waits for it. Who asked twice is in two mails.
    fn waits(&self, dead: People) -> bool {
        let wanted = self.requests.count_ones();
        let has_fewer = |person: u32| self.copies.get(&person).is_none_or(|(all, _)| *all < wanted);
        let (must, again) = (self.must & !dead, self.again & !dead);
        must & !self.got != 0 || wanted > 1 && (0..128).any(|person| again >> person & 1 == 1 && has_fewer(person))
    }

    /// Since when somebody waits who is not among these.
    fn waits_since(&self, dead: People) -> Option<Timestamp> {
        if self.must & !dead & !self.got != 0 { self.since } else { self.requested }
    }
}

/// Everything that was written and mailed.
#[derive(Debug, Default)]
pub struct Model {
    leads: Vec<Lead>,
    /// Leads that are not with everybody who must get them.
    open: BTreeSet<usize>,
    /// How mails name what is no lead.
    names: Vec<(String, usize)>,
    /// The people whose erasure is under way.
    under_erasure: BTreeSet<u32>,
    /// Leads that came again in a mail that said so.
    pub repeats: u64,
    /// Mails accepted.
    pub mails: u64,
    /// Whether the mail service refuses everybody for days, while the recipients of a digest are more than one mail takes.
    pub leaves_out: bool,
}

impl Model {
    /// A model of a world; see [`Model::leaves_out`].
    pub fn new(leaves_out: bool) -> Self {
        Self { leaves_out, ..Self::default() }
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
        self.leads[number].kind == LeadKind::HttpsRecorded
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
    pub fn was_sent_before(&mut self, number: usize, is_sure: bool) {
        let lead = &mut self.leads[number];
        lead.is_always_marked = true;
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
        if self.under_erasure.contains(&person) {
            lead.excuse = Some(ERASED);
        }
    }

    /// A mail may name a lead so, instead of showing it.
    pub fn is_named(&mut self, number: usize, name: String) {
        if !self.names.iter().any(|(known, _)| *known == name) {
            self.names.push((name, number));
        }
    }

    /// A person's erasure begins: nobody can be asked to mail what there is of theirs.
    pub fn erasing(&mut self, person: u32) {
        self.under_erasure.insert(person);
        for lead in self.leads.iter_mut().filter(|lead| lead.person == Some(person)) {
            lead.excuse = Some(ERASED);
            lead.is_to_be_erased = lead.since.is_some();
        }
    }

    /// A person is erased: no invocation from this one on may mail what there was when that began.
    pub fn erased(&mut self, person: u32, first: u64) {
        self.under_erasure.remove(&person);
        for lead in self.leads.iter_mut().filter(|lead| lead.person == Some(person) && lead.is_to_be_erased) {
            lead.erased_from.get_or_insert(first);
        }
    }

    /// The settings are others now. A lead that is under way may go by the old ones or by the new ones.
    pub fn change_routing(&mut self, routing: &Routing) {
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

    /// The mail service accepted a mail. `rows` says how many rows there are under some keys.
    pub fn accept(
        &mut self,
        mail: &Message,
        is_kind: bool,
        invocation: u64,
        rows: impl Fn(&[(String, String)]) -> usize,
    ) -> Result<BTreeSet<usize>, Violation> {
        self.mails += 1;
        // Who asks for leads again has them apart from what is owed.
        let is_backfill = mail.text.contains("Sent again on demand");
        let says_repeat =
            mail.subject.to_lowercase().contains("may be a repeat") || mail.text.contains("may be a repeat");
        let mut leads = markers(mail.text.as_bytes());
        for file in &mail.attachments {
            leads.extend(markers(&file.content));
        }
        let is_sent = |number: &usize| self.leads.get(*number).is_some_and(|lead| lead.kind.is_sent());
        let has_sent = leads.iter().any(is_sent) || self.names.iter().any(|(_, number)| is_sent(number));
        let files = mail.attachments.iter().filter(|_| has_sent);
        let files: Vec<_> = files.map(|file| String::from_utf8_lossy(&file.content)).collect();
        let is_in = |name: &str| mail.text.contains(name) || files.iter().any(|file| file.contains(name));
        leads.extend(self.names.iter().filter(|(name, _)| is_in(name)).map(|(_, number)| *number));
        if mail.text.contains("more is in the table") || mail.text.contains("more are in the table") {
            self.excuse_counted();
        }
        let to = mail.to.iter().filter_map(|address| person(address)).fold(0, |people, person| people | 1 << person);
        for number in &leads {
            let Some(lead) = self.leads.get_mut(*number) else {
                return Err(Violation::new(
                    Promise::OnlyTheRightPeople,
                    format!("a mail holds a lead {} that there is not", marker(*number)),
                ));
            };
            let name = marker(*number);
            if lead.erased_from.is_some_and(|first| invocation >= first) {
                return Err(Violation::new(
                    Promise::ErasedForGood,
                    format!("lead {name} was erased before, and mailed"),
                ));
            }
            let may = if lead.was_sent && !is_backfill { 0 } else { lead.may };
            if to & !may != 0 {
                let who = (to & !may).trailing_zeros();
                return Err(Violation::new(
                    Promise::OnlyTheRightPeople,
                    format!("lead {name} went to person {who}, who should not have it"),
                ));
            }
            if is_backfill {
                continue;
            }
            if lead.is_always_marked && !says_repeat {
                return Err(Violation::new(
                    Promise::OldState,
                    format!("lead {name} waited when the version before was replaced, and came unmarked"),
                ));
            }
            let people = (0..128).filter(|person| to >> person & 1 == 1);
            let is_sent =
                !lead.keys.is_empty() && (lead.requests > 0 || lead.kind.is_sent() || lead.kind.is_quarantined());
            let mut most_unmarked = 0;
            if is_sent {
                // Two rows of the same lead can be in the same mail.
                let count = |(_, row): &(String, String)| files.iter().map(|file| file.matches(row).count()).sum();
                let rows: usize = lead.keys.iter().map(count).max().unwrap_or_default();
                let rows = u32::try_from(rows.max(1)).unwrap_or(1);
                for person in people {
                    let (all, unmarked) = lead.copies.entry(person).or_default();
                    *all += rows;
                    *unmarked += if says_repeat { 0 } else { rows };
                    most_unmarked = most_unmarked.max(*unmarked);
                }
            }
            // A body that was stored twice is mailed twice.
            let is_own = lead.got & to != 0 && most_unmarked > 1 && most_unmarked as usize <= rows(&lead.keys);
            if lead.got & to != 0 && !is_own {
                // A mail that was held up on its way can arrive behind the one that repeats it: of all copies that a
                // person gets, one may be without the mark.
                if !says_repeat && lead.got_unmarked & to != 0 {
                    return Err(Violation::new(
                        Promise::RepeatsMarked,
                        format!("lead {name} came again unmarked ({:?})", lead.kind),
                    ));
                }
                if is_kind {
                    return Err(Violation::new(
                        Promise::NoNeedlessRepeats,
                        format!("lead {name} came again for no reason"),
                    ));
                }
                self.repeats += 1;
            }
            lead.got |= to;
            if !says_repeat {
                lead.got_unmarked |= to;
            }
            if !lead.waits(0) {
                self.open.remove(number);
            }
        }
        Ok(leads)
    }

    /// A mail has more rows and bodies that are no leads than it can name: it counts the rest, and says where they are.
    fn excuse_counted(&mut self) {
        for number in &self.open {
            let lead = &mut self.leads[*number];
            if lead.kind.is_quarantined() || lead.kind == LeadKind::Unreadable {
                lead.excuse.get_or_insert(COUNTED);
            }
        }
    }

    /// The leads written before this time that somebody still waits for, without those who cannot get any. `is_soon`
    /// leaves out those that only the patrol can find.
    pub fn missing(&self, before: Timestamp, dead: People, is_soon: bool) -> Option<Violation> {
        let is_missing = |number: &&usize| {
            let lead = &self.leads[**number];
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
        let waiting = (lead.must & !lead.got & !dead).count_ones();
        let kinds: BTreeSet<_> = missing.iter().map(|number| format!("{:?}", self.leads[**number].kind)).collect();
        Some(Violation::new(
            if is_soon { Promise::NoDelays } else { Promise::NothingLost },
            format!(
                "{} leads {}, the first is {} (for {waiting} people); kinds: {}",
                missing.len(),
                if is_soon { "are late" } else { "are in no mail for somebody" },
                marker(**first),
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
