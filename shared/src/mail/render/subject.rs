//! The subject, and those parts of it that also stand above the leads.

use super::overview::{KINDS, Kind, count};
use super::{Group, Writer, leads};
use crate::display;
use crate::lead::Lead;
use crate::mail::digest::{DigestLead, Occasion};
use crate::mail::language::{Phrases, fill};

impl Writer<'_> {
    pub(super) fn offer_name(&self, offer: &str, bytes: usize) -> String {
        if offer.is_empty() { self.phrases.lead.no_offer.clone() } else { display::shorten(offer, bytes, 1).0 }
    }

    /// The leads that are no tests.
    fn real(&self) -> impl Iterator<Item = &DigestLead> {
        self.digest.leads.iter().filter(|lead| !lead.stored.lead.is_test())
    }

    /// How many leads there are, as a phrase. Test leads are counted beside the others.
    pub(super) fn heading(&self) -> String {
        let Phrases { subject: phrases, comma, .. } = self.phrases;
        let language = self.settings.language;
        let real = self.real().count();
        let tests = self.digest.leads.len() - real;
        let unread = self.digest.unreadable.len() + self.digest.quarantined.len();
        let leads = match self.digest.occasion {
            Occasion::Backfill { .. } => &phrases.leads_again,
            Occasion::New | Occasion::MaybeRepeated => &phrases.leads,
        };
        match (real, tests, unread) {
            (0, 0, 0) => phrases.nothing.clone(),
            (0, 0, unread) => language.counted(&phrases.unreadable, unread),
            (0, tests, _) => language.counted(&phrases.tests, tests),
            (real, 0, _) => language.counted(leads, real),
            (real, tests, _) => [language.counted(leads, real), language.counted(&phrases.tests, tests)].join(comma),
        }
    }

    /// How many customers did what, in our own words: `1 asked to be contacted, 2 installed`. Where all did the same, it
    /// is said without a number. What a single customer did stands with the lead.
    pub(super) fn flags(&self) -> String {
        let counts = count(&self.digest.leads);
        let kinds: Vec<_> = KINDS.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        match kinds.as_slice() {
            [(kind, 1)] if *kind != Kind::DoNotContact => String::new(),
            [(kind, _)] => self.kind(*kind).to_owned(),
            _ => self.kinds(&counts),
        }
    }

    /// How many of the leads are tests or must not be contacted. It says nothing else of them.
    pub(super) fn marks(&self) -> String {
        let Phrases { subject: phrases, comma, .. } = self.phrases;
        let leads = &self.digest.leads;
        let tests = leads.len() - self.real().count();
        let marked = leads.iter().filter(|lead| lead.stored.lead.is_do_not_contact()).count();
        let mut marks = Vec::new();
        if tests > 0 {
            marks.push(self.settings.language.counted(&phrases.tests, tests));
        }
        if marked == leads.len() && marked > 0 {
            marks.push(phrases.do_not_contact.clone());
        } else if marked > 0 {
            let values = [("count", &*marked.to_string()), ("what", &phrases.do_not_contact)];
            marks.push(fill(&phrases.some, &values));
        }
        marks.join(comma)
    }

    /// The subject: `New lead: Fabrikam · Asked to be contacted · Contoso Backup`, and of several
    /// `3 new leads (1 bought, 2 installed): Contoso Backup (2), Contoso VM`.
    pub(super) fn subject(&self, heading: &str, groups: &[Group<'_>]) -> String {
        let Phrases { subject: phrases, semicolon, .. } = self.phrases;
        let mut subject = match (self.digest.leads.as_slice(), groups) {
            ([DigestLead { stored, .. }], [group]) if !stored.lead.is_test() => self.of_one(&stored.lead, &group.offer),
            _ => self.of_several(heading, groups),
        };
        let unread = self.digest.unreadable.len() + self.digest.quarantined.len();
        if unread > 0 && !self.digest.leads.is_empty() {
            subject += semicolon;
            subject += &self.settings.language.counted(&phrases.unreadable, unread);
        }
        if self.digest.more > 0 {
            subject += semicolon;
            subject += &self.settings.language.counted(&phrases.more, self.digest.more);
        }
        match self.digest.occasion {
            Occasion::MaybeRepeated => fill(&phrases.maybe_repeated, &[("subject", &subject)]),
            Occasion::New | Occasion::Backfill { .. } => subject,
        }
    }

    /// The company, what it did, and the offer. No person's name is in a subject, which notifications show to everyone.
    fn of_one(&self, lead: &Lead, offer: &str) -> String {
        let phrases = &self.phrases.subject;
        let short = |text: &str, bytes| display::shorten(&display::line(text), bytes, 1).0;
        let company = short(&lead.customer.company, 60);
        let action = short(&leads::words(&lead.action(), &self.phrases.action), 40);
        let offer = self.offer_name(offer, 60);
        let is_marked = Kind::of(lead) == Kind::DoNotContact;
        let parts = [company, if is_marked { String::new() } else { action }, offer];
        let what = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
        let phrase = match self.digest.occasion {
            _ if is_marked => &phrases.one_do_not_contact,
            Occasion::Backfill { .. } => &phrases.one_again,
            Occasion::New | Occasion::MaybeRepeated => &phrases.one,
        };
        fill(phrase, &[("what", &what)])
    }

    fn of_several(&self, heading: &str, groups: &[Group<'_>]) -> String {
        /// Lists of mails show little more of a subject.
        const MAX_OFFERS_BYTES: usize = 110;
        let Phrases { subject: phrases, brackets, comma, colon, .. } = self.phrases;
        let mut subject = heading.to_owned();
        // The reduced form names no offers, and says nothing of what customers did.
        let flags = if groups.is_empty() { self.marks() } else { self.flags() };
        if !flags.is_empty() {
            subject += &fill(brackets, &[("text", &flags)]);
        }
        // The offers of test leads only are no news, unless there are no others.
        let is_real = |group: &&Group<'_>| group.leads.iter().any(|lead| !lead.stored.lead.is_test());
        let mut named: Vec<_> = groups.iter().filter(is_real).collect();
        if named.is_empty() {
            named = groups.iter().collect();
        }
        let mut offers = String::new();
        for (number, group) in named.iter().enumerate() {
            let mut offer = self.offer_name(&group.offer, 60);
            if group.leads.len() > 1 {
                offer += &fill(brackets, &[("text", &group.leads.len().to_string())]);
            }
            if number > 0 {
                offers += comma;
                if offers.len() + offer.len() > MAX_OFFERS_BYTES {
                    offers += &self.settings.language.counted(&phrases.more_offers, named.len() - number);
                    break;
                }
            }
            offers += &offer;
        }
        if !offers.is_empty() {
            subject += colon;
            subject += &offers;
        }
        subject
    }
}
