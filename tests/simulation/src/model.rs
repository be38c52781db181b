//! The oracle: which leads there are, who should have them, and who has. Nothing is ever taken back.

use crate::config::LeadKind;
use crate::leads::{marker, markers};
use crate::routing::{People, Routing, person};
use jiff::Timestamp;
use marketplace_leads::mail::Message;
use std::collections::BTreeSet;
use std::fmt;

/// A promise that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// 1: every lead gets to everybody who should have it.
    NothingLost,
    /// 2: a lead comes again only in a mail that says so.
    RepeatsMarked,
    /// 2: where nothing goes wrong, no lead comes again.
    NoNeedlessRepeats,
    /// 2: nobody gets what is not for them.
    OnlyTheRightPeople,
    /// 3: no request goes beyond a limit of the table service.
    TableLimits,
    /// 3: no mail goes beyond a limit of the mail service.
    MailLimits,
    /// 4: no invocation outlives its deadline.
    Deadlines,
    /// 4: none panics.
    NoPanics,
    /// 4: where nothing goes wrong, none fails.
    NoNeedlessFailures,
    /// 5: what a command says is so.
    HonestCommands,
    /// 5: after an erasure, nothing of what there was is mailed.
    ErasedForGood,
    /// 6: what is broken elsewhere delays a lead by a bounded number of runs.
    NoDelays,
}

impl Promise {
    /// The number of the invariant, as `lib.rs` lists them.
    pub fn invariant(self) -> u8 {
        match self {
            Self::NothingLost => 1,
            Self::RepeatsMarked | Self::NoNeedlessRepeats | Self::OnlyTheRightPeople => 2,
            Self::TableLimits | Self::MailLimits => 3,
            Self::Deadlines | Self::NoPanics | Self::NoNeedlessFailures => 4,
            Self::HonestCommands | Self::ErasedForGood => 5,
            Self::NoDelays => 6,
        }
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise was broken.
    pub promise: Promise,
    /// What was seen.
    pub seen: String,
}

impl Violation {
    /// A promise that was broken.
    pub fn new(promise: Promise, seen: impl Into<String>) -> Self {
        Self { promise, seen: seen.into() }
    }
}

/// `invariant 1 (NothingLost) is broken: …`
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({:?}) is broken: {}", self.promise.invariant(), self.promise, self.seen)
    }
}

/// Why nobody can be asked to mail a lead whose person was erased.
const ERASED: &str = "its person was erased";

/// Why nobody is asked to name what is no lead.
const COUNTED: &str = "it is no lead, and a mail counts it instead of naming it";

/// A lead of the world.
#[derive(Debug, Clone)]
pub struct Lead {
    /// What it is like.
    pub kind: LeadKind,
    offer: Option<usize>,
    action: Option<&'static str>,
    /// Since when it is in the table and can be seen, or was acknowledged.
    pub since: Option<Timestamp>,
    /// Who must get it.
    must: People,
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
        let people = routing.people(offer, action);
        self.leads.push(Lead {
            kind,
            offer,
            action,
            since: None,
            must: people,
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
        self.names.push((name, number));
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
            let people = routing.people(lead.offer, lead.action);
            lead.must &= people | lead.got;
            lead.may |= people;
        }
    }

    /// Lets leads go to these people too, as settings said that were in force a moment ago.
    pub fn allow_too(&mut self, number: usize, routing: &Routing) {
        let lead = &mut self.leads[number];
        let people = routing.people(lead.offer, lead.action);
        lead.must &= people;
        lead.may |= people;
    }

    /// The mail service accepted a mail.
    pub fn accept(&mut self, mail: &Message, is_kind: bool, invocation: u64) -> Result<BTreeSet<usize>, Violation> {
        self.mails += 1;
        let says_repeat =
            mail.subject.to_lowercase().contains("may be a repeat") || mail.text.contains("may be a repeat");
        let mut leads = markers(mail.text.as_bytes());
        for file in &mail.attachments {
            leads.extend(markers(&file.content));
        }
        leads
            .extend(self.names.iter().filter(|(name, _)| mail.text.contains(name.as_str())).map(|(_, number)| *number));
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
            if to & !lead.may != 0 {
                let who = (to & !lead.may).trailing_zeros();
                return Err(Violation::new(
                    Promise::OnlyTheRightPeople,
                    format!("lead {name} went to person {who}, who should not have it"),
                ));
            }
            if lead.got & to != 0 {
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
            if lead.must & !lead.got == 0 {
                self.open.remove(number);
            }
        }
        Ok(leads)
    }

    /// A mail has more rows and bodies that are no leads than it can name: it counts the rest, and says where they are.
    fn excuse_counted(&mut self) {
        for number in &self.open {
            let lead = &mut self.leads[*number];
            if matches!(lead.kind, LeadKind::Quarantined | LeadKind::Unreadable) {
                lead.excuse.get_or_insert(COUNTED);
            }
        }
    }

    /// The leads written before this time that somebody still waits for, without those who cannot get any. `is_soon`
    /// leaves out those that only the patrol can find.
    pub fn missing(&self, before: Timestamp, dead: People, is_soon: bool) -> Option<Violation> {
        let is_missing = |number: &&usize| {
            let lead = &self.leads[**number];
            let waits = lead.must & !lead.got & !dead != 0;
            let is_for_patrol = matches!(lead.kind, LeadKind::OddKey | LeadKind::OldDay);
            waits
                && !(is_soon && is_for_patrol)
                && lead.excuse.is_none()
                && !self.is_left_out(lead)
                && lead.since.is_some_and(|since| since <= before)
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
