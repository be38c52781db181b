//! What stands above many leads: how many of them there are for each offer and action.

use super::view::OverviewView;
use super::{Group, Writer};
use crate::lead::{Action, Lead};
use crate::mail::digest::DigestLead;
use crate::mail::language::fill;

/// A digest of more leads than this begins with an overview.
const MOST_WITHOUT: usize = 10;

/// The most offers in an overview.
const OFFERS: usize = 12;

/// What an overview counts, what is most urgent first.
pub(super) const KINDS: [Kind; 6] =
    [Kind::ContactMe, Kind::Create, Kind::StartTestDrive, Kind::Install, Kind::Other, Kind::DoNotContact];

/// What a customer did, as an overview and a subject tell it apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ContactMe,
    Create,
    StartTestDrive,
    Install,
    Other,
    DoNotContact,
}

impl Kind {
    pub(super) fn of(lead: &Lead) -> Self {
        match lead.action() {
            _ if lead.is_do_not_contact() => Self::DoNotContact,
            Action::ContactMe => Self::ContactMe,
            Action::Create => Self::Create,
            Action::StartTestDrive => Self::StartTestDrive,
            Action::Install => Self::Install,
            Action::DoNotContact | Action::Other(_) => Self::Other,
        }
    }
}

/// How many of the leads are of each of [`KINDS`]. Test leads are not counted.
pub(super) fn count<'a>(leads: impl IntoIterator<Item = &'a DigestLead>) -> [usize; KINDS.len()] {
    let mut counts = [0; KINDS.len()];
    for DigestLead { stored, .. } in leads {
        if !stored.lead.is_test() {
            let kind = Kind::of(&stored.lead);
            counts[KINDS.iter().position(|other| *other == kind).unwrap_or_default()] += 1;
        }
    }
    counts
}

impl Writer<'_> {
    /// The counts by offer and action; `None` where the leads are so few that they are seen at a glance.
    pub(super) fn overview(&self, groups: &[Group<'_>]) -> Option<OverviewView> {
        let phrases = &self.phrases.overview;
        let leads = self.digest.leads.len();
        if leads <= MOST_WITHOUT {
            return None;
        }
        let all = count(&self.digest.leads);
        let shown: Vec<usize> = (0..KINDS.len()).filter(|kind| all[*kind] > 0).collect();
        let heading = |kind: &usize| match KINDS[*kind] {
            Kind::ContactMe => phrases.contact_me.clone(),
            Kind::Create => phrases.create.clone(),
            Kind::StartTestDrive => phrases.start_test_drive.clone(),
            Kind::Install => phrases.install.clone(),
            Kind::Other => phrases.other.clone(),
            Kind::DoNotContact => phrases.do_not_contact.clone(),
        };
        let mut offers: Vec<(&Group<'_>, [usize; KINDS.len()])> =
            groups.iter().map(|group| (group, count(group.leads.iter().copied()))).collect();
        offers.retain(|(_, counts)| counts.iter().sum::<usize>() > 0);
        // What asks for an answer first; offers that are alike stay in the order in which their leads stand.
        offers.sort_by_key(|(_, counts)| std::cmp::Reverse(*counts));
        let hidden = offers.len().saturating_sub(OFFERS);
        offers.truncate(OFFERS);
        let mut rows = Vec::new();
        let mut lines = Vec::new();
        for (group, counts) in offers {
            let offer = self.offer_name(&group.offer, 60);
            lines.push(format!("{offer}{}{}", self.phrases.colon, self.kinds(&counts)));
            let number = |count: usize| if count == 0 { "–".to_owned() } else { count.to_string() };
            let sum = number(counts.iter().sum());
            rows.push((offer, shown.iter().map(|kind| number(counts[*kind])).chain([sum]).collect()));
        }
        (!rows.is_empty()).then(|| OverviewView {
            heading: phrases.heading.clone(),
            offer: phrases.offer.clone(),
            columns: shown.iter().map(heading).chain([phrases.all.clone()]).collect(),
            rows,
            lines,
            more: (hidden > 0).then(|| self.settings.language.counted(&self.phrases.subject.more_offers, hidden)),
        })
    }

    /// Counts in our own words: `1 asked to be contacted, 2 installed`.
    pub(super) fn kinds(&self, counts: &[usize; KINDS.len()]) -> String {
        let parts: Vec<_> = KINDS
            .iter()
            .zip(counts)
            .filter(|(_, count)| **count > 0)
            .map(|(kind, count)| {
                let phrases = &self.phrases.subject;
                match kind {
                    // The only one of them that is a noun.
                    Kind::StartTestDrive => self.settings.language.counted(&phrases.test_drives, *count),
                    _ => fill(&phrases.some, &[("count", &count.to_string()), ("what", self.kind(*kind))]),
                }
            })
            .collect();
        parts.join(&self.phrases.comma)
    }

    /// What customers did, in our own words.
    pub(super) fn kind(&self, kind: Kind) -> &'static str {
        let (subject, actions) = (&self.phrases.subject, &self.phrases.past_action);
        match kind {
            Kind::ContactMe => &actions.contact_me,
            Kind::Create => &actions.create,
            Kind::StartTestDrive => &actions.start_test_drive,
            Kind::Install => &actions.install,
            Kind::Other => &subject.other_action,
            Kind::DoNotContact => &subject.do_not_contact,
        }
    }
}
