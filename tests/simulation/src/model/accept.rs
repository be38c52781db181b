//! What the oracle makes of something that went out: whether it may, and who has which lead now.

use super::{COUNTED, Model, Promise, Violation};
use crate::config::LeadKind;
use crate::leads::{marker, markers};
use crate::sent::Sent;
use std::collections::BTreeSet;

impl Model {
    /// A mail, or a message to another destination, was accepted. `rows` says how many rows there are under some keys.
    pub fn accept(
        &mut self,
        sent: &Sent<'_>,
        is_kind: bool,
        invocation: u64,
        rows: impl Fn(&[(String, String)]) -> usize,
    ) -> Result<BTreeSet<usize>, Violation> {
        self.mails += 1;
        let Sent { to, is_backfill, says_repeat, .. } = *sent;
        let mut leads = markers(sent.text.as_bytes());
        for file in sent.files.iter().filter(|file| file.as_ptr() != sent.text.as_ptr()) {
            leads.extend(markers(file));
        }
        let is_sent = |number: &usize| self.leads.get(*number).is_some_and(|lead| lead.kind.is_sent());
        let has_sent = leads.iter().any(is_sent) || self.names.iter().any(|(_, number)| is_sent(number));
        let files = sent.files.iter().filter(|_| has_sent);
        let files: Vec<_> = files.map(|file| String::from_utf8_lossy(file)).collect();
        let is_in = |name: &str| sent.text.contains(name) || files.iter().any(|file| file.contains(name));
        leads.extend(self.names.iter().filter(|(name, _)| is_in(name)).map(|(_, number)| *number));
        if leads.is_empty() {
            leads.extend(self.keys.iter().filter(|(key, _)| is_in(key)).map(|(_, number)| *number));
        }
        if sent.counts_some() {
            self.excuse_counted();
        }
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
            let redirected = if lead.may & (self.gone | self.suppressed) != 0 { self.redirect_to } else { 0 };
            let may = match is_backfill {
                true => lead.may | redirected | lead.backfilled_to,
                false if lead.was_sent => 0,
                false => lead.may | redirected,
            };
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
            let (mut most, mut most_unmarked) = (0, 0);
            if is_sent {
                // Two rows of the same lead can be in the same mail.
                let count = |(_, row): &(String, String)| files.iter().map(|file| file.matches(row).count()).sum();
                let rows: usize = lead.keys.iter().map(count).max().unwrap_or_default();
                let rows = u32::try_from(rows.max(1)).unwrap_or(1);
                for person in people {
                    let (all, unmarked) = lead.copies.entry(person).or_default();
                    *all += rows;
                    *unmarked += if says_repeat { 0 } else { rows };
                    (most, most_unmarked) = (most.max(*all), most_unmarked.max(*unmarked));
                }
            }
            // A body that was stored twice is mailed twice.
            let stored = if lead.got & to != 0 { rows(&lead.keys) } else { 0 };
            let is_one_each = |copies: u32| copies > 1 && copies as usize <= stored;
            let is_own = is_one_each(most_unmarked) || is_one_each(most);
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
                        format!("lead {name} came again for no reason: {most} copies of {stored} rows"),
                    ));
                }
                self.repeats += 1;
            }
            lead.got |= to;
            if !says_repeat {
                lead.got_unmarked |= to;
            }
            let lead = &self.leads[*number];
            if !lead.waits(self.gone_for(lead)) {
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
}
